"""What the tests of the queue share: calls of every API, a simulated Ollama whose permits can be held for as long
as a test likes, and in which order calls came to it."""

import json
import re

from dialects import call_of, looks_complete
from harness import eventually

# Never answers, and costs nothing while it does not.
HOLDER = "holder,load=0s,prompt=1h"
QUICK = "llama3,load=0s,prompt=0s,rate=0,tokens=3"
EMBEDS = "nomic-embed-text,embedding,dim=8,load=0s,prompt=0s"

EMBEDDINGS = {"embed": "/api/embed", "embeddings": "/api/embeddings", "v1_embeddings": "/v1/embeddings"}


def words_of(kind):
    """The call whose API has the same words for errors."""
    return {"embed": "chat", "embeddings": "chat", "v1_embeddings": "completions"}.get(kind, kind)


def call_to(kind, text, model="llama3", **more):
    """(target, body) of a generation or an embedding."""
    if kind not in EMBEDDINGS:
        if kind == "messages":
            more = {"max_tokens": 3, **more}  # it must say how many, and gets as many
        return call_of(kind, model, prompt=text, **more)
    return EMBEDDINGS[kind], {"model": model, "prompt" if kind == "embeddings" else "input": text, **more}


def user(name):
    """A client of its own, as a trusted front end names it."""
    return {"X-OpenWebUI-User-Id": name}


def order(simulator):
    """The calls marked "call-…" in their prompts, as they came upstream."""
    return [m[1] for r in simulator.requests() if (m := re.search(r"call-([\w.]+)", r.get("body", "")))]


class Calls:
    """Calls that are on their way, and permits that are held. `with` lets go of all of them."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.holders = []
        self.clients = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients + self.holders:  # those who wait first, or they would have their turn
            client.socket.close()

    def hold(self, count=1, model="holder"):
        """Takes so many permits. The calls that hold them end only when they are let go."""
        for _ in range(count):
            client = self.gateway.client()
            client.request("POST", "/api/generate", {"model": model, "prompt": "hold"})
            self.holders.append(client)
        assert eventually(lambda: self._held(model) == len(self.holders), within=5), self.gateway.queue()
        return self

    def _held(self, model):
        return sum(m["running"] for m in self.gateway.queue()["models"] if m["name"] == f"{model}:latest")

    def let_go(self, count=1):
        for _ in range(count):
            self.holders.pop().leave()

    def sent(self, kind, text, headers=(), query="", **more):
        """Sends a call and does not wait for anything."""
        target, body = call_to(kind, text, **more)
        client = self.gateway.client()
        client.kind, client.streams = kind, body.get("stream", False)
        client.request("POST", target + query, body, headers)
        self.clients.append(client)
        return client

    def queued(self, kind, text, headers=(), **more):
        """Sends a call and sees that it waits."""
        waiting = self.gateway.queue()["waiting"]
        client = self.sent(kind, text, headers, **more)
        self.gateway.until_waiting(waiting + 1)
        return client


def queue_statuses(answer):
    """Every payload that a stream told, whichever way it was asked for, in order."""
    found = []
    for line in answer.body.decode().splitlines():
        if '"queue_status"' in line:
            found.append(json.loads(line)["queue_status"])
        elif line.startswith("data: ") and '"waited_ms"' in line:
            found.append(json.loads(line[6:]))
    return found


def whole(client):
    """Reads a call's answer: is it the whole one, as its API ends one?"""
    answer = client.finish()
    return answer.status == 200 and answer.complete and (not client.streams or looks_complete(client.kind, answer))
