// The dashboard: /status/events, shown. Nothing is kept here that the next event does not say again.
import {bytes, clock, plural, span, until} from "./words.js";
import {bar, button, chip, fillBar, setText, table} from "./rows.js";
import {showCharts} from "./charts.js";
import {showJobs} from "./jobs.js";

const $ = (id) => document.getElementById(id);

// --- acting ---

function sure(question) {
  setText($("question"), question);
  $("ask").showModal();
  $("no").focus();
  return new Promise((resolve) => {
    const end = (answer) => { $("ask").close(); resolve(answer); };
    $("yes").onclick = () => end(true);
    $("no").onclick = () => end(false);
    $("ask").oncancel = () => resolve(false);  // Escape
  });
}

function say(text) {
  $("said").hidden = !text;
  setText($("said"), text);
}

// Asks, POSTs, and tells what went wrong if something did.
async function act(question, path) {
  if (!(await sure(question))) return;
  say("");
  try {
    const answer = await fetch(path, {method: "POST"});
    if (answer.ok) return;
    const told = await answer.json().catch(() => ({}));
    say(`That did not work: ${told.error?.message ?? told.error ?? answer.status}`);
  } catch (broken) {
    say(`That did not work: ${broken.message}`);
  }
}

// --- the queue ---

const waits = (call) => call.position !== null;
const PHASES = {loading_model: "loading", starting: "starting", processing: "prompt", streaming: "streaming", answering: "answering"};

const showCalls = table($("calls"), [
  {label: "State", bare: true, kind: "short", fill: (cell, call) =>
    waits(call) ? chip(cell, `waiting, number ${call.position}`, "red")
                : chip(cell, PHASES[call.phase] ?? call.phase, call.phase === "loading_model" ? "amber" : "blue")},
  {label: "Model", kind: "full", text: (call) => call.model || "–"},
  {label: "Client", text: (call) => call.client},
  {label: "Asked", kind: "desk", text: (call) => call.endpoint},
  {label: "Waited", kind: "number", text: (call) => span(call.waited_ms)},
  {label: "Age", kind: "number", text: (call) => span(call.age_s * 1000)},
  {label: "Pieces", kind: "number", text: (call) => (call.chunks ? String(call.chunks) : "–")},
  {label: "At", kind: "desk", text: (call) => call.upstream ?? ""},
  {label: "Action", unseen: true, kind: "act", fill: (cell, call) =>
    button(cell, "Cancel", `Cancel the call of ${call.client} to ${call.model}`, () =>
      act(`End this call of ${call.client} to ${call.model || call.endpoint}?`, `/calls/${encodeURIComponent(call.id)}/cancel`))},
], {key: (call) => call.id, kind: (call) => (waits(call) ? "waits" : "runs")});

let announced = "";
let announcedAt = 0;

function showQueue(s) {
  // Calls wait for a model, wherever it may run: each upstream that has it tells the same number.
  const waiting = [...new Map(s.models.map((m) => [m.name, m.waiting])).values()].reduce((sum, n) => sum + n, 0);
  const permits = s.upstreams.reduce((sum, u) => sum + u.permits, 0);
  const inUse = s.upstreams.reduce((sum, u) => sum + u.in_use, 0);
  const running = s.models.reduce((sum, m) => sum + m.running, 0);
  setText($("running"), String(running));
  setText($("waiting"), String(waiting));
  $("waiting").classList.toggle("none", waiting === 0);
  const first = s.calls.find(waits);
  setText($("places"), `· ${inUse} of ${plural(permits, "permit", "permits")} in use${first ? `, next: ${first.model}` : ""}`);
  document.title = waiting ? `(${waiting} waiting) ollama-gateway` : "ollama-gateway";

  const dots = Math.min(waiting, 80);
  const marks = [...Array(Math.min(permits, 40)).keys()].map((n) => (n < inUse ? "busy" : "free"));
  marks.push("wall", ...Array(dots).fill("waits"));
  const strip = $("strip");
  const wanted = marks.join(" ") + waiting;
  if (strip.dataset.shown !== wanted) {
    strip.dataset.shown = wanted;
    strip.replaceChildren(...marks.map((mark) => Object.assign(document.createElement("i"), {className: mark})));
    if (waiting > dots) strip.append(`+${waiting - dots}`);
  }

  showCalls(s.calls);
  $("no-calls").hidden = s.calls.length !== 0;

  // Told to those who do not see it, but not every second.
  const now = `${running} running, ${waiting} waiting`;
  if (now !== announced && Date.now() - announcedAt > 5000) {
    setText($("announce"), now);
    announced = now;
    announcedAt = Date.now();
  }
}

