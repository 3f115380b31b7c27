"""SPEC §7 "The gateway owns loads": what it asks of Ollama before a call, what its clients can and cannot do to a
load, and what becomes of one that fails."""

import json
import threading
import time

import pytest

from dialects import STREAMS, call_of, error_of
from harness import PATIENCE, eventually
from queueing import EMBEDDINGS, Calls, call_to, queue_statuses, user, whole
from residents import (  # noqa: F401
    ask,
    becomes,
    bodies,
    drift,
    line_of,
    loads,
    quickly,
    served,
    simulate,
    state_of,
    steps,
    told,
    unloads,
)

MODEL = "llama3,load=150ms,prompt=0s,rate=0,tokens=3"
SLOW = "slow,load=1s,prompt=0s,rate=0,tokens=3"
EMBEDS = "embeds,embedding,dim=4,load=100ms,prompt=0s"


@pytest.mark.parametrize("kind", STREAMS)
def test_a_model_that_is_not_ready_is_loaded_by_a_request_of_the_gateway_s_own(serve, simulate, kind):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    for stream in (False, True):
        answer = gateway.post(*call_of(kind, stream=stream))
        assert answer.status == 200 and answer.complete
    assert steps(simulator) == [("load", "llama3:latest"), ("run", "llama3:latest"), ("run", "llama3:latest")]
    load, first, _ = [r for r in simulator.requests() if r["method"] == "POST" and r["model"] == "llama3:latest"][-3:]
    (loaded,) = loads(simulator)
    assert load["target"] == "/api/generate" and "keep_alive" not in json.loads(load["body"])
    assert first["at_ms"] >= loaded["at_ms"]
    assert line_of(gateway, "llama3")["state"] == "ready" and line_of(gateway, "llama3")["loaded"]


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_an_embedding_model_is_loaded_by_an_embedding_without_input(serve, simulate, kind):
    simulator = simulate(EMBEDS, MODEL)
    gateway = serve(simulator, quickly())
    for _ in range(2):
        answer = gateway.post(*call_to(kind, "text", model="embeds"))
        assert answer.status == 200 and answer.complete, answer.raw
    assert steps(simulator) == [("load", "embeds:latest"), ("run", "embeds:latest"), ("run", "embeds:latest")]
    assert [r["target"] for r in simulator.requests() if r["model"] == "embeds:latest"][-3] == "/api/embed"
    assert len(loads(simulator, "embeds")) == 1


@pytest.mark.parametrize("asked", ["10m", 600, -1, "-1m"])
def test_a_load_has_the_call_s_keep_alive(serve, simulate, asked):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    served(gateway, "llama3", keep_alive=asked)
    (load,) = bodies(simulator, "load")
    assert load["keep_alive"] == asked
    (run,) = bodies(simulator, "run")
    assert run["keep_alive"] == asked


def test_a_load_has_the_call_s_load_time_options_and_no_others(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    options = {"num_ctx": 8192, "temperature": 0.5, "num_gpu": 20, "stop": ["x"], "num_predict": 2}
    served(gateway, "llama3", options=options, shift=False)
    (load,) = bodies(simulator, "load")
    assert load["options"] == {"num_ctx": 8192, "num_gpu": 20} and load["shift"] is False
    (run,) = bodies(simulator, "run")
    assert run["options"] == options and run["shift"] is False
    (loaded,) = loads(simulator)  # and the call itself made Ollama load nothing
    assert loaded["options"] == "num_ctx=8192;num_gpu=20;shift=0;"


def test_one_load_at_a_time(serve, simulate):
    models = [f"m{n},load=200ms,prompt=0s,rate=0,tokens=2" for n in range(4)]
    simulator = simulate(*models, flags=["--max-loaded", 0])
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 8}}))
    gateway.serves = None
    with Calls(gateway) as calls:
        clients = [calls.sent("generate", "x", user(str(n)), model=f"m{n}") for n in range(4)]
        most = 0
        while any(client.answer.status is None for client in clients):
            states = [m["state"] for m in gateway.status()["models"]]
            most = max(most, states.count("loading"))
            for client in clients:
                client.socket.settimeout(0.01)
                try:
                    client.head()
                except TimeoutError:
                    pass
        for client in clients:
            client.socket.settimeout(30)
            assert whole(client)
    assert most == 1
    done = loads(simulator)
    asked = [r["at_ms"] for r in simulator.requests("/api/generate") if "prompt" not in r["body"]]
    assert len(done) == len(asked) == 4
    for ended, began in zip(done, asked[1:]):
        assert began >= ended["at_ms"], "asked for while another load was out"


