"""SPEC §7 "Several upstreams": one catalogue, where calls go, what becomes of one that is dead or busy."""

import hashlib
import time

import pytest

from dialects import STREAMS, call_of
from harness import PATIENCE, eventually, free_port
from queueing import Calls, call_to, order, user, whole
from residents import ask, becomes, bodies, full, loads, quickly, served, simulate, state_of, steps  # noqa: F401

BOTH = "both,load=100ms,prompt=0s,rate=0,tokens=2"


@pytest.fixture
def two(simulate, serve):
    """two(["left only models"], ["right only models"], {…}) → (gateway, left, right)."""

    def start(left=(), right=(), *more, **flags):
        a = simulate(*left, BOTH, **flags)
        b = simulate(*right, BOTH, **flags)
        gateway = serve({"left": a, "right": b}, quickly(*more))
        gateway.serves = None
        return gateway, a, b

    return start


def quick(name):
    return f"{name},load=20ms,prompt=0s,rate=0,tokens=2"


def runs(simulator, name="both"):
    return steps(simulator).count(("run", full(name)))


def where(answer):
    """The upstream that answered, as the headers say."""
    return answer.get("X-Gateway-Attempts").split("@")[1].split(";")[0]


# --- one catalogue ---


def test_tags_models_and_ps_are_the_union(two):
    gateway, left, right = two([quick("only-left")], [quick("only-right")])
    served(gateway, "only-left")
    served(gateway, "only-right")
    everything = {"only-left:latest", "only-right:latest", "both:latest"}
    listed = [m["name"] for m in gateway.get("/api/tags").json()["models"]]
    assert set(listed) == everything and len(listed) == 3, "each once"
    shown = [m["id"] for m in gateway.get("/v1/models").json()["data"]]
    assert set(shown) == everything and len(shown) == 3
    assert gateway.get("/v1/models/only-right").status == 200
    loaded = [m["name"] for m in gateway.get("/api/ps").json()["models"]]
    assert sorted(loaded) == ["only-left:latest", "only-right:latest"]
    own = right.get("/api/tags").json()["models"]
    assert [m for m in gateway.get("/api/tags").json()["models"] if m["name"] == "only-right:latest"] == [
        m for m in own if m["name"] == "only-right:latest"
    ]
    assert left.get("/api/version").json() == gateway.get("/api/version").json()


def test_the_union_is_of_those_that_answer(two):
    gateway, left, right = two([quick("only-left")], [quick("only-right")])
    right.fault("hang", path="/api/tags")
    right.fault("ps_hang")
    began = time.monotonic()
    listed = {m["name"] for m in gateway.get("/api/tags").json()["models"]}
    assert {"only-left:latest", "both:latest"} <= listed
    assert gateway.get("/api/ps").status == 200
    assert time.monotonic() - began < 4 * PATIENCE
    assert left.stats()["aborts"]["count"] == 0


def test_show_and_generation_go_where_the_model_is(two):
    gateway, left, right = two([quick("only-left")], [quick("only-right")])
    for name, has, has_not in (("only-left", left, right), ("only-right", right, left)):
        shown = gateway.post("/api/show", {"model": name})
        assert shown.status == 200 and shown.json()["modelfile"] == has.post("/api/show", {"model": name}).json()[
            "modelfile"
        ]
        for kind in STREAMS:
            assert served(gateway, name, kind)
        assert runs(has, name) == len(STREAMS) and runs(has_not, name) == 0
    assert gateway.post("/api/show", {"model": "nowhere"}).status == 404


def test_embeddings_go_where_their_model_is(two):
    gateway, left, right = two(right=["embeds,embedding,dim=4,load=0s,prompt=0s"])
    answer = gateway.post(*call_to("embed", "x", model="embeds"))
    assert answer.status == 200 and runs(right, "embeds") == 1 and runs(left, "embeds") == 0


@pytest.mark.parametrize("kind", STREAMS)
def test_a_model_that_none_has_is_refused_in_ollama_s_words(two, kind):
    gateway, left, _ = two()
    own = left.post(*call_of(kind, model="nowhere"))
    answer = gateway.post(*call_of(kind, model="nowhere"))
    assert answer.status == own.status == 404
    assert {**answer.json(), "request_id": 0} == {**own.json(), "request_id": 0}


# --- where to ---


def test_a_ready_one_with_a_free_permit_comes_first(two):
    gateway, left, right = two()
    right.load_behind_back("both")
    becomes(gateway, "both", "ready", "right")
    for n in range(4):
        answer = ask(gateway, "both", headers=user(str(n)))
        assert answer.status == 200
    assert runs(right) == 4 and runs(left) == 0 and not loads(left)


