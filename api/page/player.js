// Plays a file from a moment, with what is known about it.

import * as api from "./api.js";
import { element, make } from "./shared/elements.js";
import { clock, fileName, folder, still } from "./shared/format.js";
import * as footage from "./player/footage.js";
import * as keys from "./player/keys.js";
import * as lesson from "./actions/lesson.js";
import { showSeen } from "./actions/seen.js";
import * as spans from "./player/spans.js";
import * as timeline from "./player/timeline.js";

const dialog = element("player");
let on = null;
let expected = null; // the hit that is about to be opened
let current = null; // { video: document or { id }, hit, time, reported }

// A hit knows its path and span before the server was asked.
export function expect(hit) {
  expected = hit;
}

// Shows { video, time }, or nothing for null. `asked()` gives what is searched for.
export function show(place, asked) {
  if (!place) {
    if (dialog.open) shut();
  } else if (current?.video.id === place.video && dialog.open) {
    if (place.time !== current.reported) seek((current.reported = place.time));
  } else {
    open(place, asked);
  }
  expected = null;
}

function shut() {
  footage.stop();
  current = null;
  dialog.close();
}

async function open({ video: id, time }, asked) {
  const hit = expected?.video_id === id ? expected : null;
  const mine = (current = { video: { id, path: hit?.path ?? "" }, hit, time, reported: time });
  title(mine.video);
  dialog.classList.remove("without");
  element("player-changed").hidden = true;
  element("player-said").textContent = "";
  element("player-best").hidden = true;
  element("legend").replaceChildren();
  element("timeline-note").textContent = "";
  timeline.show({ start: 0, end: null, shots: [], segments: [], video: id });
  timeline.moveHead(time);
  element("player-clock").textContent = clock(time);
  spans.open(mine.video, hit);
  lesson.open(mine.video, hit);
  if (!dialog.open) dialog.showModal();
  element("timeline").focus({ preventScroll: true });
  footage.play({ id, time, hit, poster: hit ? still(hit)?.url : null });
  tick();
  let video;
  try {
    video = await api.video(id);
  } catch (error) {
    if (mine === current) nothing(error, error.status === 404 ? "No such video" : "");
    return;
  }
  if (mine !== current) return;
  mine.video = video;
  footage.know(video);
  title(video);
  if (video.status === "failed") {
    const reason = video.error ?? "nothing of it could be indexed";
    nothing(new Error(reason.charAt(0).toUpperCase() + reason.slice(1)));
    return;
  }
  spans.open(video, hit);
  lesson.open(video, hit);
  await showTimeline(mine);
  await showMatches(mine, asked);
}

// Of what is no video, or could not be indexed, there is nothing to link, to like or to teach.
function nothing(error, name = "") {
  footage.lost(error, { final: true });
  dialog.classList.add("without");
  if (!name) return;
  element("player-name").textContent = name;
  on.entitle(name);
}

function title(video) {
  element("player-name").textContent = fileName(video.path) || "…";
  on.entitle(fileName(video.path));
  element("player-path").textContent = folder(video.path);
}

async function showTimeline(mine) {
  const { id } = mine.video;
  let found = { start_seconds: 0, duration_seconds: mine.video.duration_seconds, shots: [], segments: [] };
  try {
    found = await api.timeline(id);
  } catch {
    // the footage still plays
  }
  if (mine !== current) return;
  showChange(mine.video, found.changed);
  const start = found.start_seconds ?? 0;
  const length = found.duration_seconds ?? footage.duration();
  timeline.show({ start, end: length === null ? null : start + length, shots: found.shots, segments: found.segments, video: id });
  // A link may name a time that the file does not have.
  if (timeline.bounded(footage.now()) !== footage.now()) footage.seek(timeline.bounded(footage.now()));
  timeline.moveHead(footage.now());
  timeline.legend(element("legend"), seek);
  seen();
}

// What is known is of the file as it was.
function showChange({ path }, isChanged) {
  const box = element("player-changed");
  box.hidden = !isChanged;
  if (!isChanged) return;
  const text = make("span", {}, "The file has changed since it was indexed: what is shown of it here may not fit. Index it again.");
  const button = make("button", { class: "plain edged", type: "button", onclick: async () => {
    button.disabled = true;
    try {
      await api.ingest(path);
      text.textContent = "It is being indexed again; the Library view shows how far.";
      button.remove();
    } catch (error) {
      text.textContent = error.message;
      button.disabled = false;
    }
  } }, "Index it again");
  box.replaceChildren(text, button);
}

