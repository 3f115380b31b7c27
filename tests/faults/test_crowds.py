"""T-06, T-08: a thousand clients that send slowly or not at all, and ten thousand that only stand there. Others do
not feel them."""

# ctest: alone

import selectors
import socket
import time

from dialects import call_of
from harness import PATIENCE, SANITIZED, eventually

PLAIN = "llama3,load=0s,prompt=0s,rate=0,tokens=5"
LIMIT = 2  # seconds
SLOW = 300 if SANITIZED else 1000
IDLE = 2000 if SANITIZED else 9000  # both ends' descriptors are this machine's
HEAD = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n"


def asked(gateway, count=20):
    """How long a client waits for an answer, seconds, the worst of some left out."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        assert gateway.post(*call_of("generate", stream=False)).status == 200
        took.append(time.monotonic() - began)
    return sorted(took)[int(count * 0.9)]


class Drip:
    """Sends a byte each half second of what it has, and notes when it was closed."""

    def __init__(self, gateway, start, rest):
        self.socket = socket.create_connection((gateway.host, gateway.port))
        self.socket.setblocking(False)
        self.socket.send(start)
        self.rest = rest
        self.next = time.monotonic() + 0.5
        self.closed_at = None
        self.seen = b""

    def drip(self, now):
        if self.closed_at is None and self.rest and now >= self.next:
            self.next = now + 0.5
            try:
                self.socket.send(self.rest[:1])
                self.rest = self.rest[1:]
            except OSError:
                pass

    def read(self, now):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.seen += data
        if not data:
            self.closed_at = now
            self.socket.close()


def test_a_thousand_slow_senders_are_all_ended_in_time_and_nobody_else_feels_them(serve, simulate):
    simulator = simulate(PLAIN)
    gateway = serve(simulator, {"limits": {"header_timeout": f"{LIMIT}s", "body_rate": "8KiB"}})
    alone = asked(gateway)
    kinds = [(b"", b""), (HEAD[:40], HEAD[40:] * 9), (HEAD + b"\r\n{", b" " * 90)]
    began = time.monotonic()
    crowd = [Drip(gateway, *kinds[n % 3]) for n in range(SLOW)]
    opened = time.monotonic()
    sockets = selectors.DefaultSelector()
    for one in crowd:
        sockets.register(one.socket, selectors.EVENT_READ, one)
    beside, left = [], SLOW
    until = time.monotonic() + (LIMIT + 6) * PATIENCE
    while left and time.monotonic() < until:
        for key, _ in sockets.select(0.05):
            one = key.data
            one.read(time.monotonic())
            if one.closed_at is not None:
                sockets.unregister(key.fileobj)
                left -= 1
        now = time.monotonic()
        for one in crowd:
            one.drip(now)
        beside.append(asked(gateway, 2))
    assert not left, f"{left} are still there"
    late = max(one.closed_at for one in crowd) - opened
    early = min(one.closed_at for one in crowd) - began
    assert early > LIMIT * 0.9 and late < (LIMIT + 2) * PATIENCE, (early, late)
    told = [one for n, one in enumerate(crowd) if n % 3]
    assert all(b" 400 " in one.seen and b"slowly" in one.seen for one in told)
    assert not any(one.seen for one in crowd[::3])  # who said nothing is told nothing
    beside.sort()
    assert beside[len(beside) // 2] < alone * 5 + 0.05 * PATIENCE, (alone, beside[:: len(beside) // 10 or 1])
    assert not [r for r in simulator.requests("/api/generate") if r["body_size"] > 1000]


def test_ten_thousand_idle_connections_cost_little_and_one_more_is_told(serve, simulate):
    gateway = serve(simulate(PLAIN), {"limits": {"connections": IDLE, "header_timeout": "120s"}})
    alone, before = asked(gateway), gateway.resident()
    crowd = [socket.create_connection((gateway.host, gateway.port)) for _ in range(IDLE - 5)]
    assert eventually(lambda: gateway.metrics().value("connections", side="client") >= IDLE - 5, within=20)
    grown = gateway.resident() - before
    assert grown < IDLE * 4096 or SANITIZED, f"{grown / IDLE:.0f} bytes each"
    assert asked(gateway) < alone * 5 + 0.05 * PATIENCE
    extra = [socket.create_connection((gateway.host, gateway.port)) for _ in range(20)]
    answer = gateway.get("/api/version")
    assert answer.status == 503 and answer.json()["code"] == "overloaded" and answer.get("Retry-After")
    for sock in [*crowd, *extra]:
        sock.close()
    assert eventually(lambda: gateway.get("/api/version").status == 200, within=10)
    # The second wave costs nothing that the first had not.
    first = gateway.resident()
    crowd = [socket.create_connection((gateway.host, gateway.port)) for _ in range(IDLE - 5)]
    assert eventually(lambda: gateway.metrics().value("connections", side="client") >= IDLE - 5, within=20)
    assert gateway.resident() < max(first, before + grown) * 1.05 or SANITIZED
    for sock in crowd:
        sock.close()
    assert eventually(lambda: gateway.get("/api/version").status == 200, within=10)
