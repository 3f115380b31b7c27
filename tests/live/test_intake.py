"""What comes in: malformed requests, limits, connections (SPEC §9, §12). What is refused is told once, the connection
closed, and nothing of it reaches Ollama."""

import json
import resource
import socket
import time

import pytest

from dialects import ONE_OF_EACH, call_of, error_of
from harness import PATIENCE, eventually, request_bytes

GOOD = b'{"model":"llama3","prompt":"x","stream":false}'


def post(body=GOOD, *fields, target="/api/generate", version="HTTP/1.1", host=b"Host: localhost\r\n", length=True):
    lines = b"".join(f.encode("latin-1") + b"\r\n" for f in fields)
    if length:
        lines += b"Content-Length: %d\r\n" % len(body)
    return f"POST {target} {version}\r\n".encode() + host + lines + b"\r\n" + body


def raw(gateway, data, method="POST"):
    """Sends bytes; the answer, and whether the connection was closed behind it."""
    with gateway.client(timeout=10) as client:
        client.expect(method)
        try:
            client.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = client.finish()
        return answer, answer.ended != "clean" or (answer.get("Connection") == "close" and client.closed())


# --- malformed ---

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
MALFORMED = {
    "no host": post(host=b""),
    "two hosts": post(host=b"Host: localhost\r\nHost: localhost\r\n"),
    "host with a space": post(host=b"Host: local host\r\n"),
    "host with a path": post(host=b"Host: localhost/x\r\n"),
    "bare LF": b"POST /api/generate HTTP/1.1\nHost: localhost\nContent-Length: 2\n\n{}",
    "bare CR in a value": post(GOOD, "X: a\rb"),
    "NUL in a value": post(GOOD, "X: a\0b"),
    "space before the colon": post(GOOD, "X : a"),
    "folded line": post(GOOD, "X: a", " b"),
    "no colon": post(GOOD, "X"),
    "empty name": post(GOOD, ": x"),
    "HTTP/2.0": post(version="HTTP/2.0"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "no version": b"GET / \r\nHost: localhost\r\n\r\n",
    "lower-case method": post().replace(b"POST", b"post"),
    "CONNECT": b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute form": post(target="http://localhost/api/generate"),
    "asterisk": b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "fragment": post(target="/api/generate#x"),
    "dot segments": post(target="/x/../api/generate"),
    "encoded slash": post(target="/api%2fgenerate"),
    "encoded letter": post(target="/api/%67enerate"),
    "bad escape": post(target="/api/%zz"),
    "length twice": post(GOOD, f"Content-Length: {len(GOOD)}"),
    "length with a sign": post(GOOD, f"Content-Length: +{len(GOOD)}", length=False),
    "length in hex": post(GOOD, "Content-Length: 0x10", length=False),
    "length overflow": post(GOOD, "Content-Length: 99999999999999999999999", length=False),
    "length and chunks": post(b"0\r\n\r\n" + SMUGGLED, "Transfer-Encoding: chunked"),
    "HTTP/1.0 with chunks": post(b"0\r\n\r\n", "Transfer-Encoding: chunked", version="HTTP/1.0", length=False),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\r\n\r\n" * 3,
    "binary": bytes(range(256)) + b"\r\n\r\n",
}
CODINGS = ["xchunked", "identity", '"chunked"', "", "\xa0chunked", "chunked, gzip", "chunked, chunked", "@chunked"]
CODINGS += ["gzip;q=1, chunked", "chunked;foo=bar", "chunked foo", "chunked, @", ",chunked", "gzip, chunked"]
for coding in CODINGS:
    text = b"5\r\nhello\r\n0\r\n\r\n" + SMUGGLED
    MALFORMED[f"coding {coding!r}"] = post(text, f"Transfer-Encoding: {coding}", length=False)


def test_what_is_malformed_is_refused_once_and_the_connection_closed(pair):
    gateway, simulator = pair
    simulator.reset()
    for name, data in MALFORMED.items():
        answer, closed = raw(gateway, data)
        assert answer.status in (400, 405, 431, 501), f"{name}: {answer.raw}"
        assert closed and answer.raw.count(b"HTTP/1.1 ") == 1, f"{name}: {answer.raw}"
        assert answer.status != 400 or answer.json()["code"] in ("bad_request", "bad_body"), name
    own = ("/api/ps", "/api/version", "/api/tags", "/sim/requests")
    assert not [r["target"] for r in simulator.requests() if r["target"] not in own]


BAD_CHUNKS = [b"x\r\n", b"5\r\nhelloXX", b"-1\r\n", b"0x5\r\nhello\r\n", b"5 \r\nhello\r\n", b"fffffffffffffffff\r\n"]
BAD_CHUNKS += [b"5\nhello\r\n", b"5;" + b"x" * 300 + b"\r\nhello\r\n", b"5;a=\"\x01\"\r\nhello\r\n"]


@pytest.mark.parametrize("target", ["/api/generate", "/api/create"])
def test_broken_chunks_are_refused(pair, target):
    gateway, simulator = pair
    for chunk in BAD_CHUNKS:
        answer, closed = raw(gateway, post(chunk, "Transfer-Encoding: chunked", target=target, length=False))
        assert answer.status == 400 and closed, (chunk, answer.raw)
        assert answer.json()["code"] == "bad_request"


def test_requests_in_single_bytes_are_understood(pair):
    gateway, simulator = pair
    whole_body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    for data in (post(), post(whole_body, "Transfer-Encoding: chunked", length=False)):
        with gateway.client() as client:
            client.expect("POST")
            for n in range(len(data)):
                client.send(data[n : n + 1])
            assert client.finish().status == 200
    assert all(dict(r["headers"]).get("Content-Length") == str(len(GOOD)) for r in simulator.requests("/api/generate"))
    assert all(r["body"] == GOOD.decode() for r in simulator.requests("/api/generate"))


# --- limits ---


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_413(serve, simulate, kind, declared):
    simulator = simulate()
    gateway = serve(simulator, {"limits": {"body": "64KiB"}})
    target, body = call_of(kind, prompt="x" * 70000)
    text = json.dumps(body).encode()
    if declared:
        data = post(text[:100], f"Content-Length: {len(text)}", target=target, length=False)
    else:
        data = post(b"%x\r\n%s\r\n" % (len(text), text), "Transfer-Encoding: chunked", target=target, length=False)
    answer, closed = raw(gateway, data)
    assert answer.status == 413 and closed
    error = error_of(kind, answer.json())
    assert error["code"] == "too_large" and "limits.body" in error["message"]
    assert not simulator.requests(target)
    exact, body = call_of("generate", prompt="", stream=False)
    text = json.dumps({**body, "prompt": "x"})
    assert gateway.post(exact, (text + " " * (65536 - len(text))).encode()).status == 200


def test_a_head_over_the_limits_is_431(pair):
    gateway, _ = pair
    heads = {
        "one long field": post(GOOD, "X: " + "x" * 40000),
        "many bytes": post(GOOD, *(f"X-{n}: {'y' * 1000}" for n in range(40))),
        "many fields": post(GOOD, *(f"X-{n}: y" for n in range(150))),
        "a long target": post(target="/" + "x" * 40000),
    }
    for name, data in heads.items():
        answer, closed = raw(gateway, data)
        assert answer.status in (431, 414) and closed, f"{name}: {answer.raw}"
    assert raw(gateway, post(GOOD, "X: " + "x" * 20000))[0].status == 200


def test_a_head_that_drips_is_bounded_in_bytes(pair):
    """Segments that end one byte into the next name got 3.4 MB past Beast's limit of 8 KB (reliability.md §0.3)."""
    gateway, _ = pair
    before = gateway.resident()
    with gateway.client() as client:
        client.expect("POST")
        client.send(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nA")
        sent = 0
        try:
            for n in range(20000):
                client.send(b"%d: %s\r\nA" % (n, b"x" * 400))
                sent += 400
        except (BrokenPipeError, ConnectionResetError):
            pass
        client.finish()
        assert client.answer.status in (431, None)
    assert gateway.resident() - before < 4 << 20


def test_a_slow_head_a_slow_body_and_silence_are_ended_and_others_not_held_up(serve, simulate):
    simulator = simulate()
    limits = {"header_timeout": "1s", "body_rate": "8KiB", "client_keepalive": "2s"}
    gateway = serve(simulator, {"limits": limits})
    data = post(json.dumps({"model": "llama3", "prompt": "x" * 100000}).encode())
    head_end = data.index(b"\r\n\r\n") + 4
    began = time.monotonic()
    slow = {}
    for name, start in {"silent": b"", "head": data[:30], "body": data[: head_end + 10]}.items():
        slow[name] = gateway.client()
        slow[name].expect("POST")
        slow[name].send(start)
    for name, client in slow.items():
        rest = data[30:] if name == "head" else data[head_end + 10 :]
        client.socket.settimeout(0.1)
        while client.answer.ended is None and time.monotonic() - began < 8 * PATIENCE:
            if name != "silent" and client.answer.status is None:
                try:
                    client.send(rest[:1])
                    rest = rest[1:]
                except OSError:
                    pass
            try:
                client._read()
            except TimeoutError:
                pass
        took = time.monotonic() - began
        assert client.answer.ended and took < 3 * PATIENCE, (name, took)
        if name != "silent":
            assert client.answer.status == 400 and "slowly" in client.answer.json()["error"], client.answer.raw
        client.socket.close()
        assert gateway.post(*call_of("generate")).complete
    assert not [r for r in simulator.requests("/api/generate") if r["body_size"] > 50000]


def test_a_body_as_slow_as_is_allowed_is_taken(serve, simulate):
    simulator = simulate()
    gateway = serve(simulator, {"limits": {"header_timeout": "500ms", "body_rate": "10KiB"}})
    data = post(json.dumps({"model": "llama3", "prompt": "x" * 30000, "stream": False}).encode())
    with gateway.client() as client:
        client.expect("POST")
        for n in range(0, len(data), 1500):  # some 30 KB/s: over a second in all
            client.send(data[n : n + 1500])
            time.sleep(0.05)
        assert client.finish().status == 200


def test_an_idle_connection_is_closed_after_its_time_and_not_before(serve, simulate):
    gateway = serve(simulate(), {"limits": {"client_keepalive": "1s"}})
    with gateway.client() as client:
        assert client.request("GET", "/api/version").finish().status == 200
        began = time.monotonic()
        assert client.closed(within=5)
        assert 0.9 <= time.monotonic() - began <= 2 * PATIENCE


def test_too_many_connections_are_told_503(serve, simulate):
    gateway = serve(simulate(), {"limits": {"connections": 16}})
    held = [gateway.client() for _ in range(16)]
    for client in held:
        assert client.request("GET", "/api/version").finish().status == 200
    answer = gateway.get("/api/version")
    assert answer.status == 503 and answer.json()["code"] == "overloaded" and answer.get("Retry-After")
    line = eventually(lambda: [c for c in gateway.log("call") if c["status"] == 503])
    assert line[0]["total_ms"] < 5000, line
    assert held[0].request("GET", "/api/version").finish().status == 200
    assert gateway.admin("/healthz").status == 200
    held.pop().leave()
    assert eventually(lambda: gateway.get("/api/version").status == 200)
    for client in held:
        client.leave()


def test_out_of_descriptors_it_stops_accepting_not_working(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=20")
    gateway = serve(simulator)
    here = [gateway.client() for _ in range(3)]
    for client in here:
        client.request("GET", "/gateway/queue").finish()
    soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (gateway.base + 100, hard))
    crowd = []
    for _ in range(300):
        sock = socket.socket()
        sock.connect((gateway.host, gateway.port))
        crowd.append(sock)
    assert eventually(lambda: gateway.log("not accepting connections for a moment"))
    before, began = gateway.cpu_seconds(), time.monotonic()
    # Who is connected is served, each with a connection upstream.
    for client in here:
        client.request("POST", *call_of("generate"))
    for client in here:
        answer = client.finish()
        assert answer.status == 200 and answer.lines()[-1]["done"], answer.raw
    spent, passed = gateway.cpu_seconds() - before, time.monotonic() - began
    assert spent < 0.2 * passed + 0.05, f"{spent} s of {passed} s"
    for sock in crowd:
        sock.close()
    assert eventually(lambda: gateway.get("/api/version").status == 200, within=3)
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (soft, hard))
    for client in here:
        client.socket.close()
    assert not gateway.log("upstream down")


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "get"])
def test_a_method_that_is_none_is_told_which_are(pair, method):
    gateway, _ = pair
    answer, closed = raw(gateway, f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), method)
    assert answer.status == 405 and closed
    assert answer.get("Allow") == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


