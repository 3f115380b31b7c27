"""SPEC §7 "VRAM": what goes in, what leaves for it, what is never moved, and what happens without a budget."""

import asyncio
import random
import time

import pytest

from dialects import call_of
from harness import PATIENCE, eventually, rewrite
from queueing import Calls, user, whole
from residents import (  # noqa: F401
    becomes,
    full,
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

GB = 1_000_000_000


def model(name, size, load="80ms", prompt="0s", **more):
    rest = "".join(f",{key}={value}" for key, value in more.items())
    return f"{name},size={size},load={load},prompt={prompt},rate=0,tokens=2{rest}"


def with_vram(size, *more):
    return quickly({"upstream": {"vram": size}}, *more)


def test_what_fits_together_stays_together(serve, simulate):
    simulator = simulate(model("a", "4GB"), model("b", "4GB"), flags=["--vram", "10GB"])
    gateway = serve(simulator, with_vram("10GB"))
    gateway.serves = None
    for _ in range(3):
        for name in ("a", "b"):
            served(gateway, name)
    assert state_of(gateway, "a") == state_of(gateway, "b") == "ready"
    assert len(loads(simulator)) == 2 and not unloads(simulator)
    assert line_of(gateway, "a")["size_vram"] == 4 * GB


def test_the_budget_is_in_the_status_and_the_metrics(serve, simulate):
    simulator = simulate(model("a", "4GB"))
    gateway = serve(simulator, with_vram("10GB"))
    gateway.serves = None
    assert gateway.status()["upstreams"][0]["vram_budget"] == 10 * GB
    assert gateway.metrics().value("vram_budget_bytes", upstream="local") == 10 * GB
    served(gateway, "a")
    assert eventually(lambda: gateway.metrics().value("model_vram_bytes", model="a:latest") == 4 * GB)


@pytest.mark.parametrize("vram", ["10GB", None])
def test_room_that_a_reload_makes_is_used_at_once_by_who_waits_for_it(serve, simulate, vram):
    slow = "slow,size=4GB,load=80ms,prompt=0s,rate=4,tokens=20"
    simulator = simulate(slow, model("b", "4GB"), flags=["--vram", "10GB"])
    gateway = serve(simulator, with_vram("5GB", {"reconcile": {"interval": "60s"}}))
    gateway.serves = None
    with Calls(gateway) as calls:
        busy = calls.sent("generate", "x", model="slow")
        gateway.until_running(1)
        waits = calls.queued("generate", "x", model="b")
        rewrite(gateway, upstream={"vram": vram})
        assert gateway.admin("/reload", "POST").status == 200
        assert whole(waits) and gateway.queue()["running"] == 1
        assert whole(busy)


def test_the_least_recently_used_idle_model_makes_room(serve, simulate):
    simulator = simulate(*(model(name, "4GB") for name in "abc"), flags=["--vram", "10GB"])
    gateway = serve(simulator, with_vram("10GB"))
    gateway.serves = None
    for name in ("a", "b", "a", "c"):
        served(gateway, name)
    assert [one["model"] for one in unloads(simulator)] == ["b:latest"]
    assert unloads(simulator)[0]["reason"] == "request", "the gateway makes room, not Ollama"
    assert [state_of(gateway, name) for name in "abc"] == ["ready", "absent", "ready"]
    assert gateway.metrics().value("unloads_total", result="gone") == 1
    for name in ("b", "c"):
        served(gateway, name)
    assert [one["model"] for one in unloads(simulator)] == ["b:latest", "a:latest"]
    nothing_was_disturbed(simulator)


def test_as_many_leave_as_are_needed_and_no_more(serve, simulate):
    models = [model(name, "3GB") for name in "abc"] + [model("big", "6GB")]
    simulator = simulate(*models, flags=["--vram", "10GB", "--max-loaded", 0])
    gateway = serve(simulator, with_vram("10GB"))
    gateway.serves = None
    for name in ("a", "b", "c", "big"):
        served(gateway, name)
    assert [one["model"] for one in unloads(simulator)] == ["a:latest", "b:latest"]
    assert state_of(gateway, "c") == state_of(gateway, "big") == "ready"


def test_a_busy_model_is_waited_for_and_never_evicted_under_a_running_call(serve, simulate):
    busy = "busy,size=6GB,load=0s,prompt=0s,rate=20,tokens=16"
    simulator = simulate(busy, model("next", "6GB"), flags=["--vram", "10GB"])
    gateway = serve(simulator, with_vram("10GB"))
    gateway.serves = None
    with Calls(gateway) as calls:
        running = calls.sent("chat", "call-busy", model="busy", stream=True)
        running.piece()
        waits = calls.queued("chat", "call-next", model="next")
        time.sleep(0.3)
        assert state_of(gateway, "busy") == "ready" and state_of(gateway, "next") == "absent"
        assert ("unload", "busy:latest") not in steps(simulator)
        assert whole(running) and whole(waits)
    nothing_was_disturbed(simulator)
    assert [one["reason"] for one in unloads(simulator)] == ["request"]


def test_an_idle_model_leaves_before_a_busy_one_is_waited_for(serve, simulate):
    busy = "busy,size=4GB,load=0s,prompt=1h"
    simulator = simulate(model("idle", "4GB"), busy, model("next", "4GB"), flags=["--vram", "10GB"])
    gateway = serve(simulator, with_vram("10GB"))
    gateway.serves = None
    served(gateway, "idle")
    with Calls(gateway) as calls:
        calls.hold(model="busy")
        served(gateway, "idle")  # used later than busy, but idle
        served(gateway, "next")
    assert [one["model"] for one in unloads(simulator)] == ["idle:latest"]


def test_a_file_larger_than_vram_and_no_fallback_goes_in_alone(serve, simulate):
    simulator = simulate(model("a", "4GB"), model("huge", "40GB"), flags=["--vram", "10GB"])
    gateway = serve(simulator, with_vram("10GB"))
    gateway.serves = None
    for name in ("a", "huge", "a"):
        served(gateway, name)
    assert [one["reason"] for one in unloads(simulator)] == ["request", "request"]
    assert [load["model"] for load in loads(simulator)] == ["a:latest", "huge:latest", "a:latest"]
    nothing_was_disturbed(simulator)


def test_a_file_larger_than_vram_is_replaced_by_its_fallback_at_once(serve, simulate):
    simulator = simulate(model("big", "40GB"), model("small", "4GB"), flags=["--vram", "10GB"])
    gateway = serve(simulator, with_vram("10GB", {"models": {"big": {"fallbacks": ["small"]}}}))
    gateway.serves = None
    served(gateway, "small")
    began = time.monotonic()
    answer = served(gateway, "big")
    assert time.monotonic() - began < 0.3 * PATIENCE
    assert answer.get("X-Gateway-Model") == "small:latest"
    assert answer.get("X-Gateway-Attempts").startswith("big:latest@local;outcome=does_not_fit")
    assert ("load", "big:latest") not in steps(simulator)
    assert gateway.metrics().value("fallbacks_total", **{"from": "big:latest", "to": "small:latest"}) == 1


def test_an_estimate_refuses_nothing_but_a_measured_size_does(serve, simulate):
    """Its file would fit; what it takes is only known once it has been loaded."""
    models = [model("wide", "4GB", vram="14GB"), model("small", "1GB")]
    simulator = simulate(*models, flags=["--vram", "20GB"])
    gateway = serve(simulator, with_vram("10GB", {"models": {"wide": {"fallbacks": ["small"]}}}))
    gateway.serves = None
    answer = served(gateway, "wide")
    assert answer.get("X-Gateway-Model") in (None, "wide:latest")
    assert eventually(lambda: (line_of(gateway, "wide") or {}).get("size_vram") == 14 * GB)
    gateway.post("/api/generate", {"model": "wide", "keep_alive": 0})
    becomes(gateway, "wide", "absent")
    answer = served(gateway, "wide")
    assert answer.get("X-Gateway-Model") == "small:latest"
    assert "outcome=does_not_fit" in answer.get("X-Gateway-Attempts")


def test_the_size_of_a_context_counts(serve, simulate):
    """The same model with a larger context takes more: measured, it makes the other one leave."""
    models = [model("a", "2GB", cache=100_000), model("b", "4GB")]
    simulator = simulate(*models, flags=["--vram", "10GB", "--num-parallel", 1])
    gateway = serve(simulator, with_vram("10GB", {"upstream": {"max_concurrent": 1}}))
    gateway.serves = None
    for _ in range(2):
        served(gateway, "b")
        served(gateway, "a", options={"num_ctx": 4096})
    assert line_of(gateway, "a")["size_vram"] == 2 * GB + 4096 * 100_000
    assert not unloads(simulator)
    served(gateway, "a", options={"num_ctx": 65536})  # 8.5 GB: not beside the 4 GB of the other
    served(gateway, "b")
    served(gateway, "a", options={"num_ctx": 65536})
    reasons = {(one["model"], one["reason"]) for one in unloads(simulator)}
    assert ("b:latest", "request") in reasons
    nothing_was_disturbed(simulator)


# --- without a budget ---


def test_models_that_push_each_other_out_are_not_run_together_again(serve, simulate):
    """Nobody says how much VRAM there is: the first time Ollama evicts; from then on the gateway makes room."""
    simulator = simulate(model("a", "6GB"), model("b", "6GB"), flags=["--vram", "10GB"])
    gateway = serve(simulator, quickly())
    gateway.serves = None
    for name in ("a", "b") * 4:
        served(gateway, name)
    reasons = [one["reason"] for one in unloads(simulator)]
    assert reasons[0] == "evicted" and set(reasons[1:]) == {"request"}, reasons
    assert len(loads(simulator)) == 8


def test_models_that_fit_together_are_left_together_without_a_budget(serve, simulate):
    simulator = simulate(model("a", "4GB"), model("b", "4GB"), flags=["--vram", "10GB"])
    gateway = serve(simulator, quickly())
    gateway.serves = None
    for name in ("a", "b") * 4:
        served(gateway, name)
    assert len(loads(simulator)) == 2 and not unloads(simulator)
    with Calls(gateway) as calls:
        clients = [calls.sent("generate", "x", user(str(n)), model="ab"[n % 2]) for n in range(12)]
        assert all(whole(client) for client in clients)
    assert len(loads(simulator)) == 2 and not unloads(simulator)


@pytest.mark.parametrize("keep_alive", ["5m", -1])
def test_without_a_budget_two_models_that_do_not_fit_never_meet_ollama_s_evict_deadlock(serve, simulate, keep_alive):
    """Half an hour of traffic at a hundredth of its length, each call with a keep_alive of its own, which is what
    takes an eviction back in Ollama; directly it hangs within seconds."""
    simulator = simulate(
        "a,size=6GB,load=100ms,prompt=10ms,rate=200,tokens=20",
        "b,size=6GB,load=100ms,prompt=10ms,rate=200,tokens=20",
        flags=["--vram", "10GB", "--num-parallel", 4, "--bug-evict-deadlock"],
    )
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 4}}))
    gateway.serves = None
    served_of = {"a": 0, "b": 0}
    longest = 0.0
    until = time.monotonic() + 18

    async def one_client(number):
        nonlocal longest
        chance = random.Random(number)
        while time.monotonic() < until:
            name = chance.choice("ab")
            client = await gateway.async_client().open()
            began = time.monotonic()
            await client.request("POST", *call_of("chat", model=name, keep_alive=keep_alive), user(str(number)))
            answer = await asyncio.wait_for(client.finish(), 30 * PATIENCE)
            assert answer.status == 200 and answer.complete, answer.raw
            longest = max(longest, time.monotonic() - began)
            client.leave()
            served_of[name] += 1
            await asyncio.sleep(chance.uniform(0, 0.2))

    async def traffic():
        await asyncio.gather(*(one_client(number) for number in range(8)))

    asyncio.run(traffic())
    assert min(served_of.values()) > 40, served_of
    assert longest < 10 * PATIENCE
    assert [one["reason"] for one in unloads(simulator)].count("evicted") <= 2, "they have met once"
    for load in loads(simulator, result=None):
        assert load["beside"] == [], load
    assert {full(name) for name in served_of} == {load["model"] for load in loads(simulator)}
