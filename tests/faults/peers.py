"""nginx and HAProxy before a given upstream, configured as bench/compare does; for comparisons only."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from processes import ROOT, free_port

TEMPLATES = ROOT / "bench" / "compare.d"


class Peer:
    """One of them, started; `version` as it says it itself. Raises FileNotFoundError when it is not installed."""

    def __init__(self, name, upstream_port):
        self.name, self.port = name, free_port()
        self._directory = tempfile.TemporaryDirectory(prefix=f"{name}-")
        binary = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
        if not binary:
            raise FileNotFoundError(name)
        said = subprocess.run([binary, "-v"], capture_output=True, text=True)
        self.version = re.search(r"version\D*(\d[^\s]*)", said.stderr + said.stdout).group(1)
        config = self._configure({"nginx": "nginx.conf.in", "haproxy": "haproxy.cfg.in"}[name], upstream_port)
        command = {
            "nginx": [binary, "-e", f"{self._directory.name}/error.log", "-p", self._directory.name, "-c", config],
            "haproxy": [binary, "-db", "-f", config],
        }[name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise AssertionError(f"{name} did not start")

    def _configure(self, template, upstream_port):
        values = {
            "PORT": self.port,
            "QUEUE_PORT": free_port(),
            "ORIGIN": upstream_port,
            "DIR": self._directory.name,
            "FILES": 4096,
            "USER": "user root;" if os.geteuid() == 0 else "",
        }
        text = (TEMPLATES / template).read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        path = Path(self._directory.name) / template.removesuffix(".in")
        path.write_text(text)
        return path

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._directory.cleanup()
