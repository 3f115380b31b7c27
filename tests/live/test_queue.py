"""SPEC §5: who gets a permit, when, and who is refused."""

import re
import time

import pytest

from dialects import ONE_OF_EACH, STREAMS, dialect_of, error_in, error_of, looks_complete
from harness import PATIENCE, eventually, free_port
from queueing import EMBEDDINGS, EMBEDS, HOLDER, QUICK, Calls, call_to, order, queue_statuses, user, whole, words_of

EVENTS = {"X-Queue-Events": "1"}
BUSY = "server busy, please try again.  maximum pending requests exceeded"
REFUSED = {"native": 503, "openai": 429, "anthropic": 529}


@pytest.fixture
def one_slot(simulate, serve):
    """one_slot({"queue": {…}}) → (gateway, simulator) with one permit, unless told otherwise."""

    def start(config=None, *models, **upstream):
        simulator = simulate(*models, HOLDER, QUICK, EMBEDS)
        config = {**(config or {}), "upstream": {"max_concurrent": 1, **upstream}}
        return serve(simulator, config), simulator

    return start


def refusal(client, code):
    """Checks a refusal and its words; returns its Retry-After."""
    answer, words = client.finish(), words_of(client.kind)
    dialect = dialect_of(words)
    assert answer.status == REFUSED[dialect] and answer.complete, answer.raw
    error = error_of(words, answer.json())
    assert error["code"] == code and "http_status" not in error
    if dialect == "native":
        assert error["message"] == BUSY
    else:
        assert error["type"] == {"openai": "rate_limit_error", "anthropic": "overloaded_error"}[dialect]
    assert 1 <= int(answer.get("Retry-After")) <= 60
    return int(answer.get("Retry-After"))


def test_ten_parallel_generations_against_three_slots_all_complete(simulate, serve):
    simulator = simulate("llama3,load=0s,prompt=20ms,rate=60,tokens=30")
    gateway = serve(simulator, {"upstream": {"max_concurrent": 3}, "queue": {"status_interval": "100ms"}})
    with Calls(gateway) as calls:
        clients = [calls.sent("chat" if n % 2 else "chat_completions", f"call-{n}", EVENTS) for n in range(10)]
        assert all(whole(client) for client in clients)
    answers = [client.answer for client in clients]
    assert simulator.stats()["peak"] == 3
    assert sorted(map(int, order(simulator))) == list(range(10))
    told = [statuses for answer in answers if (statuses := queue_statuses(answer))]
    assert len(told) == 7
    for statuses in told:
        waiting = [s["position"] for s in statuses if s["status"] == "waiting"]
        assert waiting and waiting == sorted(waiting, reverse=True) and waiting[-1] >= 1
        assert statuses[-1]["status"] in ("starting", "processing") and statuses[-1]["position"] == 0


def test_calls_of_every_api_share_the_same_permits(one_slot):
    gateway, simulator = one_slot()
    with Calls(gateway) as calls:
        calls.hold()
        clients = [calls.queued(kind, f"call-{kind}") for kind in STREAMS]
        clients += [calls.queued(kind, f"call-one.{kind}", stream=False) for kind in STREAMS]
        assert order(simulator) == []
        calls.let_go()
        assert all(whole(client) for client in clients)
    assert simulator.stats()["models"]["llama3:latest"]["peak"] == 1
    assert len(order(simulator)) == len(clients)


def test_a_permit_is_held_until_the_last_byte(one_slot):
    gateway, simulator = one_slot(None, "slow,load=0s,prompt=0s,rate=20,tokens=8")
    with Calls(gateway) as calls:
        first = calls.sent("chat", "call-first", model="slow")
        first.piece()
        second = calls.queued("chat", "call-second", model="slow")
        assert whole(first) and whole(second)
    assert simulator.stats()["models"]["slow:latest"]["peak_in_flight"] == 1
    assert order(simulator) == ["first", "second"]


def test_a_permit_comes_back_when_its_call_is_aborted(one_slot):
    gateway, simulator = one_slot()
    with Calls(gateway) as calls:
        for aborted, how in enumerate(("fin", "rst") * 5, 1):
            calls.hold()
            next_one = calls.queued("chat", "call-next")
            # Only of a call that the simulator runs does it count the end as an abort.
            assert eventually(lambda: simulator.stats()["models"]["holder:latest"]["in_flight"] == 1)
            calls.holders.pop().leave(how)
            assert whole(next_one)
            assert eventually(lambda: simulator.stats()["aborts"]["count"] == aborted), simulator.stats()["aborts"]
        gateway.until_running(0)