// --- models and upstreams ---

const STATES = {ready: "good", loading: "amber", unloading: "amber", stuck: "red", absent: ""};
const budgetOf = new Map();

const showModels = table($("model-rows"), [
  {label: "Model", bare: true, kind: "full", fill: (cell, m) => {
    if (!cell.firstChild) cell.append(document.createElement("span"), document.createElement("small"));
    setText(cell.firstChild, m.name);
    const more = [m.upstream];
    if (m.learned_parallel) more.push(`Ollama runs ${m.learned_parallel} at once`);
    if (m.silence_s >= 10) more.push(`silent for ${span(m.silence_s * 1000)}`);
    setText(cell.lastChild, more.join(", "));
  }},
  {label: "State", bare: true, fill: (cell, m) => chip(cell, m.state === "ready" ? "loaded" : m.state, STATES[m.state] ?? "")},
  {label: "Running", kind: "number", text: (m) => String(m.running)},
  {label: "Waiting", kind: "number", text: (m) => String(m.waiting)},
  {label: "VRAM", kind: "number", fill: (cell, m) => {
    if (!cell.firstChild) cell.append(document.createElement("span"), bar([], ""));
    setText(cell.firstChild, bytes(m.size_vram));
    const budget = budgetOf.get(m.upstream);
    cell.lastChild.hidden = !budget || !m.size_vram;
    if (budget && m.size_vram) fillBar(cell.lastChild, [{share: m.size_vram / budget}], `${Math.round((100 * m.size_vram) / budget)} % of the budget`);
  }},
  {label: "Stays", kind: "number", text: (m) => (m.loaded && m.expires_at ? until(m.expires_at) : "–")},
  {label: "Action", unseen: true, kind: "act", fill: (cell, m) => {
    if (!m.loaded) return cell.replaceChildren();
    button(cell, "Unload", `Unload ${m.name}`, () =>
      act(`Take ${m.name} out of VRAM?${m.running ? ` ${plural(m.running, "call of it runs and ends", "calls of it run and end")} as timed out.` : ""}`,
          `/models/${encodeURIComponent(m.name)}/unload`));
  }},
], {key: (m) => `${m.upstream} ${m.name}`, kind: (m) => (m.running ? "runs" : m.waiting ? "waits" : "")});

function meter(place, label) {
  const line = document.createElement("div");
  line.className = "meter";
  line.append(Object.assign(document.createElement("span"), {textContent: label}), bar([], label), document.createElement("span"));
  place.append(line);
  return (parts, text) => {
    fillBar(line.children[1], parts, `${label}: ${text}`);
    setText(line.children[2], text);
  };
}

const cards = new Map();

function cardOf(name) {
  let card = cards.get(name);
  if (card) return card;
  const element = document.createElement("div");
  element.className = "upstream";
  const row = document.createElement("div");
  row.className = "row";
  const [title, state, why] = ["h3", "span", "span"].map((tag) => row.appendChild(document.createElement(tag)));
  why.className = "quiet";
  element.append(row);
  card = {element, title, state, why, permits: meter(element, "Permits"), vram: meter(element, "VRAM")};
  cards.set(name, card);
  $("upstream-cards").append(element);
  return card;
}

function showUpstreams(s) {
  for (const [name, card] of cards) {
    if (s.upstreams.some((u) => u.name === name)) continue;
    card.element.remove();
    cards.delete(name);
  }
  for (const u of s.upstreams) {
    budgetOf.set(u.name, u.vram_budget);
    const card = cardOf(u.name);
    setText(card.title, u.name);
    card.state.className = `chip ${u.up ? "good" : "red"}`;
    setText(card.state, u.up ? "up" : "down");
    const listed = u.last_listing_age_s === null ? "its models were never listed" : `listed ${span(u.last_listing_age_s * 1000)} ago`;
    setText(card.why, [u.url, u.up ? "" : u.why ?? "", listed].filter(Boolean).join(", "));
    card.permits([{share: u.permits ? u.in_use / u.permits : 0}], `${u.in_use} of ${u.permits}`);
    const sizes = s.models.filter((m) => m.upstream === u.name && m.size_vram).map((m) => m.size_vram);
    const used = sizes.reduce((sum, n) => sum + n, 0);
    const whole = u.vram_budget || used;
    const over = Boolean(u.vram_budget) && used > u.vram_budget;
    card.vram(sizes.map((n) => ({share: whole ? n / Math.max(whole, used) : 0, over})),
              u.vram_budget ? `${bytes(used)} of ${bytes(u.vram_budget)}` : used ? `${bytes(used)}, no budget set` : "empty");
  }
  const drift = s.drift ?? {};
  const told = [drift.appeared && `${plural(drift.appeared, "model", "models")} came unasked`, drift.vanished && `${plural(drift.vanished, "model", "models")} went unasked`].filter(Boolean);
  $("drift").hidden = told.length === 0;
  setText($("drift"), `Set right since the start: ${told.join(", ")}.`);
}

