"""No bytes a client can send end the process, and one request costs at most 20 times its size in memory (SPEC §12).
The first three killed a stock Beast 1.81 server or got past its limits (reliability.md §0)."""

# ctest: busy

import random
import socket
import threading
import time

import pytest

from dialects import STREAMS, call_of
from harness import SANITIZED, eventually, request_bytes

HEAD = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
SECONDS = 10


def pour(gateway, first, block, most):
    """Sends `first` and then blocks until `most` bytes have gone or the gateway has had enough; how many."""
    sent = 0
    with gateway.client(timeout=5) as client:
        client.expect("POST")
        try:
            client.send(first)
            while sent < most:
                client.send(block)
                sent += len(block)
        except OSError:
            pass
        try:
            client.finish()
        except (OSError, ValueError):
            pass
        return sent, client.answer


@pytest.mark.parametrize("target", ["/api/generate", "/api/create", "/gateway/queue"])
def test_a_trailer_of_seventy_kilobytes_ends_only_its_connection(pair, target):
    gateway, _ = pair
    head = HEAD.replace(b"/api/generate", target.encode())
    sent, answer = pour(gateway, head + b"2\r\n{}\r\n0\r\nX: ", b"x" * 70000 + b"\r\n\r\n", 1)
    assert answer.status in (400, 413, 431, None) and gateway.alive(), answer.raw
    assert gateway.get("/api/version").status == 200


def test_three_small_segments_do_not_trip_an_assertion(pair):
    gateway, _ = pair
    for target in (b"/api/generate", b"/api/create"):
        with gateway.client() as client:
            client.expect("POST")
            client.send(HEAD.replace(b"/api/generate", target))
            for segment in (b"2\r\n{}\r\n", b"0\r\n", b"\r"):
                eventually(lambda: False, within=0.05)
                client.send(segment)
            client.send(b"\n")
            assert client.head().status in (400, 404)
    assert gateway.get("/api/version").status == 200


@pytest.mark.parametrize("what", ["trailer", "extension", "extensions", "trailers", "header", "empty lines"])
def test_what_never_ends_is_bounded(pair, what):
    gateway, _ = pair
    first, block = {
        "trailer": (HEAD + b"2\r\n{}\r\n0\r\nX: ", b"x" * 65536),
        "trailers": (HEAD + b"2\r\n{}\r\n0\r\n", b"X: y\r\n" * 10000),
        "extension": (HEAD + b"2;", b"x" * 65536),
        "extensions": (HEAD, (b"1;" + b"e" * 200 + b"\r\n \r\n") * 300),
        "header": (HEAD[:-2] + b"X: ", b"x" * 65536),
        "empty lines": (b"", b"\r\n" * 30000),
    }[what]
    before = gateway.resident()
    sent, answer = pour(gateway, first, block, 100 << 20)
    assert sent < 100 << 20 and answer.status in (400, 413, 431, None), (sent, answer.raw)
    assert gateway.resident() - before < (2 << 20 if not SANITIZED else 64 << 20)
    assert gateway.get("/api/version").status == 200


