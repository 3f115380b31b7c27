"""What the tests of models share: what the gateway says it knows, what the simulated Ollama says has happened, and
settings under which both are quick."""

import functools
import json

import pytest

from dialects import call_of
from harness import eventually, merged

# Whatever is looked at, verified or given up is so within tenths of a second.
QUICKLY = {"reconcile": {"interval": "200ms", "timeout": "300ms"}, "unload": {"verify_within": "2s", "retries": 2}}


@pytest.fixture
def simulate(simulate):
    """Imported by a test file: there, nothing is loaded from the beginning."""
    return functools.partial(simulate, there=False)


def quickly(*more):
    """The quick settings, and these laid over them."""
    whole = QUICKLY
    for one in more:
        whole = merged(whole, one)
    return whole


def full(name):
    return name if ":" in name else f"{name}:latest"


def line_of(gateway, name, upstream=None):
    """The model's line in /status; None when there is none."""
    for line in gateway.status()["models"]:
        if line["name"] == full(name) and upstream in (None, line["upstream"]):
            return line
    return None


def state_of(gateway, name, upstream=None):
    line = line_of(gateway, name, upstream)
    return line["state"] if line else "absent"


def becomes(gateway, name, state, upstream=None, within=3.0):
    """Waits until the status says so."""
    found = eventually(lambda: state_of(gateway, name, upstream) == state, within)
    assert found, f"{name} is {state_of(gateway, name, upstream)}, not {state}: {gateway.status()['models']}"


def drift(gateway):
    """How often models have appeared and vanished behind the gateway's back."""
    counted = gateway.status()["drift"]
    return {kind: counted[kind] for kind in ("appeared", "vanished")}


def ask(gateway, model, kind="generate", headers=(), **more):
    """One call in one piece, read to its end."""
    return gateway.post(*call_of(kind, model=model, **{"stream": False, **more}), headers)


def served(gateway, model, kind="generate", headers=(), **more):
    answer = ask(gateway, model, kind, headers, **more)
    assert answer.status == 200 and answer.complete, answer.raw
    return answer


def told(simulator):
    """What was asked of the simulated Ollama that loads, runs or unloads a model, in order: (what, model, body)."""
    found = []
    for request in simulator.requests():
        if request["method"] != "POST" or not request["body"].startswith("{"):
            continue
        body = json.loads(request["body"])
        target = request["target"]
        if target in ("/api/generate", "/api/chat"):
            empty = not body.get("prompt") and not body.get("messages")
        elif target in ("/api/embed", "/api/embeddings"):
            empty = not body.get("input") and not body.get("prompt")
        elif target.startswith("/v1/"):
            empty = False
        else:
            continue
        gives_up = body.get("keep_alive") in (0, "0", "0s")
        what = "run" if not empty else "unload" if gives_up and target != "/api/embed" else "load"
        found.append((what, full(body["model"]), body))
    return found


def steps(simulator):
    """The same without bodies: [("load", "llama3:latest"), ("run", "llama3:latest")]."""
    return [(what, model) for what, model, _ in told(simulator)]


def bodies(simulator, what):
    return [body for kind, _, body in told(simulator) if kind == what]


def loads(simulator, name=None, result="ok"):
    """The loads that have ended so; all of them with result=None."""
    return [
        load
        for load in simulator.stats()["loads"]["list"]
        if name in (None, load["model"].removesuffix(":latest"), load["model"]) and result in (None, load["result"])
    ]


def unloads(simulator, reason=None):
    return [one for one in simulator.stats()["unloads"]["list"] if reason in (None, one["reason"])]


def nothing_was_disturbed(simulator):
    """No load while calls of another model ran, and nothing was told to go while calls of it ran."""
    for load in loads(simulator, result=None):
        assert load["beside"] in ([], [load["model"]]), load
    for one in unloads(simulator):
        assert not one["asked_while_busy"], one


def longest_passed(arrivals, starts):
    """Marks of calls in the order in which they came and in which they started, the first character their model. Of
    all calls, while each stood first of its model: how many of another one that had come later started before it."""
    came = {mark: n for n, mark in enumerate(arrivals)}
    waiting = {}
    for mark in arrivals:
        waiting.setdefault(mark[0], []).append(mark)
    passed = dict.fromkeys(waiting, 0)
    worst = 0
    for mark in starts:
        waiting[mark[0]].remove(mark)
        passed[mark[0]] = 0
        for other, heads in waiting.items():
            if other != mark[0] and heads and came[heads[0]] < came[mark]:
                passed[other] += 1
                worst = max(worst, passed[other])
    return worst
