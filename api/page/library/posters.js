// Videos as pictures: the first thing that the page shows, and the pictures of the library view.

import * as api from "../api.js";
import { momentUrl } from "../shared/address.js";
import { isPlainClick, make } from "../shared/elements.js";
import { fileName, length } from "../shared/format.js";
import { scrub } from "../shared/scrub.js";

// The picture of a video, which scrubs through all of it; `open(video)` plays it.
export function poster(video, open) {
  const image = make("img", { alt: "", loading: "lazy", decoding: "async" });
  const name = fileName(video.path);
  const link = make(
    "a",
    { class: "still", href: momentUrl(video.id, 0), "aria-label": `Play ${name}` },
    image,
    video.duration_seconds ? make("span", { class: "time" }, length(video.duration_seconds)) : null,
  );
  link.addEventListener("click", (event) => {
    if (!isPlainClick(event)) return;
    event.preventDefault();
    open(video);
  });
  const whole = { video_id: video.id, start_seconds: 0, end_seconds: video.duration_seconds ?? 0, key_frames: [] };
  const shown = {};
  api.keyFrames(video.id, 6).then(({ key_frames: frames }) => {
    if (!frames.length) return;
    whole.key_frames = frames;
    const weight = (frame) => frame.importance ?? 0;
    shown.url = frames.reduce((best, frame) => (weight(frame) > weight(best) ? frame : best)).url;
    image.src = shown.url;
  }).catch(() => {});
  scrub(link, image, whole, shown);
  return link;
}

export const posters = (videos, open) =>
  videos.map((video) => make(
    "li", { class: "poster" }, poster(video, open), make("p", { class: "name", title: video.path }, fileName(video.path)),
  ));
