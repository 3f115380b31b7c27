"""The traffic that wedges Ollama by its own open bugs: requests that leak when their client leaves in its queue
(#17044), slots lost in blocked writes (#17131), evictions that are taken back (#17408), reloads under load (#14407).
The tests send it, and bench/swaps."""

import asyncio
import random
import socket

from dialects import call_of, looks_complete
from queueing import user
from raw_http import AsyncClient, request_bytes

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
        # A long answer that is begun to be read and then no more: writes block.
        self.reads = chance.random() > 0.02
        if not self.reads:
            self.stays = 0.5
            options["num_predict"] = 4000
        self.call = call_of(self.kind, chance.choice("ab"), options=options, keep_alive="5m")
        self.result = None

    async def run(self, address, patience):
        await asyncio.sleep(self.starts)
        if not self.reads:
            await self.read_no_more(address, patience)
            return
        client = AsyncClient(*address)
        try:
            await asyncio.wait_for(client.open(), patience)
            await client.request("POST", *self.call, user(str(self.number % 50)))
            answer = await asyncio.wait_for(client.finish(), patience if self.stays is None else self.stays)
            good = answer.status == 200 and answer.complete and looks_complete(self.kind, answer)
            self.result = "served" if good else f"{answer.status} {answer.raw[-300:]!r}"
        except asyncio.TimeoutError:
            self.result = "left" if self.stays is not None else "never served"
        except OSError as error:
            self.result = repr(error)
            return
        try:
            client.leave(self.how)
        except OSError:  # the other side was quicker
            pass

    async def read_no_more(self, address, patience):
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                await loop.sock_connect(sock, address)
                await loop.sock_sendall(sock, request_bytes("POST", *self.call, user(str(self.number % 50))))
                await asyncio.wait_for(loop.sock_recv(sock, 1024), patience)
                await asyncio.sleep(self.stays)
            except (asyncio.TimeoutError, OSError):
                pass
        self.result = "left"


def thousand(address, over, patience):
    chance = random.Random(17408)
    callers = [Caller(number, chance, over) for number in range(CALLS)]

    async def all_of_them():
        await asyncio.gather(*(caller.run(address, patience) for caller in callers))

    asyncio.run(all_of_them())
    return callers
