"""openai-python: the version that the frameworks pin, and in a driver of its own the newest."""

import openai
from uses import MESSAGES, shown, use


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
