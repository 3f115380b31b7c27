"""A client that is refused and tries again by itself comes back when it was told to, and is served."""

# ctest: timeout 400

import time

from rows import ROWS
from world import at_once, gateway_before, held

# Those that try again without being told to, as their users have them: retries are not turned off here.
THEY_COME_BACK = [
    "openai-node chat", "openai-python chat async", "anthropic-node messages", "ai-sdk openai-compatible",
    "langchain-js openai", "langchain-python openai",
]  # fmt: skip


def test_a_client_that_is_refused_comes_back_by_itself_and_is_served(simulator, drivers):
    rows = [row for row in ROWS if row.name in THEY_COME_BACK]
    assert len(rows) == len(THEY_COME_BACK)
    at_once(simulator.url, drivers, rows)  # the libraries are loaded
    config = {"queue": {"max_waiting": len(rows), "max_waiting_per_client": len(rows)}}
    with gateway_before(simulator, config) as gateway:
        waiting = [gateway.client() for _ in rows]
        with held(gateway):
            for client in waiting:
                client.request("POST", "/api/generate", {"model": "llama3", "prompt": "waits"})
            gateway.until_waiting(len(rows))
            start = time.monotonic()
            calls = {row: drivers.start(row, gateway.url) for row in rows}
            refused = {row.model for row in rows}
            while refused and time.monotonic() - start < 60:
                time.sleep(0.1)
                refused -= {line["model"].removesuffix(":latest") for line in gateway.log("call")}
            assert not refused, f"not refused: {refused}"
        verdicts = {row.name: call.verdict() for row, call in calls.items()}
        for client in waiting:
            client.finish()
            client.socket.close()
    wrong = {name: verdict for name, verdict in verdicts.items() if verdict["error"] or not verdict["text"]}
    assert not wrong, wrong