@pytest.mark.parametrize("how", ["fin", "rst", "half"])
@pytest.mark.parametrize("kind", ["chat", "chat_completions"])
def test_a_client_that_leaves_during_a_load_does_not_kill_it(serve, simulate, kind, how):
    simulator = simulate(SLOW)
    gateway = serve(simulator, quickly())
    gateway.serves = None
    client = gateway.client().request("POST", *call_of(kind, model="slow"))
    assert eventually(lambda: simulator.stats()["loading"] == "slow:latest")
    becomes(gateway, "slow", "loading")
    time.sleep(0.2)
    client.leave(how)
    becomes(gateway, "slow", "ready", within=3)
    client.socket.close()
    began = time.monotonic()
    assert served(gateway, "slow", kind)
    assert time.monotonic() - began < 0.7 * PATIENCE, "it has been loaded again"
    assert [one["result"] for one in loads(simulator, result=None)] == ["ok"]
    assert simulator.stats()["aborts"]["count"] == 0


def test_clients_that_leave_while_their_model_loads_leak_no_handler_in_ollama(serve, simulate):
    simulator = simulate(SLOW, "other,load=200ms,prompt=0s,rate=0,tokens=2", flags=["--bug-leak-queued"])
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 16}}))
    gateway.serves = None
    first = gateway.client().request("POST", *call_of("chat", model="slow"))
    assert eventually(lambda: simulator.stats()["loading"] == "slow:latest")
    rest = [gateway.client().request("POST", *call_of("chat", model=m)) for m in ("slow", "other") * 8]
    gateway.until_waiting(17)
    assert simulator.stats()["pending"] == 0, "what waits for a load waits in the gateway"
    for client in [first, *rest]:
        client.leave("rst")
    gateway.until_waiting(0)
    served(gateway, "slow")
    served(gateway, "other")
    stats = simulator.stats()
    assert stats["leaked_handlers"] == 0 and stats["aborts"]["count"] == 0
    assert len(loads(simulator, "slow", None)) == 1


def test_many_calls_of_a_cold_model_make_one_load(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    with Calls(gateway) as calls:
        clients = [calls.sent(kind, f"call-{n}", user(str(n))) for n, kind in enumerate([*STREAMS] * 3)]
        assert all(whole(client) for client in clients)
    assert steps(simulator).count(("load", "llama3:latest")) == 1 and len(loads(simulator)) == 1


def test_a_call_whose_model_loads_waits_without_a_permit_and_says_why(serve, simulate):
    """With `vram` both fit: the other model is served meanwhile, though there is but one permit."""
    simulator = simulate(MODEL, SLOW, flags=["--vram", "20GB"])
    config = {"upstream": {"max_concurrent": 1, "vram": "20GB"}, "queue": {"status_interval": "100ms"}}
    gateway = serve(simulator, quickly(config))
    served(gateway, "llama3")
    with Calls(gateway) as calls:
        client = calls.sent("chat", "x", {"X-Queue-Events": "1"}, model="slow", stream=True)
        becomes(gateway, "slow", "loading")
        status = gateway.status()
        (call,) = [c for c in status["calls"] if c["model"] == "slow:latest"]
        assert call["phase"] == "loading_model" and status["upstreams"][0]["in_use"] == 0
        assert gateway.metrics().value("model_state", model="slow:latest", state="loading") == 1
        assert gateway.queue()["running"] == 0 and gateway.queue()["waiting"] == 1
        began = time.monotonic()
        served(gateway, "llama3")
        assert time.monotonic() - began < 0.5 * PATIENCE and state_of(gateway, "slow") == "loading"
        assert whole(client)
    told_so = [status["status"] for status in queue_statuses(client.answer)]
    assert "loading_model" in told_so and told_so[-1] in ("starting", "processing")
    assert told_so == sorted(told_so, key=["waiting", "loading_model", "starting", "processing"].index)
    answer = served(gateway, "slow")
    load = [r for r in gateway.status()["recent"] if r["model"] == "slow:latest"][-1]
    assert load["load_ms"] >= 700 and "load;dur=" in answer.get("Server-Timing")


def test_without_vram_no_other_model_gets_new_permits_while_a_load_is_out(serve, simulate):
    simulator = simulate(MODEL, SLOW)
    gateway = serve(simulator, quickly())
    served(gateway, "llama3")
    with Calls(gateway) as calls:
        loading = calls.sent("chat", "call-slow", model="slow")
        becomes(gateway, "slow", "loading")
        others = [calls.sent("chat", f"call-{n}", user(str(n))) for n in range(3)]
        gateway.until_waiting(4)
        assert all(whole(client) for client in [loading, *others])
    (load,) = loads(simulator, "slow")
    runs = [r["at_ms"] for r in simulator.requests() if "call-" in r["body"]]
    assert len(runs) == 4 and min(runs) >= load["at_ms"] and load["beside"] == []


# --- loads that fail ---


def test_a_load_that_ollama_refuses_makes_the_call_go_directly_with_ollama_s_own_answer(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    simulator.fault("load_fail", count=2, status=400, text="this model is of no use")
    answer = ask(gateway, "llama3")
    assert answer.status == 400 and answer.json() == {"error": "this model is of no use"}
    assert steps(simulator) == [("load", "llama3:latest"), ("run", "llama3:latest")]
    # Refused once only: the call is answered as if nothing had been.
    simulator.fault("load_fail", count=1, status=400)
    assert served(gateway, "llama3").json()["done"]


def test_a_call_that_goes_directly_is_alone(serve, simulate):
    simulator = simulate("llama3,load=100ms,prompt=300ms,rate=0,tokens=2", "other,load=0s,prompt=0s,rate=0,tokens=2")
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 8}}))
    simulator.fault("load_fail", model="llama3", count=1, status=400)
    with Calls(gateway) as calls:
        clients = [calls.sent("generate", f"call-{n}", user(str(n))) for n in range(3)]
        clients += [calls.sent("generate", f"call-other{n}", user(f"o{n}"), model="other") for n in range(3)]
        assert all(whole(client) for client in clients)
    calls_of_it = [r["at_ms"] for r in simulator.requests() if "call-" in r["body"] and "llama3" in r["body"]]
    others = [r["at_ms"] for r in simulator.requests() if "call-other" in r["body"]]
    direct = min(calls_of_it)  # it loads for 100 ms and thinks for 300
    assert not [at for at in others if direct < at < direct + 300]


