"""What the tests of jobs share: a gateway with a job store of its own that can be ended and started again on it,
jobs as their users ask for them, and the store's file looked at from outside."""

import contextlib
import json
import signal
import sqlite3
import subprocess

import pytest

from harness import BUILD, PATIENCE, eventually

FINISHED = {"succeeded", "failed", "cancelled"}
LOST = "the gateway stopped while this job was running"
# A generation that takes as long as a test likes: `tokens` at `rate` a second.
QUICK = "llama3,load=0s,prompt=0s,rate=0,tokens=3"


def chat(prompt="hello", model="llama3", path="/api/chat", stream=False, **more):
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
    return {"path": path, "body": body, **more}


@contextlib.contextmanager
def locked(path):
    """Another process has the store for itself."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("COMMIT")


class Jobs:
    """A store, and the gateway that works on it now."""

    def __init__(self, serve, simulator, path, config):
        self._serve, self.simulator, self.path = serve, simulator, path
        self.config = {**config, "jobs": {"database": str(path), **config.get("jobs", {})}}
        self.gateway = None

    def start(self, **more):
        self.gateway = self._serve(self.simulator, self.config, **more)
        return self

    def end(self, how=signal.SIGTERM):
        """Ends the gateway; its store stays. The exit code."""
        self.gateway.stays = False
        self.gateway.signal(how)
        code = self.gateway.wait(15)
        assert how == signal.SIGKILL or code == 0, self.gateway.tail()
        return code

    # --- over HTTP ---

    def submit(self, *args, **more):
        """The job, acknowledged."""
        answer = self.gateway.post("/gateway/jobs", chat(*args, **more))
        assert answer.status == 202, answer.raw
        return answer.json()

    def submit_many(self, jobs):
        answer = self.gateway.post("/gateway/jobs", list(jobs))
        assert answer.status == 202, answer.raw
        return answer.json()["jobs"]

    def show(self, job_id):
        answer = self.gateway.get(f"/gateway/jobs/{job_id}")
        assert answer.status == 200, answer.raw
        return answer.json()

    def list(self, query=""):
        answer = self.gateway.get(f"/gateway/jobs{query}")
        assert answer.status == 200, answer.raw
        return answer.json()

    def until(self, job_id, *states, within=15):
        seen = eventually(lambda: (j := self.show(job_id))["status"] in states and j, within)
        assert seen, self.show(job_id)
        return seen

    def count(self, state):
        return self.gateway.metrics().value("jobs", state=state)

    def until_finished(self, within=60):
        at_rest = eventually(lambda: self.count("queued") == self.count("running") == 0, within, step=0.1)
        assert at_rest, self.list()

    def follow(self, job_id, last=None):
        """A client that follows it."""
        client = self.gateway.client()
        client.request("GET", f"/gateway/jobs/{job_id}/events", headers={"Last-Event-ID": last} if last else {})
        return client

    # --- the command line, and the file ---

    def command(self, *arguments, code=0, **more):
        config = self.gateway.config_file
        done = subprocess.run(
            [BUILD / "ollama-gateway", "jobs", *map(str, arguments), "--config", config],
            capture_output=True, text=True, timeout=60 * PATIENCE, **more,
        )  # fmt: skip
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def sql(self, text, *values):
        with sqlite3.connect(self.path, timeout=30) as db:
            rows = db.execute(text, values).fetchall()
        db.close()
        return rows

    def intact(self):
        return self.sql("PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def jobs_on(serve, tmp_path):
    """jobs_on(simulator, {"jobs": {"max_concurrent": 5}}) → Jobs, started."""

    def start(simulator, config=None, path=None):
        return Jobs(serve, simulator, path or tmp_path / "jobs.db", config or {}).start()

    return start


def events_of(text):
    """(id, name, data) of each event in the bytes of a stream, whole ones only."""
    found = []
    for block in text.decode().split("\n\n")[:-1]:
        fields = dict.fromkeys(["id", "event", "data"])
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value if fields.get(name) is None else fields[name] + "\n" + value
        found.append((fields["id"], fields["event"] or "message", fields["data"]))
    return found


def pieces_of(events):
    return [data for _, name, data in events if name == "message"]


def text_of(pieces):
    """What a chat's NDJSON pieces say."""
    return "".join(json.loads(p)["message"]["content"] for p in pieces)
