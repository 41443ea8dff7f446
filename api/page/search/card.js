// A hit as a card.

import { momentUrl } from "../shared/address.js";
import { icon, isPlainClick, make } from "../shared/elements.js";
import { clock, colour, count, fileName, percent, pieces, span, still, verdict } from "../shared/format.js";
import { scrub } from "../shared/scrub.js";

export const HIT_TYPE = "application/x-reelseek-hit";
const MOST_CHIPS = 3;

// `on` has play(hit), like(hit), unlike(hit), only(action) and drag(hit or null).
export function card(hit, on) {
  const name = fileName(hit.path);
  const where = `${name}, ${span(hit)}`;
  const isScored = Number.isFinite(hit.score);
  const shown = still(hit);
  const image = make("img", { alt: "", decoding: "async", draggable: false });
  if (shown) image.src = shown.url;
  const picture = make(
    "a",
    { class: "still", href: momentUrl(hit.video_id, hit.start_seconds), "aria-label": `Play ${where}${isScored ? `. ${verdict(hit)}, score ${hit.score.toFixed(3)}` : ""}` },
    image,
    make("span", { class: "time" }, span(hit)),
  );
  picture.addEventListener("click", (event) => {
    if (!isPlainClick(event)) return;
    event.preventDefault();
    on.play(hit);
  });
  const item = make(
    "li",
    { class: `card ${hit.band ?? ""}`, draggable: true },
    picture,
    make("p", { class: "name", title: hit.path }, name),
    isScored ? score(hit) : null,
    chips(hit, on),
    make(
      "div",
      { class: "acts" },
      make("button", { class: "plain like", type: "button", "aria-label": `More like this: ${where}`, onclick: () => on.like(hit) }, icon("like"), "More like this"),
      make("button", { class: "plain unlike", type: "button", "aria-label": `Not like this: ${where}`, onclick: () => on.unlike(hit) }, icon("unlike"), "Not like this"),
    ),
  );
  const laid = pieces(hit);
  if (laid.length) {
    const text = laid.length > 1 ? `${count(laid.length, "piece")} of the example` : laid[0];
    item.querySelector(".score")?.after(make("p", { class: "pieces", title: laid.join("\n") }, text));
  }
  if (hit.caption) item.querySelector(".name").after(make("p", { class: "caption", title: hit.caption }, hit.caption));
  scrub(picture, image, hit, shown);
  item.addEventListener("dragstart", (event) => {
    event.dataTransfer.setData(HIT_TYPE, String(hit.clip_id));
    event.dataTransfer.effectAllowed = "copy";
    if (image.complete && image.naturalWidth) event.dataTransfer.setDragImage(image, 40, 24);
    on.drag(hit);
  });
  item.addEventListener("dragend", () => on.drag(null));
  return item;
}

function score(hit) {
  const meter = make("i");
  meter.style.width = `${hit.probability * 100}%`;
  return make(
    "p",
    { class: "score", title: `Shows what was asked for with a probability of ${percent(hit.probability)}` },
    make("span", { class: "meter", "aria-hidden": "true" }, meter),
    make("b", {}, verdict(hit)),
    make("span", { class: "number" }, hit.score.toFixed(3)),
  );
}

function chips(hit, on) {
  const best = new Map();
  for (const tag of hit.actions) {
    if (tag.confidence > (best.get(tag.action)?.confidence ?? 0)) best.set(tag.action, tag);
  }
  const sorted = [...best.values()].sort((one, other) => other.confidence - one.confidence);
  const list = make("ul", { class: "chips", "aria-label": sorted.length ? "Actions" : null, "aria-hidden": sorted.length ? null : "true" });
  for (const { action, confidence, head } of sorted.slice(0, MOST_CHIPS)) {
    list.append(make("li", {}, make(
      "button",
      { class: `chip ${colour(action)}`, type: "button", title: `Only ${action}`, onclick: () => on.only(action) },
      action, " ", make("b", {}, percent(confidence)), head === "draft" ? " (draft)" : "",
    )));
  }
  if (sorted.length > MOST_CHIPS) list.append(make("li", { class: "rest" }, `+${sorted.length - MOST_CHIPS}`));
  return list;
}

// The small card of an example in the query, which can be taken out again.
export function partChip({ like, label, picture, forget }) {
  const verb = like ? "Like" : "Not like";
  return make(
    "li",
    { class: `part ${like ? "like" : "unlike"}` },
    picture,
    make("b", {}, verb),
    make("span", { title: label }, label),
    make("button", { type: "button", class: "plain", "aria-label": `Remove: ${verb.toLowerCase()} ${label}`, onclick: forget }, icon("close")),
  );
}

export const spanLabel = (path, start, end) => `${fileName(path)}, ${clock(start)} – ${clock(end)}`;
