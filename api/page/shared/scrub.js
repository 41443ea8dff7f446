// A picture that shows more of its span while the pointer moves over it, and moves when it rests.
//
// Frames come from what is stored: the span's own key frames, or the video's sprite sheet where that has
// more of the span. Resting plays the clip's short preview, unless less motion is wished for.

import * as api from "../api.js";
import { calm, make } from "./elements.js";

const REST_MS = 600;
const LEAST_MOVE = 6; // pixels
const MOST_CUT = 0.26; // share of a picture
const sheets = new Map(); // video id -> promise of its cells

async function readSheet(videoId) {
  const [text, image] = await Promise.all([api.sprites(videoId), load(api.spritesUrl(videoId))]);
  const seconds = (stamp) => stamp.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  const cue = /([\d:.]+) --> ([\d:.]+)[^\n]*\n[^\n]*#xywh=(\d+),(\d+),(\d+),(\d+)/g;
  return [...text.matchAll(cue)].map(([, start, end, x, y, width, height]) => ({
    start_seconds: seconds(start), end_seconds: seconds(end), x: +x, y: +y, width: +width, height: +height, image,
  }));
}

function load(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = url;
  });
}

// Fills the box where that cuts little off; what is much higher or wider than the box is shown whole.
export function fit(still, image) {
  const { clientWidth: width, clientHeight: height } = still;
  if (!image.naturalWidth || !height) return;
  const ratio = image.naturalWidth / image.naturalHeight / (width / height);
  still.classList.toggle("fill", 1 - Math.min(ratio, 1 / ratio) <= MOST_CUT);
}

// The cells of a video's sprite sheet; none where it has no sheet, say because its file is gone.
export function sheet(videoId) {
  if (!sheets.has(videoId)) sheets.set(videoId, readSheet(videoId).catch(() => []));
  return sheets.get(videoId);
}

// The cell for a time; a time outside of all takes the nearest end.
export const cellAt = (cells, seconds) => cells.find((cell) => seconds < cell.end_seconds) ?? cells.at(-1);

// Shows one cell of a sheet in a box: the box takes the cell's shape at the width that it has.
export function showCell(box, cell, width) {
  const scale = width / cell.width;
  box.style.height = `${cell.height * scale}px`;
  box.style.backgroundImage = `url("${cell.image.src}")`;
  box.style.backgroundSize = `${cell.image.naturalWidth * scale}px auto`;
  box.style.backgroundPosition = `${-cell.x * scale}px ${-cell.y * scale}px`;
}

// `still` is the box, `image` the picture in it; `one` has video_id, span, key_frames and maybe clip_id.
export function scrub(still, image, one, shown) {
  const frames = [...one.key_frames].sort((early, late) => early.time_seconds - late.time_seconds);
  const state = { cells: [], timer: 0, restedAt: null, loop: null, inside: false };
  const bar = make("i", { class: "scrub-at", hidden: true });
  const cellBox = make("span", { class: "cell", hidden: true });
  still.append(cellBox, bar);
  image.addEventListener("load", () => fit(still, image), { once: true });

  function show(share) {
    bar.hidden = false;
    bar.style.insetInlineStart = `${share * 100}%`;
    if (state.cells.length > frames.length) {
      const cell = state.cells[Math.min(state.cells.length - 1, Math.floor(share * state.cells.length))];
      const box = still.getBoundingClientRect();
      cellBox.hidden = false;
      showCell(cellBox, cell, Math.min(box.width, (box.height * cell.width) / cell.height));
      cellBox.style.width = `${Math.min(box.width, (box.height * cell.width) / cell.height)}px`;
    } else if (frames.length > 1) {
      const frame = frames[Math.min(frames.length - 1, Math.floor(share * frames.length))];
      if (!image.src.endsWith(frame.url)) image.src = frame.url;
    }
  }

  function rest() {
    if (calm() || !one.clip_id || state.loop) return;
    const loop = make("video", { class: "loop", muted: true, loop: true, playsInline: true, tabIndex: -1 });
    loop.setAttribute("aria-hidden", "true");
    loop.addEventListener("playing", () => loop.classList.add("on"), { once: true });
    loop.addEventListener("error", () => loop.remove(), { once: true });
    loop.src = api.loopUrl(one.clip_id);
    state.loop = loop;
    still.append(loop);
    loop.play().catch(() => {});
  }

  function unrest() {
    clearTimeout(state.timer);
    state.loop?.remove();
    state.loop = null;
  }

  still.addEventListener("pointerenter", async (event) => {
    if (event.pointerType === "touch") return;
    state.inside = true;
    const cells = await sheet(one.video_id);
    state.cells = cells.filter((cell) => cell.end_seconds > one.start_seconds && cell.start_seconds < one.end_seconds);
  });
  still.addEventListener("pointermove", (event) => {
    if (!state.inside) return;
    const box = still.getBoundingClientRect();
    const at = event.clientX - box.left;
    if (state.loop && Math.abs(at - state.restedAt) < LEAST_MOVE) return;
    unrest();
    state.restedAt = at;
    show(Math.max(0, Math.min(0.999, at / box.width)));
    state.timer = setTimeout(rest, REST_MS);
  });
  still.addEventListener("pointerleave", () => {
    state.inside = false;
    unrest();
    bar.hidden = cellBox.hidden = true;
    if (shown?.url) image.src = shown.url;
  });
  // The keyboard's way to see it move.
  still.addEventListener("focus", () => {
    if (still.matches(":focus-visible")) state.timer = setTimeout(rest, REST_MS);
  });
  still.addEventListener("blur", unrest);
}
