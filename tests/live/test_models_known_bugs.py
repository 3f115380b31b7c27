"""Ollama's own open bugs, all at once: requests that leak when their client leaves in its queue (#17044), slots lost in
blocked writes (#17131), evictions that are taken back (#17408), reloads under load (#14407). Directly a thousand
calls wedge it; through the gateway every call whose client stays completes."""

# ctest: timeout 600

import asyncio
import random
import time

from dialects import call_of, looks_complete
from harness import PATIENCE, AsyncClient
from queueing import user
from residents import loads, quickly, unloads

CALLS = 1000
BUGS = ["--bug-leak-queued", "--bug-slot-leak", "--bug-evict-deadlock", "--send-buffer", 4096]
MODELS = [
    "a,size=6GB,load=60ms,prompt=4ms,rate=1000,tokens=12",
    "b,size=6GB,load=60ms,prompt=4ms,rate=1000,tokens=12",
]
FLAGS = ["--vram", "10GB", "--num-parallel", 2, "--keep-requests", 0, *BUGS]


class Caller:
    """One call: a model, one of two contexts, a keep_alive of its own; a third of them leave at some moment."""

    def __init__(self, number, chance, over):
        self.number = number
        self.starts = chance.uniform(0, over)
        self.stays = chance.expovariate(1 / 0.15) if chance.random() < 0.33 else None
        self.how = chance.choice(["fin", "rst"])
        self.kind = chance.choice(["chat", "generate"])
        options = {"num_ctx": chance.choice([2048, 8192])}
        if chance.random() < 0.05:  # a long answer that nobody reads: writes block
            options["num_predict"] = 2000
        self.call = call_of(self.kind, chance.choice("ab"), options=options, keep_alive="5m")
        self.result = None

    async def run(self, address, patience):
        await asyncio.sleep(self.starts)
        client = AsyncClient(*address)
        try:
            await client.open()
            await client.request("POST", *self.call, user(str(self.number % 50)))
            answer = await asyncio.wait_for(client.finish(), patience if self.stays is None else self.stays)
            good = answer.status == 200 and answer.complete and looks_complete(self.kind, answer)
            self.result = "served" if good else f"{answer.status} {answer.raw[-300:]!r}"
        except asyncio.TimeoutError:
            self.result = "left" if self.stays is not None else "never served"
        except OSError as error:
            self.result = repr(error)
        client.leave(self.how)


def thousand(address, over, patience):
    chance = random.Random(17408)
    callers = [Caller(number, chance, over) for number in range(CALLS)]

    async def all_of_them():
        await asyncio.gather(*(caller.run(address, patience) for caller in callers))

    asyncio.run(all_of_them())
    return [caller for caller in callers if caller.stays is None]


def test_directly_it_wedges(simulate):
    """The proof that the next test proves something."""
    simulator = simulate(*MODELS, flags=FLAGS)
    staying = thousand((simulator.host, simulator.port), 10, 15)
    assert [caller for caller in staying if caller.result == "never served"]
    assert simulator.stats()["leaked_handlers"] > 0


def test_through_the_gateway_every_remaining_call_completes(serve, simulate):
    simulator = simulate(*MODELS, flags=FLAGS)
    gateway = serve(simulator, quickly({"upstream": {"max_concurrent": 2}, "queue": {"max_waiting": 2000}}))
    gateway.serves = None
    began = time.monotonic()
    staying = thousand((gateway.host, gateway.port), 10, 120 * PATIENCE)
    others = [caller.result for caller in staying if caller.result != "served"]
    assert not others, (len(others), others[:5])
    stats = simulator.stats()
    print(f"{len(staying)} served in {time.monotonic() - began:.1f} s, {len(loads(simulator))} loads")
    assert stats["leaked_handlers"] == 0 and stats["pending"] == 0
    for load in loads(simulator, result=None):
        assert load["result"] == "ok" and load["beside"] == [], load
    assert not [one for one in unloads(simulator, "evicted")[2:]], "but for the first meeting the gateway makes room"
