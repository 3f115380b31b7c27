// LangChain and the Vercel AI SDK, over Ollama's own API and over the OpenAI-compatible one.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { ChatOllama } from '@langchain/ollama';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, streamText } from 'ai';
import { createOllama } from 'ollama-ai-provider-v2';

const retries = (call) => (call.retries === undefined ? {} : { maxRetries: call.retries });

const chatOllama = (call) => new ChatOllama({ baseUrl: call.base, model: call.model, headers: call.headers, ...retries(call) });

const chatOpenAI = (call) =>
  new ChatOpenAI({
    model: call.model,
    apiKey: 'none',
    configuration: { ...(call.base ? { baseURL: call.v1 } : {}), defaultHeaders: call.headers },
    ...retries(call),
  });

const compatible = (call) =>
  createOpenAICompatible({ name: 'gateway', baseURL: call.v1, apiKey: 'none', headers: call.headers })(call.model);

const provider = (call) => createOllama({ baseURL: `${call.base}/api`, headers: call.headers })(call.model);

async function stream(model, call) {
  for await (const chunk of await model.stream('Hello', { signal: call.signal })) call.piece(chunk.content);
}

async function streamed(model, call) {
  const result = streamText({ model, prompt: 'Hello', abortSignal: call.signal, onError() {}, ...retries(call) });
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') call.piece(part.text);
    if (part.type === 'error') throw part.error;
    if (part.type === 'abort') throw new Error('aborted');
  }
}

async function whole(model, call) {
  call.piece((await generateText({ model, prompt: 'Hello', abortSignal: call.signal, ...retries(call) })).text);
}

export const uses = {
  'langchain-js ollama': (call) => stream(chatOllama(call), call),
  'langchain-js openai': (call) => stream(chatOpenAI(call), call),
  async 'langchain-js ollama invoke'(call) {
    call.piece((await chatOllama(call).invoke('Hello', { signal: call.signal })).content);
  },
  async 'langchain-js openai invoke'(call) {
    call.piece((await chatOpenAI(call).invoke('Hello', { signal: call.signal })).content);
  },
  'ai-sdk openai-compatible': (call) => streamed(compatible(call), call),
  'ai-sdk openai-compatible whole': (call) => whole(compatible(call), call),
  'ai-sdk ollama': (call) => streamed(provider(call), call),
  'ai-sdk ollama whole': (call) => whole(provider(call), call),
};
