"""SPEC §7 "Silence" and "Then": a model that hangs is noticed by its silence, told, unloaded, verified; the next call
is served. One that is only slow is left alone; one that cannot be unloaded is stuck until it is gone."""

import time

import pytest

from dialects import ONE_OF_EACH, STREAMS, call_of, error_in, error_of
from harness import PATIENCE, eventually

MODEL = "llama3,load=0s,prompt=0s,rate=100,tokens=10"
LIMIT = 0.4  # seconds
QUICK = {"first_byte": "400ms", "idle": "400ms", "whole": "400ms"}
SLACK = 0.5 * PATIENCE


def unloads(simulator):
    """The requests of the gateway's own that unload."""
    return [r for r in simulator.requests("/api/generate") if '"keep_alive":0}' in r["body"]]


def settled(gateway):
    """The last unload has ended, this way or that."""
    assert eventually(lambda: all(m["state"] != "unloading" for m in gateway.status()["models"]), within=10)
    return gateway.status()["unloads"]


def timed(gateway, *call, **more):
    began = time.monotonic()
    answer = gateway.post(*call, **more)
    return answer, time.monotonic() - began


# --- the limits ---


@pytest.mark.parametrize("kind", STREAMS)
def test_first_byte(serve, simulate, kind):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"timeouts": {**QUICK, "idle": "60s", "whole": "60s"}})
    simulator.fault("silent_head", count=1)
    answer, took = timed(gateway, *call_of(kind))
    assert answer.status == 504 and error_of(kind, answer.json())["code"] == "timed_out"
    assert LIMIT - 0.02 <= took <= LIMIT + SLACK
    assert gateway.metrics().value("timeouts_total", phase="first_byte") == 1
    settled(gateway)


@pytest.mark.parametrize("kind", STREAMS)
def test_idle(serve, simulate, kind):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"timeouts": {**QUICK, "first_byte": "60s"}})
    simulator.fault("silent_mid", count=1)
    answer, took = timed(gateway, *call_of(kind))
    error = error_in(kind, answer)
    assert answer.status == 200 and error["http_status"] == 504 and error["code"] == "timed_out"
    assert LIMIT <= took <= LIMIT + SLACK
    assert gateway.metrics().value("timeouts_total", phase="idle") == 1
    settled(gateway)


def test_a_call_with_tools_may_think_as_long_as_for_its_first_byte_and_is_told_so(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"timeouts": {**QUICK, "idle": "100ms"}})
    simulator.fault("silent_mid", count=1)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    answer, took = timed(gateway, *call_of("chat", tools=tools))
    assert LIMIT <= took <= LIMIT + SLACK
    assert "timed out after 0.400 s (timeouts.idle)" in error_in("chat", answer)["message"]
    settled(gateway)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_whole(serve, simulate, kind):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"timeouts": {**QUICK, "first_byte": "60s", "idle": "60s"}})
    simulator.fault("silent_head", count=1)
    answer, took = timed(gateway, *call_of(kind, stream=False))
    assert answer.status == 504 and error_of(kind, answer.json())["code"] == "timed_out"
    assert LIMIT - 0.02 <= took <= LIMIT + SLACK
    assert gateway.metrics().value("timeouts_total", phase="whole") == 1
    settled(gateway)


@pytest.mark.parametrize("stream", [True, False])
def test_total_is_the_calls_own_and_unloads_nothing(serve, simulate, stream):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=1000")
    gateway = serve(simulator, {"timeouts": {"total": "1s"}})
    gateway.serves = None
    answer, took = timed(gateway, *call_of("chat", stream=stream))
    assert 1 <= took <= 1 + SLACK
    error = error_in("chat", answer) if stream else answer.json()
    assert error["code"] == "timed_out" and "1 s" in error["error"]
    assert gateway.metrics().value("timeouts_total", phase="total") == 1
    assert not unloads(simulator) and not gateway.status()["unloads"]
    assert simulator.stats()["aborts"]["count"] == 1


def test_a_model_that_goes_on_is_never_timed_out_however_long_it_takes(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=10,tokens=15")
    gateway = serve(simulator, {"timeouts": QUICK})
    gateway.serves = None
    answer, took = timed(gateway, *call_of("generate"))
    assert answer.complete and answer.lines()[-1]["done"] and took > 3 * LIMIT


def test_a_model_of_its_own_limits(serve, simulate):
    simulator = simulate(MODEL, "patient,load=0s,prompt=600ms,rate=100,tokens=3")
    gateway = serve(simulator, {"timeouts": QUICK, "models": {"patient": {"timeouts": {"first_byte": "20s"}}}})
    answer = gateway.post(*call_of("generate", model="patient"))
    assert answer.status == 200 and answer.complete


# --- then ---


@pytest.mark.parametrize("fault", ["silent_head", "hang"])
def test_a_hung_model_is_unloaded_once_after_its_socket_is_closed_and_the_next_call_is_served(serve, simulate, fault):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"timeouts": QUICK})
    assert gateway.post(*call_of("generate")).complete  # it is loaded
    simulator.fault(fault, count=1)
    answer = gateway.post(*call_of("generate"))
    assert answer.status == 504
    told = settled(gateway)
    assert [u["result"] for u in told] == ["gone"] and told[0]["reason"] == "timeout"
    assert told[0]["model"] == "llama3:latest"
    (request,) = unloads(simulator)
    (abort,) = simulator.stats()["aborts"]["list"]
    assert abort["at_ms"] <= request["at_ms"] + 5  # two sockets of one loop: seen in either order, at once
    assert request["method"] == "POST" and request["complete"]
    assert simulator.get("/api/ps").json()["models"] == []
    again = gateway.post(*call_of("generate"))
    assert again.status == 200 and again.lines()[-1]["done"]
    assert gateway.metrics().value("unloads_total", reason="timeout", result="gone") == 1
    assert len(unloads(simulator)) == 1


