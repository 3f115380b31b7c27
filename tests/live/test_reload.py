"""The configuration read again while running (SPEC §3): a good file holds for new calls, a bad one changes
nothing, and no call notices."""

import signal
import time

import pytest

from harness import eventually, rewrite
from queueing import HOLDER, QUICK, Calls, whole


@pytest.fixture
def one_slot(simulate, serve):
    simulator = simulate(HOLDER, QUICK)
    return serve(simulator, {"upstream": {"max_concurrent": 1}}), simulator


def reload(gateway):
    answer = gateway.admin("/reload", "POST")
    return answer.status, answer.json()


def test_a_good_file_takes_effect_for_those_who_wait_and_leaves_running_calls_alone(one_slot):
    gateway, simulator = one_slot
    with Calls(gateway) as calls:
        calls.hold()
        waiting = calls.queued("chat", "call-waiting")
        rewrite(gateway, upstream={"max_concurrent": 2})
        assert reload(gateway) == (200, {"reloaded": True, "notes": []})
        assert whole(waiting)
        assert gateway.status()["upstreams"][0]["permits"] == 2
        assert simulator.stats()["aborts"]["count"] == 0
        calls.let_go()


def test_a_bad_file_changes_nothing_and_tells_every_mistake(one_slot):
    gateway, _ = one_slot
    gateway.expected = ["the configuration was not taken"]
    rewrite(gateway, queue={"max_waiting": -1, "gracee": "1s"})
    status, said = reload(gateway)
    assert status == 400 and said["reloaded"] is False
    assert any("queue.max_waiting" in note for note in said["notes"])
    assert any("queue.gracee" in note and "grace" in note for note in said["notes"])
    assert gateway.status()["upstreams"][0]["permits"] == 1
    assert gateway.metrics().value("ollama_gateway_config_reloads_total", result="failed") == 1


def test_what_cannot_change_while_running_is_said(one_slot):
    gateway, _ = one_slot
    rewrite(gateway, listen="127.0.0.1:1", upstream={"max_concurrent": 4})
    status, said = reload(gateway)
    assert status == 200 and said["notes"] == ["listen changes with the next start"]
    assert gateway.status()["upstreams"][0]["permits"] == 4


def test_sighup_reads_it_again(one_slot):
    gateway, _ = one_slot
    rewrite(gateway, upstream={"max_concurrent": 5})
    gateway.signal(signal.SIGHUP)
    assert eventually(lambda: gateway.status()["upstreams"][0]["permits"] == 5)


def test_two_hundred_reloads_under_load_fail_no_call(one_slot):
    gateway, simulator = one_slot
    done = reloads = 0
    until = time.monotonic() + 10
    with Calls(gateway) as calls:
        while reloads < 200 and time.monotonic() < until:
            clients = [calls.sent("chat", f"call-{done + n}") for n in range(4)]
            for n in range(8):
                rewrite(gateway, upstream={"max_concurrent": 1 + (reloads + n) % 3})
                gateway.signal(signal.SIGHUP)
                reloads += 1
                time.sleep(0.01)
            assert all(whole(client) for client in clients)
            done += len(clients)
    assert reloads == 200 and done == 100
    assert simulator.stats()["aborts"]["count"] == 0


def test_an_upstream_s_limits_are_those_under_its_name_wherever_it_stands(simulate, serve):
    gateway = serve({"one": simulate(QUICK), "two": simulate(QUICK)})
    one, two = gateway.config["upstreams"]
    rewrite(gateway, upstreams=[{**two, "max_concurrent": 8}, {**one, "max_concurrent": 1}])
    assert reload(gateway) == (200, {"reloaded": True, "notes": []})
    assert {u["name"]: u["permits"] for u in gateway.status()["upstreams"]} == {"one": 1, "two": 8}
    rewrite(gateway, upstreams=[{**two, "name": "three", "max_concurrent": 5}, {**one, "max_concurrent": 2}])
    notes = ["the upstream two goes with the next start", "the upstream three comes with the next start"]
    assert reload(gateway) == (200, {"reloaded": True, "notes": notes})
    assert {u["name"]: u["permits"] for u in gateway.status()["upstreams"]} == {"one": 2, "two": 8}