# --- connections ---


def test_connections_are_kept_as_http_says(pair):
    gateway, _ = pair
    with gateway.client() as client:
        for _ in range(3):
            assert client.request("GET", "/api/version").finish().get("Connection") is None
        last = client.request("GET", "/api/version", headers={"Connection": "close"}).finish()
        assert last.get("Connection") == "close" and client.closed()
    with gateway.client() as client:
        old = client.request("GET", "/api/version", version="1.0").finish()
        assert old.version == "HTTP/1.0" and old.status == 200 and client.closed()
    with gateway.client() as client:
        for _ in range(2):
            kept = client.request("GET", "/api/version", headers={"Connection": "keep-alive"}, version="1.0").finish()
            assert kept.get("Connection") == "keep-alive" and kept.framing == "length"


def test_a_client_that_has_asked_for_several_things_and_half_closes_is_answered_all_of_them(pair):
    gateway, _ = pair
    paths = (b"/api/tags", b"/gateway/queue", b"/api/version")
    asked = b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths)
    with socket.create_connection((gateway.host, gateway.port), timeout=10) as client:
        client.sendall(asked + asked)
        client.shutdown(socket.SHUT_WR)
        text = b""
        while piece := client.recv(65536):
            text += piece
    assert text.count(b"HTTP/1.1 200 OK\r\n") == 6, text
    assert text.count(b'"models"') >= 2 and text.rstrip().endswith(b"}"), text


