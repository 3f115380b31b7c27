"""HTTP/1.1 spoken by hand: an answer as it comes, piece by piece with its times, over blocking and asyncio
sockets, and the ways in which a client can leave."""

import asyncio
import json
import socket
import struct
import time


class Answer:
    """One answer, fed with bytes as they come. Times are CLOCK_MONOTONIC seconds, like the simulator's."""

    def __init__(self, method="GET"):
        self.method = method
        self.version = self.status = self.reason = None
        self.fields = []  # (name, value) in order, as sent
        self.interim = []  # statuses of 1xx answers before it
        self.pieces = []  # (time, bytes): chunks as they were framed, or what one read brought
        self.head_bytes = b""
        self.head_at = None
        self.complete = False  # ended as its framing says, not by a cut
        self.ended = None  # None while it lasts; then "clean", "eof" or "reset"
        self.framing = None  # "length", "chunked", "close"
        self.raw = b""  # everything, as it came
        self.rest = b""  # bytes behind its end
        self._buffer = b""
        self._left = 0

    @property
    def body(self):
        return b"".join(piece for _, piece in self.pieces)

    def get(self, name, default=None):
        """The first field of that name, any case."""
        for key, value in self.fields:
            if key.lower() == name.lower():
                return value
        return default

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)

    def lines(self):
        """The NDJSON objects of the body; blanks between them are allowed."""
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    def events(self):
        """The server-sent events of the body: (event, data) each; comments are (None, text)."""
        found = []
        for block in self.body.decode().replace("\r\n", "\n").split("\n\n"):
            name, data = "message", []
            for line in block.split("\n"):
                if line.startswith(":"):
                    found.append((None, line[1:].strip()))
                elif line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
            if data:
                found.append((name, "\n".join(data)))
        return found

    def feed(self, data, at=None):
        at = time.monotonic() if at is None else at
        self.raw += data
        self._buffer += data
        while self.status is None and b"\r\n\r\n" in self._buffer:
            self._take_head(at)
        if self.status is not None and not self.complete:
            self._take_body(at)
        if self.complete:
            self.rest += self._buffer
            self._buffer = b""

    def finish(self, how):
        """The connection has ended: how is "eof" or "reset"."""
        if self.framing == "close" and how == "eof":
            self.complete = True
        self.ended = "clean" if self.complete else how

    def _take_head(self, at):
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *rest = head.decode("latin-1").split("\r\n")
        version, status, *reason = first.split(" ", 2)
        fields = [tuple(part.strip() for part in line.split(":", 1)) for line in rest]
        if status.startswith("1") and status != "101":
            self.interim.append(int(status))
            return
        self.head_bytes = head + b"\r\n\r\n"
        self.head_at = at
        self.version, self.status, self.fields = version, int(status), fields
        self.reason = reason[0] if reason else ""
        if self.method == "HEAD" or self.status in (204, 304):
            self.framing, self.complete = "length", True
        elif "chunked" in (self.get("Transfer-Encoding") or "").lower():
            self.framing = "chunked"
        elif self.get("Content-Length") is not None:
            self.framing, self._left = "length", int(self.get("Content-Length"))
            self.complete = self._left == 0
        else:
            self.framing = "close"
        if self.complete:
            self.ended = "clean"

    def _take_body(self, at):
        if self.framing == "chunked":
            self._take_chunks(at)
        else:
            take = len(self._buffer) if self.framing == "close" else min(self._left, len(self._buffer))
            if take:
                self.pieces.append((at, self._buffer[:take]))
            self._buffer = self._buffer[take:]
            self._left -= take
            self.complete = self.framing == "length" and self._left == 0
        if self.complete:
            self.ended = "clean"

    def _take_chunks(self, at):
        while True:
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            size = int(line.split(b";")[0], 16)
            if size == 0:
                if rest[:2] == b"\r\n":
                    self._buffer, self.complete = rest[2:], True
                elif b"\r\n\r\n" in rest:  # trailers
                    self._buffer, self.complete = rest.split(b"\r\n\r\n", 1)[1], True
                return
            if len(rest) < size + 2:
                return
            if rest[size : size + 2] != b"\r\n":
                raise ValueError(f"bad chunk: {rest[size : size + 2]!r} behind it")
            self.pieces.append((at, rest[:size]))
            self._buffer = rest[size + 2 :]


