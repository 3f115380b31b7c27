"""What can be asked of it while it runs: to drain, to end one call, to read a bad file (SPEC §3, §11)."""

import signal

import pytest

from dialects import call_of, error_in, error_of
from harness import Client, eventually

STREAMING = "llama3,load=0s,prompt=0s,rate=50,tokens=100000"


@pytest.mark.parametrize("bad", ["", "{", '{"lisen": 1}', None])
def test_a_file_that_cannot_be_taken_leaves_everything_as_it_is(serve, simulate, bad):
    """Half written, mistaken, or gone (None)."""
    gateway = serve(simulate("llama3,load=0s,prompt=0s,rate=0,tokens=3"), {"management": "deny"})
    gateway.expected.append("configuration")
    if bad is None:
        gateway.config_file.unlink()
    else:
        gateway.config_file.write_text(bad)
    gateway.signal(signal.SIGHUP)
    assert eventually(lambda: gateway.metrics().value("config_reloads_total") == 1)
    answer = gateway.admin("/reload", "POST")
    assert answer.status == 400 and answer.json()["notes"]
    assert gateway.post("/api/pull", {"model": "x"}).status == 403
    assert gateway.post(*call_of("generate")).complete


def test_drain_by_post(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=30")
    gateway = serve(simulator)
    running = gateway.client().request("POST", *call_of("chat"))
    running.piece()
    gateway.stays = False
    assert gateway.admin("/drain", "POST").status == 202
    answer = running.finish()
    assert answer.complete and answer.lines()[-1]["done"]
    running.socket.close()
    assert gateway.wait(3) == 0


def test_one_call_can_be_ended(serve, simulate):
    simulator = simulate(STREAMING)
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}, "queue": {"grace": "20s"}})
    gateway.serves = None
    running = gateway.client().request("POST", *call_of("chat"))
    running.piece()
    waiting = gateway.client().request("POST", *call_of("chat_completions"))
    gateway.until_waiting(1)
    ids = {call["phase"]: call["id"] for call in gateway.status()["calls"]}
    assert gateway.admin(f"/calls/{ids['waiting']}/cancel", "POST").status == 200
    answer = waiting.finish()
    assert answer.status == 503 and error_of("chat_completions", answer.json())["code"] == "cancelled"
    assert gateway.admin(f"/calls/{ids['streaming']}/cancel", "POST").status == 200
    assert error_in("chat", running.finish())["code"] == "cancelled"
    assert eventually(lambda: simulator.stats()["aborts"]["count"] == 1)
    assert gateway.admin(f"/calls/{ids['streaming']}/cancel", "POST").status == 404
    assert [call["outcome"] for call in gateway.status()["recent"][:2]] == ["cancelled", "cancelled"]
    for client in (running, waiting):
        client.socket.close()


STRANGERS = [{"X-Forwarded-For": "192.0.2.1"}, {"Cf-Ray": "1"}, {"Origin": "https://evil.example"}]


@pytest.mark.parametrize("headers", STRANGERS)
def test_only_who_is_here_may_change_anything(pair, headers):
    gateway, _ = pair
    for target in ("/reload", "/drain", "/calls/0123456789abcdef0123456789abcdef/cancel"):
        with Client(gateway.host, gateway.admin_port) as client:
            answer = client.request("POST", target, b"", headers).finish()
            assert answer.status == 403 and answer.json()["code"] == "forbidden"
        assert gateway.admin(target, "GET").status == 405
    assert gateway.status()["draining"] is False
