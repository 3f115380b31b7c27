"""SPEC §5: the queue is fair over clients, whoever they are taken for, and background calls yield."""

import pytest

from queueing import HOLDER, QUICK, Calls, order, user, whole


@pytest.fixture
def held(simulate, serve):
    """held({…configuration}) → (gateway, simulator, calls): the one permit is taken."""
    opened = []

    def start(config=None):
        simulator = simulate(HOLDER, QUICK)
        gateway = serve(simulator, {**(config or {}), "upstream": {"max_concurrent": 1}})
        opened.append(Calls(gateway).hold())
        return gateway, simulator, opened[-1]

    yield start
    for calls in opened:
        calls.__exit__()


def served(calls, simulator):
    """Lets everybody have their turn; the marks in the order they came upstream."""
    calls.let_go()
    assert all(whole(client) for client in calls.clients)
    return order(simulator)


def test_clients_take_turns_however_many_calls_each_has(held):
    _, simulator, calls = held()
    for who, count in (("a", 6), ("b", 3), ("c", 1)):
        for n in range(count):
            calls.queued("chat", f"call-{who}{n}", user(who))
    assert served(calls, simulator) == ["a0", "b0", "c0", "a1", "b1", "a2", "b2", "a3", "a4", "a5"]


def test_one_who_comes_late_does_not_wait_behind_another_s_many_calls(held):
    gateway, simulator, calls = held()
    for n in range(15):
        calls.queued("chat", f"call-many.{n}", user("many"))
    late = calls.queued("chat", "call-late", {**user("late"), "X-Queue-Events": "1"})
    late.piece()
    asked = gateway.get(f"/gateway/calls/{late.answer.get('X-Request-Id')}").json()
    assert asked["position"] == 2 and asked["queue_length"] == 16
    assert served(calls, simulator).index("late") == 1


def test_the_position_of_those_who_wait_may_rise(held):
    gateway, _, calls = held()
    clients = [calls.queued("chat", f"call-a{n}", {**user("a"), "X-Queue-Events": "1"}) for n in range(3)]
    last = clients[-1].head().get("X-Request-Id")
    assert gateway.get(f"/gateway/calls/{last}").json()["position"] == 3
    for n in range(2):
        calls.queued("chat", f"call-b{n}", user("b"))
    assert gateway.get(f"/gateway/calls/{last}").json()["position"] == 5


def test_who_gives_up_does_not_cost_its_client_a_turn(held):
    _, simulator, calls = held()
    given_up = [calls.queued("chat", f"call-gone{n}", user("a")) for n in range(3)]
    calls.queued("chat", "call-a", user("a"))
    for n in range(3):
        calls.queued("chat", f"call-b{n}", user("b"))
    for client in given_up:
        client.leave()
        calls.clients.remove(client)
    calls.gateway.until_waiting(4)
    assert "a" in served(calls, simulator)[:2]


@pytest.mark.parametrize(
    "says",
    [
        lambda who: {"X-OpenWebUI-User-Id": f"user-{who}"},
        lambda who: {"Cf-Access-Authenticated-User-Email": f"{who}@example.org"},
        lambda who: {"Cf-Connecting-Ip": f"192.0.2.{ord(who)}"},
        lambda who: {"X-Forwarded-For": f"198.51.100.9, 192.0.2.{ord(who)}, 127.0.0.1"},
    ],
)
def test_a_client_is_who_a_trusted_proxy_says(held, says):
    _, simulator, calls = held()
    for who in ("a", "b"):
        for n in range(3):
            calls.queued("chat", f"call-{who}{n}", says(who))
    assert served(calls, simulator) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_what_a_peer_that_is_not_trusted_says_of_itself_does_not_count(held):
    _, simulator, calls = held({"clients": {"trusted_proxies": ["192.0.2.0/24"]}})
    for who in ("a", "b"):
        for n in range(3):
            calls.queued("chat", f"call-{who}{n}", {**user(who), "X-Forwarded-For": f"192.0.2.{ord(who)}"})
    assert served(calls, simulator) == ["a0", "a1", "a2", "b0", "b1", "b2"]


@pytest.mark.parametrize(
    "headers, client",
    [
        ({}, "127.0.0.1"),
        ({"X-Forwarded-For": "198.51.100.1, 192.0.2.7"}, "192.0.2.7"),
        ({"X-Forwarded-For": "198.51.100.1, 192.0.2.7, 127.0.0.1"}, "192.0.2.7"),
        ({"X-Forwarded-For": "192.0.2.7", "Cf-Connecting-Ip": "2001:db8::1"}, "2001:db8::1"),
        ({"Cf-Connecting-Ip": "192.0.2.7", "X-OpenWebUI-User-Id": "somebody"}, "somebody"),
        ({"Cf-Access-Authenticated-User-Email": "a@b.c", "X-OpenWebUI-User-Id": "somebody"}, "somebody"),
    ],
)
def test_the_status_names_who_a_client_is_taken_for(held, headers, client):
    gateway, _, calls = held()
    calls.queued("chat", "call-x", headers)
    assert [c["client"] for c in gateway.status()["calls"] if c["phase"] == "waiting"] == [client]


def test_background_calls_yield_to_the_others(held):
    _, simulator, calls = held()
    background = {"X-Gateway-Priority": "background"}
    for n in range(3):
        calls.queued("chat", f"call-bg{n}", {**user("a"), **background})
    for n in range(2):
        calls.queued("chat", f"call-a{n}", user("a"))
        calls.queued("chat", f"call-b{n}", user("b"))
    calls.queued("chat", "call-bg.other", {**user("b"), **background})
    assert served(calls, simulator) == ["a0", "b0", "a1", "b1", "bg0", "bg.other", "bg1", "bg2"]


def test_a_background_call_has_its_turn_when_nobody_else_waits(held):
    _, simulator, calls = held()
    calls.queued("generate", "call-bg", {"X-Gateway-Priority": "background"})
    assert served(calls, simulator) == ["bg"]
