"""SPEC §5, §7, §9: a model whose only upstream is down while others are up, what its callers are told and when, and
what is told of the attempts that came before the one that answers."""

import time

import pytest

from harness import PATIENCE, eventually, free_port
from residents import ask, becomes, quickly, served, simulate  # noqa: F401

MODEL = "{},load=0s,prompt=0s,rate=0,tokens=2"
HOLD = 2


@pytest.fixture
def parted(serve, simulate):
    """parted({…}) → gateway: `a` is at A, `b` at B, and B has gone down."""

    def start(*more, down=True):
        at_a, at_b = simulate(MODEL.format("a")), simulate(MODEL.format("b"))
        config = {"queue": {"hold_upstream": f"{HOLD}s"}, "timeouts": {"total": "30s"}}
        gateway = serve({"A": at_a, "B": at_b}, quickly(config, *more))
        gateway.serves = None
        served(gateway, "b")
        gateway.b, gateway.upstream = at_b, [at_a]  # the other cannot be asked how it is left
        if down:
            at_b.restart(60)
            assert eventually(lambda: not all(u["up"] for u in gateway.status()["upstreams"]))
        return gateway

    return start


def test_its_calls_are_held_so_long_and_then_refused(parted):
    gateway = parted()
    began = time.monotonic()
    answer = ask(gateway, "b")
    took = time.monotonic() - began
    assert answer.status == 503 and answer.json()["code"] == "no_upstream", answer.raw
    assert HOLD * 0.9 < took < HOLD + 2 * PATIENCE
    assert "no upstream that has b is up: B: " in answer.json()["error"]
    assert [a["upstream"] for a in answer.json()["attempts"]] == ["B"]
    served(gateway, "a")


def test_a_call_that_waits_when_it_goes_down_is_refused_too(parted):
    gateway = parted({"models": {"b": {"max_concurrent": 1}}}, down=False)
    gateway.b.fault("silent_head", model="b", count=1)
    first, second = (
        gateway.client().request("POST", "/api/generate", {"model": "b", "prompt": "x", "stream": False}) for _ in "12"
    )
    gateway.until_waiting(1)
    gateway.b.restart(60)
    for client in (first, second):
        assert client.finish().status in (502, 503)
        client.socket.close()


def test_its_fallback_is_tried_at_once(parted):
    gateway = parted({"models": {"b": {"fallbacks": ["a"]}}})
    began = time.monotonic()
    answer = served(gateway, "b")
    assert time.monotonic() - began < HOLD * 0.75 * PATIENCE
    assert answer.get("X-Gateway-Model") == "a:latest"
    assert answer.get("X-Gateway-Attempts").startswith("b:latest@B;outcome=not_tried")


def test_its_fallback_is_tried_at_once_by_who_finds_out_too(parted):
    gateway = parted({"models": {"b": {"fallbacks": ["a"]}}, "reconcile": {"interval": "1h"}}, down=False)
    gateway.b.restart(60)
    answer = served(gateway, "b")
    assert answer.get("X-Gateway-Model") == "a:latest"


def test_nobody_says_that_there_is_no_such_model(parted):
    gateway = parted()
    answers = [
        gateway.post("/api/show", {"model": "b"}),
        gateway.get("/v1/models/b"),
        gateway.post("/api/generate", {"model": "b", "keep_alive": 0}),
    ]
    assert [answer.status for answer in answers] == [503, 503, 503], [answer.raw for answer in answers]
    assert gateway.post("/api/show", {"model": "a"}).status == 200
    assert gateway.post("/api/show", {"model": "typo"}).status == 404


def test_it_is_served_again_when_its_upstream_is_back(parted):
    gateway = parted({"queue": {"hold_upstream": "60s"}}, down=False)
    gateway.b.restart(1)
    served(gateway, "b")


