// How numbers are said to people.

export function span(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.round(ms / 1000)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${String(Math.floor(ms / 1000) % 60).padStart(2, "0")} s`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor(minutes / 60) % 24} h`;
}

export function bytes(n) {
  if (!n) return "–";
  if (n < 2 ** 30) return `${Math.max(1, Math.round(n / 2 ** 20))} MiB`;
  return `${(n / 2 ** 30).toFixed(1)} GiB`;
}

export function clock(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? "–" : at.toLocaleTimeString([], {hourCycle: "h23"});
}

// For a moment that is still to come: "4 min".
export function until(text) {
  const left = new Date(text) - Date.now();
  if (Number.isNaN(left)) return "–";
  if (left > 10 * 365 * 86_400_000) return "stays";
  if (left <= 0) return "–";
  return left < 60_000 ? span(left) : span(left).replace(/ \d+ s$/, "");
}

export const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;
