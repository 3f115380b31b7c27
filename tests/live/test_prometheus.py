"""What is for Prometheus and Grafana (SPEC §11, deploy/prometheus, deploy/grafana), against a real Prometheus."""

# ctest: timeout 600

import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from dialects import ONE_OF_EACH, call_of
from harness import PATIENCE, ROOT, eventually, free_port

RULES = ROOT / "deploy" / "prometheus"
MODEL = "llama3,load=0s,prompt=0s,rate=200,tokens=10"


def need(tool):
    if not shutil.which(tool):
        if os.environ.get("CI"):
            pytest.fail(f"{tool} is not here")
        pytest.skip(f"{tool} is not here")
    return tool


def promtool(*arguments):
    done = subprocess.run([need("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_ring_when_they_should_and_only_then():
    promtool("check", "rules", RULES / "alerts.yml")
    promtool("test", "rules", RULES / "alerts_test.yml")
    promtool("check", "config", RULES / "prometheus.yml")


def test_ten_thousand_names_of_models_that_nobody_has_make_no_series(serve, simulate):
    gateway = serve(simulate(MODEL))
    assert gateway.post(*call_of("generate")).complete
    gateway.post(*call_of("generate", model="nobody-has-it"))
    before = gateway.metrics()
    with gateway.client() as client:
        for n in range(10_000 // (10 if PATIENCE > 1 else 1)):
            answer = client.request("POST", *call_of("generate", model=f"random-{n}")).finish()
            assert answer.status == 404
    after = gateway.metrics()
    assert set(after) == set(before), set(after) - set(before)


class Prometheus:
    """A Prometheus of its own, that scrapes each second."""

    def __init__(self, directory, gateway):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES / "alerts.yml")],
            "scrape_configs": [
                {
                    "job_name": "ollama-gateway",
                    "static_configs": [{"targets": [f"127.0.0.1:{gateway.admin_port}"]}],
                }
            ],
        }
        file = directory / "prometheus.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        self.log = open(directory / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            [
                need("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
        )

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def ask(self, what, **parameters):
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as problem:
            if problem.code == 503:  # it listens already and is not ready: it still reads its own log of writes
                return None
            raise AssertionError(f"{parameters}: {problem.read().decode()}") from None
        except OSError:
            return None

    def values(self, expression):
        """The numbers that it gives now; NaN is no number."""
        found = self.ask("query", query=expression)
        return [v for sample in (found or {"result": []})["result"] if (v := sample["value"][1]) != "NaN"]


@pytest.fixture
def watched(serve, simulate, tmp_path):
    simulator = simulate(MODEL)
    gateway = serve(simulator)
    prometheus = Prometheus(tmp_path, gateway)
    yield gateway, simulator, prometheus
    prometheus.stop()


def traffic(gateway, simulator):
    """Calls that end in all the ways that the dashboard has a panel for."""
    for kind in ONE_OF_EACH:
        assert gateway.post(*call_of(kind)).complete
    gateway.post("/api/embed", {"model": "llama3", "input": "x"})
    simulator.fault("no_done", count=1)
    gateway.post(*call_of("generate"))
    client = gateway.client().request("POST", *call_of("generate"))
    client.piece()
    client.leave("rst")


def test_a_real_prometheus_scrapes_it_and_every_query_of_the_dashboard_has_data(watched):
    gateway, simulator, prometheus = watched
    assert eventually(lambda: prometheus.values('up{job="ollama-gateway"}') == ["1"], within=60, step=0.3)
    panels = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())["panels"]
    queries = {t["expr"]: panel["title"] for panel in panels for t in panel["targets"]}
    assert len(queries) >= 30
    until = time.monotonic() + 60 * PATIENCE
    empty = dict(queries)
    while empty and time.monotonic() < until:
        traffic(gateway, simulator)
        time.sleep(1)
        empty = {q: panel for q, panel in empty.items() if not prometheus.values(q.replace("$__rate_interval", "30s"))}
    assert not empty, empty
    targets = prometheus.ask("targets")["activeTargets"]
    assert [target["health"] for target in targets] == ["up"], targets
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == 7 and all(rule["health"] in ("ok", "unknown") for rule in rules), rules
    firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
    assert not firing, firing


def test_every_metric_that_the_alerts_and_the_dashboard_name_exists(pair):
    gateway, simulator = pair
    traffic(gateway, simulator)
    text = (RULES / "alerts.yml").read_text() + (ROOT / "deploy" / "grafana" / "dashboard.json").read_text()
    wanted = set(re.findall(r"\b(?:ollama_gateway|process)_\w+", text))
    have = gateway.metrics().names()
    assert len(wanted) > 20 and not wanted - have, wanted - have