def request_bytes(method, target, body=None, headers=(), host="127.0.0.1", version="1.1"):
    """A whole request. A body that is no bytes is sent as JSON. `headers` wins over what is added here."""
    fields = dict(headers)
    names = {name.lower() for name in fields}
    if body is not None and not isinstance(body, (bytes, bytearray)):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
        if "content-type" not in names:
            fields["Content-Type"] = "application/json"
    if "host" not in names:
        fields = {"Host": host, **fields}
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        fields["Content-Length"] = str(len(body))
    head = f"{method} {target} HTTP/{version}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return head.encode("latin-1") + b"\r\n" + (body or b"")


def _linger_reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Client:
    """A connection of one client, by hand. `with` closes it."""

    def __init__(self, host, port, timeout=30, receive_buffer=None):
        self.address = (host, port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(self.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = None
        self._pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, body=None, headers=(), **more):
        """Sends a request; `answer` is now its answer to come."""
        host = "{}:{}".format(*self.address)
        self.expect(method)
        self.send(request_bytes(method, target, body, headers, host, **more))
        return self

    def expect(self, method="GET"):
        """The next bytes are the answer to a request of this method, however it was sent."""
        pending = self.answer.rest if self.answer else self._pending
        self.answer = Answer(method)
        if pending:
            self.answer.feed(pending)

    def _read(self):
        """Feeds what comes next; False when the connection or the answer has ended."""
        if self.answer.ended:
            return False
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            self.answer.finish("reset")
            return False
        if not data:
            self.answer.finish("eof")
            return False
        self.answer.feed(data)
        return True

    def head(self):
        """Reads until the head is here. The answer's status is None when the connection ended before."""
        while self.answer.status is None and self._read():
            pass
        return self.answer

    def pieces(self):
        """Yields (time, bytes) as they come, until the answer ends."""
        seen = 0
        while True:
            while seen < len(self.answer.pieces):
                yield self.answer.pieces[seen]
                seen += 1
            if not self._read() and seen == len(self.answer.pieces):
                return

    def piece(self):
        """Waits for one more piece than there are; None when the answer ends without."""
        have = len(self.answer.pieces)
        while len(self.answer.pieces) == have and self._read():
            pass
        return self.answer.pieces[have] if len(self.answer.pieces) > have else None

    def finish(self):
        """Reads to the answer's end."""
        while self._read():
            pass
        return self.answer

    def closed(self, within=2.0):
        """Does the other side close this connection, with nothing more to say?"""
        self.socket.settimeout(within)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False

    def leave(self, how="fin"):
        """"fin": close; "rst": reset; "half": no more to send, still reading. Returns when, CLOCK_MONOTONIC."""
        if how == "half":
            self.socket.shutdown(socket.SHUT_WR)
        else:
            if how == "rst":
                _linger_reset(self.socket)
            self.socket.close()
        return time.monotonic()


class AsyncClient:
    """The same words for a thousand clients at once."""

    def __init__(self, host, port):
        self.address = (host, port)
        self.answer = None
        self._reader = self._writer = None

    async def open(self):
        self._reader, self._writer = await asyncio.open_connection(*self.address)
        return self

    async def request(self, method, target, body=None, headers=()):
        if self._writer is None:
            await self.open()
        self.answer = Answer(method)
        self._writer.write(request_bytes(method, target, body, headers, "{}:{}".format(*self.address)))
        await self._writer.drain()
        return self

    async def _read(self):
        if self.answer.ended:
            return False
        try:
            data = await self._reader.read(65536)
        except (ConnectionResetError, BrokenPipeError):
            self.answer.finish("reset")
            return False
        if not data:
            self.answer.finish("eof")
            return False
        self.answer.feed(data)
        return True

    async def head(self):
        while self.answer.status is None and await self._read():
            pass
        return self.answer

    async def pieces(self):
        seen = 0
        while True:
            while seen < len(self.answer.pieces):
                yield self.answer.pieces[seen]
                seen += 1
            if not await self._read() and seen == len(self.answer.pieces):
                return

    async def finish(self):
        while await self._read():
            pass
        return self.answer

    def leave(self, how="fin"):
        sock = self._writer.get_extra_info("socket")
        if how == "half":
            self._writer.write_eof()
        elif how == "rst":
            _linger_reset(sock)
            self._writer.transport.abort()
        else:
            self._writer.close()
        return time.monotonic()
