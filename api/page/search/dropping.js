// Files dropped or pasted anywhere are examples; hits dragged to a zone are liked or not.

import { HIT_TYPE } from "./card.js";
import { element } from "../shared/elements.js";

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

// `on` has files(list), hit(hit, like) and refuse(text).
export function connect(on) {
  let depth = 0;
  const holds = (event, type) => [...(event.dataTransfer?.types ?? [])].includes(type);
  // A link dropped into a field is typed there.
  const isLink = (event) => holds(event, "text/uri-list") && !event.target.closest?.("input");
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
    if ((holds(event, "Files") || isLink(event)) && !dragged) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    if (dragged || !(holds(event, "Files") || isLink(event))) return;
    event.preventDefault();
    lift();
    const { files } = event.dataTransfer;
    if (files.length) on.files(files);
    else on.refuse("A link cannot be searched by. Save the picture or the clip as a file, then drop the file here.");
  });
  window.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files;
    if (!files?.length) return;
    event.preventDefault();
    on.files(files);
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
