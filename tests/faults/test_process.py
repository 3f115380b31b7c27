"""T-74 to T-79: what the machine does to the process: memory refused, clocks that jump, logs that nobody takes, standard
descriptors that are closed, a stop and a continue."""

import os
import re
import resource
import signal
import subprocess
import time

import pytest

from dialects import STREAMS, call_of, looks_complete
from harness import BUILD, PATIENCE, SANITIZED, Client, eventually, free_port

PLAIN = "llama3,load=0s,prompt=0s,rate=0,tokens=5"
STEADY = "llama3,load=0s,prompt=0s,rate=50,tokens=100"


# --- memory ---


@pytest.mark.skipif(SANITIZED, reason="a sanitizer reserves terabytes of address space")
def test_memory_that_is_refused_ends_calls_and_not_the_gateway(serve, simulate):
    simulator = simulate(PLAIN)
    gateway = serve(simulator, {"limits": {"body": "64MiB", "memory": "4GiB"}})
    gateway.expected = ["memory was refused", "bad_alloc", "a coroutine ended"]
    with open(f"/proc/{gateway.pid}/statm") as sizes:
        now = int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_AS)
    resource.prlimit(gateway.pid, resource.RLIMIT_AS, (now + (48 << 20), hard))
    body = b'{"model":"llama3","stream":false,"prompt":"' + b"x" * (8 << 20) + b'"}'
    seen = []
    clients = []
    for _ in range(20):
        client = gateway.client(timeout=10)
        client.expect("POST")
        head = f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        try:
            client.send(head + body[:-10])  # all of them are held at once
        except OSError:
            pass
        clients.append(client)
    for client in clients:
        try:
            client.send(body[-10:])
        except OSError:
            pass
        try:
            seen.append(client.finish().status)
        except OSError:
            seen.append(None)
        client.socket.close()
    assert gateway.alive(), gateway.tail()
    assert set(seen) <= {200, 503, None} and len(set(seen)) > 1, seen
    resource.prlimit(gateway.pid, resource.RLIMIT_AS, (soft, hard))
    assert gateway.post(*call_of("generate")).complete


# --- clocks ---


@pytest.mark.parametrize("jump", [3600, -3600, 40 * 365 * 86400])
def test_a_wall_clock_that_jumps_ends_nothing(serve, simulate, shim, jump):
    simulator = simulate(STEADY)
    limits = {"first_byte": "3s", "idle": "3s", "whole": "10s"}
    gateway = serve(
        simulator,
        {"timeouts": limits, "upstream": {"max_concurrent": 4}, "queue": {"grace": "100ms", "heartbeat": "300ms"}},
        environment=shim.environment,
    )
    kinds = list(STREAMS)
    clients = [(kind, gateway.client().request("POST", *call_of(kind, max_tokens=100))) for kind in kinds]
    gateway.until_waiting(len(kinds) - 4)
    for step in (jump, 0, jump):
        shim.clock(step)
        time.sleep(0.3)
    for kind, client in clients:
        answer = client.finish()
        assert answer.complete and looks_complete(kind, answer), answer.raw[-300:]
        client.socket.close()
    recent = gateway.status()["recent"]
    assert all(c["outcome"] == "ok" and 0 <= c["queue_ms"] <= c["total_ms"] < 60000 for c in recent), recent
    assert gateway.status()["uptime_s"] < 600
    assert not gateway.status()["unloads"] and gateway.metrics().value("timeouts_total") == 0
    year = time.gmtime(time.time() + jump).tm_year
    assert re.search(rf"Date: .* {year} ", gateway.post("/api/generate", b"{").raw.decode()), "the shim was not there"


# --- logs ---


def started(simulator, **streams):
    port, admin = free_port(), free_port()
    arguments = ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--upstream", simulator.url]
    process = subprocess.Popen([BUILD / "ollama-gateway", *arguments], **streams)

    def ask(target="/api/version"):
        with Client("127.0.0.1", port) as client:
            return client.request("GET", target).finish()

    def there():
        try:
            return ask().status == 200
        except OSError:
            return False

    try:
        assert eventually(there, within=10)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process, ask


