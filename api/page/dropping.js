// Files dropped or pasted anywhere are examples; hits dragged to a zone are liked or not.

import { HIT_TYPE } from "./card.js";
import { element } from "./elements.js";

const curtain = element("curtain");
const zones = element("zones");
let dragged = null;

// A hit that is being dragged, or null when it was let go.
export function drag(hit) {
  dragged = hit;
  // The browser gives up a drag whose start changes the page: a moment later it does not.
  if (hit) setTimeout(() => (zones.hidden = dragged === null));
  else zones.hidden = true;
}

// `on` has file(file) and hit(hit, like).
export function connect(on) {
  let depth = 0;
  const holds = (event, type) => [...(event.dataTransfer?.types ?? [])].includes(type);
  const lift = () => {
    depth = 0;
    curtain.hidden = true;
  };
  window.addEventListener("dragenter", (event) => {
    if (!holds(event, "Files") || dragged) return;
    depth += 1;
    curtain.hidden = element("player").open;
  });
  window.addEventListener("dragleave", (event) => {
    if (!holds(event, "Files")) return;
    depth = Math.max(0, depth - 1);
    if (!depth) lift();
  });
  window.addEventListener("dragover", (event) => {
    if (holds(event, "Files") && !dragged) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    if (!holds(event, "Files") || dragged) return;
    event.preventDefault();
    lift();
    if (event.dataTransfer.files[0]) on.file(event.dataTransfer.files[0]);
  });
  window.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return;
    event.preventDefault();
    on.file(file);
  });
  for (const zone of zones.children) {
    zone.addEventListener("dragover", (event) => {
      if (!holds(event, HIT_TYPE)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      const hit = dragged;
      drag(null);
      if (hit) on.hit(hit, Boolean(zone.dataset.like));
    });
  }
}
