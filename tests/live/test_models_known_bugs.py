"""Ollama's own open bugs, all at once (wedging.py). Directly a thousand calls wedge it; through the gateway every call
whose client stays completes."""

# ctest: timeout 600

import time

from harness import PATIENCE
from residents import loads, quickly, simulate, unloads  # noqa: F401
from wedging import FLAGS, MODELS, thousand


def staying(callers):
    return [caller for caller in callers if caller.stays is None]


def test_directly_it_wedges(simulate):
    """The proof that the next test proves something."""
    simulator = simulate(*MODELS, flags=FLAGS)
    callers = staying(thousand((simulator.host, simulator.port), 10, 15))
    assert [caller for caller in callers if caller.result == "never served"]
    assert simulator.stats()["leaked_handlers"] > 0


def test_through_the_gateway_every_remaining_call_completes(serve, simulate):
    simulator = simulate(*MODELS, flags=FLAGS)
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 2}, "queue": {"max_waiting": 2000}}))
    gateway.serves = None
    began = time.monotonic()
    callers = staying(thousand((gateway.host, gateway.port), 10, 120 * PATIENCE))
    others = [caller.result for caller in callers if caller.result != "served"]
    assert not others, (len(others), others[:5])
    stats = simulator.stats()
    print(f"{len(callers)} served in {time.monotonic() - began:.1f} s, {len(loads(simulator))} loads")
    assert stats["leaked_handlers"] == 0 and stats["pending"] == 0
    for load in loads(simulator, result=None):
        assert load["result"] == "ok" and load["beside"] == [], load
    assert not [one for one in unloads(simulator, "evicted")[2:]], "but for the first meeting the gateway makes room"
