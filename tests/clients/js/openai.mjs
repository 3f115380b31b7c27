// The SDKs of OpenAI and Anthropic, with the consumers that people write over them.
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { createParser } from 'eventsource-parser';

const messages = [{ role: 'user', content: 'Hello' }];
const shown = (vector) => vector.slice(0, 4).map((x) => x.toFixed(4)).join(' ');

function settings({ base, headers, retries }, url) {
  return { ...(base ? { baseURL: url } : {}), apiKey: 'none', defaultHeaders: headers, ...(retries === undefined ? {} : { maxRetries: retries }) };
}
const openai = (call) => new OpenAI(settings(call, call.v1));
const anthropic = (call) => new Anthropic(settings(call, call.base));

export const uses = {
  async 'openai-node chat'(call) {
    const stream = await openai(call).chat.completions.create({ model: call.model, messages, stream: true }, call);
    // The strictest consumer there is: every chunk has a first choice.
    for await (const chunk of stream) call.piece(chunk.choices[0].delta.content);
  },
  async 'openai-node chat helper'(call) {
    const stream = openai(call).chat.completions.stream({ model: call.model, messages }, call);
    stream.on('content', (text) => call.piece(text));
    await stream.finalChatCompletion();
  },
  async 'openai-node completions'(call) {
    const stream = await openai(call).completions.create({ model: call.model, prompt: 'Hello', stream: true }, call);
    for await (const chunk of stream) call.piece(chunk.choices[0].text);
  },
  async 'openai-node responses'(call) {
    const stream = await openai(call).responses.create({ model: call.model, input: 'Hello', stream: true }, call);
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') call.piece(event.delta);
      if (event.type === 'error') throw new Error(event.message);
    }
  },
  async 'openai-node responses helper'(call) {
    const stream = openai(call).responses.stream({ model: call.model, input: 'Hello' }, call);
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') call.piece(event.delta);
      if (event.type === 'error') throw new Error(event.message);
    }
    await stream.finalResponse();
  },
  async 'openai-node chat whole'(call) {
    const answer = await openai(call).chat.completions.create({ model: call.model, messages }, call);
    call.piece(answer.choices[0].message.content);
  },
  async 'openai-node embed'(call) {
    const answer = await openai(call).embeddings.create({ model: call.model, input: 'Hello', encoding_format: 'float' }, call);
    call.piece(shown(answer.data[0].embedding));
  },
  async 'anthropic-node messages'(call) {
    const stream = await anthropic(call).messages.create({ model: call.model, max_tokens: call.tokens ?? 12, messages, stream: true }, call);
    for await (const event of stream) {
      if (event.type === 'content_block_delta') call.piece(event.delta.text);
    }
  },
  async 'anthropic-node messages helper'(call) {
    const stream = anthropic(call).messages.stream({ model: call.model, max_tokens: call.tokens ?? 12, messages }, call);
    stream.on('text', (text) => call.piece(text));
    await stream.finalMessage();
  },
  async 'anthropic-node messages whole'(call) {
    const answer = await anthropic(call).messages.create({ model: call.model, max_tokens: call.tokens ?? 12, messages }, call);
    call.piece(answer.content[0].text);
  },
  async 'eventsource-parser chat'(call) {
    const answer = await fetch(`${call.v1}/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...call.headers },
      body: JSON.stringify({ model: call.model, messages, stream: true }),
      signal: call.signal,
    });
    if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status });
    let ended = false;
    const parser = createParser({
      onEvent({ data }) {
        if (data === '[DONE]') {
          ended = true;
          return;
        }
        const chunk = JSON.parse(data);
        if (chunk.error) throw new Error(chunk.error.message);
        call.piece(chunk.choices[0].delta.content);
      },
    });
    for await (const bytes of answer.body.pipeThrough(new TextDecoderStream())) parser.feed(bytes);
    if (!ended) throw new Error('the stream ended early');
  },
};
