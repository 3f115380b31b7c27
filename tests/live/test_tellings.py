"""SPEC §6: what a waiting client gets, byte for byte, in each of the ways it can be told."""

import re
import select
import threading
import time

import pytest

from dialects import STREAMS
from harness import PATIENCE
from queueing import EMBEDDINGS, HOLDER, QUICK, Calls, call_to, queue_statuses, whole

# A prompt longer than an interval, and more than a heartbeat between two tokens.
SLOW = "slow,load=0s,prompt=250ms,rate=7,tokens=2"
EMBEDS = "embeds,embedding,dim=4,load=0s,prompt=250ms"
QUEUE = {"grace": "150ms", "heartbeat": "120ms", "status_interval": "100ms", "commit_whole": "300ms"}

ID = "[0-9a-f]{32}"
# What stands for <…> in the tellings below.
PARTS = {
    "id": ID,
    "n": r"\d",
    "ms": r"\d+",
    "eta": r"(?:null|\d+)",
    "unix": r"\d{10}",
    "date": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "status": "(?:waiting|loading_model|starting|processing)",
    "place": r"(?:queued position=\d|loading_model|starting|processing)",
    "message": r"(?:You are number [1-9] in the queue|Your turn has come) \(\ds\)",
}
NUMBERS = '"status":"<status>","position":<n>,"queue_length":<n>,"waited_ms":<ms>,"eta_ms":<eta>'
WORDS = '"request_id":"<id>","message":"<message>"'
PAYLOAD = f'{{{NUMBERS},"model":"slow",{WORDS}}}'
CHAT_CHUNK = (
    'data: {"id":"chatcmpl-queue","object":"chat.completion.chunk","created":<unix>,"model":"slow",'
    '"choices":[{"index":0,"delta":{},"finish_reason":null}],'
)
TEXT_CHUNK = (
    'data: {"id":"cmpl-queue","object":"text_completion","created":<unix>,"model":"slow",'
    '"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":null}],'
)
NATIVE = '{"model":"slow","created_at":"<date>",', f',"done":false,"queue_status":{PAYLOAD}}}\n'
GENERATE = '"response":""'.join(NATIVE)
CHAT = '"message":{"role":"assistant","content":""}'.join(NATIVE)
COMMENT = ": <place> waited=<n>s\n\n"
PING = 'event: ping\ndata: {"type":"ping"}\n\n'
EVENT = "event: queue_status\n"
BARE = f"{EVENT}data: {PAYLOAD}\n\n"
CHAT_EVENT, TEXT_EVENT = (f"{EVENT}{chunk}{NUMBERS},{WORDS}}}\n\n" for chunk in (CHAT_CHUNK, TEXT_CHUNK))
STATUS_LINE = CHAT_CHUNK + '"event":{"type":"status","data":{"description":"<message>","done":false}}}\n\n'

HEADER, QUERY = {"X-Queue-Events": "1"}, "?queue_events=1"
ACCEPT, RAW = {"Accept": "text/event-stream"}, {"X-Queue-Events": "raw"}
WEBUI = {"X-OpenWebUI-User-Id": "u"}
NDJSON, SSE = "application/x-ndjson", "text/event-stream"

# The call, how it asks, the content type, one telling, is it told at once?
ROWS = {
    "generate": ("generate", {}, NDJSON, " ", False),
    "chat": ("chat", {}, NDJSON, " ", False),
    "generate asks": ("generate", HEADER, NDJSON, GENERATE, True),
    "chat asks": ("chat", HEADER, NDJSON, CHAT, True),
    "chat asks in its query": ("chat", QUERY, NDJSON, CHAT, True),
    "generate as events": ("generate", ACCEPT, SSE, BARE, True),
    "chat as events": ("chat", ACCEPT, SSE, BARE, True),
    "chat completions": ("chat_completions", {}, SSE, COMMENT, False),
    "chat completions ask": ("chat_completions", HEADER, SSE, CHAT_EVENT, True),
    "chat completions accept": ("chat_completions", ACCEPT, SSE, CHAT_EVENT, True),
    "chat completions raw": ("chat_completions", RAW, SSE, BARE, True),
    "chat completions of Open WebUI": ("chat_completions", WEBUI, SSE, STATUS_LINE, True),
    "completions": ("completions", {}, SSE, COMMENT, False),
    "completions ask": ("completions", HEADER, SSE, TEXT_EVENT, True),
    "completions ask in their query": ("completions", QUERY, SSE, TEXT_EVENT, True),
    "responses": ("responses", {}, SSE, COMMENT, False),
    "responses ask": ("responses", HEADER, SSE, COMMENT, True),
    "messages": ("messages", {}, SSE, PING, False),
    "messages ask": ("messages", HEADER, SSE, PING, True),
}


