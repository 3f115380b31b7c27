"""A client whose user stops it: while it waits its place is freed, while it streams the work upstream ends, within
100 ms. And the reverse: ten clients of different makes at once against three slots all complete."""

# ctest: timeout 600
# ctest: alone

import statistics
import time
import uuid

from exceptions import ABORTS_LATE
from harness import eventually
from report import THE_REPORT as report
from rows import ROWS
from world import PERMITS, QUICK_QUEUE, gateway_before, held

SOON = 100  # ms
ROUNDS = 4  # the best of so many: the machine may be busy, the gateway may not be slow


def best(measure):
    """Milliseconds of the quickest of a few rounds; the first that is soon enough ends them."""
    took = []
    for _ in range(ROUNDS):
        took.append(measure())
        if took[-1] <= SOON:
            break
    return min(took)


def stays_until_cancelled(gateway, known, mine, gone):
    """What is known of a client that cannot stop its call; and what stops it all the same."""
    left = eventually(gone, within=0.5)
    assert not (left and known.always), f"not as bad as it is said to be: {known.reason}"
    assert gateway.post(f"/gateway/calls/{mine}/cancel").status < 300
    assert eventually(gone, within=5), "not cancelled"
    return 0


def put(row, scenario, took):
    known = ABORTS_LATE.get((row.name, scenario))
    if known:
        report.put(row.name, scenario, f"known ({report.note(known.text())})")
    else:
        report.put(row.name, scenario, f"{took:.0f} ms")


def test_a_client_that_is_stopped_while_it_waits_frees_its_place(simulator, drivers):
    rows = [row for row in ROWS if row.aborts == "always"]
    slow = {}
    with gateway_before(simulator, {"queue": QUICK_QUEUE}) as gateway, held(gateway):
        for row in rows:
            known = ABORTS_LATE.get((row.name, "abort while queued"))

            def measure(row=row, known=known):
                mine = str(uuid.uuid4())
                call = drivers.start(row, gateway.url, retries=0, headers={"X-Request-Id": mine})
                gateway.until_waiting(1, within=30)
                time.sleep(0.6)  # until its head is there, where there is one
                start = time.monotonic()
                call.abort()
                if known:
                    return stays_until_cancelled(gateway, known, mine, lambda: gateway.queue()["waiting"] == 0)
                gone = eventually(lambda: gateway.queue()["waiting"] == 0, within=5, step=0.001)
                assert gone, f"{row.name} still waits: {gateway.queue()}"
                took = (time.monotonic() - start) * 1000
                assert not call.verdict()["text"], f"{row.name} was served"
                return took

            took = best(measure)
            put(row, "abort while queued", took)
            if took > SOON:
                slow[row.name] = took
    assert not slow, f"over {SOON} ms: {slow}"


def test_a_client_that_is_stopped_while_it_streams_stops_the_work_upstream(simulator, drivers):
    rows = [row for row in ROWS if row.streams]
    slow, all_of_them = {}, []
    for row in rows:
        simulator.set_model(row.model, rate=20, tokens=400)
    with gateway_before(simulator) as gateway:
        for row in rows:

            known = ABORTS_LATE.get((row.name, "abort mid-stream"))

            def measure(row=row, known=known):
                simulator.reset()
                headers = {"X-Request-Id": str(uuid.uuid4())}
                call = drivers.start(row, gateway.url, abort_after=3, retries=0, tokens=400, headers=headers)
                verdict = call.verdict()
                assert verdict["aborted_at"] and verdict["pieces"] == 3, f"{row.name}: {verdict}"

                def stopped():
                    return simulator.stats()["in_flight"] == 0

                if known:
                    return stays_until_cancelled(gateway, known, headers["X-Request-Id"], stopped)
                assert eventually(stopped, within=5), f"{row.name}: still at work"
                aborts = simulator.stats()["aborts"]
                assert aborts["count"] == 1, f"{row.name}: {aborts}"
                return aborts["list"][0]["at_ms"] - verdict["aborted_at"]

            took = best(measure)
            all_of_them.append(took)
            put(row, "abort mid-stream", took)
            if took > SOON:
                slow[row.name] = took
    for row in rows:
        simulator.set_model(row.model, rate=100, tokens=12)
    assert not slow, f"over {SOON} ms, where the median is {statistics.median(all_of_them):.0f} ms: {slow}"


TEN = [
    "ollama-js chat", "openai-node chat", "anthropic-node messages", "langchain-js ollama", "ai-sdk openai-compatible",
    "ollama-python chat", "openai-python chat", "llama-index ollama", "ollama-go chat", "curl chat",
]  # fmt: skip


def test_ten_clients_of_different_makes_at_once_against_three_slots_all_complete(simulator, drivers):
    rows = [row for row in ROWS if row.name in TEN]
    assert len(rows) == 10
    for row in rows:
        simulator.set_model(row.model, rate=20, tokens=12)
    simulator.reset()
    with gateway_before(simulator, {"queue": QUICK_QUEUE}) as gateway:
        calls = {row: drivers.start(row, gateway.url) for row in rows}
        verdicts = {row: call.verdict() for row, call in calls.items()}
        assert simulator.stats()["peak"] <= PERMITS
        outcomes = [line["outcome"] for line in gateway.log("call") if not line["model"].startswith("llama3")]
        assert outcomes.count("ok") == 10, outcomes
    for row in rows:
        simulator.set_model(row.model, rate=100, tokens=12)
    wrong = {row.name: v for row, v in verdicts.items() if v["error"] or v["pieces"] < 12}
    assert not wrong, wrong
