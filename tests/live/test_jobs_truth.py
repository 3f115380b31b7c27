"""SPEC §10: what is told of a job is so: it runs from the moment its call is sent, it has ended when it has ended,
whether that can be written or not, and its attempts are all there."""

# ctest: timeout 900

import signal
import time
from datetime import datetime

import pytest

from harness import PATIENCE, SANITIZED, eventually
from jobs_at_work import LOST, QUICK, chat, locked

HOLDER = "holder,load=0s,prompt=1h"
SLOW = "slow,load=0s,prompt=600ms,rate=0,tokens=3"
STREAM = "stream,load=0s,prompt=20ms,rate=20,tokens=20"


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def told(jobs, job_id):
    """The states that a job has on all pages, which are one."""
    by = {state: {j["id"] for j in jobs.list(f"?status={state}&limit=100")["jobs"]} for state in ("queued", "running")}
    counts = jobs.gateway.status()["jobs"]
    command = jobs.command("list").splitlines()
    shown = [line.split()[1] for line in command if line.startswith(job_id)]
    return (
        jobs.show(job_id)["status"], [state for state, ids in by.items() if job_id in ids], shown,
        {state: int(jobs.count(state)) for state in counts}, counts,
    )  # fmt: skip


def all_say(state):
    counts = {"queued": 0, "running": 0, state: 1}
    return state, [state], [state], counts, counts


def test_a_job_is_queued_until_its_call_is_sent_to_an_upstream(simulate, jobs_on):
    jobs = jobs_on(simulate(HOLDER, QUICK), {"upstream": {"max_concurrent": 1}})
    with jobs.gateway.client() as live:
        live.request("POST", "/api/chat", chat(model="holder", stream=True)["body"])
        assert eventually(lambda: jobs.simulator.stats()["running"] == 1)
        job = jobs.submit(model="holder")
        assert eventually(lambda: jobs.sql("SELECT state, attempt FROM jobs") == [(1, 1)])  # taken up, and counted
        assert told(jobs, job["id"]) == all_say("queued")
        assert jobs.show(job["id"])["started_at"] is None
        assert "started     -" in jobs.command("show", job["id"])
    assert eventually(lambda: told(jobs, job["id"]) == all_say("running"))
    assert jobs.show(job["id"])["started_at"] >= job["created_at"]
    jobs.gateway.post(f"/gateway/jobs/{job['id']}/cancel")
    jobs.until(job["id"], "cancelled")


def test_a_job_that_was_taken_up_and_not_sent_can_be_deleted_like_any_that_is_queued(simulate, jobs_on):
    jobs = jobs_on(simulate(HOLDER, QUICK), {"upstream": {"max_concurrent": 1}})
    with jobs.gateway.client() as live:
        live.request("POST", "/api/chat", chat(model="holder", stream=True)["body"])
        assert eventually(lambda: jobs.simulator.stats()["running"] == 1)
        job = jobs.submit("call-x", model="holder")
        assert eventually(lambda: jobs.sql("SELECT state FROM jobs") == [(1,)])
        assert jobs.gateway.call("DELETE", f"/gateway/jobs/{job['id']}").status == 204
    assert jobs.gateway.get(f"/gateway/jobs/{job['id']}").status == 404
    jobs.until(jobs.submit()["id"], "succeeded")
    assert not any("call-x" in r.get("body", "") for r in jobs.simulator.requests())


def test_a_job_is_queued_throughout_while_its_only_upstream_is_away(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK), {"queue": {"hold_upstream": "1s"}})
    jobs.simulator.signal(signal.SIGKILL)
    jobs.simulator.wait()  # until then the connection that the gateway keeps is a way to send it
    jobs.simulator.stays = False
    job = jobs.submit()
    seen, until = set(), time.monotonic() + 8
    while time.monotonic() < until:
        at = jobs.show(job["id"])
        seen.add((at["status"], at["started_at"]))
        time.sleep(0.02)
    assert seen == {("queued", None)}


def test_a_job_that_has_ended_while_the_store_is_locked_is_told_so_with_the_time_of_its_end(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK, SLOW))
    job = jobs.submit(model="slow")
    jobs.until(job["id"], "running")
    with locked(jobs.path):
        done = jobs.until(job["id"], "succeeded", within=20)
        assert done["result"]["done"] and done["result"]["message"]["content"]
        assert done["attempts"][0]["outcome"] == "ok" and done["heartbeat_at"] is None
        assert jobs.list("?status=running")["jobs"] == []
        assert [j["id"] for j in jobs.list("?status=succeeded")["jobs"]] == [job["id"]]
        assert jobs.gateway.status()["jobs"] == {"queued": 0, "running": 0}
        assert jobs.count("succeeded") == 1
        assert jobs.gateway.call("DELETE", f"/gateway/jobs/{job['id']}").status == 503
        assert jobs.gateway.post(f"/gateway/jobs/{job['id']}/cancel").status == 409
        time.sleep(1.5)
    assert eventually(lambda: jobs.sql("SELECT state FROM jobs") == [(2,)])
    written = jobs.show(job["id"])
    assert written == done
    assert seconds(written["finished_at"]) - seconds(written["started_at"]) < 1.5 * PATIENCE


def test_a_running_job_is_cancelled_though_the_store_is_locked(simulate, jobs_on):
    jobs = jobs_on(simulate(HOLDER, QUICK))
    job = jobs.submit(model="holder")
    jobs.until(job["id"], "running")
    with locked(jobs.path):
        answer = jobs.gateway.post(f"/gateway/jobs/{job['id']}/cancel", timeout=30)
        assert answer.status == 202, answer.raw
        assert eventually(lambda: jobs.simulator.stats()["running"] == 0)
        jobs.until(job["id"], "cancelled")
    assert eventually(lambda: jobs.sql("SELECT state FROM jobs") == [(4,)])
    jobs.until(job["id"], "cancelled")


def test_an_attempt_of_a_job_is_told_as_long_as_it_took(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK, STREAM))
    job = jobs.until(jobs.submit(model="stream", stream=True)["id"], "succeeded")
    took = (seconds(job["finished_at"]) - seconds(job["started_at"])) * 1000
    (attempt,) = job["attempts"]
    assert attempt["outcome"] == "ok" and 800 <= attempt["ms"] <= took + 50, (attempt, took)


@pytest.mark.skipif(SANITIZED, reason="nothing here that the kills of test_jobs_restart.py lack")
def test_runs_that_a_kill_ended_are_among_the_attempts(simulate, jobs_on):
    jobs = jobs_on(simulate(HOLDER, QUICK), {"jobs": {"max_attempts": 3}})
    job = jobs.submit(model="holder")
    for n in range(1, 4):
        assert eventually(lambda n=n: (j := jobs.show(job["id"]))["status"] == "running" and j["attempt"] == n)
        assert eventually(lambda: jobs.sql("SELECT started_at IS NULL FROM jobs") == [(0,)])
        jobs.end(signal.SIGKILL)
        jobs.start()
    job = jobs.until(job["id"], "failed")
    lost = {"model": "holder:latest", "upstream": "", "outcome": "gateway_stopped", "ms": 0}
    assert job["attempts"] == [lost] * 3 and job["attempt"] == 3 and job["error"] == LOST
