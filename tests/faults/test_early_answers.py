"""T-07, T-14: an answer before the body was read: one answer, the connection closed, and nothing of the body taken for
a request."""

import json

import pytest

from dialects import call_of
from harness import request_bytes

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(target, *fields, body=SMUGGLED, length=None, method="POST"):
    lines = "".join(f"{f}\r\n" for f in fields)
    size = len(body) if length is None else length
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {size}\r\n\r\n".encode() + body


EARLY = {
    "413": (413, post("/api/generate", length=70 << 20)),
    "413 for a page": (413, post("/gateway/queue", length=70 << 20)),
    "403 by management": (403, post("/api/pull")),
    "403 by Host": (403, post("/api/generate").replace(b"localhost", b"evil.example", 1)),
    "403 by Origin": (403, post("/api/generate", "Origin: https://evil.example")),
    "400 by Expect": (400, post("/api/generate", "Expect: a miracle")),
    "400 by two lengths": (400, post("/api/generate", "Content-Length: 5")),
    "405": (405, post("/api/generate", method="TRACE")),
    "431": (431, post("/api/generate", *(f"X-{n}: y" for n in range(150)))),
    "204 to a preflight": (204, post("/api/chat", "Origin: http://localhost:3000", "Access-Control-Request-Method: POST", method="OPTIONS")),
}  # fmt: skip


@pytest.mark.parametrize("name", EARLY)
@pytest.mark.parametrize("expects", [False, True])
def test_an_early_answer_is_one_and_the_body_is_nobody_s(serve, simulate, name, expects):
    status, data = EARLY[name]
    if expects and name != "400 by Expect":
        data = data.replace(b"\r\nContent-Length", b"\r\nExpect: 100-continue\r\nContent-Length", 1)
    simulator = simulate()
    gateway = serve(simulator, {"management": "deny"})
    with gateway.client(timeout=10) as client:
        client.expect(data.split(b" ")[0].decode())
        client.send(data)
        answer = client.finish()
        assert answer.status == status and answer.complete, answer.raw
        assert not answer.interim, "it was told to go on"
        assert answer.raw.count(b"HTTP/1.1 ") == 1 and not answer.rest and client.closed(), answer.raw
    assert not simulator.requests("/smuggled") and "smuggled" not in gateway.output()


def test_a_full_queue_is_told_before_the_client_s_next_request_is_read(serve, simulate):
    """The body was read here: the connection serves on, and what stands behind it is a request of its own."""
    simulator = simulate("llama3,load=0s,prompt=1h")
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}, "queue": {"max_waiting": 1}})
    gateway.serves = None
    holders = [gateway.client().request("POST", *call_of("generate")) for _ in range(2)]
    gateway.until_waiting(1)
    with gateway.client() as client:
        client.expect("POST")
        client.send(request_bytes("POST", *call_of("chat_completions")) + request_bytes("GET", "/gateway/queue"))
        assert client.finish().status == 429
        client.expect("GET")
        assert json.loads(client.finish().body)["waiting"] == 1
    for holder in holders:
        holder.leave("rst")
