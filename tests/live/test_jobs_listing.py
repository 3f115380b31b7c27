"""SPEC §10: the first page of a million jobs takes the time of a thousand."""

# ctest: alone
# ctest: timeout 900

import os
import time

from harness import PATIENCE, SANITIZED, eventually
from jobs_at_work import QUICK

MANY = int(os.environ.get("GATEWAY_JOBS_MANY", "100000" if SANITIZED else "1000000"))

# Finished jobs as they are left by a year of nights, straight into the file.
FILL = """
INSERT INTO jobs (id, state, attempt, run, created_at, started_at, finished_at, client, batch, target, model)
WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
SELECT printf('%032x', i), 2 + (i % 10 = 0), 1, 1, ?3 + i, ?3 + i, ?3 + i, '127.0.0.1', 'night-' || (i / 1000),
       '/api/chat', 'llama3:latest' FROM n
"""


def fill(jobs, first, until):
    now = int(time.time() * 1000) - 3_600_000
    jobs.sql("PRAGMA cache_size = -200000")
    jobs.sql(FILL, first, until, now)


def cost_of(jobs, target):
    """Seconds, the least of some: a busy machine only adds to what it costs."""
    times = []
    with jobs.gateway.client() as client:
        for _ in range(15 * PATIENCE):
            began = time.perf_counter()
            answer = client.request("GET", target).finish()
            times.append(time.perf_counter() - began)
            assert answer.status == 200
    return min(times)


def costs(jobs):
    middle = jobs.sql("SELECT max(number) / 2 FROM jobs")[0][0]
    some_id = jobs.sql("SELECT id FROM jobs WHERE number = ?", middle)[0][0]
    batch = jobs.sql("SELECT batch FROM jobs WHERE number = ?", middle)[0][0]
    return {
        "first page": cost_of(jobs, "/gateway/jobs"),
        "middle page": cost_of(jobs, f"/gateway/jobs?cursor={middle}"),
        "failed ones": cost_of(jobs, f"/gateway/jobs?status=failed&cursor={middle}"),
        "a batch": cost_of(jobs, f"/gateway/jobs?batch={batch}&status=succeeded"),
        "look-up": cost_of(jobs, f"/gateway/jobs/{some_id}"),
        "the queue": cost_of(jobs, "/gateway/queue"),
    }


def test_a_page_of_a_million_takes_the_time_of_a_page_of_a_thousand(simulate, jobs_on):
    many = MANY
    jobs = jobs_on(simulate(QUICK))
    fill(jobs, 1, 1001)
    few = costs(jobs)
    fill(jobs, 1001, many + 1)
    assert eventually(lambda: jobs.count("succeeded") + jobs.count("failed") == many, within=5)
    for what, cost in costs(jobs).items():
        print(f"{what}: {few[what] * 1e3:.2f} ms of 1000, {cost * 1e3:.2f} ms of {many}")
        assert cost <= 3 * few[what] + 0.001, f"{what}: {few[what] * 1e3:.2f} ms, then {cost * 1e3:.2f} ms"
    new = jobs.submit()
    assert jobs.list("?limit=5")["jobs"][0]["id"] == new["id"]
    jobs.until(new["id"], "succeeded")
    assert len(jobs.command("list").splitlines()) == 22