def test_one_client_is_served_in_the_order_it_came(one_slot):
    gateway, simulator = one_slot()
    with Calls(gateway) as calls:
        calls.hold()
        names = [f"{n:02}" for n in range(12)]
        clients = [calls.queued(("generate", "messages")[n % 2], f"call-{name}") for n, name in enumerate(names)]
        calls.let_go()
        assert all(whole(client) for client in clients)
    assert order(simulator) == names


@pytest.mark.parametrize("kind", STREAMS)
def test_a_full_queue_is_told_at_once_in_the_words_of_each_api(one_slot, kind):
    gateway, simulator = one_slot({"queue": {"max_waiting": 1, "max_waiting_per_client": 1}})
    with Calls(gateway) as calls:
        calls.hold()
        waits = calls.queued("chat", "call-waits", user("a"))
        for stream in (True, False):
            refusal(calls.sent(kind, "call-refused", {**user("b"), **EVENTS}, stream=stream), "queue_full")
        calls.let_go()
        assert whole(waits)
    assert order(simulator) == ["waits"]
    assert gateway.metrics().value("queue_rejected_total", reason="queue_full") == 2


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_a_full_queue_of_embeddings_says_so_too(one_slot, kind):
    holds = "slow-embed,embedding,dim=4,load=0s,prompt=1h"
    gateway, _ = one_slot({"queue": {"max_waiting": 1}}, holds, max_concurrent_embeddings=1)
    with Calls(gateway) as calls:
        calls.sent("embed", "held", model="slow-embed")
        gateway.until_running(1)
        calls.queued("embed", "waits")
        refusal(calls.sent(kind, "refused", user("b")), "queue_full")


def test_a_client_that_holds_as_many_places_as_are_free_is_refused(one_slot):
    gateway, _ = one_slot({"queue": {"max_waiting": 6}})
    with Calls(gateway) as calls:
        calls.hold()
        for n in range(3):
            calls.queued("chat", f"call-{n}", user("greedy"))
        refusal(calls.sent("chat", "call-x", user("greedy")), "queue_full")
        calls.queued("chat", "call-other", user("modest"))  # there is room for another
        refusal(calls.sent("chat", "call-y", user("greedy")), "queue_full")
        assert gateway.queue()["waiting"] == 4


def test_max_waiting_per_client_is_that_many_and_no_more(one_slot):
    gateway, _ = one_slot({"queue": {"max_waiting": 6, "max_waiting_per_client": 2}})
    with Calls(gateway) as calls:
        calls.hold()
        for who in ("a", "b", "c"):
            for n in range(2):
                calls.queued("chat", f"call-{n}", user(who))
            if who != "c":
                refusal(calls.sent("chat_completions", "call-x", user(who)), "queue_full")
        refusal(calls.sent("chat_completions", "call-x", user("d")), "queue_full")  # six wait


def test_a_finite_max_wait_refuses_on_arrival_when_the_estimate_is_longer(one_slot):
    gateway, simulator = one_slot(
        {"queue": {"max_wait": "2800ms", "grace": "10s"}}, "slow,load=0s,prompt=1s,rate=0,tokens=1"
    )
    with Calls(gateway) as calls:
        assert whole(calls.sent("chat", "how long it takes", model="slow"))
        simulator.set_model("slow", prompt_ms=3600_000)  # from here on nothing moves
        calls.hold(model="slow")
        # It outlasts the average: the estimate is a tenth of that for it, and the whole for each that waits.
        assert eventually(lambda: gateway.status()["calls"][0]["age_s"] > 1.5, within=5, step=0.05)
        for n in range(3):
            calls.queued("chat", f"call-{n}", model="slow")
        for kind in ONE_OF_EACH:
            for stream in (True, False):
                client = calls.sent(kind, "call-late", model="slow", stream=stream)
                assert refusal(client, "queue_timeout") <= 5
        assert gateway.queue()["waiting"] == 3


@pytest.mark.parametrize("kind", STREAMS)
def test_a_finite_max_wait_refuses_with_the_true_status_after_waiting(one_slot, kind):
    gateway, simulator = one_slot({"queue": {"max_wait": "300ms", "grace": "10s"}})
    with Calls(gateway) as calls:
        calls.hold()
        began = time.monotonic()
        client = calls.sent(kind, "call-x")
        refusal(client, "queue_timeout")
        assert time.monotonic() - began > 0.29
        queued = re.match(r"queue;dur=([\d.]+), ", client.answer.get("Server-Timing"))
        assert 290 < float(queued[1]) < 5000
        assert gateway.queue()["waiting"] == 0
    assert order(simulator) == []


