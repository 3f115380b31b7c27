"""SPEC §8: a client that reads too slowly never slows Ollama. A stream is cut past limits.client_buffer; a one-piece
answer is taken whole and given at the client's pace; information and management have plain back-pressure."""

import pytest

from dialects import call_of
from harness import SANITIZED, eventually

MUCH = "llama3,load=0s,prompt=0s,rate=0,tokens=40000"  # some 4 MB as NDJSON


@pytest.mark.parametrize("kind", ["generate", "chat_completions", "messages"])
def test_a_stream_that_is_not_read_is_cut_and_ollama_never_blocks(serve, simulate, kind):
    simulator = simulate(MUCH)
    gateway = serve(simulator, {"limits": {"client_buffer": "256KiB"}})
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 3}})
    before = gateway.resident()
    client = gateway.client(receive_buffer=4096)
    client.request("POST", *call_of(kind, max_tokens=40000))
    assert eventually(lambda: simulator.stats()["aborts"]["count"] == 1, within=20), simulator.stats()
    assert simulator.stats()["aborts"]["list"][0]["phase"] == "streaming"
    gateway.until_running(0)
    assert gateway.resident() - before < 20 << 20 or SANITIZED
    answer = client.finish()
    assert not answer.complete and answer.ended in ("reset", "eof")
    ended = eventually(lambda: gateway.status()["recent"])[0]
    assert ended["outcome"] == "client_gone"
    assert "limits.client_buffer" in str(ended["attempts"]) and gateway.log(level="warning"), ended
    client.socket.close()


def test_a_slow_reader_does_not_slow_another(serve, simulate):
    simulator = simulate(MUCH)
    gateway = serve(simulator, {"limits": {"client_buffer": "64MiB"}, "queue": {"grace": "10s"}})
    gateway.serves = None
    slow = gateway.client(receive_buffer=65536).request("POST", *call_of("generate"))
    slow.head()
    with gateway.client() as quick:
        answer = quick.request("POST", *call_of("generate", options={"num_predict": 1000})).finish()
        assert answer.complete and answer.lines()[-1]["done"]
    # The slow one's call is over upstream though it has read next to nothing; then it gets it all.
    assert eventually(lambda: simulator.stats()["in_flight"] == 0, within=20)
    assert simulator.stats()["aborts"]["count"] == 0
    assert slow.answer.ended is None
    answer = slow.finish()
    assert answer.complete and len(answer.lines()) == 40001 and answer.lines()[-1]["done"]
    slow.socket.close()


@pytest.mark.parametrize("kind", ["generate", "chat_completions"])
def test_a_one_piece_answer_is_taken_whole_and_given_at_the_readers_pace(serve, simulate, kind):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=0,tokens=1000000", flags=["--fixed-time"])
    gateway = serve(simulator, {"limits": {"client_buffer": "256KiB"}})
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 3}})
    call = call_of(kind, stream=False, max_tokens=1000000)
    client = gateway.client(receive_buffer=65536).request("POST", *call)
    client.head()
    assert eventually(lambda: simulator.stats()["in_flight"] == 0, within=20)
    assert simulator.stats()["aborts"]["count"] == 0
    gateway.until_running(0)  # its permit is free: Ollama has done its part
    assert not client.answer.ended
    answer = client.finish()
    assert answer.complete and len(answer.body) > 3 << 20
    direct = simulator.post(*call)
    assert answer.json().keys() == direct.json().keys() and len(answer.body) == len(direct.body)
    client.socket.close()


def test_clients_that_stop_reading_are_not_kept_for_ever(serve, simulate):
    """What is kept for a client that takes nothing goes with it."""
    simulator = simulate("llama3,load=0s,prompt=0s,rate=0,tokens=1000000")
    gateway = serve(simulator, {"limits": {"client_keepalive": "1s"}})
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 3}})
    client = gateway.client(receive_buffer=4096).request("POST", *call_of("generate", stream=False))
    client.head()
    assert eventually(lambda: gateway._rested() <= gateway.base, within=10), gateway.sockets()
    assert not client.finish().complete
    client.socket.close()


def test_past_limits_memory_the_newest_are_refused_and_the_others_served(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=20s,rate=0,tokens=3")
    gateway = serve(simulator, {"limits": {"memory": "4MiB", "body": "2MiB"}})
    gateway.serves = None
    clients = []
    for _ in range(6):
        client = gateway.client()
        clients.append(client.request("POST", *call_of("generate", prompt="x" * (1 << 20))))
    refused = []
    for client in clients:
        client.socket.settimeout(0.3)
        try:
            refused.append(client.finish())
        except TimeoutError:
            pass
    assert 1 <= len(refused) <= 4
    for answer in refused:
        assert answer.status == 503 and answer.json()["code"] == "overloaded", answer.raw
    assert gateway.queue()["running"] == 6 - len(refused)  # what holds no body is served all the same
    for client in clients:
        client.leave("rst")
    assert eventually(lambda: gateway.queue()["running"] == 0)
