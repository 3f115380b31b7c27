"""What stands in deploy/: the unit, the script that puts the gateway where Ollama was, the proxies' snippets, and the
advice of `check`."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from harness import BUILD, PATIENCE, ROOT, SANITIZED, eventually, free_port

DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "ollama-gateway.service").read_text()


def need(tool):
    if not shutil.which(tool):
        if os.environ.get("CI"):
            pytest.fail(f"{tool} is not here")
        pytest.skip(f"{tool} is not here")


def checked(*arguments, **environment):
    command = [BUILD / "ollama-gateway", "check", *map(str, arguments)]
    env = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=20 * PATIENCE)


# --- the unit ---


def test_the_unit_is_hardened():
    need("systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", DEPLOY / "ollama-gateway.service"]
    said = subprocess.run(command, capture_output=True, text=True)
    exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said.stdout).group(1))
    assert exposure <= 2.0, said.stdout


def test_what_restarts_a_stuck_ollama_is_off_until_somebody_wants_it():
    need("systemd-analyze")
    units = [DEPLOY / f"ollama-gateway-stuck.{kind}" for kind in ("path", "service")]
    said = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert said.returncode == 0 and not said.stderr, said.stderr
    watched = re.search(r"^PathExists=(.*)$", units[0].read_text(), re.M).group(1)
    assert watched in units[1].read_text()
    assert watched.startswith("/run/" + re.search(r"^RuntimeDirectory=(.*)$", UNIT, re.M).group(1) + "/")
    for script in ("postinst", "prerm"):
        assert "stuck" not in (DEPLOY / "debian" / script).read_text()


def test_the_unit_lets_a_drain_finish():
    drain = json.loads(checked().stdout)["drain"]
    seconds = {"s": 1, "m": 60}[drain[-1]] * int(drain[:-1])
    assert int(re.search(r"^TimeoutStopSec=(\d+)s$", UNIT, re.M).group(1)) > seconds
    assert "Type=notify" in UNIT and re.search(r"^WatchdogSec=", UNIT, re.M)


def calls_that_the_unit_allows():
    """SystemCallFilter of the unit, spelled out."""
    said = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True).stdout
    sets, name = {}, None
    for line in said.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = []
        elif name and line.startswith("    ") and not line.strip().startswith("#"):
            sets[name].append(line.strip())

    def spelled(word):
        return {call for part in sets.get(word, []) for call in (spelled(part) if part[0] == "@" else {part})}

    allowed = spelled("@default")
    for filtered in re.findall(r"^SystemCallFilter=(.*)$", UNIT, re.M):
        calls = {call for word in filtered.lstrip("~").split() for call in spelled(word)}
        allowed = allowed - calls if filtered.startswith("~") else allowed | calls
    return allowed


@pytest.mark.skipif(SANITIZED, reason="a sanitizer makes system calls of its own")
def test_the_unit_allows_every_system_call_that_the_gateway_makes(serve, simulate, tmp_path):
    need("systemd-analyze")
    need("strace")
    gateway = serve(simulate())
    trace = tmp_path / "trace"
    # From its start, on ports of its own, through a call, a scrape, a reload and a drain.
    port, admin = free_port(), free_port()
    command = ["strace", "-f", "-o", trace, BUILD / "ollama-gateway", "--upstream", gateway.upstream[0].url]
    command += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen([*map(str, command)], stdout=log, stderr=log)
    try:

        def asks(where, path, body=None):
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{where}{path}", body, 10).read()
            except OSError:
                return None

        assert eventually(lambda: asks(admin, "/healthz"), within=20)
        assert b'"done":true' in asks(port, "/api/generate", b'{"model":"llama3","prompt":"x"}')
        assert asks(admin, "/metrics") and asks(admin, "/") and asks(admin, "/status")
        assert asks(admin, "/reload", b"") and asks(admin, "/drain", b"")
        assert process.wait(20 * PATIENCE) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    made = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", trace.read_text(), re.M))
    allowed = calls_that_the_unit_allows()
    assert len(made) > 30 and len(allowed) > 200
    assert not made - allowed, made - allowed


def test_the_units_own_configuration_is_a_good_one():
    assert checked("--config", DEPLOY / "debian" / "gateway.json").returncode == 0
    for name in ("minimal", "team", "container"):
        assert checked("--config", ROOT / "proxy-config" / "examples" / f"{name}.json").returncode == 0, name


def test_the_service_manager_is_told_that_it_is_ready_alive_and_stopping(simulate, serve, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        told = []
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        gateway = serve(simulate(), environment=environment)
        began = time.monotonic()
        while told.count("WATCHDOG=1") < 4:
            told.append(manager.recv(256).decode().strip())
        assert told[0] == "READY=1" and time.monotonic() - began < 4 * PATIENCE
        gateway.stays = False
        assert gateway.stop() == 0
        manager.settimeout(1)
        while told[-1] != "STOPPING=1":
            told.append(manager.recv(256).decode().strip())


# --- check ---


def test_check_advises_what_nvidia_smi_tells(tmp_path):
    fake = tmp_path / "nvidia-smi"
    fake.write_text('#!/bin/sh\ntest "$1" = --query-gpu=name,memory.total && echo "NVIDIA GeForce RTX 4090, 24564"\n')
    fake.chmod(0o755)
    done = checked(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0 and json.loads(done.stdout)["upstreams"][0]["max_concurrent"] == 3
    assert "24564 MiB (NVIDIA GeForce RTX 4090)" in done.stderr and '"vram": "22GiB"' in done.stderr
    assert "systemctl edit ollama" in done.stderr and "OLLAMA_NUM_PARALLEL=3" in done.stderr
    fake.write_text("#!/bin/sh\nexit 9\n")
    done = checked(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0 and "nvidia" not in done.stderr


def test_check_warns_of_what_is_open():
    done = checked(OLLAMA_GATEWAY_LISTEN="0.0.0.0:11435", OLLAMA_GATEWAY_ADMIN_LISTEN="0.0.0.0:9435")
    assert "listen 0.0.0.0:11435" in done.stderr and "admin.listen" in done.stderr
    assert "not loopback" not in checked().stderr


# --- in front of a systemd Ollama ---

# A systemctl for two services, which it really runs; each line that it is asked is noted.
FAKE_SYSTEMCTL = '''#!{python}
import os, pathlib, signal, subprocess, sys, time
home, root, build = pathlib.Path("{home}"), pathlib.Path("{root}"), pathlib.Path("{build}")
base = {base!r}

def environment(service):
    found = dict(base[service])
    for file in sorted(root.glob(f"etc/systemd/system/{{service}}.service.d/*.conf")):
        for line in file.read_text().splitlines():
            if line.startswith("Environment="):
                name, _, value = line[12:].partition("=")
                found[name] = value
    return found

what, *rest = sys.argv[1:]
with open(home / "asked", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
service = rest[-1].removesuffix(".service") if rest else ""
if what == "cat":
    sys.exit(0 if service in base else 1)
elif what == "show":
    print(*(f"{{n}}={{v}}" for n, v in environment(service).items()))
elif what == "restart":
    pid = home / f"{{service}}.pid"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGTERM)
        for _ in range(500):
            try:
                os.kill(int(pid.read_text()), 0)
            except ProcessLookupError:
                break
            time.sleep(0.01)
    env = {{"PATH": os.environ["PATH"], **environment(service)}}
    command = [build / "ollama-gateway", "serve"]
    if service == "ollama":
        command = [build / "ollama-sim", "--listen", env.pop("OLLAMA_HOST"), "--model", "llama3,load=0s",
                   "--num-parallel", env.pop("OLLAMA_NUM_PARALLEL", "1")]
    with open(home / f"{{service}}.log", "ab") as log:
        # Through a parent that goes: nobody is left to wait for it, and it leaves no zombie.
        started = subprocess.run(["sh", "-c", 'nohup "$@" >&2 & echo $!', "sh", *command], env=env, text=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    pid.write_text(started.stdout)
'''


class Machine:
    """A machine with an Ollama and a gateway as systemd would run them."""

    def __init__(self, home):
        self.home, self.root = home, home / "root"
        self.port, self.gateway_port, self.moved = free_port(), free_port(), free_port()
        (home / "bin").mkdir()
        self.base = {
            "ollama": {"OLLAMA_HOST": f"127.0.0.1:{self.port}"},
            "ollama-gateway": {
                "OLLAMA_GATEWAY_LISTEN": f"127.0.0.1:{self.gateway_port}",
                "OLLAMA_GATEWAY_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
                "OLLAMA_GATEWAY_UPSTREAMS": f"http://127.0.0.1:{self.port}",
            },
        }
        fake = home / "bin" / "systemctl"
        fake.write_text(
            FAKE_SYSTEMCTL.format(python=sys.executable, home=home, root=self.root, build=BUILD, base=self.base)
        )
        fake.chmod(0o755)
        self.path = f"{home / 'bin'}:{BUILD}:{os.environ['PATH']}"
        for service in self.base:
            subprocess.run([fake, "restart", service], check=True, env={"PATH": self.path})
        assert eventually(lambda: self.answers(self.port) and self.answers(self.gateway_port), within=15)

    def run(self, *arguments):
        command = [DEPLOY / "in-front", "--port", str(self.moved), *arguments]
        env = {"PATH": self.path, "ROOT": str(self.root)}
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120 * PATIENCE)

    def answers(self, port, path="/api/version"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def is_gateway(self, port):
        return self.answers(port, "/gateway/queue")

    def dropins(self):
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*.conf"))

    def asked(self):
        return (self.home / "asked").read_text().splitlines()

    def stop(self):
        for service in self.base:
            pid = self.home / f"{service}.pid"
            if pid.exists():
                try:
                    os.kill(int(pid.read_text()), 9)
                except ProcessLookupError:
                    pass


@pytest.fixture
def machine(tmp_path):
    it = Machine(tmp_path)
    yield it
    it.stop()


def test_in_front_takes_ollamas_place_and_gives_it_back(machine):
    done = machine.run("--dry-run")
    assert done.returncode == 0 and "would write" in done.stdout and f"OLLAMA_HOST=127.0.0.1:{machine.moved}" in done.stdout
    assert not machine.dropins() and not machine.is_gateway(machine.port)
    assert not any(line.startswith(("restart", "daemon-reload")) for line in machine.asked()[2:])

    done = machine.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.is_gateway(machine.port) and machine.answers(machine.moved) and not machine.is_gateway(machine.moved)
    assert len(machine.dropins()) == 2 and not machine.answers(machine.gateway_port)
    ollama = (machine.root / "etc/systemd/system/ollama.service.d/zz-ollama-gateway.conf").read_text()
    assert "OLLAMA_NUM_PARALLEL=3" in ollama
    again = machine.run()
    assert again.returncode == 0 and "already" in again.stdout

    done = machine.run("--undo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not machine.dropins() and not list(machine.root.rglob("*.service.d"))
    assert eventually(lambda: machine.answers(machine.port) and machine.is_gateway(machine.gateway_port), within=10)
    assert not machine.is_gateway(machine.port)
    assert "nothing to undo" in machine.run("--undo").stdout


def test_in_front_puts_everything_back_when_the_gateway_does_not_come_up(machine):
    broken = machine.home / "bin" / "curl"  # nothing ever answers
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    (machine.home / "bin" / "sleep").write_text("#!/bin/sh\n")
    (machine.home / "bin" / "sleep").chmod(0o755)
    done = machine.run("--parallel", "7")
    assert done.returncode == 1 and "putting everything back" in done.stderr
    assert not machine.dropins()
    assert eventually(lambda: machine.answers(machine.port) and not machine.is_gateway(machine.port), within=10)


def test_in_front_says_what_it_does_not_understand(machine):
    assert machine.run("--nonsense").returncode == 2
    assert machine.run("--parallel", "many").returncode == 1
    assert "--undo" in machine.run("--help").stdout


def test_without_systemd_in_front_says_what_to_do_by_hand(tmp_path):
    for tool in ("bash", "dirname", "sed", "printf"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = subprocess.run([DEPLOY / "in-front"], capture_output=True, text=True, env={"PATH": str(tmp_path)})
    assert done.returncode == 1 and "OLLAMA_HOST" in done.stderr
