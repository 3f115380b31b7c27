"""One request after another on one connection: each is what it says, whatever the one before it said."""

import http.client
import json
import socket

import pytest

from harness import rewrite
from queueing import QUICK


@pytest.fixture
def gateway_of(simulate, serve):
    return lambda config=None: serve(simulate(QUICK), config or {})


def ask(connection, words, **more):
    connection.request("POST", "/api/generate", json.dumps({"model": "llama3", "prompt": words, "stream": False}), **more)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.getheader("X-Request-Id")


def test_a_head_that_is_the_last_one_again_is_a_call_of_its_own(simulate, serve):
    simulator = simulate(QUICK)
    gateway = serve(simulator)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    prompts = ["why", "why" * 7, "w" * 1000, "w" * 999, "why"]
    answers = [ask(connection, prompt) for prompt in prompts]
    assert all(status == 200 and json.loads(body)["done"] for status, body, _ in answers)
    assert len({request_id for *_, request_id in answers}) == len(prompts)
    assert len(simulator.requests("/api/generate")) == len(prompts)
    connection.close()


def test_new_rules_hold_for_the_next_request_of_a_kept_connection(gateway_of):
    gateway = gateway_of({"hosts": ["box.example"]})
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    for _ in range(2):
        assert ask(connection, "why", headers={"Host": "box.example"})[0] == 200
    rewrite(gateway, hosts=["other.example"])
    assert gateway.admin("/reload", "POST").status == 200
    assert ask(connection, "why", headers={"Host": "box.example"})[0] == 403
    connection.close()


def test_new_bounds_of_a_head_hold_for_the_next_one_on_a_kept_connection(gateway_of):
    gateway = gateway_of()
    long_head = {"X-Padding": "x" * 3000}
    kept = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    assert ask(kept, "why", headers=long_head)[0] == 200
    rewrite(gateway, limits={"header_bytes": "2KiB"})
    assert gateway.admin("/reload", "POST").status == 200
    assert ask(kept, "why", headers=long_head)[0] == 431
    kept.close()
    other = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    assert ask(other, "why")[0] == 200
    rewrite(gateway, limits={"header_bytes": "8KiB"})
    assert gateway.admin("/reload", "POST").status == 200
    assert ask(other, "why", headers=long_head)[0] == 200
    other.close()


def test_a_bad_head_behind_a_HEAD_is_answered_with_words(gateway_of):
    gateway = gateway_of()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as client:
        client.sendall(b"HEAD /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = client.recv(65536)
        assert head.startswith(b"HTTP/1.1 200") and head.endswith(b"\r\n\r\n")
        client.sendall(b"no head at all\r\n\r\n")
        rest = b""
        while piece := client.recv(65536):
            rest += piece
    head, _, body = rest.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and b"error" in body
