"""Fixtures of the tests with real clients, and the table that is their report. They need node, python3 and go; where
one is missing they are skipped, with CI=1 they fail."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LIVE = HERE.parent / "live"
sys.path[:0] = [str(HERE), str(LIVE)]
pytest.register_assert_rewrite("harness", "processes", "world")

import install  # noqa: E402
from drivers import Drivers  # noqa: E402
from harness import BUILD  # noqa: E402
from report import THE_REPORT  # noqa: E402
from world import start_simulator  # noqa: E402

# The fixtures of the live tests: simulate, serve, pair.
_spec = importlib.util.spec_from_file_location("live_conftest", LIVE / "conftest.py")
_live = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_live)
simulate, serve, pair = _live.simulate, _live.serve, _live.pair
pytest_sessionstart = _live.pytest_sessionstart
pytest_runtest_makereport = _live.pytest_runtest_makereport


def there_or_skip(get):
    """What get() brings here; without it the test is skipped, and fails where everything must be there."""
    try:
        return get()
    except install.Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"with CI=1 the clients are required: {missing}", pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def drivers():
    """The clients, one program per language."""
    for get in install.LANGUAGES.values():
        there_or_skip(get)
    started = Drivers()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def simulator():
    """One simulated Ollama for all scenarios, with a model for each row."""
    started = start_simulator()
    yield started
    started.discard()


def pytest_terminal_summary(terminalreporter):
    if THE_REPORT.cells:
        text = THE_REPORT.text()
        (BUILD / "clients-report.md").write_text(text)
        terminalreporter.write_line("")
        terminalreporter.write_line(text)
