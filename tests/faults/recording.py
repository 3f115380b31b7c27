"""An upstream that keeps what it is sent and answers every whole request with 200. It reads as strictly as Go's server
does, which Ollama's is: what it cannot read is kept as rubbish, and its connection closed."""

import json
import re
import socket
import threading

MODEL = {"name": "llama3:latest", "model": "llama3:latest", "digest": "0" * 64, "size": 1}
LOADED = {**MODEL, "size_vram": 1, "context_length": 4096, "expires_at": "2099-01-01T00:00:00Z"}
OWN = {
    "/api/version": {"version": "0.33.0"},
    "/api/tags": {"models": [MODEL]},
    "/api/ps": {"models": [LOADED]},
}
DONE = {"model": "llama3", "created_at": "2026-01-01T00:00:00Z", "response": "x", "done": True, "done_reason": "stop"}
MARK = "X-Recorded"  # an answer with it is this upstream's
OWNER = re.compile(rb"[?&]c=(\d{4})")


class Recording:
    def __init__(self):
        self.requests = []  # (owner's id or None, method, target, fields, body), of whole ones
        self.rubbish = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        for sock in [self._listening, *self._open]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def forget(self):
        self.requests.clear()
        self.rubbish.clear()

    def of(self, number):
        """What came of one row: those to its own target, and those to /smuggled."""
        mine = [r for r in self.requests if r[0] == number]
        return [r for r in mine if not r[2].startswith("/smuggled")], [r for r in mine if r[2].startswith("/smuggled")]

    def _accept(self):
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with sock, sock.makefile("rb") as wire:
                while self._one(sock, wire):
                    pass
        except (OSError, ValueError):
            pass

    def _one(self, sock, wire):
        head = []
        while (line := wire.readline(1 << 20)) not in (b"\r\n", b""):
            head.append(line)
        if not line or not head:
            return False
        try:
            method, target, version = head[0].rstrip(b"\r\n").split(b" ")
            if not version.startswith(b"HTTP/1.") or not all(h.endswith(b"\r\n") for h in head):
                raise ValueError
            fields = [tuple(part.strip() for part in h.split(b":", 1)) for h in head[1:]]
            named = {name.lower(): value for name, value in fields}
            body = self._body(wire, named)
        except (ValueError, IndexError):
            self.rubbish.append(b"".join(head))
            return False
        if body is None:
            return False
        target = target.decode("latin-1")
        path = target.split("?")[0]
        found = OWNER.search(target.encode("latin-1"))
        if found or path not in OWN:
            owner = found.group(1).decode() if found else None
            self.requests.append((owner, method.decode("latin-1"), target, fields, body))
        text = json.dumps(OWN.get(path, DONE)).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{MARK}: yes\r\nContent-Length: {len(text)}\r\n"
        if method == b"HEAD":
            text = b""
        sock.sendall(head.encode() + b"\r\n" + text)
        return named.get(b"connection", b"").lower() != b"close"

    @staticmethod
    def _body(wire, named):
        """None when the connection ends in the middle of it."""
        if b"transfer-encoding" in named:
            if named[b"transfer-encoding"].lower() != b"chunked" or b"content-length" in named:
                raise ValueError
            body = b""
            while (line := wire.readline()).endswith(b"\r\n"):
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    break
                body += wire.read(size)
                if wire.read(2) != b"\r\n":
                    return None
            else:
                return None
            while (line := wire.readline()) not in (b"\r\n", b""):
                pass
            return body if line else None
        size = int(named.get(b"content-length", b"0"))
        if not 0 <= size < 1 << 40:
            raise ValueError
        body = wire.read(size)
        return body if len(body) == size else None
