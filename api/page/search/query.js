// The form: words, examples, filters. It shows a state and says what changed; it holds none itself.

import * as api from "../api.js";
import { FILTERS, hitId, part, place, searchKey, spanId } from "../shared/address.js";
import { partChip, spanLabel } from "./card.js";
import { element, make } from "../shared/elements.js";
import * as examples from "./example.js";
import { still } from "../shared/format.js";

const NOT_WEIGHT = -0.5; // as on the command line
const words = element("words");
const inputs = Object.fromEntries(FILTERS.map((name) => [name, element(`f-${name}`)]));
const known = new Map(); // id of a liking -> { label, url }
const notes = new Map(); // key of an example -> what has to be said about it
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
  const byAction = !file && !parts.some((one) => (one.weight ?? 1) > 0) && Boolean(state.filters.action);
  if (byAction) parts.unshift({ text: state.filters.action });
  return { parts, file, byAction, lost: Boolean(state.example && !file) };
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
  inputs.confidence.options[0].text = state.filters.action ? "the usual" : "first an action";
  showFault(state.filters);
  const active = FILTERS.filter((name) => state.filters[name]).length;
  element("filters-clear").hidden = !active;
  element("filters-count").hidden = !active;
  element("filters-count").textContent = active;
  showParts(state, go);
}

// Why filters make no sense, and the inputs that it is about; null where they do.
export function fault({ min, max, after, before }) {
  if (Number(min) < 0) return { text: "A clip cannot last less than 0 s.", names: ["min"] };
  if (Number(max) < 0) return { text: "A clip cannot last less than 0 s.", names: ["max"] };
  if (min && max && Number(min) > Number(max)) return { text: `No clip lasts ${min} s or more and ${max} s or less.`, names: ["min", "max"] };
  if (after && before && after > before) return { text: `Nothing was recorded from ${after} on and up to ${before}.`, names: ["after", "before"] };
  return null;
}

function showFault(filters) {
  const found = fault(filters);
  for (const name of ["min", "max", "after", "before"]) {
    inputs[name].setAttribute("aria-invalid", String(Boolean(found?.names.includes(name))));
  }
  element("filters-fault").textContent = found?.text ?? "";
  return Boolean(found);
}

// Says what the form has to say that is no answer.
export function say(text) {
  element("form-notice").textContent = text;
}

function sayLeftOut(state, lost) {
  const said = state.unread.length ? [`The address says ${state.unread.join(", ")}, which means nothing here: it was left out.`] : [];
  if (lost) said.push("The dropped example of this link is not kept in this browser: what is found is found without it. Drop the file again.");
  if (notes.has(state.example)) said.push(notes.get(state.example));
  if (said.length) say(said.join(" "));
}

let shownFor = "";
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
  if (state.example) chips.unshift(file ? exampleChip(state, file, go) : lostChip(go));
  const key = searchKey(state);
  if (key !== shownFor) say("");
  shownFor = key;
  sayLeftOut(state, state.example && !file);
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

const lostChip = (go) => partChip({
  like: true, label: "a file that this browser does not keep", picture: make("img", { alt: "" }), forget: () => {
    go({ example: "" });
    words.focus();
  },
});

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
  const submit = () => !showFault(typed()) && go({ view: "search", words: words.value.trim(), filters: typed(), group: element("f-group").value });
  element("search").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  for (const input of [...Object.values(inputs), element("f-group")]) input.addEventListener("change", submit);
  element("filters-clear").addEventListener("click", () => {
    for (const input of Object.values(inputs)) input.value = "";
    go({ filters: Object.fromEntries(FILTERS.map((name) => [name, ""])) });
    words.focus();
  });
  element("filters-toggle").addEventListener("click", (event) => {
    const open = element("filters").classList.toggle("open");
    event.currentTarget.setAttribute("aria-expanded", String(open));
  });
  element("file").addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = ""; // so that the same file can be chosen again
    if (files.length) useExample(files, go);
  });
  return { like: (hit, like) => want(hit, like, go, state()) };
}

export async function useExample(files, go) {
  const [file] = files;
  go({ view: "search", example: await examples.keep(file), player: null });
  if (files.length > 1) say( `One file at a time: of the ${files.length}, “${file.name}” is what is searched by.`);
}

function want(hit, like, go, state) {
  remember(hit);
  const others = state.likings.filter((one) => one.id !== hitId(hit));
  go({ view: "search", likings: [...others, { id: hitId(hit), like }], player: null });
  // What was pressed may be gone from the list.
  element("main").focus();
  window.scrollTo({ top: 0 });
}
