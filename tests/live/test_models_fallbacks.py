"""SPEC §7 "Fallbacks": when another model answers, when it must not, and that every attempt is told."""

import json
import time

import pytest

from dialects import ONE_OF_EACH, STREAMS, call_of, error_in, error_of, looks_complete
from harness import PATIENCE, eventually, free_port
from queueing import EMBEDDINGS, Calls, call_to, whole
from residents import ask, becomes, quickly, served, simulate, steps  # noqa: F401

BIG = "big,load=0s,prompt=0s,rate=100,tokens=10"
SMALL = "small,load=0s,prompt=0s,rate=0,tokens=3"
TINY = "tiny,load=0s,prompt=0s,rate=0,tokens=2"
LIMITS = {"timeouts": {"first_byte": "400ms", "idle": "400ms", "whole": "600ms"}}


@pytest.fixture
def with_fallback(simulate, serve):
    """with_fallback({…}) → (gateway, simulator): `big` is replaced by `small`, then by `tiny`."""

    def start(*more, models=(BIG, SMALL, TINY), fallbacks=("small", "tiny"), flags=()):
        simulator = simulate(*models, flags=list(flags))
        config = {"models": {"big": {"fallbacks": list(fallbacks)}}}
        gateway = serve(simulator, quickly(LIMITS, config, *more))
        gateway.serves = None
        gateway.expected.append("stuck")
        return gateway, simulator

    return start


def attempts(answer):
    """X-Gateway-Attempts as [(model, upstream, {…})]."""
    found = []
    for one in filter(None, (answer.get("X-Gateway-Attempts") or "").split(", ")):
        where, *rest = one.split(";")
        found.append((*where.split("@"), dict(part.split("=", 1) for part in rest)))
    return found


def outcomes(answer):
    return [(model, more["outcome"]) for model, _, more in attempts(answer)]


def replaced(gateway, answer, *expected, by="small:latest"):
    """It was answered by another model, and that is told everywhere."""
    assert answer.status == 200 and answer.complete, answer.raw
    assert answer.get("X-Gateway-Model") == by
    assert outcomes(answer) == [*expected, (by, "ok")]
    asked = gateway.get(f"/gateway/calls/{answer.get('X-Request-Id')}").json()
    assert [(a["model"], a["outcome"]) for a in asked["attempts"]] == [*expected, (by, "ok")]
    found = []

    def line_of_it():
        found[:] = [e for e in gateway.log() if e.get("id") == answer.get("X-Request-Id") and "outcome" in e]
        return found

    assert eventually(line_of_it)
    (line,) = found
    assert "small" in json.dumps(line) or by in json.dumps(line)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_model_that_times_out_before_its_first_byte(with_fallback, kind, stream):
    gateway, simulator = with_fallback()
    simulator.fault("silent_head", model="big", count=1)
    answer = gateway.post(*call_of(kind, model="big", stream=stream))
    replaced(gateway, answer, ("big:latest", "timed_out"))
    assert not stream or looks_complete(kind, answer)
    assert gateway.metrics().value("fallbacks_total", **{"from": "big:latest", "to": "small:latest"}) == 1


@pytest.mark.parametrize("fault", ["reset_head", "close_head", "garbage"])
def test_a_connection_that_breaks_before_the_first_byte(with_fallback, fault):
    gateway, simulator = with_fallback()
    simulator.fault(fault, model="big", count=3)
    answer = ask(gateway, "big")
    assert answer.status == 200 and answer.get("X-Gateway-Model") == "small:latest"
    assert outcomes(answer)[-1] == ("small:latest", "ok")
    assert {what for model, what in outcomes(answer) if model == "big:latest"} == {"upstream_failed"}


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_5xx(with_fallback, kind, status):
    gateway, simulator = with_fallback()
    simulator.fault("status", model="big", status=status, count=1)
    answer = ask(gateway, "big", kind)
    replaced(gateway, answer, ("big:latest", "upstream_status"))
    assert attempts(answer)[0][2]["status"] == str(status)


