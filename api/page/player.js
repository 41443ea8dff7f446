// Plays a file from a moment, in a dialog.

import { fileUrl, whyNot } from "./api.js";
import { fileName, span, still } from "./results.js";

const element = (id) => document.getElementById(id);
const dialog = element("player");
const video = element("player-video");
const problem = element("player-problem");
let current = null;

export function play(hit) {
  current = hit;
  element("player-name").textContent = fileName(hit.path);
  element("player-span").textContent = `${span(hit)} in ${hit.path}`;
  problem.hidden = true;
  video.poster = still(hit)?.url ?? "";
  video.src = `${fileUrl(hit.video_id)}#t=${hit.start_seconds}`;
  if (!dialog.open) dialog.showModal();
  video.focus();
  // Refused by a browser that wants a click first: the controls are there.
  video.play().catch(() => {});
}

function stop() {
  video.pause();
  video.removeAttribute("src");
  video.load();
  current = null;
}

export function connect(on) {
  dialog.addEventListener("close", stop);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the backdrop
  });
  element("player-close").addEventListener("click", () => dialog.close());
  element("player-replay").addEventListener("click", () => {
    video.currentTime = current.start_seconds;
    video.play().catch(() => {});
  });
  for (const [id, act] of [["player-like", on.like], ["player-unlike", on.unlike]]) {
    element(id).addEventListener("click", () => {
      const hit = current;
      dialog.close();
      act(hit);
    });
  }
  video.addEventListener("error", async () => {
    const hit = current;
    if (!hit) return;
    const reason = await whyNot(hit.video_id);
    if (hit !== current) return;
    problem.textContent = reason
      ? `This cannot be played: ${reason}`
      : "This browser cannot play the file's format. The picture above is a stored key frame.";
    problem.hidden = false;
  });
}
