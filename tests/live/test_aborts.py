"""SPEC §8: a client that leaves, in whatever phase and however, ends its work upstream at once."""

import contextlib
import time

import pytest

from dialects import call_of
from harness import eventually, request_bytes

WAYS = ["fin", "rst", "half"]
NOTICED = 100  # milliseconds, SPEC §8
LONG = {"options": {"num_predict": 100000}}


def aborts(simulator):
    return simulator.stats()["aborts"]["list"]


def leave(client, how):
    """Leaves; for a half-close also sees that the gateway hangs up on its side."""
    at = client.leave(how) * 1000
    if how == "half":
        client.finish()
        client.socket.close()
    return at


def noticed(simulator, left_at, count=1):
    """Milliseconds from the clients' leaving to the simulator's seeing it, and the phase it was in."""
    assert eventually(lambda: len(aborts(simulator)) == count), simulator.stats()
    last = aborts(simulator)[-1]
    return last["at_ms"] - left_at, last["phase"]


def three_run(gateway, simulator):
    """All three permits are there: three calls run at once."""
    simulator.reset()
    clients = [gateway.client().request("POST", *call_of("generate", **LONG)) for _ in range(3)]
    for client in clients:
        assert client.piece()
    peak = simulator.stats()["peak"]
    for client in clients:
        client.leave("rst")
    assert peak == 3


# --- one by one ---


@pytest.mark.parametrize("how", WAYS)
def test_a_client_that_leaves_during_its_upload_never_reaches_ollama(pair, how):
    gateway, simulator = pair
    client = gateway.client()
    target, body = call_of("generate", prompt="x" * 5000)
    whole = request_bytes("POST", target, body)
    client.expect("POST")
    client.send(whole[:2000])
    assert eventually(lambda: len(gateway.sockets()) - gateway.pooled() >= 3)
    leave(client, how)
    gone = eventually(lambda: gateway._rested() <= gateway.base, within=1)
    assert gone, gateway.sockets()
    assert not simulator.requests("/api/generate")


@pytest.mark.parametrize("how", WAYS)
def test_a_client_that_leaves_while_queued_frees_its_place_and_never_reaches_ollama(serve, simulate, how):
    simulator = simulate("llama3,load=0s,prompt=0ms,rate=50,tokens=100000")
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}})
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 2}})
    running = gateway.client().request("POST", *call_of("generate"))
    running.piece()
    waiting = gateway.client().request("POST", *call_of("chat", prompt="never seen"))
    gateway.until_waiting(1)
    leave(waiting, how)
    gateway.until_waiting(0, within=0.5)
    running.leave("rst")
    gateway.until_running(0)
    assert not simulator.requests("/api/chat")


PHASES = {
    # phase as the simulator names it: (model, fault, the body's wishes)
    "prompt": ("llama3,load=0s,prompt=20s,rate=100,tokens=20", None, {}),
    "silent": ("llama3,load=0s,prompt=0s,rate=100,tokens=20", "silent_head", {}),
    "streaming": ("llama3,load=0s,prompt=0s,rate=50,tokens=100000", None, {}),
    "answering": ("llama3,load=0s,prompt=0s,rate=50,tokens=100000", None, {"stream": False}),
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_leaves_ends_its_call_upstream(serve, simulate, phase, how):
    model, fault, wishes = PHASES[phase]
    simulator = simulate(model)
    gateway = serve(simulator)
    gateway.serves = None  # some of these models take their time
    delays = []
    for turn in range(5):
        if fault:
            simulator.fault(fault)
        client = gateway.client().request("POST", *call_of("generate", **wishes))
        assert eventually(lambda: simulator.stats()["in_flight"] == 1)
        if phase == "streaming":
            client.piece()
        elif phase in ("answering", "prompt"):
            assert eventually(lambda: simulator.stats()["running"] == 1)
        left_at = leave(client, how)
        delay, where = noticed(simulator, left_at, turn + 1)
        assert where == phase
        delays.append(delay)
        gateway.until_running(0)
    assert sorted(delays)[2] <= NOTICED, delays
    three = gateway.metrics()
    assert three.value("client_disconnects_total") == 5
    assert three.value("abort_seconds_count") == 5


@pytest.mark.parametrize("kind", ["chat_completions", "messages", "responses", "completions", "chat"])
def test_it_is_so_for_every_api(serve, simulate, kind):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=100000")
    gateway = serve(simulator)
    client = gateway.client().request("POST", *call_of(kind, max_tokens=100000))
    client.piece()
    delay, phase = noticed(simulator, leave(client, "fin"))
    assert phase == "streaming" and delay < 1000
    gateway.until_running(0)
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "client_gone")
    gateway.serves = None


# --- pipelined bytes ---


