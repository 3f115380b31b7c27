"""What upstreams do on the wire that is strange but not wrong, or wrong in a way that only framing shows: pieces of one
byte, bytes behind the answer, connections closed between two calls, bodies cut short."""

import json
import threading
import time

import pytest

from dialects import STREAMS, call_of, error_in, error_of, looks_complete
from harness import eventually
from scripted import CLOSE, HANG, KEEP, RESET, whole

FINAL = {"model": "llama3", "response": "", "done": True, "done_reason": "stop"}
LINES = [json.dumps({"model": "llama3", "response": w, "done": False}) + "\n" for w in ("ein", " schöner", " Gruß")]
NDJSON = "".join(LINES).encode()
DONE = (json.dumps(FINAL) + "\n").encode()
WHOLE = {"model": "llama3", "response": "ein schöner Gruß", "done": True}


def chunked(*pieces, end=True, head="HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body + (b"0\r\n\r\n" if end else b"")


@pytest.fixture
def behind(scripted, serve):
    """behind(upstream, config) → a gateway in front of a scripted upstream."""

    def start(upstream, config=None):
        gateway = serve(upstream.url, config)
        gateway.serves = None
        return gateway

    return start


# --- strange but right ---


PIECES = [{"kind": "split", "size": 1}, {"kind": "split", "size": 7}, {"kind": "slow", "ms": 1}]


@pytest.mark.parametrize("fault", PIECES)
def test_pieces_through_the_middle_of_a_character_come_out_byte_for_byte(serve, simulate, fault):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=0,tokens=8", flags=["--fixed-time"])
    gateway = serve(simulator)
    kinds = list(STREAMS) if fault["kind"] == "split" else ["generate"]
    for kind in kinds:
        for stream in (True, False):
            call = call_of(kind, stream=stream, prompt="schöne Grüße 🦙", max_tokens=8)
            direct = simulator.post(*call)
            simulator.fault(count=1, **fault)
            through = gateway.post(*call)
            assert through.status == 200 and through.complete
            if kind in ("generate", "chat"):
                assert through.body == direct.body
            else:  # their ids are random
                assert len(through.body) == len(direct.body) or kind in ("responses", "messages", "chat_completions")
                assert not stream or looks_complete(kind, through)
            through.body.decode()


@pytest.mark.parametrize("fault", ["extra_after", "close_after"])
def test_a_connection_with_bytes_behind_its_answer_or_a_fin_is_not_used_again(pair, fault):
    gateway, simulator = pair
    for _ in range(5):
        simulator.fault(fault, count=1)
        answer = gateway.post(*call_of("generate"))
        assert answer.complete and answer.lines()[-1]["done"]
        after = gateway.post(*call_of("generate", stream=False))
        assert after.status == 200 and after.json()["done"], after.raw
    used = [r["connection"] for r in simulator.requests("/api/generate")]
    assert all(used[i] != used[i + 1] for i in range(0, 10, 2)), used
    assert gateway.metrics().value("upstream_errors_total") == 0


def test_interim_answers_before_the_answer_are_swallowed(scripted, behind):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    upstream = scripted((interim + whole(WHOLE), KEEP))
    answer = behind(upstream).post(*call_of("generate", stream=False))
    assert answer.status == 200 and answer.json() == WHOLE and not answer.interim and not answer.get("Link")


def test_trailers_are_not_passed_on(scripted, behind):
    text = chunked(NDJSON, DONE, end=False) + b"0\r\nSet-Cookie: evil=1\r\nX-More: yes\r\n\r\n"
    upstream = scripted((text, KEEP))
    answer = behind(upstream).post(*call_of("generate"))
    assert answer.complete and answer.body == NDJSON + DONE and b"evil" not in answer.raw


def test_a_line_of_eight_megabytes_passes(scripted, behind):
    final = json.dumps({**FINAL, "context": [12345] * 1_300_000}).encode() + b"\n"
    upstream = scripted((chunked(NDJSON, final), KEEP))
    answer = behind(upstream, {"limits": {"client_buffer": "16MiB"}}).post(*call_of("generate"))
    assert answer.complete and answer.body == NDJSON + final


# --- a connection closed between two calls ---


@pytest.mark.parametrize("then", [CLOSE, RESET])
@pytest.mark.parametrize("stream", [True, False])
def test_a_call_on_a_connection_that_had_been_closed_is_tried_once_more(scripted, behind, then, stream):
    """The second call meets a connection that ends as soon as the call is there; the third attempt is answered."""
    good = chunked(NDJSON, DONE) if stream else whole(WHOLE)
    upstream = scripted((good, KEEP), (b"", then), (good, KEEP))
    gateway = behind(upstream)
    call = call_of("generate", stream=stream)
    assert gateway.post(*call).complete
    answer = gateway.post(*call)
    assert answer.status == 200 and answer.complete, answer.raw
    numbers = [number for number, *_ in upstream.calls]
    assert len(numbers) == 3 and numbers[1] != numbers[2]
    assert "outcome=ok" in answer.get("X-Gateway-Attempts")


def test_it_is_tried_once_more_and_not_twice(scripted, behind):
    upstream = scripted((whole(WHOLE), KEEP), (b"", CLOSE))
    gateway = behind(upstream)
    call = call_of("generate", stream=False)
    assert gateway.post(*call).status == 200
    answer = gateway.post(*call)
    assert answer.status == 502 and answer.json()["code"] == "upstream_failed"
    assert len(upstream.calls) == 3


def test_a_call_that_fails_on_a_fresh_connection_is_not_tried_again(scripted, behind):
    upstream = scripted((b"", CLOSE))
    gateway = behind(upstream)
    clients = [gateway.client().request("POST", *call_of("generate", stream=False)) for _ in range(8)]
    for client in clients:
        assert client.finish().status == 502
        client.socket.close()
    # Some of them found connections that the gateway's own questions had used, and then had one more.
    fresh = [number for number, *_ in upstream.calls if number not in upstream.asked_on]
    assert len(fresh) == 8


def test_a_call_whose_answer_had_begun_is_not_tried_again(scripted, behind):
    upstream = scripted((whole(WHOLE), KEEP), (b"HTTP/1.1 200 OK\r\nContent-Ty", CLOSE), (whole(WHOLE), KEEP))
    gateway = behind(upstream)
    call = call_of("generate", stream=False)
    assert gateway.post(*call).status == 200
    assert gateway.post(*call).status == 502
    assert len(upstream.calls) == 2


# --- broken ---

BROKEN_HEADS = {
    "ssh banner": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "binary": bytes(range(256)) * 8 + b"\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "status 099": b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\n{}",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "a coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 40000,
    "no head": b"{}",
}


@pytest.mark.parametrize("name", BROKEN_HEADS)
def test_a_head_that_is_none_is_502_and_its_connection_is_closed(scripted, behind, name):
    upstream = scripted((BROKEN_HEADS[name], CLOSE if name == "no head" else HANG))
    gateway = behind(upstream)
    answer = gateway.post(*call_of("generate"))
    assert answer.status == 502 and answer.json()["code"] == "upstream_failed", answer.raw
    assert name == "no head" or eventually(lambda: upstream.hung_up == 1), "its connection was kept"


TO_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/%s\r\n\r\n"
CUT_BODIES = {
    # name: (bytes, is it to be taken for a stream)
    "length, cut": (whole(WHOLE)[:-10], False),
    "chunks, cut in a chunk": (chunked(NDJSON, DONE, end=False)[:-30], True),
    "chunks, no last chunk": (chunked(NDJSON, end=False), True),
    "chunks, clean end, no final record": (chunked(NDJSON), True),
    "until close, cut in a line": (TO_CLOSE % b"x-ndjson" + NDJSON[:-20], True),
    "until close, no final record": (TO_CLOSE % b"x-ndjson" + NDJSON, True),
    "until close, half an object": (TO_CLOSE % b"json" + b'{"response":"a', False),
    "final record, cut": (chunked(NDJSON, DONE[:-9], end=False), True),
}


@pytest.mark.parametrize("then", [CLOSE, RESET])
@pytest.mark.parametrize("name", CUT_BODIES)
def test_a_body_that_is_cut_never_looks_complete(scripted, behind, name, then):
    text, stream = CUT_BODIES[name]
    upstream = scripted((text, then))
    gateway = behind(upstream)
    answer = gateway.post(*call_of("generate", stream=stream))
    if answer.status == 502:  # the reset was quicker than the head
        assert then == RESET and error_of("generate", answer.json())
        return
    assert answer.status == 200 and not answer.complete and answer.ended == "eof", answer.raw
    if stream:
        error = error_in("generate", answer)
        assert error["http_status"] == 502 and error["attempts"][0]["outcome"] == "truncated"
    assert not stream or not looks_complete("generate", answer)
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "truncated")


