"""A program under test as a process: started on a free port, its standard error kept, its descriptors and
sockets counted."""

import collections
import fcntl
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("GATEWAY_BUILD_DIR") or ROOT / "build")
SANITIZED = bool(os.environ.get("GATEWAY_SANITIZE"))

# How much longer than usual things may take under a sanitizer.
PATIENCE = 5 if SANITIZED else 1

SANITIZER_LINE = re.compile(
    r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:|terminate called|"
    r"Assertion .* failed|stack smashing detected"
)
CLOSE_WAIT, ESTABLISHED = "08", "01"


def _own_ports():
    """Ports for this process alone, below those that the kernel gives to outgoing connections, and the lock on them:
    tests run beside each other, and one may want a port where nobody listens."""
    first, each, parts = 20000, 500, 24
    for n in range(parts):
        try:
            lock = open(Path(tempfile.gettempdir()) / f"ollama-gateway-ports-{n}", "a")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        return range(first + n * each, first + (n + 1) * each), lock
    return range(first, first + parts * each), None


_ours, _lock = _own_ports()
_given = collections.deque(maxlen=200)


def free_port(among=_ours):
    """A port nobody listens on; not one that was given lately, whose taker may not listen yet."""
    while True:
        port = random.SystemRandom().choice(among)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.append(port)
            return port


def eventually(condition, within=2.0, step=0.01):
    """Polls until condition() is true; returns its last value. `within` is stretched under sanitizers."""
    deadline = time.monotonic() + within * PATIENCE
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(step)


class Process:
    def __init__(self, name, arguments, environment=None):
        self.name = name
        self.arguments = [str(BUILD / name), *map(str, arguments)]
        self._errors = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log", delete=False)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OLLAMA_", "http"))}
        self.process = subprocess.Popen(
            self.arguments,
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            env={**clean, **(environment or {})},
        )
        self.pid = self.process.pid

    def alive(self):
        return self.process.poll() is None

    def output(self):
        """What it has written so far, standard output and error."""
        return Path(self._errors.name).read_text(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, within=10.0):
        """Its exit code; kills it, and fails, when it does not end in time."""
        try:
            return self.process.wait(within * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end:\n{self.tail()}") from None

    def stop(self, within=10.0):
        if self.alive():
            self.signal(signal.SIGTERM)
        code = self.wait(within)
        self._errors.close()
        return code

    def discard(self):
        """Ends it whatever it does, and its log with it."""
        if self.alive():
            self.process.kill()
            self.process.wait()
        self._errors.close()
        Path(self._errors.name).unlink(missing_ok=True)

    def tail(self, lines=40):
        return "\n".join(self.output().splitlines()[-lines:])

    def findings(self):
        """Lines of sanitizers and of a dying runtime."""
        return [line for line in self.output().splitlines() if SANITIZER_LINE.search(line)]

    # --- what the kernel says of it ---

    def descriptors(self):
        """What each of its open descriptors is."""
        found = []
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            try:
                found.append(os.readlink(entry.path))
            except FileNotFoundError:
                pass
        return found

    def sockets(self):
        """Its TCP sockets as (state, local port, remote port): the table joined with its own descriptors."""
        mine = {text[8:-1] for text in self.descriptors() if text.startswith("socket:[")}
        found = []
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                column = line.split()
                if column[9] in mine:
                    ports = [int(column[n].rsplit(":", 1)[1], 16) for n in (1, 2)]
                    found.append((column[3], *ports))
        return found

    def close_wait(self):
        return sum(state == CLOSE_WAIT for state, _, _ in self.sockets())

    def resident(self):
        """Resident memory, bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
