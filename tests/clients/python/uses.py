"""What the Python clients do, one function each, as their documentation shows it."""

import json

import aiohttp
import anthropic
import ollama
import openai
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.llms.ollama import Ollama as LlamaIndexOllama
from llama_index.llms.openai_like import OpenAILike

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


# --- openai-python


def _openai(call, make=openai.OpenAI):
    return make(base_url=call.v1, api_key="none", default_headers=call.headers, **call.retries)


@use("openai-python chat")
def _(call):
    with _openai(call).chat.completions.create(model=call.model, messages=MESSAGES, stream=True) as stream:
        for chunk in stream:
            call.piece(chunk.choices[0].delta.content)


@use("openai-python chat async")
async def _(call):
    client = _openai(call, openai.AsyncOpenAI)
    async for chunk in await client.chat.completions.create(model=call.model, messages=MESSAGES, stream=True):
        call.piece(chunk.choices[0].delta.content)


@use("openai-python chat helper")
def _(call):
    with _openai(call).chat.completions.stream(model=call.model, messages=MESSAGES) as stream:
        for event in stream:
            if event.type == "content.delta":
                call.piece(event.delta)


@use("openai-python responses")
def _(call):
    with _openai(call).responses.create(model=call.model, input="Hello", stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                call.piece(event.delta)
            if event.type == "error":
                raise RuntimeError(event.message)


@use("openai-python chat whole")
async def _(call):
    client = _openai(call, openai.AsyncOpenAI)
    answer = await client.chat.completions.create(model=call.model, messages=MESSAGES)
    call.piece(answer.choices[0].message.content)


@use("openai-python embed")
def _(call):
    answer = _openai(call).embeddings.create(model=call.model, input="Hello", encoding_format="float")
    call.piece(shown(answer.data[0].embedding))


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


# --- LangChain


def _chat_ollama(call):
    return ChatOllama(base_url=call.base, model=call.model, client_kwargs={"headers": call.headers})


def _chat_openai(call):
    return ChatOpenAI(
        base_url=call.v1, model=call.model, api_key="none", default_headers=call.headers, **call.retries
    )


@use("langchain-python ollama")
async def _(call):
    async for chunk in _chat_ollama(call).astream("Hello"):
        call.piece(chunk.content)


@use("langchain-python ollama invoke")
def _(call):
    call.piece(_chat_ollama(call).invoke("Hello").content)


@use("langchain-python openai")
async def _(call):
    async for chunk in _chat_openai(call).astream("Hello"):
        call.piece(chunk.content)


@use("langchain-python openai invoke")
def _(call):
    call.piece(_chat_openai(call).invoke("Hello").content)


# --- LlamaIndex


def _llama_index(call):
    return LlamaIndexOllama(
        model=call.model, context_window=4096, **({"base_url": call.base} if call.base else {}),
        **({"client": ollama.Client(call.base, headers=call.headers, timeout=30)} if call.headers else {}),
    )  # fmt: skip


def _openai_like(call):
    return OpenAILike(
        api_base=call.v1, model=call.model, api_key="none", is_chat_model=True, default_headers=call.headers,
        **call.retries,
    )  # fmt: skip


HELLO = [ChatMessage(role="user", content="Hello")]


@use("llama-index ollama")
def _(call):
    for part in _llama_index(call).stream_chat(HELLO):
        call.piece(part.delta)


@use("llama-index ollama whole")
def _(call):
    call.piece(_llama_index(call).chat(HELLO).message.content)


@use("llama-index openai-like")
def _(call):
    for part in _openai_like(call).stream_chat(HELLO):
        call.piece(part.delta)


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