def test_then_where_it_fits(two):
    """On the left another model is at work and fills it; on the right there is room."""
    big = "full,size=8GB,load=0s,prompt=1h"
    config = {"upstream": {"vram": "10GB"}}
    gateway, left, right = two([big], [], config)
    with Calls(gateway) as calls:
        calls.hold(model="full")
        served(gateway, "both")
    assert runs(right) == 1 and runs(left) == 0


def test_the_one_that_last_served_this_client_and_model(two):
    gateway, left, right = two()
    left.load_behind_back("both")
    right.load_behind_back("both")
    becomes(gateway, "both", "ready", "left")
    becomes(gateway, "both", "ready", "right")
    with Calls(gateway) as calls:  # two clients, one on each side
        for name in ("a", "b"):
            calls.sent("chat", f"call-{name}", user(name), model="both")
        assert all(whole(client) for client in calls.clients)
    first = {name: next(s for s in (left, right) if name in order(s)) for name in "ab"}
    for n in range(6):
        for name in "ab":
            ask(gateway, "both", "chat", user(name), prompt=f"call-{name}{n}")
    for name in "ab":
        assert len([mark for mark in order(first[name]) if mark[0] == name]) == 7, (order(left), order(right))


def test_then_the_least_busy_one(two):
    slow = "both,load=0s,prompt=1h"
    gateway, left, right = two([], [], {"upstream": {"max_concurrent": 4}})
    for simulator in (left, right):
        simulator.set_model("both", prompt_ms=3600_000)
        simulator.load_behind_back("both")
    becomes(gateway, "both", "ready", "left")
    becomes(gateway, "both", "ready", "right")
    with Calls(gateway) as calls:
        for n in range(6):
            calls.sent("chat", f"call-{n}", user(str(n)), model="both")
            gateway.until_running(n + 1)
        # The last one's permit is seen a moment before its request has arrived.
        assert eventually(lambda: left.stats()["running"] == right.stats()["running"] == 3), slow


def test_permits_of_all_are_used_at_once(two):
    gateway, left, right = two([], [], {"upstream": {"max_concurrent": 1}})
    for simulator in (left, right):
        simulator.set_model("both", prompt_ms=200)
    with Calls(gateway) as calls:
        for n in range(10):
            calls.sent("chat", f"call-{n}", user(str(n)), model="both")
        assert all(whole(client) for client in calls.clients)
    assert len(order(left)) >= 2 and len(order(right)) >= 2
    assert left.stats()["peak"] == right.stats()["peak"] == 1
    assert sorted(order(left) + order(right)) == [str(n) for n in range(10)]
    assert {u["name"]: u["permits"] for u in gateway.status()["upstreams"]} == {"left": 1, "right": 1}


def test_each_has_a_load_of_its_own(two):
    """One load at a time per upstream: the two do not wait for each other."""
    slow = [f"slow-{side},load=600ms,prompt=0s,rate=0,tokens=2" for side in ("left", "right")]
    gateway, left, right = two([slow[0]], [slow[1]])
    with Calls(gateway) as calls:
        for side in ("left", "right"):
            calls.sent("chat", "x", user(side), model=f"slow-{side}")
        assert eventually(lambda: left.stats()["loading"] and right.stats()["loading"], within=0.5)
        assert all(whole(client) for client in calls.clients)


# --- management ---


def test_management_goes_to_the_named_upstream_or_the_first(two):
    gateway, left, right = two()
    copy = {"source": "both", "destination": "copied"}
    assert gateway.post("/api/copy", copy).status == 200
    assert gateway.post("/api/copy", copy, {"X-Gateway-Upstream": "right"}).status == 200
    assert len(left.requests("/api/copy")) == len(right.requests("/api/copy")) == 1
    assert "copied:latest" in {m["name"] for m in gateway.get("/api/tags").json()["models"]}
    unknown = gateway.post("/api/copy", copy, {"X-Gateway-Upstream": "nowhere"})
    assert unknown.status == 400 and "nowhere" in unknown.json()["error"]
    assert not [name for name, _ in right.requests("/api/copy")[0]["headers"] if name.lower() == "x-gateway-upstream"]


def test_blobs_and_their_create_go_to_the_same(two):
    gateway, left, right = two()
    content = b"GGUF" + bytes(1000)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    to_right = {"X-Gateway-Upstream": "right"}
    assert gateway.post(f"/api/blobs/{digest}", content, to_right).status == 201
    answer = gateway.post("/api/create", {"model": "made", "files": {"m.gguf": digest}, "stream": False})
    assert answer.status == 200, answer.raw
    assert len(right.requests("/api/create")) == 1 and not left.requests("/api/create")
    assert served(gateway, "made") and runs(right, "made") == 1


