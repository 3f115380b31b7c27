"""The ollama command cannot send a key; with OLLAMA_AUTH=1 it signs its requests (SPEC §12). Signed here by the
openssl command; what Ollama's own client signed is in tests/downstream/key_ring_test.cpp."""

import time

import pytest

from access import Key, Signer
from dialects import call_of
from harness import eventually

MODEL = "llama3,load=0s,prompt=0s,rate=0,tokens=3"


@pytest.fixture
def signed(serve, simulate, tmp_path):
    """(gateway, simulator, signer): a gateway that knows the signer as ada, and no other."""
    signer = Signer(tmp_path, "ada", "inference,management")
    key = Key("ops")
    simulator = simulate(MODEL)
    return serve(simulator, keys=[signer.line, key.line], key=key.text), simulator, signer


def ask(gateway, signer, method, path, body=None, **more):
    target, headers = signer.sign(method, path, **more)
    with gateway.client() as client:
        return client.request(method, target, body, headers).finish()


def test_what_the_ollama_command_does_goes_through_signed(signed):
    gateway, simulator, signer = signed
    assert ask(gateway, signer, "HEAD", "/").status == 200
    assert ask(gateway, signer, "GET", "/api/tags").json()["models"]
    assert ask(gateway, signer, "POST", "/api/show", {"model": "llama3"}).status == 200
    path, body = call_of("chat")
    answer = ask(gateway, signer, "POST", path, body)
    assert answer.status == 200 and answer.lines()[-1]["done"]
    assert eventually(lambda: {"ada"} <= {line["client"] for line in gateway.log("call")})
    blob = "/api/blobs/sha256:" + "0" * 64
    assert ask(gateway, signer, "POST", blob, b"not it").status == 400  # Ollama's own answer
    for request in simulator.requests():
        assert all(name.lower() != "authorization" for name, _ in request["headers"])
        assert signer.public not in str(request)


def test_what_was_signed_for_something_else_or_at_another_time_does_not(signed, tmp_path):
    gateway, _, signer = signed
    now = int(time.time())

    def status(method, target, headers):
        with gateway.client() as client:
            answer = client.request(method, target, None, headers).finish()
            return answer.status

    target, headers = signer.sign("GET", "/api/tags")
    assert status("GET", target, headers) == 200
    assert status("HEAD", target, headers) == 401
    assert status("GET", target.replace("tags", "ps"), headers) == 401
    assert status("GET", target + "&queue_events=1", headers) == 401
    assert status("GET", "/api/tags", headers) == 401
    assert status("GET", target, {"Authorization": headers["Authorization"].replace(":", ":AAAA")}) == 401
    assert status("GET", target, {"Authorization": "Bearer " + headers["Authorization"]}) == 401
    for at, expected in {now - 240: 200, now + 240: 200, now - 400: 401, now + 400: 401, 0: 401}.items():
        assert status("GET", *signer.sign("GET", "/api/tags", at)) == expected, at - now
    stranger = Signer(tmp_path, "stranger")
    assert status("GET", *stranger.sign("GET", "/api/tags")) == 401


def test_why_a_signature_is_refused_is_told(signed):
    gateway, _, signer = signed
    answer = ask(gateway, signer, "GET", "/api/tags", at=int(time.time()) - 4000)
    assert answer.status == 401 and "clock" in answer.json()["error"]
    assert answer.get("WWW-Authenticate").startswith("Bearer ")


def test_a_signing_key_has_scopes_too(serve, simulate, tmp_path):
    signer, key = Signer(tmp_path, "ada"), Key("ops")
    gateway = serve(simulate(MODEL), keys=[signer.line, key.line], key=key.text)
    answer = ask(gateway, signer, "POST", "/api/pull", {"model": "x"})
    assert answer.status == 403 and "management" in answer.json()["error"]
