// What the browser tests share: the system's Chromium, one page, and what must never happen on it: an error, a
// refused policy, a request to anywhere but the gateway.
import assert from "node:assert/strict";
import {existsSync, mkdirSync} from "node:fs";
import {chromium} from "playwright-core";

// {admin, public, sim, pictures}: URLs of a gateway and its simulated Ollama; where screenshots go, if anywhere.
export const given = JSON.parse(process.argv[2]);
const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

export async function visit(path, {dark = false, phone = false, reduced = true} = {}, use) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],  // CI runs as root, in a container
  });
  const wrong = [];
  try {
    const context = await browser.newContext({
      viewport: phone ? {width: 390, height: 844} : {width: 1280, height: 900},
      deviceScaleFactor: phone ? 2 : 1,
      isMobile: phone,
      hasTouch: phone,
      colorScheme: dark ? "dark" : "light",
      reducedMotion: reduced ? "reduce" : "no-preference",
    });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.on("pageerror", (error) => wrong.push(`error: ${error.stack ?? error}`));
    page.on("console", (message) => {
      // The browser's own words about an answer that is no 2xx: tests bring some about.
      if (message.type() === "error" && !message.text().includes("Failed to load resource")) wrong.push(`console: ${message.text()}`);
    });
    const ours = [given.admin, given.public].map((url) => new URL(url).host);
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && !ours.includes(url.host)) wrong.push(`asked elsewhere: ${url}`);
    });
    const answer = await page.goto(given.admin + path);
    assert.equal(answer.status(), 200);
    const policy = answer.headers()["content-security-policy"] ?? "";
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*/);
    await use(page);
    assert.deepEqual(wrong, []);
  } finally {
    await browser.close();
  }
}

export async function picture(page, name, {fullPage = true} = {}) {
  if (!given.pictures) return;
  mkdirSync(given.pictures, {recursive: true});
  await page.screenshot({path: `${given.pictures}/${name}.png`, fullPage});
}

// Waits until `look()` is true; `what` is said when it never is.
export async function eventually(what, look, within = 20_000) {
  const until = Date.now() + within;
  while (!(await look())) {
    assert.ok(Date.now() < until, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Calls of one user each, on their way. end() lets go of all.
export class Calls {
  constructor() { this.all = []; }

  send(user, model, {target = "/api/generate", prompt = "hello"} = {}) {
    const stop = new AbortController();
    const call = {user, stop, over: false, said: ""};
    call.answer = fetch(given.public + target, {
      method: "POST",
      headers: {"Content-Type": "application/json", "X-OpenWebUI-User-Id": user},
      body: JSON.stringify({model, prompt}),
      signal: stop.signal,
    }).then(async (answer) => {
      for await (const piece of answer.body) call.said += Buffer.from(piece);
    }).catch((error) => { call.said += String(error); })  // cut, as an answer is that ends in an error
      .finally(() => { call.over = true; });
    this.all.push(call);
    return call;
  }

  async end() {
    for (const call of [...this.all].reverse()) call.stop.abort();  // who waits first, or they would have their turn
    await Promise.all(this.all.map((call) => call.answer));
  }
}

export const sim = async (path) => (await fetch(given.sim + path)).json();

// "rgb(196, 40, 28)" → is it more red than anything, more blue than anything?
export function hue(color) {
  const [r, g, b] = color.match(/[\d.]+/g).map(Number);
  if (r > b * 1.25 && r > g * 1.25) return "red";
  if (b > r * 1.25 && b > g) return "blue";
  return "neither";
}
