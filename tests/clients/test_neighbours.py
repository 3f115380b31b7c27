"""Reverse proxies and a tunnel before the gateway, with real clients before these: tokens arrive as they are made,
heartbeats keep a wait alive that is longer than the proxy's patience, and a client that leaves stops the work."""

# ctest: timeout 600

import time

import install
import pytest
from conftest import there_or_skip
from harness import Client, eventually
from neighbours import NEIGHBOURS, QUEUE, SILENCE, SNIPPETS, neighbour
from report import THE_REPORT as report
from rows import ROWS
from world import at_once, gateway_before, held

CLIENTS = [
    "ollama-js chat", "openai-node chat", "openai-node chat whole", "anthropic-node messages", "langchain-js openai",
    "ollama-python chat", "ollama-python chat whole", "openai-python chat", "ollama-go chat", "ollama-go embed",
    "go-openai chat", "curl chat", "curl openai chat",
]  # fmt: skip
STOCK_HAPROXY = "haproxy, stock"  # holds pieces back for up to 400 ms, and notices a leaver at the next byte only
CHAT = {"model": "stream", "messages": [{"role": "user", "content": "Hello"}], "stream": True}


def known_neighbours():
    return [name for name in NEIGHBOURS if "deploy/" not in name or SNIPPETS.is_dir()]


@pytest.fixture(scope="module")
def truth(simulator, drivers):
    """What each client says without a gateway and a proxy; and the libraries are loaded."""
    return at_once(simulator.url, drivers, [row for row in ROWS if row.name in CLIENTS])


@pytest.fixture(params=known_neighbours())
def before(request, simulator, truth, tmp_path):
    """(name of the proxy, its port, the gateway behind it)."""
    simulator.set_model("stream", load_ms=0, prompt_ms=0, rate=20, tokens=20)
    config = {"queue": QUEUE, "hosts": ["ollama.lab.org"]}
    with gateway_before(simulator, config, max_concurrent=1) as gateway:
        try:
            with neighbour(request.param, gateway, tmp_path) as port:
                yield request.param, port, gateway
        except install.Missing as missing:
            there_or_skip(lambda: (_ for _ in ()).throw(missing))


def test_heartbeats_keep_a_wait_alive_that_is_longer_than_the_proxys_patience(before, drivers, truth):
    name, port, gateway = before
    rows = [row for row in ROWS if row.name in CLIENTS]
    with held(gateway, permits=1):
        calls = {row: drivers.start(row, f"http://127.0.0.1:{port}", retries=0) for row in rows}
        gateway.until_waiting(len(rows), within=20)
        time.sleep(SILENCE * 1.5)  # as 90 s are to the 60 s of nginx
    wrong = {}
    for row, call in calls.items():
        verdict = call.verdict()
        if verdict["error"] or verdict["text"] != truth[row]["text"]:
            wrong[row.name] = verdict
    report.put("thirteen clients", name, "FAILED" if wrong else "ok")
    assert not wrong, wrong


@pytest.mark.parametrize("target", ["/api/chat", "/v1/chat/completions"])
def test_tokens_arrive_as_they_are_made(before, target):
    """At 20 a second they are a second on their way; it has waited a little, so the head says not to buffer."""
    name, port, gateway = before
    with Client("127.0.0.1", port) as client:
        with held(gateway, permits=1):
            client.request("POST", target, CHAT, {"Connection": "close"})
            gateway.until_waiting(1)
            client.head()
        times = [at for at, piece in client.pieces() if b'"content"' in piece]
        assert client.answer.complete or client.answer.raw.endswith((b"\n", b"\r\n")), client.answer.raw[-200:]
    assert times[-1] - times[0] > 0.5, f"all within {times[-1] - times[0]:.2f} s"
    assert len(times) >= (3 if name == STOCK_HAPROXY else 5), len(times)  # a busy machine joins some


@pytest.mark.parametrize("phase", ["waiting", "streaming"])
def test_a_client_that_leaves_stops_the_work_behind_the_proxy(before, simulator, phase):
    name, port, gateway = before
    soon = 0.1 if name != STOCK_HAPROXY else 1.0  # s; the next heartbeat or token tells it
    took = []
    for _ in range(4):
        with held(gateway, permits=1 if phase == "waiting" else 0), Client("127.0.0.1", port) as client:
            busy = simulator.stats()["in_flight"]
            client.request("POST", "/api/chat", CHAT)
            if phase == "waiting":
                gateway.until_waiting(1)
                time.sleep(0.5)  # past grace: the head is out
            else:
                client.piece()
            left = time.monotonic()
            client.leave()
            gone = eventually(
                lambda busy=busy: gateway.queue()["waiting"] == 0 and simulator.stats()["in_flight"] == busy, within=5
            )
            took.append(time.monotonic() - left)
            assert gone, "it goes on"
        if took[-1] <= soon:
            break
    report.put("a client that leaves, " + phase, name, f"{min(took) * 1000:.0f} ms")
    assert min(took) <= soon, took
