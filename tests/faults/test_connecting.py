"""T-50, T-51: an upstream that does not let anybody connect, and one that refuses."""

import time

import pytest

from deaf import Deaf
from dialects import call_of, error_of
from harness import PATIENCE, eventually, free_port

PATIENT = {"reconcile": {"interval": "1h", "timeout": "2s"}, "queue": {"hold_upstream": "0s"}}


@pytest.fixture
def deaf():
    upstream = Deaf()
    yield upstream
    upstream.stop()


def test_connect_is_bounded_by_its_own_limit(deaf, serve):
    gateway = serve(deaf.url, {**PATIENT, "timeouts": {"connect": "1s"}})
    gateway.serves = None
    deaf.fill()
    for _ in range(3):
        began = time.monotonic()
        answer = gateway.get("/api/anything")
        took = time.monotonic() - began
        assert answer.status == 503 and answer.json()["code"] == "no_upstream", answer.raw
        assert "1000 ms" in answer.json()["error"]
        assert 0.9 <= took <= 1.1 + 0.4 * PATIENCE, took
    assert not deaf.heard
    deaf.open()
    assert eventually(lambda: gateway.get("/api/anything").status == 200, within=10)


def test_a_call_that_cannot_connect_is_told_why_in_every_dialect(deaf, serve):
    for kind in ("generate", "chat_completions", "messages"):
        gateway = serve(deaf.url, {**PATIENT, "timeouts": {"connect": "500ms"}})
        gateway.serves = None
        assert eventually(lambda: gateway.status()["upstreams"][0]["up"])
        deaf.fill()
        answer = gateway.post(*call_of(kind))
        error = error_of(kind, answer.json())
        assert answer.status == 503 and error["code"] == "no_upstream", answer.raw
        assert error["attempts"][0]["outcome"] in ("connect_failed", "not_tried"), error
        assert int(answer.get("Retry-After")) > 0
        deaf.open()


def test_a_refusal_is_told_at_once(serve):
    gateway = serve(f"http://127.0.0.1:{free_port()}", {"queue": {"hold_upstream": "0s"}}, warm=False)
    gateway.serves = None
    took = []
    for _ in range(10):
        began = time.monotonic()
        answer = gateway.get("/api/anything")
        took.append(time.monotonic() - began)
        assert answer.status == 503 and "refused" in answer.json()["error"], answer.raw
    assert sorted(took)[5] < 0.1 * PATIENCE, took
