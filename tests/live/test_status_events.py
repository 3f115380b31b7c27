"""The status as it changes (SPEC §11): /status/events and the hour behind it, for whoever listens and at no cost
while nobody does; and the pages for people, whose bytes come with the program."""

import json
import threading
import time

import pytest

from dialects import call_of
from harness import PATIENCE, Client, eventually
from queueing import HOLDER, QUICK, Calls


class Listener:
    """Reads /status/events in a thread of its own; `seen` are (time, status)."""

    def __init__(self, gateway):
        self.client = Client(gateway.host, gateway.admin_port)
        self.seen = []
        self.client.request("GET", "/status/events")
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        text = b""
        try:
            for at, piece in self.client.pieces():
                text += piece
                while b"\n\n" in text:
                    event, text = text.split(b"\n\n", 1)
                    name, data = event.decode().split("\n", 1)
                    assert name == "event: status"
                    self.seen.append((at, json.loads(data.removeprefix("data: "))))
        except OSError:
            pass

    def __enter__(self):
        assert eventually(lambda: self.seen, within=5)
        return self

    def __exit__(self, *_):
        self.client.socket.shutdown(2)
        self.thread.join()
        self.client.socket.close()

    @property
    def last(self):
        return self.seen[-1][1]


@pytest.fixture
def one_slot(simulate, serve):
    simulator = simulate(HOLDER, QUICK)
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}})
    gateway.serves = ("POST", *call_of("generate"))
    return gateway, simulator


def test_every_change_is_told_at_once_and_each_second_something(one_slot):
    gateway, _ = one_slot
    with Listener(gateway) as listener, Calls(gateway) as calls:
        head = listener.client.answer
        assert head.get("Content-Type") == "text/event-stream" and "no-cache" in head.get("Cache-Control")
        assert listener.last.keys() >= {"upstreams", "models", "calls", "recent", "unloads"}
        began = time.monotonic()
        calls.hold()
        calls.queued("chat", "waits", {"X-OpenWebUI-User-Id": "anna"})
        told = eventually(lambda: any(c["phase"] == "waiting" for c in listener.last["calls"]))
        assert told and time.monotonic() - began < 2 * PATIENCE
        assert {c["client"] for c in listener.last["calls"] if c["position"]} == {"anna"}
        count = len(listener.seen)
        time.sleep(3.2)
        assert len(listener.seen) - count >= 2
        calls.let_go()
        assert eventually(lambda: listener.last["calls"] == [], within=5)
        assert listener.last["recent"][0]["client"] == "anna"


def test_while_nobody_listens_nothing_is_made(one_slot):
    gateway, _ = one_slot
    with Listener(gateway):
        pass
    before = gateway.cpu_seconds()
    time.sleep(2)
    assert gateway.cpu_seconds() - before < 0.2 * PATIENCE
    assert eventually(lambda: gateway.metrics().value("connections", side="admin") <= 1)


def test_who_does_not_read_costs_one_status_and_holds_nobody_up(one_slot):
    gateway, _ = one_slot
    with Client(gateway.host, gateway.admin_port, receive_buffer=2048) as deaf:
        deaf.request("GET", "/status/events")
        before = gateway.resident()
        with Listener(gateway) as listener, Calls(gateway) as calls:
            calls.hold()
            for n in range(100):
                calls.queued("generate", f"call-{n}")
            assert eventually(lambda: sum(c["position"] is not None for c in listener.last["calls"]) == 100)
            assert listener.last["calls_total"] == 101
        assert gateway.resident() - before < 32 << 20


def test_a_long_queue_is_told_in_part_with_its_length(one_slot):
    gateway, _ = one_slot
    with Calls(gateway) as calls:
        calls.hold()
        for n in range(230):
            calls.sent("generate", f"call-{n}")
        gateway.until_waiting(230)
        with Listener(gateway) as listener:
            assert len(listener.last["calls"]) == 200 and listener.last["calls_total"] == 231
            assert [c["position"] for c in listener.last["calls"]][:3] == [None, 1, 2]
        assert len(gateway.status()["calls"]) == 231