def test_a_load_that_breaks(with_fallback):
    gateway, simulator = with_fallback()
    simulator.fault("load_fail", model="big", count=1)
    replaced(gateway, ask(gateway, "big"), ("big:latest", "upstream_status"))


def test_a_model_that_is_stuck(with_fallback):
    gateway, simulator = with_fallback({"unload": {"verify_within": "1s", "retries": 1}})
    served(gateway, "big")
    simulator.fault("unload_noop", model="big")
    simulator.fault("silent_head", model="big", count=1)
    replaced(gateway, ask(gateway, "big"), ("big:latest", "timed_out"))
    becomes(gateway, "big", "stuck")
    began = time.monotonic()
    replaced(gateway, ask(gateway, "big"), ("big:latest", "stuck"))
    assert time.monotonic() - began < 0.3 * PATIENCE
    assert gateway.metrics().value("fallbacks_total", reason="stuck") == 1
    simulator.clear_faults()
    simulator.drop_behind_back("big")


def test_a_model_that_is_not_there(with_fallback):
    gateway, simulator = with_fallback(models=(SMALL, TINY))
    answer = ask(gateway, "big")
    assert answer.status == 200 and answer.get("X-Gateway-Model") == "small:latest"
    assert outcomes(answer)[0][0] == "big:latest" and outcomes(answer)[-1] == ("small:latest", "ok")
    assert ("run", "big:latest") not in steps(simulator)


def test_a_fallback_s_own_does_not_support(with_fallback):
    """The first fallback cannot use tools: the next one is asked, and the client never sees that."""
    dumb = "small,load=0s,prompt=0s,rate=0,tokens=3,tools=0"
    gateway, simulator = with_fallback(models=(BIG, dumb, TINY))
    simulator.fault("status", model="big", count=1)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    answer = ask(gateway, "big", "chat", tools=tools)
    assert outcomes(answer) == [
        ("big:latest", "upstream_status"),
        ("small:latest", "upstream_status"),
        ("tiny:latest", "ok"),
    ]
    assert answer.status == 200 and answer.get("X-Gateway-Model") == "tiny:latest"


def test_a_model_s_own_does_not_support_is_the_client_s_to_see(with_fallback):
    dumb = "big,load=0s,prompt=0s,rate=0,tokens=3,tools=0"
    gateway, _ = with_fallback(models=(dumb, SMALL, TINY))
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    answer = ask(gateway, "big", "chat", tools=tools)
    assert answer.status == 400 and "does not support tools" in answer.json()["error"]


def test_they_are_asked_in_their_order(with_fallback):
    gateway, simulator = with_fallback()
    simulator.fault("status", model="big", count=1)
    simulator.fault("status", model="small", count=1)
    answer = ask(gateway, "big")
    assert outcomes(answer) == [
        ("big:latest", "upstream_status"),
        ("small:latest", "upstream_status"),
        ("tiny:latest", "ok"),
    ]


def test_only_the_name_of_the_model_is_changed_in_the_body(with_fallback):
    gateway, simulator = with_fallback()
    simulator.fault("status", model="big", count=1)
    body = '{ "prompt":"h\\u00e9" ,\t"model" : "big","options":{"seed":1e0}, "stream":false }'
    assert gateway.post("/api/generate", body).status == 200
    sent = [r["body"] for r in simulator.requests("/api/generate") if "h\\u00e9" in r["body"]]
    assert len(sent) == 2 and sent[0] == body
    assert sent[1] in (body.replace('"big"', '"small"'), body.replace('"big"', '"small:latest"'))


