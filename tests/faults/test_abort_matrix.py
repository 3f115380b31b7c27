"""T-30 to T-41: {stream, one piece} × {queued, connecting, loading, before the first token, in mid-answer, after the
last token} × {FIN, RST, half-close}. In each cell the place is freed, the upstream hears of it, the log and the metrics
know in which phase it was, and a call that was only queued never arrives."""

import socket

import pytest

from deaf import Deaf
from dialects import call_of
from harness import eventually, free_port, request_bytes
from scripted import HANG

WAYS = ["fin", "rst", "half"]
SHAPES = {"stream": True, "one piece": False}
LONG = {"options": {"num_predict": 100000}}
NOTICED = 0.5  # seconds for a loaded machine; test_aborts.py measures milliseconds


def leave(client, how):
    client.leave(how)
    if how == "half":
        client.socket.settimeout(5)
        client.finish()
        client.socket.close()


def gone(gateway, count, *phases):
    """The calls are over, and counted as gone in one of these phases."""
    gateway.until_waiting(0, within=NOTICED)
    gateway.until_running(0, within=NOTICED)
    metrics = gateway.metrics()
    told = sum(metrics.value("client_disconnects_total", phase=phase) for phase in phases)
    assert told == count == metrics.value("client_disconnects_total"), metrics
    assert gateway.status()["recent"][0]["outcome"] == "client_gone"


def cells():
    return [(shape, how) for shape in SHAPES for how in WAYS]


def test_queued(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=5", "holder,load=0s,prompt=1h")
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}})
    holder = gateway.client().request("POST", *call_of("generate", model="holder"))
    gateway.until_running(1)
    for count, (shape, how) in enumerate(cells(), 1):
        client = gateway.client().request("POST", *call_of("chat", prompt="never seen", stream=SHAPES[shape]))
        gateway.until_waiting(1)
        leave(client, how)
        gateway.until_waiting(0, within=NOTICED)
        assert gateway.metrics().value("client_disconnects_total", phase="waiting") == count
    holder.leave("rst")
    gateway.until_running(0)
    assert "never seen" not in str(simulator.requests("/api/chat"))


def test_connecting(serve):
    deaf = Deaf()
    try:
        gateway = serve(deaf.url, {"reconcile": {"interval": "1h"}, "timeouts": {"connect": "60s"}})
        gateway.serves = None
        assert eventually(lambda: gateway.status()["upstreams"][0]["up"])
        gateway.post(*call_of("chat"))  # its model is known from here
        deaf.heard.clear()
        deaf.fill()
        for count, (shape, how) in enumerate(cells(), 1):
            client = gateway.client().request("POST", *call_of("chat", stream=SHAPES[shape]))
            gateway.until_running(1)
            leave(client, how)
            gone(gateway, count, "starting", "loading_model")
        assert not deaf.heard
    finally:
        deaf.stop()


PHASES = {
    # the phase: (model, fault, what the gateway calls it)
    "loading": ("llama3,load=20s,prompt=0s,rate=100,tokens=5", None, ("waiting", "processing", "loading_model")),
    "before the first token": ("llama3,load=0s,prompt=20s,rate=100,tokens=5", None, ("processing",)),
    "silent": ("llama3,load=0s,prompt=0s,rate=100,tokens=5", "silent_head", ("processing",)),
    "in mid-answer": ("llama3,load=0s,prompt=0s,rate=50,tokens=100000", None, ("streaming", "processing", "answering")),
}


@pytest.mark.parametrize("phase", PHASES)
def test_upstream_at_work(serve, simulate, phase):
    model, fault, names = PHASES[phase]
    simulator = simulate(model)
    gateway = serve(simulator)
    gateway.serves = None  # some of these models take their time
    for count, (shape, how) in enumerate(cells(), 1):
        if fault:
            simulator.fault(fault)
        client = gateway.client().request("POST", *call_of("generate", stream=SHAPES[shape], **LONG))
        assert eventually(lambda: simulator.stats()["in_flight"] >= 1)
        if phase == "in mid-answer":
            assert client.piece() if SHAPES[shape] else eventually(lambda: simulator.stats()["running"] == 1)
        leave(client, how)
        gone(gateway, count, *names)
        if phase != "loading":  # a load is the gateway's own, and goes on
            assert eventually(lambda: simulator.stats()["in_flight"] == 0), simulator.stats()


LINE = b'{"model":"llama3","response":"x","done":false}\n'
DONE = b'{"model":"llama3","response":"","done":true,"done_reason":"stop"}\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/%s\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("shape", SHAPES)
def test_after_the_last_token(scripted, serve, shape):
    """The answer is there but for its last chunk: who leaves now has had it all, and the connection is not kept."""
    lines = LINE + DONE if SHAPES[shape] else DONE
    kind = b"x-ndjson" if SHAPES[shape] else b"json"
    upstream = scripted((HEAD % kind + b"%x\r\n%s\r\n" % (len(lines), lines), HANG))
    gateway = serve(upstream.url)
    gateway.serves = None
    for count, how in enumerate(WAYS, 1):
        client = gateway.client().request("POST", *call_of("generate", stream=SHAPES[shape]))
        assert client.piece()
        leave(client, how)
        gateway.until_running(0, within=1 + NOTICED)  # the last chunk has a second to come
        assert eventually(lambda: upstream.hung_up == count), "its connection was kept"
        outcome = gateway.status()["recent"][0]["outcome"]
        assert outcome == ("ok" if SHAPES[shape] else "client_gone"), outcome


SILENT = {
    "information": ("GET", "/api/tags", None),
    "a pull": ("POST", "/api/pull", {"model": "llama3"}),
    "a load": ("POST", "/api/generate", {"model": "llama3"}),
}


@pytest.mark.parametrize("what", SILENT)
def test_what_needs_no_permit_and_hears_nothing_does_not_outlive_its_client(serve, simulate, what):
    """Behind a FIN it is still answered; but nothing came, and nothing ever told that nobody was there: a pull or a load
    stood in CLOSE_WAIT until its upstream said something."""
    method, target, body = SILENT[what]
    simulator = simulate("llama3,load=60s,prompt=0s,rate=100,tokens=5")
    gateway = serve(simulator, {"queue": {"commit_whole": "0s"}})
    gateway.serves = None
    if what != "a load":
        simulator.fault("hang", path=target)
    client = gateway.client().request(method, target, body, {"X-Gateway-Heartbeat": "off"})
    assert eventually(lambda: gateway.status()["calls"])
    client.leave("fin")
    assert eventually(lambda: not gateway.status()["calls"], within=12), gateway.status()["calls"]
    assert eventually(lambda: gateway.close_wait() == 0)


@pytest.mark.parametrize("how", ["close", "half"])
def test_over_a_unix_socket_a_leaving_behind_unread_bytes_is_noticed_too(serve, simulate, tmp_path, how):
    """The kernel's TCP state told it of TCP clients only."""
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=100000")
    path = tmp_path / "gateway.sock"
    port = free_port()
    gateway = serve(simulator, {"listen": [f"127.0.0.1:{port}", f"unix:{path}"]}, port=port)
    gateway.serves = None
    request = request_bytes("POST", *call_of("generate", **LONG))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(request)
        assert client.recv(100)
        client.setblocking(False)
        try:
            for _ in range(100):  # more than is read ahead
                client.send(b"x" * 10000)
        except BlockingIOError:
            pass
        if how == "half":
            client.shutdown(socket.SHUT_WR)
        else:
            client.close()
        assert eventually(lambda: simulator.stats()["aborts"]["count"] == 1, within=2), simulator.stats()
    gateway.until_running(0)
