"""SPEC §10: jobs over HTTP, from submitting to forgetting."""

import json
import re
import stat

import pytest

from harness import eventually
from jobs_at_work import FINISHED, QUICK, chat, events_of, pieces_of, text_of

SLOW = "slow,load=0s,prompt=50ms,rate=20,tokens=2000"
SHAPE = [
    "id", "status", "path", "batch", "priority", "attempt", "attempts", "created_at", "started_at", "finished_at",
    "heartbeat_at", "error",
]  # fmt: skip


@pytest.fixture
def jobs(simulate, jobs_on):
    return jobs_on(simulate(QUICK, SLOW))


def fails(answer, status, code):
    assert (answer.status, answer.json()["code"]) == (status, code), answer.raw
    return answer.json()["error"]


def test_a_job_is_acknowledged_runs_and_keeps_its_answer(jobs):
    answer = jobs.gateway.post("/gateway/jobs", chat("call-1", batch="night", priority="background"))
    assert answer.status == 202
    told = answer.json()
    assert list(told) == SHAPE and re.fullmatch("[0-9a-f]{32}", told["id"])
    assert answer.get("Location") == f"/gateway/jobs/{told['id']}"
    assert told["status"] in ("queued", "running") and told["batch"] == "night"
    job = jobs.until(told["id"], "succeeded")
    assert list(job) == [*SHAPE, "result"]
    assert job["attempt"] == 1 and job["error"] is None and job["heartbeat_at"] is None
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert job["result"]["message"]["content"] and job["result"]["done"]
    assert [(a["model"], a["upstream"], a["outcome"]) for a in job["attempts"]] == [("llama3:latest", "local", "ok")]
    direct = jobs.gateway.post("/api/chat", chat("call-1")["body"]).json()
    assert job["result"]["message"] == direct["message"]
    assert jobs.count("succeeded") == 1
    assert jobs.gateway.status()["jobs"] == {"queued": 0, "running": 0}
    assert stat.S_IMODE(jobs.path.stat().st_mode) == 0o600


def test_a_list_makes_many_and_a_listing_is_newest_first(jobs):
    made = jobs.submit_many(chat(f"call-{n}", batch="even" if n % 2 == 0 else "odd") for n in range(25))
    first = jobs.list()
    assert len(first["jobs"]) == 20 and list(first["jobs"][0]) == SHAPE
    assert [j["id"] for j in first["jobs"]] == [j["id"] for j in made[:4:-1]]
    newer = jobs.submit("one more")
    second = jobs.list(f"?cursor={first['next_cursor']}")
    assert [j["id"] for j in second["jobs"]] == [j["id"] for j in made[4::-1]] and second["next_cursor"] is None
    assert jobs.list("?limit=1")["jobs"][0]["id"] == newer["id"]
    assert len(jobs.list("?batch=even&limit=100")["jobs"]) == 13
    jobs.until_finished()
    assert len(jobs.list("?batch=odd&status=succeeded&limit=100")["jobs"]) == 12
    assert jobs.list("?status=failed")["jobs"] == jobs.list("?batch=none")["jobs"] == []
    for query in ("limit=101", "limit=0", "limit=x", "status=done", "cursor=x", "page=2", "batch=%zz"):
        fails(jobs.gateway.get(f"/gateway/jobs?{query}"), 400, "bad_request")


def test_what_is_no_job_is_refused_and_nothing_of_it_is_kept(jobs):
    for body, said in [
        ([chat(), {"path": "/api/tags", "body": {}}], "[1].path"), ({"path": "/api/chat"}, "body"), (b"{", "JSON"),
        (chat(model=None), "body: names no model"), (chat(priority="high"), "priority"), ([], "no job"),
        (chat(priorty="x"), 'did you mean "priority"?'),
    ]:  # fmt: skip
        assert said in fails(jobs.gateway.post("/gateway/jobs", body), 400, "bad_body")
    assert jobs.list()["jobs"] == []


