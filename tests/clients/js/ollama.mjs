// ollama-js, as its README uses it.
import { Ollama } from 'ollama';

const messages = [{ role: 'user', content: 'Hello' }];
const shown = (vector) => vector.slice(0, 4).map((x) => x.toFixed(4)).join(' ');

function client({ base, headers, signal }) {
  const ollama = new Ollama({ host: base, headers });
  signal.addEventListener('abort', () => ollama.abort());
  return ollama;
}

export const uses = {
  async 'ollama-js chat'(call) {
    for await (const part of await client(call).chat({ model: call.model, messages, stream: true })) {
      call.piece(part.message.content);
    }
  },
  async 'ollama-js generate'(call) {
    for await (const part of await client(call).generate({ model: call.model, prompt: 'Hello', stream: true })) {
      call.piece(part.response);
    }
  },
  async 'ollama-js chat whole'(call) {
    call.piece((await client(call).chat({ model: call.model, messages })).message.content);
  },
  async 'ollama-js embed'(call) {
    call.piece(shown((await client(call).embed({ model: call.model, input: 'Hello' })).embeddings[0]));
  },
};