def test_one_that_answers_itself_tells_no_attempts_of_others(with_fallback):
    gateway, simulator = with_fallback()
    answer = ask(gateway, "big")
    assert answer.get("X-Gateway-Model") in (None, "big:latest")
    assert outcomes(answer) in ([], [("big:latest", "ok")])
    assert not [s for s in steps(simulator) if s[1] != "big:latest"]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_when_all_fail_every_attempt_is_in_the_error(with_fallback, kind):
    gateway, simulator = with_fallback()
    for name in ("big", "small", "tiny"):
        simulator.fault("status", model=name, text=f"{name} has broken")
    answer = ask(gateway, "big", kind)
    assert answer.status in (500, 502, 503) and answer.complete
    error = error_of(kind, answer.json())
    assert [(a["model"], a["outcome"], a["status"]) for a in error["attempts"]] == [
        (f"{name}:latest", "upstream_status", 500) for name in ("big", "small", "tiny")
    ]
    assert all(a["error"] for a in error["attempts"]) and "tiny has broken" in error["message"]
    assert [model for model, _, _ in attempts(answer)] == ["big:latest", "small:latest", "tiny:latest"]


def test_the_list_of_attempts_is_never_empty(serve, simulate):
    """Whatever ends a call before anything was sent."""
    simulator = simulate(BIG)
    gateway = serve(f"http://127.0.0.1:{free_port()}", quickly({"queue": {"hold_upstream": "300ms", "grace": "10s"}}))
    answer = ask(gateway, "big")
    assert answer.status == 503 and answer.json()["attempts"][0]["outcome"] in ("not_tried", "connect_failed")
    gateway = serve(simulator, quickly({"timeouts": {"load": "400ms"}}))
    gateway.serves = None
    simulator.fault("load_hang")
    with Calls(gateway) as calls:
        assert calls.sent("chat", "x", model="big", stream=False).finish().json()["attempts"]


def test_one_that_was_not_sent_is_recorded_as_not_tried(with_fallback):
    """The first fallback is nowhere: nothing is sent for it, and it is told why."""
    gateway, simulator = with_fallback(fallbacks=("missing", "small"))
    simulator.fault("status", model="big", count=1)
    answer = ask(gateway, "big")
    assert answer.status == 200 and answer.get("X-Gateway-Model") == "small:latest"
    missing = [a for a in gateway.get(f"/gateway/calls/{answer.get('X-Request-Id')}").json()["attempts"]][1]
    assert missing["model"] == "missing:latest" and missing["outcome"] == "not_tried" and missing["error"]
    assert not [s for s in steps(simulator) if s[1] == "missing:latest"]


def test_x_gateway_no_fallback_turns_substitution_off(with_fallback):
    gateway, simulator = with_fallback()
    simulator.fault("status", model="big", text="big has broken")
    answer = ask(gateway, "big", headers={"X-Gateway-No-Fallback": "1"})
    assert answer.status == 500 and "big has broken" in answer.json()["error"]
    assert answer.get("X-Gateway-Model") in (None, "big:latest")
    assert not [s for s in steps(simulator) if s[1] != "big:latest"]
    assert gateway.metrics().value("fallbacks_total") == 0


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("fault", ["reset_mid", "early_end", "silent_mid"])
def test_never_after_the_first_byte_of_the_model(with_fallback, kind, fault):
    gateway, simulator = with_fallback()
    simulator.fault(fault, model="big", count=1)
    answer = gateway.post(*call_of(kind, model="big"))
    assert answer.status == 200 and not looks_complete(kind, answer) and not answer.complete
    error = error_in(kind, answer)
    assert [(a["model"], a["outcome"]) for a in error["attempts"]] == [
        ("big:latest", "timed_out" if fault == "silent_mid" else "truncated")
    ]
    assert ("run", "small:latest") not in steps(simulator)


