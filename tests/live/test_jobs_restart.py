"""SPEC §10: no acknowledged job is lost, and none says that it runs when it does not, however the process ends."""

# ctest: timeout 900

import os
import random
import re
import signal
import threading
import time
from collections import Counter

import pytest

from harness import SANITIZED, eventually
from jobs_at_work import FINISHED, LOST, QUICK, chat

KILLS = int(os.environ.get("GATEWAY_JOB_KILLS", "25" if SANITIZED else "100"))
STOPS = 27 if SANITIZED else 54
SLOW = "slow,load=0s,prompt=20ms,rate=30,tokens=100000"


class Submitter(threading.Thread):
    """Submits jobs one after another, as long as anybody answers; remembers those that were acknowledged."""

    def __init__(self, gateway, first):
        super().__init__(daemon=True)
        self.gateway, self.next, self.acknowledged, self.over = gateway, first, {}, False

    def run(self):
        while not self.over:
            prompt = f"call-{self.next}."
            self.next += 1
            try:
                answer = self.gateway.post("/gateway/jobs", chat(prompt, stream=self.next % 2 == 0), timeout=5)
            except OSError:
                return
            if answer.status == 202 and answer.complete:
                self.acknowledged[answer.json()["id"]] = prompt
            time.sleep(0.005)


def begun(simulator):
    """How often each job's call came upstream."""
    seen = Counter()
    for request in simulator.requests():
        if match := re.search(r"call-\d+\.", request.get("body", "")):
            seen[match[0]] += 1
    return seen


def test_no_acknowledged_job_is_lost_by_kills_and_none_runs_twice_uncounted(simulate, jobs_on):
    chance = random.Random(7)
    # Slow enough that a kill strikes jobs that run; quick enough that they get done between kills.
    simulator = simulate("llama3,load=0s,prompt=5ms,rate=150,tokens=6", flags=["--keep-requests", 100_000])
    jobs = jobs_on(simulator, {"upstream": {"max_concurrent": 5}})
    acknowledged, number = {}, 0
    for _ in range(KILLS):
        submitter = Submitter(jobs.gateway, number)
        submitter.start()
        time.sleep(chance.uniform(0.03, 0.35))
        jobs.end(signal.SIGKILL)
        submitter.over = True
        submitter.join()
        acknowledged.update(submitter.acknowledged)
        number = submitter.next
        eventually(lambda: simulator.stats()["in_flight"] == 0)
        jobs.start(warm=False)
    assert len(acknowledged) > KILLS
    assert eventually(lambda: jobs.count("queued") + jobs.count("running") == 0, 120)
    runs = begun(simulator)
    assert jobs.intact()
    twice = 0
    for job_id, prompt in acknowledged.items():
        job = jobs.show(job_id)
        assert job["status"] in FINISHED, job
        assert runs[prompt] <= job["attempt"] <= 2, (runs[prompt], job)
        twice += job["attempt"] == 2
        if job["status"] == "failed":
            assert (job["error"], job["attempt"]) == (LOST, 2)
        else:
            assert job["status"] == "succeeded" and runs[prompt] >= 1 and job["result"]
    assert twice > 0, "no kill struck a running job"
    # Those that were committed but not acknowledged in time are whole too.
    assert {s for (s,) in jobs.sql("SELECT DISTINCT state FROM jobs")} <= {2, 3}


