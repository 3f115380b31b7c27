"""What the tests of the queue share: calls of every API, a simulated Ollama whose permits can be held for as long
as a test likes, and in which order calls came to it."""

import json
import re

# Never answers, and costs nothing while it does not.
HOLDER = "holder,load=0s,prompt=1h"
QUICK = "llama3,load=0s,prompt=0s,rate=0,tokens=3"
EMBEDS = "nomic-embed-text,embedding,dim=8,load=0s,prompt=0s"

# API → path and body; `stream` only where a stream is not what one gets anyway.
STREAMS = {
    "generate": ("/api/generate", lambda model, text: {"model": model, "prompt": text}),
    "chat": ("/api/chat", lambda model, text: {"model": model, "messages": _said(text)}),
    "v1-chat": ("/v1/chat/completions", lambda model, text: {"model": model, "messages": _said(text), "stream": True}),
    "v1-completions": ("/v1/completions", lambda model, text: {"model": model, "prompt": text, "stream": True}),
    "responses": ("/v1/responses", lambda model, text: {"model": model, "input": text, "stream": True}),
    "messages": (
        "/v1/messages",
        lambda model, text: {"model": model, "messages": _said(text), "max_tokens": 3, "stream": True},
    ),
}
ONE_PIECE = {
    name: (path, lambda model, text, body=body: {**body(model, text), "stream": False})
    for name, (path, body) in STREAMS.items()
}
EMBEDDINGS = {
    "embed": ("/api/embed", lambda model, text: {"model": model, "input": text}),
    "embeddings": ("/api/embeddings", lambda model, text: {"model": model, "prompt": text}),
    "v1-embeddings": ("/v1/embeddings", lambda model, text: {"model": model, "input": text}),
}


def _said(text):
    return [{"role": "user", "content": text}]


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
        for client in self.holders + self.clients:
            client.socket.close()

    def hold(self, count=1, model="holder"):
        """Takes so many permits. The calls that hold them end only when they are let go."""
        running = self.gateway.queue()["running"]
        for _ in range(count):
            client = self.gateway.client()
            client.request("POST", "/api/generate", {"model": model, "prompt": "hold"})
            self.holders.append(client)
        self.gateway.until_running(running + count)
        return self

    def let_go(self, count=1):
        for _ in range(count):
            self.holders.pop().leave()

    def sent(self, api, text, headers=(), model="llama3", query="", **body):
        """Sends a call and does not wait for anything."""
        path, shape = {**EMBEDDINGS, **STREAMS}[api] if isinstance(api, str) else api
        client = self.gateway.client()
        client.request("POST", path + query, {**shape(model, text), **body}, headers)
        self.clients.append(client)
        return client

    def queued(self, api, text, headers=(), **more):
        """Sends a call and sees that it waits."""
        waiting = self.gateway.queue()["waiting"]
        client = self.sent(api, text, headers, **more)
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


def told_whole(answer):
    """Did the answer end as its API ends one?"""
    tail = answer.body[-4096:]
    marks = (b'"done":true', b"data: [DONE]", b"response.completed", b"message_stop")
    return answer.complete and answer.status == 200 and any(mark in tail for mark in marks)
