"""SPEC §2, §10: the command line works on the job store whether a server runs or not, and a night's batch survives
whatever happens to the server."""

# ctest: timeout 900

import json
import os
import signal
import subprocess
import time

import pytest

from harness import BUILD, PATIENCE, eventually
from jobs_at_work import QUICK, chat

HOLDER = "holder,load=0s,prompt=1h"


def lines_file(path, jobs):
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs))
    return path


def test_jobs_are_submitted_listed_shown_and_ended_while_the_server_runs(simulate, jobs_on, tmp_path):
    jobs = jobs_on(simulate(QUICK, HOLDER), {"jobs": {"max_concurrent": 1}})
    file = lines_file(tmp_path / "night.jsonl", [chat("a"), chat("b", idempotency_key="own"), chat("c", "holder")])
    told = json.loads(jobs.command("submit", file, "--batch", "n", "--json"))
    assert told == {"batch": "n", "submitted": 3, "known": 0}
    assert eventually(lambda: jobs.simulator.stats()["running"] == 1, within=10)
    told = json.loads(jobs.command("submit", file, "--batch", "n", "--json"))
    assert told == {"batch": "n", "submitted": 0, "known": 3}
    assert eventually(lambda: jobs.sql("SELECT count(*) FROM jobs WHERE state = 1 AND started_at > 0") == [(1,)])
    table = jobs.command("list", "--batch", "n").splitlines()
    assert table[0].split() == ["ID", "STATUS", "AGE", "TOOK", "TRY", "MODEL", "BATCH", "ERROR"]
    assert [line.split()[1] for line in table[1:]] == ["running", "succeeded", "succeeded"]
    listed = json.loads(jobs.command("list", "--json", "--status", "running"))
    held = listed["jobs"][0]["id"]
    assert listed == jobs.list("?status=running")
    results = [json.loads(line) for line in jobs.command("results", "--batch", "n").splitlines()]
    assert [r["idempotency_key"] for r in results] == ["n:1", "own"]
    assert all(r["status"] == "succeeded" and r["result"]["message"]["content"] for r in results)
    shown = jobs.command("show", results[0]["id"])
    assert "succeeded" in shown and "llama3:latest" in shown
    assert json.loads(jobs.command("show", results[0]["id"], "--json")) == jobs.show(results[0]["id"])
    # A running one is asked for through the store.
    assert jobs.command("cancel", held) == "cancelled: 1\n"
    jobs.until(held, "cancelled", within=5)
    assert eventually(lambda: jobs.simulator.stats()["running"] == 0)
    jobs.simulator.set_model("holder", prompt_ms=0, load_ms=0)
    assert jobs.command("retry", "--batch", "n") == "queued_again: 1\n"
    jobs.until(held, "succeeded")
    assert "no job" in subprocess.run(
        [BUILD / "ollama-gateway", "jobs", "show", "0" * 32, "--config", jobs.gateway.config_file],
        capture_output=True, text=True,
    ).stderr  # fmt: skip


def test_jobs_are_worked_on_while_no_server_runs(simulate, jobs_on, tmp_path):
    jobs = jobs_on(simulate(QUICK))
    jobs.submit()
    jobs.until_finished()
    jobs.end()
    file = lines_file(tmp_path / "x.jsonl", [chat(str(n)) for n in range(5)])
    batch = json.loads(jobs.command("submit", file, "--json"))["batch"]
    assert batch.startswith("x-")
    queued = json.loads(jobs.command("list", "--json", "--batch", batch))["jobs"]
    assert [j["status"] for j in queued] == ["queued"] * 5
    jobs.command("cancel", queued[0]["id"])
    assert json.loads(jobs.command("reap", "--json"))["failed"] == 0
    jobs.start()
    assert eventually(lambda: jobs.count("succeeded") == 5, within=15)
    assert jobs.show(queued[0]["id"])["status"] == "cancelled"