def tellings(telling):
    """A pattern of one or more of them."""
    return "(?:" + re.sub(r"<(\w+)>", lambda part: PARTS[part[1]], re.escape(telling)) + ")+"


def request(row):
    """(target, body, headers) of a row."""
    kind, asks, *_ = ROWS[row]
    target, body = call_to(kind, "hello", model="slow")
    return (target + asks, body, {}) if isinstance(asks, str) else (target, body, asks)


def as_events(ndjson):
    return b"".join(b"data: " + line + b"\n\n" for line in ndjson.splitlines())


@pytest.fixture
def held(simulate, serve):
    """held({…settings of the queue}) → (gateway, simulator, calls): the one permit is taken."""
    opened = []

    def start(**queue):
        simulator = simulate(HOLDER, SLOW, EMBEDS, flags=["--fixed-time"])
        gateway = serve(
            simulator,
            {"queue": {**QUEUE, **queue}, "upstream": {"max_concurrent": 1, "max_concurrent_embeddings": 1}},
        )
        gateway.serves = ("POST", "/api/chat", {"model": "slow", "messages": []})
        opened.append(Calls(gateway).hold())
        return gateway, simulator, opened[-1]

    yield start
    for calls in opened:
        calls.__exit__()


def send(calls, target, body, headers, **more):
    client = calls.gateway.client()
    client.request("POST", target, body, headers, **more)
    calls.clients.append(client)
    return client


class Direct:
    """The simulator's own answer to a call, fetched while the test goes on."""

    def __init__(self, simulator, target, body):
        self._client = simulator.client().request("POST", target, body)

    def answer(self):
        with self._client as client:
            return client.finish()


def test_a_call_that_comes_while_another_is_answered_has_not_waited_before_it_was_sent(held):
    """Each behind the answer to another, which the gateway is still busy with: it may not begin with that one."""
    gateway, _, calls = held(grace="40ms")
    target, body = call_to("generate", "hello", model="slow")
    waited = []
    for _ in range(40):
        gateway.queue()
        sent = time.monotonic()
        client = send(calls, target, body, {})
        waited.append(client.head().head_at - sent)
        client.leave()
    assert min(waited) >= 0.04


@pytest.mark.parametrize("row", ROWS)
def test_a_stream_that_waits_is_told_so_and_then_has_its_answer_untouched(held, row):
    kind, _, content_type, telling, at_once = ROWS[row]
    gateway, simulator, calls = held(grace="10s") if at_once else held()
    target, body, headers = request(row)
    direct = Direct(simulator, target, body)
    sent = time.monotonic()
    client = send(calls, target, body, headers)
    answer = client.head()
    assert answer.head_at - sent < 5 if at_once else answer.head_at - sent >= 0.15
    assert answer.pieces and answer.pieces[0][0] == answer.head_at, "the head came alone"
    assert answer.get("Date") and re.fullmatch(ID, answer.get("X-Request-Id"))
    assert sorted((k, v) for k, v in answer.fields if k not in ("Date", "X-Request-Id")) == [
        ("Cache-Control", "no-cache, no-transform"),
        ("Content-Type", content_type),
        ("Transfer-Encoding", "chunked"),
        ("X-Accel-Buffering", "no"),
    ]
    while len(answer.pieces) < 4:
        assert client.piece()
    waited = answer.pieces[3][0] - answer.pieces[0][0]
    interval = 0.12 if telling in (" ", COMMENT, PING) else 0.1
    assert 3 * interval * 0.5 < waited < 3 * PATIENCE
    calls.let_go()
    client.finish()
    direct = direct.answer().body
    if content_type == SSE and kind in ("generate", "chat"):
        direct = as_events(direct)
    assert answer.complete and answer.rest == b"" and answer.body.endswith(direct)
    before = answer.body[: len(answer.body) - len(direct)].decode()
    if headers == WEBUI:  # the last one says that it is over
        *_, last, nothing = before.split("\n\n")
        assert re.fullmatch(tellings(telling.replace("false", "true")), last + "\n\n") and nothing == ""
        before = before.removesuffix(last + "\n\n")
    assert re.fullmatch(tellings(telling), before), before
    statuses = queue_statuses(answer)
    if "waited_ms" in telling:
        told = [s["status"] for s in statuses]
        assert told == sorted(told, key=["waiting", "loading_model", "starting", "processing"].index), told
        assert set(told) - {"loading_model"} == {"waiting", "starting", "processing"}
        assert all((s["position"] == 0) == (s["status"] != "waiting") for s in statuses), statuses
        assert [s["waited_ms"] for s in statuses] == sorted(s["waited_ms"] for s in statuses)
        assert {s["request_id"] for s in statuses} == {answer.get("X-Request-Id")}


