"""What comes in: limits, malformed requests, Host and Origin rules, loops, ambiguous bodies (SPEC §4, §9, §12). What is
refused is told once, the connection closed, and nothing of it reaches Ollama."""

import json
import resource
import socket
import subprocess
import time

import pytest

from dialects import ONE_OF_EACH, call_of, error_of
from harness import PATIENCE, eventually, request_bytes
from scripted import KEEP, Scripted, whole

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
        assert answer.status in (400, None) and closed, (chunk, answer.raw)
        assert answer.status == 400 or target == "/api/create"


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


# --- Host, Origin, loops ---


@pytest.mark.parametrize(
    "host, status",
    [
        ("localhost", 200), ("LOCALHOST:11435", 200), ("127.0.0.1", 200), ("127.8.9.1:80", 200), ("[::1]:11434", 200),
        ("x.localhost", 200), ("nas.local", 200), ("ollama.lab.example", 200), ("ollama.lab.example:443", 200),
        ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("ollama.lab.example.evil.example", 403),
        ("192.0.2.7", 403),
    ],
)  # fmt: skip
def test_the_host_must_be_ours(serve, simulate, host, status):
    """DNS rebinding: a page of evil.example must not reach a gateway on loopback (SPEC §12)."""
    gateway = serve(simulate(), {"hosts": ["ollama.lab.example"]})
    for headers in ({"Host": host}, {"Host": host, "X-Forwarded-For": "192.0.2.1", "Cf-Ray": "1"}):
        answer = gateway.get("/api/version", headers)
        assert answer.status == status
        if status == 403:
            assert answer.json()["code"] == "forbidden" and "hosts" in answer.json()["error"]


