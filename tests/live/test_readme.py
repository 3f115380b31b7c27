"""What README.md promises: each of its commands is run, here or where this file says; each metric is there."""

# ctest: timeout 900

import json
import os
import re
import shutil
import subprocess

import pytest

from dialects import ONE_OF_EACH, call_of
from harness import BUILD, PATIENCE, ROOT, SANITIZED, eventually, free_port

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("    #")[0].rstrip()
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]

# Commands that cannot be run in the middle of this test, and what sees to them.
ELSEWHERE = {
    "deploy/quickstart": "test_the_quick_start_and_all_that_it_prints, detached",
    "sudo deploy/in-front --dry-run": "test_deploy.py",
    "sudo deploy/in-front": "test_deploy.py",
    "sudo deploy/in-front --undo": "test_deploy.py",
    "cmake -S . -B build -G Ninja && cmake --build build && (cd build && cpack)": "test_package.py",
    "sudo apt install ./build/ollama-gateway_*.deb": "test_package.py, with dpkg in a root of its own",
    "sudo systemctl reload ollama-gateway": "SIGHUP: test_reload.py",
    "docker compose -f deploy/compose.yml up -d": "needs images from elsewhere; test_the_compose_file…",
    "ollama-gateway top": "test_top.py",
    "ollama-gateway top --admin 127.0.0.1:9435": "test_top.py",
}
JOBS = (ROOT / "tests/live/test_jobs_command.py").read_text()


def bash(command, gateway=None, **more):
    """Runs it as somebody would who has the program installed; the README's ports are those of `gateway`."""
    if gateway:
        command = command.replace("127.0.0.1:11435", f"127.0.0.1:{gateway.port}")
        command = command.replace("127.0.0.1:9435", f"127.0.0.1:{gateway.admin_port}")
    environment = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}
    timeout = more.pop("timeout", 60 * PATIENCE)
    return subprocess.run(
        ["bash", "-euc", command], capture_output=True, text=True, timeout=timeout, env=environment, **more
    )


def test_every_command_is_run_somewhere(pair, tmp_path):
    gateway, _ = pair
    (tmp_path / "gateway.json").write_text(re.search(r"^```jsonc\n([^`]*?\"listen\".*?)^```", README, re.M | re.S).group(1))
    tests_run = (ROOT / "tests" / "run").read_text()
    unseen = set(ELSEWHERE)
    ran = 0
    for command in COMMANDS:
        words = command.split()
        if command in ELSEWHERE:
            unseen.discard(command)
        elif words[:2] == ["ollama-gateway", "jobs"]:
            assert words[2].split("|")[0] in JOBS, command  # test_jobs_command.py
        elif words[:2] == ["ollama-gateway", "key"]:
            done = bash(command)
            assert done.returncode == 0 and words[3] in done.stdout, done.stderr
            ran += 1
        elif words[0] == "export":
            name, value = words[1].split("=", 1)
            assert bash(f'{command}; curl -fs "${name}/models"' if value.endswith("/v1") else command, gateway).returncode == 0
            ran += 1
        elif words[0] == "curl":
            done = bash(command, gateway)
            assert done.returncode == 0 and done.stdout, (command, done.stderr)
            ran += 1
        elif words[0] == "ollama-gateway" and words[1] == "check":
            done = bash(command, cwd=tmp_path)
            assert done.returncode == 0 and json.loads(done.stdout), done.stderr
            ran += 1
        elif words[0] == "ollama-gateway" and words[1] == "serve":
            # On other ports: somebody's own gateway may have these.
            places = f"--listen 127.0.0.1:{free_port()} --admin 127.0.0.1:{free_port()}"
            done = bash(f"timeout -s TERM {2 * PATIENCE} {command} {places} || test $? = 124", cwd=tmp_path)
            assert done.returncode == 0 and "serving" in done.stderr and "stopped" in done.stderr, done.stderr
            ran += 1
        elif words[0] == "tests/run":
            for option in words[1:2]:
                assert option == "-R" or f"{option})" in tests_run, command
        elif command == "cmake -S . -B build -G Ninja && cmake --build build":
            configured = f"cmake -S . -B {tmp_path}/build -G Ninja --log-level=WARNING"
            known = f"ninja -C {tmp_path}/build -t query ollama-gateway ollama-sim"
            done = bash(f"{configured} && {known}", cwd=ROOT, timeout=180 * PATIENCE)
            assert done.returncode == 0, done.stdout + done.stderr
            ran += 1
        elif words[:2] == ["cmake", "--preset"]:
            presets = bash("cmake --list-presets", cwd=ROOT).stdout
            assert f'"{words[2]}"' in presets
            ran += 1
        else:
            raise AssertionError(f"nobody runs this: {command}")
    assert not unseen, f"no longer in README.md: {unseen}"
    assert ran >= 6


