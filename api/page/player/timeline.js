// The line under the player: where the query matches, shots, actions, a span that is marked.
//
// It draws and reports where it was pressed; what follows from that is the player's affair.

import { draw, element, make } from "../shared/elements.js";
import { clock, colour, count, length, percent } from "../shared/format.js";
import { cellAt, sheet, showCell } from "../shared/scrub.js";

const root = element("timeline");
const DRAG = 5; // pixels: less is a click
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const LEAST_SECONDS = 0.5;
const PEEK_WIDTH = 176;
const MOST_LANES = 6;

const layers = {};
for (const name of ["ticks", "curve", "shots", "lanes", "mark", "head", "peek"]) {
  layers[name] = make("div", { class: `t-${name}`, "aria-hidden": "true" });
}
root.append(...Object.values(layers));

let whole = { start: 0, end: 1 }; // the file
let shown = { start: 0, end: 1 }; // the part that is drawn
let footage = { shots: [], segments: [], video: 0 };
let matches = null;
let marked = { start: null, end: null };
let head = 0;
let known = false; // whether the file's length is known yet

const at = (seconds) => ((seconds - shown.start) / (shown.end - shown.start)) * 100;
// A time inside the file; while its length is not known, one that is not before it.
export const bounded = (seconds) => (known ? Math.max(whole.start, Math.min(whole.end, seconds)) : Math.max(0, seconds));
export const extent = () => (known ? whole : null);
function secondsAt(event) {
  const box = root.getBoundingClientRect();
  return bounded(shown.start + ((event.clientX - box.left) / box.width) * (shown.end - shown.start));
}

// `next` has shots, segments, video (its id), start and end: null where it is not known.
export function show(next) {
  footage = next;
  known = next.end !== null;
  whole = shown = { start: next.start, end: Math.max(next.start + 0.1, next.end ?? 0) };
  matches = null;
  root.classList.toggle("unknown", !known);
  root.setAttribute("aria-disabled", String(!known));
  root.setAttribute("aria-valuemin", whole.start.toFixed(1));
  root.setAttribute("aria-valuemax", whole.end.toFixed(1));
  redraw();
}

export function showMatches(found) {
  matches = found?.times_seconds.length ? found : null;
  redraw();
}

// The time at which the query matches best, or null.
export function best() {
  if (!matches) return null;
  return matches.times_seconds[matches.scores.indexOf(Math.max(...matches.scores))];
}

// The start of the shot before or after a time.
export function shotFrom(seconds, step) {
  const starts = footage.shots.map((shot) => shot.start_seconds);
  if (step > 0) return starts.find((start) => start > seconds + 0.05) ?? whole.end;
  return starts.findLast((start) => start < seconds - 0.5) ?? whole.start;
}

export const segmentsAt = (seconds) =>
  footage.segments.filter((one) => one.start_seconds <= seconds && seconds < one.end_seconds);

export function zoom(factor) {
  if (!known) return;
  const middle = head >= shown.start && head <= shown.end ? head : (shown.start + shown.end) / 2;
  const wide = Math.max(LEAST_SECONDS, Math.min(whole.end - whole.start, (shown.end - shown.start) * factor));
  const start = Math.max(whole.start, Math.min(whole.end - wide, middle - wide / 2));
  shown = { start, end: start + wide };
  redraw();
}

export function moveHead(seconds, { quiet = false } = {}) {
  head = seconds;
  if (!known) return;
  // A part that is drawn larger follows, page by page.
  const wide = shown.end - shown.start;
  if ((head < shown.start || head > shown.end) && wide < whole.end - whole.start - 0.01) {
    const start = Math.max(whole.start, Math.min(whole.end - wide, head - wide * 0.1));
    shown = { start, end: start + wide };
    redraw();
  }
  layers.head.style.insetInlineStart = `${at(head)}%`;
  if (quiet) return;
  root.setAttribute("aria-valuenow", bounded(head).toFixed(1));
  const seen = [...new Set(segmentsAt(head).map((one) => one.action))];
  const of = known ? ` of ${clock(whole.end)}` : "";
  root.setAttribute("aria-valuetext", [`${clock(head)}${of}`, ...seen].join(", "));
}

export function mark(span) {
  marked = span;
  const [start, end] = [span.start ?? span.end, span.end ?? span.start];
  layers.mark.hidden = start === null;
  if (start === null) return;
  layers.mark.style.insetInlineStart = `${at(start)}%`;
  layers.mark.style.inlineSize = `${at(end) - at(start)}%`;
}

function redraw() {
  drawTicks();
  drawCurve();
  drawShots();
  drawLanes();
  mark(marked);
  layers.head.style.insetInlineStart = `${at(head)}%`;
}

function drawTicks() {
  if (!known) {
    layers.ticks.replaceChildren();
    return;
  }
  const wide = shown.end - shown.start;
  const room = Math.max(3, Math.floor(root.clientWidth / 90));
  const step = TICKS.find((one) => wide / one <= room) ?? Math.ceil(wide / room / 3600) * 3600;
  const ticks = [];
  for (let time = Math.ceil(shown.start / step) * step; time < shown.end; time += step) {
    if (at(time) > 96) break;
    const tick = make("span", {}, clock(time, step < 1 ? 1 : 0));
    tick.style.insetInlineStart = `${at(time)}%`;
    ticks.push(tick);
  }
  layers.ticks.replaceChildren(...ticks);
}

