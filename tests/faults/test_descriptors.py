"""T-19: no descriptor left at all, for clients and for upstreams: accepting pauses, nothing spins, and all of it is
over as soon as there are some."""

import resource
import socket
import time

import pytest

from dialects import call_of
from harness import PATIENCE, SANITIZED, eventually

# UBSan looks at an object's type through a pipe of its own: without a descriptor it takes every object for a wrong one.
pytestmark = pytest.mark.skipif(SANITIZED, reason="the sanitizer itself needs descriptors")

PLAIN = "llama3,load=0s,prompt=0s,rate=50,tokens=20"


def test_not_one_descriptor_left_is_survived_and_over_at_once(serve, simulate):
    simulator = simulate(PLAIN)
    gateway = serve(simulator)
    gateway.expected = ["Too many open files"]
    with gateway.client() as here:
        here.request("GET", "/gateway/queue").finish()
        soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (3, hard))  # fewer than are open
        crowd = [socket.create_connection((gateway.host, gateway.port)) for _ in range(100)]
        assert eventually(lambda: gateway.log("not accepting connections for a moment"))
        before, began = gateway.cpu_seconds(), time.monotonic()
        time.sleep(2)
        spent, passed = gateway.cpu_seconds() - before, time.monotonic() - began
        assert spent < 0.1 * passed * PATIENCE, f"{spent} s of {passed} s"
        assert len(gateway.log("not accepting connections for a moment")) <= 2
        # Who is here is answered; there is no connection upstream to be had, and that is told.
        assert here.request("GET", "/gateway/queue").finish().status == 200
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (soft, hard))
        began = time.monotonic()
        assert eventually(lambda: gateway.get("/gateway/queue").status == 200, within=3)
        assert time.monotonic() - began < 1.5 * PATIENCE
        for sock in crowd:
            sock.close()
        assert here.request("POST", *call_of("generate")).finish().complete


def test_a_call_that_gets_no_descriptor_for_its_upstream_waits_or_is_told(serve, simulate):
    simulator = simulate(PLAIN)
    gateway = serve(simulator, {"queue": {"hold_upstream": "10s"}, "reconcile": {"interval": "1s"}})
    gateway.expected = ["Too many open files"]
    clients = [gateway.client() for _ in range(8)]
    for client in clients:
        client.request("GET", "/gateway/queue").finish()
    soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (3, hard))
    for client in clients:
        client.request("POST", *call_of("generate"))
    time.sleep(0.5)
    assert gateway.alive()
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (soft, hard))
    for client in clients:
        answer = client.finish()
        assert answer.status in (200, 503), answer.raw
        assert answer.status == 503 or answer.lines()[-1]["done"]
        client.socket.close()
    assert eventually(lambda: gateway.post(*call_of("generate")).status == 200, within=10)
