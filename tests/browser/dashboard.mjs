// The dashboard with a queue that forms, is acted upon, and drains.
import assert from "node:assert/strict";
import {Calls, eventually, given, hue, picture, sim, visit} from "./browser.mjs";

const text = (page, selector) => page.locator(selector).innerText();
const colorOf = (locator) => locator.evaluate((element) => getComputedStyle(element).color);

await visit("/", {}, async (page) => {
  const calls = new Calls();
  await eventually("live", async () => (await text(page, "#link")) === "live");
  assert.ok(await page.getByText("Nobody is waiting and nothing runs.").isVisible());

  // It forms: two permits, seven callers.
  for (const user of ["anna", "bert", "carla", "dora", "emil", "fritz", "gerda"]) {
    calls.send(user, "llama3");
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  await eventually("two run and five wait", async () => (await text(page, "#running")) === "2" && (await text(page, "#waiting")) === "5");
  assert.equal(await page.locator("#calls tbody tr").count(), 7);
  assert.equal(await page.locator("#strip i.busy").count(), 2);
  assert.equal(await page.locator("#strip i.waits").count(), 5);
  assert.match(await page.title(), /5 waiting/);
  const first = page.locator("#calls tr.waits").first();
  assert.match(await first.innerText(), /waiting, number 1/);
  assert.equal(hue(await colorOf(first.locator(".chip"))), "red");
  assert.equal(hue(await colorOf(page.locator("#calls tr.runs .chip").first())), "blue");
  await eventually("the pieces of a running call are counted", async () => /\d+ ?$/m.test(await page.locator("#calls tr.runs td:nth-child(7)").first().innerText()));
  await eventually("the model is loaded and two of it run", async () =>
    /llama3:latest[\s\S]*loaded\s+2\s+5\s+\d/.test(await text(page, "#model-rows")));
  assert.match(await text(page, "#upstream-cards"), /local\s+up[\s\S]*2 of 2/);
  await picture(page, "dashboard-busy");

  // What is told aloud, and the names of what can be pressed.
  await eventually("the numbers are announced", async () => /running, \d+ waiting/.test(await page.locator("#announce").textContent()));
  for (const control of await page.locator("button, a").all())
    assert.ok((await control.getAttribute("aria-label")) || (await control.textContent()).trim());
  for (const table of await page.locator("table").all()) assert.ok((await table.locator("caption").textContent()).length > 5);
  assert.equal(await page.locator("h1").count(), 1);

  // A cancel, by keyboard: the row keeps the focus through the updates.
  const victim = page.getByRole("button", {name: "Cancel the call of carla to llama3:latest"});
  await victim.focus();
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.ok(await victim.evaluate((element) => document.activeElement === element), "the focus was lost");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await picture(page, "dashboard-question");
  await page.keyboard.press("Escape");  // thinks better of it
  await page.getByRole("dialog").waitFor({state: "hidden"});
  assert.equal(await text(page, "#waiting"), "5");
  await page.keyboard.press("Enter");
  await page.getByRole("button", {name: "Yes"}).click();
  const ended = calls.all.find((call) => call.user === "carla");
  await eventually("carla's call has ended", async () => ended.over);
  assert.match(ended.said, /cancelled/);
  await eventually("four wait", async () => (await text(page, "#waiting")) === "4");

  // One that runs: its work stops at once.
  const before = (await sim("/sim/stats")).aborts.count;
  await page.locator("#calls tr.runs button").first().click();
  await page.getByRole("button", {name: "Yes"}).click();
  await eventually("its work has stopped", async () => (await sim("/sim/stats")).aborts.count === before + 1);
  await eventually("the next has its turn", async () => (await text(page, "#waiting")) === "3");

  // It drains.
  await calls.end();
  await eventually("nobody is there", async () => page.getByText("Nobody is waiting and nothing runs.").isVisible());
  assert.equal(await page.locator("#calls tbody tr").count(), 0);

  // An unload: the button asks the admin port for it.
  const asked = page.waitForRequest((request) => request.method() === "POST" && new URL(request.url()).pathname === "/models/llama3%3Alatest/unload");
  await page.getByRole("button", {name: "Unload llama3:latest"}).click();
  await page.getByRole("button", {name: "Yes"}).click();
  const answer = await (await asked).response();
  if (answer.ok()) {
    await eventually("the model is gone", async () => (await sim("/sim/stats")).loaded.every((one) => !one.model.startsWith("llama3")));
  } else {
    await eventually("the refusal is told", async () => /That did not work/.test(await text(page, "#said")));
  }

  // What has ended, in pages.
  for (let n = 0; n < 45; n += 1) await calls.send(`user-${n}`, "quick").answer;
  await eventually("the newest are shown", async () => /user-44/.test(await text(page, "#recent-rows")));
  await page.getByRole("button", {name: "Older"}).click();
  await eventually("older ones", async () => /user-20/.test(await text(page, "#recent-rows")) && !/user-44/.test(await text(page, "#recent-rows")));
  await page.getByRole("button", {name: "Older"}).click();
  await eventually("still older ones", async () => /user-3\b/.test(await text(page, "#recent-rows")));
  assert.equal(await text(page, "#page"), "page 3");
  await page.getByRole("button", {name: "Newest"}).click();
  await eventually("the newest again", async () => /user-44/.test(await text(page, "#recent-rows")));
  assert.match(await text(page, "#recent-rows"), /ok/);

  // The charts have drawn something, and say their latest numbers.
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  assert.equal(await page.locator("#charts figure canvas").count(), 5);
  await eventually("calls per minute", async () => /whole: [\d.]+/.test(await text(page, "#charts")));
  await eventually("a first byte was measured", async () => /half: \d/.test(await text(page, "#charts")));
  const inked = await page.locator("#charts canvas").first().evaluate((canvas) => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let blue = 0;
    for (let n = 0; n < data.length; n += 4) blue += data[n + 2] > data[n] + 60 && data[n + 3] > 100;
    return blue;
  });
  assert.ok(inked > 10, "nothing blue in the first chart");
  await picture(page, "dashboard-after");
});

