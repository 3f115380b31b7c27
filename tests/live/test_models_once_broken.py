"""What a stranger found broken about models, each as the sentence that is true now."""

import time

from harness import PATIENCE, eventually
from residents import ask, becomes, quickly, served, simulate, unloads  # noqa: F401

MODEL = "{},load=100ms,prompt=0s,rate=0,tokens=2"
UNLOAD = {"verify_within": "1s", "retries": 1}


def test_a_call_that_fails_where_its_model_works_does_not_wait_for_where_it_is_stuck(serve, simulate):
    stuck, works = (simulate(MODEL.format("b"), MODEL.format("a")) for _ in range(2))
    config = {"timeouts": {"first_byte": "500ms", "idle": "500ms", "whole": "500ms"}, "unload": UNLOAD}
    gateway = serve({"n": stuck, "s": works}, quickly({**config, "models": {"b": {"fallbacks": ["a"]}}}))
    gateway.serves = None
    gateway.expected.append("stuck")
    stuck.fault("silent_head", model="b")
    stuck.fault("unload_noop", model="b")
    assert gateway.post("/api/generate", {"model": "b", "prompt": "x"}).complete
    becomes(gateway, "b", "stuck", "n", within=10)
    works.fault("status", model="b", status=500, count=1)
    began = time.monotonic()
    answer = gateway.post("/api/generate", {"model": "b", "prompt": "x"})
    assert answer.complete and answer.get("X-Gateway-Model") == "a:latest" and time.monotonic() - began < 2 * PATIENCE
    stuck.clear_faults()
    assert eventually(lambda: all(m["state"] != "stuck" for m in gateway.status()["models"]), within=45)


def test_a_model_that_no_upstream_lists_is_404_though_another_upstream_is_down(serve, simulate):
    up = simulate(MODEL.format("b"))
    config = {"models": {"x": {"fallbacks": ["b"]}}, "queue": {"hold_upstream": "300ms"}}
    gateway = serve({"s": up, "n": "http://127.0.0.1:9"}, config)
    gateway.serves = None
    assert eventually(lambda: not all(u["up"] for u in gateway.status()["upstreams"]))
    # Until it has been waited for since the start, it may still come up and have it.
    assert eventually(lambda: gateway.post("/api/generate", {"model": "typo", "prompt": "x"}).status == 404)
    answer = gateway.post("/api/generate", {"model": "x", "prompt": "x"})
    assert answer.complete and answer.get("X-Gateway-Model") == "b:latest"


def test_a_load_that_failed_is_not_begun_again_for_a_call_that_has_gone_on(serve, simulate):
    simulator = simulate(MODEL.format("a"), MODEL.format("b"))
    config = {"timeouts": {"load": "300ms"}, "models": {"a": {"fallbacks": ["gone", "b"]}}}
    gateway = serve(simulator, quickly(config))
    gateway.serves = None
    served(gateway, "b")
    simulator.fault("load_hang", model="a")
    answer = gateway.post("/api/generate", {"model": "a", "prompt": "x"})
    assert answer.complete and answer.get("X-Gateway-Model") == "b:latest"
    assert len([e for e in gateway.log("loading a model") if e["model"] == "a:latest"]) == 1


def test_who_waits_while_a_client_unloads_the_model_gets_a_load_of_the_gateway_s_own(serve, simulate):
    simulator = simulate("a,load=800ms,prompt=0s,rate=20,tokens=20")
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 1}, "timeouts": {"first_byte": "500ms"}}))
    gateway.serves = None
    served(gateway, "a")
    first = gateway.client().request("POST", "/api/generate", {"model": "a", "prompt": "x"})
    gateway.until_running(1)
    second = gateway.client().request("POST", "/api/generate", {"model": "a", "prompt": "x"})
    gateway.until_waiting(1)
    assert gateway.post("/api/generate", {"model": "a", "keep_alive": 0}).status == 200
    assert first.finish().complete and second.finish().complete
    assert len(gateway.log("loading a model")) == 2 and not simulator.stats()["aborts"]["count"]
    first.socket.close()
    second.socket.close()


def test_a_model_s_limit_holds_under_whatever_name_its_runner_became_known(serve, simulate):
    models = [f"{name},load=0s,prompt=0s,rate=20,tokens=10,file=weights" for name in ("a", "a2")]
    simulator = simulate(*models)
    gateway = serve(simulator, {"upstream": {"max_concurrent": 4}, "models": {"a": {"max_concurrent": 1}}})
    gateway.serves = None
    served(gateway, "a2")
    clients = [gateway.client().request("POST", "/api/generate", {"model": "a", "prompt": "x"}) for _ in range(3)]
    gateway.until_waiting(2)
    for client in clients:
        assert client.finish().complete
        client.socket.close()
    assert simulator.stats()["peak"] == 1


