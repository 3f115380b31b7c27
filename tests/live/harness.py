"""What the tests of the whole program are written in: a simulated Ollama, a gateway in front of it, clients by
hand, and what must hold after every test. The fixtures are in conftest.py."""

import json
import re
import resource
import tempfile
from pathlib import Path

from processes import BUILD, ESTABLISHED, PATIENCE, ROOT, SANITIZED, Process, eventually, free_port
from raw_http import Answer, AsyncClient, Client, request_bytes

__all__ = [
    "BUILD", "PATIENCE", "ROOT", "SANITIZED", "Answer", "AsyncClient", "Client", "Gateway", "Metrics", "Process",
    "Simulator", "eventually", "free_port", "parse_metrics", "request_bytes",
]  # fmt: skip

# A thousand clients and their gateway in one test.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


class Speaks:
    """What a started server can be asked over HTTP; `host` and `port` say where."""

    host = "127.0.0.1"

    def client(self, **more):
        return Client(self.host, self.port, **more)

    def async_client(self):
        return AsyncClient(self.host, self.port)

    def call(self, method, target, body=None, headers=(), **more):
        """One request on a connection of its own, read to its end."""
        with self.client(**more) as client:
            return client.request(method, target, body, {"Connection": "close", **dict(headers)}).finish()

    def get(self, target, headers=(), **more):
        return self.call("GET", target, None, headers, **more)

    def post(self, target, body=None, headers=(), **more):
        return self.call("POST", target, b"" if body is None else body, headers, **more)


def _started(make, ready, attempts=3):
    """Starts a process and waits until it is ready; once more on another port when it was quicker than we."""
    for attempt in range(attempts):
        process = make()
        if eventually(lambda: ready(process) or not process.alive(), within=15) and process.alive():
            return process
        said, in_use = process.tail(), "in use" in process.output()
        process.discard()
        if not in_use or attempt == attempts - 1:
            raise AssertionError(f"{process.name} did not come up:\n{said}")
    return None


class Simulator(Process, Speaks):
    """An ollama-sim. Flags as on its command line; models as it spells them:
    Simulator.start("llama3,load=0s,prompt=10ms,rate=100,tokens=20", flags=["--num-parallel", "4"])"""

    QUICK = "llama3,load=20ms,prompt=10ms,rate=200,tokens=20"

    @classmethod
    def start(cls, *models, flags=(), port=None, there=True):
        """`there`: a model that loads in no time (load=0s) is there from the beginning, and so is the default."""

        def make():
            chosen = port or free_port()
            arguments = ["--listen", f"127.0.0.1:{chosen}"]
            for model in models or (cls.QUICK,):
                arguments += ["--model", model]
            if "--num-parallel" not in flags:
                arguments += ["--num-parallel", 16]
            if there and "--max-loaded" not in flags:
                arguments += ["--max-loaded", 0]
            return cls(chosen, [*arguments, *flags])

        simulator = _started(make, lambda sim: "listening on" in sim.output())
        for model in models or (cls.QUICK,):
            name, *settings = str(model).split(",")
            if there and ("load=0s" in settings or not models):
                simulator.load_behind_back(name)
                simulator.there.append(name)
        return simulator

    def __init__(self, port, arguments):
        super().__init__("ollama-sim", arguments)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.there = []  # models that were loaded before anybody asked for them

    def control(self, method, target, body=None):
        answer = self.call(method, target, {} if body is None else body)
        assert answer.status == 200, f"{method} {target}: {answer.status} {answer.body}"
        return answer.json()

    def fault(self, kind, model="*", **more):
        """From now on: silent_head, silent_mid, reset_mid, early_end, no_done, garbage, slow, load_fail,
        unload_noop, ps_hang, …; more: count, path, after, ms, status, size, text."""
        self.control("POST", "/sim/fault", {"kind": kind, "model": model, **more})

    def clear_faults(self):
        self.control("DELETE", "/sim/fault")

    def stats(self):
        """running, peak, in_flight, runs, aborts, loads, unloads, loaded, …; times are milliseconds of
        CLOCK_MONOTONIC, as time.monotonic() * 1000."""
        return self.control("GET", "/sim/stats")

    def requests(self, target=None):
        """The last requests as they came, the oldest first; with a target only those to it."""
        return [r for r in self.control("GET", "/sim/requests") if target in (None, r["target"])]

    def reset(self):
        self.control("POST", "/sim/reset")

    def set_model(self, name, **what):
        self.control("POST", "/sim/model", {"name": name, **what})

    def load_behind_back(self, name, **more):
        """It is there at once, as if somebody else had loaded it; more: options, keep_alive."""
        self.control("POST", "/sim/loaded", {"model": name, **more})

    def drop_behind_back(self, name):
        self.control("DELETE", "/sim/loaded", {"model": name})

    def restart(self, away=0.1):
        """Cuts everything, refuses connections for so many seconds, and comes back with nothing loaded."""
        self.control("POST", "/sim/restart", {"ms": away * 1000})


