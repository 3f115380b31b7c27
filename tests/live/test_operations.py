"""SPEC §11 and §2: metrics, health, status and log for operators; how the program ends, and what it says when it cannot
start."""

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid

import pytest

from dialects import ONE_OF_EACH, call_of, error_in, error_of, looks_complete
from harness import BUILD, PATIENCE, Client, eventually, free_port

MODEL = "llama3,load=0s,prompt=0s,rate=200,tokens=10"
STREAMING = "llama3,load=0s,prompt=0s,rate=20,tokens=40"  # two seconds


def busy(gateway, simulator):
    """Calls that end in all the ways there are."""
    for kind in ONE_OF_EACH:
        assert gateway.post(*call_of(kind)).complete
    gateway.post(*call_of("generate", stream=False))
    gateway.post("/api/embed", {"model": "llama3", "input": "x"})
    gateway.post("/api/generate", b"{")
    gateway.get("/api/tags")
    simulator.fault("no_done", count=1)
    gateway.post(*call_of("generate"))
    simulator.fault("status", count=1)
    gateway.post(*call_of("generate"))
    client = gateway.client().request("POST", *call_of("generate"))
    client.piece()
    client.leave("rst")
    gateway.until_running(0)


# --- metrics ---

PROMISED = """requests_total queue_waiting queue_oldest_seconds queue_wait_seconds queue_rejected_total in_flight
permits time_to_first_byte_seconds inter_chunk_seconds request_duration_seconds tokens_total client_disconnects_total
abort_seconds timeouts_total silence_seconds unloads_total unload_seconds model_state model_vram_bytes upstream_up
upstream_errors_total connections event_loop_lag_seconds build_info""".split()


def test_promtool_has_nothing_to_say_about_the_metrics(pair):
    gateway, simulator = pair
    busy(gateway, simulator)
    if not shutil.which("promtool"):
        pytest.skip("promtool is not here")
    scrape = gateway.admin("/metrics")
    said = subprocess.run(["promtool", "check", "metrics"], input=scrape.body, capture_output=True)
    assert said.returncode == 0 and not said.stdout and not said.stderr, said.stderr.decode()


def test_the_metrics_that_are_promised_are_there(pair):
    gateway, simulator = pair
    busy(gateway, simulator)
    scrape = gateway.admin("/metrics")
    assert scrape.get("Content-Type").startswith("text/plain; version=0.0.4")
    counted = gateway.metrics()
    families = {name.removeprefix("ollama_gateway_") for name in counted.names()}
    families |= {name.rsplit("_", 1)[0] for name in families if name.endswith(("_bucket", "_count", "_sum"))}
    assert not set(PROMISED) - families, set(PROMISED) - families
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total"):
        assert counted.value(name) > 0
    assert counted.value("requests_total", outcome="ok", model="llama3:latest") >= 4
    assert counted.value("requests_total", outcome="client_gone") == 1
    assert counted.value("requests_total", outcome="truncated") == 1
    assert counted.value("requests_total", outcome="upstream_status") >= 1
    assert counted.value("client_disconnects_total", phase="streaming") == 1
    assert counted.value("tokens_total", type="completion") >= 40
    assert counted.value("upstream_up") == 1 and counted.value("permits") >= 3
    assert counted.value("queue_waiting") == 0 and counted.value("in_flight") == 0


def test_names_of_models_that_nobody_has_make_no_series(pair):
    gateway, simulator = pair
    assert gateway.post(*call_of("generate")).complete
    for name in ("first", "e\xff\x1b[31m", 'quo"te\\n', "\u2028"):
        gateway.post(*call_of("generate", model=name))
    before = gateway.metrics()
    with gateway.client() as client:
        for n in range(500):
            answer = client.request("POST", *call_of("generate", model=f"random-{n}")).finish()
            assert answer.status == 404
    after = gateway.metrics()
    assert set(after) == set(before), set(after) - set(before)
    labels = {dict(labels)["model"] for _, labels in after if "model" in dict(labels)}
    assert labels <= {"llama3:latest", "other"}, labels


# --- health, status ---


