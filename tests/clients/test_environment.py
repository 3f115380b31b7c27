"""What the README says of pointing each client at the gateway is so: the environment it names is all they need."""

# ctest: timeout 400
# ctest: busy

import re

import install
import pytest
from conftest import there_or_skip
from drivers import Driver
from harness import ROOT, eventually
from rows import ROWS
from world import gateway_before

README = (ROOT / "README.md").read_text()
# The environment of the README, and who reads it.
READ_BY = {
    "OLLAMA_HOST": ["ollama-python chat", "ollama-go chat", "langchain-python ollama"],
    "OPENAI_BASE_URL": ["openai-node chat", "openai-python chat", "langchain-js openai", "langchain-python openai"],
    "ANTHROPIC_BASE_URL": ["anthropic-node messages", "anthropic-python messages"],
}
ADDRESS = "127.0.0.1:11435"


def documented():
    section = README.split("## Pointing clients at it")[1].split("\n## ")[0]
    return dict(re.findall(r"\b([A-Z_]+)=(\S*127\.0\.0\.1:11435[^\s`]*)", section))


def test_the_readme_names_each_environment_that_is_tested():
    assert READ_BY.keys() <= documented().keys(), documented()


@pytest.fixture(scope="module")
def pointed():
    """pointed(language, environment) → the driver of that language, started with it."""
    started = {}

    def get(language, environment):
        if language not in started:
            command = there_or_skip(install.LANGUAGES[language])
            started[language] = Driver(command, environment)
        return started[language]

    yield get
    for driver in started.values():
        driver.stop()


@pytest.fixture(scope="module")
def environment(simulator):
    with gateway_before(simulator) as gateway:
        there = {k: v.replace(ADDRESS, f"127.0.0.1:{gateway.port}") for k, v in documented().items() if k in READ_BY}
        yield gateway, there


@pytest.mark.parametrize("name", [name for names in READ_BY.values() for name in names])
def test_a_client_finds_the_gateway_by_its_environment(environment, pointed, name):
    gateway, there = environment
    row = next(row for row in ROWS if row.name == name)
    verdict = pointed(row.language, there).start(use=row.use, model=row.model, retries=0).verdict()
    assert verdict["error"] is None and verdict["text"], verdict

    def seen():
        return row.model in [line["model"].removesuffix(":latest") for line in gateway.log("call")]

    assert eventually(seen), "it was another server that answered"