// Dark, and on a phone: nothing sticks out, and it can be pressed with a thumb.
for (const how of [{dark: true}, {phone: true}, {phone: true, dark: true}]) {
  const calls = new Calls();
  for (const user of ["anna", "bert", "carla", "dora"]) calls.send(user, "llama3");
  await visit("/", how, async (page) => {
    await eventually("a queue", async () => (await text(page, "#waiting")) === "2");
    const [width, whole] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.ok(whole <= width, `${whole} pixels in ${width}`);
    if (how.phone) {
      const box = await page.locator("#calls tr.waits button").first().boundingBox();
      assert.ok(box.height >= 40, `a button of ${box.height} pixels`);
    }
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
    assert.ok(how.dark ? Math.max(...background) < 60 : Math.min(...background) > 200);
    await picture(page, `dashboard-${Object.keys(how).join("-")}`, {fullPage: !how.phone});
  });
  await calls.end();
}

// Several upstreams, a model that hangs, jobs: as they would be told.
await visit("/try", {}, async (page) => {
  const [tell, cancelled] = [JSON.stringify({
    version: "9", uptime_s: 4000, draining: true, warnings: ["listening on 0.0.0.0:11435 without keys"],
    upstreams: [
      {name: "near", url: "http://near:11434", up: true, permits: 2, in_use: 2, vram_budget: 24 * 2 ** 30, last_listing_age_s: 1},
      {name: "far", url: "http://far:11434", up: false, why: "connection refused", permits: 2, in_use: 0, vram_budget: null, last_listing_age_s: null}],
    models: [
      {name: "a:latest", upstream: "near", state: "ready", loaded: true, running: 2, waiting: 3, size_vram: 12 * 2 ** 30, expires_at: null, silence_s: 40, learned_parallel: 1},
      {name: "a:latest", upstream: "far", state: "absent", loaded: false, running: 0, waiting: 3, size_vram: 0, expires_at: null, silence_s: 0, learned_parallel: null},
      {name: "hf.co/x/b:q4", upstream: "near", state: "stuck", loaded: true, running: 0, waiting: 0, size_vram: 6 * 2 ** 30, expires_at: null, silence_s: 0, learned_parallel: null}],
    calls: [], calls_total: 0, recent: [], recent_cursor: null, drift: {appeared: 1, vanished: 2},
    unloads: [{model: "hf.co/x/b:q4", upstream: "near", reason: "timeout", result: "stuck", ms: 30000, at: "2026-01-01T00:00:00Z"}],
  }), []];
  const job = (n, status, more) => ({id: `${n}`.padStart(32, "0"), status, path: "/api/chat", batch: "nightly", attempt: 1, created_at: new Date(Date.now() - 60_000).toISOString(), started_at: null, finished_at: null, error: null, ...more});
  await page.route("**/status/events", (route) => route.fulfill({contentType: "text/event-stream", body: `event: status\ndata: ${tell}\n\n`}));
  await page.route("**/gateway/jobs?*", (route) => route.fulfill({json: {next_cursor: null, jobs: [
    job(1, "running", {started_at: new Date().toISOString()}), job(2, "queued"), job(3, "succeeded"), job(4, "succeeded"), job(5, "failed", {error: {error: "timed out"}})]}}));
  await page.route("**/gateway/jobs/*/cancel", (route) => { cancelled.push(route.request().method()); return route.fulfill({json: {}}); });
  await page.goto(given.admin + "/");
  await eventually("who waits for a model of two upstreams waits once", async () => (await text(page, "#waiting")) === "3" && (await text(page, "#running")) === "2");
  assert.match(await text(page, "#warnings"), /without keys/);
  assert.match(await text(page, "#upstream-cards"), /far\s+down\s+.*connection refused[\s\S]*18.0 GiB of 24.0 GiB|18.0 GiB of 24.0 GiB[\s\S]*far\s+down\s+.*connection refused/);
  assert.match(await text(page, "#model-rows"), /Ollama runs 1 at once, silent for 40 s/);
  assert.match(await text(page, "#model-rows"), /hf.co\/x\/b:q4[\s\S]*stuck/);
  assert.match(await text(page, "#drift"), /1 model came unasked, 2 models went unasked/);
  assert.match(await text(page, "#unload-rows"), /stuck/);
  await eventually("jobs are shown with how far they are", async () => /nightly\s+3 of 5 done, 1 failed/.test(await text(page, "#batches")));
  assert.match(await text(page, "#job-counts"), /1 runs, 1 waits/);
  assert.match(await text(page, "#job-rows"), /timed out/);
  await page.getByRole("button", {name: "Cancel job 00000000"}).first().click();
  await page.getByRole("button", {name: "Yes"}).click();
  await eventually("the job's end is asked for", async () => cancelled.length === 1 && cancelled[0] === "POST");
  await picture(page, "dashboard-told");
});