@pytest.mark.parametrize("behind", [0, 40 << 10, 100 << 10])
def test_a_fin_behind_unread_pipelined_bytes_is_noticed(serve, simulate, behind):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=100000")
    gateway = serve(simulator)
    gateway.serves = None
    delays = []
    for turn in range(5):
        client = gateway.client().request("POST", *call_of("generate"))
        client.piece()
        if behind:
            client.send(request_bytes("POST", "/api/chat", b"x" * behind))
        left_at = client.leave("half") * 1000
        delays.append(noticed(simulator, left_at, turn + 1)[0])
        client.socket.close()
        gateway.until_running(0)
    assert sorted(delays)[2] <= 2 * NOTICED, delays
    assert not simulator.requests("/api/chat")


def test_a_client_that_leaves_behind_all_that_it_can_send_is_noticed_over_tcp_too(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=100000")
    gateway = serve(simulator)
    gateway.serves = None
    delays = []
    for turn in range(3):
        client = gateway.client().request("POST", *call_of("generate"))
        client.piece()
        client.socket.settimeout(0.3)
        flood = request_bytes("POST", "/api/chat", b"x" * (8 << 20))
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < len(flood):
                sent += client.socket.send(flood[sent:sent + (1 << 16)])
        left_at = client.leave() * 1000
        delays.append(noticed(simulator, left_at, turn + 1)[0])
        gateway.until_running(0)
    assert sorted(delays)[1] <= 2 * NOTICED, delays
    assert not simulator.requests("/api/chat")


def test_who_sends_too_much_behind_a_call_has_its_answer_and_then_the_end(pair):
    gateway, simulator = pair
    with gateway.client() as client:
        client.request("POST", *call_of("generate"))
        client.piece()
        flood = request_bytes("POST", "/api/chat", b"x" * (4 << 20))
        client.socket.settimeout(2)
        with contextlib.suppress(OSError):
            client.socket.sendall(flood)
        first = client.finish()
        assert first.complete and first.lines()[-1]["done"]
        assert eventually(lambda: not gateway.status()["calls"])
    assert not simulator.requests("/api/chat")


def test_pipelined_bytes_are_no_disconnect_and_are_served_next(pair):
    gateway, simulator = pair
    with gateway.client() as client:
        client.request("POST", *call_of("generate"))
        client.piece()
        client.send(request_bytes("POST", *call_of("chat", prompt="y" * (90 << 10), stream=False)))
        client.send(request_bytes("GET", "/api/version"))
        first = client.finish()
        assert first.complete and first.lines()[-1]["done"]
        client.expect("POST")
        second = client.finish()
        assert second.status == 200 and second.complete and second.json()["done"]
        client.expect("GET")
        third = client.finish()
        assert third.status == 200 and "version" in third.json()
    assert simulator.stats()["aborts"]["count"] == 0


def test_watching_a_client_with_unread_bytes_costs_nothing(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=30s,rate=50,tokens=10")
    gateway = serve(simulator)
    gateway.serves = None
    client = gateway.client().request("POST", *call_of("generate"))
    client.send(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (100 << 10))
    gateway.until_running(1)
    before, began = gateway.cpu_seconds(), time.monotonic()
    eventually(lambda: False, within=1)
    assert gateway.cpu_seconds() - before < 0.2 * (time.monotonic() - began)
    client.leave("rst")
    gateway.until_running(0)


# --- what is no leaving ---


def test_information_is_still_given_to_a_half_closed_client(pair):
    gateway, simulator = pair
    simulator.fault("slow", path="/api/tags", ms=1)
    for target in ("/api/tags", "/api/version", "/gateway/queue"):
        client = gateway.client().request("GET", target, headers={"Connection": "close"})
        client.leave("half")
        answer = client.finish()
        assert answer.status == 200 and answer.complete, target
        client.socket.close()


def test_who_asks_a_silent_upstream_for_information_and_goes_is_not_kept_for_ever(pair):
    """A half-close and a leaving look alike: it is answered, but waited for only so long."""
    gateway, simulator = pair
    for target in ("/api/tags", "/api/ps"):
        simulator.fault("hang", path=target)
        client = gateway.client().request("GET", target)
        assert eventually(lambda: gateway.status()["calls"])
        client.leave("fin")
    assert gateway.close_wait() > 0
    simulator.clear_faults()
    assert eventually(lambda: gateway.close_wait() == 0, within=12)


@pytest.mark.parametrize("kind", ["generate", "chat_completions", "messages"])
def test_a_close_after_the_end_marker_is_no_leaving(pair, kind):
    gateway, simulator = pair
    client = gateway.client().request("POST", *call_of(kind))
    marker = {"generate": b'"done":true', "chat_completions": b"[DONE]", "messages": b"message_stop"}[kind]
    while marker not in client.answer.raw:
        assert client.piece()
    client.leave("rst")
    assert eventually(lambda: gateway.status()["recent"])
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "ok")
    assert simulator.stats()["aborts"]["count"] == 0


def test_after_aborts_in_every_phase_every_permit_is_there(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0ms,rate=100,tokens=50")
    gateway = serve(simulator)
    for how in WAYS:
        clients = [gateway.client().request("POST", *call_of("generate", **LONG)) for _ in range(6)]
        gateway.until_waiting(3)
        for client in clients:
            leave(client, how)
        gateway.until_waiting(0)
        gateway.until_running(0)
    three_run(gateway, simulator)
