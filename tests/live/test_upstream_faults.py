"""SPEC §9: what a client is told when its upstream breaks, in its API's own words, before the head and after it. A
cut answer never looks complete."""

import json
import time

import pytest

from dialects import ONE_OF_EACH, STREAMS, call_of, dialect_of, error_in, error_of, looks_complete, objects
from harness import eventually

PLAIN = "llama3,load=0s,prompt=0s,rate=0,tokens=20"
# Nobody is tried when it is known that nobody is there.
OUTCOMES = {502: ["upstream_failed"], 503: ["connect_failed", "not_tried"], 504: ["timed_out"]}
CODES = {502: "upstream_failed", 503: "no_upstream", 504: "timed_out"}


def check_attempts(attempts, outcome, model="llama3:latest"):
    """`outcome`: one, or those that are possible. A kept connection that had been closed is an attempt too."""
    *before, one = attempts
    assert len(before) <= 1 and all("kept connection" in other["error"] for other in before), attempts
    assert one["model"] == model and one["upstream"] == "local" and one["outcome"] in outcome, one
    assert one["error"] and isinstance(one["ms"], int)


def check_error(kind, status, answer, outcome=None):
    """An error instead of an answer: status, code, shape, attempts, a connection in order."""
    assert answer.status == status, answer.raw
    assert answer.complete and answer.get("Content-Length")
    assert answer.get("Content-Type").startswith("application/json") and answer.get("X-Request-Id")
    error = error_of(kind, answer.json())
    assert error["code"] == CODES[status] and error["message"]
    assert "http_status" not in error
    if dialect_of(kind) == "native":
        assert answer.body.endswith(b"}\n") and answer.body.count(b"\n") == 1
    elif dialect_of(kind) == "openai":
        assert error["type"] == "server_error" and error["param"] is None
    else:
        assert error["type"] == {502: "api_error", 503: "overloaded_error", 504: "timeout_error"}[status]
    check_attempts(error["attempts"], outcome or OUTCOMES[status])
    header = answer.get("X-Gateway-Attempts")
    told = [part.rsplit(";", 1)[0] for part in header.split(", ")]
    assert told == [f"llama3:latest@local;outcome={a['outcome']}" for a in error["attempts"]], header
    return error


def check_cut(kind, status, answer, outcome):
    """An error inside an answer that had begun."""
    assert answer.status == 200 and not answer.complete and answer.ended == "eof", answer.raw[-500:]
    assert not looks_complete(kind, answer) and not answer.raw.endswith(b"0\r\n\r\n")
    error = error_in(kind, answer)
    assert error["http_status"] == status and error["code"] == CODES[status], error
    check_attempts(error["attempts"], outcome)
    assert not any(error_of(kind, o) for o in objects(kind, answer)[:-1])
    return error


# --- before the head ---

BEFORE = {
    "reset_head": 502,
    "close_head": 502,
    "garbage": 502,
    "hang": 504,
    "silent_head": 504,
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "one-piece"])
@pytest.mark.parametrize("fault", BEFORE)
def test_an_upstream_that_breaks_before_its_head(serve, simulate, fault, stream):
    simulator = simulate(PLAIN)
    gateway = serve(simulator, {"timeouts": {"first_byte": "300ms", "whole": "300ms"}})
    status = BEFORE[fault]
    kinds = list(STREAMS) if status == 502 else [*ONE_OF_EACH, "responses"]  # each of these is unloaded
    for kind in kinds:
        # Twice: a reset on a connection that was used before may have come before the call, which is tried again.
        simulator.fault(fault, count=1 if status == 504 else 2)
        with gateway.client() as client:
            answer = client.request("POST", *call_of(kind, stream=stream)).finish()
            error = check_error(kind, status, answer)
            if status == 504:
                assert "timed out after 0.3" in error["message"]
                assert eventually(lambda: gateway.status()["unloads"]), "it was not unloaded"
                assert eventually(lambda: all(m["state"] != "unloading" for m in gateway.status()["models"]))
            # The connection serves on.
            after = client.request("GET", "/gateway/queue").finish()
            assert after.status == 200
        simulator.clear_faults()
    assert gateway.metrics().value("requests_total", outcome=OUTCOMES[status][0]) == len(kinds)


