// A browser's part of the tests: browser.mjs CHROMIUM PAGE opens the page in headless Chromium, runs there what each
// line of standard input says (the body of an async function), and prints what it returned as a line of JSON.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const [executablePath, address] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
let page = await browser.newPage();
await page.goto(address);
console.log(JSON.stringify('ready'));
for await (const line of createInterface({ input: process.stdin })) {
  const { run, close } = JSON.parse(line);
  if (close) {
    await page.close();
    page = await browser.newPage();
    await page.goto(address);
    console.log(JSON.stringify('closed'));
    continue;
  }
  const said = await page.evaluate(`(async () => { ${run} })()`).catch((error) => ({ thrown: String(error) }));
  console.log(JSON.stringify(said ?? null));
}
await browser.close();
