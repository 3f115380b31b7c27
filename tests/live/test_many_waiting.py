"""SPEC §5: a waiting call costs little, and each of very many is served or leaves without a trace."""

# ctest: busy

import asyncio

import pytest

from harness import PATIENCE, SANITIZED, eventually
from queueing import HOLDER, QUICK, Calls, user

TEXT = "wait " * 40


def call(n):
    """One of two APIs in turn, each call another client's."""
    if n % 2:
        return "/api/generate", {"model": "llama3", "prompt": TEXT}, user(f"user-{n}")
    return "/api/chat", {"model": "llama3", "messages": [{"role": "user", "content": TEXT}]}, user(f"user-{n}")


async def until_waiting(gateway, count):
    assert await asyncio.to_thread(eventually, lambda: gateway.queue()["waiting"] == count, 20), gateway.queue()


@pytest.mark.parametrize("count", [1000, 5000])
def test_waiting_clients_cost_little_and_all_are_served_or_leave(simulate, serve, count):
    simulator = simulate(HOLDER, QUICK, flags=["--keep-requests", "0"])
    gateway = serve(
        simulator,
        {
            "upstream": {"max_concurrent": 8},
            "queue": {"max_waiting": count, "grace": "500ms", "heartbeat": "1s"},
            "log": {"level": "warn"},
        },
    )

    async def all_of_it():
        before = gateway.resident()
        clients = [gateway.async_client() for _ in range(count)]
        for n, client in enumerate(clients):
            await client.request("POST", *call(n))
        await until_waiting(gateway, count)
        # Measured once they have been told something: their heads are out.
        await asyncio.gather(*(client.head() for client in clients))
        each = (gateway.resident() - before) / count
        if not SANITIZED:
            assert each < 16 * 1024, f"{each / 1024:.1f} KiB each"
        leaving, staying = clients[::2], clients[1::2]
        for n, client in enumerate(leaving):
            client.leave(("fin", "rst")[n % 2])
        await until_waiting(gateway, len(staying))
        calls.let_go(8)
        answers = await asyncio.wait_for(asyncio.gather(*(client.finish() for client in staying)), 60 * PATIENCE)
        for client in staying:
            client.leave()
        return answers

    with Calls(gateway).hold(8) as calls:
        answers = asyncio.run(all_of_it())
    assert all(a.status == 200 and a.complete and a.body.lstrip(b" ").startswith(b'{"model"') for a in answers)
    assert all(b'"done":true' in a.body for a in answers)
    assert simulator.stats()["models"]["llama3:latest"]["peak"] <= 8
    assert gateway.metrics().value("queue_waiting") == 0
