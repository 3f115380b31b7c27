"""The pages of the admin port in a real browser (tests/browser): the dashboard with a queue that forms and drains,
the chat page. Needs Chromium, Node 18 and `npm ci` in tests/browser, all of which tests/run sees to."""

# ctest: timeout 600
# ctest: busy

import json
import os
import shutil
import subprocess

import pytest

from harness import PATIENCE, ROOT

BROWSER = ROOT / "tests" / "browser"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def missing():
    if not shutil.which("node"):
        return "node is not here"
    if not any(map(shutil.which, CHROMIUM)):
        return "chromium is not here"
    if not (BROWSER / "node_modules" / "playwright-core").is_dir():
        return "playwright-core is not here: npm ci in tests/browser"
    return None


@pytest.fixture
def in_browser(simulate, serve):
    if lacking := missing():
        if os.environ.get("CI"):
            pytest.fail(lacking)
        pytest.skip(lacking)

    def run(scenario):
        simulator = simulate(
            "llama3,load=100ms,prompt=100ms,rate=20,tokens=100000,size=4GiB",
            "quick,load=0s,prompt=0s,rate=0,tokens=8",
        )
        gateway = serve(simulator, {"upstream": {"max_concurrent": 2}, "reconcile": {"interval": "1s"}})
        gateway.serves = ("POST", "/api/generate", {"model": "quick", "prompt": "still there?", "stream": False})
        where = {
            "admin": f"http://127.0.0.1:{gateway.admin_port}",
            "public": gateway.url,
            "sim": simulator.url,
            "pictures": os.environ.get("GATEWAY_PICTURES"),
        }
        command = ["node", BROWSER / scenario, json.dumps(where)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240 * PATIENCE, cwd=BROWSER)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_the_dashboard_shows_a_queue_that_forms_and_drains(in_browser):
    in_browser("dashboard.mjs")


def test_the_chat_page_waits_in_red_and_runs_in_blue(in_browser):
    in_browser("try.mjs")