@pytest.mark.skipif(SANITIZED or BUILD.resolve() != ROOT / "build", reason="it builds in build/, as shipped")
def test_the_quick_start_and_all_that_it_prints():
    done = bash("deploy/quickstart --detach", cwd=ROOT, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    stop = re.search(r"^To stop: (kill [\d ]+)$", done.stdout, re.M).group(1)
    try:
        commands = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]
        assert len(commands) >= 6
        for command in commands:
            ran = bash(command, timeout=120)
            assert ran.returncode == 0, (command, ran.stderr)
            if "X-Queue-Events" in command:
                assert '"queue_status"' in ran.stdout and '"position"' in ran.stdout
        dashboard = re.search(r"^The dashboard: (\S+)", done.stdout, re.M).group(1)
        assert "<title>ollama-gateway</title>" in bash(f"curl -fs {dashboard}").stdout
        again = bash("deploy/quickstart --detach", cwd=ROOT, timeout=200)
        assert "already running" in again.stdout
    finally:
        assert bash(stop).returncode == 0
        pids = stop.split()[1:]
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), within=10)


def test_the_compose_file_names_files_that_are_there():
    text = (ROOT / "deploy" / "compose.yml").read_text()
    mounted = re.findall(r"- (\.\.?/[^:]+):", text)
    assert len(mounted) >= 5
    for path in mounted:
        assert (ROOT / "deploy" / path).exists(), path
    for path in re.findall(r"^COPY (?!--from)(\S+) ", (ROOT / "deploy" / "Dockerfile").read_text(), re.M):
        assert (ROOT / path).exists(), path
    if shutil.which("docker") and bash("docker compose version").returncode == 0:
        assert bash("docker compose -f deploy/compose.yml config -q", cwd=ROOT).returncode == 0


def test_the_table_of_metrics_is_the_metrics(pair):
    gateway, simulator = pair
    for kind in ONE_OF_EACH:
        assert gateway.post(*call_of(kind)).complete
    simulator.fault("no_done", count=1)
    gateway.post(*call_of("generate"))
    page = gateway.admin("/metrics").body.decode()
    exposed = {m.removeprefix("ollama_gateway_") for m in re.findall(r"^# TYPE (\S+)", page, re.M)}
    exposed = {name for name in exposed if not name.startswith("process_")}
    table = README.split("<!-- metrics -->")[1].split("<!-- end of metrics -->")[0]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.M)
    told = {name: set(labels.replace(",", " ").split()) for name, labels in rows}
    # These are there once there is something to tell; test_models_*.py see to that.
    sometimes = {"fallbacks_total", "learned_parallel", "vram_budget_bytes"}
    assert exposed | sometimes == set(told), (exposed | sometimes) ^ set(told)
    for (name, labels), _ in gateway.metrics().items():
        family = re.sub(r"_(bucket|sum|count)$", "", name.removeprefix("ollama_gateway_"))
        if family in told:
            assert {label for label, _ in labels} - {"le"} <= told[family], name
