// The span that is marked on the timeline, and what can be done with it.

import * as api from "../api.js";
import { element } from "../shared/elements.js";
import * as timeline from "./timeline.js";

const LEAST = 0.1; // seconds
const ROUNDED = 0.05; // what is shown with one digit may be typed back
let video = null;
let span = { start: null, end: null };
let on = null;

export function open(next, hit) {
  if (video?.id !== next.id) say("");
  if (video?.id !== next.id) span = hit ? { start: hit.start_seconds, end: hit.end_seconds } : { start: null, end: null };
  video = next;
  showSpan();
}

// The marked span as { start, end }, or null.
export const marked = () => (span.start !== null && span.end !== null ? span : null);

export function mark(next) {
  span = next;
  say("");
  showSpan();
}

export const clear = () => mark({ start: null, end: null });

export function begin() {
  const start = timeline.bounded(on.now());
  if (start > (timeline.extent()?.end ?? Infinity) - LEAST) return say("Here the video ends: go back a little, a span begins before it.");
  mark({ start, end: span.end !== null && span.end >= start + LEAST ? span.end : null });
}

export function end() {
  const at = timeline.bounded(on.now());
  if (at < (timeline.extent()?.start ?? 0) + LEAST) return say("Here the video begins: go on a little, a span ends after it.");
  mark({ start: span.start !== null && span.start <= at - LEAST ? span.start : null, end: at });
}

// Takes what was typed, or says why it is no span of this video.
function typed() {
  const [start, end] = ["span-start", "span-end"].map((id) => element(id).valueAsNumber);
  const { start: first, end: last } = timeline.extent() ?? { start: 0, end: Infinity };
  const inside = (seconds) => seconds >= first - ROUNDED && seconds <= last + ROUNDED;
  for (const [id, seconds] of [["span-start", start], ["span-end", end]]) element(id).setAttribute("aria-invalid", String(!inside(seconds)));
  let fault = "";
  if (!inside(start) || !inside(end)) fault = `This video goes from ${first.toFixed(1)} to ${last.toFixed(1)} s.`;
  else if (end - start < LEAST - 1e-6) fault = "A span ends after it begins, by 0.1 s or more.";
  if (!fault) return mark({ start: timeline.bounded(start), end: timeline.bounded(end) });
  if (inside(start) && inside(end)) element("span-end").setAttribute("aria-invalid", "true");
  say(fault);
  usable(false);
}

function say(text) {
  element("span-said").textContent = text;
}

function usable(yes) {
  for (const id of ["span-play", "span-search", "teach-yes", "teach-no"]) element(id).disabled = !yes;
  element("span-cut").hidden = !yes;
}

function showSpan() {
  timeline.mark(span);
  const both = marked();
  const half = span.start !== null || span.end !== null;
  element("span-acts").hidden = !both;
  element("mark-clear").hidden = !half;
  element("span-hint").hidden = Boolean(both);
  usable(Boolean(both));
  if (!both) return;
  for (const id of ["span-start", "span-end"]) element(id).setAttribute("aria-invalid", "false");
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
  for (const id of ["span-start", "span-end"]) element(id).addEventListener("change", typed);
}
