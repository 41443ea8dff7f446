// Work in progress, and what came of it, as cards of the library view.

import * as api from "../api.js";
import { element, icon, make } from "../shared/elements.js";
import { count, fileName, length, whole } from "../shared/format.js";
import { outcome, stage } from "../actions/lesson.js";

const POLL_MS = 1000;
const IDLE_MS = 5000;
const LATELY_MS = 10 * 60 * 1000;
const MOST_FAILURES = 5;
const GONE = "reelseek.dismissed";

let on = null;
let polling = 0;
let watching = false;
let active = new Set(); // ids of jobs that were not done when last asked
const seen = new Map(); // id -> job
const dismissed = new Set(recall());

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(GONE)) ?? [];
  } catch {
    return [];
  }
}

export function watch() {
  watching = true;
  poll();
}

export function rest() {
  watching = false;
  clearTimeout(polling);
}

// A job that was just asked for.
export function add(job) {
  show([job]);
  clearTimeout(polling);
  polling = setTimeout(poll, POLL_MS / 2);
}

async function poll() {
  clearTimeout(polling);
  if (!watching) return;
  let wait = IDLE_MS;
  try {
    const { jobs } = document.hidden ? { jobs: null } : await api.jobs(20);
    if (jobs && show(jobs)) wait = POLL_MS;
  } catch {
    // a server without this listing, or none: asked again later
  }
  clearTimeout(polling);
  if (watching) polling = setTimeout(poll, wait);
}

// Says whether any job is not done.
function show(jobs) {
  const busy = jobs.filter((job) => job.status === "queued" || job.status === "running");
  const ended = jobs.filter((job) => active.has(job.id) && !busy.includes(job));
  active = new Set(busy.map((job) => job.id));
  // What ended lately stays, so that its end is seen.
  const late = (job) => job.finished_at && Date.now() - Date.parse(job.finished_at) < LATELY_MS;
  for (const job of jobs) if (busy.includes(job) || ended.includes(job) || late(job)) seen.set(job.id, job);
  if (ended.length) on.ended();
  draw();
  return busy.length > 0;
}

const drawn = new Map(); // id -> { key, card }: a card that says the same stays, and with it the focus

function draw() {
  const shown = [...seen.values()].filter((job) => !dismissed.has(job.id))
    .sort((one, other) => Date.parse(other.created_at) - Date.parse(one.created_at));
  element("jobs").hidden = !shown.length;
  const cards = shown.map((job) => {
    const key = JSON.stringify(job);
    if (drawn.get(job.id)?.key !== key) drawn.set(job.id, { key, card: card(job) });
    return drawn.get(job.id).card;
  });
  const list = element("job-list");
  if (cards.length !== list.children.length || cards.some((one, index) => list.children[index] !== one)) list.replaceChildren(...cards);
}

function dismiss(job) {
  dismissed.add(job.id);
  try {
    sessionStorage.setItem(GONE, JSON.stringify([...dismissed].slice(-100)));
  } catch {
    // it is gone until the page is closed
  }
  draw();
  element("main").focus({ preventScroll: true });
}

function card(job) {
  const what = job.kind === "teach" ? `Teaching ${job.request.action}` : `Indexing ${(job.request.paths ?? []).join(", ")}`;
  const progress = job.progress ?? {};
  const isOver = job.status === "done" || job.status === "failed";
  const bar = make("progress", { "aria-label": what });
  if (job.status === "done") bar.max = bar.value = 1;
  else if (progress.files_total) {
    bar.max = progress.files_total;
    bar.value = progress.files_done;
  }
  const state = job.kind === "teach" ? lessonState(job) : {
    queued: "waiting for its turn",
    running: progress.files_total
      ? `${progress.files_done} of ${count(progress.files_total, "file")}, ${length(progress.video_seconds)} of video${progress.path ? `, now ${fileName(progress.path)}` : ""}`
      : progress.stage ?? "beginning",
    done: summary(job.result),
    failed: job.error,
  }[job.status];
  return make(
    "li", { class: `job ${job.status}` },
    make("b", {}, what),
    isOver ? make("button", { class: "plain small", type: "button", "aria-label": `Dismiss: ${what}`, onclick: () => dismiss(job) }, icon("close")) : null,
    job.status === "failed" ? null : bar,
    make("span", { class: "note" }, state),
    failures(job.result),
  );
}

function lessonState(job) {
  if (job.status === "failed") return job.error;
  return job.status === "done" ? outcome(job.result) : stage(job.progress);
}

const failed = (result) => (Array.isArray(result?.failed) ? result.failed : []);

function summary(result) {
  const numbers = Object.entries(result ?? {}).filter(([, value]) => typeof value === "number" && value > 0);
  const counts = numbers.filter(([name]) => ["indexed", "renamed", "moved", "removed", "clips"].includes(name))
    .map(([name, value]) => (name === "clips" ? count(value, "clip") : `${whole(value)} ${name}`));
  if (failed(result).length) counts.push(`${whole(failed(result).length)} failed`);
  return counts.length ? counts.join(", ") : "done; nothing was new";
}

// Which files could not be indexed, and why.
function failures(result) {
  const all = failed(result);
  if (!all.length) return null;
  const rows = all.slice(0, MOST_FAILURES).map(({ path, reason }) => make("li", {}, make("b", { title: path }, fileName(path)), `: ${reason}`));
  if (all.length > MOST_FAILURES) rows.push(make("li", {}, make("a", { href: "/?view=library&show=failed" }, `${all.length - MOST_FAILURES} more`)));
  return make("ul", { class: "failures" }, ...rows);
}

// `handlers`: ended(), when a job is done.
export function connect(handlers) {
  on = handlers;
}
