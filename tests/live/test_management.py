"""Management calls: bodies of any size stream both ways without being held, early answers are passed on, and
`management` says who may."""

import hashlib
import json
import threading
import time

import pytest

from dialects import call_of
from harness import SANITIZED, eventually, request_bytes
from scripted import KEEP, RESET, STALL

MODEL = "llama3,load=0s,prompt=0s,rate=200,tokens=10"
BLOCK = bytes(range(256)) * 4096  # 1 MiB
ROOM = 20 << 20


class Watched:
    """How far a gateway's memory grows within a `with`."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.grown = 0

    def __enter__(self):
        self.base = self.gateway.resident()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.over.wait(0.01):
            self.grown = max(self.grown, self.gateway.resident() - self.base)

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def digest(blocks):
    whole = hashlib.sha256()
    for _ in range(blocks):
        whole.update(BLOCK)
    return f"/api/blobs/sha256:{whole.hexdigest()}"


def upload(client, target, blocks, chunked=False):
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {blocks * len(BLOCK)}"
    client.expect("POST")
    client.send(f"POST {target} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
    for _ in range(blocks):
        client.send(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK)
    if chunked:
        client.send(b"0\r\n\r\n")
    return client.finish()


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_of_many_megabytes_is_never_held(pair, chunked):
    gateway, simulator = pair
    blocks = 200 if not SANITIZED else 30
    target = digest(blocks)
    with gateway.client(timeout=60) as client, Watched(gateway) as memory:
        answer = upload(client, target, blocks, chunked)
        assert answer.status == 201 and answer.complete, answer.raw
        # The connection serves on, and Ollama has it.
        assert client.request("HEAD", target).finish().status == 200
    (request,) = [r for r in simulator.requests(target) if r["method"] == "POST"]
    assert request["body_size"] == blocks * len(BLOCK) and request["sha256"] in target
    assert memory.grown < ROOM or SANITIZED, f"{memory.grown >> 20} MiB"


def test_an_upload_is_no_faster_than_its_upstream_reads(scripted, serve):
    """An upstream that does not read: the client is held, not its bytes."""
    upstream = scripted((b"", STALL))
    gateway = serve(upstream.url)
    gateway.serves = None
    with gateway.client(timeout=0.7) as client, Watched(gateway) as memory:
        client.expect("POST")
        # The scripted upstream reads no body that is chunked.
        client.send(b"POST /api/blobs/sha256:x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200 << 20:
                client.send(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK))
                sent += len(BLOCK)
        client.leave("rst")
    assert memory.grown < ROOM or SANITIZED, f"{memory.grown >> 20} MiB"


def test_a_download_is_no_faster_than_its_client_reads(scripted, serve):
    body = BLOCK * 24
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    upstream = scripted((head + body, KEEP))
    gateway = serve(upstream.url)
    gateway.serves = None
    with gateway.client(receive_buffer=65536) as client, Watched(gateway) as memory:
        client.request("GET", "/api/blobs/sha256:x")
        client.head()
        seen = len(client.answer.body)
        eventually(lambda: False, within=0.3)  # time to take more than there is room for
        assert seen < len(body) // 2
        answer = client.finish()
        assert answer.complete and answer.body == body
    assert memory.grown < 8 << 20 or SANITIZED, f"{memory.grown >> 20} MiB"


def test_an_early_answer_to_an_upload_is_passed_on(pair):
    """A blob that is there is 200 at once, whatever of the body is still to come (routes.go:1729)."""
    gateway, simulator = pair
    target = digest(8)
    with gateway.client() as client:
        assert upload(client, target, 8).status == 201
    with gateway.client() as client:
        client.expect("POST")
        client.send(f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {8 << 20}\r\n\r\n".encode() + BLOCK)
        answer = client.finish()
        assert answer.status == 200 and answer.complete
        assert answer.get("Connection") == "close"  # the rest of the body would be taken for a request
        assert client.closed()


def test_a_refused_upload_is_told_while_it_is_still_being_sent(pair):
    gateway, simulator = pair
    with gateway.client() as client:
        client.expect("POST")
        client.send(b"POST /api/blobs/sha256:nonsense HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n{")
        answer = client.finish()
        assert answer.status == 400 and answer.json() == {"error": "invalid digest format"}
        assert client.closed()


def test_an_upstream_that_breaks_during_an_upload_is_told(scripted, serve):
    """The upload could not be finished because of it, not because of the client."""
    upstream = scripted((b"", RESET))
    gateway = serve(upstream.url)
    gateway.serves = None
    for rest in (b"", b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK)):
        with gateway.client() as client:
            client.expect("POST")
            head = b"POST /api/blobs/sha256:x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.send(head + rest)
            answer = client.finish()
            assert answer.status == 502 and answer.json()["code"] == "upstream_failed", answer.raw
            assert client.closed()


def test_what_ollama_says_to_an_upload_is_passed_unchanged(pair):
    gateway, simulator = pair
    wrong = "/api/blobs/sha256:" + "0" * 64
    direct, through = (server.post(wrong, b"not it") for server in (simulator, gateway))
    assert through.status == direct.status == 400 and through.body == direct.body


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_an_upload_whose_client_leaves_ends_upstream(pair, how):
    gateway, simulator = pair
    target = digest(8)
    client = gateway.client()
    client.expect("POST")
    client.send(f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {8 << 20}\r\n\r\n".encode() + BLOCK)
    assert eventually(lambda: simulator.requests(target))
    client.leave(how)
    assert eventually(lambda: not simulator.stats()["in_flight"] and gateway._rested() <= gateway.base)
    assert gateway.call("HEAD", target).status == 404


# --- pull ---


def test_progress_is_passed_on_as_it_comes(serve, simulate):
    simulator = simulate(MODEL, flags=["--registry", "phi3,size=4GiB,pull=600ms"])
    gateway = serve(simulator)
    began = time.monotonic()
    answer = gateway.post("/api/pull", {"model": "phi3"})
    assert answer.complete and answer.lines()[-1] == {"status": "success"}
    times = [at - began for at, _ in answer.pieces]
    assert len(times) >= 8 and times[0] < 0.3 and times[-1] - times[0] > 0.4
    assert gateway.post(*call_of("generate", model="phi3")).status == 200  # its list of models is looked at again


def test_a_pull_whose_client_leaves_ends_upstream(serve, simulate):
    simulator = simulate(MODEL, flags=["--registry", "phi3,size=4GiB,pull=60s"])
    gateway = serve(simulator)
    for how in ("rst", "fin"):
        client = gateway.client().request("POST", "/api/pull", {"model": "phi3"})
        client.piece()
        client.leave(how)
        assert eventually(lambda: simulator.stats()["in_flight"] == 0), how
        assert eventually(lambda: gateway._rested() <= gateway.base)


def test_management_needs_no_permit_and_stands_in_no_queue(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=100000")
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}})
    gateway.serves = None
    clients = [gateway.client().request("POST", *call_of("generate")) for _ in range(3)]
    gateway.until_waiting(2)
    assert gateway.post("/api/copy", {"source": "llama3", "destination": "twin"}).status == 200
    assert gateway.call("DELETE", "/api/delete", {"model": "twin"}).status == 200
    assert gateway.post("/api/show", {"model": "llama3"}).status == 200
    with gateway.client() as client:
        assert upload(client, digest(2), 2).status == 201
    for client in clients:
        client.leave("rst")


# --- Expect ---


def test_expect_100_continue(pair):
    gateway, simulator = pair
    body = b"x" * 5000
    target = "/api/blobs/sha256:" + hashlib.sha256(body).hexdigest()
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    with gateway.client() as client:
        client.expect("POST")
        client.send(head.encode())
        while not client.answer.interim:
            assert client._read()
        client.send(body)
        answer = client.finish()
        assert answer.interim == [100] and answer.status == 201
        again = json.dumps(call_of("generate", stream=False)[1]).encode()
        client.expect("POST")
        headers = {"Expect": "100-continue", "Content-Type": "application/json"}
        client.send(request_bytes("POST", "/api/generate", again, headers))  # who does not wait is served too
        assert client.finish().status == 200


@pytest.mark.parametrize("refusal", ["too large", "forbidden"])
def test_what_is_refused_is_refused_without_100_continue(serve, simulate, refusal):
    gateway = serve(simulate(MODEL), {"limits": {"body": "64KiB"}, "management": "deny"})
    target = "/api/generate" if refusal == "too large" else "/api/pull"
    with gateway.client() as client:
        client.expect("POST")
        client.send(
            f"POST {target} HTTP/1.1\r\nHost: x.local\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n".encode()
        )
        answer = client.finish()
        assert answer.interim == [] and answer.status == (413 if refusal == "too large" else 403)
        assert client.closed()


# --- who may ---

MANAGEMENT = [
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("POST", "/api/create"),
    ("POST", "/api/copy"),
    ("DELETE", "/api/delete"),
    ("POST", "/api/blobs/sha256:" + "0" * 64),
    ("HEAD", "/api/blobs/sha256:" + "0" * 64),
    ("POST", "/api/me"),
    ("POST", "/api/signout"),
    ("DELETE", "/api/user/keys/x"),
    ("POST", "/api/experimental/web_search"),
    ("POST", "/api/p%75ll"),
]
TUNNELLED = {"X-Forwarded-For": "192.0.2.9"}


@pytest.mark.parametrize(
    "config, headers, allowed",
    [
        ({"management": "deny"}, {}, False),
        ({"management": "allow"}, TUNNELLED, True),
        ({"management": "local"}, {}, True),
        ({"management": "local"}, TUNNELLED, False),
        ({"management": "local"}, {"Forwarded": "for=192.0.2.9"}, False),
        ({"management": "local"}, {"Cf-Ray": "1"}, False),
        ({"management": "local"}, {"X-Forwarded-Proto": "https"}, False),
        ({"management": "local", "hosts": ["ollama.lab.example"]}, {}, False),
        ({"management": "local", "clients": {"admins": ["192.0.2.0/24"]}}, TUNNELLED, True),
        ({"management": "local", "clients": {"admins": ["192.0.2.8"]}}, TUNNELLED, False),
        ({"management": "local", "clients": {"admins": ["127.0.0.1"]}, "hosts": ["x.example"]}, {}, True),
    ],
)
def test_who_may_manage(serve, simulate, config, headers, allowed):
    simulator = simulate(MODEL)
    gateway = serve(simulator, config)
    for method, target in MANAGEMENT:
        answer = gateway.call(method, target, None if method == "HEAD" else {}, headers)
        if "%75" in target:
            assert answer.status == 400, target  # an encoded unreserved character
            continue
        assert (answer.status != 403) == allowed, (target, answer.raw)
        if not allowed and method != "HEAD":
            assert answer.json()["code"] == "forbidden" and "management" in answer.json()["error"]
    if not allowed:
        assert not [r for r in simulator.requests() if r["target"] in dict((t, m) for m, t in MANAGEMENT)]
    # Everybody may generate, and look.
    assert gateway.post(*call_of("generate", stream=False), headers).status == 200
    assert gateway.get("/api/tags", headers).status == 200
