"""T-20: how much of a stream stands anywhere for a client that does not read. Without a bound on what the kernel keeps
unsent it swallows some megabytes before `client_buffer` counts a byte."""

# ctest: busy

import time

import pytest

from dialects import call_of
from harness import SANITIZED, eventually

MUCH = "llama3,load=0s,prompt=0s,rate=0,tokens=400000"  # some 40 MB as NDJSON
KERNEL = 512 << 10


def unsent(gateway):
    """Bytes in the kernel's send queues of the gateway's own sockets towards clients."""
    found = 0
    with open(f"/proc/{gateway.pid}/net/tcp") as table:
        for line in table.readlines()[1:]:
            column = line.split()
            if int(column[1].split(":")[1], 16) == gateway.port and column[3] == "01":
                found += int(column[4].split(":")[0], 16)
    return found


@pytest.mark.parametrize("receive_buffer", [4096, None])
def test_what_the_kernel_keeps_for_a_client_that_does_not_read_is_bounded(serve, simulate, receive_buffer):
    simulator = simulate(MUCH)
    gateway = serve(simulator, {"limits": {"client_buffer": "64MiB"}})
    gateway.serves = None
    client = gateway.client(receive_buffer=receive_buffer).request("POST", *call_of("generate"))
    client.head()
    assert eventually(lambda: simulator.stats()["in_flight"] == 0, within=30)
    time.sleep(0.2)
    assert 0 < unsent(gateway) < KERNEL, unsent(gateway)
    client.leave("rst")


def test_a_stream_is_cut_once_client_buffer_is_full_and_not_megabytes_later(serve, simulate):
    simulator = simulate(MUCH)
    gateway = serve(simulator, {"limits": {"client_buffer": "256KiB"}})
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 3}})
    before = gateway.resident()
    client = gateway.client(receive_buffer=4096).request("POST", *call_of("generate"))
    client.head()
    assert eventually(lambda: simulator.stats()["aborts"]["count"] == 1, within=20)
    call = gateway.status()["recent"][0]
    assert call["outcome"] == "client_gone"
    assert gateway.resident() - before < 4 << 20 or SANITIZED
    answer = client.finish()
    assert not answer.complete and len(answer.raw) < 1 << 20, len(answer.raw)
    client.socket.close()
