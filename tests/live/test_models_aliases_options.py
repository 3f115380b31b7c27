"""SPEC §4 and §7: names that mean one model, and load-time options, which would make Ollama load a model again and
again: they are part of what a call waits for, reused, or stripped."""

import random
import time

import pytest

from dialects import call_of
from harness import PATIENCE
from queueing import Calls, user, whole
from residents import (  # noqa: F401
    ask,
    becomes,
    bodies,
    drift,
    line_of,
    loads,
    nothing_was_disturbed,
    quickly,
    served,
    simulate,
    state_of,
    steps,
    unloads,
)

MODEL = "llama3,load=80ms,prompt=0s,rate=0,tokens=3"
NO_REUSE = {"models": {"llama3": {"reuse_larger_context": False}}}


def contexts(simulator):
    """The num_ctx of each load that Ollama has made."""
    return [load["context"] for load in loads(simulator)]


# --- names ---


def test_names_that_ollama_takes_for_one_are_one(serve, simulate):
    simulator = simulate(MODEL, "big:14b,load=50ms,prompt=0s,rate=0,tokens=2")
    gateway = serve(simulator, quickly())
    for name in ("llama3", "LLaMA3:latest", "library/llama3", "registry.ollama.ai/library/llama3:latest"):
        served(gateway, name)
    served(gateway, "BIG:14B")
    served(gateway, "big:14b")
    assert len(loads(simulator)) == 2 and len(bodies(simulator, "load")) == 2
    assert {m["name"] for m in gateway.status()["models"]} == {"llama3:latest", "big:14b"}


def test_names_on_one_blob_are_one_model(serve, simulate):
    """The second name needs no load, and makes nobody go."""
    models = [f"{name},size=6GB,load=80ms,prompt=50ms,rate=0,tokens=2,file=weights" for name in ("one", "two")]
    simulator = simulate(*models, flags=["--vram", "10GB"])
    gateway = serve(simulator, quickly({"upstream": {"vram": "10GB"}}))
    gateway.serves = None
    for name in ("one", "two", "one", "two"):
        served(gateway, name)
    with Calls(gateway) as calls:
        clients = [calls.sent("chat", "x", user(str(n)), model=("one", "two")[n % 2]) for n in range(8)]
        assert all(whole(client) for client in clients)
    assert len(loads(simulator)) == 1 and not unloads(simulator)
    assert steps(simulator).count(("load", "one:latest")) + steps(simulator).count(("load", "two:latest")) == 1


def test_an_unload_by_another_name_is_that_model_s(serve, simulate):
    models = [f"{name},load=80ms,prompt=0s,rate=0,tokens=2,file=weights" for name in ("one", "two")]
    simulator = simulate(*models)
    gateway = serve(simulator, quickly({"reconcile": {"interval": "10s"}}))
    gateway.serves = None
    served(gateway, "one")
    assert gateway.post("/api/generate", {"model": "two", "keep_alive": 0}).status == 200
    becomes(gateway, "one", "absent")
    assert drift(gateway) == {"appeared": 0, "vanished": 0}
    served(gateway, "one")
    assert len(bodies(simulator, "load")) == 2


# --- options ---


