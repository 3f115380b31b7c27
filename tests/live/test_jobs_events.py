"""SPEC §10: a job's events, cut and gone on with, over restarts too."""

import concurrent.futures
import json
import signal

from harness import eventually
from jobs_at_work import events_of, pieces_of, text_of

SLOW = "slow,load=0s,prompt=50ms,rate=25,tokens=60"
LONG = "long,load=0s,prompt=50ms,rate=13,tokens=160"  # its pieces are written five times a second


def some_events(client, wanted):
    """Reads until so many whole pieces are there; all events that came, and whether the stream has ended."""
    while True:
        events = events_of(client.answer.body)
        if len(pieces_of(events)) >= wanted or client.piece() is None:
            return events, client.answer.ended is not None


def followed_in_cuts(jobs, job_id, cuts, each):
    """The events a client gets whose connection is cut so often."""
    seen, last, ended = [], None, False
    while not ended:
        client = jobs.follow(job_id, last)
        assert client.head().status == 200
        events, ended = some_events(client, each if cuts > 0 else 10**9)
        client.leave("rst" if cuts % 2 else "fin")
        cuts -= 1
        seen += events
        last = next((i for i, _, _ in reversed(events) if i), last)
    return seen, cuts


def test_a_stream_cut_twenty_times_and_gone_on_with_is_the_text_of_an_uncut_one(simulate, jobs_on):
    jobs = jobs_on(simulate(LONG, "llama3,load=0s,prompt=0s,rate=0,tokens=3"), {"upstream": {"max_concurrent": 4}})
    made = [jobs.submit(model="long", stream=True, path=path) for path in ("/api/chat", "/v1/chat/completions")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        followed = list(pool.map(lambda job: (jobs.follow(job["id"]), followed_in_cuts(jobs, job["id"], 20, 1)), made))
    for job, (uncut, (seen, left)) in zip(made, followed):
        uncut.finish()
        uncut.socket.close()
        assert left < 0, f"{left} cuts were not made"
        whole = events_of(uncut.answer.body)
        told = [e for e in whole if e[1] != "queue_status"]
        assert [e for e in seen if e[1] != "queue_status"] == told
        assert len(pieces_of(told)) >= 160 and "restarted" not in [name for _, name, _ in seen]
        # And once more, of a job that has finished: everything, or what is behind any id.
        again = events_of(jobs.gateway.get(f"/gateway/jobs/{job['id']}/events").body)
        assert again == told
        rest = jobs.gateway.get(f"/gateway/jobs/{job['id']}/events", {"Last-Event-ID": told[7][0]})
        assert events_of(rest.body) == told[8:]


def test_whoever_follows_a_job_over_a_kill_is_told_that_it_began_anew(simulate, jobs_on):
    jobs = jobs_on(simulate(SLOW, "llama3,load=0s,prompt=0s,rate=0,tokens=3"))
    job = jobs.submit(model="slow", stream=True)
    client = jobs.follow(job["id"])
    client.head()
    before, _ = some_events(client, 5)
    last = [i for i, _, _ in before if i][-1]
    jobs.end(signal.SIGKILL)
    client.finish()
    assert not client.answer.complete
    client.socket.close()
    jobs.start()
    client = jobs.follow(job["id"], last)
    events = events_of(client.finish().body)
    client.socket.close()
    names = [name for _, name, _ in events if name != "queue_status"]
    assert names[0] == "restarted" and names[-1] == "finished" and names.count("restarted") == 1
    assert json.loads(events[-1][2])["attempt"] == 2
    assert text_of(pieces_of(events)) == text_of(jobs.show(job["id"])["result"].splitlines())


def test_whoever_follows_a_job_that_is_cancelled_or_removed_is_told(simulate, jobs_on):
    jobs = jobs_on(simulate(SLOW, "llama3,load=0s,prompt=0s,rate=0,tokens=3"), {"jobs": {"max_concurrent": 1}})
    running, waiting = (jobs.submit(model="slow", stream=True) for _ in range(2))
    follow_running, follow_waiting = jobs.follow(running["id"]), jobs.follow(waiting["id"])
    follow_waiting.head()
    follow_running.head()
    some_events(follow_running, 3)
    jobs.gateway.call("DELETE", f"/gateway/jobs/{waiting['id']}")
    jobs.gateway.post(f"/gateway/jobs/{running['id']}/cancel")
    gone = events_of(follow_waiting.finish().body)[-1]
    assert gone[1] == "removed" and json.loads(gone[2]) == {"id": waiting["id"]}
    last = events_of(follow_running.finish().body)[-1]
    assert last[1] == "finished" and json.loads(last[2])["status"] == "cancelled"
    for client in (follow_running, follow_waiting):
        assert client.answer.complete
        client.socket.close()
    assert eventually(lambda: jobs.simulator.stats()["running"] == 0)