def test_a_call_whose_client_prefers_not_to_wait_becomes_a_job(jobs):
    body = chat("call-x", model="nothing", stream=True)["body"]
    headers = {"Prefer": "wait=5, respond-async", "Authorization": "Bearer secret", "Cookie": "secret"}
    answer = jobs.gateway.post("/api/chat", body, headers)
    assert answer.status == 202 and answer.get("Preference-Applied") == "respond-async"
    job = jobs.until(answer.get("Location").rsplit("/", 1)[1], *FINISHED)
    assert job["status"] == "failed" and "not found" in job["error"] and job["result"] is None
    answer = jobs.gateway.post("/v1/chat/completions", chat()["body"], headers)
    job = jobs.until(answer.json()["id"], "succeeded")
    assert job["path"] == "/v1/chat/completions" and job["priority"] == "background"
    assert job["result"]["choices"][0]["message"]["content"]
    assert "secret" not in str(jobs.sql("SELECT * FROM jobs JOIN requests ON job = number"))
    again = {**headers, "Idempotency-Key": "k", "X-Gateway-Priority": "interactive"}
    first, second = (jobs.gateway.post("/api/chat", chat()["body"], again).json() for _ in range(2))
    assert first["id"] == second["id"] and first["priority"] == "interactive"
    other = jobs.gateway.post("/v1/chat/completions", chat("other")["body"], again)
    assert other.status == 409 and other.json()["error"]["code"] == "conflict"
    assert jobs.gateway.post("/api/chat", chat()["body"], {"Prefer": "wait=5"}).status == 200


def test_the_same_idempotency_key_is_the_same_job(jobs):
    first = jobs.submit("call-1", idempotency_key="k")
    assert jobs.submit("call-1", idempotency_key="k")["id"] == first["id"]
    refused = jobs.gateway.post("/gateway/jobs", [chat("call-2"), chat("call-3", idempotency_key="k")])
    fails(refused, 409, "conflict")
    assert len(jobs.list()["jobs"]) == 1


def test_a_waiting_and_a_running_job_are_cancelled_and_may_be_wanted_again(simulate, jobs_on):
    simulator = simulate(QUICK, SLOW)
    jobs = jobs_on(simulator, {"jobs": {"max_concurrent": 1}})
    running, waiting = jobs.submit(model="slow"), jobs.submit()
    assert eventually(lambda: simulator.stats()["running"] == 1, within=5)
    answer = jobs.gateway.post(f"/gateway/jobs/{waiting['id']}/cancel")
    assert (answer.status, answer.json()["status"]) == (200, "cancelled")
    fails(jobs.gateway.call("DELETE", f"/gateway/jobs/{running['id']}"), 409, "conflict")
    fails(jobs.gateway.post(f"/gateway/jobs/{running['id']}/retry"), 409, "conflict")
    assert jobs.gateway.post(f"/gateway/jobs/{running['id']}/cancel").status == 202
    job = jobs.until(running["id"], "cancelled")
    assert job["error"] is None and job["result"] is None and job["attempt"] == 1
    assert eventually(lambda: simulator.stats()["running"] == 0)
    fails(jobs.gateway.post(f"/gateway/jobs/{running['id']}/cancel"), 409, "conflict")
    assert jobs.gateway.post(f"/gateway/jobs/{waiting['id']}/retry").json()["status"] == "queued"
    assert jobs.until(waiting["id"], "succeeded")["attempt"] == 1
    assert jobs.gateway.call("DELETE", f"/gateway/jobs/{waiting['id']}").status == 204
    fails(jobs.gateway.get(f"/gateway/jobs/{waiting['id']}"), 404, "not_found")
    assert jobs.sql("SELECT count(*) FROM pieces") == [(0,)]


