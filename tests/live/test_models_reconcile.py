"""SPEC §7 "One ledger": what the gateway says of its models is what is so, whoever loads and unloads, whether Ollama
answers or not."""

import time

import pytest

from harness import PATIENCE, eventually
from queueing import Calls, whole
from residents import (  # noqa: F401
    ask,
    becomes,
    bodies,
    drift,
    full,
    line_of,
    loads,
    quickly,
    served,
    simulate,
    state_of,
    steps,
)

MODEL = "llama3,load=50ms,prompt=0s,rate=0,tokens=3"
OTHER = "other,load=50ms,prompt=0s,rate=0,tokens=3"
INTERVAL = 0.2
WITHIN = INTERVAL + 0.3  # one interval, and the listing's own time


@pytest.fixture
def both(simulate, serve):
    def start(*more):
        simulator = simulate(MODEL, OTHER)
        return serve(simulator, quickly(*more)), simulator

    return start


def loaded(gateway):
    return {m["name"] for m in gateway.status()["models"] if m["loaded"]}


def test_what_is_there_at_the_start_is_known_at_the_start(simulate, serve):
    simulator = simulate(MODEL, OTHER)
    simulator.load_behind_back("other")
    gateway = serve(simulator, quickly({"reconcile": {"interval": "10m"}}))
    gateway.serves = None
    assert eventually(lambda: loaded(gateway) == {"other:latest"}, within=1)
    served(gateway, "other")
    assert not bodies(simulator, "load"), "it need not be loaded"


def test_a_model_that_somebody_else_loads_is_in_the_status_within_one_interval(both):
    gateway, simulator = both()
    assert state_of(gateway, "llama3") == "absent" and drift(gateway) == {"appeared": 0, "vanished": 0}
    simulator.load_behind_back("llama3")
    becomes(gateway, "llama3", "ready", within=WITHIN * PATIENCE)
    line = line_of(gateway, "llama3")
    assert line["loaded"] and line["size_vram"] == 4_700_000_000 and line["expires_at"]
    assert line["running"] == 0, "loaded never means running"
    assert gateway.queue()["models"][0] == {"name": "llama3:latest", "loaded": True, "running": 0, "waiting": 0}
    assert drift(gateway) == {"appeared": 1, "vanished": 0}
    assert gateway.metrics().value("reconcile_drift_total", kind="appeared") == 1
    assert gateway.metrics().value("model_state", model="llama3:latest", state="ready") == 1


def test_a_model_that_somebody_else_unloads_is_in_the_status_within_one_interval(both):
    gateway, simulator = both()
    served(gateway, "llama3")
    simulator.drop_behind_back("llama3")
    becomes(gateway, "llama3", "absent", within=WITHIN * PATIENCE)
    assert drift(gateway) == {"appeared": 0, "vanished": 1}
    assert gateway.metrics().value("reconcile_drift_total", kind="vanished") == 1
    assert loaded(gateway) == set()
    served(gateway, "llama3")
    assert len(bodies(simulator, "load")) == 2


def test_a_call_for_one_that_has_gone_unnoticed_is_served_all_the_same(both):
    gateway, simulator = both({"reconcile": {"interval": "10m"}})
    served(gateway, "llama3")
    simulator.drop_behind_back("llama3")
    served(gateway, "llama3")
    becomes(gateway, "llama3", "ready")
    assert len(loads(simulator)) == 2


def test_what_ends_when_its_keep_alive_is_over_is_no_drift(both):
    gateway, simulator = both()
    served(gateway, "llama3", keep_alive="300ms")
    becomes(gateway, "llama3", "absent")
    assert drift(gateway) == {"appeared": 0, "vanished": 0}
    assert [one["reason"] for one in simulator.stats()["unloads"]["list"]] == ["keep_alive"]


@pytest.mark.parametrize("fault", ["ps_hang", "status", "garbage", "reset_head"])
def test_without_a_listing_nothing_is_forgotten_or_invented(both, fault):
    gateway, simulator = both()
    served(gateway, "llama3")
    assert eventually(lambda: gateway.status()["upstreams"][0]["last_listing_age_s"] < INTERVAL)
    if fault == "ps_hang":
        simulator.fault("ps_hang")
    else:
        simulator.fault(fault, path="/api/ps")
    simulator.drop_behind_back("llama3")
    simulator.load_behind_back("other")
    began = time.monotonic()
    while time.monotonic() - began < 1.2:
        assert loaded(gateway) == {"llama3:latest"}
        time.sleep(0.05)
    assert gateway.status()["upstreams"][0]["last_listing_age_s"] > 0.8
    assert drift(gateway) == {"appeared": 0, "vanished": 0}
    simulator.clear_faults()
    assert eventually(lambda: loaded(gateway) == {"other:latest"}, within=WITHIN + 0.3), loaded(gateway)
    assert drift(gateway) == {"appeared": 1, "vanished": 1}


