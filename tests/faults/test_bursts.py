"""T-59, T-60: very many tokens at once, and an upstream that dies with a hundred calls waiting for it."""

import hashlib
import time

from dialects import STREAMS, call_of, looks_complete
from harness import SANITIZED, eventually

TOKENS = 100_000 if SANITIZED else 200_000
BURST = f"llama3,load=0s,prompt=0s,rate=0,tokens={TOKENS}"


def digest(server, tokens):
    """SHA-256 and number of lines of a stream, read without keeping it."""
    with server.client() as client:
        client.request("POST", *call_of("generate", options={"num_predict": tokens}))
        read, lines = hashlib.sha256(), 0
        for _, piece in client.pieces():
            read.update(piece)
            lines += piece.count(b"\n")
            client.answer.raw = b""
        assert client.answer.complete
        return read.hexdigest(), lines


def test_a_burst_of_tokens_comes_whole_and_in_order_and_costs_no_memory(serve, simulate):
    simulator = simulate(BURST, flags=["--fixed-time"])
    gateway = serve(simulator, {"limits": {"client_buffer": "256MiB"}})
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 3}})
    assert digest(gateway, TOKENS) == digest(simulator, TOKENS)
    # What was kept for the reader goes back.
    small = digest(gateway, 1000)
    before = gateway.resident()
    for _ in range(20):
        assert digest(gateway, 1000) == small
    assert gateway.resident() - before < 2 << 20 or SANITIZED


def test_an_upstream_that_dies_with_a_hundred_waiting_is_met_by_no_herd(serve, simulate):
    permits = 4
    model = "llama3,load=0s,prompt=20ms,rate=0,tokens=5"
    simulator = simulate(model)
    gateway = serve(
        simulator,
        {
            "upstream": {"max_concurrent": permits},
            "queue": {"hold_upstream": "60s", "max_waiting_per_client": 200},
            "reconcile": {"interval": "1s"},
        },
    )
    simulator.fault("silent_head")
    kinds = list(STREAMS)
    clients = [(kind, gateway.client().request("POST", *call_of(kind))) for kind in (kinds * 17)[:100]]
    gateway.until_running(permits)
    gateway.until_waiting(100 - permits)
    simulator.process.kill()
    simulator.process.wait()
    lost = eventually(lambda: not gateway.status()["upstreams"][0]["up"])
    assert lost, gateway.status()
    time.sleep(0.5)
    again = simulate(model, port=simulator.port)
    whole, told = 0, 0
    for kind, client in clients:
        answer = client.finish()
        if answer.status == 200 and answer.complete:
            assert looks_complete(kind, answer)
            whole += 1
        else:  # those that were running when it died
            assert answer.status in (200, 502) and not looks_complete(kind, answer), answer.raw
            told += 1
        client.socket.close()
    assert told <= permits and whole == 100 - told, (whole, told)
    assert again.stats()["peak_in_flight"] <= permits + 2  # and what the gateway asks for itself
    assert again.stats()["peak"] <= permits
    gateway.upstream = again