@pytest.mark.parametrize("kind", STREAMS)
def test_an_upstream_that_is_not_there_is_told_in_every_dialect(serve, kind):
    gateway = serve("http://127.0.0.1:1", {"queue": {"hold_upstream": "0s"}}, warm=False)
    answer = gateway.post(*call_of(kind))
    error = check_error(kind, 503, answer)
    assert int(answer.get("Retry-After")) > 0 and "refused" in error["message"]
    tags = gateway.get("/api/tags")
    assert tags.status == 503 and tags.json()["code"] == "no_upstream"
    ready = gateway.admin("/readyz")
    assert ready.status == 503 and gateway.admin("/healthz").status == 200


# --- after the head ---

AFTER = {
    "silent_mid": (504, "timed_out"),
    "reset_mid": (502, "truncated"),
    "early_end": (502, "truncated"),
    "no_done": (502, "truncated"),
    "bad_chunk": (502, "truncated"),
}


@pytest.mark.parametrize("fault", AFTER)
def test_an_upstream_that_breaks_in_mid_stream(serve, simulate, fault):
    simulator = simulate(PLAIN)
    gateway = serve(simulator, {"timeouts": {"first_byte": "300ms", "idle": "300ms"}})
    status, outcome = AFTER[fault]
    kinds = list(STREAMS) if status == 502 else [*ONE_OF_EACH, "responses"]
    for kind in kinds:
        simulator.fault(fault, count=1)
        answer = gateway.post(*call_of(kind))
        check_cut(kind, status, answer, outcome)
        assert len(objects(kind, answer)) >= 3  # what came before the fault was passed on
        if status == 504:
            assert eventually(lambda: all(m["state"] != "unloading" for m in gateway.status()["models"]))
    assert gateway.metrics().value("requests_total", outcome=outcome) == len(kinds)


@pytest.mark.parametrize("fault", ["reset_mid", "no_done"])
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_http_1_0_has_no_chunks_so_a_cut_answer_ends_in_a_reset(serve, simulate, kind, fault):
    simulator = simulate(PLAIN)
    gateway = serve(simulator)
    with gateway.client() as client:
        whole = client.request("POST", *call_of(kind), version="1.0").finish()
    assert whole.framing == "close" and whole.ended == "clean" and looks_complete(kind, whole)
    simulator.fault(fault, count=1)
    with gateway.client() as client:
        answer = client.request("POST", *call_of(kind), version="1.0").finish()
    assert answer.ended == "reset" and not looks_complete(kind, answer)
    assert error_in(kind, answer)["http_status"] == 502


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("fault", ["reset_head", "hang", "status"])
def test_a_head_committed_early_carries_the_error_in_band(serve, simulate, kind, fault):
    """`commit_whole` has gone by: the status is spent, the error says it."""
    simulator = simulate("llama3,load=0s,prompt=500ms,rate=0,tokens=5")
    limits = {"first_byte": "400ms", "whole": "400ms"} if fault == "hang" else {}
    gateway = serve(simulator, {"queue": {"commit_whole": "100ms", "heartbeat": "100ms"}, "timeouts": limits})
    gateway.serves = None
    for stream in (True, False):
        if fault == "hang":
            simulator.fault("hang", count=1)
            expected = {"http_status": 504, "code": "timed_out"}
        else:
            # A load that takes so long and then fails.
            simulator.post("/api/generate", {"model": "llama3", "keep_alive": 0})
            assert eventually(lambda: not simulator.stats()["loaded"])
            simulator.set_model("llama3", load_ms=400)
            simulator.fault("load_fail", count=1)
            expected = {"http_status": 500}
        answer = gateway.post(*call_of(kind, stream=stream))
        assert answer.status == 200 and not answer.complete, answer.raw
        assert "no-transform" in answer.get("Cache-Control")
        error = error_in(kind, answer) if stream else error_of(kind, answer.json())
        assert {key: error[key] for key in expected} == expected
        assert answer.body.startswith(b":" if stream and dialect_of(kind) == "openai" else (b" ", b"event: ping"))
        simulator.clear_faults()
        assert eventually(lambda: all(m["state"] != "unloading" for m in gateway.status()["models"]))


