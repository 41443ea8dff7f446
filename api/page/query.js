// The form: words, examples, filters. It shows a state and says what changed; it holds none itself.

import * as api from "./api.js";
import { FILTERS, hitId, part, place, spanId } from "./address.js";
import { partChip, spanLabel } from "./card.js";
import { element, make } from "./elements.js";
import * as examples from "./example.js";
import { still } from "./format.js";

const NOT_WEIGHT = -0.5; // as on the command line
const words = element("words");
const inputs = Object.fromEntries(FILTERS.map((name) => [name, element(`f-${name}`)]));
const known = new Map(); // id of a liking -> { label, url }
let exampleUrl = { key: "", url: "" };

export function remember(hit) {
  known.set(hitId(hit), { label: spanLabel(hit.path, hit.start_seconds, hit.end_seconds), url: still(hit)?.url });
}

export function rememberSpan(video, start, end, url) {
  const id = spanId(video.id, start, end);
  known.set(id, { label: spanLabel(video.path, start, end), url });
  return id;
}

// What a state asks for: parts of a query, and the dropped file or null.
export async function asked(state) {
  const parts = state.likings.map(({ id, like }) => ({ ...part(id), weight: like ? 1 : NOT_WEIGHT }));
  if (state.words.trim()) parts.unshift({ text: state.words.trim() });
  const file = state.example ? await examples.recall(state.example) : null;
  // An action alone is looked for by its name, and by what heads saw.
  if (!file && !parts.some((one) => (one.weight ?? 1) > 0) && state.filters.action) {
    parts.unshift({ text: state.filters.action });
  }
  return { parts, file, lost: Boolean(state.example && !file) };
}

export const isEmpty = ({ parts, file }) => !file && !parts.some((one) => (one.weight ?? 1) > 0);

export function options(state, limit) {
  const { action, confidence, prefix, min, max, after, before } = state.filters;
  const filters = {};
  if (prefix) filters.path_prefix = prefix;
  if (Number(min) > 0) filters.min_duration_seconds = Number(min);
  if (max !== "") filters.max_duration_seconds = Number(max);
  if (action) filters.action = action;
  if (action && confidence) filters.min_confidence = Number(confidence);
  if (after) filters.recorded_after = after;
  if (before) filters.recorded_before = before;
  return { filters, limit, group_by: state.group };
}

export function show(state, go) {
  if (words.value !== state.words) words.value = state.words;
  for (const name of FILTERS) if (inputs[name].value !== state.filters[name]) inputs[name].value = state.filters[name];
  element("f-group").value = state.group;
  inputs.confidence.disabled = !state.filters.action;
  const active = FILTERS.filter((name) => state.filters[name]).length;
  element("filters-clear").hidden = !active;
  element("filters-count").hidden = !active;
  element("filters-count").textContent = active;
  showParts(state, go);
}

async function showParts(state, go) {
  const without = (id) => () => {
    go({ likings: state.likings.filter((one) => one.id !== id) });
    words.focus();
  };
  const chips = await Promise.all(state.likings.map(async ({ id, like }) => {
    const { label, url } = await describe(id);
    return partChip({ like, label, picture: make("img", { alt: "", src: url ?? "" }), forget: without(id) });
  }));
  const file = state.example ? await examples.recall(state.example) : null;
  if (file) chips.unshift(exampleChip(state, file, go));
  element("parts").replaceChildren(...chips);
}

function exampleChip(state, file, go) {
  if (exampleUrl.key !== state.example) {
    URL.revokeObjectURL(exampleUrl.url);
    exampleUrl = { key: state.example, url: URL.createObjectURL(file) };
  }
  const isVideo = file.type.startsWith("video/");
  const picture = make(isVideo ? "video" : "img", { src: exampleUrl.url, muted: true, "aria-hidden": "true" });
  if (!isVideo) picture.alt = "";
  return partChip({ like: true, label: file.name || "pasted image", picture, forget: () => {
    go({ example: "" });
    words.focus();
  } });
}

// After a reload only the id is known.
async function describe(id) {
  if (known.has(id)) return known.get(id);
  try {
    const one = place(id);
    const [video, { key_frames }] = await Promise.all([api.video(one.video_id), api.keyFrames(one.video_id)]);
    const label = spanLabel(video.path, one.start_seconds, one.end_seconds);
    known.set(id, { label, url: still({ ...one, key_frames })?.url });
  } catch {
    // the chip says less then
  }
  return known.get(id) ?? { label: id, url: "" };
}

export async function knowActions() {
  try {
    const { actions } = await api.actions();
    const names = [...new Set(actions.map((one) => one.action))];
    element("known-actions").replaceChildren(...names.map((name) => make("option", { value: name })));
  } catch {
    // names are typed, then
  }
}

// `go` takes a change of the state, `state` gives the present one.
export function connect(go, state) {
  const typed = () => Object.fromEntries(FILTERS.map((name) => [name, inputs[name].value.trim()]));
  const submit = () => go({ view: "search", words: words.value.trim(), filters: typed(), group: element("f-group").value });
  element("search").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  for (const input of [...Object.values(inputs), element("f-group")]) input.addEventListener("change", submit);
  element("filters-clear").addEventListener("click", () => {
    go({ filters: Object.fromEntries(FILTERS.map((name) => [name, ""])) });
    words.focus();
  });
  element("filters-toggle").addEventListener("click", (event) => {
    const open = element("filters").classList.toggle("open");
    event.currentTarget.setAttribute("aria-expanded", String(open));
  });
  element("file").addEventListener("change", (event) => {
    const file = event.target.files[0];
    event.target.value = ""; // so that the same file can be chosen again
    if (file) useExample(file, go);
  });
  return { like: (hit, like) => want(hit, like, go, state()) };
}

export async function useExample(file, go) {
  go({ view: "search", example: await examples.keep(file), player: null });
}

function want(hit, like, go, state) {
  remember(hit);
  const others = state.likings.filter((one) => one.id !== hitId(hit));
  go({ view: "search", likings: [...others, { id: hitId(hit), like }], player: null });
  // What was pressed may be gone from the list.
  element("main").focus();
  window.scrollTo({ top: 0 });
}