# --- one that is dead ---


def test_a_dead_one_is_taken_out_and_comes_back_by_itself(two, simulate):
    gateway, left, right = two(right=[quick("only-right")])
    served(gateway, "only-right")
    port = right.port
    right.stop()
    assert eventually(lambda: not gateway.status()["upstreams"][1]["up"], within=15)
    assert gateway.metrics().value("upstream_up", upstream="right") == 0
    assert gateway.metrics().value("upstream_up", upstream="left") == 1
    for n in range(6):
        assert served(gateway, "both", headers=user(str(n)))
    assert runs(left) == 6
    assert gateway.admin("/readyz").status == 200
    back = simulate(quick("only-right"), BOTH, port=port)
    gateway.upstream = [left, back]
    assert eventually(lambda: gateway.status()["upstreams"][1]["up"], within=15)
    assert served(gateway, "only-right") and runs(back, "only-right") == 1


def test_a_call_whose_upstream_has_just_died_is_served_by_the_other(two):
    """Before the gateway knows: the refusal itself tells it."""
    gateway, left, right = two()
    right.load_behind_back("both")
    becomes(gateway, "both", "ready", "right")
    served(gateway, "both")
    right.stop()
    with Calls(gateway) as calls:
        for n in range(6):
            calls.sent("chat", f"call-{n}", user(str(n)), model="both")
        assert all(whole(client) for client in calls.clients)
    assert len(order(left)) == 6
    gateway.upstream = [left]


def test_one_that_was_never_there(serve, simulate):
    simulator = simulate(BOTH)
    config = {"upstreams_by_name": {"gone": {"url": f"http://127.0.0.1:{free_port()}"}}}
    gateway = serve({"gone": simulator, "here": simulator}, quickly(config))
    gateway.serves = None
    for n in range(3):
        served(gateway, "both", headers=user(str(n)))
    assert [u["up"] for u in gateway.status()["upstreams"]] == [False, True]


# --- one that is busy ---


def test_a_call_that_ollama_is_too_busy_for_is_served_all_the_same(serve, simulate):
    simulator = simulate(BOTH)
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 4}}))
    gateway.serves = None
    served(gateway, "both")
    simulator.fault("busy", model="both", count=2)
    with Calls(gateway) as calls:
        for n in range(6):
            calls.sent("chat", f"call-{n}", user(str(n)), model="both")
        assert all(whole(client) for client in calls.clients)
        assert all(client.answer.status == 200 for client in calls.clients)


def test_a_busy_upstream_s_limit_is_lowered_for_a_while_and_recovers_by_itself(serve, simulate):
    simulator = simulate(BOTH)
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 4}}))
    gateway.serves = None
    served(gateway, "both")
    assert gateway.status()["upstreams"][0]["permits"] == 4
    simulator.fault("busy", model="both", count=1)
    served(gateway, "both")
    assert gateway.status()["upstreams"][0]["permits"] < 4
    assert gateway.metrics().value("permits", upstream="local") < 4
    assert eventually(lambda: gateway.status()["upstreams"][0]["permits"] == 4, within=40, step=0.2)


def test_a_busy_one_leaves_the_call_to_the_other(two):
    gateway, left, right = two()
    right.load_behind_back("both")
    becomes(gateway, "both", "ready", "right")
    right.fault("busy", model="both")
    answer = served(gateway, "both")
    assert answer.get("X-Gateway-Model") in (None, "both:latest")
    assert runs(left) == 1


def test_the_attempts_say_which_upstream(two):
    gateway, left, right = two()
    right.load_behind_back("both")
    becomes(gateway, "both", "ready", "right")
    right.fault("status", model="both", status=500)
    answer = ask(gateway, "both")
    assert answer.get("X-Gateway-Attempts").startswith("both:latest@right;outcome=upstream_status")
    if answer.status == 200:
        assert answer.get("X-Gateway-Attempts").split(", ")[1].startswith("both:latest@left;outcome=ok")
    else:
        assert answer.json()["attempts"][0]["upstream"] == "right"


def test_ledgers_are_each_upstream_s_own(two):
    gateway, left, right = two()
    left.load_behind_back("both")
    becomes(gateway, "both", "ready", "left")
    assert state_of(gateway, "both", "right") == "absent"
    assert not bodies(right, "load")
    values = gateway.metrics()
    assert values.value("model_state", upstream="left", model="both:latest", state="ready") == 1
    assert values.value("model_state", upstream="right", model="both:latest", state="ready") == 0
