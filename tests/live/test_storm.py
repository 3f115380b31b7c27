"""A thousand clients that leave at random moments in all phases (SPEC §8): upstream work stops within milliseconds
and nothing stays behind."""

import asyncio
import random
import socket
import struct
import time

from dialects import STREAMS, call_of
from harness import PATIENCE, eventually, request_bytes

CLIENTS = 1000
AT_ONCE = 16  # permits
STOPPED = 10.0  # milliseconds, at the median


class Leaver:
    """One client: connects at its time, sends a call, leaves at its time, in its way."""

    def __init__(self, number, chance):
        self.name = f"leaver-{number:04}-"
        self.starts = chance.uniform(0, 4)
        self.stays = min(chance.expovariate(1 / 0.25), 3)
        self.how = chance.choice(["fin", "rst", "half"])
        target, body = call_of(
            chance.choice(list(STREAMS)),
            model=chance.choice(["quick", "quick", "slow", "loads"]),
            stream=chance.random() < 0.7,
            prompt=self.name + "x" * chance.choice([10, 10, 30_000]),
        )
        headers = {"X-Forwarded-For": f"192.0.2.{number % 200}"}
        self.bytes = request_bytes("POST", target, body, headers)
        self.pause = chance.random() < 0.1  # a slow upload
        self.left_at = None  # milliseconds

    async def run(self, host, port):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.starts * PATIENCE)
        sock = socket.socket()
        sock.setblocking(False)
        until = loop.time() + self.stays
        try:
            await asyncio.wait_for(self.talk(loop, sock, (host, port)), until - loop.time())
        except (TimeoutError, asyncio.TimeoutError):
            pass
        except OSError:  # cut: the time is over or the answer was
            pass
        self.left_at = time.monotonic() * 1000
        try:
            if self.how == "half":
                sock.shutdown(socket.SHUT_WR)
                while await asyncio.wait_for(loop.sock_recv(sock, 65536), 5 * PATIENCE):
                    pass
            elif self.how == "rst":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        sock.close()

    async def talk(self, loop, sock, address):
        await loop.sock_connect(sock, address)
        if self.pause:
            await loop.sock_sendall(sock, self.bytes[:-5])
            await asyncio.sleep(self.stays / 2)
            await loop.sock_sendall(sock, self.bytes[-5:])
        else:
            await loop.sock_sendall(sock, self.bytes)
        while await loop.sock_recv(sock, 65536):
            pass


def test_a_thousand_clients_that_leave_at_random_moments_leave_nothing_behind(serve, simulate):
    simulator = simulate(
        "quick,load=0s,prompt=20ms,rate=100,tokens=60",
        "slow,load=0s,prompt=400ms,rate=20,tokens=40",
        "loads,load=300ms,prompt=50ms,rate=50,tokens=40",
        flags=["--num-parallel", 64, "--keep-requests", 10 * CLIENTS],
    )
    gateway = serve(simulator, {"upstream": {"max_concurrent": AT_ONCE}, "queue": {"max_waiting": 4 * CLIENTS}})
    gateway.serves = ("POST", *call_of("generate", model="quick", stream=False))
    chance = random.Random(4711)
    leavers = [Leaver(n, chance) for n in range(CLIENTS)]

    async def storm():
        await asyncio.gather(*(leaver.run(gateway.host, gateway.port) for leaver in leavers))

    asyncio.run(storm())
    assert eventually(lambda: simulator.stats()["in_flight"] == 0), simulator.stats()
    by_name = {leaver.name: leaver for leaver in leavers}
    owners = {}
    late = []
    for request in simulator.requests():
        at = request.get("body", "").find("leaver-")
        if at >= 0:
            owner = by_name[request["body"][at : at + 12]]
            owners[request["id"]] = owner
            if request["at_ms"] - owner.left_at > 100 * PATIENCE:
                late.append((owner.name, owner.how, request["at_ms"] - owner.left_at))
    assert not late, f"begun for clients that had gone: {late}"
    assert simulator.stats()["peak_in_flight"] <= AT_ONCE + 1  # a /api/tags may be among them

    delays, phases = [], set()
    for abort in simulator.stats()["aborts"]["list"]:
        owner = owners[abort["request"]]
        delays.append(abort["at_ms"] - owner.left_at)
        phases.add(abort["phase"])
    delays.sort()
    assert len(delays) > 100 and {"prompt", "streaming", "answering"} <= phases, (len(delays), phases)
    median = delays[len(delays) // 2]
    print(f"{len(delays)} stopped upstream, after {median:.1f} ms at the median, {delays[-1]:.1f} ms at most; {phases}")
    assert median <= STOPPED * PATIENCE, delays[:: len(delays) // 20]

    # Every permit is there: so many calls run at once.
    simulator.reset()
    clients = [gateway.client().request("POST", *call_of("generate", model="slow")) for _ in range(AT_ONCE)]
    assert eventually(lambda: simulator.stats()["peak"] == AT_ONCE), simulator.stats()
    for client in clients:
        client.leave("rst")
