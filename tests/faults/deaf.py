"""An upstream that can stop accepting: to connect to it then hangs, as to a host that drops what it is sent."""

import json
import select
import socket
import threading

from recording import OWN


class Deaf:
    """Answers what a gateway asks for itself, a connection each; after fill() every further connect hangs, and what
    came of calls is in `heard`."""

    def __init__(self):
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=8)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.heard = []
        self._in_the_way = []
        self._accepts = threading.Event()
        self._accepts.set()
        self._over = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while not self._over:
            if not self._accepts.wait(0.05) or not select.select([self._listening], [], [], 0.05)[0]:
                continue
            if not self._accepts.is_set():
                continue
            try:
                sock, _ = self._listening.accept()
                threading.Thread(target=self._one, args=(sock,), daemon=True).start()
            except OSError:
                return

    def _one(self, sock):
        with sock:
            try:
                head = sock.recv(65536).split(b"\r\n\r\n")[0]
                target = head.split(b" ")[1].decode()
                if target not in OWN:
                    if b"User-Agent: ollama-gateway" not in head:  # not what it asks for itself
                        self.heard.append(head)
                text = json.dumps(OWN.get(target, {})).encode()
                sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            except (OSError, IndexError):
                pass

    def fill(self):
        """From now on nobody gets through."""
        self._accepts.clear()
        threading.Event().wait(0.15)  # it may have been about to accept one more
        self._listening.listen(0)
        while True:
            sock = socket.socket()
            sock.setblocking(False)
            self._in_the_way.append(sock)
            sock.connect_ex(("127.0.0.1", self.port))
            if not select.select([], [sock], [], 0.2)[1]:
                return

    def open(self):
        """Accepts again."""
        for sock in self._in_the_way:
            sock.close()
        self._in_the_way.clear()
        self._listening.listen(128)
        self._accepts.set()

    def stop(self):
        self._over = True
        for sock in [*self._in_the_way, self._listening]:
            sock.close()
