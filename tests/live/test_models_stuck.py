"""SPEC §7 "Then": what cannot be unloaded is stuck; its calls go elsewhere or fail at once, everybody is told, and it
heals. The ladder of one upstream is in test_timeouts.py."""

import time

import pytest

from dialects import STREAMS, call_of, error_of
from harness import PATIENCE, eventually
from residents import ask, becomes, full, loads, quickly, served, simulate, state_of, steps, unloads  # noqa: F401

MODEL = "llama3,load=0s,prompt=0s,rate=100,tokens=5"
OTHER = "other,load=0s,prompt=0s,rate=0,tokens=3"
SOON = {
    "timeouts": {"first_byte": "400ms", "idle": "400ms", "whole": "400ms"},
    "unload": {"verify_within": "1s", "retries": 2},
}


def hang(gateway, simulator, name="llama3"):
    """A call of it times out, and nothing moves it."""
    gateway.expected.append("stuck")
    served(gateway, name)
    simulator.fault("unload_noop", model=name)
    simulator.fault("silent_head", model=name, count=1)
    began = time.monotonic()
    ask(gateway, name)
    becomes(gateway, name, "stuck")
    return time.monotonic() - began


@pytest.fixture
def stuck(simulate, serve):
    """stuck({…}) → (gateway, simulator): `llama3` is stuck."""

    def start(*more):
        simulator = simulate(MODEL, OTHER)
        gateway = serve(simulator, quickly(SOON, *more))
        gateway.serves = ("POST", *call_of("generate", "other", stream=False))
        hang(gateway, simulator)
        return gateway, simulator

    return start


def test_an_unload_that_does_nothing_is_stuck_within_verify_within(simulate, serve):
    simulator = simulate(MODEL, OTHER)
    gateway = serve(simulator, quickly(SOON))
    gateway.serves = None
    took = hang(gateway, simulator)
    assert 0.4 + 0.95 < took < 0.4 + 1 + PATIENCE
    assert steps(simulator).count(("unload", "llama3:latest")) == 3, "one, and two retries"
    assert gateway.status()["unloads"][0]["result"] == "stuck"
    assert gateway.metrics().value("model_state", model="llama3:latest", state="stuck") == 1
    assert gateway.metrics().value("unloads_total", reason="timeout", result="stuck") == 1
    assert any("stuck" in str(entry) and entry["level"] == "error" for entry in gateway.log())
    simulator.clear_faults()
    simulator.drop_behind_back("llama3")


@pytest.mark.parametrize("kind", STREAMS)
def test_its_calls_fail_at_once_with_a_clear_error(stuck, kind):
    gateway, simulator = stuck()
    sent = len(steps(simulator))
    began = time.monotonic()
    answer = ask(gateway, "llama3", kind)
    assert time.monotonic() - began < 0.3 * PATIENCE
    error = error_of(kind, answer.json())
    assert answer.status == 503 and error["code"] == "model_stuck" and "llama3" in error["message"]
    assert error["attempts"][0]["outcome"] == "stuck"
    assert ("run", "llama3:latest") not in steps(simulator)[sent:]
    served(gateway, "other")
    simulator.clear_faults()
    simulator.drop_behind_back("llama3")


def test_it_heals_when_the_model_goes(stuck):
    gateway, simulator = stuck()
    simulator.drop_behind_back("llama3")
    simulator.clear_faults()
    becomes(gateway, "llama3", "absent")
    assert gateway.status()["unloads"][0]["result"] == "healed"
    assert gateway.metrics().value("model_state", model="llama3:latest", state="stuck") == 0
    served(gateway, "llama3")
    assert state_of(gateway, "llama3") == "ready"


def test_it_heals_when_ollama_is_restarted(stuck):
    gateway, simulator = stuck()
    simulator.clear_faults()
    simulator.restart(0.3)
    assert eventually(lambda: ask(gateway, "llama3").status == 200, within=5, step=0.1)
    becomes(gateway, "llama3", "ready")


def probes(simulator):
    found = [r for r in simulator.requests("/api/generate") if '"num_predict":1}' in r["body"].replace(" ", "")]
    for probe in found:
        assert '"keep_alive":0' in probe["body"].replace(" ", "")
    return found


