"""The matrix: every client in every scenario, against what the same client says of Ollama without a gateway.
What a client is known not to do stands in exceptions.py, with the reason and the setting that helps."""

# ctest: timeout 900
# ctest: alone

from functools import cache

import pytest
from exceptions import EXCEPTIONS
from report import THE_REPORT as report
from rows import ROWS
from world import QUICK_QUEUE, at_once, gateway_before, held, start_simulator, while_held

EVENTS = {"X-Queue-Events": "1"}
CRASH = "the runner has crashed"
NO_RETRIES = {"retries": 0}


class Scenarios:
    """Each runs once, with all rows side by side; the tests look at what came of it."""

    def __init__(self, simulator, drivers):
        self.simulator, self.drivers = simulator, drivers

    def gateway(self, config=None, **upstream):
        return gateway_before(self.simulator, config, **upstream)

    def verdicts(self, name):
        found = self._run(name)
        if isinstance(found, Exception):
            pytest.fail(f"the scenario itself: {found}", pytrace=False)
        return found

    @cache
    def _run(self, name):
        try:
            return getattr(self, name.replace(",", "").replace(" ", "_"))()
        except Exception as wrong:  # told by each of its rows, but run once
            return wrong

    def direct(self):
        """Without a gateway: what each client says when all is well."""
        return at_once(self.simulator.url, self.drivers, ROWS)

    def no_queue(self):
        with self.gateway(max_concurrent=64, max_concurrent_embeddings=64) as gateway:
            return at_once(gateway.url, self.drivers, ROWS, **NO_RETRIES)

    def queued(self):
        with self.gateway({"queue": QUICK_QUEUE}) as gateway:
            return while_held(gateway, self.drivers, ROWS, 1.2, **NO_RETRIES)

    def queued_with_events(self):
        with self.gateway({"queue": QUICK_QUEUE}) as gateway:
            return while_held(gateway, self.drivers, ROWS, 1.2, headers=EVENTS, **NO_RETRIES)

    def long_load(self):
        """No model is there; the first load takes its time, and Ollama loads one after the other."""
        cold = start_simulator(load="30ms")
        try:
            cold.fault("load_slow", ms=1500, count=1)
            with gateway_before(cold, {"queue": QUICK_QUEUE}, max_concurrent=64, max_concurrent_embeddings=64) as gateway:
                return at_once(gateway.url, self.drivers, ROWS, **NO_RETRIES)
        finally:
            cold.discard()

    def error_before_the_head(self):
        self.simulator.fault("status", status=500, text=CRASH)
        with self.gateway(max_concurrent=64, max_concurrent_embeddings=64) as gateway:
            return at_once(gateway.url, self.drivers, ROWS, **NO_RETRIES)

    def error_in_band(self):
        """The head has been sent while it waited; then Ollama answers with an error."""

        def crash():
            self.simulator.fault("status", status=500, text=CRASH)

        with self.gateway({"queue": QUICK_QUEUE}) as gateway:
            return while_held(gateway, self.drivers, ROWS, 1.2, crash, **NO_RETRIES)

    def error_no_padding(self):
        """The same, where padding of answers that come whole is turned off: they keep their true status."""

        def crash():
            self.simulator.fault("status", status=500, text=CRASH)

        whole = [row for row in ROWS if not row.streams]
        with self.gateway({"queue": QUICK_QUEUE | {"commit_whole": "0s"}}) as gateway:
            return while_held(gateway, self.drivers, whole, 1.2, crash, **NO_RETRIES)

    def queue_full(self):
        return self.refused({"max_waiting": 1, "max_waiting_per_client": 1})

    def rate_limited(self):
        """There are places, but this client has had its share of them."""
        return self.refused({"max_waiting": 9, "max_waiting_per_client": 1})

    def refused(self, queue):
        with self.gateway({"queue": queue}) as gateway, held(gateway):
            waiting = [gateway.client() for _ in range(2)]
            waiting[0].request("POST", "/api/generate", {"model": "llama3", "prompt": "waits"})
            waiting[1].request("POST", "/api/embed", {"model": "embed-holder", "input": "waits"})
            gateway.until_waiting(2)
            found = at_once(gateway.url, self.drivers, ROWS, **NO_RETRIES)
            for client in waiting:
                client.socket.close()
            gateway.until_waiting(0)
            return found

    def model_hangs(self):
        limits = {"first_byte": "1s", "whole": "1s", "idle": "1s"}
        self.simulator.fault("silent_head")
        with self.gateway({"timeouts": limits}, max_concurrent=64, max_concurrent_embeddings=64) as gateway:
            return at_once(gateway.url, self.drivers, ROWS, **NO_RETRIES)

    def death_mid_stream(self):
        """Ollama dies after three tokens, or in the middle of an answer that comes whole."""
        self.simulator.fault("reset_mid", after=3)
        with self.gateway(max_concurrent=64, max_concurrent_embeddings=64) as gateway:
            return at_once(gateway.url, self.drivers, ROWS, **NO_RETRIES)


@pytest.fixture(scope="module")
def scenarios(simulator, drivers):
    return Scenarios(simulator, drivers)


def same_answer(verdict, truth, row):
    assert verdict["error"] is None, verdict["error"]
    assert verdict["text"] == truth["text"]
    if row.streams:
        assert verdict["pieces"] >= truth["pieces"] > 1, verdict


def an_error(*words):
    def check(verdict, truth, row):
        assert verdict["error"] is not None, f"no error, but {verdict['text']!r}"
        assert any(word in verdict["error"] for word in words), verdict["error"]
        assert truth["text"].startswith(verdict["text"])
        assert verdict["text"] != truth["text"], "an answer that looks complete"

    return check


CHECKS = {
    "no queue": same_answer,
    "queued": same_answer,
    "queued with events": same_answer,
    "long load": same_answer,
    "error before the head": an_error(CRASH),
    "error in band": an_error(CRASH),
    "error, no padding": an_error(CRASH),
    "queue full": an_error("server busy, please try again", "all waiting places are taken"),
    "rate limited": an_error("server busy, please try again", "places"),
    "model hangs": an_error("timed out"),
    "death mid stream": an_error("cut short", "closed the connection before its answer"),
}


def cell(scenario, row, check):
    """Runs the check; what it found goes into the table."""
    exception = EXCEPTIONS.get((row.name, scenario))
    try:
        check()
    except AssertionError as wrong:
        report.put(row.name, scenario, "FAILED: " + str(wrong).splitlines()[0][:60].replace("|", "/"))
        raise
    report.put(row.name, scenario, f"known ({report.note(exception.text())})" if exception else "ok")


CELLS = [
    pytest.param(scenario, row, id=f"{scenario}: {row.name}")
    for scenario in CHECKS
    for row in ROWS
    if scenario != "error, no padding" or not row.streams
]


@pytest.mark.parametrize("scenario, row", CELLS)
def test_a_client(scenarios, scenario, row):
    verdict, truth = (scenarios.verdicts(name)[row] for name in (scenario, "direct"))
    exception = EXCEPTIONS.get((row.name, scenario))
    cell(scenario, row, lambda: (exception.check if exception else CHECKS[scenario])(verdict, truth, row))
