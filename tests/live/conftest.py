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
def simulate(request):
    """simulate("llama3,load=1s", flags=["--num-parallel", 4]) → Simulator. Where loads are not what is tested,
    models that load in no time are there from the beginning."""
    started = []
    about_loads = request.module.__name__.startswith(("test_models", "test_tls"))

    def start(*models, **more):
        more.setdefault("there", not about_loads)
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
    """serve(simulator, {"queue": {"grace": "0s"}}) → Gateway; "upstream" in the configuration is laid over each
    upstream's settings. Several: serve({"a": simulator, "b": another}, {"upstreams_by_name": {"a": {…}}})."""
    started = []

    def start(upstream, config=None, **more):
        gateway = Gateway.start(upstream, config, **more)
        given = upstream.values() if isinstance(upstream, dict) else [upstream]
        gateway.upstream = [one for one in given if isinstance(one, Simulator)]
        started.append(gateway)
        return gateway

    yield start
    try:
        for gateway in started:
            if getattr(request.node, "passed", False):
                if gateway.stays:
                    simulators = gateway.upstream if isinstance(gateway.upstream, list) else [gateway.upstream]
                    gateway.check(*simulators)
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
