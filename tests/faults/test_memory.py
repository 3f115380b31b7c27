"""limits.memory is what bodies and buffers may take together; and what is only announced takes none of it."""

# ctest: busy

import time

import pytest

from dialects import call_of
from harness import SANITIZED, eventually
from scripted import STALL

PLAIN = "llama3,load=0s,prompt=0s,rate=0,tokens=3"
HEAD = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"


def test_who_announces_much_and_sends_nothing_keeps_nobody_out(serve, simulate):
    """Each announced length was taken out of limits.memory at once: sixteen idle clients and nobody else was served."""
    gateway = serve(simulate(PLAIN), {"limits": {"memory": "64MiB", "body": "32MiB"}})
    idle = [gateway.client() for _ in range(20)]
    for client in idle:
        client.send(HEAD.format("/api/generate", 32 << 20).encode() + b"{")
    for _ in range(5):
        answer = gateway.post(*call_of("generate", prompt="x" * (4 << 20)))
        assert answer.status == 200, answer.raw
    for client in idle:
        client.leave("rst")


def test_bodies_that_come_past_limits_memory_are_refused_while_they_come(serve, simulate):
    gateway = serve(simulate(PLAIN), {"limits": {"memory": "16MiB", "body": "16MiB"}})
    before = gateway.resident()
    clients = [gateway.client(timeout=20) for _ in range(10)]
    refused = 0
    for client in clients:
        client.expect("POST")
        try:
            client.send(HEAD.format("/api/generate", 9 << 20).encode() + b" " * (8 << 20))
        except OSError:
            pass
    for client in clients:
        client.socket.settimeout(0.5)
        try:
            answer = client.finish()
            refused += answer.status == 503 and answer.json()["code"] == "overloaded"
        except TimeoutError:
            pass
    assert 8 <= refused < 10, refused
    assert gateway.resident() - before < (24 << 20) or SANITIZED
    for client in clients:
        client.leave("rst")
    assert eventually(lambda: gateway.post(*call_of("generate", prompt="x" * (4 << 20))).status == 200)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps what is freed")
def test_what_is_read_ahead_of_uploads_counts_too(scripted, serve):
    """A quarter of a megabyte was read ahead of each, whatever limits.memory said."""
    upstream = scripted((b"", STALL))
    gateway = serve(upstream.url, {"limits": {"memory": "4MiB", "body": "2MiB", "client_buffer": "2MiB", "header_timeout": "60s"}})
    gateway.serves = None
    upstream._one = lambda sock, number: time.sleep(30)  # nobody reads
    before = gateway.resident()
    clients = []
    for _ in range(150):
        client = gateway.client()
        client.socket.setblocking(False)
        try:
            client.socket.send(HEAD.format("/api/create", 64 << 20).encode())
            for _ in range(200):
                client.socket.send(b" " * 65536)
        except BlockingIOError:
            pass
        clients.append(client)
    time.sleep(1)
    for client in clients:
        try:
            for _ in range(200):
                client.socket.send(b" " * 65536)
        except BlockingIOError:
            pass
    time.sleep(0.5)
    assert len(gateway.status()["calls"]) == 150
    grown = gateway.resident() - before  # what is not the budget's: each connection's own state and first buffers
    assert grown < (4 << 20) + 150 * (160 << 10), grown
    for client in clients:
        client.leave("rst")
    assert eventually(lambda: not gateway.status()["calls"], within=5)


def test_who_is_cut_because_memory_is_used_up_is_told_so(serve, simulate):
    """Its attempt named limits.client_buffer, which was not full."""
    simulator = simulate("llama3,load=0s,prompt=0s,rate=0,tokens=200000", "slow,load=0s,prompt=60s")
    gateway = serve(simulator, {"limits": {"memory": "2MiB", "body": "2MiB", "client_buffer": "2MiB"}, "upstream": {"max_concurrent": 8}})
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 3}})
    other = gateway.client().request("POST", *call_of("generate", model="slow", prompt="x" * (1 << 19)))
    gateway.until_running(1)
    slow = gateway.client(receive_buffer=4096).request("POST", *call_of("generate"))

    def cut():
        return [call for call in gateway.status()["recent"] if call["outcome"] == "client_gone"]

    attempts = eventually(cut, within=20)[0]["attempts"]
    assert "limits.memory" in str(attempts), attempts
    assert gateway.log(level="warning")[0]["limit"] == "limits.memory"
    assert not slow.finish().complete
    slow.socket.close()
    other.leave("rst")


def test_with_all_memory_taken_small_requests_are_still_served(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=0,tokens=200000")
    gateway = serve(simulator, {"limits": {"memory": "2MiB", "body": "2MiB", "client_buffer": "2MiB"}, "upstream": {"max_concurrent": 8}})
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 3}})
    slow = [gateway.client(receive_buffer=4096).request("POST", *call_of("generate")) for _ in range(2)]
    for client in slow:
        client.head()
    for _ in range(20):
        answer = gateway.post(*call_of("generate", options={"num_predict": 3}, prompt="y" * 3000))
        assert answer.status in (200, 503), answer.raw
        assert gateway.get("/api/version").status == 200
    for client in slow:
        client.leave("rst")
