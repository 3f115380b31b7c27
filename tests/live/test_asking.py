"""SPEC §6: what can be asked of the gateway on the public port, for clients that cannot be told in their answer."""

import json
import re
import uuid

import pytest

from dialects import STREAMS, call_of, error_in, error_of, looks_complete
from harness import eventually
from queueing import HOLDER, QUICK, Calls, whole

SLOW = "slow,load=0s,prompt=150ms,rate=20,tokens=8"
EVENTS = {"X-Queue-Events": "1"}


@pytest.fixture
def held(simulate, serve):
    """(gateway, simulator, calls): the one permit is taken."""
    simulator = simulate(HOLDER, QUICK, SLOW)
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}, "reconcile": {"interval": "100ms"}})
    with Calls(gateway).hold() as calls:
        yield gateway, simulator, calls


def id_of(client):
    return client.head().get("X-Request-Id")


def asked(gateway, call_id):
    answer = gateway.get(f"/gateway/calls/{call_id}")
    assert answer.status == 200 and answer.get("Content-Type").startswith("application/json")
    return answer.json()


def test_the_queue_tells_who_waits_and_runs_and_for_which_models(held):
    gateway, _, calls = held
    one = {"name": "holder:latest", "loaded": True, "running": 1, "waiting": 0}
    others = [{**one, "name": f"{name}:latest", "running": 0} for name in ("llama3", "slow")]
    assert eventually(lambda: gateway.queue()["models"] == [one, *others])
    assert gateway.queue() == {"waiting": 0, "running": 1, "eta_ms": None, "models": [one, *others]}
    for _ in range(2):
        calls.queued("chat", "call-x")
    calls.queued("chat", "call-y", model="slow")
    said = gateway.queue()
    assert (said["waiting"], said["running"]) == (3, 1)
    assert {m["name"]: (m["loaded"], m["running"], m["waiting"]) for m in said["models"]} == {
        "holder:latest": (True, 1, 0), "llama3:latest": (True, 0, 2), "slow:latest": (True, 0, 1),
    }  # fmt: skip
    calls.let_go()
    assert all(whole(client) for client in calls.clients)
    assert eventually(lambda: gateway.queue()["running"] == 0 and gateway.queue()["eta_ms"] == 0)


def test_a_call_can_be_followed_through_its_phases(held):
    gateway, _, calls = held
    client = calls.queued("chat", "a secret prompt", EVENTS, model="slow")
    call_id = id_of(client)
    assert re.fullmatch("[0-9a-f]{32}", call_id)
    first = asked(gateway, call_id)
    assert list(first) == [
        "id", "phase", "position", "queue_length", "eta_ms", "waited_ms", "model", "outcome", "attempts",
    ]  # fmt: skip
    assert first == {
        "id": call_id, "phase": "waiting", "position": 1, "queue_length": 1, "eta_ms": None,
        "waited_ms": first["waited_ms"], "model": "slow:latest", "outcome": None, "attempts": [],
    }  # fmt: skip
    assert eventually(lambda: asked(gateway, call_id)["waited_ms"] > first["waited_ms"])
    calls.let_go()
    seen = []
    assert eventually(lambda: seen.append(asked(gateway, call_id)["phase"]) or "streaming" in seen, step=0.005)
    assert seen.index("processing") < seen.index("streaming")
    assert whole(client)
    assert eventually(lambda: asked(gateway, call_id)["outcome"] == "ok")
    last = asked(gateway, call_id)
    assert last["position"] is None and last["attempts"][0]["outcome"] == "ok"
    assert last["attempts"][0]["model"] == "slow:latest" and last["attempts"][0]["upstream"] == "local"
    assert "secret" not in str(last) and "secret" not in gateway.output()


def test_a_client_s_own_uuid_is_its_id_and_nothing_else_is(held):
    gateway, _, calls = held
    own = str(uuid.uuid4())
    client = calls.queued("chat", "call-x", {**EVENTS, "X-Request-Id": own})
    assert id_of(client) == own and asked(gateway, own)["phase"] == "waiting"
    other = calls.queued("chat", "call-y", {**EVENTS, "X-Request-Id": "mine"})
    assert re.fullmatch("[0-9a-f]{32}", id_of(other))
    assert gateway.get("/gateway/calls/mine").status == 404


