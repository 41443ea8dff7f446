// The span that is marked on the timeline, and what can be done with it.

import * as api from "./api.js";
import { element } from "./elements.js";
import * as timeline from "./timeline.js";

const LEAST = 0.1; // seconds
let video = null;
let span = { start: null, end: null };
let on = null;

export function open(next, hit) {
  if (video?.id !== next.id) span = hit ? { start: hit.start_seconds, end: hit.end_seconds } : { start: null, end: null };
  video = next;
  showSpan();
}

// The marked span as { start, end }, or null.
export const marked = () => (span.start !== null && span.end !== null ? span : null);

export function mark(next) {
  span = next;
  showSpan();
}

export const clear = () => mark({ start: null, end: null });

export function begin() {
  const start = on.now();
  mark({ start, end: span.end !== null && span.end > start + LEAST ? span.end : null });
}

export function end() {
  const at = on.now();
  mark({ start: span.start !== null && span.start < at - LEAST ? span.start : null, end: at });
}

function showSpan() {
  timeline.mark(span);
  const both = marked();
  const half = span.start !== null || span.end !== null;
  element("span-acts").hidden = !both;
  element("mark-clear").hidden = !half;
  element("span-hint").hidden = Boolean(both);
  element("teach-yes").disabled = element("teach-no").disabled = !both;
  if (!both) return;
  element("span-start").value = span.start.toFixed(1);
  element("span-end").value = span.end.toFixed(1);
  element("span-cut").href = api.cutUrl(video.id, span.start, span.end);
}

// `handlers`: now(), seek(seconds), playSpan(start, end), search(video, start, end).
export function connect(handlers) {
  on = handlers;
  element("mark-in").addEventListener("click", begin);
  element("mark-out").addEventListener("click", end);
  element("mark-clear").addEventListener("click", clear);
  element("span-play").addEventListener("click", () => on.playSpan(span.start, span.end));
  element("span-search").addEventListener("click", () => on.search(video, span.start, span.end));
  for (const [id, side] of [["span-start", "start"], ["span-end", "end"]]) {
    element(id).addEventListener("change", (event) => {
      const next = { ...span, [side]: Number(event.target.value) };
      if (next.end - next.start >= LEAST) mark(next);
      else showSpan();
    });
  }
}
