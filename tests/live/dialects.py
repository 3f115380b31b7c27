"""The endpoints that generate, each in its API's words: what a call to it looks like, when its answer is whole,
and where an error stands in it."""

import json

STREAMS = {
    "generate": ("/api/generate", "native"),
    "chat": ("/api/chat", "native"),
    "chat_completions": ("/v1/chat/completions", "openai"),
    "completions": ("/v1/completions", "openai"),
    "responses": ("/v1/responses", "openai"),
    "messages": ("/v1/messages", "anthropic"),
}
ONE_OF_EACH = ["generate", "chat_completions", "messages"]  # one per dialect


def call_of(kind, model="llama3", stream=True, prompt="hello", **more):
    """(target, body) of a call."""
    target, _ = STREAMS[kind]
    body = {"model": model, "stream": stream, **more}
    if kind in ("generate", "completions"):
        body["prompt"] = prompt
    elif kind == "responses":
        body["input"] = prompt
    else:
        body["messages"] = [{"role": "user", "content": prompt}]
    if kind == "messages":
        body.setdefault("max_tokens", 20)
    return target, body


def dialect_of(kind):
    return STREAMS[kind][1]


def objects(kind, answer):
    """The objects of a streamed answer: NDJSON lines, or the data of its events. A line that was cut is none."""
    if dialect_of(kind) == "native":
        texts = [line for line in answer.body.splitlines() if line.strip()]
    else:
        texts = [data for event, data in answer.events() if event is not None and data != "[DONE]"]
    found = []
    for text in texts:
        try:
            found.append(json.loads(text))
        except ValueError:
            pass
    return found


def looks_complete(kind, answer):
    """Would the API's own client take it for the whole answer?"""
    if kind in ("generate", "chat"):
        return any(o.get("done") for o in objects(kind, answer))
    if kind == "responses":
        return any(o.get("type") == "response.completed" for o in objects(kind, answer))
    if kind == "messages":
        return any(o.get("type") == "message_stop" for o in objects(kind, answer))
    return any(data == "[DONE]" for _, data in answer.events())


def error_of(kind, parsed):
    """The error within a body, a line or an event, as one flat object with `message` and `code`; None when it
    is none. `type` where the API has one."""
    if not isinstance(parsed, dict) or not parsed.get("error"):
        return None
    if dialect_of(kind) == "native":
        assert "status" not in parsed and "statuscode" not in parsed, parsed
        return {**parsed, "message": parsed["error"]}
    if dialect_of(kind) == "anthropic":
        assert parsed["type"] == "error", parsed
    return parsed["error"]


def error_in(kind, answer):
    """The in-band error that ends a streamed answer: its last object."""
    last = objects(kind, answer)[-1]
    error = error_of(kind, last)
    assert error, f"the last object is no error: {last}"
    return error