def test_a_job_that_fails_says_why(jobs):
    jobs.simulator.fault("error_line", "llama3", after=1, text="out of cheese", count=1)
    job = jobs.until(jobs.submit(stream=True)["id"], *FINISHED)
    assert (job["status"], job["error"]) == ("failed", "out of cheese")
    jobs.simulator.fault("reset_mid", "llama3", after=1, count=1)
    job = jobs.until(jobs.submit(stream=True)["id"], *FINISHED)
    assert job["status"] == "failed" and "cut short" in job["error"]
    assert [a["outcome"] for a in job["attempts"]] == ["truncated"]
    assert jobs.gateway.post(f"/gateway/jobs/{job['id']}/retry").status == 200
    job = jobs.until(job["id"], "succeeded")
    assert [a["outcome"] for a in job["attempts"]] == ["truncated", "ok"] and job["attempt"] == 2


def test_a_job_whose_client_wants_no_other_model_has_none(simulate, jobs_on):
    simulator = simulate(QUICK, SLOW)
    jobs = jobs_on(simulator, {"models": {"llama3": {"fallbacks": ["slow"]}}})
    simulator.fault("status", model="llama3", status=500, count=1)
    answer = jobs.gateway.post(
        "/api/chat", chat("call-1")["body"], {"Prefer": "respond-async", "X-Gateway-No-Fallback": "1"}
    )
    assert answer.status == 202
    job = jobs.until(answer.json()["id"], "failed")
    assert [a["model"] for a in job["attempts"]] == ["llama3:latest"]
    assert not [r for r in simulator.requests() if "x-gateway-no-fallback" in str(r["headers"]).lower()]


def test_a_job_waits_for_an_upstream_that_is_away_and_is_not_failed_for_it(simulate, jobs_on):
    simulator = simulate(QUICK)
    jobs = jobs_on(simulator, {"queue": {"hold_upstream": "200ms"}, "reconcile": {"interval": "100ms"}})
    simulator.stop()
    job = jobs.submit()
    assert eventually(lambda: jobs.sql("SELECT run FROM jobs") == [(2,)], within=40, step=0.2), jobs.show(job["id"])
    simulate(QUICK, port=simulator.port)
    assert jobs.until(job["id"], "succeeded", within=40)["attempt"] == 1


def test_without_a_key_a_job_is_known_by_its_id_alone(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK))
    job = jobs.submit()
    abroad = {"X-Forwarded-For": "198.51.100.7"}
    said = fails(jobs.gateway.get("/gateway/jobs", abroad), 403, "forbidden")
    assert "admin port" in said
    assert jobs.gateway.get(f"/gateway/jobs/{job['id']}", abroad).status == 200
    listed = jobs.gateway.admin("/gateway/jobs").json()
    assert [j["id"] for j in listed["jobs"]] == [job["id"]]
    assert jobs.gateway.admin(f"/gateway/jobs/{job['id'].upper()}").json()["id"] == job["id"]
    jobs.sql("UPDATE jobs SET owner = 'somebody'")
    fails(jobs.gateway.get(f"/gateway/jobs/{job['id']}"), 404, "not_found")
    assert jobs.list()["jobs"] == []
    assert jobs.gateway.admin(f"/gateway/jobs/{job['id']}").status == 200


def test_what_is_no_page_is_404_and_a_wrong_method_405(jobs):
    nobody = "0" * 32
    for method, target, status in [
        ("GET", f"/gateway/jobs/{nobody}", 404), ("POST", f"/gateway/jobs/{nobody}/cancel", 404),
        ("GET", f"/gateway/jobs/{nobody}/events", 404), ("DELETE", f"/gateway/jobs/{nobody}", 404),
        ("GET", "/gateway/jobs/", 404), ("GET", f"/gateway/jobs/{nobody}/x", 404), ("GET", "/gateway/jobsx", 404),
        ("GET", f"/gateway/jobs/{nobody}/retry", 405), ("PUT", "/gateway/jobs", 405),
        ("POST", f"/gateway/jobs/{nobody}", 405), ("POST", f"/gateway/jobs/{nobody}/events", 405),
    ]:  # fmt: skip
        fails(jobs.gateway.call(method, target), status, "not_found" if status == 404 else "bad_method")


