// The last hour as charts (uPlot), asked for each ten seconds while the page is seen.
import {span} from "./words.js";
import {setText} from "./rows.js";

const seconds = (column) => (h) => h[column].map((ms) => (ms === null ? null : ms / 1000));
const perMinute = (column) => (h) => h[column].map((n) => (n * 60) / h.step_s);
const plain = (column) => (h) => h[column];
const perSecond = (column) => (h) => h[column].map((n) => n / h.step_s);
const asTime = (v) => span(v * 1000);
const asNumber = (v) => String(Math.round(v * 10) / 10);

const CHARTS = [
  {title: "Calls per minute", say: asNumber, series: [
    {name: "whole", color: "blue", from: perMinute("ok")},
    {name: "left", color: "amber", from: perMinute("left")},
    {name: "failed", color: "red", from: perMinute("failed")}]},
  {title: "At once, at most", say: asNumber, series: [
    {name: "waiting", color: "red", from: plain("waiting")},
    {name: "running", color: "blue", from: plain("running")}]},
  {title: "Wait for a permit", say: asTime, series: [
    {name: "half", color: "blue", from: seconds("queue_p50_ms")},
    {name: "95 of 100", color: "red", from: seconds("queue_p95_ms")}]},
  {title: "Until the first byte", say: asTime, series: [
    {name: "half", color: "blue", from: seconds("first_byte_p50_ms")},
    {name: "95 of 100", color: "red", from: seconds("first_byte_p95_ms")}]},
  {title: "Tokens per second", say: asNumber, series: [
    {name: "generated", color: "green", from: perSecond("tokens")}]},
];

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// A value between two gaps makes no line: it is drawn as a point.
function alone(plot, series) {
  const values = plot.data[series];
  return [...values.keys()].filter((n) => values[n] !== null && (values[n - 1] ?? null) === null && (values[n + 1] ?? null) === null);
}

class Chart {
  constructor(what, place) {
    this.what = what;
    this.figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const title = document.createElement("b");
    title.textContent = what.title;
    caption.append(title);
    this.latest = what.series.map((s) => {
      const key = document.createElement("span");
      key.className = `key-${s.color}`;
      caption.append(key);
      return key;
    });
    this.paper = document.createElement("div");
    this.paper.setAttribute("aria-hidden", "true");  // the caption says the latest numbers
    this.figure.append(caption, this.paper);
    place.append(this.figure);
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.paper);
  }

  size() { return {width: Math.max(200, this.paper.clientWidth), height: 150}; }

  draw() {
    this.plot?.destroy();
    const axis = {stroke: color("quiet"), grid: {stroke: color("grid"), width: 1}, ticks: {show: false}, font: "11px system-ui, sans-serif"};
    this.plot = new uPlot({
      ...this.size(),
      cursor: {show: false},
      legend: {show: false},
      padding: [8, 22, 0, 0],
      scales: {y: {range: (u, low, high) => [0, high > 0 ? high * 1.1 : 1]}},
      axes: [{...axis, space: 70, size: 26, values: (u, at) => at.map((t) => new Date(t * 1000).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", hourCycle: "h23"}))},
             {...axis, size: 58, values: (u, at) => at.map((v) => this.what.say(v))}],
      series: [{}, ...this.what.series.map((s) => ({stroke: color(s.color), width: 1.5, fill: `${color(s.color)}22`, points: {show: true, size: 4, filter: alone}}))],
    }, this.data, this.paper);
  }

  update(history) {
    const last = history.now_ms / 1000;
    const count = history.ok.length;
    const times = Array.from({length: count}, (_, n) => last - (count - 1 - n) * history.step_s);
    this.data = [times, ...this.what.series.map((s) => s.from(history))];
    this.what.series.forEach((s, n) => {
      const known = this.data[n + 1].filter((v) => v !== null);
      setText(this.latest[n], known.length ? `${s.name}: ${this.what.say(known.at(-1))}` : `${s.name}: –`);
    });
    if (this.plot) this.plot.setData(this.data);
    else this.draw();
  }
}

export function showCharts(place) {
  const charts = CHARTS.map((what) => new Chart(what, place));
  const ask = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/status/history");
      if (!answer.ok) return;
      const history = await answer.json();
      charts.forEach((chart) => chart.update(history));
    } catch { /* the header says that the connection is gone; the next try comes by itself */ }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((c) => c.plot && c.draw()));
  document.addEventListener("visibilitychange", ask);
  setInterval(ask, 10_000);
  ask();
}
