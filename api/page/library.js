// The library view: videos with their storyboards, what failed and why, work in progress.

import * as api from "./api.js";
import { element, make, settled } from "./elements.js";
import { clock, count, fileName, folder, length, size, whole } from "./format.js";
import { outcome, stage } from "./lesson.js";
import { poster } from "./posters.js";

const PAGE = 24;
const POLL_MS = 1000;
const IDLE_MS = 5000;
const LATELY_MS = 10 * 60 * 1000;
const TABS = [["", "All"], ["indexed", "Indexed"], ["failed", "Failed"], ["missing", "Missing"]];
const list = element("videos");
const message = element("library-message");

let on = null;
let shown = null; // which videos are shown; null while the view is not
let cursor = null;
let polling = 0;
let active = new Set(); // ids of jobs that were not done when last asked

export function show(state) {
  if (state.view !== "library") {
    shown = null;
    clearTimeout(polling);
    return;
  }
  if (shown === state.show) return;
  shown = state.show;
  showTabs();
  load();
  poll();
}

async function showTabs() {
  let counts = {};
  try {
    counts = (await api.status()).videos;
  } catch {
    // the list says what is wrong
  }
  const all = ["indexed", "failed", "missing"].reduce((sum, name) => sum + (counts[name] ?? 0), 0);
  element("library-tabs").replaceChildren(...TABS.map(([name, label]) => make(
    "button",
    { class: "tab", type: "button", "aria-pressed": String(shown === name), onclick: () => on.go({ show: name }) },
    label, " ", make("b", {}, whole(name ? counts[name] ?? 0 : all)),
  )));
}

async function load({ added = false } = {}) {
  const mine = shown;
  try {
    const page = await api.videos({ status: mine, limit: PAGE, cursor: added ? cursor : null });
    if (mine !== shown) return;
    const cards = page.videos.map(card);
    if (added) list.append(...cards);
    else list.replaceChildren(...cards);
    cursor = page.next_cursor;
    element("videos-more").hidden = !cursor;
    message.className = "message";
    message.textContent = page.total ? "" : mine ? `No video is ${mine}.` : "This library is empty. Index a folder to begin.";
    if (added) cards[0]?.querySelector("a")?.focus();
  } catch (error) {
    if (mine !== shown) return;
    message.className = "message problem";
    message.replaceChildren(error.message, make("button", { class: "plain edged", type: "button", onclick: () => load() }, "Try again"));
  }
}

function card(video) {
  const name = fileName(video.path);
  const facts = [
    video.duration_seconds && length(video.duration_seconds),
    video.width && `${video.width} × ${video.height}`,
    video.codec,
    video.average_fps && `${Math.round(video.average_fps * 100) / 100} fps`,
    size(video.size_bytes),
    video.clips && count(video.clips, "clip"),
    video.recorded_at && String(video.recorded_at).slice(0, 10),
  ].filter(Boolean);
  const text = make(
    "div", { class: "facts" },
    make("h2", { class: "name" }, name),
    make("p", { class: "path" }, folder(video.path)),
    make("p", { class: "note" }, facts.join(" · ")),
    video.status === "failed" ? make("p", { class: "reason failed" }, make("b", {}, "Failed: "), video.error ?? "no reason is known") : null,
    video.status === "missing" ? make("p", { class: "reason" }, make("b", {}, "Missing: "), video.error ?? "the file has been moved or its drive is offline; what was indexed is still found") : null,
  );
  if (video.status === "failed") return make("li", { class: "video failed" }, text);
  return make("li", { class: "video" }, poster(video, () => on.open(video.id, 0)), text, board(video, name));
}

// The storyboard; where the server makes none, the key frames themselves.
function board(video, name) {
  const image = make("img", {
    class: "storyboard", loading: "lazy", decoding: "async", alt: `Storyboard of ${name}`, src: api.storyboardUrl(video.id, 5, 5),
  });
  image.addEventListener("error", async () => {
    try {
      const { key_frames: frames } = await api.keyFrames(video.id, 5);
      image.replaceWith(make("div", { class: "strip" }, ...frames.map((frame) =>
        make("img", { src: frame.url, loading: "lazy", alt: `Key frame at ${clock(frame.time_seconds)}` }))));
    } catch {
      image.remove();
    }
  }, { once: true });
  return image;
}

// --- work in progress ----------------------------------------------------------------------

async function poll() {
  clearTimeout(polling);
  if (shown === null) return;
  let wait = IDLE_MS;
  try {
    const { jobs } = document.hidden ? { jobs: null } : await api.jobs(20);
    if (jobs && showJobs(jobs)) wait = POLL_MS;
  } catch {
    // a server without this listing, or none: asked again later
  }
  clearTimeout(polling);
  if (shown !== null) polling = setTimeout(poll, wait);
}

const refresh = settled(() => {
  showTabs();
  load();
  on.changed();
}, 100);

// Says whether any job is not done.
function showJobs(jobs) {
  const busy = jobs.filter((job) => job.status === "queued" || job.status === "running");
  const ended = jobs.filter((job) => active.has(job.id) && !busy.includes(job));
  active = new Set(busy.map((job) => job.id));
  // What ended lately stays, so that its end is seen.
  const late = (job) => job.finished_at && Date.now() - Date.parse(job.finished_at) < LATELY_MS;
  for (const job of jobs) if (busy.includes(job) || ended.includes(job) || late(job)) seenJobs.set(job.id, job);
  if (ended.length) refresh();
  element("jobs").hidden = !seenJobs.size;
  element("job-list").replaceChildren(...[...seenJobs.values()].map(jobRow));
  return busy.length > 0;
}
const seenJobs = new Map();

function jobRow(job) {
  const what = job.kind === "teach" ? `Teaching ${job.request.action}` : `Indexing ${(job.request.paths ?? []).join(", ")}`;
  const progress = job.progress ?? {};
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
      : "beginning",
    done: summary(job.result),
    failed: job.error,
  }[job.status];
  return make("li", { class: `job ${job.status}` }, make("b", {}, what), bar, make("span", { class: "note" }, state));
}

function lessonState(job) {
  if (job.status === "failed") return job.error;
  return job.status === "done" ? outcome(job.result) : stage(job.progress);
}

function summary(result) {
  const numbers = Object.entries(result ?? {}).filter(([, value]) => typeof value === "number" && value > 0);
  const counts = numbers.filter(([name]) => ["indexed", "renamed", "moved", "failed", "removed", "clips"].includes(name));
  return counts.length ? counts.map(([name, value]) => `${whole(value)} ${name}`).join(", ") : "done; nothing was new";
}

// `handlers`: open(video id, time), go(change), changed().
export function connect(handlers) {
  on = handlers;
  element("videos-more").addEventListener("click", () => load({ added: true }));
  element("ingest").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = element("ingest-path");
    try {
      const job = await api.ingest(input.value.trim());
      input.value = "";
      message.className = "message";
      message.textContent = "Queued.";
      showJobs([job]);
      polling = setTimeout(poll, POLL_MS / 2);
    } catch (error) {
      message.className = "message problem";
      message.textContent = error.message;
    }
  });
}