@pytest.mark.parametrize("fallbacks", [[], ["a"]])
def test_a_model_that_hangs_where_it_is_is_not_waited_for_because_another_upstream_is_down(serve, simulate, fallbacks):
    hangs, other = simulate(MODEL.format("h"), MODEL.format("a")), simulate(MODEL.format("h"))
    config = {
        "timeouts": {"first_byte": "400ms", "idle": "400ms", "whole": "400ms"},
        "unload": {"verify_within": "1s", "retries": 1},
        "models": {"h": {"fallbacks": fallbacks}},
    }
    gateway = serve({"A": hangs, "B": other}, quickly(config))
    gateway.serves, gateway.upstream = None, [hangs]
    gateway.expected.append("stuck")
    served(gateway, "a")
    other.restart(60)
    assert eventually(lambda: not all(u["up"] for u in gateway.status()["upstreams"]))
    hangs.fault("unload_noop", model="h")
    hangs.fault("silent_head", model="h")
    ask(gateway, "h")
    becomes(gateway, "h", "stuck", "A", within=5)
    began = time.monotonic()
    answer = ask(gateway, "h")
    assert time.monotonic() - began < PATIENCE
    if fallbacks:
        assert answer.status == 200 and answer.get("X-Gateway-Model") == "a:latest"
    else:
        assert answer.status == 503 and answer.json()["code"] == "model_stuck", answer.raw
    hangs.clear_faults()
    hangs.drop_behind_back("h")


# --- what is told of attempts ---


def test_a_substitution_is_counted_from_the_model_that_failed_to_the_one_that_answers(serve, simulate):
    simulator = simulate(MODEL.format("a"), MODEL.format("b"))
    gateway = serve(simulator, quickly({"models": {"a": {"fallbacks": ["nope", "b"]}}}))
    gateway.serves = None
    simulator.fault("status", model="a", status=500, count=1)
    assert ask(gateway, "a").get("X-Gateway-Model") == "b:latest"
    counted = {"from": "a:latest", "to": "b:latest", "reason": "upstream_status"}
    assert gateway.metrics().value("fallbacks_total", **counted) == 1
    assert not gateway.metrics().value("fallbacks_total", **{**counted, "to": "other"})


def test_each_attempt_is_told_in_its_upstream_s_own_words(serve, simulate):
    simulator = simulate(MODEL.format("a"), MODEL.format("b"))
    gateway = serve(simulator, quickly({"models": {"a": {"fallbacks": ["b"]}}}))
    gateway.serves = None
    simulator.fault("status", model="a", status=500, text="the real reason", count=1)
    simulator.fault("status", model="b", status=500, text="another one", count=1)
    answer = ask(gateway, "a")
    assert answer.status == 500
    assert [a["error"] for a in answer.json()["attempts"]] == ["the real reason", "another one"]


def test_an_upstream_that_has_not_come_up_yet_is_waited_for_as_long_after_the_start(serve, simulate):
    """After a reboot the gateway was up first: calls for the other upstream's models were told that there were none."""
    at_a, port = simulate(MODEL.format("a")), free_port()
    config = {"queue": {"hold_upstream": f"{HOLD * PATIENCE}s"}}
    gateway = serve({"A": at_a, "B": f"http://127.0.0.1:{port}"}, quickly(config))
    gateway.serves, gateway.upstream = None, [at_a]
    with gateway.client() as client:
        client.request("POST", "/api/generate", {"model": "b", "prompt": "x", "stream": False})
        gateway.until_waiting(1)
        served(gateway, "a")
        simulate(MODEL.format("b"), port=port)
        assert client.finish().status == 200
    assert ask(gateway, "typo").status == 404  # now that all have been seen


def test_an_upstream_that_was_never_seen_holds_nobody_up_later(serve, simulate):
    at_a = simulate(MODEL.format("a"))
    config = {"queue": {"hold_upstream": "300ms"}}
    gateway = serve({"A": at_a, "B": f"http://127.0.0.1:{free_port()}"}, quickly(config))
    gateway.serves, gateway.upstream = None, [at_a]
    time.sleep(0.4)
    assert ask(gateway, "b").status == 404
    served(gateway, "a")
