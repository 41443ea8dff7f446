// The page: one query made of words, an example and likings; its results.

import * as api from "./api.js";
import * as player from "./player.js";
import { card, fileName, span, still } from "./results.js";

const PAGE = 24;
const MOST = 960;
const NOT_WEIGHT = -0.5; // as on the command line
const element = (id) => document.getElementById(id);
const [words, prefix, shortest, group] = ["words", "prefix", "shortest", "group"].map(element);
const [parts, results, message, more] = ["parts", "results", "message", "more"].map(element);

// likings: {hit, like}; example: {file, url, kind} or null.
const state = { likings: [], example: null, limit: PAGE, shown: 0, running: null };

// --- the query ---------------------------------------------------------------------------

function queryParts() {
  const text = words.value.trim();
  const found = state.likings.map(({ hit, like }) => ({ clip_id: hit.clip_id, weight: like ? 1 : NOT_WEIGHT }));
  return text ? [{ text }, ...found] : found;
}

function options() {
  const filters = {};
  if (prefix.value) filters.path_prefix = prefix.value;
  if (Number(shortest.value) > 0) filters.min_duration_seconds = Number(shortest.value);
  return { filters, limit: state.limit, group_by: group.value };
}

function say(text, kind = "") {
  message.className = `message ${kind}`;
  message.textContent = text;
}

async function run({ keepLimit = false } = {}) {
  if (!keepLimit) state.limit = PAGE;
  state.running?.abort();
  remember();
  const query = queryParts();
  if (!state.example && !query.some((part) => (part.weight ?? 1) > 0)) {
    state.running = null;
    show([]);
    say(query.length ? "Add something to look for: words, an image or a clip." : "");
    return;
  }
  const running = (state.running = new AbortController());
  results.classList.add("busy");
  results.setAttribute("aria-busy", "true");
  const patience = setTimeout(() => say("Searching…"), 300);
  try {
    const answer = await api.search(query, state.example?.file ?? null, options(), running.signal);
    if (running !== state.running) return;
    show(answer.hits, keepLimit);
    summarise(answer);
  } catch (error) {
    if (error.name === "AbortError" || running !== state.running) return;
    show([]);
    say(error.message, "problem");
  } finally {
    clearTimeout(patience);
    if (running === state.running) {
      results.classList.remove("busy");
      results.removeAttribute("aria-busy");
    }
  }
}

function show(hits, added = false) {
  const before = added ? state.shown : 0;
  results.replaceChildren(...hits.map((hit) => card(hit, actions)));
  state.shown = hits.length;
  more.hidden = hits.length < state.limit || state.limit >= MOST;
  if (before && hits.length > before) results.children[before].querySelector(".still").focus();
}

function summarise({ hits, took_ms: took, exact }) {
  if (!hits.length) {
    say("Nothing found: no clip passes the filters.", "nothing");
  } else if (hits.every((hit) => hit.weak)) {
    say("Nothing here looks like that. The least unlike:", "nothing");
  } else {
    const good = hits.filter((hit) => !hit.weak).length;
    const noun = { clip: "clip", moment: "moment", video: "video" }[group.value];
    const found = `${good} matching ${noun}${good === 1 ? "" : "s"}`;
    const weak = hits.length - good;
    say(`${found}${weak ? `, then ${weak} weak` : ""} · ${Math.round(took)} ms${exact ? "" : " · approximate"}`);
  }
}

// --- examples and likings ----------------------------------------------------------------

const actions = {
  play: player.play,
  like: (hit) => want(hit, true),
  unlike: (hit) => want(hit, false),
};

function want(hit, like) {
  state.likings = state.likings.filter((one) => one.hit.clip_id !== hit.clip_id);
  state.likings.push({ hit, like });
  showParts();
  run();
  window.scrollTo({ top: 0 });
}

function useExample(file) {
  if (state.example) URL.revokeObjectURL(state.example.url);
  state.example = file ? { file, url: URL.createObjectURL(file), kind: file.type.split("/")[0] } : null;
  showParts();
  run();
}

