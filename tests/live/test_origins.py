"""Whose requests are not served: a Host or an Origin that is not ours, a request that has come back (SPEC §4, §12); and
the head that goes upstream, which is our own."""

import pytest

from dialects import call_of
from scripted import KEEP, whole


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


def test_a_request_that_comes_back_is_508(scripted, serve):
    upstream = scripted((whole({}), KEEP))
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