def test_a_file_with_mistakes_submits_nothing_and_tells_all_of_them(simulate, jobs_on, tmp_path):
    jobs = jobs_on(simulate(QUICK))
    file = tmp_path / "bad.jsonl"
    file.write_text(json.dumps(chat()) + '\n{"path": "/api/tags"}\n\nnonsense\n')
    run = subprocess.run(
        [BUILD / "ollama-gateway", "jobs", "submit", file, "--config", jobs.gateway.config_file],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 2 and ":2: path: must be" in run.stderr and ":4: is not valid JSON" in run.stderr
    assert jobs.list()["jobs"] == []


def test_somebody_at_a_terminal_sees_how_far_it_is(simulate, jobs_on, tmp_path):
    jobs = jobs_on(simulate(QUICK))
    file = lines_file(tmp_path / "x.jsonl", [chat(str(n)) for n in range(7)])
    terminal, its_end = os.openpty()
    jobs_of_terminal = [BUILD / "ollama-gateway", "jobs", "submit", file, "--wait", "--config", jobs.gateway.config_file]
    subprocess.run(jobs_of_terminal, stdout=subprocess.DEVNULL, stderr=its_end, timeout=60 * PATIENCE, check=True)
    os.close(its_end)
    seen = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert "[" + 40 * "#" + "] 7/7" in seen and "0 running, 0 failed" in seen


def test_without_a_store_the_command_says_so(pair):
    gateway, _ = pair
    run = subprocess.run(
        [BUILD / "ollama-gateway", "jobs", "list", "--config", gateway.config_file], capture_output=True, text=True
    )
    assert run.returncode == 2 and "jobs.database" in run.stderr


def test_a_night_s_batch_survives_three_stops_and_a_kill(simulate, jobs_on, tmp_path):
    lines = 2000
    simulator = simulate("llama3,load=0s,prompt=1ms,rate=0,tokens=3")
    jobs = jobs_on(simulator, {"upstream": {"max_concurrent": 9}})
    file = lines_file(tmp_path / "night.jsonl", (chat(f"call-{n}") for n in range(lines)))
    config = jobs.gateway.config_file
    submitting = subprocess.Popen(
        [BUILD / "ollama-gateway", "jobs", "submit", file, "--batch", "night", "--wait", "--config", config],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for share, how in [(0.2, signal.SIGTERM), (0.4, signal.SIGTERM), (0.6, signal.SIGKILL), (0.8, signal.SIGTERM)]:
        assert eventually(lambda share=share: jobs.count("succeeded") >= share * lines, within=120, step=0.02)
        jobs.end(how)
        jobs.start(warm=False)
    said, complaints = submitting.communicate(timeout=180 * PATIENCE)
    assert submitting.returncode == 0, complaints
    assert said == f"submitted {lines} jobs, batch night\n"
    results = [json.loads(line) for line in jobs.command("results", "--batch", "night").splitlines()]
    assert len(results) == lines and {r["status"] for r in results} == {"succeeded"}
    assert [r["idempotency_key"] for r in results] == [f"night:{n + 1}" for n in range(lines)]
    assert all(r["result"]["done"] for r in results)
    assert jobs.sql("SELECT count(*) FROM jobs WHERE attempt > 2") == [(0,)]
    assert jobs.intact()


@pytest.mark.parametrize("permits", [1, 3])
def test_live_calls_overtake_waiting_jobs_and_find_a_permit(simulate, jobs_on, permits):
    simulator = simulate("steady,load=0s,prompt=0s,rate=50,tokens=25", QUICK)
    jobs = jobs_on(simulator, {"upstream": {"max_concurrent": permits}})
    jobs.submit_many(chat(f"call-{n}", "steady") for n in range(1000))
    assert eventually(lambda: simulator.stats()["running"] == max(1, permits - 1), within=10)
    times = []
    for _ in range(6):
        began = time.monotonic()
        answer = jobs.gateway.post("/api/chat", chat()["body"])
        times.append(time.monotonic() - began)
        assert answer.status == 200 and answer.complete
        assert simulator.stats()["running"] <= permits
    # With one permit it waits for the job that has it; with more there is one for it.
    assert sorted(times)[len(times) // 2] < (2.0 if permits == 1 else 0.3) * PATIENCE, times
    assert jobs.count("queued") > 900
    jobs.sql("UPDATE jobs SET state = 4, finished_at = created_at WHERE state = 0")
    jobs.until_finished()


def run(jobs, *arguments):
    command = [BUILD / "ollama-gateway", "jobs", *arguments, "--config", jobs.gateway.config_file]
    return subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE)


def test_whoever_waits_for_a_batch_is_told_which_jobs_failed_and_why(simulate, jobs_on, tmp_path):
    jobs = jobs_on(simulate(QUICK))
    file = lines_file(tmp_path / "x.jsonl", [chat("a"), chat("b", "nobody")])
    done = run(jobs, "submit", file, "--batch", "n", "--wait")
    (failed,) = jobs.list("?status=failed")["jobs"]
    assert done.returncode == 1
    assert f"job {failed['id']} (n:2) failed: {failed['error']}" in done.stderr


def test_show_needs_an_id_and_takes_it_in_capitals(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK))
    job = jobs.submit()
    shown = run(jobs, "show")
    assert shown.returncode == 2 and "name jobs" in shown.stderr
    assert job["id"] in jobs.command("show", job["id"].upper())
