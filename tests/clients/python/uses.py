"""What the Python clients do, one function each, as their documentation shows it."""

import json

import aiohttp
import anthropic
import ollama

MESSAGES = [{"role": "user", "content": "Hello"}]
USES = {}


def use(name):
    def keep(function):
        USES[name] = function
        return function

    return keep


def shown(vector):
    return " ".join(f"{x:.4f}" for x in vector[:4])


# --- ollama-python


@use("ollama-python chat")
def _(call):
    client = ollama.Client(call.base, headers=call.headers)
    for part in client.chat(call.model, MESSAGES, stream=True):
        call.piece(part.message.content)


@use("ollama-python chat async")
async def _(call):
    client = ollama.AsyncClient(call.base, headers=call.headers)
    async for part in await client.chat(call.model, MESSAGES, stream=True):
        call.piece(part.message.content)


@use("ollama-python generate")
def _(call):
    client = ollama.Client(call.base, headers=call.headers)
    for part in client.generate(call.model, "Hello", stream=True):
        call.piece(part.response)


@use("ollama-python chat whole")
async def _(call):
    client = ollama.AsyncClient(call.base, headers=call.headers)
    call.piece((await client.chat(call.model, MESSAGES)).message.content)


@use("ollama-python embed")
def _(call):
    client = ollama.Client(call.base, headers=call.headers)
    call.piece(shown(client.embed(call.model, "Hello").embeddings[0]))


# --- the SDK of Anthropic


def _anthropic(call, make=anthropic.Anthropic):
    return make(base_url=call.base, api_key="none", default_headers=call.headers, **call.retries)


@use("anthropic-python messages")
async def _(call):
    client = _anthropic(call, anthropic.AsyncAnthropic)
    async with client.messages.stream(model=call.model, max_tokens=call.tokens, messages=MESSAGES) as stream:
        async for text in stream.text_stream:
            call.piece(text)


@use("anthropic-python messages whole")
def _(call):
    answer = _anthropic(call).messages.create(model=call.model, max_tokens=call.tokens, messages=MESSAGES)
    call.piece(answer.content[0].text)


# --- a line loop over aiohttp, as many a backend has


@use("aiohttp chat")
async def _(call):
    body = {"model": call.model, "messages": MESSAGES}
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(trust_env=True, timeout=timeout) as session:
        async with session.post(f"{call.base}/api/chat", json=body, headers=call.headers) as answer:
            if answer.status != 200:
                raise RuntimeError((await answer.json())["error"])
            async for line in answer.content:
                part = json.loads(line)
                if "error" in part:
                    raise RuntimeError(part["error"])
                call.piece(part["message"]["content"])
