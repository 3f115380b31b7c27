"""SPEC §5 "Fewer swaps": a call whose model is ready goes before one that would force a load, within bounds, and
nobody starves. The order is read off the simulated Ollama."""

# ctest: timeout 600

import random
import time

import pytest

from harness import PATIENCE, eventually
from queueing import Calls, order, user, whole
from residents import (  # noqa: F401
    loads,
    longest_passed,
    nothing_was_disturbed,
    quickly,
    served,
    simulate,
    state_of,
    steps,
    unloads,
)

MOST_PASSED = 8


def two_models(load="100ms", prompt="5ms"):
    return [f"{name},size=6GB,load={load},prompt={prompt},rate=0,tokens=2" for name in "ab"]


@pytest.fixture
def tight(simulate, serve):
    """tight() → (gateway, simulator): two models that do not fit together, `a` is loaded, one permit."""

    def start(vram="10GB", load="100ms", prompt="5ms", permits=1, **more):
        flags = ["--vram", "10GB", "--keep-requests", 2000]
        simulator = simulate(*two_models(load, prompt), flags=flags)
        upstream = {"max_concurrent": permits, **({"vram": vram} if vram else {})}
        gateway = serve(simulator, quickly({"upstream": upstream, "queue": {"max_waiting": 1000}}, more))
        gateway.serves = None
        served(gateway, "a")
        simulator.reset()
        return gateway, simulator

    return start


def hold(calls, simulator):
    """A call of `a` that has the permit, so that nothing is swapped before everybody is there."""
    simulator.set_model("a", prompt_ms=3600_000)
    calls.hold(model="a")
    simulator.set_model("a", prompt_ms=5)


def in_order(calls, simulator, *marks):
    """Queues a call for each mark, in this order, each of a client of its own and of the model that its mark begins
    with; lets them go; the marks in the order in which they came upstream."""
    clients = [calls.queued("chat", f"call-{mark}", user(mark), model=mark[0]) for mark in marks]
    calls.let_go()
    assert all(whole(client) for client in clients)
    return order(simulator)


def some(name, count, first=0):
    return [f"{name}{n}" for n in range(first, first + count)]


def test_a_call_whose_model_is_ready_goes_before_one_that_would_force_a_load(tight):
    gateway, simulator = tight()
    with Calls(gateway) as calls:
        hold(calls, simulator)
        assert in_order(calls, simulator, "b0", "a0", "b1", "a1") == ["a0", "a1", "b0", "b1"]
    assert [load["model"] for load in loads(simulator)] == ["b:latest"]
    nothing_was_disturbed(simulator)


def test_one_that_was_passed_eight_times_has_its_turn(tight):
    gateway, simulator = tight()
    with Calls(gateway) as calls:
        hold(calls, simulator)
        marks = in_order(calls, simulator, "b0", *some("a", 12))
    assert marks == [*some("a", 8), "b0", *some("a", 4, 8)]
    nothing_was_disturbed(simulator)


def test_each_call_is_told_how_many_are_served_before_it_those_of_a_ready_model_too(tight):
    gateway, simulator = tight()
    with Calls(gateway) as calls:
        hold(calls, simulator)
        marks = [*some("b", 3), *some("a", 20)]
        clients = [calls.queued("chat", f"call-{mark}", user(mark), model=mark[0]) for mark in marks]
        told = {c["client"]: c["position"] for c in gateway.status()["calls"] if c["position"]}
        lengths, asked = set(), {}
        for c in gateway.status()["calls"]:
            if c["position"]:
                view = gateway.get(f"/gateway/calls/{c['id']}").json()
                lengths.add(view["queue_length"])
                asked[c["client"]] = view["position"]
        calls.let_go()
        assert all(whole(client) for client in clients)
    assert asked == told and lengths == {23}
    places = {client.rsplit(":", 1)[-1]: place for client, place in told.items()}
    assert sorted(places.values()) == list(range(1, 24)), told
    served_as = {mark: n for n, mark in enumerate(order(simulator), 1)}
    assert places == served_as
    assert [served_as[b] for b in some("b", 3)] == [9, 10, 11]


def test_a_load_request_stands_in_no_place_of_the_queue(tight):
    gateway, simulator = tight()
    with Calls(gateway) as calls:
        hold(calls, simulator)
        calls.queued("chat", "call-a0", user("a0"), model="a")
        loads_b = gateway.client()
        loads_b.request("POST", "/api/generate", {"model": "b"}, {"Accept": "text/event-stream"})
        calls.clients.append(loads_b)
        assert eventually(lambda: len(gateway.status()["calls"]) == 3, within=5)
        calls.queued("chat", "call-a1", user("a1"), model="a")

        def told():
            status, queue = gateway.status(), gateway.queue()
            waiting = [c for c in status["calls"] if c["phase"] == "waiting"]
            views = [gateway.get(f"/gateway/calls/{c['id']}").json() for c in waiting]
            return {
                "status": sorted((c["position"] or 0, c["model"]) for c in waiting),
                "calls": sorted((v["position"] or 0, v["model"]) for v in views),
                "lengths": [v["queue_length"] for v in views],
                "models": [m["waiting"] for page in (status, queue) for m in page["models"] if m["name"] == "a:latest"],
                "all": [sum(m["waiting"] for m in status["models"]), queue["waiting"]],
            }

        places = [(0, "b:latest"), (1, "a:latest"), (2, "a:latest")]
        wanted = {"status": places, "calls": places, "lengths": [2, 2, 2], "models": [2, 2], "all": [2, 2]}
        assert eventually(lambda: told() == wanted, within=5), told()