def test_a_call_s_events_tell_each_change_and_end_with_its_outcome(held):
    gateway, _, calls = held
    calls.queued("generate", "call-before")
    client = calls.queued("chat", "call-x", EVENTS, model="slow")
    listener = gateway.client()
    listener.request("GET", f"/gateway/calls/{id_of(client)}/events")
    assert listener.head().status == 200
    assert listener.answer.get("Content-Type") == "text/event-stream"
    assert listener.answer.get("Cache-Control") == "no-cache, no-transform"
    listener.piece()
    calls.let_go()
    events = listener.finish().events()
    listener.socket.close()
    assert listener.answer.complete and {name for name, _ in events} == {"call"}
    told = [json.loads(data) for _, data in events]
    assert told[0]["phase"] == "waiting" and told[0]["position"] == 2
    assert [t["outcome"] for t in told[:-1]] == [None] * (len(told) - 1) and told[-1]["outcome"] == "ok"
    assert whole(client)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_waiting_call_that_is_cancelled_is_told_so_and_never_runs(held, kind):
    gateway, simulator, calls = held
    plain = calls.queued(kind, "call-x")
    own = str(uuid.uuid4())
    plain.leave()
    gateway.until_waiting(0)
    plain = calls.queued(kind, "call-x", {"X-Request-Id": own}, stream=False)
    answer = gateway.post(f"/gateway/calls/{own}/cancel")
    assert answer.status == 200 and answer.json() == {"id": own, "cancelled": True}
    refused = plain.finish()
    assert refused.status == 503 and refused.complete
    assert error_of(kind, refused.json())["code"] == "cancelled"
    gateway.until_waiting(0)
    ended = asked(gateway, own)
    assert ended["outcome"] == "cancelled"
    assert [(a["outcome"], a["error"]) for a in ended["attempts"]] == [("not_tried", "the call was cancelled")]
    assert not any("call-x" in r.get("body", "") for r in simulator.requests())


@pytest.mark.parametrize("kind", STREAMS)
def test_a_running_call_that_is_cancelled_ends_upstream_and_with_an_error(held, kind):
    gateway, simulator, calls = held
    calls.let_go()
    simulator.set_model("endless", rate=50, tokens=100000, load_ms=0, prompt_ms=0)
    client = calls.sent(kind, "call-x", model="endless", **({"max_tokens": 100000} if kind == "messages" else {}))
    client.piece()
    assert gateway.post(f"/gateway/calls/{id_of(client)}/cancel").status == 200
    answer = client.finish()
    assert not answer.complete and not looks_complete(kind, answer)
    assert error_in(kind, answer)["code"] == "cancelled"
    assert eventually(lambda: simulator.stats()["running"] == 0)
    assert asked(gateway, id_of(client))["outcome"] == "cancelled"


def test_all_calls_that_its_client_gave_one_id_are_cancelled(held):
    gateway, _, calls = held
    own = str(uuid.uuid4())
    same = [calls.queued("chat", "call-x", {"X-Request-Id": own}, stream=False) for _ in range(3)]
    assert gateway.post(f"/gateway/calls/{own}/cancel").json()["cancelled"]
    assert [error_of("chat", client.finish().json())["code"] for client in same] == ["cancelled"] * 3
    gateway.until_waiting(0)


def test_how_many_wait_is_told_of_a_running_call_too(held):
    gateway, _, calls = held
    holder = gateway.status()["calls"][0]["id"]
    assert asked(gateway, holder)["queue_length"] == 0
    for _ in range(2):
        calls.queued("chat", "call-x")
    assert asked(gateway, holder)["queue_length"] == 2
    calls.let_go()


def test_a_call_whose_head_went_out_while_it_waited_is_logged_with_its_status(held):
    gateway, _, calls = held
    told = calls.queued("chat", "call-x", EVENTS)
    call_id = id_of(told)
    told.leave()
    line = eventually(lambda: [entry for entry in gateway.log("call") if entry["id"] == call_id])
    assert (line[0]["status"], line[0]["outcome"]) == (200, "client_gone"), line


def test_the_model_that_answered_is_named_to_who_asked_for_server_sent_events_too(held):
    gateway, _, calls = held
    calls.let_go()
    for accept in ("application/x-ndjson", "text/event-stream"):
        answer = gateway.post(*call_of("generate"), {"Accept": accept})
        assert answer.get("Content-Type").startswith(accept) and answer.get("X-Gateway-Model") == "llama3:latest"


def test_what_is_no_call_is_404_and_a_wrong_method_405(held):
    gateway, _, _ = held
    nobody = "0" * 32
    for method, target, status in [
        ("GET", f"/gateway/calls/{nobody}", 404), ("GET", f"/gateway/calls/{nobody}/events", 404),
        ("POST", f"/gateway/calls/{nobody}/cancel", 404), ("GET", "/gateway/nothing", 404),
        ("GET", "/gateway/calls/", 404), ("GET", f"/gateway/calls/{nobody}/cancel", 405),
        ("POST", "/gateway/queue", 405), ("DELETE", f"/gateway/calls/{nobody}", 405),
    ]:  # fmt: skip
        answer = gateway.call(method, target)
        assert answer.status == status and answer.complete, (method, target, answer.raw)
        assert error_of("chat", answer.json())["code"] == ("not_found" if status == 404 else "bad_method")