// --- what has ended ---

const OUTCOMES = {ok: "good", client_gone: "amber", cancelled: "amber"};
const story = (attempts) => attempts
  .filter((a) => attempts.length > 1 || a.error)
  .map((a) => `${a.model}@${a.upstream}: ${a.error || a.outcome}`).join("; ");

const showRecent = table($("recent-rows"), [
  {label: "Ended", kind: "short", text: (call) => clock(call.finished_at)},
  {label: "Outcome", bare: true, fill: (cell, call) => chip(cell, call.outcome.replaceAll("_", " "), OUTCOMES[call.outcome] ?? "red")},
  {label: "Model", kind: "full", fill: (cell, call) => {
    if (!cell.firstChild) cell.append(document.createElement("span"), document.createElement("small"));
    setText(cell.firstChild, call.model || call.endpoint);
    setText(cell.lastChild, story(call.attempts));
  }},
  {label: "Client", text: (call) => call.client},
  {label: "Queue", kind: "number desk", text: (call) => span(call.queue_ms)},
  {label: "Load", kind: "number desk", text: (call) => span(call.load_ms)},
  {label: "First byte", kind: "number", text: (call) => span(call.first_byte_ms)},
  {label: "Total", kind: "number", text: (call) => span(call.total_ms)},
], {key: (call) => `${call.id} ${call.finished_at}`});

const pages = [];  // the cursors that led here; empty: the newest page, which is live
let nextCursor = null;

function showPage(s) {
  showRecent(s.recent);
  nextCursor = s.recent_cursor;
  $("no-recent").hidden = s.recent.length !== 0;
  $("newest").disabled = $("newer").disabled = pages.length === 0;
  $("older").disabled = !nextCursor;
  setText($("page"), pages.length ? `page ${pages.length + 1}` : "newest, live");
}

async function turn() {
  const cursor = pages.at(-1);
  const answer = await fetch(`/status?recent_limit=20&calls_limit=0${cursor ? `&recent_cursor=${cursor}` : ""}`);
  if (answer.ok) showPage(await answer.json());
}
$("older").onclick = () => { pages.push(nextCursor); turn(); };
$("newer").onclick = () => { pages.pop(); turn(); };
$("newest").onclick = () => { pages.length = 0; turn(); };

const showUnloads = table($("unload-rows"), [
  {label: "At", kind: "short", text: (u) => clock(u.at)},
  {label: "Result", bare: true, fill: (cell, u) => chip(cell, u.result, u.result === "gone" ? "good" : "red")},
  {label: "Model", kind: "full", text: (u) => `${u.model}, ${u.upstream}`},
  {label: "Why", text: (u) => u.reason},
  {label: "Took", kind: "number", text: (u) => span(u.ms)},
], {key: (u) => `${u.at} ${u.upstream} ${u.model}`});

// --- live ---

function link(text, color) {
  $("link").className = `chip ${color}`;
  setText($("link"), text);
}

function show(s) {
  setText($("about"), `${s.version} · up ${span(s.uptime_s * 1000)}`);
  link(s.draining ? "draining" : "live", s.draining ? "amber" : "good");
  const warnings = s.warnings ?? [];
  $("warnings").hidden = warnings.length === 0;
  if ($("warnings").dataset.shown !== warnings.join("\n")) {
    $("warnings").dataset.shown = warnings.join("\n");
    $("warnings").replaceChildren(...warnings.map((w) => Object.assign(document.createElement("li"), {textContent: w})));
  }
  showUpstreams(s);
  showModels(s.models);
  $("no-models").hidden = s.models.length !== 0;
  showQueue(s);
  if (pages.length === 0) showPage(s);
  $("unloads").hidden = s.unloads.length === 0;
  showUnloads(s.unloads.slice(0, 20));
}

function listen() {
  const events = new EventSource("/status/events");
  events.addEventListener("status", (event) => show(JSON.parse(event.data)));
  events.onerror = () => {
    link("no connection", "red");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

listen();
showCharts($("charts"));
showJobs(act);