class Metrics(dict):
    """A scrape: (name, ((label, value), …)) → number."""

    def value(self, name, **labels):
        """The sum of the samples of that name that have these labels; 0.0 when there is none."""
        return sum(
            number
            for (sample, having), number in self.items()
            if sample in (name, f"ollama_gateway_{name}") and labels.items() <= dict(having).items()
        )

    def names(self):
        return {name for name, _ in self}


_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)')


def parse_metrics(text):
    """Reads the text format strictly: a line that is none raises."""
    found = Metrics()
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        if not match:
            raise ValueError(f"no sample: {line!r}")
        name, labels, number = match.groups()
        key = (name, tuple(sorted(_LABEL.findall(labels or ""))))
        if key in found:
            raise ValueError(f"twice: {line!r}")
        found[key] = float(number.replace("Inf", "inf"))
    return found


def merged(base, over):
    """`over` laid over `base`, object by object."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


class Gateway(Process, Speaks):
    """An ollama-gateway with a configuration of its own. `expected` takes patterns of log lines of level error
    that the test brings about; without one every such line fails it. `key` is shown by every call() that has no
    Authorization of its own."""

    @classmethod
    def start(
        cls, upstream, config=None, arguments=(), environment=None, port=None, warm=True, keys=None, key=None
    ):
        """upstream: a Simulator, a URL, several of them as {name: Simulator or URL}, or None when the
        configuration names them. Waits for /healthz, then takes the base of descriptors after one request. keys: the
        lines of a keys file; key: one of its keys."""
        if not isinstance(upstream, dict):
            upstream = {"local": upstream} if upstream else {}
        urls = {name: getattr(one, "url", one) for name, one in upstream.items()}

        def make():
            chosen, admin = port or free_port(), free_port()
            whole = {
                "listen": f"127.0.0.1:{chosen}",
                "admin": {"listen": f"127.0.0.1:{admin}"},
                "log": {"format": "json"},
            }
            if urls:
                whole["upstreams"] = [{"name": name, "url": url} for name, url in urls.items()]
            over = dict(config or {})
            given = over.pop("upstream", None)  # settings of each upstream, without its URL
            named = over.pop("upstreams_by_name", {})  # or of one: {name: settings}
            whole = merged(whole, over)
            for one in whole.get("upstreams", []):
                one.update(given or {})
                one.update(named.get(one["name"], {}))
            return cls(chosen, admin, whole, arguments, environment, keys, key)

        gateway = _started(make, lambda g: g._healthy())
        there = {name for one in upstream.values() for name in getattr(one, "there", ())}
        if there and warm:
            eventually(lambda: there <= gateway.ready())
        if warm:
            gateway.get("/api/version")
        readings = [gateway._rested()]
        eventually(lambda: readings.append(gateway._rested(0.05)) or readings[-1] == readings[-2], within=1)
        gateway.base = readings[-1]
        return gateway

    def __init__(self, port, admin_port, config, arguments, environment, keys=None, key=None):
        self.port, self.admin_port, self.key = port, admin_port, key
        self._directory = tempfile.TemporaryDirectory(prefix="ollama-gateway-")
        if keys is not None:
            self.keys_file = Path(self._directory.name) / "keys"
            self.write_keys(*keys)
            config = merged(config, {"auth": {"keys_file": str(self.keys_file)}})
        self.config = config
        self.config_file = Path(self._directory.name) / "gateway.json"
        self.config_file.write_text(json.dumps(config, indent=2))
        self.expected = []
        self.stays = True  # a test that ends the gateway says False
        self.serves = ("POST", "/api/generate", {"model": "llama3", "prompt": "still there?", "stream": False})
        super().__init__("ollama-gateway", ["serve", "--config", self.config_file, *arguments], environment)
        self.url = f"http://127.0.0.1:{port}"

    def discard(self):
        super().discard()
        self._directory.cleanup()

    def write_keys(self, *lines):
        self.keys_file.touch(mode=0o600)
        self.keys_file.write_text("".join(f"{line}\n" for line in lines))

    # --- asking ---

    def call(self, method, target, body=None, headers=(), **more):
        own = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return super().call(method, target, body, {**own, **dict(headers)}, **more)

    def _healthy(self):
        try:
            return self.admin("/healthz").status == 200
        except OSError:
            return False

    def admin(self, target, method="GET", body=None, headers=()):
        with Client(self.host, self.admin_port) as client:
            return client.request(method, target, body, {"Connection": "close", **dict(headers)}).finish()

    def metrics(self):
        answer = self.admin("/metrics")
        assert answer.status == 200 and answer.complete
        return parse_metrics(answer.body.decode())

    def status(self):
        return self.admin("/status").json()

    def ready(self):
        """The names of the models that are ready somewhere, without `:latest`."""
        models = self.status()["models"]
        return {m["name"].removesuffix(":latest") for m in models if m["state"] == "ready"}

    def queue(self):
        return self.get("/gateway/queue").json()

    def until_waiting(self, count, within=5.0):
        """Waits until so many calls wait."""
        assert eventually(lambda: self.queue()["waiting"] == count, within), self.queue()

    def until_running(self, count, within=5.0):
        assert eventually(lambda: self.queue()["running"] == count, within), self.queue()

    def log(self, message=None, level=None):
        """Its log lines as objects; only those of one message, one level, when given."""
        found = []
        for line in self.output().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and level in (None, entry.get("level")):
                if message is None or message in entry.values():
                    found.append(entry)
        return found

    # --- what must hold after every test ---

    def upstream_ports(self):
        return {int(u["url"].rstrip("/").rsplit(":", 1)[1].split("/")[0]) for u in self.config.get("upstreams", [])}

    def pooled(self):
        """Connections to upstreams. When nothing is in flight these are the idle ones."""
        ports = self.upstream_ports()
        return sum(state == ESTABLISHED and remote in ports for state, _, remote in self.sockets())

    def _rested(self, wait=0.0):
        """Open descriptors besides idle upstream connections."""
        if wait:
            eventually(lambda: False, within=wait / PATIENCE)
        while True:  # the two are read one after the other: of one moment only when nothing came or went between
            before, pooled = self.descriptors(), self.pooled()
            if self.descriptors() == before:
                return len(before) - pooled

    def _at_rest(self):
        asked = self.get("/gateway/queue")  # refused while a test's own connections still take all there are
        return asked.status == 200 and (q := asked.json())["waiting"] == 0 and q["running"] == 0

    def check(self, *simulators):
        """Alive, clean, at rest, and able to serve: raises AssertionError with what is not."""
        assert not self.findings(), self.findings()
        assert self.alive(), f"the gateway ended with {self.process.returncode}:\n{self.tail()}"
        simulators = [simulator for simulator in simulators if simulator and simulator.alive()]
        for simulator in simulators:
            simulator.clear_faults()
        at_rest = eventually(self._at_rest, within=5)
        assert at_rest, f"still in flight: {self.queue()}"
        assert eventually(lambda: self.close_wait() == 0), f"{self.close_wait()} sockets in CLOSE_WAIT"
        at_base = eventually(lambda: self._rested() <= self.base)
        assert at_base, f"{self._rested()} descriptors, {self.base} at first: {self.descriptors()} {self.sockets()}"
        for simulator in simulators:
            leaked = simulator.stats()["leaked_handlers"]
            # A load is the gateway's own: it goes on when the client that wanted it has gone.
            left = eventually(
                lambda one=simulator, most=leaked: (s := one.stats())["in_flight"] <= most + bool(s.get("loading"))
            )
            assert left, f"still running upstream: {simulator.stats()}"
        if simulators and self.serves:
            answer = self.call(*self.serves)
            assert answer.status == 200 and answer.complete, f"the next call: {answer.raw!r}"
        self.check_log()

    def check_log(self):
        for line in self.log(level="error") + self.log(level="critical"):
            text = json.dumps(line)
            assert any(re.search(pattern, text) for pattern in self.expected), f"an error in the log: {text}"


def rewrite(gateway, **changes):
    """Writes its configuration anew, with these changes; of an upstream, the first."""
    upstream = changes.pop("upstream", None)
    config = {**gateway.config, **changes}
    if upstream:
        config["upstreams"] = [{**config["upstreams"][0], **upstream}]
    # In one step: a signal that is still on its way must find a whole file.
    written = gateway.config_file.with_suffix(".new")
    written.write_text(json.dumps(config))
    written.replace(gateway.config_file)
