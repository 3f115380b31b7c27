"""SPEC §10: a store that cannot be used refuses new jobs and harms nobody else, and what has finished meanwhile is
written when it can be used again."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from harness import eventually
from jobs_at_work import QUICK, chat, locked

SLOW = "slow,load=0s,prompt=600ms,rate=0,tokens=3"


def refused(jobs, within=10):
    """New jobs get a clear 503, and live calls go on."""
    answer = eventually(lambda: (a := jobs.gateway.post("/gateway/jobs", chat())).status != 202 and a, within)
    assert answer and answer.status == 503 and answer.complete, answer and answer.raw
    assert answer.json()["code"] == "jobs_unavailable" and answer.get("Retry-After")
    assert str(jobs.path) in answer.json()["error"] or "store" in answer.json()["error"]
    live = jobs.gateway.post("/api/chat", chat()["body"])
    assert live.status == 200 and live.complete
    return answer.json()["error"]


def accepted(jobs, within=15):
    """New jobs are taken again, and run."""
    answer = eventually(lambda: (a := jobs.gateway.post("/gateway/jobs", chat())).status == 202 and a, within, step=0.1)
    assert answer, "jobs are still refused"
    jobs.gateway.base = max(jobs.gateway.base, jobs.gateway._rested())  # the store may not have been open at first
    jobs.until(answer.json()["id"], "succeeded")


def test_while_the_store_is_locked_new_jobs_are_refused_and_finished_ones_are_kept(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK, SLOW))
    job = jobs.submit(model="slow")
    jobs.until(job["id"], "running")
    with locked(jobs.path):
        assert "locked" in refused(jobs)
        assert eventually(lambda: jobs.simulator.stats()["running"] == 0, within=5)
        assert jobs.show(job["id"])["status"] == "succeeded"  # it can be read, and its runner knows
        assert jobs.list()["jobs"][-1]["id"] == job["id"]
        assert any("job store" in w for w in jobs.gateway.status()["warnings"])
    assert jobs.until(job["id"], "succeeded")["attempt"] == 1
    accepted(jobs)
    assert eventually(lambda: not any("job store" in w for w in jobs.gateway.status()["warnings"]))


def test_a_stop_that_cannot_write_a_job_down_is_exit_code_one_and_one_that_can_in_the_end_is_none(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK, "long,load=0s,prompt=1h"))
    job = jobs.submit(model="long")
    jobs.until(job["id"], "running")
    gateway = jobs.gateway
    gateway.stays = False
    with locked(jobs.path):
        gateway.signal(signal.SIGTERM)
        time.sleep(1)
    assert gateway.wait(15) == 0
    jobs.start()
    again = jobs.until(job["id"], "running")
    assert again["attempt"] == 1
    gateway = jobs.gateway
    gateway.stays = False
    gateway.expected.append("could not be written down")
    with locked(jobs.path):
        gateway.signal(signal.SIGTERM)
        assert gateway.wait(20) == 1
    jobs.start()
    assert jobs.until(job["id"], "running")["attempt"] == 2
    assert jobs.gateway.post(f"/gateway/jobs/{job['id']}/cancel", "").status == 202
    jobs.until(job["id"], "cancelled")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here; tests/jobs has the same with max_page_count")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def test_while_the_disk_is_full_new_jobs_are_refused_and_finished_ones_are_kept(simulate, jobs_on, small_disk):
    jobs = jobs_on(simulate(QUICK, SLOW), path=small_disk / "jobs.db")
    job = jobs.submit(model="slow")
    jobs.until(job["id"], "running")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    said = refused(jobs, within=20)
    assert "full" in said or "disk" in said
    assert eventually(lambda: jobs.simulator.stats()["running"] == 0, within=5)
    filler.unlink()
    assert jobs.until(job["id"], "succeeded")["attempt"] == 1
    accepted(jobs)
    assert jobs.intact()
    jobs.gateway.check(jobs.simulator)
    jobs.end()


def test_a_store_that_is_corrupt_at_the_start_is_said_so_and_used_when_it_is_whole(simulate, jobs_on, tmp_path):
    path = tmp_path / "jobs.db"
    path.write_bytes(b"this is no database" * 1000)
    jobs = jobs_on(simulate(QUICK), path=path)
    assert "not a database" in refused(jobs)
    assert jobs.gateway.get("/gateway/jobs").status == 503
    assert jobs.gateway.admin("/readyz").status == 200
    assert path.read_bytes().startswith(b"this is no database")  # it is somebody's
    path.unlink()
    accepted(jobs)


def test_a_store_whose_first_page_is_lost_is_refused_and_left_as_it_is(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK))
    accepted(jobs)
    jobs.end()
    with jobs.path.open("r+b") as file:
        file.write(os.urandom(4096))
    broken = jobs.path.read_bytes()
    jobs.start()
    refused(jobs)
    assert jobs.path.read_bytes() == broken
    jobs.path.unlink()
    accepted(jobs)


def test_a_store_that_was_taken_away_is_not_written_into_nothing(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK))
    first = jobs.submit()
    jobs.until(first["id"], "succeeded")
    jobs.path.rename(jobs.path.with_name("elsewhere.db"))
    accepted(jobs)  # into a new file at the configured place
    assert jobs.gateway.get(f"/gateway/jobs/{first['id']}").status == 404


def test_a_store_that_may_only_be_read_refuses_new_jobs(simulate, jobs_on, tmp_path):
    where = tmp_path / "only"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", where], capture_output=True).returncode:
        pytest.skip("a file system that is read-only cannot be mounted here")
    try:
        jobs = jobs_on(simulate(QUICK), path=where / "jobs.db")
        accepted(jobs)
        jobs.end()
        subprocess.run(["mount", "-o", "remount,ro", where], check=True)
        jobs.start()
        refused(jobs)
        subprocess.run(["mount", "-o", "remount,rw", where], check=True)
        accepted(jobs)
        jobs.gateway.check(jobs.simulator)
        jobs.end()
    finally:
        subprocess.run(["umount", "-l", where], check=True)
