"""SPEC §5 "Ollama's own limit is learned": a stock Ollama runs one call of a model at a time and queues the rest
unseen. That must not look like a hang, and is told with the setting that would raise it."""

import pytest

from dialects import STREAMS
from harness import eventually
from queueing import Calls, order, user, whole
from residents import line_of, loads, quickly, served, simulate, steps, unloads  # noqa: F401

SLOW = "slow,load=100ms,prompt=60ms,rate=30,tokens=16"  # 0.6 s a call


def parallel(simulate, slots, *models):
    return simulate(*(models or [SLOW]), flags=["--num-parallel", slots, "--keep-requests", 1000])


def many(gateway, count, model="slow", kind="chat", stream=True):
    with Calls(gateway) as calls:
        for n in range(count):
            calls.sent(kind, f"call-{n}", user(str(n)), model=model, stream=stream, **_short(kind))
        clients = list(calls.clients)
        assert all(whole(client) for client in clients)


def _short(kind):
    return {"max_tokens": 16} if kind == "messages" else {}


def learned(gateway, model="slow"):
    return (line_of(gateway, model) or {}).get("learned_parallel")


def test_ten_calls_of_one_slow_model_against_a_stock_ollama(serve, simulate):
    """The limits on silence are shorter than the ten calls and longer than one: whoever takes waiting in Ollama for
    silence unloads a model that works."""
    simulator = parallel(simulate, 1)
    gateway = serve(simulator, quickly({"timeouts": {"first_byte": "1s", "idle": "1s", "whole": "2s"}}))
    gateway.serves = None
    many(gateway, 10)
    assert simulator.stats()["peak"] == 1 and not unloads(simulator) and not gateway.status()["unloads"]
    assert simulator.stats()["aborts"]["count"] == 0
    assert ("unload", "slow:latest") not in steps(simulator) and len(loads(simulator)) == 1
    assert gateway.metrics().value("timeouts_total") == 0
    assert learned(gateway) == 1
    assert gateway.metrics().value("learned_parallel", upstream="local", model="slow:latest") == 1
    (line,) = [entry for entry in gateway.log() if "OLLAMA_NUM_PARALLEL" in str(entry)]
    assert line["level"].startswith("warn")
    assert "slow:latest" in str(line)


def test_once_learned_no_call_waits_in_ollama(serve, simulate):
    simulator = parallel(simulate, 1)
    gateway = serve(simulator, quickly())
    gateway.serves = None
    many(gateway, 16)
    assert learned(gateway) == 1
    simulator.reset()
    many(gateway, 6)
    assert simulator.stats()["models"]["slow:latest"]["peak_in_flight"] == 1
    assert len(order(simulator)) == 6


@pytest.mark.parametrize("kind", ["chat", "chat_completions", "messages"])
def test_calls_in_one_piece_teach_it_too(serve, simulate, kind):
    """They tell nothing before their end; what is never learned must at least never look like a hang."""
    simulator = parallel(simulate, 1)
    gateway = serve(simulator, quickly({"timeouts": {"first_byte": "1s", "idle": "1s", "whole": "1s"}}))
    gateway.serves = None
    many(gateway, 9, kind=kind, stream=False)
    assert not unloads(simulator) and gateway.metrics().value("timeouts_total") == 0
    assert simulator.stats()["aborts"]["count"] == 0
    if kind == "chat":  # its final record says how long the model worked
        assert learned(gateway) == 1


@pytest.mark.parametrize("kind", ["generate", "chat_completions", "messages"])
def test_every_api_s_streams_teach_it(serve, simulate, kind):
    simulator = parallel(simulate, 1)
    gateway = serve(simulator, quickly())
    gateway.serves = None
    many(gateway, 8, kind=kind)
    assert learned(gateway) == 1


def test_two_slots_are_not_taken_for_one(serve, simulate):
    simulator = parallel(simulate, 2)
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 4}}))
    gateway.serves = None
    many(gateway, 14)
    assert simulator.stats()["peak"] == 2 and learned(gateway) in (None, 2)


@pytest.mark.parametrize("slots", [3, 8])
def test_where_as_many_run_as_there_are_permits_nothing_is_learned(serve, simulate, slots):
    simulator = parallel(simulate, slots)
    gateway = serve(simulator, quickly())
    gateway.serves = None
    for kind in STREAMS:
        many(gateway, 5, kind=kind)
    many(gateway, 7, stream=False)
    assert not learned(gateway)
    assert not [entry for entry in gateway.log() if "OLLAMA_NUM_PARALLEL" in str(entry)]
    assert simulator.stats()["peak"] == 3


def test_calls_that_take_long_to_their_first_byte_are_not_taken_for_waiting_ones(serve, simulate):
    """They run side by side, each for its own time: first bytes come after others' ends by chance only."""
    simulator = parallel(simulate, 4, "slow,load=0s,prompt=500ms,rate=100,tokens=10")
    gateway = serve(simulator, quickly())
    gateway.serves = None
    many(gateway, 3)
    many(gateway, 9)
    simulator.set_model("slow", prompt_ms=50, rate=20)
    many(gateway, 6)
    assert simulator.stats()["peak"] == 3 and not learned(gateway)


def test_what_is_learned_of_one_model_is_not_of_another(serve, simulate):
    simulator = parallel(simulate, 1, SLOW, "other,load=0s,prompt=1h")
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 3, "vram": "100GB"}}))
    gateway.serves = None
    many(gateway, 16)
    assert learned(gateway) == 1 and not learned(gateway, "other")
    with Calls(gateway) as calls:
        calls.hold(model="other")
        second = calls.sent("chat", "call-x", model="other")
        gateway.until_running(2)
        served(gateway, "slow")
        assert second.answer.status is None