@pytest.mark.parametrize("attempts", [1, 3])
def test_jobs_that_a_kill_interrupts_are_begun_again_or_fail_with_the_reason(simulate, jobs_on, attempts):
    jobs = jobs_on(
        simulate(SLOW, QUICK),
        {"upstream": {"max_concurrent": 8}, "jobs": {"max_concurrent": 5, "max_attempts": attempts}},
    )
    made = jobs.submit_many(chat(f"call-{n}", "slow", stream=True) for n in range(5))
    assert eventually(lambda: jobs.simulator.stats()["running"] == 5, within=10)
    jobs.end(signal.SIGKILL)
    assert jobs.sql("SELECT count(*) FROM jobs WHERE state = 1") == [(5,)]
    jobs.start()
    for job in made:
        if attempts == 1:
            job = jobs.until(job["id"], "failed", within=5)
            assert job["error"] == LOST and job["finished_at"]
        else:
            assert eventually(lambda: jobs.show(job["id"])["attempt"] == 2, within=5)
    if attempts == 3:
        assert eventually(lambda: jobs.simulator.stats()["running"] == 5, within=10)
        jobs.gateway.post("/gateway/jobs", chat())
        for job in made:
            assert jobs.gateway.post(f"/gateway/jobs/{job['id']}/cancel").status == 202
    jobs.until_finished()


def test_a_stop_puts_running_jobs_back_and_counts_no_attempt(simulate, jobs_on):
    jobs = jobs_on(simulate(SLOW, QUICK), {"upstream": {"max_concurrent": 4}, "drain": "20s"})
    made = jobs.submit_many(chat(f"call-{n}", "slow", stream=True) for n in range(6))
    assert eventually(lambda: jobs.simulator.stats()["running"] == 3, within=10)
    began = time.monotonic()
    assert jobs.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    assert jobs.sql("SELECT DISTINCT state, attempt, runner FROM jobs") == [(0, 0, None)]
    assert eventually(lambda: jobs.simulator.stats()["running"] == 0)
    jobs.start()
    assert eventually(lambda: jobs.simulator.stats()["running"] == 3, within=10)
    assert [jobs.show(j["id"])["attempt"] for j in made] == [1, 1, 1, 0, 0, 0]
    jobs.command("cancel", *[j["id"] for j in made])
    jobs.until_finished()


def test_a_stop_right_after_a_job_was_acknowledged_leaves_it_queued_and_counts_no_attempt(simulate, jobs_on):
    jobs = jobs_on(simulate(SLOW, QUICK), {"jobs": {"max_attempts": 1}})
    for n in range(STOPS):
        job = jobs.submit(f"call-{n}", "slow", stream=True)
        time.sleep(n % 9 / 1000)
        assert jobs.end(signal.SIGTERM) == 0
        assert jobs.sql("SELECT id, state, attempt, runner FROM jobs") == [(job["id"], 0, 0, None)], n
        jobs.sql("DELETE FROM jobs")
        jobs.start(warm=False)


def test_what_says_that_it_runs_and_is_run_by_nobody_is_found_though_the_process_lives_on(simulate, jobs_on):
    jobs = jobs_on(simulate(SLOW, QUICK), {"jobs": {"max_concurrent": 2}})
    running, lost, stale = jobs.submit(model="slow", stream=True), jobs.submit(), jobs.submit()
    jobs.until(lost["id"], "succeeded")
    jobs.until(stale["id"], "succeeded")
    jobs.until(running["id"], "running")
    # As if its worker had died without a word; and as if another process had hung for a minute.
    mine = "SELECT runner FROM jobs WHERE state = 1"
    now = int(time.time() * 1000)  # nobody else can tell: its heart seems to beat
    jobs.sql(
        f"UPDATE jobs SET state = 1, finished_at = NULL, heartbeat_at = ?, runner = ({mine}) WHERE id = ?", now, lost["id"]
    )
    jobs.sql("UPDATE jobs SET state = 1, attempt = 2, finished_at = NULL, runner = 5 WHERE id = ?", stale["id"])
    jobs.command("reap")
    again = jobs.until(lost["id"], "succeeded")
    assert again["attempt"] == 2
    assert jobs.until(stale["id"], "failed")["error"] == LOST
    assert jobs.show(running["id"])["status"] == "running"
    assert [line["begun_again"] for line in jobs.gateway.log("jobs that nobody ran")] == [1]
    jobs.gateway.post(f"/gateway/jobs/{running['id']}/cancel")
    jobs.until_finished()
