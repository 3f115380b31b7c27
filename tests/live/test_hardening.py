"""What the compiler and the linker were asked for is in the programs (SECURITY.md), and a listener for every
address is warned about."""

# ctest: busy

import json
import re
import shutil
import subprocess
import time

import pytest

from access import Key
from harness import BUILD, SANITIZED

PROGRAMS = ["ollama-gateway", "ollama-sim"]


def readelf(option, program):
    done = subprocess.run(["readelf", "-W", option, BUILD / program], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(SANITIZED, reason="a sanitizer brings its own")
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_are_hardened(program):
    assert re.search(r"Type:\s+DYN", readelf("-h", program))  # position independent
    dynamic = readelf("-d", program)
    assert re.search(r"FLAGS_1\).*\bNOW\b.*\bPIE\b", dynamic), dynamic
    assert not re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", dynamic), dynamic
    segments = {line.split()[0]: line for line in readelf("-l", program).splitlines() if "0x" in line and line.split()}
    assert "GNU_RELRO" in segments
    assert re.search(r"\sRW\s", segments["GNU_STACK"]), segments["GNU_STACK"]  # no E
    assert not [line for line in segments.values() if re.search(r"\sRWE\s", line)]


@pytest.mark.skipif(SANITIZED, reason="a sanitizer brings its own")
@pytest.mark.parametrize("program", PROGRAMS)
def test_buffers_and_stacks_are_guarded(program):
    symbols = readelf("--dyn-syms", program)
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__(mem|str|sn|vsn|fd|read|poll)\w*_chk", symbols), "nothing is fortified"


def test_keys_are_compared_in_constant_time():
    """By the function that is made for it: a measurement would prove nothing on a machine that does other things."""
    assert "CRYPTO_memcmp" in readelf("--dyn-syms", "ollama-gateway")


def said_by(arguments, until, within=20):
    """Standard error of a gateway in a network of its own, until a line has `until` in it."""
    process = subprocess.Popen(
        ["unshare", "-rn", BUILD / "ollama-gateway", "serve", "--log-format", "json", *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = []
    deadline = time.monotonic() + within
    try:
        while time.monotonic() < deadline:
            lines.append(process.stderr.readline())
            if until in lines[-1] or not lines[-1]:
                break
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert until in lines[-1], lines
    return lines


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode != 0,
    reason="no network namespaces here",
)
def test_a_listener_for_everybody_is_warned_about_unless_there_are_keys(tmp_path):
    config, keys = tmp_path / "gateway.json", tmp_path / "keys"
    where = {"listen": ["0.0.0.0:11435"], "admin": {"listen": "0.0.0.0:9435"}}
    keys.touch(mode=0o600)
    keys.write_text(Key("ada").line + "\n")

    def warnings(auth):
        config.write_text(json.dumps({**where, "auth": auth}))
        lines = [json.loads(line) for line in said_by(["--config", config], '"serving"')]
        return [str(line) for line in lines if line["level"] == "warning"]

    for auth in ({}, {"keys_file": str(keys), "exempt": ["generation"]}):
        listening, admin = warnings(auth)
        assert "0.0.0.0:11435" in listening and "without keys" in listening
        assert "0.0.0.0:9435" in admin
    (admin,) = warnings({"keys_file": str(keys), "exempt": ["/api/version"]})
    assert "0.0.0.0:9435" in admin