@pytest.mark.parametrize("kind", ["chat", "chat_completions", "messages"])
def test_a_load_that_breaks_is_told_in_ollama_s_words(serve, simulate, kind):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    text = "llama-server process has terminated: exit status 2"
    simulator.fault("load_fail", text=text)
    answer = ask(gateway, "llama3", kind)
    assert answer.status == 500 and text in error_of(kind, answer.json())["message"]
    assert "llama3:latest@local;outcome=upstream_status" in answer.get("X-Gateway-Attempts")
    assert state_of(gateway, "llama3") == "absent"


@pytest.mark.parametrize("kind", ["generate", "chat", "chat_completions", "messages"])
def test_what_an_embedding_model_says_to_a_chat_is_ollama_s_own(serve, simulate, kind):
    simulator = simulate(EMBEDS, MODEL)
    gateway = serve(simulator, quickly())
    own = simulator.post(*call_of(kind, model="embeds"))
    answer = gateway.post(*call_of(kind, model="embeds"))
    assert answer.status == own.status == 400
    assert {**answer.json(), "request_id": 0} == {**own.json(), "request_id": 0}


def test_options_that_ollama_refuses_are_refused_in_its_words(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    call = call_of("generate", stream=False, options={"num_ctx": "large"})
    own, answer = simulator.post(*call), gateway.post(*call)
    assert answer.status == own.status and answer.json()["error"] == own.json()["error"]
    served(gateway, "llama3")


@pytest.mark.parametrize("keep_alive", [0, "0s", "1ms"])
def test_a_model_that_is_gone_before_its_first_call_is_loaded_by_the_call_itself(serve, simulate, keep_alive):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    for kind in ("generate", "chat"):
        answer = served(gateway, "llama3", kind, keep_alive=keep_alive)
        assert answer.json()["done"]
        becomes(gateway, "llama3", "absent")
    assert len(loads(simulator)) <= 4
    assert drift(gateway)["vanished"] == 0


def test_a_load_past_its_time_is_ended_by_closing_it(serve, simulate):
    simulator = simulate(MODEL, SLOW)
    config = {"timeouts": {"load": "400ms"}, "models": {"slow": {"timeouts": {"load": "20s"}}}}
    gateway = serve(simulator, quickly(config))
    simulator.fault("load_hang", model="llama3", count=1)
    began = time.monotonic()
    answer = ask(gateway, "llama3")
    took = time.monotonic() - began
    assert answer.status == 504 and answer.json()["code"] == "timed_out" and 0.38 < took < 0.4 + PATIENCE
    assert answer.json()["attempts"][0]["outcome"] == "timed_out"
    assert gateway.metrics().value("timeouts_total", phase="load") == 1
    (abort,) = simulator.stats()["aborts"]["list"]
    assert abort["phase"] == "loading"
    becomes(gateway, "llama3", "absent")
    served(gateway, "llama3")
    served(gateway, "slow")  # its own limit is longer


# --- what clients and settings say of keep_alive ---


def test_a_model_s_keep_alive_overrides_what_clients_ask(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly({"models": {"llama3": {"keep_alive": "1h"}}}))
    body = '{ "model":"llama3" ,"keep_alive" : "1ms", "prompt":"h\\u00e9" , "stream":false}'
    answer = gateway.post("/api/generate", body)
    assert answer.status == 200
    served(gateway, "llama3", "chat", keep_alive=0)
    served(gateway, "llama3", "chat_completions")
    served(gateway, "llama3", "chat")
    assert [body.get("keep_alive") for body in bodies(simulator, "load")] == ["1h"]
    runs = bodies(simulator, "run")
    assert [run.get("keep_alive") for run in runs[:2]] == ["1h", "1h"] and "keep_alive" not in runs[2]
    sent = [r["body"] for r in simulator.requests("/api/generate") if "prompt" in r["body"]]
    assert sent[0] == body.replace('"1ms"', '"1h"')
    time.sleep(0.5)
    assert simulator.get("/api/ps").json()["models"] and not unloads(simulator)


# --- loads and unloads that clients ask for ---


@pytest.mark.parametrize("target, empty", [("/api/generate", {}), ("/api/chat", {"messages": []})])
def test_a_client_s_load_needs_no_place_and_survives_its_client(serve, simulate, target, empty):
    simulator = simulate(SLOW, "holder,load=0s,prompt=1h")
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 1, "vram": "20GB"}}))
    gateway.serves = None
    with Calls(gateway) as calls:
        calls.hold()
        leaves = gateway.client().request("POST", target, {"model": "slow", **empty})
        assert eventually(lambda: simulator.stats()["loading"] == "slow:latest")
        leaves.leave()
        becomes(gateway, "slow", "ready", within=3)
        answer = gateway.post(target, {"model": "slow", "keep_alive": "1h", **empty})
        assert answer.status == 200 and answer.json()["done_reason"] == "load"
    assert len(loads(simulator, "slow", None)) == 1