def test_a_ready_variant_with_a_larger_context_serves_a_smaller_wish(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    served(gateway, "llama3", options={"num_ctx": 8192})
    body = '{"model":"llama3", "prompt":"h\\u00e9" ,"stream":false,"options":{ "num_ctx" : 2048,"temperature":0.25}}'
    assert gateway.post("/api/generate", body).status == 200
    served(gateway, "llama3", "chat", options={"num_ctx": 4096})
    assert contexts(simulator) == [8192]
    sent = [r["body"] for r in simulator.requests("/api/generate") if "h\\u00e9" in r["body"]]
    assert sent == [body.replace("2048", "8192")], "the number is changed and nothing else"
    assert bodies(simulator, "run")[-1]["options"]["num_ctx"] == 8192


def test_a_larger_wish_loads_it_anew_when_nobody_uses_it(serve, simulate):
    simulator = simulate("llama3,load=80ms,prompt=0s,rate=50,tokens=20")
    gateway = serve(simulator, quickly())
    gateway.serves = None
    with Calls(gateway) as calls:
        running = calls.sent("chat", "call-small", stream=True, options={"num_ctx": 2048})
        running.piece()
        waits = calls.queued("chat", "call-large", options={"num_ctx": 8192})
        assert whole(running) and whole(waits)
    assert contexts(simulator) == [2048, 8192]
    nothing_was_disturbed(simulator)
    served(gateway, "llama3", options={"num_ctx": 2048})
    assert contexts(simulator) == [2048, 8192]


def test_other_options_than_the_context_are_no_larger_or_smaller(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    served(gateway, "llama3", options={"num_ctx": 8192, "num_thread": 4})
    served(gateway, "llama3", options={"num_ctx": 2048, "num_thread": 2})
    assert contexts(simulator) == [8192, 2048]
    nothing_was_disturbed(simulator)
    assert [one["reason"] for one in unloads(simulator)] == ["request"], "the gateway unloads it, not Ollama"


def test_without_reuse_each_wish_has_its_own(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly(NO_REUSE))
    for context in (8192, 2048, 8192):
        served(gateway, "llama3", options={"num_ctx": context})
    assert contexts(simulator) == [8192, 2048, 8192]
    assert [run["options"]["num_ctx"] for run in bodies(simulator, "run")] == [8192, 2048, 8192]
    assert [one["reason"] for one in unloads(simulator)] == ["request", "request"]


def test_pinned_options_are_stripped_and_the_others_are_not(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly({"models": {"llama3": {"pin_options": True}}}))
    options = {"num_ctx": 8192, "temperature": 0.5, "num_gpu": 1, "num_thread": 3, "num_predict": 2}
    served(gateway, "llama3", options=options, shift=False)
    served(gateway, "llama3", options={"num_ctx": 2048})
    served(gateway, "llama3")
    assert len(loads(simulator)) == 1 and loads(simulator)[0]["options"] == ""
    runs = bodies(simulator, "run")
    assert runs[0]["options"] == {"temperature": 0.5, "num_predict": 2} and "shift" not in runs[0]
    assert not (runs[1].get("options") or {})
    assert not bodies(simulator, "load")[0].get("options")


@pytest.mark.parametrize(
    "same",
    [
        {"options": {"num_gpu": -1}},
        {"options": {"num_thread": 0}},
        {"options": {"num_ctx": None}},
        {"options": {}},
        {"options": {"temperature": 1, "seed": 3}},
        {"shift": True},
    ],
)
def test_ollama_s_own_values_are_no_options(serve, simulate, same):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly(NO_REUSE))
    served(gateway, "llama3")
    served(gateway, "llama3", **same)
    served(gateway, "llama3")
    assert len(loads(simulator)) == 1 and not unloads(simulator)


def test_a_context_that_is_the_model_s_own_parameter_is_no_other(serve, simulate):
    simulator = simulate(MODEL + ",num_ctx=16384")
    gateway = serve(simulator, quickly(NO_REUSE))
    served(gateway, "llama3")
    served(gateway, "llama3", options={"num_ctx": 16384})
    served(gateway, "llama3", "chat_completions")
    assert contexts(simulator) == [16384] and not unloads(simulator)
    served(gateway, "llama3", options={"num_ctx": 4096})
    assert contexts(simulator) == [16384, 4096]


def test_calls_that_can_name_no_options_take_the_model_as_it_comes(serve, simulate):
    """OpenAI's API has none. Ollama would load the model anew for them: so the gateway does, when nobody uses it."""
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    served(gateway, "llama3", "chat_completions")
    served(gateway, "llama3", options={"num_ctx": 8192})
    served(gateway, "llama3", "chat_completions")
    assert not [one for one in unloads(simulator) if one["reason"] == "evicted"], "no reload behind its back"
    nothing_was_disturbed(simulator)
    assert state_of(gateway, "llama3") == "ready"


@pytest.mark.parametrize("reuse", [True, False])
def test_two_alternating_contexts_under_load_never_meet(serve, simulate, reuse):
    """PR #14407: with a running call of each, Ollama waits for ever to reload."""
    simulator = simulate(
        "llama3,load=50ms,prompt=5ms,rate=400,tokens=8", flags=["--bug-evict-deadlock", "--keep-requests", 1000]
    )
    config = {"models": {"llama3": {"reuse_larger_context": reuse}}, "upstream": {"max_concurrent": 4}}
    gateway = serve(simulator, quickly(config))
    gateway.serves = None
    chance = random.Random(3)
    with Calls(gateway) as calls:
        for n in range(60):
            options = {"num_ctx": chance.choice([2048, 8192])}
            calls.sent("chat", f"call-{n}", user(str(n)), options=options, keep_alive="5m")
        assert all(whole(client) for client in calls.clients)
    nothing_was_disturbed(simulator)
    assert not unloads(simulator, "evicted")
    assert len(loads(simulator)) <= (2 if reuse else 60 // 8 + 3), contexts(simulator)


def test_a_model_that_somebody_else_loaded_with_options_of_their_own_is_used_or_replaced(serve, simulate):
    """Its options are not known: whatever the gateway does, the call is answered and nobody is in the way."""
    simulator = simulate(MODEL)
    simulator.load_behind_back("llama3", options={"num_ctx": 8192, "num_thread": 3})
    gateway = serve(simulator, quickly())
    gateway.serves = None
    becomes(gateway, "llama3", "ready")
    began = time.monotonic()
    with Calls(gateway) as calls:
        clients = [calls.sent("chat", f"call-{n}", user(str(n))) for n in range(6)]
        assert all(whole(client) for client in clients)
    assert time.monotonic() - began < 3 * PATIENCE
    nothing_was_disturbed(simulator)
    assert len(loads(simulator)) <= 1
    assert line_of(gateway, "llama3")["state"] == "ready"
    assert ask(gateway, "llama3").status == 200


def test_a_load_with_options_by_a_client_s_load_request_is_that_variant(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly(NO_REUSE))
    answer = gateway.post("/api/generate", {"model": "llama3", "options": {"num_ctx": 8192}})
    assert answer.status == 200 and answer.json()["done_reason"] == "load"
    served(gateway, "llama3", options={"num_ctx": 8192})
    assert contexts(simulator) == [8192]
    target, body = call_of("chat", stream=False)
    assert gateway.post(target, body).status == 200
    assert contexts(simulator) == [8192, 4096]
