// The video element: plays the file, or a converted preview of it where the browser cannot.
//
// A converted preview holds a stretch of the file only: `offset` is where it begins. Times that leave
// this module are times in the file.

import * as api from "./api.js";
import { element, make } from "./elements.js";
import { clock, fileName } from "./format.js";

const STRETCH = 30; // seconds of one converted preview
const LEAD = 2; // seconds that it begins before what is wanted
const video = element("player-video");
const notice = element("player-notice");
const lostBox = element("player-lost");

let playing = null; // { id, time, hit, poster, path }
let base = 0; // the file's time that the browser calls 0
let offset = 0;
let converted = null; // { start, end } of the preview, or null while the file itself plays
let until = null; // where playing a span ends
let wish = null; // a time that is waited for while a source loads

export const now = () => wish ?? offset + video.currentTime;
export const isBusy = () => wish !== null;
export const duration = () => (Number.isFinite(video.duration) && !converted ? video.duration : null);
export const know = (document) => playing && Object.assign(playing, { path: document.path, length: document.duration_seconds });

export function play(wanted) {
  playing = { ...wanted, path: wanted.hit?.path ?? "" };
  converted = until = null;
  base = offset = 0;
  notice.hidden = lostBox.hidden = true;
  video.poster = wanted.poster ?? "";
  load(api.fileUrl(wanted.id), wanted.time);
}

// A file may begin late: the browser shows its first frame at 0.
export function startsAt(seconds) {
  if (seconds === base) return;
  const at = now();
  base = seconds;
  if (converted) return;
  offset = base;
  seek(at);
}

function load(url, time) {
  wish = time;
  // The fragment makes the browser fetch from there and not from the start.
  video.src = converted ? url : `${url}#t=${time}`;
  // Refused by a browser that wants a click first: the controls are there.
  video.play().catch(() => {});
}

export function stop() {
  playing = wish = until = null;
  video.pause();
  video.removeAttribute("src");
  video.load();
}

export function seek(seconds) {
  until = null;
  if (!playing) return;
  if (!lostBox.hidden) wish = seconds;
  else if (converted && (seconds < converted.start || seconds >= converted.end)) convert(seconds);
  else if (wish !== null) wish = seconds;
  else video.currentTime = Math.max(0, seconds - offset);
}

export const resume = () => video.play().catch(() => {});
export const toggle = () => (video.paused ? resume() : video.pause());

export function playSpan(start, end) {
  seek(start);
  until = end;
  resume();
}

// Takes the converted preview around a time.
function convert(time) {
  const start = Math.max(0, time - LEAD);
  const end = Math.min(start + STRETCH, playing.length ?? start + STRETCH);
  converted = { start, end: Math.max(end, start + 0.1) };
  offset = start;
  load(api.convertedUrl(playing.id, converted.start, converted.end), time);
  say(
    "This browser cannot play the file as it is. What plays is a converted preview, "
    + `${clock(converted.start)} to ${clock(converted.end)}, smaller than the original.`,
    make("a", { class: "plain edged", download: "", href: api.fileUrl(playing.id) }, "Download the file"),
  );
}

function say(text, ...more) {
  notice.replaceChildren(make("span", {}, text), ...more);
  notice.hidden = false;
}

// Says in the place of the picture why there is none.
export function lost(error) {
  wish = now(); // the timeline still shows where it would be
  video.pause();
  const again = () => play({ ...playing, time: now() });
  lostBox.replaceChildren(
    make("b", {}, error.status === 404 ? "The file is not there" : "This cannot be played"),
    make("p", {}, error.message),
    make("button", { class: "plain edged", type: "button", onclick: again }, "Try again"),
  );
  lostBox.hidden = false;
  notice.hidden = true;
  if (playing && error.status === 404) showStored(playing.id);
}

// The archive may be offline; the key frames are not.
async function showStored(id) {
  try {
    const { key_frames: frames } = await api.keyFrames(id, 8);
    if (playing?.id !== id) return;
    lostBox.append(make("div", { class: "stored" }, ...frames.map((frame) =>
      make("img", { src: frame.url, alt: `Key frame at ${clock(frame.time_seconds)}`, title: clock(frame.time_seconds) }))));
  } catch {
    // the poster has to do
  }
}

async function failed() {
  const mine = playing;
  if (!mine || !video.hasAttribute("src")) return;
  const wanted = wish ?? now();
  if (converted) {
    const reason = await api.whyNot(api.convertedUrl(mine.id, converted.start, converted.end));
    if (mine === playing) lost(reason ?? new Error(`${fileName(mine.path)} can be played neither as it is nor converted.`));
    return;
  }
  const reason = await api.whyNot(api.fileUrl(mine.id));
  if (mine !== playing) return;
  if (reason) lost(reason);
  else convert(wanted);
}

function loaded() {
  // Sound without a picture: the browser knows the container and not the video's codec.
  if (!converted && !video.videoWidth && !video.videoHeight) {
    failed();
    return;
  }
  if (wish === null) return;
  const inSource = Math.max(0, wish - offset);
  wish = null;
  if (Math.abs(video.currentTime - inSource) > 0.01) video.currentTime = inSource;
}

// `on` has settle(), after a move, and seen(), while it plays.
export function connect(on) {
  video.addEventListener("error", failed);
  video.addEventListener("loadedmetadata", loaded);
  for (const name of ["seeked", "pause"]) video.addEventListener(name, on.settle);
  video.addEventListener("timeupdate", () => {
    on.seen();
    if (until !== null && now() >= until) {
      video.pause();
      until = null;
    }
  });
  video.addEventListener("ended", () => {
    const more = converted && playing && converted.end < (playing.length ?? 0) - 0.2;
    if (more) convert(converted.end + LEAD);
  });
}
