"""`ollama-gateway top`: the live view at a terminal, and once where there is none (SPEC §2)."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest

from harness import BUILD, PATIENCE, eventually, free_port
from queueing import HOLDER, QUICK, Calls, user


class Top:
    """A `top` at a terminal of its own; `screen()` is what its last frame shows."""

    def __init__(self, *arguments, columns=80, lines=24):
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [BUILD / "ollama-gateway", "top", *map(str, arguments)], stdin=slave, stdout=slave, stderr=subprocess.PIPE
        )
        self.text = b""

    def resize(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                self.text += os.read(self.master, 65536)
            except OSError:
                return

    def screen(self):
        self.read()
        frames = self.text.decode(errors="replace").split("\x1b[H")
        whole = [frame for frame in frames if frame.rstrip("\x1b[?25h1049l").endswith("\x1b[J")] or frames
        return re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", whole[-1])

    def until(self, text, within=10):
        assert eventually(lambda: text in self.screen(), within, 0.05), self.screen()

    def press(self, key):
        os.write(self.master, key)

    def end(self, within=5):
        code = self.process.wait(within * PATIENCE)
        self.read()
        self.process.stderr.close()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def top():
    started = []

    def start(*arguments, **more):
        started.append(Top(*arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def one_slot(simulate, serve):
    return serve(simulate(HOLDER, QUICK), {"upstream": {"max_concurrent": 1}})


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_it_shows_a_queue_that_forms_and_drains_and_leaves_the_terminal_as_it_was(one_slot, top, key):
    shown = top("--admin", f"127.0.0.1:{one_slot.admin_port}")
    shown.until("0 running, 0 waiting")
    with Calls(one_slot) as calls:
        calls.hold()
        calls.queued("chat", "waits", user("anna"))
        shown.until("1 running, 1 waiting")
        shown.until("anna")
        assert "\x1b[91m" in shown.text.decode(errors="replace")  # who waits is red
        lines = shown.screen().replace("\r", "").split("\n")
        assert len(lines) <= 24 and max(map(len, lines)) <= 80
        shown.resize(120, 40)
        shown.until("1 running, 1 waiting")
        calls.let_go()
        shown.until("0 running, 0 waiting")
    shown.press(key)
    assert shown.end() == 0
    assert b"\x1b[?1049h" in shown.text and shown.text.rstrip().endswith(b"\x1b[?1049l")
    assert termios.tcgetattr(shown.slave) == shown.before


def test_it_waits_for_a_gateway_that_is_not_there_and_finds_it_again(one_slot, top):
    shown = top("--admin", f"127.0.0.1:{free_port()}")
    shown.until("refused")
    shown.press(b"q")
    assert shown.end() == 0
    shown = top("--admin", f"127.0.0.1:{one_slot.admin_port}")
    shown.until("serving")
    one_slot.stays = False
    assert one_slot.stop() == 0
    shown.until("refused")
    shown.process.terminate()
    assert shown.end() == 0 and termios.tcgetattr(shown.slave) == shown.before


def test_where_there_is_no_terminal_it_says_it_once(one_slot):
    def once(*arguments, **environment):
        command = [BUILD / "ollama-gateway", "top", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment)

    began = time.monotonic()
    done = once("--admin", f"127.0.0.1:{one_slot.admin_port}")
    assert done.returncode == 0 and "0 running, 0 waiting" in done.stdout and "\x1b" not in done.stdout
    assert time.monotonic() - began < 5 * PATIENCE
    assert once("--config", str(one_slot.config_file)).stdout.startswith("ollama-gateway ")
    assert once(OLLAMA_GATEWAY_ADMIN_LISTEN=f"127.0.0.1:{one_slot.admin_port}").returncode == 0
    done = once("--admin", f"127.0.0.1:{free_port()}")
    assert done.returncode == 1 and "refused" in done.stderr and not done.stdout
    assert once("--admin", "nonsense").returncode == 1
