"""What a body may be (SPEC §4): JSON that Ollama would read otherwise is refused, zstd is understood."""

import json
import subprocess

import pytest

from harness import eventually

from dialects import call_of, error_of

GOOD = b'{"model":"llama3","prompt":"x","stream":false}'

NATIVE = [
    b'{"model":"llama3","prompt":"x","\\u212aeep_alive":0}',
    '{"model":"llama3","prompt":"x","\u212aeep_alive":0}'.encode(),
    b'{"model":"llama3","prompt":"x","options":{"num_ctx":1,"Num_Ctx":2}}',
    b'{"model":"llama3","prompt":"x","options":{},"Options":{"num_ctx":2}}',
]
AMBIGUOUS = [
    b'{"model":"llama3","Model":"other","prompt":"x"}',
    b'{"Model":"llama3","prompt":"x"}',
    b'{"model":"llama3","model":"other","prompt":"x"}',
    '{"model":"llama3","prompt":"x","\u017ftream":false}'.encode(),
    b'{"model":"llama3","prompt":"x","STREAM":false}',
    b'{"model":"llama3","prompt":"x"} {"model":"other"}',
    b'{"model":"llama3","prompt":"x"}x',
    b'{"model":"llama3","prompt":',
    b"[" * 100000,
    b'{"model":"llama3","prompt":"x","messages":' + b"[" * 100000 + b"]" * 100000 + b"}",
    b'{"model":"llama3","prompt":"\xff"',
    b"nonsense",
]


def test_an_ambiguous_body_is_400_and_not_passed_on(pair):
    gateway, simulator = pair
    for body in NATIVE + AMBIGUOUS:  # /v1 knows neither keep_alive nor options
        for target in ("/api/generate", "/v1/completions") if body in AMBIGUOUS else ("/api/generate",):
            answer = gateway.post(target, body)
            assert answer.status == 400, (body[:80], answer.raw)
            kind = "generate" if target == "/api/generate" else "completions"
            assert error_of(kind, answer.json())["code"] == "bad_body", body[:80]
        assert not simulator.requests("/api/generate") and not simulator.requests("/v1/completions"), body[:80]


def test_white_space_behind_the_value_is_cut(pair):
    gateway, simulator = pair
    assert gateway.post("/api/generate", GOOD + b" \r\n\t\n").status == 200
    (request,) = simulator.requests("/api/generate")
    assert request["body"].encode() == GOOD and dict(request["headers"])["Content-Length"] == str(len(GOOD))


def zstd_raw(data):
    """A zstd frame by hand: magic, single segment with a 4-byte size, one raw block."""
    assert len(data) < 1 << 17
    header = b"\x28\xb5\x2f\xfd\xa0" + len(data).to_bytes(4, "little")
    return header + (1 | len(data) << 3).to_bytes(3, "little") + data


def test_zstd_bodies_are_understood_on_v1(pair):
    gateway, simulator = pair
    packed = {"Content-Encoding": "zstd", "Content-Type": "application/json"}
    target, body = call_of("chat_completions", stream=False)
    text = json.dumps(body).encode()
    answer = gateway.post(target, zstd_raw(text), packed)
    assert answer.status == 200 and answer.json()["choices"], answer.raw
    # It was read, not only passed on.
    assert eventually(lambda: gateway.status()["recent"][0]["model"] == "llama3:latest")
    answer = gateway.post(target, zstd_raw(json.dumps({**body, "Model": "x"}).encode()), packed)
    assert answer.status == 400 and answer.json()["error"]["code"] == "bad_body"
    answer = gateway.post(target, zstd_raw(text)[:-3], packed)
    assert answer.status == 400
    assert gateway.post(target, b"\x28\xb5\x2f\xfd" + bytes(range(200)), packed).status == 400


def test_a_zstd_body_that_unpacks_to_too_much_is_413(pair):
    gateway, _ = pair
    block = lambda last: (last | 1 << 1 | (128 << 10) << 3).to_bytes(3, "little") + b" "  # 128 KiB of spaces
    bomb = b"\x28\xb5\x2f\xfd\x00\x38" + block(0) * 4000 + block(1)
    answer = gateway.post("/v1/chat/completions", bomb, {"Content-Encoding": "zstd"})
    assert answer.status == 413 and answer.json()["error"]["code"] == "too_large", answer.raw


def test_zstd_as_the_command_makes_it(pair):
    gateway, _ = pair
    target, body = call_of("messages", stream=False, prompt="x" * 5000)
    try:
        packed = subprocess.run(["zstd", "-c"], input=json.dumps(body).encode(), capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("zstd is not here")
    answer = gateway.post(target, packed.stdout, {"Content-Encoding": "zstd"})
    assert answer.status == 200 and answer.json()["content"], answer.raw