def test_a_hung_model_is_noticed_though_every_caller_leaves_sooner(serve, simulate):
    """Their waiting counts for half: after at most twice the limit of it, with a caller there, it is over."""
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"timeouts": {**QUICK, "first_byte": "1s"}})
    assert gateway.post(*call_of("generate")).complete
    simulator.fault("silent_head")
    began = time.monotonic()
    timed_out = None
    while timed_out is None and time.monotonic() - began < 10 * PATIENCE:
        client = gateway.client(timeout=0.5).request("POST", *call_of("generate"))
        try:
            timed_out = client.head()
        except TimeoutError:
            pass
        client.leave("rst")
    assert timed_out is not None and timed_out.status == 504
    assert time.monotonic() - began < 3.5 * PATIENCE
    simulator.clear_faults()
    assert {u["result"] for u in settled(gateway)} == {"gone"}
    assert gateway.post(*call_of("generate")).complete


def test_fifty_calls_that_time_out_at_once_make_one_unload(serve, simulate):
    simulator = simulate(MODEL, flags=["--num-parallel", 64])
    gateway = serve(simulator, {"timeouts": QUICK, "upstream": {"max_concurrent": 50}})
    assert gateway.post(*call_of("generate")).complete
    simulator.fault("silent_head", count=50)
    clients = [gateway.client().request("POST", *call_of("generate")) for _ in range(50)]
    for client in clients:
        assert client.finish().status == 504
        client.socket.close()
    settled(gateway)
    assert len(unloads(simulator)) == 1
    assert len(gateway.status()["unloads"]) == 1
    assert simulator.stats()["aborts"]["count"] == 50


def test_others_that_wait_for_the_model_are_served_when_it_is_gone(serve, simulate):
    simulator = simulate(MODEL, "other,load=0s,prompt=0s,rate=100,tokens=5")
    gateway = serve(simulator, {"timeouts": QUICK, "upstream": {"max_concurrent": 1}})
    assert gateway.post(*call_of("generate")).complete
    simulator.fault("silent_head", count=1)
    first = gateway.client().request("POST", *call_of("generate"))
    gateway.until_running(1)
    queued = [gateway.client().request("POST", *call_of("chat", model=m)) for m in ("llama3", "other", "llama3")]
    assert first.finish().status == 504
    for client in [first, *queued]:
        if client is not first:
            answer = client.finish()
            assert answer.status == 200 and answer.lines()[-1]["done"], answer.raw
        client.socket.close()
    assert len(unloads(simulator)) == 1


