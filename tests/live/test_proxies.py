"""The snippets in deploy/proxies, each in its real proxy: tokens come as they are made, and a client that leaves is
noticed while the model is still silent. TLS is left out: it is the same with and without."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from dialects import call_of
from harness import PATIENCE, ROOT, Client, eventually, free_port

PROXIES = ROOT / "deploy" / "proxies"
SLOW = "llama3,load=0s,prompt=300ms,rate=10,tokens=10"


def nginx(directory, port, gateway):
    site = (PROXIES / "nginx.conf").read_text()
    site = re.sub(r"^\s*ssl_certificate.*\n", "", site, flags=re.M)
    site = site.replace("listen 8443 ssl;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:11435", gateway)
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log stderr; worker_processes 1;\n"
        f"events {{ worker_connections 256; }}\nhttp {{ access_log off; client_body_temp_path {directory}/body;\n"
        f"proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;\n"
        f"scgi_temp_path {directory}/s;\n{site}\n}}\n"
    )
    return ["nginx", "-p", directory, "-c", directory / "nginx.conf"]


def haproxy(directory, port, gateway):
    text = (PROXIES / "haproxy.cfg").read_text()
    text = re.sub(r"bind :8443 .*", f"bind 127.0.0.1:{port}", text).replace("127.0.0.1:11435", gateway)
    (directory / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", directory / "haproxy.cfg"]


def caddy(directory, port, gateway):
    text = (PROXIES / "Caddyfile").read_text().replace("127.0.0.1:11435", gateway)
    text = text.replace("ollama.example.org {", f"http://:{port} {{\n\tbind 127.0.0.1")
    (directory / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    return ["caddy", "run", "--config", directory / "Caddyfile", "--adapter", "caddyfile"]


@pytest.fixture(params=[nginx, haproxy, caddy], ids=lambda p: p.__name__)
def behind(request, serve, simulate, tmp_path):
    """(port of the proxy, gateway, simulator)"""
    if not shutil.which(request.param.__name__):
        if os.environ.get("CI"):
            pytest.fail(f"{request.param.__name__} is not here")
        pytest.skip(f"{request.param.__name__} is not here")
    simulator = simulate(SLOW, "mute,load=0s,prompt=1h")
    # The name is what the snippets say that it needs.
    gateway = serve(simulator, {"hosts": ["ollama.example.org"]})
    port = free_port()
    command = request.param(tmp_path, port, f"127.0.0.1:{gateway.port}")
    with open(tmp_path / "log", "wb") as log:
        environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
        process = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
        )

    def answers():
        try:
            with Client("127.0.0.1", port) as client:
                return client.request("GET", "/api/version", None, HOST).finish().status == 200
        except OSError:
            return False

    try:
        assert eventually(answers, within=20), (tmp_path / "log").read_text()
        yield port, gateway, simulator
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    # Its idle connections to the gateway are gone with it.
    assert eventually(lambda: gateway.metrics().value("connections", side="client") == 0, within=5)


HOST = {"Host": "ollama.example.org"}


def test_tokens_come_as_they_are_made(behind):
    port, _, _ = behind
    with Client("127.0.0.1", port) as client:
        client.request("POST", *call_of("chat"), HOST)
        times = [at for at, _ in client.pieces()]
        assert client.answer.complete and client.answer.lines()[-1]["done"]
    assert len(times) >= 8
    assert times[-1] - times[0] > 0.6  # ten tokens a second: not all at the end


def test_a_client_that_leaves_is_noticed_while_the_model_is_silent(behind):
    port, gateway, simulator = behind
    client = Client("127.0.0.1", port)
    client.request("POST", *call_of("generate", model="mute"), HOST)
    gateway.until_running(1)
    client.leave("fin")
    assert eventually(lambda: simulator.stats()["aborts"]["count"] == 1, within=2 * PATIENCE)
    assert eventually(lambda: gateway.status()["recent"][0]["outcome"] == "client_gone")
