"""What the matrix is run in: one simulated Ollama with a model for each row, a gateway for each scenario, and permits
that can be held until all clients wait."""

import contextlib
import time

from harness import Gateway, Simulator, eventually, free_port
from rows import ROWS

TOKENS = 12
FLAGS = ["--num-parallel", 64, "--max-loaded", 0, "--max-queue", 4096, "--keep-alive", "1h"]
PERMITS, EMBEDDINGS = 3, 1
PERMITS_SET = {"max_concurrent": PERMITS, "max_concurrent_embeddings": EMBEDDINGS}

# Waiting is told early and often, so that a short wait has all of it.
QUICK_QUEUE = {"grace": "200ms", "heartbeat": "200ms", "commit_whole": "400ms", "status_interval": "200ms"}


def start_simulator(load="0s"):
    models = [
        "llama3,load=0s,prompt=0s,rate=0,tokens=3",
        "holder,load=0s,prompt=1h",
        "embed-holder,embedding,load=0s,prompt=1h",
    ]
    for row in ROWS:
        embedding = ",embedding,dim=8" if row.form == "embed" else ""
        models.append(f"{row.model},load={load},prompt=10ms,rate=100,tokens={TOKENS}{embedding}")
    return Simulator.start(*models, flags=FLAGS)


@contextlib.contextmanager
def gateway_before(simulator, config=None, **upstream):
    """A gateway that is at rest and clean afterwards; what the scenario did to the simulator is undone."""
    loaded = {one["model"].removesuffix(":latest") for one in simulator.stats()["loaded"]}
    for model in simulator.there:
        if model not in loaded:  # a scenario before had it unloaded
            simulator.load_behind_back(model)
    gateway = Gateway.start(simulator, {**(config or {}), "upstream": PERMITS_SET | upstream})
    try:
        yield gateway
        simulator.clear_faults()
        rests = eventually(lambda: (q := gateway.queue())["waiting"] == 0 and q["running"] == 0, within=10)
        assert rests, f"still in flight: {gateway.queue()}"
        assert eventually(lambda: gateway.close_wait() == 0, within=5), "sockets in CLOSE_WAIT"
        assert eventually(lambda: simulator.stats()["in_flight"] == 0, within=10), simulator.stats()
        assert gateway.post("/api/generate", {"model": "llama3", "prompt": "still there?"}).complete
        gateway.check_log()
        assert gateway.stop() == 0, gateway.tail()
    finally:
        simulator.clear_faults()
        gateway.discard()


@contextlib.contextmanager
def held(gateway, permits=PERMITS, embeddings=EMBEDDINGS):
    """All permits are taken, until the block ends."""
    holders = []
    for target, body, count in (
        ("/api/generate", {"model": "holder", "prompt": "hold"}, permits),
        ("/api/embed", {"model": "embed-holder", "input": "hold"}, embeddings),
    ):
        for _ in range(count):
            holders.append(gateway.client())
            holders[-1].request("POST", target, body)
    try:
        gateway.until_running(permits + embeddings, within=10)
        yield
    finally:
        for holder in holders:
            holder.socket.close()


def while_held(gateway, drivers, rows, seconds, meanwhile=lambda: None, **order):
    """Starts all rows when no permit is free, lets them wait for so long, and returns their verdicts."""
    with held(gateway):
        calls = {row: drivers.start(row, gateway.url, **order) for row in rows}
        gateway.until_waiting(len(rows), within=60)
        time.sleep(seconds)
        meanwhile()
    return {row: call.verdict() for row, call in calls.items()}


def at_once(url, drivers, rows, **order):
    calls = {row: drivers.start(row, url, **order) for row in rows}
    return {row: call.verdict() for row, call in calls.items()}


__all__ = [
    "EMBEDDINGS", "PERMITS", "QUICK_QUEUE", "TOKENS", "at_once", "free_port", "gateway_before", "held",
    "start_simulator", "while_held",
]  # fmt: skip
