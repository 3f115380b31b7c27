// The JavaScript clients as one program: a line of JSON on standard input starts a call as one of them makes it,
// a line on standard output says what its user got. Calls run side by side.
//   {"id":1,"use":"ollama-js chat","base":"http://…","model":"m","headers":{},"retries":0,"abort_after":3}
//   {"abort":1}                        the user of call 1 leaves
//   → {"id":1,"text":"…","pieces":5,"error":null,"status":null,"aborted_at":null,"ms":12}
import { createInterface } from 'node:readline';
import { uses as ollama } from './ollama.mjs';
import { uses as openai } from './openai.mjs';
import { uses as frameworks } from './frameworks.mjs';

const uses = { ...ollama, ...openai, ...frameworks };
const running = new Map();

// Milliseconds of CLOCK_MONOTONIC, which the simulator stamps with too.
const now = () => Number(process.hrtime.bigint()) / 1e6;

// Everything that an error says about itself, as a user interface would show it or a log would.
function words(error) {
  const said = [];
  for (let e = error, depth = 0; e && depth < 5; e = e.lastError ?? e.cause, depth += 1) {
    said.push(typeof e === 'string' ? e : [e.message, e.responseBody, e.error && JSON.stringify(e.error)].filter(Boolean).join(' '));
  }
  return said.join(' < ') || String(error);
}

async function run(order) {
  const controller = new AbortController();
  const verdict = { id: order.id, text: '', pieces: 0, error: null, status: null, aborted_at: null };
  const start = now();
  const leave = () => {
    verdict.aborted_at ??= now();
    controller.abort();
  };
  running.set(order.id, leave);
  const call = {
    ...order,
    v1: order.base ? `${order.base}/v1` : undefined,
    signal: controller.signal,
    piece(text) {
      if (verdict.aborted_at !== null) return;
      verdict.text += text ?? '';
      verdict.pieces += 1;
      if (verdict.pieces === order.abort_after) leave();
    },
  };
  try {
    await uses[order.use](call);
  } catch (error) {
    verdict.error = words(error);
    verdict.status = error?.status ?? error?.status_code ?? error?.statusCode ?? error?.lastError?.statusCode ?? null;
  }
  running.delete(order.id);
  verdict.ms = now() - start;
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}

// Libraries print warnings; a promise nobody waits for is their business, but is told.
process.on('unhandledRejection', (error) => console.error('unhandled:', words(error)));

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  if (order.abort !== undefined) running.get(order.abort)?.();
  else run(order);
}
process.exit(0);