def ends_well(process):
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(5 * PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_a_log_on_a_full_disk_stops_nothing(simulate):
    with open("/dev/full", "wb") as full:
        process, ask = started(simulate(PLAIN), stdin=subprocess.DEVNULL, stdout=full, stderr=full)
    try:
        for n in range(2000):
            assert ask(f"/api/nothing-{n}").status == 404
    finally:
        ends_well(process)


def test_closed_standard_descriptors_are_not_given_to_sockets(simulate):
    """Started with 2>&- its first sockets were descriptors 0 to 2, and the log went to whoever was at the other end."""
    simulator = simulate(PLAIN)

    def close_them():
        for number in range(3):
            os.close(number)

    process, ask = started(simulator, preexec_fn=close_them)
    try:
        for number in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
        for n in range(50):
            answer = ask(f"/api/nothing-{n}")
            assert answer.status == 404 and not answer.rest
    finally:
        ends_well(process)


# --- stopped and continued ---


@pytest.mark.skipif(SANITIZED, reason="its limits are a second")
def test_a_process_that_was_stopped_times_nobody_out_who_was_served_meanwhile(serve, simulate):
    """While it stood still the upstream went on: what came meanwhile is read before anybody is called silent."""
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=400")
    limits = {"first_byte": "1500ms", "idle": "1500ms"}
    gateway = serve(
        simulator,
        {
            "timeouts": limits,
            "upstream": {"max_concurrent": 12},
            "limits": {"client_keepalive": "60s"},
        },
    )
    gateway.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "x", "options": {"num_predict": 3}})
    kinds = list(STREAMS)
    clients = [(kind, gateway.client().request("POST", *call_of(kind, max_tokens=400))) for kind in kinds * 2]
    for _, client in clients:
        assert client.piece()
    for _ in range(2):
        gateway.signal(signal.SIGSTOP)
        time.sleep(3)
        gateway.signal(signal.SIGCONT)
        time.sleep(0.3)
    for kind, client in clients:
        answer = client.finish()
        assert answer.complete and looks_complete(kind, answer), answer.raw[-500:]
        client.socket.close()
    assert gateway.metrics().value("timeouts_total") == 0 and not gateway.status()["unloads"]


@pytest.mark.skipif(SANITIZED, reason="its limits are a second")
def test_a_process_that_was_stopped_still_ends_what_was_silent_and_once(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=20")
    gateway = serve(simulator, {"timeouts": {"first_byte": "1s"}, "upstream": {"max_concurrent": 6}})
    simulator.fault("silent_head", count=6)
    clients = [gateway.client().request("POST", *call_of("generate")) for _ in range(6)]
    assert eventually(lambda: simulator.stats()["in_flight"] == 6)
    gateway.signal(signal.SIGSTOP)
    time.sleep(2)
    gateway.signal(signal.SIGCONT)
    for client in clients:
        assert client.finish().status == 504, client.answer.raw
        client.socket.close()
    assert eventually(lambda: len(gateway.status()["unloads"]) == 1)
    assert gateway.metrics().value("timeouts_total") == 6


# --- a configuration that is not there ---


def test_a_file_that_is_gone_or_half_written_changes_nothing(serve, simulate):
    gateway = serve(simulate(PLAIN))
    gateway.expected = ["the configuration was not taken"]
    whole = gateway.config_file.read_text()
    for count, half in enumerate([None, "", whole[: len(whole) // 2], "\0" * 100, whole + "}"], 1):
        gateway.config_file.unlink(missing_ok=True)
        if half is not None:
            gateway.config_file.write_text(half)
        gateway.signal(signal.SIGHUP)
        assert eventually(lambda: gateway.metrics().value("config_reloads_total", result="failed") == count) or (
            gateway.metrics().value("config_reloads_total") >= count
        ), gateway.tail()
        assert gateway.post(*call_of("generate")).status == 200
    gateway.config_file.write_text(whole)