def test_a_load_that_waits_and_that_nobody_wants_any_more_is_not_begun(serve, simulate):
    simulator = simulate("a,load=0s,prompt=0s,rate=20,tokens=20,size=6GB", "b,load=100ms,size=6GB", flags=["--vram", "10GB"])
    gateway = serve(simulator, quickly({"upstream": {"vram": "10GB"}}))
    gateway.serves = None
    served(gateway, "a")
    running = gateway.client().request("POST", "/api/generate", {"model": "a", "prompt": "x"})
    gateway.until_running(1)
    wants = gateway.client().request("POST", "/api/generate", {"model": "b"})
    assert eventually(lambda: any(c["model"] == "b:latest" for c in gateway.status()["calls"]))
    wants.leave("fin")
    assert eventually(lambda: not any(c["model"] == "b:latest" for c in gateway.status()["calls"]))
    assert running.finish().complete
    running.socket.close()
    time.sleep(0.5)
    assert not [e for e in gateway.log("loading a model") if e["model"] == "b:latest"]
    assert served(gateway, "a").complete


def last_record(gateway):
    return gateway.status()["recent"][0]


def test_the_time_of_a_try_that_came_to_nothing_is_not_told_as_waiting(serve, simulate):
    simulator = simulate(MODEL.format("a"), MODEL.format("b"))
    config = {"timeouts": {"first_byte": "600ms", "whole": "600ms"}, "models": {"a": {"fallbacks": ["b"]}}}
    gateway = serve(simulator, quickly(config))
    gateway.serves = None
    for name in "ab":
        served(gateway, name)
    simulator.fault("silent_head", model="a", count=1)
    answer = ask(gateway, "a")
    assert answer.get("X-Gateway-Model") == "b:latest"
    record = last_record(gateway)
    assert record["attempts"][0]["ms"] >= 600 and record["queue_ms"] < 300 * PATIENCE, record


def test_the_time_of_a_load_that_failed_is_told_as_loading(serve, simulate):
    simulator = simulate(MODEL.format("a"), MODEL.format("b"))
    gateway = serve(simulator, quickly({"timeouts": {"load": "600ms"}, "models": {"a": {"fallbacks": ["b"]}}}))
    gateway.serves = None
    served(gateway, "b")
    simulator.fault("load_hang", model="a", count=1)
    answer = ask(gateway, "a")
    assert answer.get("X-Gateway-Model") == "b:latest"
    record = last_record(gateway)
    assert record["load_ms"] >= 550 and record["queue_ms"] < 300 * PATIENCE, record
    assert record["attempts"][0]["ms"] >= 550


def test_who_ends_with_a_silent_model_is_told_so_and_not_of_a_limit_that_it_has_not_passed(serve, simulate):
    simulator = simulate("a,embedding,dim=4,load=0s,prompt=0s")
    gateway = serve(simulator, quickly({"timeouts": {"whole": "1500ms"}}))
    gateway.serves = None
    body = {"model": "a", "input": "x"}
    assert gateway.post("/api/embed", body).complete
    simulator.fault("silent_head", model="a", count=2)
    first = gateway.client().request("POST", "/api/embed", body)
    gateway.until_running(1)
    time.sleep(0.7)
    second = gateway.client().request("POST", "/api/embed", body)
    told = [client.finish() for client in (first, second)]
    for client in (first, second):
        client.socket.close()
    assert [answer.status for answer in told] == [504, 504]
    assert "(timeouts.whole)" in told[0].json()["error"]
    assert "timeouts" not in told[1].json()["error"] and "taken out of VRAM" in told[1].json()["error"]
    becomes(gateway, "a", "absent")


def test_a_stuck_model_is_told_to_go_once_more_when_an_operator_asks(serve, simulate):
    simulator = simulate(MODEL.format("a"))
    gateway = serve(simulator, quickly({"timeouts": {"first_byte": "300ms", "whole": "300ms"}, "unload": UNLOAD}))
    gateway.serves = None
    gateway.expected.append("stuck")
    served(gateway, "a")
    simulator.fault("unload_noop", model="a")
    simulator.fault("silent_head", model="a", count=1)
    assert ask(gateway, "a").status == 504
    becomes(gateway, "a", "stuck")
    simulator.clear_faults()
    assert gateway.admin("/models/a/unload", "POST").status == 202
    becomes(gateway, "a", "absent", within=1)  # the probe would be later
    assert gateway.status()["unloads"][0]["result"] == "healed"
    assert [one["reason"] for one in unloads(simulator)] == ["request"]
    served(gateway, "a")