function showParts() {
  const chips = state.likings.map(({ hit, like }) => {
    const image = document.createElement("img");
    image.src = still(hit)?.url ?? "";
    return chip(image, like ? "Like" : "Not like", `${fileName(hit.path)}, ${span(hit)}`, like, () => {
      state.likings = state.likings.filter((one) => one.hit !== hit);
    });
  });
  if (state.example) {
    const { file, url, kind } = state.example;
    const picture = document.createElement(kind === "video" ? "video" : "img");
    picture.src = url;
    picture.muted = true;
    chips.unshift(chip(picture, "Like", file.name || "pasted image", true, () => {
      URL.revokeObjectURL(state.example.url);
      state.example = null;
    }));
  }
  parts.replaceChildren(...chips);
}

function chip(picture, verb, name, like, forget) {
  const item = document.createElement("li");
  item.className = `part ${like ? "like" : "unlike"}`;
  if (picture.tagName === "IMG") picture.alt = "";
  const bold = document.createElement("b");
  bold.textContent = verb;
  const label = document.createElement("span");
  label.textContent = name;
  label.title = name;
  const remove = document.createElement("button");
  remove.type = "button";
  remove.setAttribute("aria-label", `Remove: ${verb.toLowerCase()} ${name}`);
  remove.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6l12 12M18 6L6 18"/></svg>';
  remove.addEventListener("click", () => {
    forget();
    showParts();
    words.focus();
    run();
  });
  item.append(picture, bold, label, remove);
  return item;
}

// --- the address: words and filters survive a reload -------------------------------------

function remember() {
  const stored = new URLSearchParams();
  for (const [key, input] of [["q", words], ["prefix", prefix], ["min", shortest]]) {
    if (input.value.trim()) stored.set(key, input.value.trim());
  }
  if (group.value !== "moment") stored.set("group", group.value);
  const query = stored.toString();
  history.replaceState(null, "", query ? `/?${query}` : "/");
}

function recall() {
  const stored = new URLSearchParams(location.search);
  words.value = stored.get("q") ?? "";
  prefix.value = stored.get("prefix") ?? "";
  shortest.value = stored.get("min") ?? "";
  const by = stored.get("group");
  if ([...group.options].some((option) => option.value === by)) group.value = by;
  if (words.value) run();
}

async function showLibrary() {
  const line = element("library");
  try {
    const { videos, clips } = await api.status();
    const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
    line.textContent = `${count(videos.indexed, "video")} · ${count(clips, "clip")}`;
    for (const [number, name] of [[videos.missing, "missing"], [videos.failed, "failed"]]) {
      if (!number) continue;
      const part = document.createElement("span");
      part.className = name;
      part.textContent = ` · ${number.toLocaleString("en")} ${name}`;
      line.append(part);
    }
    if (!clips && !words.value) say("This library is empty. Index a folder with: indexer ingest PATH", "nothing");
  } catch (error) {
    line.textContent = error.message;
  }
}

// --- wiring ------------------------------------------------------------------------------

function connectDrop() {
  const curtain = element("drop");
  let depth = 0;
  const holdsFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  window.addEventListener("dragenter", (event) => {
    if (!holdsFile(event)) return;
    depth += 1;
    curtain.hidden = false;
  });
  window.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    curtain.hidden = depth === 0;
  });
  window.addEventListener("dragover", (event) => {
    if (holdsFile(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    depth = 0;
    curtain.hidden = true;
    if (!holdsFile(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files[0]) useExample(event.dataTransfer.files[0]);
  });
  window.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return;
    event.preventDefault();
    useExample(file);
  });
}

element("search").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
for (const input of [prefix, shortest, group]) input.addEventListener("change", () => run());
element("file").addEventListener("change", (event) => {
  const file = event.target.files[0];
  event.target.value = ""; // so that the same file can be chosen again
  if (file) useExample(file);
});
more.addEventListener("click", () => {
  state.limit = Math.min(MOST, state.limit * 2);
  run({ keepLimit: true });
});
player.connect(actions);
connectDrop();
recall();
showLibrary();
