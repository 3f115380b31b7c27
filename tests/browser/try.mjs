// The chat page: waits in red with its place, runs in blue, answers, and can be aborted in every phase.
import assert from "node:assert/strict";
import {Calls, eventually, hue, picture, sim, visit} from "./browser.mjs";

const state = (page) => page.locator("#state").evaluate((element) => ({
  as: element.className,
  color: getComputedStyle(element).color,
  text: element.innerText.trim(),
  spins: getComputedStyle(element.querySelector("i")).display !== "none",
}));

await visit("/try", {}, async (page) => {
  const calls = new Calls();
  await eventually("the models are listed", async () => (await page.locator("#model option").count()) >= 2);
  await page.getByLabel("Model").selectOption("llama3:latest");

  // Both permits are taken and somebody stands before us.
  for (const user of ["anna", "bert", "carla"]) {
    calls.send(user, "llama3");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await page.getByLabel("Your message").fill("Hello there");
  await page.keyboard.press("Enter");
  await eventually("it waits, and says where and for how long", async () => {
    const now = await state(page);
    return now.as === "waiting" && now.spins && hue(now.color) === "red" && /number 2 in the queue \([1-9]\d*s\)/.test(now.text);
  });
  await picture(page, "try-waiting");
  for (const call of [...calls.all].reverse()) call.stop.abort();
  await eventually("it runs", async () => {
    const now = await state(page);
    return now.as === "running" && now.spins && hue(now.color) === "blue" && /Answering/.test(now.text);
  });
  await picture(page, "try-running");

  // Aborted while it runs: the work stops upstream.
  await eventually("the others are gone", async () => (await sim("/sim/stats")).in_flight === 1);
  const before = (await sim("/sim/stats")).aborts.count;
  await page.getByRole("button", {name: "Abort"}).click();
  await eventually("its work has stopped", async () => (await sim("/sim/stats")).aborts.count === before + 1);
  assert.match(await page.locator("#log").innerText(), /Aborted/);

  // A whole answer.
  await page.getByLabel("Model").selectOption("quick:latest");
  await page.getByLabel("Your message").fill("And now quickly");
  await page.getByRole("button", {name: "Send"}).click();
  await eventually("an answer", async () => (await page.locator("#log .model").count()) >= 2 && (await page.locator("#log .model").last().innerText()).length > 5);
  await eventually("and it is over", async () => (await state(page)).as === "" && (await page.getByRole("button", {name: "Send"}).isEnabled()));

  // Aborted while it waits: the place is given back.
  const holding = new Calls();
  holding.send("anna", "llama3");
  holding.send("bert", "llama3");
  await eventually("both permits are taken", async () => (await sim("/sim/stats")).in_flight === 2);
  await page.getByLabel("Your message").fill("Never mind");
  await page.keyboard.press("Enter");
  await eventually("it waits", async () => (await state(page)).as === "waiting");
  await page.keyboard.press("Escape");
  await eventually("it is over", async () => (await state(page)).as === "");
  await holding.end();
});

for (const how of [{phone: true, dark: true}]) {
  await visit("/try", how, async (page) => {
    await eventually("the models are listed", async () => (await page.locator("#model option").count()) >= 2);
    await page.getByLabel("Model").selectOption("quick:latest");
    await page.getByLabel("Your message").fill("Hello from a phone");
    await page.getByRole("button", {name: "Send"}).click();
    await eventually("an answer", async () => (await page.locator("#log .model").count()) === 1 && (await state(page)).as === "");
    const [width, whole] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.ok(whole <= width, `${whole} pixels in ${width}`);
    await picture(page, "try-phone-dark");
  });
}