def test_without_a_database_there_are_no_jobs_and_nobody_is_made_to_wait_for_one(pair):
    gateway, _ = pair
    assert "jobs.database" in fails(gateway.get("/gateway/jobs"), 404, "not_found")
    assert gateway.post("/api/chat", chat()["body"], {"Prefer": "respond-async"}).status == 200
    assert gateway.status()["jobs"] == {"queued": 0, "running": 0}


def test_finished_jobs_are_forgotten_after_their_time(simulate, jobs_on):
    jobs = jobs_on(simulate(QUICK), {"jobs": {"retention": "1m"}})
    old, new = jobs.submit(), jobs.submit()
    jobs.until_finished()
    jobs.sql("UPDATE jobs SET finished_at = finished_at - 61000 WHERE id = ?", old["id"])
    assert json.loads(jobs.command("reap", "--json"))["forgotten"] == 1
    assert [j["id"] for j in jobs.list()["jobs"]] == [new["id"]]
    assert jobs.sql("SELECT count(*) FROM requests") == [(1,)]


def test_events_tell_the_wait_then_the_pieces_then_the_end(simulate, jobs_on):
    jobs = jobs_on(simulate("slow,load=0s,prompt=50ms,rate=30,tokens=20", QUICK), {"jobs": {"max_concurrent": 1}})
    jobs.submit(model="slow", stream=True)
    job = jobs.submit(model="slow", stream=True)
    client = jobs.follow(job["id"])
    assert client.head().status == 200 and client.answer.get("Content-Type") == "text/event-stream"
    client.finish()
    client.socket.close()
    assert client.answer.complete
    events = events_of(client.answer.body)
    names = [name for _, name, _ in events]
    told = json.loads(events[0][2])
    assert names[0] == "queue_status" and told["status"] == "waiting" and told["request_id"] == job["id"]
    assert told["message"] and told["position"] >= 1
    assert names[-1] == "finished" and json.loads(events[-1][2])["status"] == "succeeded"
    assert names == sorted(names, key=["queue_status", "message", "finished"].index)
    result = jobs.show(job["id"])["result"]
    assert [p for p in pieces_of(events)] == result.splitlines()
    assert text_of(pieces_of(events)) and all(i for i, name, _ in events if name != "queue_status")
    # Whoever has heard the end need not come back.
    assert jobs.gateway.get(f"/gateway/jobs/{job['id']}/events", {"Last-Event-ID": events[-1][0]}).status == 204


def test_a_page_that_is_asked_with_the_wrong_method_says_which_it_takes(jobs):
    job = jobs.submit()["id"]
    for method, page, takes in [
        ("PUT", "", "GET, HEAD, POST"), ("POST", f"/{job}", "GET, HEAD, DELETE"), ("GET", f"/{job}/cancel", "POST"),
        ("POST", f"/{job}/events", "GET"),
    ]:  # fmt: skip
        answer = jobs.gateway.call(method, f"/gateway/jobs{page}")
        assert (answer.status, answer.get("Allow")) == (405, takes)


def test_an_idempotency_key_in_the_head_counts_for_one_job(jobs):
    key = {"Idempotency-Key": "k"}
    first, second = (jobs.gateway.post("/gateway/jobs", chat(), key) for _ in range(2))
    assert first.status == second.status == 202 and first.json()["id"] == second.json()["id"]
    fails(jobs.gateway.post("/gateway/jobs", chat("other"), key), 409, "conflict")
    fails(jobs.gateway.post("/gateway/jobs", chat(idempotency_key="other"), key), 400, "bad_request")
    fails(jobs.gateway.post("/gateway/jobs", [chat()], key), 400, "bad_request")
