"""SPEC §10 at its full size: a million finished jobs, a hundred kills, a worker that dies unseen."""

# ctest: soak
# ctest: alone
# ctest: timeout 3600

import test_jobs_listing
import test_jobs_restart
from harness import eventually
from jobs_at_work import QUICK


def test_a_page_of_a_million_takes_the_time_of_a_page_of_a_thousand(simulate, jobs_on):
    test_jobs_listing.test_a_page_of_many_takes_the_time_of_a_page_of_a_thousand(simulate, jobs_on, 1_000_000)


def test_no_acknowledged_job_is_lost_by_a_hundred_kills(simulate, jobs_on, monkeypatch):
    monkeypatch.setattr(test_jobs_restart, "KILLS", 100)
    test_jobs_restart.test_no_acknowledged_job_is_lost_by_kills_and_none_runs_twice_uncounted(simulate, jobs_on)


def test_what_nobody_runs_is_found_within_one_sweep_without_being_asked(simulate, jobs_on):
    jobs = jobs_on(simulate("slow,load=0s,prompt=1h", QUICK), {"jobs": {"max_concurrent": 2}})
    running, lost = jobs.submit(model="slow"), jobs.submit()
    jobs.until(lost["id"], "succeeded")
    jobs.until(running["id"], "running")
    mine = "SELECT runner FROM jobs WHERE state = 1"
    jobs.sql(f"UPDATE jobs SET state = 1, finished_at = NULL, runner = ({mine}) WHERE id = ?", lost["id"])
    assert jobs.show(lost["id"])["status"] == "running"
    assert eventually(lambda: jobs.show(lost["id"])["status"] != "running", within=32, step=0.2)
    jobs.gateway.post(f"/gateway/jobs/{running['id']}/cancel")
    jobs.until_finished()
