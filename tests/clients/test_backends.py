"""Backends of one's own between browser and gateway, those of deploy/examples: they pass a stream and the place in
the queue on, and when the browser leaves, their socket is gone and the work upstream has stopped within 2 s."""

# ctest: timeout 300

import contextlib
import json
import os
import subprocess
import time

import install
import pytest
from conftest import there_or_skip
from harness import ROOT, Client, eventually, free_port

EXAMPLES = ROOT / "deploy" / "examples"
SERVERS = {
    "flask": ["-m", "flask", "--app", "flask_backend", "run", "--with-threads", "--port"],
    "fastapi": ["-m", "uvicorn", "fastapi_backend:app", "--log-level", "warning", "--port"],
}
SOON = 2.0  # s


def sockets_of(pid, port):
    """How many TCP connections the process has to that port."""
    found = subprocess.run(["ss", "-Htnp", "dport", "=", f":{port}"], capture_output=True, text=True, check=True).stdout
    return sum(f"pid={pid}," in line for line in found.splitlines())


@contextlib.contextmanager
def backend(kind, gateway, directory):
    python = there_or_skip(install.python)[0]
    port = free_port()
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**compiled, "GATEWAY": gateway.url}
    log = (directory / "log").open("w")
    process = subprocess.Popen(
        [python, *SERVERS[kind], str(port)], cwd=EXAMPLES, env=environment, stdout=log, stderr=log
    )

    def listens():
        with contextlib.suppress(OSError), Client("127.0.0.1", port):
            return True
        return False

    try:
        assert eventually(listens, within=90, step=0.1), (directory / "log").read_text()
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def ask(port, model="llama3"):
    client = Client("127.0.0.1", port)
    client.request("POST", "/chat", {"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    return client


@pytest.fixture(params=SERVERS)
def chain(request, simulate, serve, tmp_path):
    """(gateway, simulator, pid of the backend, its port): one permit."""
    simulator = simulate(
        "llama3,load=0s,prompt=0s,rate=50,tokens=10", "slow,load=0s,prompt=0s,rate=20,tokens=2000"
    )  # fmt: skip
    config = {"upstream": {"max_concurrent": 1}, "queue": {"status_interval": "200ms", "heartbeat": "1s"}}
    gateway = serve(simulator, config)
    with backend(request.param, gateway, tmp_path) as (pid, port):
        yield gateway, simulator, pid, port


def test_a_backend_passes_the_place_in_the_queue_and_the_answer_on(chain):
    gateway, _, _, port = chain
    with gateway.client() as holder:
        holder.request("POST", "/api/generate", {"model": "slow", "prompt": "hold"})
        gateway.until_running(1)
        with ask(port) as waits:
            assert waits.head().get("Content-Type").startswith("text/event-stream")
            gateway.until_waiting(1)
            first = waits.piece()[1]
            assert b"queue_status" in first and b'"position":1' in first, first
            holder.leave()
            answer = waits.finish()
    assert answer.complete, answer.raw
    words = [json.loads(data) for name, data in answer.events() if name == "message"]
    assert words[-1]["done"] and len(words) > 10


@pytest.mark.parametrize("phase", ["waiting", "streaming"])
def test_when_the_browser_leaves_the_backends_socket_is_gone_and_the_work_has_stopped(chain, phase):
    gateway, simulator, pid, port = chain
    with gateway.client() as holder:
        if phase == "waiting":
            holder.request("POST", "/api/generate", {"model": "slow", "prompt": "hold"})
            gateway.until_running(1)
        with ask(port, "slow") as browser:
            browser.piece()
            if phase == "waiting":
                gateway.until_waiting(1)
            assert sockets_of(pid, gateway.port) == 1
            left = time.monotonic()
            browser.leave()
            busy = 1 if phase == "waiting" else 0
            assert eventually(lambda: sockets_of(pid, gateway.port) == 0, within=5, step=0.02), "the socket stays"
            assert eventually(lambda: gateway.queue()["waiting"] == 0, within=5)
            assert eventually(lambda: simulator.stats()["in_flight"] == busy, within=5)
            took = time.monotonic() - left
        assert took < SOON, f"{took:.1f} s"


def test_a_backend_leaves_nothing_behind_after_many_browsers(chain):
    gateway, simulator, pid, port = chain
    for _ in range(10):
        with ask(port, "slow") as browser:
            browser.piece()
            browser.leave("rst")
    assert eventually(lambda: sockets_of(pid, gateway.port) == 0, within=5, step=0.05), "sockets stay"
    assert eventually(lambda: simulator.stats()["in_flight"] == 0, within=5)