def test_calls_go_on_while_the_listing_hangs(both):
    gateway, simulator = both()
    served(gateway, "llama3")
    simulator.fault("ps_hang")
    time.sleep(0.3)
    for _ in range(3):
        served(gateway, "llama3")
    began = time.monotonic()
    served(gateway, "other")
    assert time.monotonic() - began < 1.5 * PATIENCE
    assert {"llama3:latest", "other:latest"} <= loaded(gateway)


def test_a_listing_that_is_late_is_of_its_own_time(both):
    """It was asked for before the load: it does not say that the model has gone."""
    gateway, simulator = both({"reconcile": {"timeout": "2s"}})
    simulator.fault("ps_hang", ms=250)
    for _ in range(6):
        served(gateway, "llama3")
        assert state_of(gateway, "llama3") == "ready"
        time.sleep(0.07)
    assert drift(gateway) == {"appeared": 0, "vanished": 0}
    assert len(bodies(simulator, "load")) == 1


def test_a_restarted_ollama_has_nothing_loaded_and_that_is_known_within_one_interval(both):
    gateway, simulator = both()
    served(gateway, "llama3")
    served(gateway, "other")
    simulator.restart(0.4)
    assert eventually(lambda: _answers(simulator), within=5)
    assert eventually(lambda: loaded(gateway) == set(), within=2 * WITHIN), gateway.status()
    assert eventually(lambda: ask(gateway, "llama3").status == 200, within=5)
    assert loaded(gateway) == {"llama3:latest"}
    assert loads(simulator)[-1]["model"] == "llama3:latest"


def test_calls_that_wait_outlive_a_restart(both):
    """What had begun is told as an error; what had not is served by the new one."""
    gateway, simulator = both({"queue": {"hold_upstream": "20s"}, "upstream": {"max_concurrent": 1}})
    gateway.serves = None
    served(gateway, "llama3")
    simulator.set_model("llama3", rate=10, tokens=1000)
    with Calls(gateway) as calls:
        running = calls.sent("chat", "call-running", stream=True)
        running.piece()
        simulator.set_model("llama3", rate=0, tokens=3)
        waiting = [calls.queued("chat", f"call-{n}") for n in range(4)]
        simulator.restart(0.5)
        answer = running.finish()
        assert answer.status == 200 and not answer.complete
        assert all(whole(client) for client in waiting)


def test_a_restart_during_a_load(both):
    gateway, simulator = both({"queue": {"hold_upstream": "20s"}})
    simulator.set_model("llama3", load_ms=600)
    client = gateway.client().request("POST", "/api/generate", {"model": "llama3", "prompt": "x", "stream": False})
    becomes(gateway, "llama3", "loading")
    simulator.restart(0.3)
    answer = client.finish()
    client.socket.close()
    assert answer.status in (200, 502, 503), answer.raw
    if answer.status != 200:
        assert answer.json()["attempts"]
    assert eventually(lambda: ask(gateway, "llama3").status == 200, within=8, step=0.1)
    becomes(gateway, "llama3", "ready")


def test_a_model_that_is_busy_is_not_gone_because_its_time_is_over(both):
    """`expires_at` in the past says "unloading, or simply busy": its calls are counted by the gateway itself."""
    gateway, simulator = both()
    served(gateway, "llama3", keep_alive="200ms")
    simulator.set_model("llama3", rate=20, tokens=20)
    with Calls(gateway) as calls:
        client = calls.sent("chat", "x", stream=True)
        client.piece()
        for _ in range(10):
            line = line_of(gateway, "llama3")
            assert line["state"] == "ready" and line["running"] == 1
            time.sleep(0.05)
        assert whole(client)


def test_the_log_says_each_change_of_state_once(both):
    gateway, simulator = both()
    served(gateway, "llama3")
    simulator.drop_behind_back("llama3")
    becomes(gateway, "llama3", "absent")
    time.sleep(2 * INTERVAL)
    said = [e for e in gateway.log() if e.get("model") == full("llama3") and e["message"] != "call"]
    assert [(e["message"], e.get("state")) for e in said] == [
        ("loading a model", None),
        ("load ended", None),
        ("the upstream's listing shows another state of a model", "absent"),
    ]


def test_models_are_told_apart_by_what_runs_not_by_what_is_loaded(both):
    gateway, simulator = both({"upstream": {"max_concurrent": 2}})
    gateway.serves = None
    served(gateway, "other")
    simulator.set_model("llama3", prompt_ms=3600_000)
    with Calls(gateway) as calls:
        calls.hold(2, model="llama3")
        told = {m["name"]: m for m in gateway.queue()["models"]}
        assert told["llama3:latest"]["running"] == 2 and told["llama3:latest"]["loaded"]
        assert told["other:latest"]["running"] == 0 and told["other:latest"]["loaded"]
    assert ("unload", "other:latest") not in steps(simulator)


def _answers(simulator):
    try:
        return simulator.get("/api/version").status == 200
    except OSError:
        return False