def test_many_listeners_hear_the_same(one_slot):
    gateway, _ = one_slot
    listeners = [Listener(gateway) for _ in range(20)]
    with Calls(gateway) as calls:
        calls.hold()
        for listener in listeners:
            with listener:
                assert eventually(lambda: listener.last["calls"], within=5)


def test_a_drain_ends_those_who_listen(one_slot):
    gateway, _ = one_slot
    with Listener(gateway):
        gateway.stays = False
        assert gateway.stop() == 0


def test_the_hour_has_what_has_happened(one_slot):
    gateway, _ = one_slot
    for _ in range(3):
        assert gateway.post(*call_of("generate")).complete
    with Calls(gateway) as calls:
        calls.hold()
        calls.queued("generate", "waits")
        time.sleep(1.2)
    gateway.until_running(0)
    assert eventually(lambda: sum(gateway.admin("/status/history").json()["left"]) == 2)
    hour = gateway.admin("/status/history").json()
    columns = [name for name, column in hour.items() if isinstance(column, list)]
    assert len(columns) == 10 and all(len(hour[name]) == 360 for name in columns) and hour["step_s"] == 10
    assert sum(hour["ok"]) == 3 and sum(hour["tokens"]) == 9
    assert max(hour["waiting"]) == 1 and max(hour["running"]) == 1
    assert any(n is not None for n in hour["first_byte_p95_ms"])
    assert abs(hour["now_ms"] / 1000 - time.time()) < 60


# --- the pages ---

PAGES = {
    "/": "text/html",
    "/try": "text/html",
    "/dashboard/dashboard.js": "text/javascript",
    "/dashboard/dashboard.css": "text/css",
    "/dashboard/uplot/uPlot.iife.min.js": "text/javascript",
    "/dashboard/uplot/LICENSE": "text/plain",
}


def test_the_pages_come_with_the_program_under_a_strict_policy(pair):
    gateway, _ = pair
    for path, kind in PAGES.items():
        answer = gateway.admin(path)
        assert answer.status == 200 and answer.get("Content-Type").startswith(kind), path
        policy = answer.get("Content-Security-Policy")
        assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
        assert answer.get("X-Content-Type-Options") == "nosniff" and answer.get("X-Frame-Options") == "DENY"
        assert gateway.get(path).status == 404 or path == "/", "not on the public port"
    assert "Copyright" in gateway.admin("/dashboard/uplot/LICENSE").body.decode()
    for path in ("/dashboard/", "/dashboard/../index.html", "/dashboard/chat.html", "/dashboard/nothing.js"):
        assert gateway.admin(path).status in (400, 404), path
    assert gateway.admin("/", "POST", b"").status == 405


def test_the_chat_page_asks_the_public_port_under_the_name_it_was_asked_for(pair):
    gateway, _ = pair
    for host in ("localhost", "127.0.0.1", "[::1]"):
        with Client(gateway.host, gateway.admin_port) as client:
            answer = client.request("GET", "/try", None, {"Host": f"{host}:{gateway.admin_port}"}).finish()
        assert answer.status == 200
        assert f"connect-src http://{host}:{gateway.port};" in answer.get("Content-Security-Policy")
        assert f'value="http://{host}:{gateway.port}"' in answer.body.decode()


def test_a_page_of_the_admin_port_may_ask_the_public_one_and_another_may_not(pair):
    gateway, _ = pair
    name = "gateway.internal"  # no name of Ollama's own list
    asks = {"Host": f"{name}:{gateway.port}", "Access-Control-Request-Method": "POST"}
    for port, status in ((gateway.admin_port, 204), (gateway.admin_port + 1, 403)):
        answer = gateway.call("OPTIONS", "/api/chat", None, {**asks, "Origin": f"http://{name}:{port}"})
        assert answer.status == status
        assert (answer.get("Access-Control-Allow-Origin") is not None) == (status == 204)
