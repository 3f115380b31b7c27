"""Headless Chromium on a page of another origin: fetch streams through the queue, EventSource shows the call's place,
the Stop button and a closed tab stop the work."""

# ctest: timeout 300
# ctest: busy

import contextlib
import http.server
import json
import subprocess
import threading
import time

import install
import pytest
from conftest import there_or_skip
from harness import eventually
from world import gateway_before, held

QUEUE = {"grace": "100ms", "heartbeat": "200ms", "status_interval": "100ms"}

# What a chat page does: reads as it comes, keeps what it has read and when, can be stopped.
PAGE = """
window.stop = new AbortController();
window.chat = { text: '', times: [], done: false, error: null, id: null };
window.talk = async (base, model, headers) => {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] });
  try {
    const answer = await fetch(base + '/api/chat', { method: 'POST', body, headers, signal: stop.signal });
    chat.status = answer.status;
    chat.id = answer.headers.get('X-Request-Id');
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const lines = rest.split('\\n');
      rest = lines.pop();
      for (const line of lines) {
        const part = JSON.parse(line);
        if (part.error) throw new Error(part.error);
        if (part.message.content) { chat.text += part.message.content; chat.times.push(performance.now()); }
        chat.done = part.done;
      }
    }
  } catch (error) {
    chat.error = String(error);
  }
};
"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"<!doctype html><title>chat</title><script>{PAGE}</script>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Browser:
    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()[-2000:]
        return json.loads(line)

    def _say(self, **what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def run(self, code):
        said = self._say(run=code)
        assert not (isinstance(said, dict) and "thrown" in said), said
        return said

    def close_tab(self):
        self._say(close=True)

    def talk(self, gateway, model, headers=None):
        self.run(f"talk({json.dumps(gateway.url)}, {json.dumps(model)}, {json.dumps(headers or {})});")

    def chat(self):
        return self.run("return chat;")

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def chromium():
    command = there_or_skip(install.javascript)
    program = there_or_skip(lambda: install.needed("chromium"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    started = Browser([command[0], str(install.PLACE / "js" / "browser.mjs"), program, f"http://127.0.0.1:{server.server_port}/"])
    yield started
    started.stop()
    server.shutdown()


@pytest.fixture
def tab(chromium, simulator):
    """(a fresh tab, gateway): one permit."""
    chromium.close_tab()
    simulator.set_model("page", load_ms=0, prompt_ms=0, rate=20, tokens=20)
    simulator.set_model("endless", load_ms=0, prompt_ms=0, rate=20, tokens=2000)
    with gateway_before(simulator, {"queue": QUEUE}, max_concurrent=1) as gateway:
        yield chromium, gateway


def test_a_page_reads_a_queued_answer_as_it_is_made_and_sees_its_place(tab):
    browser, gateway = tab
    with held(gateway, permits=1):
        browser.talk(gateway, "page")
        gateway.until_waiting(1)
        assert eventually(lambda: browser.chat()["id"], within=5), browser.chat()
        browser.run(f"""
            window.places = [];
            const source = new EventSource({json.dumps(gateway.url)} + '/gateway/calls/' + chat.id + '/events');
            source.addEventListener('call', (event) => {{
              const call = JSON.parse(event.data);
              places.push(call);
              if (call.outcome) source.close();
            }});
        """)
        assert eventually(lambda: browser.run("return places.length;") > 0, within=5), "EventSource got nothing"
        time.sleep(0.5)
        assert browser.chat()["text"] == ""
    assert eventually(lambda: browser.chat()["done"] or browser.chat()["error"], within=10, step=0.1)
    assert eventually(lambda: browser.run("return places.at(-1).outcome;"), within=5, step=0.1)
    chat, places = browser.chat(), browser.run("return places;")
    assert chat["error"] is None and chat["status"] == 200 and len(chat["times"]) == 20, chat
    assert chat["times"][-1] - chat["times"][0] > 500, "not as it was made"
    assert places[0]["position"] == 1 and places[0]["id"] == chat["id"], places[0]
    assert places[-1]["outcome"] == "ok", places[-1]


def test_a_page_of_a_queue_that_is_full_sees_why(tab, simulator):
    browser, _ = tab
    with gateway_before(simulator, {"queue": {"max_waiting": 1}}, max_concurrent=1) as gateway, held(gateway, permits=1):
        with gateway.client() as waits:
            waits.request("POST", "/api/generate", {"model": "llama3", "prompt": "waits"})
            gateway.until_waiting(1)
            browser.talk(gateway, "page")
            assert eventually(lambda: browser.chat()["error"] or browser.chat().get("status"), within=5)
            assert browser.chat()["status"] == 503, browser.chat()


@pytest.mark.parametrize("how", ["the Stop button", "the closed tab"])
@pytest.mark.parametrize("phase", ["waiting", "streaming"])
def test_a_page_that_is_stopped_stops_the_work(tab, simulator, phase, how):
    browser, gateway = tab
    with contextlib.ExitStack() as stack:
        if phase == "waiting":
            stack.enter_context(held(gateway, permits=1))
        busy = simulator.stats()["in_flight"]
        browser.talk(gateway, "endless")
        if phase == "waiting":
            gateway.until_waiting(1)
        else:
            assert eventually(lambda: browser.chat()["text"], within=5)
        if how == "the Stop button":
            browser.run("stop.abort();")
        else:
            browser.close_tab()
        assert eventually(lambda: gateway.queue()["waiting"] == 0, within=2)
        assert eventually(lambda: simulator.stats()["in_flight"] == busy, within=2)
