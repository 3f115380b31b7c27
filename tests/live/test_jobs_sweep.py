"""SPEC §10: what nobody runs is found within one sweep, each 30 s, without being asked for."""

# ctest: soak

import time

from harness import eventually
from jobs_at_work import QUICK


def test_what_nobody_runs_is_found_within_one_sweep_without_being_asked(simulate, jobs_on):
    jobs = jobs_on(simulate("slow,load=0s,prompt=1h", QUICK), {"jobs": {"max_concurrent": 2}})
    running, lost = jobs.submit(model="slow"), jobs.submit()
    jobs.until(lost["id"], "succeeded")
    jobs.until(running["id"], "running")
    mine = "SELECT runner FROM jobs WHERE state = 1"
    jobs.sql(
        f"UPDATE jobs SET state = 1, finished_at = NULL, heartbeat_at = ?, runner = ({mine}) WHERE id = ?",
        int(time.time() * 1000), lost["id"],
    )  # fmt: skip
    assert jobs.show(lost["id"])["status"] == "running"
    assert eventually(lambda: jobs.show(lost["id"])["status"] != "running", within=32, step=0.2)
    jobs.gateway.post(f"/gateway/jobs/{running['id']}/cancel")
    jobs.until_finished()