@pytest.mark.parametrize("kind", [*STREAMS, *EMBEDDINGS])
def test_a_one_piece_answer_that_waits_is_padded_with_spaces_after_commit_whole(held, kind):
    _, simulator, calls = held()
    more = {"model": "embeds"} if kind in EMBEDDINGS else {"model": "slow", "stream": False}
    target, body = call_to(kind, "hello", **more)
    direct = Direct(simulator, target, body)
    if kind in EMBEDDINGS:  # these are not queued here, but wait for the model all the same
        direct = direct.answer()
        simulator.fault("silent_head", "embeds", ms=700)
    sent = time.monotonic()
    client = send(calls, target, body, HEADER)
    answer = client.head()
    assert answer.head_at - sent >= 0.3 and answer.pieces[0] == (answer.head_at, b" ")
    assert answer.status == 200 and answer.get("X-Accel-Buffering") == "no"
    assert answer.get("Cache-Control") == "no-cache, no-transform" and answer.framing == "chunked"
    while len(answer.pieces) < 3:
        assert client.piece()[1] == b" "
    calls.let_go()
    client.finish()
    direct = direct if kind in EMBEDDINGS else direct.answer()
    assert answer.get("Content-Type") == direct.get("Content-Type")
    assert answer.complete and answer.body.lstrip(b" ") == direct.body
    assert len(answer.body) - len(direct.body) >= 3


@pytest.mark.parametrize("row", ROWS)
def test_the_framing_follows_from_the_request_and_never_from_the_load(simulate, serve, row):
    gateway = serve(simulate(HOLDER, QUICK), {"queue": QUEUE, "upstream": {"max_concurrent": 1}})
    target, body, headers = request(row)
    body["model"] = "llama3"
    free = gateway.post(target, body, headers)
    with Calls(gateway).hold() as calls:
        waited = send(calls, target, body, headers).head()
    for answer in (free, waited):
        assert (answer.status, answer.framing, answer.get("Content-Type")) == (200, "chunked", ROWS[row][2])
    assert re.match(rb'data: \{"model"' if row.endswith("as events") else rb'\{"model"|data: |event: ', free.body)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_has_its_permit_within_the_grace_is_plainly_proxied(held, kind, stream):
    gateway, simulator, calls = held(grace="20s", commit_whole="20s")
    direct = Direct(simulator, *call_to(kind, "hello", model="slow", stream=stream))
    client = calls.queued(kind, "hello", model="slow", stream=stream)
    calls.let_go()
    answer, direct = client.finish(), direct.answer()
    assert (answer.status, answer.reason, answer.body) == (200, direct.reason, direct.body)
    theirs = [field for field in direct.fields if field[0] not in ("Connection", "Transfer-Encoding")]
    assert [field for field in answer.fields if field in theirs] == theirs
    ours = [name for name, _ in answer.fields if name not in dict(theirs)]
    assert ours[:4] == ["X-Request-Id", "X-Gateway-Model", "Server-Timing", "X-Gateway-Attempts"]
    assert ours[4:] in (["Transfer-Encoding"], [])
    times = re.fullmatch(r"queue;dur=([\d.]+), load;dur=[\d.]+, upstream;dur=([\d.]+)", answer.get("Server-Timing"))
    assert float(times[1]) > 0 and float(times[2]) > 100