// Draws again what is known: after a lesson there is more.
export const refresh = () => current && showTimeline(current).then(() => showMatches(current, lastAsked));

let lastAsked = async () => ({ parts: [], file: null });
async function showMatches(mine, asked) {
  lastAsked = asked;
  const { parts, file } = await asked();
  if (!mine || mine !== current || (!parts.length && !file)) return;
  try {
    const found = await api.matches(mine.video.id, parts, file);
    if (mine !== current) return;
    timeline.showMatches(found);
    element("player-best").hidden = timeline.best() === null;
    timeline.legend(element("legend"), seek);
  } catch {
    if (mine === current) element("timeline-note").textContent = "Where the query matches is not known here.";
  }
}

function seek(wanted) {
  const seconds = timeline.bounded(wanted);
  footage.seek(seconds);
  timeline.moveHead(seconds);
  element("player-clock").textContent = clock(seconds);
  seen();
}

let seenKey = "";
function seen() {
  const found = timeline.segmentsAt(footage.now());
  const key = `${current?.video.id} ${found.map((one) => one.action + one.start_seconds).join()}`;
  if (key === seenKey) return;
  seenKey = key;
  showSeen(element("seen"), found, (action) => on.only(action));
}

let drawn = 0;
function tick() {
  cancelAnimationFrame(drawn);
  if (!current) return;
  const now = footage.now();
  timeline.moveHead(now, { quiet: true });
  const text = clock(now);
  if (element("player-clock").textContent !== text) element("player-clock").textContent = text;
  drawn = requestAnimationFrame(tick);
}

function settle() {
  if (!current || footage.isBusy()) return;
  if (footage.isOver()) return; // a reload would show nothing but the end
  timeline.moveHead(footage.now());
  seen();
  current.reported = footage.now();
  on.moved(current.reported);
}

async function copyLink() {
  const url = location.origin + on.link(current.video.id, footage.now());
  const said = element("player-said");
  try {
    await navigator.clipboard.writeText(url);
    said.textContent = `Copied: a link to ${clock(footage.now())}`;
  } catch {
    // Not allowed, as on plain HTTP: it can be copied by hand.
    const field = make("input", { type: "text", readOnly: true, value: url, "aria-label": "Link to this moment" });
    said.replaceChildren("Copy it from here: ", field);
    field.select();
  }
}

function want(like) {
  const { video, hit } = current;
  const span = spans.marked();
  const now = footage.now();
  const inHit = hit && now >= hit.start_seconds - 0.5 && now <= hit.end_seconds + 0.5;
  if (!span && inHit) return on.likeHit(hit, like);
  const { start, end } = span ?? { start: Math.max(0, now - 1), end: now + 1 };
  return on.likeSpan(video, start, end, like, `/v1/frames/${video.id}?t=${start.toFixed(2)}&size=96`);
}

// `handlers`: close(), entitle(name), link(video, time), moved(time), likeHit(hit, like), likeSpan(video, start, end, like, url), only(action), learned().
export function connect(handlers) {
  on = handlers;
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    on.close();
  });
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) on.close(); // the backdrop
  });
  const press = (id, act) => element(id).addEventListener("click", act);
  press("player-close", on.close);
  press("player-back", () => {
    seek(current.time);
    footage.resume();
  });
  press("player-best", () => timeline.best() !== null && seek(timeline.best()));
  press("player-link", copyLink);
  press("player-like", () => want(true));
  press("player-unlike", () => want(false));
  press("zoom-in", () => timeline.zoom(0.5));
  press("zoom-out", () => timeline.zoom(2));
  footage.connect({ settle, seen });
  spans.connect({ seek, now: footage.now, playSpan: footage.playSpan, search: (video, start, end) => {
    on.likeSpan(video, start, end, true, `/v1/frames/${video.id}?t=${start.toFixed(2)}&size=96`);
  } });
  timeline.connect({ seek, mark: spans.mark });
  lesson.connect({ learned: () => {
    on.learned();
    refresh();
  } });
  keys.connect(dialog, { seek, now: footage.now, toggle: footage.toggle, frame: () => 1 / (current?.video.average_fps || 25) });
}
