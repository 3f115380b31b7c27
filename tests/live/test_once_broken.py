"""What a stranger found broken: each test is the sentence that is now true."""

import signal
import socket
import subprocess
import time

import pytest

from harness import eventually
from processes import BUILD
from queueing import HOLDER, QUICK, Calls


@pytest.fixture
def pair(simulate, serve):
    simulator = simulate(HOLDER, QUICK)
    return serve(simulator), simulator


ASK = {"model": "llama3", "prompt": "hello", "stream": False}


def test_a_call_that_breaks_on_a_kept_connection_after_a_while_is_not_run_twice(simulate, serve):
    simulator = simulate(QUICK, "slow,load=0s,prompt=400ms,rate=100,tokens=3")
    gateway = serve(simulator)
    ask = {**ASK, "model": "slow"}
    assert gateway.post("/api/generate", ask).status == 200  # leaves a kept connection
    simulator.fault("reset_mid", count=1)
    answer = gateway.post("/api/generate", ask)
    assert answer.status == 502 and answer.json()["code"] == "upstream_failed"
    assert len(simulator.requests("/api/generate")) == 2


def test_pages_of_finished_calls_end_though_their_ids_are_the_same(pair):
    gateway, _ = pair
    own = {"X-Request-Id": "01234567-89ab-cdef-0123-456789abcdef"}
    for _ in range(5):
        assert gateway.post("/api/generate", ASK, own).status == 200
    seen, cursor = 0, ""
    for _ in range(20):
        page = gateway.admin(f"/status?recent_limit=2{cursor}").json()
        seen += len(page["recent"])
        if page["recent_cursor"] is None:
            break
        cursor = f"&recent_cursor={page['recent_cursor']}"
    else:
        pytest.fail("the pages never end")
    assert 5 <= seen <= 12


def test_a_call_refused_at_the_door_is_in_the_log_and_in_the_metrics(pair):
    gateway, _ = pair
    answer = gateway.post("/api/chat", b'{"model":"llama3","Model":"other"}')
    assert answer.status == 400
    line = eventually(lambda: [c for c in gateway.log("call") if c["id"] == answer.get("X-Request-Id")])
    assert line[0]["outcome"] == "refused" and line[0]["status"] == 400
    assert gateway.metrics().value("ollama_gateway_requests_total", endpoint="/api/chat", outcome="refused") == 1
    answer = gateway.get("/api/tags", {"Host": "evil.example"})
    assert answer.status == 403
    assert eventually(lambda: [c for c in gateway.log("call") if c["status"] == 403])


def test_a_file_that_stands_where_a_socket_should_is_not_deleted(simulate, serve, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    done = subprocess.run(
        [BUILD / "ollama-gateway", "--listen", f"unix:{precious}", "--admin", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=30,
    )
    assert done.returncode == 1 and "cannot listen" in done.stderr
    assert precious.read_text() == "kept"


def test_a_directory_is_no_configuration(tmp_path):
    done = subprocess.run([BUILD / "ollama-gateway", "check", "--config", tmp_path], capture_output=True, timeout=30)
    assert done.returncode == 2


def test_one_byte_of_a_head_does_not_keep_a_stopping_gateway(pair):
    gateway, _ = pair
    gateway.stays = False
    with socket.create_connection(("127.0.0.1", gateway.port)) as half:
        half.sendall(b"G")
        assert eventually(lambda: gateway.metrics().value("ollama_gateway_connections", side="client") >= 1)
        gateway.signal(signal.SIGTERM)
        assert gateway.wait(within=5) == 0


def test_calls_that_a_second_signal_cuts_have_their_line_in_the_log(pair):
    gateway, simulator = pair
    gateway.stays = False
    simulator.set_model("llama3", load="0s", prompt="0s", rate=20, tokens=1000)
    streams = [gateway.client().request("POST", "/api/generate", {**ASK, "stream": True}) for _ in range(2)]
    for stream in streams:
        stream.piece()
    gateway.signal(signal.SIGTERM)
    assert eventually(lambda: gateway.log("draining"))
    gateway.signal(signal.SIGTERM)
    gateway.wait(within=5)
    lines = [line for line in gateway.log("call") if line["outcome"] == "cancelled"]
    assert {line["id"] for line in lines} == {stream.answer.get("X-Request-Id") for stream in streams}
    assert all(line["status"] == 200 and "outcome=cancelled" in line["attempts"] for line in lines), lines
    for stream in streams:
        stream.socket.close()


def test_a_second_signal_cuts_an_http_1_0_answer_by_a_reset(pair):
    gateway, simulator = pair
    gateway.stays = False
    with Calls(gateway), socket.create_connection(("127.0.0.1", gateway.port)) as old:
        simulator.set_model("llama3", load="0s", prompt="0s", rate=20, tokens=1000)
        body = b'{"model":"llama3","prompt":"hello"}'
        old.sendall(b"POST /api/generate HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert old.recv(65536).startswith(b"HTTP/1.0 200")
        gateway.signal(signal.SIGTERM)
        assert eventually(lambda: gateway.log("draining"))
        gateway.signal(signal.SIGTERM)
        with pytest.raises(ConnectionResetError):
            while old.recv(65536):
                pass


def test_a_client_that_leaves_in_the_midst_of_its_upload_is_in_the_log_and_in_the_metrics(pair):
    gateway, simulator = pair
    head = "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {}\r\nContent-Length: 100\r\n\r\n"
    ids = [f"01234567-89ab-cdef-0123-45678900000{n}" for n in range(3)]
    for which, (body, how) in enumerate((("", "fin"), ('{"model":', "rst"), ('{"model":', "fin"))):
        client = gateway.client()
        client.send((head.format(ids[which]) + body).encode())
        time.sleep(0.1)
        client.leave(how)
    lines = eventually(lambda: (found := [c for c in gateway.log("call") if c["id"] in ids]) and len(found) == 3 and found)
    assert {c["outcome"] for c in lines} == {"client_gone"} and all(c["total_ms"] >= 90 for c in lines), lines
    told = gateway.metrics()
    assert told.value("ollama_gateway_requests_total", endpoint="/api/generate", outcome="client_gone") == 3
    assert told.value("ollama_gateway_client_disconnects_total") == 3
    assert not simulator.requests("/api/generate")


def test_the_time_that_a_refused_call_took_is_told(pair):
    gateway, _ = pair
    body = b'{"model":"llama3","Model":"other"}'
    client = gateway.client()
    client.send(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
    time.sleep(0.2)
    client.send(body)
    line = eventually(lambda: [c for c in gateway.log("call") if c["status"] == 400])
    assert 190 <= line[0]["total_ms"] < 5000, line
