"""SPEC §1: what comes through the gateway is what Ollama said, byte for byte and as soon as it said it."""

import re
import statistics
import threading

import pytest

from dialects import STREAMS, call_of
from harness import PATIENCE
from queueing import EMBEDDINGS, call_to

MODELS = (
    "llama3,load=0s,prompt=0s,rate=0,tokens=5,pull=0s", "nomic-embed-text,embedding,dim=8,load=0s,prompt=0s",
    "thinker,thinking,load=0s,prompt=0s,rate=0,tokens=4",
)  # fmt: skip
BLOB = b"weights, as far as anybody can tell"
DIGEST = "sha256:de9b0ed8a8d6a9d5b5ca7ff0ad3d8ee7c1ca8b1c2f4d3c5b4b9f1a9a3b6d5e4f"


def chat(text="hello", **more):
    return {"model": "llama3", "messages": [{"role": "user", "content": text}], **more}


def multipart(*parts):
    lines = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts]
    return "".join(lines).encode() + b"--x--\r\n"


# In this order, each once to a simulator and once through a gateway to another: they change what is there.
INFORMATION = [
    ("GET", "/"), ("HEAD", "/"), ("GET", "/api/version"), ("HEAD", "/api/version"), ("GET", "/api/status"),
    ("GET", "/api/tags"), ("HEAD", "/api/tags"), ("GET", "/api/ps"), ("HEAD", "/api/ps"), ("POST", "/api/ps"),
    ("GET", "/v1/models"), ("GET", "/v1/models/llama3"), ("GET", "/v1/models/nobody"), ("HEAD", "/v1/models"),
    ("POST", "/api/show", {"model": "llama3"}), ("POST", "/api/show", {"model": "llama3", "verbose": True}),
    ("POST", "/api/show", {"name": "llama3"}), ("POST", "/api/show", {"model": "nobody"}), ("POST", "/api/show", {}),
    ("POST", "/api/show"), ("POST", "/api/show", b"{"), ("GET", "/api/show"), ("GET", "/nowhere"),
    ("POST", "/nowhere", {}),
    ("GET", "/api/"), ("GET", "/api/tags/"), ("POST", "/api/chat/", chat()), ("PUT", "/api/chat", chat()),
    ("GET", "/api/chat"), ("DELETE", "/api/generate"), ("GET", "/api/tags?verbose=1"),
    ("GET", "/debug/pprof"), ("POST", "/v1/messages/count_tokens", chat()),
]  # fmt: skip
MANAGEMENT = [
    ("HEAD", f"/api/blobs/{DIGEST}"), ("POST", f"/api/blobs/{DIGEST}", BLOB), ("HEAD", "/api/blobs/none"),
    ("POST", "/api/pull", {"model": "fetched"}), ("POST", "/api/pull", {"model": "fetched", "stream": False}),
    ("POST", "/api/pull", {"model": "nobody"}), ("POST", "/api/pull", {}), ("POST", "/api/pull", b""),
    ("POST", "/api/push", {"model": "llama3"}), ("POST", "/api/push", {"model": "nobody", "stream": False}),
    ("POST", "/api/copy", {"source": "llama3", "destination": "copied"}), ("GET", "/api/tags"),
    ("POST", "/api/copy", {"source": "nobody", "destination": "copied"}),
    ("POST", "/api/create", {"model": "made", "from": "llama3"}),
    ("POST", "/api/create", {"model": "made", "from": "llama3", "stream": False}), ("POST", "/api/create", {}),
    ("DELETE", "/api/delete", {"model": "copied"}), ("DELETE", "/api/delete", {"model": "copied"}),
    ("DELETE", "/api/delete", b""), ("POST", "/api/me"), ("POST", "/api/signout"), ("DELETE", "/api/user/keys/k"),
    ("POST", "/api/experimental/web_search", {"query": "x"}), ("POST", "/api/experimental/web_fetch", {"url": "x"}),
    ("GET", "/api/experimental/model-recommendations"), ("GET", "/api/tags"),
]  # fmt: skip
LOADS = [
    ("POST", "/api/generate", {"model": "llama3"}), ("POST", "/api/generate", {"model": "llama3", "stream": False}),
    ("GET", "/api/ps"), ("POST", "/api/chat", {"model": "llama3", "messages": []}),
    ("POST", "/api/generate", {"model": "llama3", "keep_alive": 0}),
    ("POST", "/api/chat", {"model": "llama3", "keep_alive": 0}),
    ("POST", "/api/generate", {"model": "nobody"}), ("POST", "/api/generate", {"model": "nobody", "keep_alive": 0}),
    ("POST", "/api/generate", {"model": "llama3", "keep_alive": "300"}),
    ("POST", "/api/generate", {"model": "llama3", "keep_alive": True}),
    ("POST", "/api/generate", {"model": "nomic-embed-text"}), ("GET", "/api/ps"),
]  # fmt: skip
GENERATIONS = [
    *(("POST", *call_to(kind, "hello <b>&</b> \u00fc\u20ac\U0001f600", stream=stream))
      for kind in STREAMS for stream in (True, False)),
    *(("POST", *call_to(kind, "hello", model="thinker", stream=stream))
      for kind in STREAMS for stream in (True, False)),
    *(("POST", *call_to(kind, "hello", model="nomic-embed-text")) for kind in STREAMS),  # it cannot
    *(("POST", *call_to(kind, "hello", model="nobody", stream=False)) for kind in STREAMS),
    *(("POST", STREAMS[kind][0], {"model": "llama3"}) for kind in STREAMS if kind not in ("generate", "chat")),
    *(("POST", STREAMS[kind][0], {}) for kind in STREAMS),
    *(("POST", STREAMS[kind][0]) for kind in STREAMS),
    *(("POST", STREAMS[kind][0], {**call_of(kind)[1], "model": ""}) for kind in STREAMS),
    ("POST", "/api/chat", chat(options={"num_predict": 2}, keep_alive="10m")),
    ("POST", "/api/chat", chat(options={"num_ctx": "many"})),
    ("POST", "/api/chat", chat(keep_alive="300")), ("POST", "/api/chat", chat(think=True)),
    ("POST", "/api/chat", chat(format="json")),
    ("POST", "/api/chat", chat(tools=[{"type": "function", "function": {"name": "f"}}])),
    ("POST", "/api/chat", {"model": "llama3", "messages": "none"}),
    ("POST", "/api/generate", {"model": "llama3", "prompt": 5}),
    ("POST", "/api/generate", {"model": 7, "prompt": "x"}),
    ("POST", "/api/generate", {"model": "no such name!", "prompt": "x"}),
    ("POST", "/api/generate", {"model": "LLAMA3:Latest", "prompt": "x", "stream": False}),
    ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "raw": True, "context": [1, 2, 3]}),
    ("POST", "/v1/chat/completions", chat(stream=True, stream_options={"include_usage": True})),
    ("POST", "/v1/chat/completions", chat(max_tokens=2)),
    ("POST", "/v1/messages", chat(max_tokens=2, system="be brief")),
]  # fmt: skip
EMBEDS = [
    *(("POST", *call_to(kind, "hello", model="nomic-embed-text")) for kind in EMBEDDINGS),
    *(("POST", *call_to(kind, "hello", model="llama3")) for kind in EMBEDDINGS),
    *(("POST", *call_to(kind, "hello", model="nobody")) for kind in EMBEDDINGS),
    *(("POST", target, body) for target in EMBEDDINGS.values() for body in ({}, {"model": "nomic-embed-text"}, b"")),
    ("POST", "/api/embed", {"model": "nomic-embed-text", "input": ["a", "b", "c"]}),
    ("POST", "/api/embed", {"model": "nomic-embed-text", "input": []}),
    ("POST", "/api/embed", {"model": "nomic-embed-text", "input": 5}),
    ("POST", "/v1/embeddings", {"model": "nomic-embed-text", "input": ["a", "b"], "encoding_format": "base64"}),
]  # fmt: skip
TRANSCRIPTIONS = [
    ("POST", "/v1/audio/transcriptions", multipart(("model", model),
    ("file", "RIFF")), {"Content-Type": "multipart/form-data; boundary=x"})
    for model in ("llama3", "nobody")
]  # fmt: skip


