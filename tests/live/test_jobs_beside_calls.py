"""SPEC §10: a thousand waiting jobs add nothing that can be measured to a live call's time."""

# ctest: alone

import statistics
import time

from harness import eventually
from jobs_at_work import QUICK, chat

ROUNDS, CALLS = 6, 25


def median_call(jobs):
    times = []
    with jobs.gateway.client() as client:
        for _ in range(CALLS):
            began = time.perf_counter()
            answer = client.request("POST", "/api/chat", chat()["body"]).finish()
            times.append(time.perf_counter() - began)
            assert answer.status == 200
    return statistics.median(times)


def test_a_thousand_waiting_jobs_cost_a_live_call_nothing(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK, "holder,load=0s,prompt=1h"), {"jobs": {"max_concurrent": 1}})
    jobs.submit(model="holder")
    assert eventually(lambda: jobs.simulator.stats()["running"] == 1, within=10)
    without, having = [], []
    # In turns, so that whatever else the machine does strikes both.
    for _ in range(ROUNDS):
        without.append(median_call(jobs))
        made = jobs.submit_many(chat(f"call-{n}") for n in range(1000))
        having.append(median_call(jobs))
        assert jobs.count("queued") == 1000
        jobs.sql("DELETE FROM jobs WHERE state = 0")
        assert made and jobs.count("queued") in (0, 1000)
    print(f"{min(without) * 1e3:.2f} ms, {min(having) * 1e3:.2f} ms with a thousand waiting")
    assert min(having) <= 1.5 * min(without) + 0.0005, (without, having)
    jobs.command("cancel", jobs.list("?status=running")["jobs"][0]["id"])
    jobs.until_finished()