def test_after_a_swap_eight_of_the_new_model_go_before_the_next_swap(tight):
    gateway, simulator = tight()
    with Calls(gateway) as calls:
        hold(calls, simulator)
        # Those of `b` but the first come after all of `a`.
        marks = in_order(calls, simulator, "b0", *some("a", 12), *some("b", 11, 1))
    assert marks == [*some("a", 8), *some("b", 8), *some("a", 4, 8), *some("b", 4, 8)] or marks == [
        *some("a", 8),
        *some("b", 9),
        *some("a", 4, 8),
        *some("b", 3, 9),
    ], marks
    nothing_was_disturbed(simulator)


def test_a_swap_is_not_made_for_one_whose_model_s_calls_still_come(tight):
    """No call of `a` waits while one runs: a newcomer of `a` still goes before the one that would force a load."""
    gateway, simulator = tight(prompt="150ms", permits=2)
    with Calls(gateway) as calls:
        first = calls.sent("chat", "call-a0", user("a0"), model="a")
        gateway.until_running(1)
        waits = calls.queued("chat", "call-b0", user("b0"), model="b")
        second = calls.sent("chat", "call-a1", user("a1"), model="a")
        assert all(whole(client) for client in (first, second, waits))
    assert order(simulator) == ["a0", "a1", "b0"]


def test_one_that_was_passed_for_fifteen_seconds_and_its_load_has_its_turn(tight):
    """Six calls of 2.8 s each: the bound in time comes before the eighth."""
    gateway, simulator = tight(prompt="2800ms")
    served(gateway, "b")
    served(gateway, "a")
    simulator.reset()
    with Calls(gateway) as calls:
        first = calls.sent("chat", "call-first", user("first"), model="a")
        gateway.until_running(1)
        calls.queued("chat", "call-b0", user("b0"), model="b")
        for mark in some("a", 8):
            calls.queued("chat", f"call-{mark}", user(mark), model="a")
        waiting = calls.clients[1]
        began = time.monotonic()
        assert whole(first)
        assert eventually(lambda: "b0" in order(simulator), within=26), order(simulator)
        took = time.monotonic() - began
        simulator.set_model("a", prompt_ms=1)
        simulator.set_model("b", prompt_ms=1)
        assert whole(waiting)
        assert all(whole(client) for client in calls.clients[2:])
    assert 5 <= order(simulator).index("b0") - 1 <= 7 and 14.5 < took < 22 * PATIENCE, (took, order(simulator))


@pytest.mark.parametrize("vram", ["10GB", None])
def test_two_hundred_mixed_calls_over_two_models_that_do_not_fit_together(tight, vram):
    gateway, simulator = tight(vram)
    chance = random.Random(2026)
    arrivals = [f"{chance.choice('ab')}{n}" for n in range(200)]
    in_turn = sum(one[0] != next_one[0] for one, next_one in zip(arrivals, arrivals[1:]))
    with Calls(gateway) as calls:
        hold(calls, simulator)
        marks = in_order(calls, simulator, *arrivals)
    swaps = sum(one[0] != next_one[0] for one, next_one in zip(marks, marks[1:]))
    passed = longest_passed(arrivals, marks)
    print(f"{swaps} swaps, {in_turn} in the order of arrival; passed over at most {passed} times")
    assert sorted(marks) == sorted(arrivals), "nobody starved"
    assert swaps * 3 <= in_turn and len(loads(simulator)) <= swaps + 3
    assert passed <= MOST_PASSED
    assert all(load["beside"] == [] for load in loads(simulator, result=None)), "no load while a resident model ran"
    if vram:
        nothing_was_disturbed(simulator)
    else:
        assert len([one for one in unloads(simulator) if one["asked_while_busy"]]) <= 1, "but for their first meeting"


def test_two_hundred_calls_of_clients_that_come_and_go_swap_seldom(tight):
    """The same as people bring it: twenty clients, each with its next call when its last is answered, four
    permits."""
    gateway, simulator = tight(permits=4)
    chance = random.Random(7)
    plans = [[chance.choice("ab") for _ in range(10)] for _ in range(20)]
    with Calls(gateway) as calls:
        turns = [calls.sent("chat", f"call-{plan[0]}", user(str(n)), model=plan[0]) for n, plan in enumerate(plans)]
        for turn in range(1, 11):
            for n, client in enumerate(turns):
                assert whole(client)
                calls.clients.remove(client)
                client.socket.close()
                if turn < 10:
                    name = plans[n][turn]
                    turns[n] = calls.sent("chat", f"call-{name}", user(str(n)), model=name)
    marks = order(simulator)
    assert len(marks) == 200
    swaps = len(loads(simulator))
    print(f"{swaps} loads")
    assert swaps <= 33
    nothing_was_disturbed(simulator)


def test_a_model_that_stays_is_not_swapped_for_calls_that_have_left(tight):
    gateway, simulator = tight(prompt="100ms")
    with Calls(gateway) as calls:
        running = calls.sent("chat", "call-a0", user("a0"), model="a")
        gateway.until_running(1)
        gone = calls.queued("chat", "call-b0", user("b0"), model="b")
        gone.leave()
        calls.clients.remove(gone)
        gateway.until_waiting(0)
        assert whole(running)
    served(gateway, "a")
    assert state_of(gateway, "b") == "absent" and ("load", "b:latest") not in steps(simulator)