def said(answer):
    """What must be the same. Anthropic's errors carry an id made up each time."""
    kept = [answer.get(name) for name in ("Content-Type", "Location", "Allow")]
    body = re.sub(rb'"request_id":"req_[0-9a-f]+"', b"", answer.body)
    return answer.status, answer.reason, *kept, body, answer.complete


@pytest.mark.parametrize(
    "calls", [INFORMATION, MANAGEMENT, LOADS, GENERATIONS, EMBEDS, TRANSCRIPTIONS],
    ids=["information", "management", "loads", "generations", "embeddings", "transcriptions"],
)  # fmt: skip
def test_every_route_answers_as_it_does_without_the_gateway(simulate, serve, calls):
    flags = ["--fixed-time", "--registry", "fetched,size=1MB,pull=0s"]
    direct = simulate(*MODELS, flags=flags, there=False)
    gateway = serve(simulate(*MODELS, flags=flags, there=False))
    different = []
    for method, target, *rest in calls:
        own, through = direct.call(method, target, *rest), gateway.call(method, target, *rest)
        if said(own) != said(through):
            different.append((method, target, rest, said(own), said(through)))
    assert not different, "\n".join(str(line)[:1500] for line in different)


def test_a_body_reaches_ollama_as_the_client_wrote_it(pair):
    gateway, simulator = pair
    bodies = [
        b'{ "model" : "llama3",\n\t"prompt":"\\u00e4 \xc3\xa4","stream":false , "unknown":[1,{"a":null}]}',
        b'{"model":"llama3","prompt":"x","stream":false}',
    ]
    for body in bodies:
        assert gateway.post("/api/generate", body).status == 200
        assert gateway.post("/api/generate", body + b" \r\n\t ").status == 200
    got = simulator.requests("/api/generate")
    assert [r["body"].encode() for r in got] == [body for body in bodies for _ in range(2)]
    for r in got:
        fields = {name.lower(): value for name, value in r["headers"]}
        assert fields["content-length"] == str(len(r["body"].encode())) and "transfer-encoding" not in fields