def test_an_early_head_is_no_first_byte(with_fallback):
    """Padding has gone out while it waited: the fallback still answers, and looks complete."""
    gateway, simulator = with_fallback(
        {"queue": {"commit_whole": "100ms", "heartbeat": "100ms"}, "timeouts": {"first_byte": "600ms"}}
    )
    simulator.fault("silent_head", model="big", count=1)
    answer = gateway.post(*call_of("chat", model="big"))
    assert answer.status == 200 and answer.complete and answer.body.startswith(b" ")
    assert looks_complete("chat", answer)
    asked = gateway.get(f"/gateway/calls/{answer.get('X-Request-Id')}").json()
    assert [a["model"] for a in asked["attempts"]] == ["big:latest", "small:latest"]


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_never_for_embeddings(simulate, serve, kind):
    models = [f"{name},embedding,dim=4,load=0s,prompt=0s" for name in ("big", "small")]
    simulator = simulate(*models)
    gateway = serve(simulator, quickly({"models": {"big": {"fallbacks": ["small"]}}}))
    gateway.serves = None
    simulator.fault("status", model="big", text="big has broken")
    answer = gateway.post(*call_to(kind, "x", model="big"))
    assert answer.status == 500 and b"big has broken" in answer.body
    assert not [s for s in steps(simulator) if s[1] == "small:latest"]


def test_never_for_transcriptions(with_fallback):
    gateway, simulator = with_fallback()
    simulator.fault("status", model="big", text="big has broken")
    part = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = "".join(f"--x\r\n{part.format(*one)}" for one in (("model", "big"), ("file", "RIFF"))) + "--x--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = gateway.post("/v1/audio/transcriptions", body.encode(), form)
    assert answer.status == 500 and b"big has broken" in answer.body
    assert not [s for s in steps(simulator) if s[1] == "small:latest"]


def test_busy_is_no_reason_for_another_model(with_fallback):
    """It goes back to the head of the queue, and is served by its own model."""
    gateway, simulator = with_fallback()
    served(gateway, "big")
    simulator.fault("busy", model="big", count=1)
    answer = ask(gateway, "big")
    assert answer.status == 200 and answer.get("X-Gateway-Model") in (None, "big:latest")
    assert ("run", "small:latest") not in steps(simulator)


def test_an_upstream_that_is_busy_now_and_then_is_not_waited_for_ever_longer(with_fallback):
    """Each "server busy" doubled the pause, up to eight seconds, whatever was served in between."""
    gateway, simulator = with_fallback()
    served(gateway, "big")
    took = []
    for _ in range(5):
        simulator.fault("busy", model="big", count=1)
        began = time.monotonic()
        assert ask(gateway, "big").status == 200
        took.append(time.monotonic() - began)
        served(gateway, "big")
    assert max(took[2:]) < 1 * PATIENCE, took


@pytest.mark.parametrize("status", [400, 403, 422])
def test_what_ollama_refuses_is_no_reason_for_another_model(with_fallback, status):
    gateway, simulator = with_fallback()
    simulator.fault("status", model="big", status=status, text="your fault")
    answer = ask(gateway, "big")
    assert answer.status == status and answer.json()["error"] == "your fault"
    assert ("run", "small:latest") not in steps(simulator)


def test_a_client_that_leaves_is_no_reason_for_another_model(with_fallback):
    gateway, simulator = with_fallback()
    served(gateway, "big")
    simulator.fault("silent_head", model="big", count=1)
    client = gateway.client().request("POST", *call_of("chat", model="big"))
    assert eventually(lambda: simulator.stats()["running"] == 1)
    client.leave()
    assert eventually(lambda: simulator.stats()["running"] == 0)
    assert not [s for s in steps(simulator) if s[1] != "big:latest"]


def test_a_fallback_waits_its_turn_like_everybody(simulate, serve):
    simulator = simulate(BIG, SMALL, "holder,load=0s,prompt=1h")
    config = {"models": {"big": {"fallbacks": ["small"]}, "small": {"max_concurrent": 1}}}
    gateway = serve(simulator, quickly(config, {"upstream": {"vram": "100GB"}}))
    gateway.serves = None
    simulator.set_model("small", prompt_ms=3600_000)
    with Calls(gateway) as calls:
        calls.hold(model="small")
        simulator.fault("status", model="big", count=1)
        client = calls.sent("chat", "call-x", model="big", stream=False)
        gateway.until_waiting(1)
        assert simulator.stats()["models"]["small:latest"]["in_flight"] == 1
        simulator.set_model("small", prompt_ms=0)
        calls.let_go()
        assert whole(client) and client.answer.get("X-Gateway-Model") == "small:latest"
