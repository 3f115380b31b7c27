"""An upstream by hand, for what no Ollama does: each call is answered with given bytes, whole or cut, on
connections that are counted. What a gateway asks for itself is answered as by Ollama with one model."""

import json
import socket
import struct
import threading
import time

import pytest

TAGS = {"models": [{"name": "llama3:latest", "model": "llama3:latest", "digest": "0" * 64, "size": 1}]}
LOADED = {"models": [{"name": "llama3:latest", "model": "llama3:latest", "size": 1, "size_vram": 1}]}
OWN = {
    b"/api/version": {"version": "0.33.0"},
    b"/api/tags": TAGS,
    b"/api/ps": LOADED,
    b"/api/show": {"modelfile": "FROM /blobs/sha256-" + "0" * 64, "parameters": "", "capabilities": ["completion"]},
}
RESET, CLOSE, KEEP, HANG, STALL = "reset", "close", "keep", "hang", "stall"  # stall: reads nothing more


def whole(body, content_type="application/json", status="200 OK"):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Scripted:
    """script: a list of (bytes, then) for the calls in the order in which they come, the last for all that follow;
    `then` is what becomes of the connection; an Event: it is reset when that is set."""

    def __init__(self, *script):
        self.script = list(script)
        self.asked_on = set()  # connections that have carried what the gateway asks for itself
        self.targets = []  # of all requests, in the order in which they came
        self.calls = []  # (connection's number, head, body, when), without what the gateway asks for itself
        self.connections = 0
        self.hung_up = 0  # connections on which it waited until the other side closed
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open = []
        self._over = threading.Event()

    def start(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        self._over.set()
        for sock in [self._listening, *self._open]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock, number):
        try:
            while self._one(sock, number):
                pass
        except OSError:
            pass

    def _one(self, sock, number):
        seen = b""
        while b"\r\n\r\n" not in seen:
            data = sock.recv(65536)
            if not data:
                sock.close()
                return False
            seen += data
        head, body = seen.split(b"\r\n\r\n", 1)
        size = 0
        for line in head.split(b"\r\n")[1:]:
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        while len(body) < size:
            body += sock.recv(65536)
        target = head.split(b" ")[1]
        self.targets.append(target.decode())
        if target in OWN:
            self.asked_on.add(number)
            sock.sendall(whole(OWN[target]))
            return True
        if b"User-Agent: ollama-gateway" in head:  # a load or an unload of its own
            self.asked_on.add(number)
            sock.sendall(whole({"model": "llama3", "response": "", "done": True}))
            return True
        self.calls.append((number, head, body, time.monotonic()))
        answer, then = self.script[min(len(self.calls), len(self.script)) - 1]
        sock.sendall(answer)
        if then == HANG:
            try:
                while sock.recv(65536):
                    pass
            finally:
                self.hung_up += 1
        if isinstance(then, threading.Event):
            then.wait()
            then = RESET
        if then == STALL:
            self._over.wait()
        if then == RESET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if then in (RESET, CLOSE):
            sock.close()
        return then == KEEP


@pytest.fixture
def scripted():
    """scripted((bytes, then), …) → Scripted. Asked for before `serve`, so that it outlives the gateways."""
    started = []

    def start(*script):
        started.append(Scripted(*script).start())
        return started[-1]

    yield start
    for upstream in started:
        upstream.stop()
