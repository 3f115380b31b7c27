"""The rows of the matrix: every client, and every way of calling that its users have, with what is known of it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    name: str
    language: str  # whose driver knows it
    api: str  # native, openai, responses, anthropic
    form: str  # stream, whole, embed
    aborts: str = "always"  # when its user can stop it: always, between pieces, never

    @property
    def model(self):
        """A model of its own, by which the gateway and the simulator tell whose call it was."""
        return re.sub(r"[^a-z0-9]+", "-", self.name)

    @property
    def use(self):
        """What its driver calls it."""
        return self.name.replace("openai-python 3", "openai-python")

    @property
    def streams(self):
        return self.form == "stream"


def rows(language, *lines):
    return [Row(name, language, *rest) for name, *rest in lines]


ROWS = [
    *rows(
        "js",
        # abort() reaches only what has a head, and so never a call without stream.
        ("ollama-js chat", "native", "stream"),
        ("ollama-js generate", "native", "stream"),
        ("ollama-js chat whole", "native", "whole", "never"),
        ("ollama-js embed", "native", "embed", "never"),
        ("openai-node chat", "openai", "stream"),
        ("openai-node chat helper", "openai", "stream"),
        ("openai-node completions", "openai", "stream"),
        ("openai-node responses", "responses", "stream"),
        ("openai-node responses helper", "responses", "stream"),
        ("openai-node chat whole", "openai", "whole"),
        ("openai-node embed", "openai", "embed"),
        ("anthropic-node messages", "anthropic", "stream"),
        ("anthropic-node messages helper", "anthropic", "stream"),
        ("anthropic-node messages whole", "anthropic", "whole"),
        ("eventsource-parser chat", "openai", "stream"),
        ("langchain-js ollama", "native", "stream"),
        ("langchain-js ollama invoke", "native", "whole"),
        ("langchain-js openai", "openai", "stream"),
        ("langchain-js openai invoke", "openai", "whole"),
        ("ai-sdk openai-compatible", "openai", "stream"),
        ("ai-sdk openai-compatible whole", "openai", "whole"),
        ("ai-sdk ollama", "native", "stream"),
        ("ai-sdk ollama whole", "native", "whole"),
    ),
    *rows(
        "python",
        ("ollama-python chat", "native", "stream", "between pieces"),
        ("ollama-python chat async", "native", "stream"),
        ("ollama-python generate", "native", "stream", "between pieces"),
        ("ollama-python chat whole", "native", "whole"),
        ("ollama-python embed", "native", "embed", "never"),
        ("openai-python chat", "openai", "stream", "between pieces"),
        ("openai-python chat async", "openai", "stream"),
        ("openai-python chat helper", "openai", "stream", "between pieces"),
        ("openai-python responses", "responses", "stream", "between pieces"),
        ("openai-python chat whole", "openai", "whole"),
        ("openai-python embed", "openai", "embed", "never"),
        ("anthropic-python messages", "anthropic", "stream"),
        ("anthropic-python messages whole", "anthropic", "whole", "never"),
        ("langchain-python ollama", "native", "stream"),
        ("langchain-python ollama invoke", "native", "whole", "never"),
        ("langchain-python openai", "openai", "stream"),
        ("langchain-python openai invoke", "openai", "whole", "never"),
        ("llama-index ollama", "native", "stream", "between pieces"),
        ("llama-index ollama whole", "native", "whole", "never"),
        ("llama-index openai-like", "openai", "stream", "between pieces"),
        ("aiohttp chat", "native", "stream"),
    ),
    *rows(
        "python-newest",
        ("openai-python 3 chat", "openai", "stream", "between pieces"),
        ("openai-python 3 chat async", "openai", "stream"),
        ("openai-python 3 chat helper", "openai", "stream", "between pieces"),
        ("openai-python 3 responses", "responses", "stream", "between pieces"),
        ("openai-python 3 chat whole", "openai", "whole"),
        ("openai-python 3 embed", "openai", "embed", "never"),
    ),
    *rows(
        "go",
        ("ollama-go chat", "native", "stream"),
        ("ollama-go chat whole", "native", "whole"),
        ("ollama-go generate", "native", "stream"),
        ("ollama-go embed", "native", "embed"),
        ("go-openai chat", "openai", "stream"),
        ("go-openai chat whole", "openai", "whole"),
    ),
    *rows(
        "curl",
        ("curl chat", "native", "stream"),
        ("curl chat whole", "native", "whole"),
        ("curl openai chat", "openai", "stream"),
    ),
]
