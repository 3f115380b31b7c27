"""Fixtures of the live tests. `simulate` and `serve` start as many as a test wants and take them down again;
`pair` is one of each. What must hold after every test is checked when `serve` takes its gateways down."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
pytest.register_assert_rewrite("harness", "processes", "jobs_at_work")

from harness import BUILD, Gateway, Simulator  # noqa: E402
from jobs_at_work import jobs_on  # noqa: E402, F401
from scripted import scripted  # noqa: E402, F401


def pytest_sessionstart():
    for name in ("ollama-gateway", "ollama-sim"):
        if not (BUILD / name).is_file():
            pytest.exit(f"{BUILD / name} is not built (GATEWAY_BUILD_DIR says where to look)", returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    if outcome.get_result().when == "call":
        item.passed = outcome.get_result().passed


@pytest.fixture
def simulate():
    """simulate("llama3,load=1s", flags=["--num-parallel", 4]) → Simulator"""
    started = []

    def start(*models, **more):
        started.append(Simulator.start(*models, **more))
        return started[-1]

    yield start
    found = []
    for simulator in started:
        if simulator.alive():
            simulator.stop()
        found += simulator.findings()
        simulator.discard()
    assert not found, found


@pytest.fixture
def serve(simulate, request):
    """serve(simulator, {"queue": {"grace": "0s"}}) → Gateway; "upstream" in the configuration is laid over the
    one upstream's settings."""
    started = []

    def start(upstream, config=None, **more):
        gateway = Gateway.start(upstream, config, **more)
        gateway.upstream = upstream if isinstance(upstream, Simulator) else None
        started.append(gateway)
        return gateway

    yield start
    try:
        for gateway in started:
            if getattr(request.node, "passed", False):
                if gateway.stays:
                    gateway.check(gateway.upstream)
                    assert gateway.stop() == 0, gateway.tail()
                assert not gateway.findings(), gateway.findings()
            else:
                print(f"--- log of the gateway\n{gateway.tail(80)}")
    finally:
        for gateway in started:
            gateway.discard()


@pytest.fixture
def pair(simulate, serve):
    """(gateway, simulator) with their defaults."""
    simulator = simulate()
    return serve(simulator), simulator
