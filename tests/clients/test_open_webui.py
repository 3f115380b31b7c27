"""The real Open WebUI before the gateway, as the people before it see it: answers by /api and by /v1, its own status
line while they wait, the Stop button, and whose turn it is. It installs 7 GB, so it is no part of the usual run:
    python3 -m venv owui && owui/bin/pip install open-webui==0.12.4
    GATEWAY_OPEN_WEBUI=$PWD/owui/bin tests/run --release-only -R clients.open_webui"""

# ctest: timeout 600
# ctest: soak

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest
from harness import Gateway, Simulator, eventually, free_port
from world import held

THERE = os.environ.get("GATEWAY_OPEN_WEBUI")
pytestmark = pytest.mark.skipif(not THERE, reason="GATEWAY_OPEN_WEBUI does not say where Open WebUI is installed")
USER = Path(__file__).resolve().parent / "python" / "open_webui_user.py"
QUEUE = {"grace": "200ms", "heartbeat": "300ms", "status_interval": "300ms"}


class OpenWebui:
    def __init__(self, gateway, place):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            **os.environ, "DATA_DIR": str(place), "OLLAMA_BASE_URL": gateway.url, "WEBUI_AUTH": "False",
            "OPENAI_API_BASE_URLS": f"{gateway.url}/v1", "OPENAI_API_KEYS": "none", "WEBUI_SECRET_KEY": "none",
            "ENABLE_FORWARD_USER_INFO_HEADERS": "true", "OFFLINE_MODE": "true", "HF_HUB_OFFLINE": "1",
            "BYPASS_EMBEDDING_AND_RETRIEVAL": "true", "RAG_EMBEDDING_ENGINE": "ollama",
            "ENABLE_TITLE_GENERATION": "false", "ENABLE_TAGS_GENERATION": "false",
            "ENABLE_FOLLOW_UP_GENERATION": "false",
        }  # fmt: skip
        self.log = (place / "log").open("w")
        command = [f"{THERE}/open-webui", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=environment, cwd=place, stdout=self.log, stderr=self.log)
        assert eventually(self._up, within=240, step=0.5), (place / "log").read_text()[-3000:]
        self.token = self.post("/api/v1/auths/signin", {"email": "", "password": ""})["token"]
        self.connect(gateway, {})

    def _up(self):
        try:
            return urllib.request.urlopen(f"{self.url}/health", timeout=2).status == 200
        except OSError:
            return False

    def ask(self, target, body=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {getattr(self, 'token', '')}"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + target, data, headers), timeout=30) as answer:
            return json.load(answer)

    post = ask

    def connect(self, gateway, headers):
        """Its OpenAI connection to the gateway, whose models are called v1.…, with headers of its administrator."""
        one = {"enable": True, "prefix_id": "v1", "headers": headers}
        config = {"ENABLE_OPENAI_API": True, "OPENAI_API_BASE_URLS": [f"{gateway.url}/v1"], "OPENAI_API_KEYS": ["none"]}
        self.post("/openai/config/update", {**config, "OPENAI_API_CONFIGS": {"0": one}})
        names = [model["id"] for model in self.ask("/api/models?refresh=true")["data"]]
        assert {"llama3:latest", "v1.llama3:latest"} <= set(names), names

    def chat(self, model, *more):
        """A person asks; what their page was told is read with told()."""
        command = [f"{THERE}/python", str(USER), self.url, model, *map(str, more)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def told(person):
    out, errors = person.communicate(timeout=60)
    assert person.returncode == 0, errors[-2000:]
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """(Open WebUI, gateway, simulator): one permit."""
    simulator = Simulator.start(
        "llama3,load=0s,prompt=10ms,rate=20,tokens=30", "holder,load=0s,prompt=1h",
        "embed-holder,embedding,load=0s,prompt=1h",
    )  # fmt: skip
    gateway = Gateway.start(simulator, {"upstream": {"max_concurrent": 1, "max_concurrent_embeddings": 1}, "queue": QUEUE})
    webui = None
    try:
        webui = OpenWebui(gateway, tmp_path_factory.mktemp("open-webui"))
        yield webui, gateway, simulator
    finally:
        if webui:
            webui.stop()
        gateway.discard()
        simulator.discard()


@pytest.mark.parametrize("model", ["llama3:latest", "v1.llama3:latest"])
def test_a_person_who_waited_gets_the_whole_answer(there, model):
    webui, gateway, _ = there
    with held(gateway, permits=1):
        person = webui.chat(model)
        gateway.until_waiting(1, within=30)
    lines = told(person)
    message = lines[-1]
    assert message["kind"] == "message" and not message["error"] and len(message["content"].split()) > 20, message
    assert sum(line["kind"] == "response:completion" for line in lines) > 20, "not as it was made"


@pytest.mark.parametrize("headers", [{}, {"X-Queue-Events": "1"}], ids=["by itself", "asked for"])
def test_the_status_line_says_where_one_stands(there, headers):
    webui, gateway, _ = there
    webui.connect(gateway, headers)
    with held(gateway, permits=1):
        person = webui.chat("v1.llama3:latest")
        gateway.until_waiting(1, within=30)
    said = [line["data"] for line in told(person) if line["kind"] == "status"]
    webui.connect(gateway, {})
    assert said and "number 1 in the queue" in said[0]["description"] and not said[0]["done"], said
    assert said[-1]["done"], said


@pytest.mark.parametrize("model", ["llama3:latest", "v1.llama3:latest"])
@pytest.mark.parametrize("phase", ["waiting", "streaming"])
def test_the_stop_button_stops_the_work(there, model, phase):
    webui, gateway, simulator = there
    with held(gateway, permits=1 if phase == "waiting" else 0):
        simulator.reset()
        person = webui.chat(model, "stop-after", 1)
        lines = told(person)
        assert any(line["kind"] == "stopped" for line in lines), lines
        assert eventually(lambda: gateway.queue()["waiting"] == 0, within=2)
    ended = [line for line in gateway.log("call") if line["model"].startswith("llama3")][-1]
    assert ended["outcome"] == "client_gone", ended
    if phase == "streaming":
        assert simulator.stats()["models"]["llama3:latest"]["aborts"] == 1


def test_people_are_clients_of_their_own(there):
    webui, gateway, _ = there
    lines = told(webui.chat("llama3:latest"))
    who = next(line["id"] for line in lines if line["kind"] == "user")
    assert [line for line in gateway.log("call") if line["model"].startswith("llama3")][-1]["client"] == who


@pytest.mark.parametrize("model", ["llama3:latest", "v1.llama3:latest"])
def test_a_full_queue_is_said_in_words(there, model):
    webui, gateway, _ = there
    config = json.loads(gateway.config_file.read_text())
    config["queue"]["max_waiting"] = 1
    gateway.config_file.write_text(json.dumps(config))
    assert gateway.admin("/reload", "POST").status == 200
    with held(gateway, permits=1), gateway.client() as waits:
        waits.request("POST", "/api/generate", {"model": "llama3", "prompt": "waits"})
        gateway.until_waiting(1)
        message = told(webui.chat(model))[-1]
    said = json.dumps(message["error"])
    assert "server busy" in said or "waiting places are taken" in said, message
