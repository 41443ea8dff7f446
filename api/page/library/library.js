// The library view: videos with their storyboards, what failed and why, work in progress.

import * as api from "../api.js";
import { element, make, settled } from "../shared/elements.js";
import { clock, count, fileName, folder, length, size, whole } from "../shared/format.js";
import * as jobs from "./jobs.js";
import { poster } from "./posters.js";

const PAGE = 24;
const TABS = [["", "All"], ["indexed", "Indexed"], ["failed", "Failed"], ["missing", "Missing"]];
const list = element("videos");
const message = element("library-message");

let on = null;
let shown = null; // which videos are shown; null while the view is not
let cursor = null;

export function show(state) {
  if (state.view !== "library") {
    shown = null;
    jobs.rest();
    return;
  }
  if (shown === state.show) return;
  shown = state.show;
  showTabs();
  load();
  jobs.watch();
}

async function showTabs() {
  let counts = null;
  try {
    counts = (await api.status()).videos;
  } catch {
    // the list says what is wrong, and no number is better than a wrong one
  }
  const all = !counts ? 0 : ["indexed", "failed", "missing"].reduce((sum, name) => sum + (counts[name] ?? 0), 0);
  element("library-tabs").replaceChildren(...TABS.map(([name, label]) => make(
    "button",
    { class: "tab", type: "button", "aria-pressed": String(shown === name), onclick: () => on.go({ show: name }) },
    label, counts ? " " : null, counts ? make("b", {}, whole(name ? counts[name] ?? 0 : all)) : null,
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
    video.status === "indexed" && video.error ? make("p", { class: "reason" }, make("b", {}, "Note: "), video.error) : null,
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

// `handlers`: open(video id, time), go(change), changed().
export function connect(handlers) {
  on = handlers;
  jobs.connect({ ended: settled(() => {
    showTabs();
    load();
    on.changed();
  }, 100) });
  element("ingest-path").addEventListener("input", () => {
    if (message.classList.contains("problem")) {
      message.className = "message";
      message.textContent = "";
    }
  });
  element("videos-more").addEventListener("click", () => load({ added: true }));
  element("ingest").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = element("ingest-path");
    try {
      const job = await api.ingest(input.value.trim());
      input.value = "";
      message.className = "message";
      message.textContent = "Queued.";
      jobs.add(job);
    } catch (error) {
      message.className = "message problem";
      message.textContent = error.message;
    }
  });
}
