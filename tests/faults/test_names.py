"""T-64: names that do not resolve, or whose lookup hangs. getaddrinfo cannot be interrupted; nothing may wait for it."""

import time
from pathlib import Path

import pytest

from dialects import call_of
from harness import PATIENCE, eventually

PLAIN = "llama3,load=0s,prompt=0s,rate=0,tokens=5"


@pytest.fixture
def named(serve, simulate, shim):
    """named(word, config) → a gateway whose upstream has a name, and what becomes of its lookup."""

    def start(word, config=None):
        simulator = simulate(PLAIN)
        shim.names(word)
        url = f"http://upstream.internal:{simulator.port}"
        gateway = serve(url, config, environment=shim.environment, warm=False)
        gateway.serves = None
        return gateway, simulator

    return start


def threads(gateway):
    return len(list(Path(f"/proc/{gateway.pid}/task").iterdir()))


def test_a_name_is_looked_up_and_the_upstream_found(named):
    gateway, _ = named("ok")
    answer = gateway.post(*call_of("generate"))
    assert answer.status == 200 and answer.lines()[-1]["done"]


def test_a_lookup_that_hangs_holds_nobody_up(named, shim):
    gateway, _ = named("hang", {"timeouts": {"connect": "1s"}, "queue": {"hold_upstream": "1s"}})
    began = time.monotonic()
    for _ in range(20):
        assert gateway.queue()["running"] == 0
        assert gateway.admin("/healthz").status == 200
    assert time.monotonic() - began < 1 * PATIENCE
    assert gateway.admin("/readyz").status == 503
    began = time.monotonic()
    answer = gateway.get("/api/tags")
    assert answer.status == 503 and time.monotonic() - began < 3 * PATIENCE, answer.raw
    answer = gateway.post(*call_of("generate"))
    assert answer.status == 503 and answer.json()["code"] == "no_upstream", answer.raw
    shim.names("ok")
    assert eventually(lambda: gateway.get("/api/tags").status == 200, within=10)
    assert gateway.post(*call_of("generate", stream=False)).json()["done"]


def test_fifty_calls_while_a_lookup_hangs_share_it(named, shim):
    """Each call had a thread of its own in getaddrinfo, for as long as the name server hung."""
    gateway, _ = named("hang", {"timeouts": {"connect": "30s"}})
    before = threads(gateway)
    clients = [gateway.client().request("GET", f"/api/tags?n={n}") for n in range(50)]
    assert eventually(lambda: len(gateway.status()["calls"]) == 50)
    assert threads(gateway) <= before + 2
    shim.names("ok")
    for client in clients:
        assert client.finish().status in (200, 503), client.answer.raw  # 503: while it was not known to be up
        client.socket.close()


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_client_that_leaves_while_a_name_is_looked_up_is_gone_at_once(named, how):
    gateway, _ = named("hang", {"timeouts": {"connect": "60s"}})
    clients = [gateway.client().request("POST", "/api/pull", {"model": "llama3"}) for _ in range(5)]
    assert eventually(lambda: len(gateway.status()["calls"]) == 5)
    for client in clients:
        client.leave("rst" if how == "rst" else "fin")
    # What needs no permit is still answered behind a FIN, but not for ever.
    within = {"rst": 1, "fin": 12}[how]
    assert eventually(lambda: not gateway.status()["calls"], within), gateway.status()["calls"]


@pytest.mark.parametrize("signals", [1, 2])
def test_a_lookup_that_hangs_does_not_keep_a_stopping_gateway(named, signals):
    gateway, _ = named("hang", {"timeouts": {"connect": "60s"}, "drain": "500ms"})
    clients = [gateway.client().request("GET", "/api/tags") for _ in range(3)]
    assert eventually(lambda: len(gateway.status()["calls"]) == 3)
    gateway.stays = False
    began = time.monotonic()
    gateway.signal(15)
    if signals == 2:
        assert eventually(lambda: gateway.log("draining"))
        gateway.signal(15)
    assert gateway.wait(6) == signals - 1
    assert time.monotonic() - began < 5 * PATIENCE
    for client in clients:
        assert not client.finish().complete or client.answer.status == 503
        client.socket.close()


def test_a_name_that_does_not_resolve_is_told_and_tried_again(named, shim):
    gateway, _ = named("fail", {"queue": {"hold_upstream": "0s"}})
    answer = gateway.post(*call_of("generate"))
    assert answer.status == 503 and "does not resolve" in answer.json()["error"], answer.raw
    shim.names("ok")
    assert eventually(lambda: gateway.post(*call_of("generate")).status == 200, within=10)