def test_a_refusal_by_the_upstream_within_the_grace_keeps_its_true_status(held):
    _, simulator, calls = held(grace="20s", commit_whole="20s")
    simulator.fault("status", "slow", status=500, text="out of memory")
    client = calls.queued("chat", "hello", model="slow")
    calls.let_go()
    answer = client.finish()
    assert answer.status == 500 and answer.json() == {"error": "out of memory"}


@pytest.mark.parametrize("kind", STREAMS)
def test_heartbeats_can_be_turned_off_for_a_call(held, kind):
    gateway, simulator, calls = held(commit_whole="200ms")
    direct = Direct(simulator, *call_to(kind, "hello", model="slow"))
    client = calls.queued(kind, "hello", {"X-Gateway-Heartbeat": "off"}, model="slow")
    # Another that came at the same time has had three of them meanwhile.
    other = calls.queued(kind, "hello", model="slow")
    while len(other.head().pieces) < 3:
        assert other.piece()
    assert client.answer.raw == b"" and not select.select([client.socket], [], [], 0)[0]
    calls.let_go()
    answer = client.finish()
    assert answer.body == direct.answer().body
    assert answer.get("X-Accel-Buffering") is None and answer.get("Server-Timing")


@pytest.mark.parametrize("kind", ["chat", "chat_completions", "messages"])
def test_a_commit_whole_of_none_leaves_one_piece_answers_their_true_head(held, kind):
    _, simulator, calls = held(commit_whole="0s")
    direct = Direct(simulator, *call_to(kind, "hello", model="slow", stream=False))
    client = calls.queued(kind, "hello", model="slow", stream=False)
    other = calls.queued(kind, "hello", model="slow")
    while len(other.head().pieces) < 5:
        assert other.piece()
    assert not select.select([client.socket], [], [], 0)[0]
    calls.let_go()
    answer, direct = client.finish(), direct.answer()
    assert answer.body == direct.body and answer.framing == direct.framing and answer.get("Server-Timing")


@pytest.mark.parametrize("row", ["chat asks", "chat completions", "messages"])
def test_a_browser_may_ask_for_events_and_read_what_we_add(held, row):
    gateway, _, calls = held()
    target, body, headers = request(row)
    origin = {"Origin": "http://localhost:3000"}
    wishes = "content-type,x-queue-events,x-gateway-heartbeat,x-gateway-priority,x-request-id"
    asks = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wishes}
    allowed = gateway.call("OPTIONS", target, None, asks)
    assert allowed.status == 204 and allowed.get("Access-Control-Allow-Origin")
    assert set(wishes.split(",")) <= set(allowed.get("Access-Control-Allow-Headers").lower().replace(" ", "").split(","))
    answer = send(calls, target, body, {**headers, **origin}).head()
    assert answer.get("Access-Control-Allow-Origin") == allowed.get("Access-Control-Allow-Origin")
    assert {"x-request-id", "x-gateway-attempts", "server-timing", "retry-after"} <= set(
        answer.get("Access-Control-Expose-Headers").lower().replace(" ", "").split(",")
    )


@pytest.mark.parametrize("row", ["chat", "chat asks", "chat as events", "chat completions", "messages"])
def test_an_http_1_0_client_gets_the_same_bytes_without_chunks(held, row):
    _, simulator, calls = held()
    target, body, headers = request(row)
    direct = Direct(simulator, target, body)
    client = send(calls, target, body, {**headers, "Connection": "keep-alive"}, version="1.0")
    assert client.head().framing == "close" and client.answer.get("Connection") == "close"
    assert client.answer.version == "HTTP/1.0" and client.answer.pieces
    calls.let_go()
    answer, direct = client.finish(), direct.answer().body
    direct = as_events(direct) if row.endswith("as events") else direct
    assert answer.ended == "clean" and answer.body.endswith(direct)
    assert re.fullmatch(tellings(ROWS[row][3]), answer.body[: len(answer.body) - len(direct)].decode())


