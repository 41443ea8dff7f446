// The video element: plays the file, or a converted preview of it where the browser cannot.
//
// A converted preview holds a stretch of the file only: `offset` is where it begins. Times that leave
// this module are times in the file.

import * as api from "../api.js";
import { element, make } from "../shared/elements.js";
import { clock, fileName } from "../shared/format.js";

const STRETCH = 30; // seconds of one converted preview
const UNKNOWN_PART = 1; // seconds by which a browser's length may fall short of the catalog's
const LEAD = 2; // seconds that it begins before what is wanted
const video = element("player-video");
const notice = element("player-notice");
const lostBox = element("player-lost");
const screen = video.parentElement;

let playing = null; // { id, time, hit, poster, path }; `time` is what was last asked for
let offset = 0;
let converted = null; // { start, end } of the preview, or null while the file itself plays
let until = null; // where playing a span ends
let wish = null; // a time that is waited for while a source loads
let again = false; // the file itself was tried a second time

export const now = () => wish ?? offset + video.currentTime;
export const isBusy = () => wish !== null;
export const duration = () => (Number.isFinite(video.duration) && !converted ? video.duration : null);
export const isOver = () => video.ended;

export function play(wanted) {
  playing = { ...wanted, path: wanted.hit?.path ?? "" };
  converted = until = null;
  offset = 0;
  again = false;
  notice.hidden = lostBox.hidden = true;
  video.poster = wanted.poster ?? "";
  load(api.fileUrl(wanted.id), wanted.time);
}

export function know(document) {
  if (!playing) return;
  Object.assign(playing, { path: document.path, length: document.duration_seconds });
  compare();
}

// Of joined files the browser knows the first alone, and is far shorter than the catalog says. (Chromium keeps a
// file's own times where it begins late.)
function compare() {
  if (converted || !Number.isFinite(video.duration) || !playing.length) return;
  if (playing.length - video.duration <= UNKNOWN_PART) return;
  // What lies beyond its end the browser has taken for its end.
  const isCut = wish === null && video.currentTime > video.duration - 0.1;
  convert(isCut ? Math.max(now(), playing.time) : now());
}

function load(url, time) {
  wish = time;
  // What is shown until the preview is made is not at the time that the clock tells.
  video.controls = !converted;
  screen.classList.toggle("waiting", Boolean(converted));
  // The fragment makes the browser fetch from there and not from the start.
  video.src = converted || again ? url : `${url}#t=${time}`;
  // Refused by a browser that wants a click first: the controls are there.
  video.play().catch(() => {});
}

export function stop() {
  playing = wish = until = null;
  screen.classList.remove("waiting");
  video.pause();
  video.removeAttribute("src");
  video.load();
}

export function seek(seconds) {
  until = null;
  if (!playing) return;
  playing.time = seconds;
  if (!lostBox.hidden) wish = seconds;
  else if (converted && (seconds < converted.start || seconds >= converted.end)) convert(seconds);
  else if (wish !== null) wish = seconds;
  else if (video.error) wish = seconds;
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
  sayConverted("is being made");
}

function sayConverted(what) {
  const stretch = `${clock(converted.start)} to ${clock(converted.end)}`;
  const original = () => play({ ...playing, time: now() });
  notice.replaceChildren(
    make("span", {}, `This browser could not play the file as it is. A converted preview, smaller than the original, ${what}: ${stretch}.`),
    make("button", { class: "plain edged", type: "button", onclick: original }, "Try the original"),
    make("a", { class: "plain edged", download: "", href: api.fileUrl(playing.id) }, "Download the file"),
  );
  notice.hidden = false;
}

// Says in the place of the picture why there is none; `final` where trying again is of no use.
export function lost(error, { final = false } = {}) {
  wish = now(); // the timeline still shows where it would be
  video.pause();
  screen.classList.remove("waiting");
  const mine = playing;
  const anew = () => play({ ...mine, time: now() });
  lostBox.replaceChildren(
    make("b", {}, error.status === 404 ? (final ? "Not in this library" : "The file is not there") : "This cannot be played"),
    make("p", {}, error.message),
    ...(final && error.status !== 0 ? [] : [make("button", { class: "plain edged", type: "button", onclick: anew }, "Try again")]),
  );
  lostBox.hidden = false;
  notice.hidden = true;
  if (final) {
    playing = null; // what its source says from now on is of no interest
    video.removeAttribute("src");
  }
  if (playing && error.status === 404 && !final) showStored(playing.id);
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

// Decoders of browsers stumble at times, at the first file above all: the file itself gets a second
// chance, from its start.
async function failed() {
  const mine = playing;
  if (!mine || !video.hasAttribute("src")) return;
  wish = now(); // moves on with what is asked for meanwhile
  const source = converted;
  const reason = await api.whyNot(source ? api.convertedUrl(mine.id, source.start, source.end) : api.fileUrl(mine.id));
  if (mine !== playing || source !== converted || !lostBox.hidden) return;
  if (reason) lost(reason);
  else if (source) lost(new Error(`${fileName(mine.path)} can be played neither as it is nor converted.`));
  else if (again) convert(wish);
  else {
    again = true;
    load(api.fileUrl(mine.id), wish);
  }
}

function loaded() {
  // Sound without a picture: the browser knows the container and not the video's codec.
  if (!converted && !video.videoWidth && !video.videoHeight) {
    again = true;
    failed();
    return;
  }
  screen.classList.remove("waiting");
  video.controls = true;
  if (converted) sayConverted("plays");
  else compare();
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