@pytest.mark.parametrize(
    "origin, allowed",
    [
        ("http://localhost:3000", True), ("https://127.0.0.1", True), ("http://0.0.0.0:80", True), ("app://x", True),
        ("tauri://localhost", True), ("vscode-webview://abc", True), ("https://chat.lab.example", True),
        ("https://evil.example", False), ("https://localhost.evil.example", False), ("null", False),
        ("https://chat.lab.example.evil.example", False),
    ],
)  # fmt: skip
def test_the_origin_must_be_allowed(serve, simulate, origin, allowed):
    simulator = simulate()
    gateway = serve(simulator, {"origins": ["https://chat.lab.example"]})
    answer = gateway.post(*call_of("generate", stream=False), {"Origin": origin})
    assert answer.status == (200 if allowed else 403)
    assert answer.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert "Origin" in answer.get("Vary")
    if allowed:
        exposed = answer.get("Access-Control-Expose-Headers")
        assert all(name in exposed for name in ("X-Request-Id", "X-Gateway-Attempts", "X-Gateway-Model", "Retry-After"))
        assert all(name.lower() != "origin" for name, _ in simulator.requests("/api/generate")[0]["headers"])
    else:
        assert "origins" in answer.json()["error"]
    before = len(simulator.requests())
    preflight = gateway.call(
        "OPTIONS", "/api/chat", None, {"Origin": origin, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status == (204 if allowed else 403)
    if allowed:
        assert preflight.get("Access-Control-Allow-Origin") == origin and not preflight.body
        assert "POST" in preflight.get("Access-Control-Allow-Methods")
        wanted = ("Authorization", "X-Queue-Events", "X-Request-Id", "X-Gateway-Priority", "x-api-key")
        assert all(name.lower() in preflight.get("Access-Control-Allow-Headers").lower() for name in wanted)
    assert len([r for r in simulator.requests()[before:] if r["target"] == "/api/chat"]) == 0


def test_errors_carry_the_cors_headers_too(serve):
    gateway = serve("http://127.0.0.1:1", {"queue": {"hold_upstream": "0s"}}, warm=False)
    for call in (call_of("generate"), ("/api/generate", b"{")):
        answer = gateway.post(*call, {"Origin": "http://localhost:3000"})
        assert answer.status in (503, 400)
        assert answer.get("Access-Control-Allow-Origin") == "http://localhost:3000"


def test_a_request_that_comes_back_is_508(serve):
    with Scripted((whole({}), KEEP)) as upstream:
        gateway = serve(upstream.url)
        gateway.serves = None
        gateway.get("/api/anything")
        via = [line for line in upstream.calls[0][1].split(b"\r\n") if line.lower().startswith(b"via:")]
        assert len(via) == 1
        value = via[0].split(b":", 1)[1].strip().decode()
        for headers in ({"Via": value}, {"Via": f"1.1 other, {value}, 1.0 last"}):
            answer = gateway.get("/api/anything", headers)
            assert answer.status == 508 and answer.json()["code"] == "loop"
        assert gateway.get("/api/anything", {"Via": "1.1 another-proxy"}).status == 200
        assert len(upstream.calls) == 2


# --- bodies ---

NATIVE = [
    b'{"model":"llama3","prompt":"x","\\u212aeep_alive":0}',
    '{"model":"llama3","prompt":"x","\u212aeep_alive":0}'.encode(),
    b'{"model":"llama3","prompt":"x","options":{"num_ctx":1,"Num_Ctx":2}}',
    b'{"model":"llama3","prompt":"x","options":{},"Options":{"num_ctx":2}}',
]
AMBIGUOUS = [
    b'{"model":"llama3","Model":"other","prompt":"x"}',
    b'{"Model":"llama3","prompt":"x"}',
    b'{"model":"llama3","model":"other","prompt":"x"}',
    '{"model":"llama3","prompt":"x","\u017ftream":false}'.encode(),
    b'{"model":"llama3","prompt":"x","STREAM":false}',
    b'{"model":"llama3","prompt":"x"} {"model":"other"}',
    b'{"model":"llama3","prompt":"x"}x',
    b'{"model":"llama3","prompt":',
    b"[" * 100000,
    b'{"model":"llama3","prompt":"x","messages":' + b"[" * 100000 + b"]" * 100000 + b"}",
    b'{"model":"llama3","prompt":"\xff"',
    b"nonsense",
]


def test_an_ambiguous_body_is_400_and_not_passed_on(pair):
    gateway, simulator = pair
    for body in NATIVE + AMBIGUOUS:  # /v1 knows neither keep_alive nor options
        for target in ("/api/generate", "/v1/completions") if body in AMBIGUOUS else ("/api/generate",):
            answer = gateway.post(target, body)
            assert answer.status == 400, (body[:80], answer.raw)
            kind = "generate" if target == "/api/generate" else "completions"
            assert error_of(kind, answer.json())["code"] == "bad_body", body[:80]
        assert not simulator.requests("/api/generate") and not simulator.requests("/v1/completions"), body[:80]


def test_white_space_behind_the_value_is_cut(pair):
    gateway, simulator = pair
    assert gateway.post("/api/generate", GOOD + b" \r\n\t\n").status == 200
    (request,) = simulator.requests("/api/generate")
    assert request["body"].encode() == GOOD and dict(request["headers"])["Content-Length"] == str(len(GOOD))


def zstd_raw(data):
    """A zstd frame by hand: magic, single segment with a 4-byte size, one raw block."""
    assert len(data) < 1 << 17
    header = b"\x28\xb5\x2f\xfd\xa0" + len(data).to_bytes(4, "little")
    return header + (1 | len(data) << 3).to_bytes(3, "little") + data


def test_zstd_bodies_are_understood_on_v1(pair):
    gateway, simulator = pair
    packed = {"Content-Encoding": "zstd", "Content-Type": "application/json"}
    target, body = call_of("chat_completions", stream=False)
    text = json.dumps(body).encode()
    answer = gateway.post(target, zstd_raw(text), packed)
    assert answer.status == 200 and answer.json()["choices"], answer.raw
    assert gateway.status()["recent"][0]["model"] == "llama3:latest"  # it was read, not only passed on
    answer = gateway.post(target, zstd_raw(json.dumps({**body, "Model": "x"}).encode()), packed)
    assert answer.status == 400 and answer.json()["error"]["code"] == "bad_body"
    answer = gateway.post(target, zstd_raw(text)[:-3], packed)
    assert answer.status == 400
    assert gateway.post(target, b"\x28\xb5\x2f\xfd" + bytes(range(200)), packed).status == 400


def test_a_zstd_body_that_unpacks_to_too_much_is_413(pair):
    gateway, _ = pair
    block = lambda last: (last | 1 << 1 | (128 << 10) << 3).to_bytes(3, "little") + b" "  # 128 KiB of spaces
    bomb = b"\x28\xb5\x2f\xfd\x00\x38" + block(0) * 4000 + block(1)
    answer = gateway.post("/v1/chat/completions", bomb, {"Content-Encoding": "zstd"})
    assert answer.status == 413 and answer.json()["error"]["code"] == "too_large", answer.raw


def test_zstd_as_the_command_makes_it(pair):
    gateway, _ = pair
    target, body = call_of("messages", stream=False, prompt="x" * 5000)
    try:
        packed = subprocess.run(["zstd", "-c"], input=json.dumps(body).encode(), capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("zstd is not here")
    answer = gateway.post(target, packed.stdout, {"Content-Encoding": "zstd"})
    assert answer.status == 200 and answer.json()["content"], answer.raw


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


def test_the_head_that_goes_upstream_is_our_own(pair):
    gateway, simulator = pair
    headers = {
        "Connection": "X-Mine, keep-alive", "X-Mine": "1", "Keep-Alive": "timeout=5", "TE": "trailers",
        "Proxy-Authorization": "Basic x", "Upgrade": "h2c", "Cookie": "a=b", "Authorization": "Bearer secret",
        "X-Api-Key": "secret", "X-Forwarded-For": "192.0.2.1", "Cf-Connecting-Ip": "192.0.2.1", "X-Custom": "kept",
        "X-Gateway-Heartbeat": "off",
    }  # fmt: skip
    assert gateway.post(*call_of("generate", stream=False), headers).status == 200
    (request,) = simulator.requests("/api/generate")
    names = [name.lower() for name, _ in request["headers"]]
    gone = set(name.lower() for name in headers) - {"x-custom"}
    assert not gone & set(names), gone & set(names)
    assert "x-custom" in names and names.count("host") == names.count("content-length") == 1
    assert dict(request["headers"])["Host"] == f"127.0.0.1:{simulator.port}"
