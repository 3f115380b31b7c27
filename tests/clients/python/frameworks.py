"""LangChain and LlamaIndex, over Ollama's own API and over the OpenAI-compatible one."""

import ollama
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.llms.ollama import Ollama as LlamaIndexOllama
from llama_index.llms.openai_like import OpenAILike
from uses import use

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
