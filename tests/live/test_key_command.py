"""`ollama-gateway key new`, and a configuration whose keys file is bad (SPEC §2)."""

# ctest: busy

import hashlib
import json
import re
import subprocess

import pytest

from access import Key
from harness import BUILD


def run(*arguments):
    return subprocess.run([BUILD / "ollama-gateway", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_it_prints_the_key_and_its_line_and_the_gateway_takes_them(serve, simulate):
    made = run("key", "new", "ada")
    assert made.returncode == 0
    key, line = made.stdout.splitlines()
    assert re.fullmatch(r"gw_[a-z2-7]{8}_[a-z2-7]{52}", key)
    assert line == f"{key[:11]} sha256:{hashlib.sha256(key.encode()).hexdigest()} ada inference,jobs"
    assert key not in made.stderr and "auth.keys_file" in made.stderr
    gateway = serve(simulate(), keys=[line], key=key)
    assert gateway.get("/api/tags").status == 200


def test_scopes_and_priority_stand_in_the_line():
    key, line = run("key", "new", "nightly", "--scope", "management,inference", "--priority", "background").stdout.split("\n")[:2]
    assert line.split(" ", 2)[2] == "nightly inference,management background"
    assert run("key", "new", "ops", "--scope", "admin").stdout.splitlines()[1].endswith(" ops admin")


def test_no_two_keys_are_alike():
    keys = {run("key", "new", "ada").stdout.split("\n")[0] for _ in range(5)}
    assert len(keys) == 5 and len({key[:11] for key in keys}) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["new"], ["new", ""], ["new", "a b"], ["new", "x" * 65], ["new", "a", "b"], ["new", "a", "--scope", ""],
        ["new", "a", "--scope", "all"], ["new", "a", "--scope", "inference,inference"], ["new", "a", "--priority", "high"],
        ["old", "a"],
    ],
)  # fmt: skip
def test_what_it_does_not_understand_is_bad_usage(arguments):
    done = run("key", *arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr


def test_a_bad_keys_file_is_a_mistake_in_the_configuration(tmp_path):
    keys, config = tmp_path / "keys", tmp_path / "gateway.json"
    config.write_text(json.dumps({"auth": {"keys_file": str(keys)}, "queue": {"max_waiting": -1}}))
    key = Key("ada")

    def mistakes():
        done = run("check", "--config", config)
        assert done.returncode == 2 and "queue.max_waiting" in done.stderr
        return done.stderr

    assert f"auth.keys_file: {keys} cannot be read" in mistakes()
    keys.touch(mode=0o600)
    keys.write_text(f"{key.line}\n{key.text}\ngw_abc\n")
    said = mistakes()
    assert f"auth.keys_file: {keys}:2: " in said and f"auth.keys_file: {keys}:3: " in said
    assert key.secret not in said and key.hash not in said
    keys.write_text(key.line)
    keys.chmod(0o622)
    assert "can be written by others" in mistakes()
    keys.chmod(0o600)
    config.write_text(json.dumps({"auth": {"keys_file": str(keys)}}))
    done = run("check", "--config", config)
    assert done.returncode == 0 and json.loads(done.stdout)["auth"]["keys_file"] == str(keys)
    assert key.hash not in done.stdout