def test_alive_is_not_ready(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"reconcile": {"interval": "1s", "timeout": "500ms"}})
    assert gateway.admin("/healthz").status == gateway.admin("/readyz").status == 200
    simulator.stop()
    assert eventually(lambda: gateway.admin("/readyz").status == 503, within=5)
    assert gateway.admin("/healthz").status == 200
    assert gateway.status()["upstreams"][0]["up"] is False and gateway.metrics().value("upstream_up") == 0


def test_nothing_of_the_admin_port_is_on_the_public_one(pair):
    gateway, simulator = pair
    for target in ("/metrics", "/status", "/healthz", "/readyz", "/reload", "/drain", "/status/events"):
        assert gateway.get(target).body == simulator.get(target).body, target  # it is Ollama's to answer: 404
        assert gateway.post(target).status == 404
    assert gateway.admin("/api/tags").status == 404


def test_status_has_the_shape_it_is_promised_in(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=1000")
    gateway = serve(simulator, {"upstream": {"max_concurrent": 2}})
    gateway.serves = None
    clients = [
        gateway.client().request("POST", *call_of("chat"), {"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(3)
    ]
    gateway.until_waiting(1)
    assert clients[0].piece()
    assert eventually(lambda: any(m["loaded"] for m in gateway.status()["models"]))
    s = gateway.status()
    assert s["version"] and s["uptime_s"] >= 0 and s["draining"] is False
    (up,) = s["upstreams"]
    assert {"name": "local", "url": simulator.url, "up": True, "permits": 2, "in_use": 2}.items() <= up.items()
    assert up["last_listing_age_s"] < 12
    (model,) = [m for m in s["models"] if m["name"] == "llama3:latest"]
    expected = {"upstream": "local", "state": "ready", "loaded": True, "running": 2, "waiting": 1}
    assert expected.items() <= model.items()
    assert model["size_vram"] > 0 and model["expires_at"] and model["silence_s"] < 5
    calls = sorted(s["calls"], key=lambda c: c["client"])
    assert [c["client"] for c in calls] == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]
    assert [c["phase"] for c in calls].count("waiting") == 1
    for call in calls:
        assert len(call["id"]) == 32 and call["endpoint"] == "/api/chat" and call["model"] == "llama3:latest"
        waits = call["phase"] == "waiting"
        assert call["position"] == (1 if waits else None) and (call["chunks"] == 0 or not waits)
        assert call["age_s"] >= 0 and call["waited_ms"] >= 0
    for client in clients:
        client.leave("rst")
    gateway.until_running(0)
    s = gateway.status()
    assert s["calls"] == [] and len(s["recent"]) >= 3
    for call in s["recent"][:3]:
        keys = {"id", "outcome", "queue_ms", "load_ms", "first_byte_ms", "total_ms", "attempts"}
        assert keys <= call.keys() and call["outcome"] == "client_gone"
    assert s["unloads"] == []


# --- the log ---

CANARY = "canary-7f3a-do-not-log"


def test_a_line_per_call_and_never_a_prompt_or_a_key(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(simulator, {"log": {"level": "trace", "format": "json"}})
    secret = {"Authorization": f"Bearer {CANARY}", "X-Api-Key": CANARY, "Cookie": CANARY, "X-Custom": CANARY}
    for kind in ONE_OF_EACH:
        gateway.post(*call_of(kind, prompt=CANARY, system=CANARY), secret)
    gateway.post("/api/embed", {"model": "llama3", "input": [CANARY]}, secret)
    gateway.post("/api/generate", {"model": "llama3", "prompt": CANARY, "Prompt": CANARY}, secret)
    gateway.post("/api/generate", f'{{"model":"llama3","prompt":"{CANARY}'.encode(), secret)
    gateway.get(f"/api/tags?q={CANARY}", secret)
    simulator.fault("no_done", count=1)
    gateway.post(*call_of("generate", prompt=CANARY), secret)
    client = gateway.client().request("POST", *call_of("chat", prompt=CANARY), secret)
    client.piece()
    client.leave("rst")
    gateway.until_running(0)
    assert eventually(lambda: len(gateway.log("call")) >= 7)
    for page in ("/status", "/metrics"):
        assert CANARY not in gateway.admin(page).body.decode()
    assert CANARY not in json.dumps(gateway.queue())
    assert CANARY not in gateway.output()
    line = next(e for e in gateway.log("call") if e["endpoint"] == "/api/generate")
    keys = "id client endpoint model outcome queue_ms load_ms first_byte_ms total_ms bytes attempts".split()
    assert not set(keys) - line.keys() and line["outcome"] == "ok" and line["completion_tokens"] == 10
    assert line["first_byte_ms"] > 0
    refused = next(e for e in gateway.log("call") if e["outcome"] == "refused")
    assert refused["first_byte_ms"] is None


def test_hostile_bytes_forge_no_line(serve, simulate):
    simulator = simulate(MODEL)
    for form in ("json", "text"):
        gateway = serve(simulator, {"log": {"format": form}})
        name = 'x\n2026-01-01 00:00:00.000 error forged="1" {"level":"error"}\r\x1b[31m\u2028'
        gateway.post(*call_of("generate", model=name))
        gateway.get("/gateway/calls/x%1b%5b31m", {"User-Agent": "\x1b[31m"}) if form == "json" else None
        assert eventually(lambda: "/api/generate" in gateway.output())
        lines = [line for line in gateway.output().split("\n") if "/api/generate" in line]
        assert len(lines) == 1 and "\x1b" not in gateway.output()
        if form == "json":
            assert json.loads(lines[0])["model"].startswith("x\n2026")
        else:
            gateway.check_log = lambda: None  # its lines are no JSON


def test_a_log_that_nobody_reads_stops_nothing(serve, simulate):
    simulator = simulate(MODEL)
    port, admin = free_port(), free_port()
    arguments = ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--upstream", simulator.url]
    process = subprocess.Popen([BUILD / "ollama-gateway", *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        def ask():
            with Client("127.0.0.1", port) as client:
                return client.request("GET", "/api/version").finish().status

        def there():
            try:
                return ask() == 200
            except OSError:
                return False

        assert eventually(there, within=10)
        for _ in range(1000):  # more lines than a pipe holds
            assert ask() == 200
        process.stderr.close()
        for _ in range(100):
            assert ask() == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(5 * PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


# --- the end ---


def test_sigterm_lets_fifty_streams_finish_and_refuses_who_waits(serve, simulate):
    simulator = simulate(STREAMING, flags=["--num-parallel", 64])
    gateway = serve(simulator, {"upstream": {"max_concurrent": 50}, "queue": {"grace": "20s"}})
    running = [gateway.client().request("POST", *call_of("chat")) for _ in range(50)]
    gateway.until_running(50)
    waiting = {kind: gateway.client().request("POST", *call_of(kind)) for kind in ONE_OF_EACH}
    gateway.until_waiting(3)
    idle = gateway.client().request("GET", "/api/version")
    idle.finish()
    gateway.stays = False
    gateway.signal(signal.SIGTERM)
    for kind, client in waiting.items():
        answer = client.finish()
        error = error_of(kind, answer.json())
        assert answer.status == 503 and int(answer.get("Retry-After")) > 0, answer.raw
        assert error["code"] == "draining"
        client.socket.close()
    assert idle.closed()
    assert gateway.admin("/readyz").status == 503 and gateway.admin("/healthz").status == 200
    assert gateway.status()["draining"] is True
    with pytest.raises(ConnectionRefusedError):
        gateway.client()
    for client in running:
        answer = client.finish()
        assert answer.complete and looks_complete("chat", answer)
        client.socket.close()
    assert gateway.wait(3) == 0
    assert simulator.stats()["aborts"]["count"] == 0 and simulator.stats()["peak"] == 50


def test_waiting_calls_whose_head_was_committed_are_refused_in_band(serve, simulate):
    simulator = simulate(STREAMING)
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}, "queue": {"grace": "0s", "heartbeat": "100ms"}})
    running = gateway.client().request("POST", *call_of("chat"))
    running.piece()
    waiting = {kind: gateway.client().request("POST", *call_of(kind)) for kind in ONE_OF_EACH}
    for client in waiting.values():
        assert client.piece()
    gateway.stays = False
    gateway.signal(signal.SIGTERM)
    for kind, client in waiting.items():
        answer = client.finish()
        assert answer.status == 200 and not answer.complete and not looks_complete(kind, answer)
        error = error_in(kind, answer)
        assert error["http_status"] == 503 and error["code"] == "draining"
        client.socket.close()
    assert running.finish().complete
    running.socket.close()
    assert gateway.wait(3) == 0


def test_calls_that_came_with_one_request_id_are_all_told_that_it_stops(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=100000", flags=["--num-parallel", 4])
    gateway = serve(simulator, {"drain": "500ms", "upstream": {"max_concurrent": 2}})
    same = {"X-Request-Id": str(uuid.uuid4())}
    running = [gateway.client().request("POST", *call_of("chat", max_tokens=10000), same) for _ in range(2)]
    gateway.until_running(2)
    waiting = [gateway.client().request("POST", *call_of("chat"), same) for _ in range(3)]
    gateway.until_waiting(3)
    gateway.stays = False
    gateway.signal(signal.SIGTERM)
    for client in waiting:
        answer = client.finish()
        assert answer.status == 503 and error_of("chat", answer.json())["code"] == "draining"
        client.socket.close()
    for client in running:
        assert error_in("chat", client.finish())["code"] == "draining"
        client.socket.close()
    assert gateway.wait(3) == 0


def test_when_the_grace_is_over_streams_end_in_an_error(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=100000")
    gateway = serve(simulator, {"drain": "500ms"})
    clients = {kind: gateway.client().request("POST", *call_of(kind, max_tokens=10000)) for kind in ONE_OF_EACH}
    for client in clients.values():
        assert client.piece()
    # Requests that never come do not hold it up.
    halves = [b"POST /api/ge", b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"]
    halves += [halves[1].replace(b"generate", b"create")]
    silent = [gateway.client() for _ in halves]
    for client, half in zip(silent, halves):
        client.send(half)
    began = time.monotonic()
    gateway.stays = False
    gateway.signal(signal.SIGTERM)
    for kind, client in clients.items():
        answer = client.finish()
        assert not answer.complete and not looks_complete(kind, answer)
        error = error_in(kind, answer)
        assert error["code"] == "draining" and error["http_status"] == 503
        client.socket.close()
    assert gateway.wait(5) == 0
    assert 0.4 <= time.monotonic() - began <= 0.5 + 3 * PATIENCE
    assert eventually(lambda: simulator.stats()["in_flight"] == 0)
    assert b"the gateway is stopping" in silent[0].socket.recv(4096)
    for client in silent:
        client.socket.close()


def test_who_follows_a_running_call_hears_how_it_ends_though_the_gateway_is_to_stop(serve, simulate):
    simulator = simulate(STREAMING)
    gateway = serve(simulator)
    client = gateway.client().request("POST", *call_of("chat"))
    client.piece()
    follower = gateway.client().request("GET", f"/gateway/calls/{client.answer.get('X-Request-Id')}/events")
    follower.piece()
    gateway.stays = False
    gateway.signal(signal.SIGTERM)
    assert client.finish().complete
    events = [json.loads(data) for _, data in follower.finish().events()]
    assert follower.answer.complete and events[-1]["outcome"] == "ok", events
    for one in (client, follower):
        one.socket.close()
    assert gateway.wait(3) == 0


def test_a_second_sigterm_ends_at_once(serve, simulate):
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=100000")
    gateway = serve(simulator)
    client = gateway.client().request("POST", *call_of("generate"))
    client.piece()
    gateway.stays = False
    gateway.signal(signal.SIGTERM)
    assert eventually(lambda: gateway.log("draining"))
    assert gateway.alive()
    gateway.signal(signal.SIGTERM)
    began = time.monotonic()
    assert gateway.wait(2) == 1 and time.monotonic() - began < 0.5 * PATIENCE
    assert not client.finish().complete
    client.socket.close()


def test_sigint_ends_it_as_sigterm_does(serve, simulate):
    gateway = serve(simulate(MODEL))
    gateway.stays = False
    gateway.signal(signal.SIGINT)
    assert gateway.wait(3) == 0


# --- the beginning ---


def run(*arguments, environment=None):
    command = [BUILD / "ollama-gateway", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment or {}, timeout=20)
    return done.returncode, done.stdout, done.stderr


def test_all_mistakes_of_a_configuration_are_told_at_once(tmp_path):
    file = tmp_path / "bad.json"
    file.write_text("""{
        // four mistakes
        "lisen": "127.0.0.1:1",
        "upstreams": [ {"name": "a", "url": "gopher://x"}, {"name": "a", "url": "http://127.0.0.1:1"} ],
        "queue": { "max_wait": "soon", "grace": -1 },
        "management": "perhaps"
    }""")
    for command in (["serve", "--config", file], ["check", "--config", file], ["--config", file]):
        code, out, error = run(*command)
        assert code == 2 and not out, (code, out, error)
        for place in ("lisen", "upstreams[0].url", "queue.max_wait", "queue.grace", "management"):
            assert place in error, (place, error)
        assert "listen" in error.replace("lisen", "")  # the nearest known key


def test_bad_usage_is_exit_code_two(tmp_path):
    assert run("--no-such-flag")[0] == 2
    assert run("no-such-command")[0] == 2
    assert run("--config", tmp_path / "missing.json")[0] == 2
    code, _, error = run("check", environment={"OLLAMA_GATEWAY_NO_SUCH": "1"})
    assert code == 2 and "OLLAMA_GATEWAY_NO_SUCH" in error
    code, _, error = run("check", environment={"OLLAMA_GATEWAY_QUEUE_MAX_WAITING": "many"})
    assert code == 2 and "max_waiting" in error.lower()
    assert run("--version")[0] == 0 and run("--help")[0] == 0
    code, out, _ = run("check", environment={"OLLAMA_GATEWAY_QUEUE_MAX_WAITING": "7"})
    assert code == 0 and json.loads(out)["queue"]["max_waiting"] == 7


def test_check_says_where_no_job_store_can_be(tmp_path):
    for database, words in {tmp_path / "no" / "x.db": "there is no directory", tmp_path: "it is a directory"}.items():
        code, _, said = run("check", environment={"OLLAMA_GATEWAY_JOBS_DATABASE": str(database)})
        assert code == 0 and f"jobs.database {database}: {words}" in said, said
    assert "jobs.database" not in run("check", environment={"OLLAMA_GATEWAY_JOBS_DATABASE": str(tmp_path / "x.db")})[2]


def test_a_port_that_is_taken_is_exit_code_one(pair):
    gateway, simulator = pair
    arguments = ["--listen", f"127.0.0.1:{gateway.port}", "--admin", f"127.0.0.1:{free_port()}"]
    code, _, error = run(*arguments, "--upstream", simulator.url)
    assert code == 1 and str(gateway.port) in error and "in use" in error.lower()


# --- many at once ---


def test_all_who_ask_for_an_unknown_model_at_once_are_told_so_and_it_ends_when_told_to(pair):
    gateway, _ = pair
    until = time.monotonic() + 2 * PATIENCE
    answers = []

    def asks(number):
        with gateway.client(timeout=10) as client:
            while time.monotonic() < until:
                answer = client.request("POST", "/api/generate", {"model": f"none{number}", "prompt": "x"}).finish()
                answers.append((answer.status, answer.ended))

    crowd = [threading.Thread(target=asks, args=(number,)) for number in range(6)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(answers) > 50 and set(answers) == {(404, "clean")}, set(answers)
    gateway.stays = False
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(3) == 0


def test_clients_that_ask_without_a_pause_do_not_keep_another_waiting(pair):
    gateway, _ = pair
    until = time.monotonic() + 2 * PATIENCE
    asked = b"GET /gateway/queue HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500

    def floods():
        with socket.create_connection((gateway.host, gateway.port), timeout=10) as client:
            sender = threading.Thread(target=keep_sending, args=(client,))
            sender.start()
            while time.monotonic() < until and client.recv(1 << 20):
                pass
            client.shutdown(socket.SHUT_RDWR)
            sender.join()

    def keep_sending(client):
        try:
            while time.monotonic() < until:
                client.sendall(asked)
        except OSError:
            pass

    crowd = [threading.Thread(target=floods) for _ in range(3)]
    for thread in crowd:
        thread.start()
    served = 0
    while time.monotonic() < until:
        assert gateway.get("/gateway/queue").status == 200
        served += 1
    for thread in crowd:
        thread.join()
    assert served >= 10, served