@pytest.mark.parametrize("row", ["chat", "chat completions"])
def test_a_cut_answer_ends_in_a_reset_for_an_http_1_0_client(held, row):
    _, _, calls = held(max_wait="400ms")
    target, body, headers = request(row)
    answer = send(calls, target, body, headers, version="1.0").finish()
    assert answer.status == 200 and answer.ended == "reset" and b"queue_timeout" in answer.body


@pytest.mark.parametrize(
    "language, message",
    [
        (None, "You are number 1 in the queue (0s)"),
        ("de", "Warte auf freien Slot... Platz 1 (0s)"),
        ("fr, de-AT;q=0.8, en;q=0.5", "Warte auf freien Slot... Platz 1 (0s)"),
        ("de;q=0.3, en-GB", "You are number 1 in the queue (0s)"),
        ("tlh", "You are number 1 in the queue (0s)"),
    ],
)
def test_the_message_is_in_the_client_s_language(held, language, message):
    _, _, calls = held()
    headers = {**HEADER, **({"Accept-Language": language} if language else {})}
    client = send(calls, *call_to("chat", "hello", model="slow"), headers)
    client.piece()
    assert queue_statuses(client.answer)[0]["message"] == message


def test_open_webui_s_words_need_a_trusted_peer(simulate, serve):
    simulator = simulate(HOLDER, SLOW)
    gateway = serve(
        simulator,
        {"queue": QUEUE, "upstream": {"max_concurrent": 1}, "clients": {"trusted_proxies": ["192.0.2.0/24"]}},
    )
    gateway.serves = None
    with Calls(gateway).hold() as calls:
        client = send(calls, *call_to("chat_completions", "hello", model="slow"), WEBUI)
        assert re.fullmatch(tellings(COMMENT), client.piece()[1].decode())


@pytest.mark.parametrize(
    "kind, stream", [("chat", True), ("chat", False), ("chat_completions", True), ("messages", True)]
)
def test_a_cold_load_on_an_idle_gateway_gets_heartbeats_too(simulate, serve, kind, stream):
    simulator = simulate("cold,load=900ms,prompt=100ms,rate=0,tokens=2", flags=["--fixed-time"])
    gateway = serve(simulator, {"queue": {"commit_whole": "200ms", "heartbeat": "100ms"}})
    gateway.serves = None
    target, body = call_to(kind, "hello", model="cold", stream=stream)
    with gateway.client() as client:
        sent = time.monotonic()
        client.request("POST", target, body)
        assert client.head().head_at - sent >= 0.2 and client.answer.pieces
        answer = client.finish()
    direct = simulator.post(target, body).body
    if kind == "chat" and stream:  # what a load took stands in the final record
        assert answer.lines()[-1]["done"] and b"\n " not in answer.body
        told = len(answer.body) - len(answer.body.lstrip(b" "))
    elif stream:
        assert answer.body.endswith(direct)
        told = answer.body[: -len(direct)].count(b"\n\n")
    else:
        assert answer.json()["done"]
        told = len(answer.body) - len(answer.body.lstrip(b" "))
    assert answer.complete and 4 <= told <= 12


def test_ten_calls_that_outlast_any_patience_are_all_served_with_heartbeats_throughout(simulate, serve):
    simulator = simulate("slow,load=0s,prompt=400ms,rate=0,tokens=1")
    gateway = serve(
        simulator,
        {"queue": {"grace": "100ms", "heartbeat": "200ms", "commit_whole": "100ms"}, "upstream": {"max_concurrent": 1}},
    )
    gateway.serves = None
    with Calls(gateway) as calls:
        kinds = [(kind, stream) for kind in STREAMS for stream in (True, False)][:10]
        sent = time.monotonic()
        clients = [calls.sent(kind, "hello", model="slow", stream=stream) for kind, stream in kinds]
        readers = [threading.Thread(target=client.finish) for client in clients]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert all(whole(client) for client in clients)
    assert simulator.stats()["peak"] == 1
    longest = 0
    for client in clients:
        times = [sent, *(at for at, _ in client.answer.pieces)]
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        assert max(gaps) < 1.5 * PATIENCE, gaps  # 200 ms, on a machine that has other things to do
        longest = max(longest, times[-1] - sent)
        assert len(gaps) > (times[-1] - sent) / 0.2 * 0.6
    assert longest > 3.5
