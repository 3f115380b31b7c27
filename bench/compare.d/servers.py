"""What is compared: starts the origin and the proxies in front of it, and stops them by their own ids."""

import http.client
import os
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(port, path, timeout=5.0):
    """Status and body of one GET, or (0, b"")."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


class Server:
    """One child process that answers at `port` once its `ready` path does."""

    def __init__(self, name, command, port, log, ready="/api/version"):
        self.name, self.port = name, port
        self.log = open(log, "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 15
        while get(port, ready, 1.0)[0] != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{name} did not start: {Path(log).read_text()[-2000:]}")
            time.sleep(0.05)

    def pids(self):
        """The process and its children: nginx works in a child."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class Field:
    """Everything that runs during a comparison. `servers` has a server per target; a target that is
    missing on this machine has its reason in `missing`."""

    def __init__(self, build, directory):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.build, self.directory = Path(build).resolve(), Path(directory)
        self.files = hard
        self.servers, self.missing = {}, {}
        self.extra_ports = {}
        self.generator = self.build / "gateway-load"
        self.gateway_binary = self.build / "ollama-gateway"
        for needed in (self.generator, self.build / "gateway-origin"):
            if not needed.exists():
                raise RuntimeError(f"{needed} is missing: build first (cmake --build {self.build})")

    def __enter__(self):
        try:
            port = free_port()
            self.origin = self._keep(Server("direct", [
                self.build / "gateway-origin", "--listen", f"127.0.0.1:{port}"], port, self._log("origin")))
            self._start_nginx()
            self._start_haproxy()
            if self.gateway_binary.exists():
                self._keep(self.start_gateway("gateway", permits=4000))
            else:
                self.missing["gateway"] = f"{self.gateway_binary} is not built"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for server in reversed(list(self.servers.values())):
            server.stop()

    def _keep(self, server):
        self.servers[server.name] = server
        return server

    def _log(self, name):
        return self.directory / f"{name}.log"

    def _configure(self, template, **values):
        text = (HERE / template).read_text()
        values |= {"DIR": self.directory, "ORIGIN": self.origin.port, "FILES": self.files}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        path = self.directory / f"{values['PORT']}-{template.removesuffix('.in')}"
        path.write_text(text)
        return path

    def _start_nginx(self):
        binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if not binary:
            self.missing["nginx"] = "nginx is not installed"
            return
        port = free_port()
        # As root nginx would work as nobody, who may not see a private directory.
        user = "user root;" if os.geteuid() == 0 else ""
        config = self._configure("nginx.conf.in", PORT=port, USER=user)
        self._keep(Server("nginx", [binary, "-e", self._log("nginx"), "-p", self.directory, "-c", config],
                          port, self._log("nginx")))

    def _start_haproxy(self):
        binary = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        if not binary:
            self.missing["haproxy"] = self.missing["haproxy-queue"] = "haproxy is not installed"
            return
        port, queue = free_port(), free_port()
        config = self._configure("haproxy.cfg.in", PORT=port, QUEUE_PORT=queue)
        self._keep(Server("haproxy", [binary, "-db", "-f", config], port, self._log("haproxy")))
        self.extra_ports["haproxy-queue"] = queue

    def start_gateway(self, name, permits):
        port, admin = free_port(), free_port()
        config = self._configure("gateway.json.in", PORT=port, ADMIN_PORT=admin, PERMITS=permits)
        server = Server(name, [self.gateway_binary, "serve", "--config", config], port, self._log(name))
        server.admin_port = admin
        return server

    def load(self, target, arguments, timeout=150):
        """Runs gateway-load against a target; its figures, or None for a target that is missing.
        `gateway-queue` is a fresh gateway with one permit, for this run alone."""
        if target.removesuffix("-queue") in self.missing:
            return None
        fresh = self.start_gateway(target, permits=1) if target == "gateway-queue" else None
        try:
            server = fresh or self.servers[target.removesuffix("-queue")]
            return self.run(server, self.extra_ports.get(target, server.port), arguments, timeout)
        finally:
            if fresh:
                fresh.stop()

    def run(self, server, port, arguments, timeout):
        command = [self.generator, arguments[0], "--target", f"127.0.0.1:{port}",
                   "--origin", f"127.0.0.1:{self.origin.port}", *arguments[1:]]
        if server is not self.origin:
            command += ["--cpu", "proxy=" + ",".join(map(str, server.pids()))]
        command += ["--cpu", f"origin={self.origin.process.pid}"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
        return done.stdout