def test_a_whole_answer_bounded_by_the_connections_end_is_whole(scripted, behind):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n"
    one = head % b"application/json" + json.dumps(WHOLE).encode()
    many = head % b"application/x-ndjson" + NDJSON + DONE
    upstream = scripted((one, CLOSE), (many, CLOSE))
    gateway = behind(upstream)
    assert gateway.post(*call_of("generate", stream=False)).json() == WHOLE
    answer = gateway.post(*call_of("generate"))
    assert answer.complete and answer.body == NDJSON + DONE


@pytest.mark.parametrize("then", [CLOSE, HANG])
def test_what_a_stream_still_owes_of_its_length_is_never_read_from_the_next_answer(scripted, behind, then):
    """Its connection was kept, and the next answer on it was read as the rest of this one."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    text = NDJSON + DONE
    upstream = scripted((head % (len(text) + 400) + text, then), (head % len(text) + text, KEEP))
    gateway = behind(upstream)
    call = call_of("generate")
    with gateway.client(timeout=20) as client:
        for _ in range(2):
            answer = client.request("POST", *call).finish()
            assert answer.complete and answer.body == text, answer.raw
    assert upstream.calls[0][0] != upstream.calls[1][0]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "text/event-stream", "application/json"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_empty_answer_of_a_model_is_an_error(scripted, behind, content_type, stream):
    """It was given on as it came, and a job that had it succeeded."""
    gateway = behind(scripted((whole(b"", content_type), KEEP)))
    answer = gateway.post(*call_of("generate", stream=stream))
    assert answer.status == 502 and answer.json()["code"] == "upstream_failed", answer.raw
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "truncated")


BARE = [(204, b"HTTP/1.1 204 No Content\r\n\r\n"), (302, whole(b"", status="302 Found"))]


@pytest.mark.parametrize("status, text", BARE, ids=["204", "302"])
def test_a_status_that_brings_no_answer_is_not_told_as_ok(scripted, behind, status, text):
    gateway = behind(scripted((text, KEEP)))
    answer = gateway.post(*call_of("generate"))
    assert answer.status == status
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "upstream_status")


@pytest.mark.parametrize("kind", ["generate", "chat_completions"])
@pytest.mark.parametrize("said", ["length", "another type", "no type"])
def test_a_stream_without_its_end_marker_is_no_whole_answer_however_it_is_framed(scripted, behind, kind, said):
    """With a Content-Length all bytes came and no error; of another type nobody looked for its end."""
    piece = NDJSON if kind == "generate" else b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    types = {"generate": "application/x-ndjson", "chat_completions": "text/event-stream"}
    texts = {
        "length": whole(piece, types[kind]),
        "another type": chunked(piece, head="HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"),
        "no type": chunked(piece, head="HTTP/1.1 200 OK\r\n"),
    }
    gateway = behind(scripted((texts[said], KEEP)))
    answer = gateway.post(*call_of(kind))
    assert answer.status == 200 and not answer.complete and piece in answer.body, answer.raw
    assert error_in(kind, answer) and not looks_complete(kind, answer)
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "truncated")


HALF = b'{"response":"a'
HALVES = {
    "chunks": chunked(HALF, head="HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"),
    "length": whole(HALF),
    "a length too small": whole(WHOLE).replace(b"Content-Length: ", b"Content-Length: 1\r\nX-Was: "),
    "a bad chunk": chunked(HALF, end=False, head="HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n") + b"x\r\n",
}


@pytest.mark.parametrize("framed", HALVES)
def test_half_a_document_is_told_as_an_error_while_nobody_has_had_any_of_it(scripted, behind, framed):
    """Its framing ends well. It came as a 200 without a byte, that had been "ok", and was cut."""
    gateway = behind(scripted((HALVES[framed], KEEP)))
    answer = gateway.post(*call_of("generate", stream=False))
    assert answer.status == 502 and answer.complete and answer.json()["code"] == "upstream_failed", answer.raw
    assert "outcome=truncated" in answer.get("X-Gateway-Attempts")
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "truncated")


@pytest.mark.parametrize("framed", HALVES)
def test_half_a_document_goes_to_another_upstream_with_the_whole_call(scripted, serve, framed):
    broken, sound = scripted((HALVES[framed], KEEP)), scripted((whole(WHOLE), KEEP))
    gateway = serve({"broken": broken, "sound": sound})
    gateway.serves = None
    call = call_of("generate", stream=False)
    answer = gateway.post(*call)
    assert answer.status == 200 and answer.json() == WHOLE, answer.raw
    assert json.loads(sound.calls[0][2]) == call[1] == json.loads(broken.calls[0][2])


def test_an_end_marker_whose_last_chunk_never_comes_is_a_whole_answer(scripted, behind):
    upstream = scripted((chunked(NDJSON, DONE, end=False), HANG))
    gateway = behind(upstream)
    answer = gateway.post(*call_of("generate"))
    assert answer.complete and answer.body == NDJSON + DONE
    # For a second the connection may still be worth keeping; the call is over.
    name = answer.get("X-Request-Id")
    assert gateway.post(f"/gateway/calls/{name}/cancel").status == 404, "there was nothing to cancel any more"
    gateway.until_running(0)
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "ok")


@pytest.mark.parametrize("said", [b"", chunked(NDJSON, end=False)], ids=["before its answer", "within it"])
def test_when_a_connection_breaks_nobody_is_sent_there_before_the_upstream_was_asked_whether_it_lives(
    scripted, behind, said
):
    """A server that dies goes on to take connections for a moment: those who waited were sent into it."""
    broken = threading.Event()
    upstream = scripted((said, broken), (whole(WHOLE), KEEP))
    gateway = behind(upstream, {"upstream": {"max_concurrent": 1}, "reconcile": {"interval": "1h"}})
    first = gateway.client().request("POST", *call_of("generate"))
    gateway.until_running(1)
    assert eventually(lambda: upstream.calls)
    second = gateway.client().request("POST", *call_of("generate", stream=False))
    gateway.until_waiting(1)
    time.sleep(0.2)  # what breaks at once was a kept connection that had been closed, and is sent again
    before = len(upstream.targets)
    broken.set()
    assert not looks_complete("generate", first.finish())
    assert second.finish().json() == WHOLE
    after = upstream.targets[before:]
    assert after.index("/api/version") < after.index("/api/generate"), after
    assert len(upstream.calls) == 2
    for client in (first, second):
        client.socket.close()


# --- a head, and nothing behind it ---

ONE_PIECE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-From: the first\r\nContent-Length: 50\r\n\r\n"
ENDINGS = {"close": CLOSE, "reset": RESET, "silence": HANG, "an empty body": KEEP}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("told", [False, True], ids=["", "told of its wait"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_is_a_head_alone_goes_to_another_upstream_with_the_whole_call(
    scripted, serve, stream, told, ending
):
    """Until its first byte nothing of an answer is the client's: neither its head, nor that the call is over."""
    then = ENDINGS[ending]
    bare = chunked(end=then == KEEP) if stream or then == KEEP else ONE_PIECE_HEAD
    good = chunked(NDJSON, DONE) if stream else whole(WHOLE)
    broken, sound = scripted((bare, then)), scripted((good, KEEP))
    limits = {"first_byte": "700ms", "whole": "700ms"}
    early = {"grace": "0s", "commit_whole": "100ms", "heartbeat": "100ms"} if told else {}
    gateway = serve({"broken": broken, "sound": sound}, {"timeouts": limits, "queue": early, "unload": {"on_timeout": False}})
    gateway.serves = None
    call = call_of("generate", stream=stream)
    answer = gateway.post(*call)
    assert answer.status == 200 and answer.complete and answer.get("X-From") is None, answer.raw
    assert answer.body.decode().endswith((NDJSON + DONE).decode() if stream else json.dumps(WHOLE))
    assert len(broken.calls) == 1 and len(sound.calls) == 1
    assert json.loads(sound.calls[0][2]) == call[1] == json.loads(broken.calls[0][2])
    if answer.get("X-Gateway-Attempts"):  # not after a head of ours
        first, second = answer.get("X-Gateway-Attempts").split(", ")
        assert "@broken" in first and "@sound" in second and "outcome=ok" in second and "outcome=ok" not in first


@pytest.mark.parametrize("then", [CLOSE, RESET, KEEP])
def test_an_answer_that_is_a_head_alone_is_an_error_where_nobody_else_has_the_model(scripted, behind, then):
    upstream = scripted((chunked(end=True) if then == KEEP else ONE_PIECE_HEAD, then))
    answer = behind(upstream).post(*call_of("generate", stream=False))
    assert answer.status == 502 and answer.json()["code"] == "upstream_failed"
    assert answer.get("X-From") is None and "outcome=truncated" in answer.get("X-Gateway-Attempts")


def test_a_call_of_which_an_upstream_has_said_anything_is_not_sent_to_it_again(scripted, behind):
    """What follows "100 Continue" on a kept connection is no connection that had been closed before."""
    upstream = scripted((whole(WHOLE), KEEP), (b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE), (whole(WHOLE), KEEP))
    gateway = behind(upstream)
    assert gateway.post(*call_of("generate", stream=False)).status == 200
    assert gateway.post(*call_of("generate", stream=False)).status == 502
    assert len(upstream.calls) == 2