# --- Ollama's own errors ---


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_ollamas_own_errors_pass_unchanged(pair, status):
    gateway, simulator = pair
    for kind in STREAMS:
        for stream in (True, False):
            answers = []
            for server in (simulator, gateway):
                simulator.fault("status", count=1, status=status, text="the runner said no: 3 < 4")
                answers.append(server.post(*call_of(kind, stream=stream)))
            direct, through = answers
            assert through.status == direct.status == status
            assert through.body == direct.body and through.complete
            assert through.get("Content-Type") == direct.get("Content-Type")
            assert "outcome=upstream_status" in through.get("X-Gateway-Attempts")


@pytest.mark.parametrize("kind", ["generate", "chat"])
def test_an_error_line_in_mid_stream_passes_unchanged(serve, simulate, kind):
    simulator = simulate(PLAIN, flags=["--fixed-time"])
    gateway = serve(simulator)
    answers = []
    for server in (simulator, gateway):
        simulator.fault("error_line", count=1, text="an error was encountered: unexpected EOF")
        answers.append(server.post(*call_of(kind)))
    direct, through = answers
    assert through.complete and through.body == direct.body
    assert through.lines()[-1] == {"error": "an error was encountered: unexpected EOF"}
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "upstream_status")


@pytest.mark.parametrize("kind", ["chat_completions", "completions", "messages", "responses"])
def test_an_error_that_ollama_swallows_on_v1_is_told(serve, simulate, kind):
    simulator = simulate(PLAIN)
    gateway = serve(simulator)
    simulator.fault("error_line", count=1)
    check_cut(kind, 502, gateway.post(*call_of(kind)), "truncated")


def test_a_call_that_finds_the_upstream_busy_is_put_back_and_served_when_it_is_not(serve, simulate):
    simulator = simulate(PLAIN)
    gateway = serve(simulator)
    busy = "server busy, please try again.  maximum pending requests exceeded"
    simulator.fault("status", count=2, status=503, text=busy)
    answer = gateway.post(*call_of("generate"))
    assert answer.status == 200 and answer.complete
    outcomes = [part.split(";")[1] for part in answer.get("X-Gateway-Attempts").split(", ")]
    assert outcomes == ["outcome=upstream_status", "outcome=upstream_status", "outcome=ok"]


def test_calls_that_find_nobody_are_held_and_served_when_an_upstream_comes(serve, simulate):
    simulator = simulate(PLAIN)
    gateway = serve(simulator, {"queue": {"hold_upstream": "30s"}, "reconcile": {"interval": "1s"}})
    port = simulator.port
    simulator.stop()
    clients = [gateway.client().request("POST", *call_of(kind)) for kind in STREAMS]
    gateway.until_waiting(len(STREAMS))
    assert eventually(lambda: not gateway.status()["upstreams"][0]["up"])
    again = simulate(PLAIN, port=port)
    for kind, client in zip(STREAMS, clients):
        answer = client.finish()
        assert answer.status == 200 and looks_complete(kind, answer), answer.raw
        client.socket.close()
    recent = gateway.status()["recent"]
    assert all(call["queue_ms"] > 0 for call in recent[: len(STREAMS)]), recent
    assert gateway.metrics().value("queue_wait_seconds_sum") > 0
    assert again.stats()["runs"] == len(STREAMS)


def test_an_upstream_whose_tokens_come_is_up_though_its_version_is_not_told_in_time(serve, simulate):
    """It was shown as down while it served, and those who waited behind the stream were refused."""
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=120")  # six seconds
    gateway = serve(simulator, {"reconcile": {"interval": "200ms", "timeout": "1500ms"}, "queue": {"hold_upstream": "1s"}})
    stream = gateway.client().request("POST", *call_of("generate"))
    stream.piece()
    simulator.fault("hang", path="/api/version")
    waits = gateway.client().request("POST", *call_of("generate", options={"num_predict": 3}))
    time.sleep(4)
    assert gateway.status()["upstreams"][0]["up"] and not gateway.log("upstream down")
    simulator.clear_faults()
    for client in (stream, waits):
        assert client.finish().complete
        client.socket.close()


def test_an_upstream_that_is_silent_in_all_is_down(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=1h")
    gateway = serve(simulator, {"reconcile": {"interval": "200ms", "timeout": "300ms"}})
    gateway.serves = None
    call = gateway.client().request("POST", *call_of("generate"))
    gateway.until_running(1)
    simulator.fault("hang", path="/api/version")
    assert eventually(lambda: not gateway.status()["upstreams"][0]["up"])
    simulator.clear_faults()
    call.leave("rst")
