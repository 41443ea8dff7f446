// Teaching an action from spans that were marked in the player.

import * as api from "../api.js";
import { element, icon, make } from "../shared/elements.js";
import { clock, count, fileName } from "../shared/format.js";
import * as spans from "../player/spans.js";

const POLL_MS = 500;
const KEY = "reelseek.lesson";
const name = element("teach-name");
const said = element("teach-said");
let video = null;
let tray = recall(); // { video_id, path, start_seconds, end_seconds, positive } each
let teaching = false;

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
  } catch {
    return [];
  }
}

function keep() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(tray));
  } catch {
    // they hold until the page is closed
  }
  show();
}

export function open(next, hit) {
  video = next;
  if (!name.value && hit?.actions[0]) name.value = hit.actions[0].action;
  show();
}

function add(positive) {
  const span = spans.marked();
  if (!span) return;
  const [start, end] = [span.start, span.end].map((seconds) => Math.round(seconds * 1000) / 1000);
  tray = tray.filter((one) => one.video_id !== video.id || one.start_seconds !== start || one.end_seconds !== end);
  tray.push({ video_id: video.id, path: video.path, start_seconds: start, end_seconds: end, positive });
  keep();
}

function show() {
  element("teach-spans").replaceChildren(...tray.map((one) => {
    const where = `${fileName(one.path)}, ${clock(one.start_seconds)} – ${clock(one.end_seconds)}`;
    return make(
      "li", { class: one.positive ? "yes" : "no" },
      make("b", {}, one.positive ? "shows it" : "does not"),
      make("span", {}, where),
      make("button", { class: "plain", type: "button", "aria-label": `Leave out ${where}`, onclick: () => {
        tray = tray.filter((other) => other !== one);
        keep();
      } }, icon("close")),
    );
  }));
  const yes = tray.filter((one) => one.positive).length;
  element("teach-go").disabled = teaching || !tray.length || !name.value.trim();
  const isKnown = [...element("known-actions").options].some((one) => one.value === name.value.trim());
  // A first lesson takes a span that shows it: until then what does not is kept.
  const verb = isKnown || yes > 0 || !tray.length ? "Teach" : "Keep";
  const from = verb === "Keep" ? ` ${count(tray.length, "span")} for later` : ` from ${count(yes, "span")}`;
  element("teach-go").textContent = teaching ? "Teaching…" : `${verb}${tray.length ? from : ""}`;
}

// What is wanting for a lesson.
export const tooFew = (action, { negative }) =>
  `${count(negative, "example")} of what “${action}” is not ${negative === 1 ? "is" : "are"} kept. ` +
  "A lesson needs something that shows it: mark a span, best several that look unlike each other.";

export const examples = (positive) =>
  tray.filter((one) => one.positive === positive)
    .map(({ video_id, start_seconds, end_seconds }) => ({ video_id, start_seconds, end_seconds }));

// Waits for a job; `progress(job)` hears of it meanwhile. Throws its reason when it failed.
export async function finished(job, progress = () => {}) {
  while (job.status === "queued" || job.status === "running") {
    progress(job);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    job = await api.job(job.id);
  }
  if (job.status === "failed") throw Object.assign(new Error(job.error), { kept: true });
  return job;
}

export function stage(progress) {
  const { stage: what = "waiting for its turn", videos_done: done, videos_total: total } = progress ?? {};
  return `Learning: ${what}${total ? `, ${done} of ${count(total, "video")}` : ""}…`;
}

// "0.83, likely between 0.55 and 0.95": a figure of a report with its interval.
export function figure(report, name) {
  const [low, high] = [report[`${name}_low`], report[`${name}_high`]];
  const likely = Number.isFinite(low) ? `, likely between ${low.toFixed(2)} and ${high.toFixed(2)}` : "";
  return `${report[name].toFixed(2)}${likely}`;
}

// What a lesson came to, in words.
export function outcome(result) {
  const { action, segments, report = result } = result ?? {};
  const from = `from ${count(report?.positives ?? 0, "example")} of ${count(report?.videos ?? 0, "video")}`;
  const parts = [report?.is_draft
    ? `A draft of “${action}” ${from}, found by its name alone: ${report.reason}.`
    : `Learned “${action}” ${from}.`];
  if (Number.isFinite(report?.precision)) {
    parts.push(`On examples held out: precision ${figure(report, "precision")}; recall ${figure(report, "recall")}.`);
  }
  if (Number.isFinite(segments)) parts.push(`${count(segments, "segment")} found.`);
  return parts.join(" ");
}

async function teach(on) {
  const action = name.value.trim();
  teaching = true;
  show();
  said.replaceChildren("Learning…");
  try {
    const job = await api.teach({ action, positives: examples(true), negatives: examples(false), keep: true });
    const done = await finished(job, ({ progress }) => said.replaceChildren(stage(progress)));
    said.replaceChildren(outcome({ action, ...done.result }));
    const link = make("a", { href: `/?view=actions&name=${encodeURIComponent(action)}` }, "Look at it");
    said.append(" ", link);
    tray = [];
    on.learned(action);
  } catch (error) {
    const isTooFew = error.status === 409 && error.problem?.needed;
    said.replaceChildren(isTooFew ? tooFew(action, error.problem) : error.message);
    if (isTooFew) said.append(" ", make("a", { href: `/?view=actions&name=${encodeURIComponent(action)}` }, "Look at what is kept"));
    // Too few for a lesson, or a lesson that failed: the server keeps the examples for the next one.
    if (error.status === 409 || error.kept) tray = [];
  } finally {
    teaching = false;
    keep();
  }
}

// `on` has learned(action).
export function connect(on) {
  element("teach-yes").addEventListener("click", () => add(true));
  element("teach-no").addEventListener("click", () => add(false));
  element("teach-go").addEventListener("click", () => teach(on));
  name.addEventListener("input", show);
}