def test_who_half_closes_behind_more_than_is_read_ahead_is_answered_all_of_it(pair):
    gateway, _ = pair
    page = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    show = request_bytes("POST", "/api/show", json.dumps({"model": "llama3", "system": "x" * (100 << 10)}).encode())
    for asked, many in ((page * 3000, 3000), (page + show * 5 + page, 7)):
        with socket.create_connection((gateway.host, gateway.port), timeout=20) as client:
            client.sendall(asked)
            client.shutdown(socket.SHUT_WR)
            text = b""
            while piece := client.recv(65536):
                text += piece
        assert text.count(b"HTTP/1.1 200 OK\r\n") == many


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_sends_on_and_on_behind_its_call_has_all_of_its_answer_when_it_reads_late(serve, simulate, stream):
    simulator = simulate("llama3,load=0s,prompt=100ms,rate=500,tokens=300")
    gateway = serve(simulator)
    page = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with gateway.client(receive_buffer=4096) as client:
        client.request("POST", *call_of("generate", stream=stream, prompt="x" * 20000))
        gateway.until_running(1)
        client.send(page * (3_000_000 // len(page)))
        assert eventually(lambda: gateway.status()["recent"])
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            client.send(page)
            time.sleep(0.05)
        answer = client.finish()
        assert answer.complete and len(answer.body) > 8192
    assert eventually(lambda: not gateway.status()["calls"])


def test_nothing_behind_connection_close_is_read(pair):
    gateway, simulator = pair
    with gateway.client() as client:
        client.expect("GET")
        client.send(request_bytes("GET", "/api/version", headers={"Connection": "close"}) + SMUGGLED)
        answer = client.finish()
        assert answer.status == 200 and client.closed()
    assert not simulator.requests("/smuggled")


def test_an_early_refusal_leaves_the_body_unread(serve, simulate):
    simulator = simulate()
    gateway = serve(simulator, {"management": "deny"})
    for data in (post(SMUGGLED, target="/api/pull"), post(SMUGGLED, "Origin: https://evil.example")):
        answer, closed = raw(gateway, data)
        assert answer.status == 403 and closed and answer.raw.count(b"HTTP/1.1 ") == 1
    assert not simulator.requests("/smuggled")