def test_a_slow_call_beside_others_that_make_progress_is_ended_and_the_model_left_alone(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=36")
    gateway = serve(simulator, {"timeouts": QUICK})
    gateway.serves = None
    simulator.fault("silent_mid", count=1)
    silent = gateway.client().request("POST", *call_of("generate"))
    silent.piece()
    going = gateway.client().request("POST", *call_of("generate"))
    answer = going.finish()
    assert answer.complete and answer.lines()[-1]["done"]
    ended = silent.finish()
    assert error_in("generate", ended)["code"] == "timed_out"
    for client in (silent, going):
        client.socket.close()
    settled(gateway)


def test_a_progressing_model_is_not_unloaded_for_one_slow_call(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=50")
    gateway = serve(simulator, {"timeouts": {**QUICK, "first_byte": "1s", "idle": "1s", "whole": "1s"}})
    gateway.serves = None
    going = gateway.client().request("POST", *call_of("generate"))
    going.piece()
    # While the other makes progress the model is not silent: this one is not timed out.
    simulator.fault("silent_mid", count=1, ms=1500)
    slow = gateway.post(*call_of("generate", options={"num_predict": 5}))
    assert slow.complete and slow.lines()[-1]["done"]
    assert going.finish().complete
    going.socket.close()
    assert not unloads(simulator)


# --- it does not go ---


def test_an_unload_that_does_nothing_makes_the_model_stuck_until_it_is_gone(serve, simulate):
    simulator = simulate(MODEL, "other,load=0s,prompt=0s,rate=100,tokens=5")
    unload = {"verify_within": "1s", "retries": 1}
    gateway = serve(simulator, {"timeouts": QUICK, "unload": unload, "reconcile": {"interval": "500ms"}})
    gateway.expected.append("stuck")
    assert gateway.post(*call_of("generate")).complete
    simulator.fault("silent_head", count=1)
    simulator.fault("unload_noop")
    assert gateway.post(*call_of("generate")).status == 504
    began = time.monotonic()
    told = settled(gateway)
    assert told[0]["result"] == "stuck" and 0.9 <= time.monotonic() - began <= 1 + SLACK
    assert len(unloads(simulator)) == 2  # one, and one retry
    (model,) = [m for m in gateway.status()["models"] if m["name"] == "llama3:latest"]
    assert model["state"] == "stuck"
    for kind in STREAMS:
        answer, took = timed(gateway, *call_of(kind))
        error = error_of(kind, answer.json())
        assert answer.status == 503 and error["code"] == "model_stuck" and took < 0.3 * PATIENCE
        assert error["attempts"][0]["outcome"] == "stuck"
    assert gateway.post(*call_of("generate", model="other")).complete
    assert any(e["level"] == "error" and e["result"] == "stuck" for e in gateway.log("unload ended"))
    # It goes by itself: the next listing heals it.
    simulator.clear_faults()
    simulator.post("/api/generate", {"model": "llama3", "keep_alive": 0})
    assert eventually(lambda: gateway.status()["unloads"][0]["result"] == "healed", within=3)
    assert gateway.post(*call_of("generate")).complete


def test_calls_that_wait_while_it_is_unloaded_are_told_at_once_that_it_is_stuck(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"timeouts": QUICK, "unload": {"verify_within": "1s", "retries": 0}})
    gateway.expected.append("stuck")
    gateway.serves = None
    assert gateway.post(*call_of("generate")).complete
    simulator.fault("silent_head", count=1)
    simulator.fault("unload_noop")
    assert gateway.post(*call_of("generate")).status == 504
    waiting, took = timed(gateway, *call_of("generate", stream=False))
    assert waiting.status in (200, 503) and took < 1 + SLACK
    error = waiting.json()
    assert error["code"] == "model_stuck"
    assert waiting.status == 503 or error["http_status"] == 503  # a head committed early spends the status


def test_a_listing_that_hangs_says_nothing_of_the_model(serve, simulate):
    """Unknown is not "gone": it stays *unloading* until a listing shows that it is."""
    simulator = simulate(MODEL)
    config = {"timeouts": QUICK, "unload": {"verify_within": "10s"}, "reconcile": {"timeout": "300ms"}}
    gateway = serve(simulator, config)
    assert gateway.post(*call_of("generate")).complete
    assert eventually(lambda: any(m["loaded"] for m in gateway.status()["models"]))
    simulator.fault("ps_hang")
    simulator.fault("silent_head", count=1)
    assert gateway.post(*call_of("generate")).status == 504
    assert eventually(lambda: len(simulator.requests("/api/ps")) >= 3)
    began = time.monotonic()
    while time.monotonic() - began < 0.8:
        assert not gateway.status()["unloads"]
    simulator.clear_faults()
    assert settled(gateway)[0]["result"] == "gone"
    assert gateway.post(*call_of("generate")).complete


@pytest.mark.parametrize("fault, result", [("hang", "stuck"), ("reset_head", "gone"), ("status", "gone")])
def test_an_unload_request_that_fails_itself_is_bounded_and_tried_again(serve, simulate, fault, result):
    simulator = simulate(MODEL)
    unload = {"verify_within": "2s", "retries": 3}
    gateway = serve(simulator, {"timeouts": QUICK, "unload": unload, "reconcile": {"interval": "1s"}})
    gateway.expected.append("stuck")
    assert gateway.post(*call_of("generate")).complete
    simulator.fault("silent_head", count=1)
    answer = gateway.client().request("POST", *call_of("generate"))
    assert eventually(lambda: simulator.stats()["running"] == 1)
    simulator.fault(fault, count=2, path="/api/generate")
    assert answer.finish().status == 504
    answer.socket.close()
    told = settled(gateway)
    # One that hangs has all the time there is; one that fails is followed by others.
    assert told[0]["result"] == result and told[0]["ms"] <= 2000 + 1000 * SLACK, told
    assert len(unloads(simulator)) == 1 if result == "stuck" else 2 <= len(unloads(simulator)) <= 4
    if result == "stuck":
        simulator.clear_faults()
        simulator.post("/api/generate", {"model": "llama3", "keep_alive": 0})
        assert eventually(lambda: gateway.status()["unloads"][0]["result"] == "healed", within=12)


def test_on_timeout_false_unloads_nothing(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"timeouts": QUICK, "unload": {"on_timeout": False}})
    simulator.fault("silent_head", count=1)
    assert gateway.post(*call_of("generate")).status == 504
    assert gateway.post(*call_of("generate")).complete
    assert not unloads(simulator) and not gateway.status()["unloads"]