def test_a_client_s_unload_is_known_at_once_and_costs_no_place(serve, simulate):
    simulator = simulate(MODEL, "holder,load=0s,prompt=1h")
    gateway = serve(simulator, quickly({"reconcile": {"interval": "10s"}, "upstream": {"max_concurrent": 1}}))
    gateway.serves = None
    served(gateway, "llama3")
    with Calls(gateway) as calls:
        calls.hold()
        answer = gateway.post("/api/generate", {"model": "llama3", "keep_alive": 0})
        assert answer.status == 200 and answer.json()["done_reason"] == "unload"
        becomes(gateway, "llama3", "absent")
    assert drift(gateway) == {"appeared": 0, "vanished": 0}


def test_an_operator_unloads_a_model(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    served(gateway, "llama3")
    answer = gateway.admin("/models/llama3/unload", "POST")
    assert answer.status in (200, 202), answer.raw
    becomes(gateway, "llama3", "absent")
    assert eventually(lambda: gateway.status()["unloads"]) and gateway.status()["unloads"][0]["result"] == "gone"
    assert [one["reason"] for one in unloads(simulator)] == ["request"]
    assert gateway.metrics().value("unloads_total", result="gone") == 1
    assert gateway.admin("/models/nobody/unload", "POST").status == 404


def test_an_operator_s_unload_waits_for_the_calls_that_run(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=12")
    gateway = serve(simulator, quickly())
    with Calls(gateway) as calls:
        running = calls.sent("generate", "x", stream=True)
        running.piece()
        unloaded = []
        asking = threading.Thread(target=lambda: unloaded.append(gateway.admin("/models/llama3/unload", "POST")))
        asking.start()
        assert whole(running)
        asking.join()
    becomes(gateway, "llama3", "absent")
    assert unloaded[0].status in (200, 202)


def test_nothing_of_a_load_is_the_client_s(serve, simulate):
    """Its key, its address and its headers are none of Ollama's business."""
    simulator = simulate(MODEL)
    gateway = serve(simulator, quickly())
    headers = {"Authorization": "Bearer secret", "X-Mark": "1", "Cookie": "a=b", "X-Gateway-Priority": "background"}
    served(gateway, "llama3", "chat", headers, keep_alive="5m")
    load = next(r for r in simulator.requests("/api/generate") if r["model"] == "llama3:latest")
    sent = {name.lower() for name, _ in load["headers"]}
    assert not sent & {"authorization", "x-mark", "cookie", "x-gateway-priority", "x-forwarded-for"}
    assert set(told(simulator)[0][2]) <= {"model", "keep_alive", "stream"}