@pytest.mark.parametrize("kind", ["generate", "chat_completions", "messages"])
def test_tokens_arrive_as_they_are_made(simulate, serve, kind):
    """Each token's text is the nanosecond it was made in. What a busy machine does to both is taken off by a
    stream that goes past the gateway at the same time."""
    simulator = simulate("llama3,load=0s,prompt=0s,rate=60,tokens=60", flags=["--stamp"])
    gateway = serve(simulator)
    more = {"max_tokens": 60} if kind == "messages" else {}
    for _ in range(3):
        clients = [server.client() for server in (simulator, gateway)]
        for client in clients:
            client.request("POST", *call_to(kind, "hello", **more))
        readers = [threading.Thread(target=client.finish) for client in clients]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        direct, through = (delays(client.answer) for client in clients)
        for client in clients:
            client.socket.close()
        assert len(through) == len(direct) == 60
        late, soon = p90(direct), 0.005 * PATIENCE
        if p90(through) < soon + late and statistics.median(through) < soon:
            return
    pytest.fail(f"p90 {p90(through) * 1000:.1f} ms, past the gateway {late * 1000:.1f} ms: {sorted(through)}")


def delays(answer):
    """Seconds from the making of each token to its arrival."""
    stamps = re.compile(rb"(?<!\d)\d{20}(?!\d)")
    return [at - int(stamp) / 1e9 for at, piece in answer.pieces for stamp in stamps.findall(piece)]


def p90(values):
    return sorted(values)[int(len(values) * 0.9)]
