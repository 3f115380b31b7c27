"""T-09 and §7: ten times as many calls as there is room for. Who is refused is told at once, who is admitted does
not feel it."""

# ctest: alone
# ctest: timeout 600

import asyncio
import time

from dialects import call_of
from harness import PATIENCE, SANITIZED

PERMITS, WAITING = 4, 16
MODEL = "llama3,load=0s,prompt=200ms,rate=0,tokens=3"
SECONDS = 6


async def steady(gateway, clients, until, served, refused, simulator=None):
    """So many clients, each with a call after the other; those refused come back after a while, and ask the upstream
    for its version meanwhile: what that takes is this machine's doing and not the gateway's."""

    async def one(number):
        who = {"X-OpenWebUI-User-Id": f"user-{number}", "Connection": "close"}
        await asyncio.sleep(number * 0.005)
        while time.monotonic() < until:
            client = gateway.async_client()
            began = time.monotonic()
            await client.request("POST", *call_of("generate", stream=False), who)
            answer = await client.finish()
            took = time.monotonic() - began
            client.leave()
            if answer.status == 200:
                assert answer.complete
                served.append(time.monotonic())
                continue
            assert answer.status == 503 and int(answer.get("Retry-After")) > 0, answer.raw
            base = simulator.async_client()
            began = time.monotonic()
            await base.request("GET", "/api/version", None, {"Connection": "close"})
            await base.finish()
            base.leave()
            refused.append((took, time.monotonic() - began))
            await asyncio.sleep(1)

    await asyncio.gather(*(one(n) for n in range(clients)))


def per_second(served, began, until):
    inside = [at for at in served if began + 1 <= at <= until]
    return len(inside) / (until - began - 1)


def measure(gateway, simulator):
    """(served a second unloaded, overloaded), refusals' p99, what the machine itself took meanwhile, how many."""
    rates, refused = [], []
    for clients in (PERMITS + 2, 10 * (PERMITS + WAITING)):
        served, began = [], time.monotonic()
        until = began + SECONDS
        asyncio.run(steady(gateway, clients, until, served, refused, simulator))
        rates.append(per_second(served, began, until))
    quick, base = (sorted(times)[int(len(refused) * 0.99)] for times in zip(*refused))
    print(f"served {rates[0]:.1f}/s unloaded, {rates[1]:.1f}/s overloaded; refusals p99 {quick * 1000:.1f} ms, "
          f"the machine's own {base * 1000:.1f} ms, {len(refused)} refused")  # fmt: skip
    return rates, quick, base, len(refused)


def test_at_ten_times_the_capacity_refusals_are_quick_and_the_admitted_served_as_ever(serve, simulate):
    simulator = simulate(MODEL, flags=["--num-parallel", 64])
    gateway = serve(
        simulator,
        {"upstream": {"max_concurrent": PERMITS}, "queue": {"max_waiting": WAITING, "max_waiting_per_client": 5}},
    )
    refused = 0
    for _ in range(3):  # a machine that stands still for seconds shows nothing
        rates, quick, base, now = measure(gateway, simulator)
        refused += now
        if base < 0.5 and rates[1] >= 0.95 * rates[0]:
            break
    assert refused > 100
    assert simulator.stats()["peak"] <= PERMITS
    assert quick < 0.05 * PATIENCE + 2 * base
    assert rates[1] >= 0.95 * rates[0] or SANITIZED
    assert gateway.metrics().value("queue_rejected_total", reason="queue_full") >= refused