def test_it_heals_when_a_probe_of_one_token_answers(stuck):
    """It still cannot be unloaded, but it works again: better than none."""
    gateway, simulator = stuck()
    assert eventually(lambda: state_of(gateway, "llama3") != "stuck", within=25, step=0.05)
    assert probes(simulator)
    simulator.clear_faults()
    assert eventually(lambda: ask(gateway, "llama3").status == 200, within=5, step=0.1)


def test_a_probe_that_does_not_answer_leaves_it_stuck(stuck):
    gateway, simulator = stuck()
    simulator.fault("silent_head", model="llama3")
    assert eventually(lambda: probes(simulator), within=25, step=0.1)
    time.sleep(1)
    assert state_of(gateway, "llama3") == "stuck"
    simulator.clear_faults()
    simulator.restart()
    assert eventually(lambda: ask(gateway, "llama3").status == 200, within=10, step=0.1)


def test_the_stuck_file_is_written_for_a_service_manager(simulate, serve, tmp_path):
    simulator = simulate(MODEL, OTHER)
    file = tmp_path / "stuck"
    gateway = serve(simulator, quickly(SOON, {"unload": {"stuck_file": str(file)}}))
    gateway.serves = None
    served(gateway, "llama3")
    assert not file.exists()
    hang(gateway, simulator)
    assert eventually(file.exists)
    said = file.read_text()
    assert "llama3:latest" in said and "local" in said
    simulator.clear_faults()
    simulator.drop_behind_back("llama3")


def test_a_stuck_file_that_cannot_be_written_is_told_and_changes_nothing(simulate, serve, tmp_path):
    simulator = simulate(MODEL, OTHER)
    gateway = serve(simulator, quickly(SOON, {"unload": {"stuck_file": str(tmp_path / "nowhere" / "stuck")}}))
    gateway.serves = None
    gateway.expected.append("nowhere")
    hang(gateway, simulator)
    assert eventually(lambda: [e for e in gateway.log() if "nowhere" in str(e)])
    served(gateway, "other")
    simulator.clear_faults()
    simulator.drop_behind_back("llama3")
    becomes(gateway, "llama3", "absent")


def test_its_calls_go_to_another_upstream(simulate, serve):
    left, right = simulate(MODEL, OTHER), simulate(MODEL)
    gateway = serve({"left": left, "right": right}, quickly(SOON))
    gateway.serves = None
    left.load_behind_back("llama3")
    becomes(gateway, "llama3", "ready", "left")
    gateway.expected.append("stuck")
    left.fault("unload_noop", model="llama3")
    left.fault("silent_head", model="llama3", count=1)
    ask(gateway, "llama3")
    becomes(gateway, "llama3", "stuck", "left")
    for _ in range(3):
        served(gateway, "llama3")
    assert steps(right).count(("run", "llama3:latest")) >= 3
    left.clear_faults()
    left.drop_behind_back("llama3")
    becomes(gateway, "llama3", "absent", "left")


def test_what_is_stuck_keeps_no_other_model_out(simulate, serve):
    """What it holds cannot be freed: others go in beside it, or nothing would ever."""
    models = [f"{name},size=6GB,load=20ms,prompt=0s,rate=0,tokens=2" for name in ("llama3", "other", "third")]
    simulator = simulate(*models)
    gateway = serve(simulator, quickly(SOON, {"upstream": {"vram": "10GB"}}))
    gateway.serves = None
    hang(gateway, simulator)
    for name in ("other", "third", "other"):
        served(gateway, name)
    assert {one["model"] for one in unloads(simulator)} == {full("other"), full("third")}
    assert len(loads(simulator, "llama3")) == 1
    simulator.clear_faults()
    simulator.drop_behind_back("llama3")


def test_an_operator_s_unload_that_does_nothing_is_stuck_too(simulate, serve):
    simulator = simulate(MODEL, OTHER)
    gateway = serve(simulator, quickly(SOON))
    gateway.serves = None
    gateway.expected.append("stuck")
    served(gateway, "llama3")
    simulator.fault("unload_noop", model="llama3")
    gateway.admin("/models/llama3/unload", "POST")
    becomes(gateway, "llama3", "stuck")
    assert gateway.status()["unloads"][0]["result"] == "stuck"
    simulator.clear_faults()
    simulator.drop_behind_back("llama3")
    becomes(gateway, "llama3", "absent")