def test_the_retry_after_of_who_has_waited_too_long_is_from_the_real_queue(one_slot):
    gateway, simulator = one_slot(
        {"queue": {"max_wait": "400ms", "grace": "10s"}}, "slow,load=0s,prompt=300ms,rate=0,tokens=1"
    )
    with Calls(gateway) as calls:
        calls.hold()
        assert refusal(calls.sent("chat", "call-x", model="slow"), "queue_timeout") == 30  # nobody knows
        calls.let_go()
        assert whole(calls.sent("chat", "how long it takes", model="slow"))
        simulator.set_model("slow", prompt_ms=3600_000)
        calls.hold(model="slow")
        assert refusal(calls.sent("chat", "call-x", model="slow"), "queue_timeout") == 1


@pytest.mark.parametrize("kind", STREAMS)
def test_a_refusal_after_the_head_is_told_in_band_and_never_ends_cleanly(one_slot, kind):
    gateway, _ = one_slot({"queue": {"max_wait": "400ms", "grace": "100ms"}})
    with Calls(gateway) as calls:
        calls.hold()
        answer = calls.sent(kind, "call-x").finish()
    assert answer.status == 200 and not answer.complete and not looks_complete(kind, answer)
    error = error_in(kind, answer)
    assert error["code"] == "queue_timeout" and error["http_status"] == REFUSED[dialect_of(kind)]


def test_an_estimate_is_null_until_there_is_one_and_then_sensible(one_slot):
    gateway, _ = one_slot({"queue": {"status_interval": "100ms"}}, "slow,load=0s,prompt=300ms,rate=0,tokens=1")
    with Calls(gateway) as calls:
        clients = [calls.sent("chat", f"call-{n}", EVENTS, model="slow") for n in range(5)]
        answers = [client.finish() for client in clients]
    waiting = [s for answer in answers for s in queue_statuses(answer) if s["status"] == "waiting"]
    assert any(s["eta_ms"] is None for s in waiting)
    known = [s for s in waiting if s["eta_ms"] is not None]
    assert known
    for s in known:
        # `position` calls of some 300 ms each go before it, one of them running already.
        assert (s["position"] - 1) * 250 <= s["eta_ms"] <= s["position"] * 1500, s
    for s in waiting:
        assert 1 <= s["position"] <= s["queue_length"] <= 4, s


def test_a_model_s_own_limit_holds_and_others_pass(one_slot):
    gateway, simulator = one_slot({"models": {"holder": {"max_concurrent": 1}}}, max_concurrent=3)
    with Calls(gateway) as calls:
        calls.hold()
        calls.queued("chat", "call-x", model="holder")
        for n in range(3):
            assert whole(calls.sent("chat", f"call-{n}"))
        assert gateway.queue()["waiting"] == 1
        assert simulator.stats()["models"]["holder:latest"]["peak_in_flight"] == 1


def test_embeddings_have_a_pool_of_their_own(one_slot):
    gateway, _ = one_slot()
    with Calls(gateway) as calls:
        calls.hold()
        for kind in EMBEDDINGS:
            answer = calls.sent(kind, "not behind generations", model="nomic-embed-text").finish()
            assert answer.status == 200 and answer.complete
        assert gateway.queue()["running"] == 1


@pytest.mark.parametrize("inputs, at_once", [(1, 2), (2, 1), (5, 1)])
def test_an_embedding_of_n_inputs_counts_as_n_but_not_more_than_the_pool(one_slot, inputs, at_once):
    gateway, simulator = one_slot(None, "embeds,embedding,dim=4,load=0s,prompt=80ms", max_concurrent_embeddings=2)
    with Calls(gateway) as calls:
        texts = [f"text {n}" for n in range(inputs)]
        for client in [calls.sent("embed", "", model="embeds", input=texts) for _ in range(3)]:
            answer = client.finish()
            assert answer.status == 200 and len(answer.json()["embeddings"]) == inputs
    assert simulator.stats()["models"]["embeds:latest"]["peak_in_flight"] == at_once


@pytest.mark.parametrize("how", ["fin", "rst", "half"])
def test_a_client_that_leaves_while_queued_frees_its_place(one_slot, how):
    gateway, simulator = one_slot({"queue": {"max_waiting": 2, "grace": "100ms", "heartbeat": "100ms"}})
    with Calls(gateway) as calls:
        calls.hold()
        calls.queued("chat", "call-gone", user("a")).leave(how)
        gateway.until_waiting(0, within=2)
        told = calls.queued("chat", "call-gone", user("a"))
        told.piece()  # its head is out, and a heartbeat
        told.leave(how)
        gateway.until_waiting(0, within=2)
        stays = calls.queued("chat", "call-stays", user("a"))
        calls.let_go()
        assert whole(stays)
    assert order(simulator) == ["stays"]