def test_bombs_of_json_cost_little_more_than_they_weigh(pair):
    gateway, simulator = pair
    size = 4 << 20
    bombs = {
        "open brackets": b"[" * size,
        "lists": b'{"model":"llama3","prompt":"x","x":[' + b"[]," * (size // 3) + b"1]}",
        "objects": b'{"model":"llama3","prompt":"x","x":[' + b"{}," * (size // 3) + b"1]}",
        "keys": b'{"model":"llama3","prompt":"x"' + b"".join(b',"k%d":0' % n for n in range(size // 12)) + b"}",
        "numbers": b'{"model":"llama3","prompt":"x","x":[' + b"1," * (size // 2) + b"1e400]}",
        "messages": b'{"model":"llama3","messages":[' + b'{"role":"user"},' * (size // 16) + b"{}]}",
        "escapes": b'{"model":"' + b"\\u0041" * (size // 6) + b'","prompt":"x"}',
        "context": b'{"model":"llama3","prompt":"x","context":[' + b"7," * (size // 2) + b"7]}",
    }
    gateway.post("/api/generate", bombs["lists"])  # what stays behind of it is no growth
    before = gateway.resident()
    for name, body in bombs.items():
        began = time.monotonic()
        for target in ("/api/chat" if name == "messages" else "/api/generate", "/v1/chat/completions", "/api/embed"):
            answer = gateway.post(target, body)
            assert answer.status is not None, name
        grown = gateway.resident() - before
        assert grown < 20 * size or SANITIZED, f"{name}: {grown >> 20} MiB"  # a sanitizer keeps what is freed
        assert time.monotonic() - began < 10 or SANITIZED, name


# --- the storm ---

SEEDS = [
    request_bytes("POST", *call_of(kind, options={"num_predict": 2}, max_tokens=2)) for kind in STREAMS
] + [
    request_bytes("GET", "/api/tags"),
    request_bytes("GET", "/gateway/queue"),
    request_bytes("GET", "/gateway/calls/0123456789abcdef0123456789abcdef/events"),
    request_bytes("POST", "/api/show", {"model": "llama3"}),
    request_bytes("POST", "/api/generate", {"model": "llama3", "keep_alive": 0}),
    request_bytes("POST", "/api/embed", {"model": "llama3", "input": ["a", "b"]}),
    request_bytes("OPTIONS", "/api/chat", None, {"Origin": "http://localhost"}),
    HEAD + b'2e\r\n{"model":"llama3","prompt":"x","stream":false}\r\n0\r\nX: y\r\n\r\n',
    b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b'Content-Length: 93\r\n\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nllama3\r\n'
    b"--b\r\nContent-Disposition: x\r\n--b--\r\n",
]
WORDS = [b"\r\n", b"\n", b"\r", b"\0", b": ", b"chunked", b"Transfer-Encoding: ", b"Content-Length: 5\r\n"]
WORDS += [b"%00", b"%zz"]
WORDS += [b"\xff\xfe", "\u212aeep_alive".encode(), b"{", b"[" * 50, b'"', b"\\u", b"\\ud800", b"HTTP/1.0", b"0\r\n\r\n"]
WORDS += [b"ffffffffffffffff\r\n", b"-1", b"99999999999999999999", b"Expect: 100-continue\r\n"]
WORDS += [b"Connection: close\r\n"]
WORDS += [b"Accept: text/event-stream\r\n", b"X-Queue-Events: 1\r\n", b"Content-Encoding: zstd\r\n"]
WORDS += [b"\x28\xb5\x2f\xfd\x20"]


def mutated(chance):
    data = bytearray(chance.choice(SEEDS))
    if chance.random() < 0.05:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(3000)))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data) + 1)
        what = chance.random()
        if what < 0.3:
            data[at:at] = chance.choice(WORDS)
        elif what < 0.5 and data:
            data[min(at, len(data) - 1)] = chance.randrange(256)
        elif what < 0.65:
            del data[at : at + chance.randrange(1, 40)]
        elif what < 0.8:
            data[at:at] = data[at : at + chance.randrange(1, 200)]
        elif what < 0.9:
            data[at:at] = bytes([chance.choice(b"\0\r\n \t:;,\"{}[]\\%/\x7f\x80\xff")]) * chance.randrange(1, 2000)
        else:
            data += chance.choice(SEEDS)
    return bytes(data)


def attack(gateway, chance, until, counts):
    while time.monotonic() < until and gateway.alive():
        try:
            with socket.create_connection((gateway.host, gateway.port), timeout=0.2) as sock:
                data = mutated(chance)
                step = chance.choice([len(data) + 1, len(data) + 1, 100, 7])
                for at in range(0, min(len(data), 400 * step), step):
                    sock.sendall(data[at : at + step])
                if chance.random() < 0.5:
                    sock.shutdown(socket.SHUT_WR)
                while chance.random() < 0.9 and sock.recv(65536):
                    pass
        except OSError:
            pass
        counts.append(1)


def test_a_storm_of_broken_requests_ends_nothing_and_nobody_else_feels_it(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=0,tokens=5")
    gateway = serve(simulator, {"limits": {"header_timeout": "1s"}, "upstream": {"max_concurrent": 8}})
    until = time.monotonic() + SECONDS
    counts = []
    crowd = [
        threading.Thread(target=attack, args=(gateway, random.Random(seed), until, counts)) for seed in range(6)
    ]
    for thread in crowd:
        thread.start()
    served = 0
    while time.monotonic() < until:
        answer = gateway.post(*call_of("chat"), {"X-Forwarded-For": "192.0.2.77"})
        assert answer.status == 200 and answer.lines()[-1]["done"], answer.raw
        served += 1
    for thread in crowd:
        thread.join()
    assert gateway.alive() and served > 20 and len(counts) > 300, (served, len(counts))
    for line in gateway.output().splitlines():
        assert line.startswith("{") and line.endswith("}"), f"a log line was forged: {line!r}"
    assert gateway.metrics()  # parsed strictly
