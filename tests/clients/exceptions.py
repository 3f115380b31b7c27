"""What is known not to be as it should be, of which client, why, and which setting helps. The tests hold each of
these to what it says: a client that is mended is noticed."""

from dataclasses import dataclass
from typing import Callable

from rows import ROWS


@dataclass(frozen=True)
class Known:
    reason: str
    setting: str
    check: Callable | None
    always: bool = True

    def text(self):
        return f"{self.reason} What helps: {self.setting}."


def broken(verdict, truth, row):
    """An error, but none that says why."""
    assert verdict["error"] is not None and not verdict["text"], verdict


def without_words(*words):
    def check(verdict, truth, row):
        assert verdict["error"] is not None and any(word in verdict["error"] for word in words), verdict

    return check


WHOLE = Known(
    "After padding has begun a status can no longer change. The error is written and the connection broken; "
    "the library shows only that it broke.",
    '`queue.commit_whole: "0s"`: no padding for answers that come whole, and so always the true status '
    "(column `error, no padding`)",
    broken,
)
GO_WHOLE = Known(
    "go-openai stops reading after one JSON value and does not look for an error in it: an answer without choices.",
    '`queue.commit_whole: "0s"` (column `error, no padding`)',
    without_words("no choices"),
)
GO_STREAM = Known(
    "go-openai loses the text of an error when comments or events came before it, and says only that something "
    "failed.",
    "`GET /gateway/calls/ID` has the text",
    without_words("unexpected end of JSON input", "invalid character"),
)
AI_SDK = Known(
    "ollama-ai-provider-v2 drops error lines; the broken connection after it is what it shows.",
    "its OpenAI-compatible provider against `/v1`",
    without_words("terminated"),
)

# Libraries that show the words of an error even in a one-piece answer that breaks.
_READS_WORDS = ("langchain-js ollama invoke", "langchain-python ollama invoke", "ollama-go chat whole",
                "curl chat whole")  # fmt: skip

EXCEPTIONS = {
    **{(row.name, "error in band"): WHOLE for row in ROWS if not row.streams and row.name not in _READS_WORDS},
    ("go-openai chat whole", "error in band"): GO_WHOLE,
    ("go-openai chat", "error in band"): GO_STREAM,
    ("ai-sdk ollama", "error in band"): AI_SDK,
    ("ai-sdk ollama", "death mid stream"): AI_SDK,
}

# Clients that go on reading, or merely keep the connection, when their user has stopped them.
KEEPS_READING = Known(
    "LangChain.js over ollama-js ends its iterator and leaves the request running.",
    "give the call an `X-Request-Id` of your own (a UUID, in `headers`) and stop it with "
    "`POST /gateway/calls/ID/cancel`; a `queue.max_wait` bounds what is left waiting",
    None,
)
UNTIL_COLLECTED = Known(
    "LlamaIndex does not close the stream of openai-python when its user stops iterating; the garbage collector does, "
    "some time.",
    "as for LangChain.js, or LlamaIndex's own Ollama class",
    None,
    always=False,
)
ABORTS_LATE = {
    ("llama-index openai-like", "abort mid-stream"): UNTIL_COLLECTED,
    ("langchain-js ollama", "abort while queued"): KEEPS_READING,
    ("langchain-js ollama", "abort mid-stream"): KEEPS_READING,
    ("langchain-js ollama invoke", "abort while queued"): KEEPS_READING,
}
