// Jobs, when there are any to show: the admin port answers 404 for them while they are turned off.
import {plural, span} from "./words.js";
import {bar, button, chip, setText, table} from "./rows.js";

const COLORS = {queued: "red", running: "blue", succeeded: "good", failed: "red", cancelled: ""};
const over = (job) => !["queued", "running"].includes(job.status);

export function showJobs(act) {
  const section = document.getElementById("jobs");
  const rows = table(document.getElementById("job-rows"), [
    {label: "State", bare: true, fill: (cell, job) => chip(cell, job.status, COLORS[job.status] ?? "")},
    {label: "Job", kind: "full", text: (job) => `${job.path} ${job.batch ? `of ${job.batch} ` : ""}${job.id.slice(0, 8)}`},
    {label: "Tries", kind: "number", text: (job) => String(job.attempt ?? 0)},
    {label: "Age", kind: "number", text: (job) => span(Date.now() - new Date(job.created_at))},
    {label: "Took", kind: "number", text: (job) => job.started_at ? span((job.finished_at ? new Date(job.finished_at) : new Date()) - new Date(job.started_at)) : "–"},
    {label: "Error", kind: "full", text: (job) => (typeof job.error === "string" ? job.error : job.error?.error ?? "")},
    {label: "Action", unseen: true, kind: "act", fill: (cell, job) => {
      if (over(job)) return cell.replaceChildren();
      button(cell, "Cancel", `Cancel job ${job.id.slice(0, 8)}`, () => act(`End this job (${job.path})?`, `/gateway/jobs/${job.id}/cancel`));
    }},
  ], {key: (job) => job.id, kind: (job) => ({queued: "waits", running: "runs"}[job.status] ?? "")});

  const ask = async () => {
    let wait = 2000;
    try {
      const answer = document.hidden ? null : await fetch("/gateway/jobs?limit=100");
      if (answer?.ok) {
        const {jobs} = await answer.json();
        section.hidden = jobs.length === 0;
        const count = (status) => jobs.filter((job) => job.status === status).length;
        setText(document.getElementById("job-counts"), `${plural(count("running"), "runs", "run")}, ${plural(count("queued"), "waits", "wait")}`);
        rows(jobs.slice(0, 20));
        showBatches(jobs);
      } else if (answer) {
        section.hidden = true;
        wait = 30_000;
      }
    } catch { /* asked again below */ }
    setTimeout(ask, wait);
  };
  ask();
}

function showBatches(jobs) {
  const batches = new Map();
  for (const job of jobs) {
    if (!job.batch) continue;
    const batch = batches.get(job.batch) ?? {all: 0, over: 0, failed: 0};
    batch.all += 1;
    batch.over += over(job);
    batch.failed += job.status === "failed";
    batches.set(job.batch, batch);
  }
  document.getElementById("batches").replaceChildren(...[...batches].map(([name, batch]) => {
    const said = `${batch.over} of ${batch.all} done${batch.failed ? `, ${batch.failed} failed` : ""}`;
    const line = document.createElement("div");
    line.className = "meter";
    const label = document.createElement("span");
    label.textContent = name;
    const text = document.createElement("span");
    text.textContent = said;
    line.append(label, bar([{share: (batch.over - batch.failed) / batch.all}, {share: batch.failed / batch.all, over: true}], `${name}: ${said}`), text);
    return line;
  }));
}