def test_what_needs_no_permit_is_never_behind_the_queue(one_slot):
    gateway, simulator = one_slot(None, "big:cloud,load=0s,prompt=0s,rate=0,tokens=2")
    with Calls(gateway) as calls:
        calls.hold()
        calls.queued("chat", "call-waits")
        for method, target, body in [
            ("GET", "/", None), ("HEAD", "/", None), ("GET", "/api/version", None), ("GET", "/api/tags", None),
            ("GET", "/api/ps", None), ("POST", "/api/show", {"model": "llama3"}), ("GET", "/v1/models", None),
            ("GET", "/v1/models/llama3", None), ("GET", "/gateway/queue", None), ("GET", "/api/status", None),
            ("POST", "/api/copy", {"source": "llama3", "destination": "copied"}),
            ("POST", "/api/generate", {"model": "llama3"}),  # a load
            ("POST", "/api/chat", {"model": "llama3", "messages": []}),
            ("POST", "/api/generate", {"model": "llama3", "keep_alive": 0}),  # an unload
        ]:  # fmt: skip
            answer = gateway.call(method, target, body)
            assert answer.status == 200 and answer.complete, (method, target, answer.raw)
        assert gateway.get("/nowhere").status == 404
        for kind in STREAMS:
            assert whole(calls.sent(kind, "call-cloud", model="big:cloud")), kind
        assert gateway.queue()["waiting"] == 1
        assert set(order(simulator)) == {"cloud"}


@pytest.mark.parametrize("kind", [*STREAMS, *EMBEDDINGS])
def test_a_model_that_no_upstream_has_is_refused_at_once_in_ollama_s_words(one_slot, kind):
    gateway, simulator = one_slot(max_concurrent_embeddings=1)
    own = simulator.post(*call_to(kind, "x", model="nobody"))
    with Calls(gateway) as calls:
        calls.hold()
        calls.queued("chat", "call-waits")
        answer = calls.sent(kind, "x", model="nobody").finish()
        assert gateway.queue()["waiting"] == 1
    assert answer.status == own.status == 404
    assert answer.get("Content-Type") == own.get("Content-Type")
    assert {**answer.json(), "request_id": None} == {**own.json(), "request_id": None}  # random, of Anthropic's API


def test_waiting_calls_are_held_while_the_upstream_is_down_and_served_when_it_is_back(simulate, serve):
    port = free_port()
    simulator = simulate(HOLDER, QUICK, port=port)
    gateway = serve(
        simulator, {"upstream": {"max_concurrent": 2}, "queue": {"hold_upstream": "30s", "grace": "100ms"}}
    )
    simulator.stop()
    with Calls(gateway) as calls:
        clients = [calls.sent(kind, f"call-{n}") for n, kind in enumerate(STREAMS)]
        assert eventually(lambda: gateway.queue()["waiting"] == len(clients), within=5), gateway.queue()
        assert clients[0].head().status == 200 and clients[0].answer.get("X-Accel-Buffering") == "no"
        gateway.upstream = back = simulate(HOLDER, QUICK, port=port)
        assert all(whole(client) for client in clients)
    assert sorted(order(back)) == [str(n) for n in range(len(clients))]
    assert back.stats()["peak"] <= 2


def test_a_stream_that_was_told_something_is_held_no_longer_than_the_others(serve):
    """It was looked after once a second from when it was first told something."""
    gateway = serve(f"http://127.0.0.1:{free_port()}", {"queue": {"hold_upstream": "1500ms", "grace": "1400ms"}})
    began = time.monotonic()
    with Calls(gateway) as calls:
        calls.sent("chat", "call-x").finish()
    assert 1.48 < time.monotonic() - began < 2.2 + 0.5 * (PATIENCE - 1)


@pytest.mark.parametrize("kind", STREAMS)
def test_without_an_upstream_a_call_is_told_503_once_it_was_held(serve, kind):
    gateway = serve(f"http://127.0.0.1:{free_port()}", {"queue": {"hold_upstream": "300ms", "grace": "10s"}})
    began = time.monotonic()
    with Calls(gateway) as calls:
        answer = calls.sent(kind, "call-x").finish()
    assert 0.28 < time.monotonic() - began < 5
    assert answer.status == 503 and answer.complete and answer.get("Retry-After")
    assert error_of(kind, answer.json())["code"] == "no_upstream"