function drawCurve() {
  layers.curve.hidden = !matches;
  if (!matches) return;
  const { times_seconds: times, scores, usual } = matches;
  const floor = Math.min(...scores, usual ?? 1);
  // Where no score would do (1), the line lies above all of them, and the curve keeps its height.
  const top = Math.max(...scores, (usual < 1 ? (usual ?? floor) : Math.max(...scores)) + 0.02);
  const y = (score) => 100 - ((score - floor) / (top - floor)) * 92;
  const path = (low) => {
    const points = times.map((time, index) => `${at(time) * 10},${y(Math.max(scores[index], low))}`);
    const [first, last] = [at(times[0]) * 10, at(times.at(-1)) * 10];
    return `M${first},${y(low)}L${points.join("L")}L${last},${y(low)}Z`;
  };
  const line = usual === null || usual === undefined ? floor : Math.min(top, Math.max(floor, usual));
  layers.curve.replaceChildren(draw(
    "svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none" },
    draw("path", { class: "all", d: path(floor) }),
    draw("path", { class: "good", d: path(line) }),
    draw("path", { class: "usual", d: `M0,${y(line)}H1000` }),
  ));
}

function block(one, name) {
  const made = make("i", { class: name });
  made.style.insetInlineStart = `${at(one.start_seconds)}%`;
  made.style.inlineSize = `${at(one.end_seconds) - at(one.start_seconds)}%`;
  return made;
}

const isShown = (one) => one.end_seconds > shown.start && one.start_seconds < shown.end;

function drawShots() {
  layers.shots.hidden = !footage.shots.length;
  layers.shots.replaceChildren(...footage.shots.filter(isShown).map((shot) => block(shot, "shot")));
}

// One lane an action; what does not fit shares the last.
function drawLanes() {
  const lanes = new Map();
  for (const segment of footage.segments) {
    const lane = lanes.get(segment.action) ?? Math.min(lanes.size, MOST_LANES - 1);
    lanes.set(segment.action, lane);
  }
  const rows = Array.from({ length: Math.min(lanes.size, MOST_LANES) }, () => make("div", { class: "lane" }));
  for (const segment of footage.segments.filter(isShown)) {
    const made = block(segment, `segment ${colour(segment.action)}`);
    made.title = `${segment.action}, ${percent(segment.confidence)}`;
    rows[lanes.get(segment.action)].append(made);
  }
  layers.lanes.replaceChildren(...rows);
}

// What the colours mean. A press on an action goes to its next segment.
export function legend(list, seek) {
  const entry = (swatch, text) => make("li", {}, make("i", { class: swatch, "aria-hidden": "true" }), text);
  const actions = Map.groupBy
    ? Map.groupBy(footage.segments, (one) => one.action)
    : footage.segments.reduce((all, one) => all.set(one.action, [...(all.get(one.action) ?? []), one]), new Map());
  list.replaceChildren(
    ...(matches ? [entry("swatch match", "where the query matches")] : []),
    ...(footage.shots.length ? [entry("swatch shots", count(footage.shots.length, "shot"))] : []),
    ...[...actions].map(([action, segments]) => {
      const seconds = segments.reduce((sum, one) => sum + one.end_seconds - one.start_seconds, 0);
      const next = () => seek((segments.find((one) => one.start_seconds > head + 0.05) ?? segments[0]).start_seconds);
      return make("li", {}, make(
        "button", { class: "plain", type: "button", onclick: next, title: "Go to the next of these" },
        make("i", { class: `swatch ${colour(action)}`, "aria-hidden": "true" }),
        `${action} · ${segments.length}× · ${length(seconds)}`,
      ));
    }),
  );
}

// `on` has seek(seconds) and mark({ start, end }).
export function connect(on) {
  let from = null; // where a press began
  root.addEventListener("pointerdown", (event) => {
    if (event.button || !known) return;
    root.setPointerCapture(event.pointerId);
    from = { x: event.clientX, seconds: secondsAt(event), moved: false };
  });
  root.addEventListener("pointermove", (event) => {
    peek(event);
    if (!from || (!from.moved && Math.abs(event.clientX - from.x) < DRAG)) return;
    from.moved = true;
    const [start, end] = [from.seconds, secondsAt(event)].sort((one, other) => one - other);
    on.mark({ start, end });
  });
  root.addEventListener("pointerup", () => {
    if (from && !from.moved) on.seek(from.seconds);
    from = null;
  });
  root.addEventListener("pointercancel", () => (from = null));
  root.addEventListener("pointerleave", () => (layers.peek.hidden = true));
  new ResizeObserver(drawTicks).observe(root);
}

async function peek(event) {
  if (event.pointerType === "touch" || !known) return;
  const seconds = secondsAt(event);
  const box = root.getBoundingClientRect();
  const half = PEEK_WIDTH / 2;
  const x = Math.max(half, Math.min(box.width - half, event.clientX - box.left));
  layers.peek.style.insetInlineStart = `${x}px`;
  layers.peek.hidden = false;
  const cells = await sheet(footage.video);
  const picture = make("span", { class: "cell" });
  const cell = cells.length ? cellAt(cells, seconds - footage.start) : null;
  if (cell) {
    picture.style.width = `${PEEK_WIDTH}px`;
    showCell(picture, cell, PEEK_WIDTH);
  }
  layers.peek.replaceChildren(...(cell ? [picture] : []), make("b", {}, clock(seconds)));
}
layers.peek.hidden = true;
layers.mark.hidden = true;
