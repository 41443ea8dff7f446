// Runs searches and shows their hits.

import * as api from "../api.js";
import { card } from "./card.js";
import { element, make } from "../shared/elements.js";
import { count, understood } from "../shared/format.js";
import { grid } from "./grid.js";
import * as query from "./query.js";

const FIRST = 60; // hits of the first answer; more follow when the end comes near
const MOST = 10_000;
const BACK_MS = 3000;
const MOST_CLIPS = 1000; // of one listing
const results = element("results");
const message = element("message");

export function search(on) {
  const shown = grid(results, (hit) => card(hit, on), () => more());
  let running = null;
  let failure = null; // why nothing is shown
  let last = null; // { asked, state, limit, full }

  async function ask(state, wanted, limit) {
    running?.abort();
    const mine = (running = new AbortController());
    failure = null;
    results.setAttribute("aria-busy", "true");
    const patience = limit === FIRST ? setTimeout(() => say("Searching…"), 300) : 0;
    try {
      const answer = await find(wanted, state, limit, mine.signal);
      if (mine !== running) return;
      performance.mark("reelseek-answer");
      last = { asked: wanted, state, limit, full: answer.hits.length >= limit && limit < (query.isEmpty(wanted) ? MOST_CLIPS : MOST) };
      shown.show(answer.hits);
      explain(answer);
      summarise(answer, state, wanted);
      requestAnimationFrame(() => setTimeout(() => {
        performance.measure("reelseek-paint", "reelseek-answer");
      }));
    } catch (error) {
      if (error.name === "AbortError" || mine !== running) return;
      last = null;
      if (limit === FIRST) {
        shown.show([]);
        explain(null);
      }
      const anew = () => ask(state, wanted, limit);
      fail(error, anew);
      if (!error.status) whenBack(() => failure === error && anew());
      failure = error;
    } finally {
      clearTimeout(patience);
      if (mine === running) {
        running = null;
        results.removeAttribute("aria-busy");
      }
    }
  }

  function more() {
    if (running || !last?.full) return;
    ask(last.state, last.asked, Math.min(MOST, last.limit * 4));
  }

  // Searches for what a state asks for; says whether there was anything to look for.
  async function run(state) {
    const wanted = await query.asked(state);
    const wrong = query.fault(state.filters);
    const isUnasked = query.isEmpty(wanted) && (wanted.parts.length || wanted.lost || !isFiltered(state));
    if (wrong || isUnasked) {
      running?.abort();
      running = last = failure = null;
      shown.show([]);
      explain(null);
      if (wrong) say(""); // the form says it
      else if (wanted.lost) say("The dropped example is no longer kept in this browser. Drop it again.", "nothing");
      else if (wanted.parts.length) say("Add something to look for: words, an image or a clip.", "nothing");
      else say("");
      return false;
    }
    last = null;
    await ask(state, wanted, FIRST);
    return true;
  }

  return { run, asked: query.asked };
}

// Acts once the server answers again.
function whenBack(act) {
  const ask = async () => {
    try {
      await api.status();
    } catch (error) {
      if (!error.status) return;
    }
    clearInterval(asking);
    window.removeEventListener("online", ask);
    act();
  };
  const asking = setInterval(ask, BACK_MS);
  window.addEventListener("online", ask);
}

const isFiltered = (state) => Object.entries(state.filters).some(([name, value]) => value && name !== "confidence");

// Without anything to look for, what passes the filters, as it lies in the library.
async function find(wanted, state, limit, signal) {
  const options = query.options(state, limit);
  if (query.isEmpty(wanted)) {
    const { clips, total } = await api.clips({ ...options.filters, limit: Math.min(limit, MOST_CLIPS) }, signal);
    return { hits: clips.map((clip) => ({ ...clip, score: null, actions: [] })), total };
  }
  const answer = await api.search(wanted.parts, wanted.file, options, signal);
  // How well the action's name fits says little: what counts is what was seen.
  return wanted.byAction ? { ...answer, hits: answer.hits.map((hit) => ({ ...hit, score: null })) } : answer;
}

function say(text, kind = "", ...more) {
  message.className = `message ${kind}`;
  message.replaceChildren(text, ...more);
}

function fail(error, again) {
  if (error.status) {
    say(error.message, "problem");
    return;
  }
  const button = make("button", { class: "plain edged", type: "button", onclick: again }, "Try again");
  say(error.message, "problem", button);
}

// What the words were taken for, above the results.
function explain(answer) {
  element("understood").textContent = (answer?.understood ?? []).map(understood).join(" · ");
}

function summarise({ hits, took_ms: took, exact, total }, state, wanted) {
  const noun = { clip: "clip", moment: "moment", video: "video" }[state.group];
  const inBand = (band) => hits.filter((hit) => hit.band === band).length;
  const [good, possible, unlikely] = ["match", "maybe", "unlikely"].map(inBand);
  if (!hits.length) {
    const filtered = Object.values(state.filters).some(Boolean);
    say(
      filtered ? "Nothing found: no clip passes the filters." : "Nothing found.",
      "nothing",
      make("span", {}, filtered ? "Widen or clear them." : "This library holds no clips yet. Index a folder in the library view."),
    );
  } else if (total !== undefined) {
    const listed = hits.length < total && hits.length >= MOST_CLIPS ? `, of which the first ${hits.length} are listed` : "";
    say(`${count(total, "clip")} ${total === 1 ? "passes" : "pass"} the filters${listed}. Add words, an image or a clip to rank them.`);
  } else if (wanted.byAction) {
    say(`${count(hits.length, noun)} with “${state.filters.action}”${hits.length >= FIRST ? " and more" : ""}`);
  } else if (!good && !possible) {
    say("Nothing here looks like that.", "nothing", make("span", {}, "Below is what is least unlike it."));
  } else if (!good) {
    say("No sure match.", "nothing", make("span", {}, "Below are the closest results."));
  } else {
    const rest = [[possible, "maybe"], [unlikely, "unlikely"]].filter(([number]) => number);
    const found = `${count(good, "matching " + noun)}${rest.map(([number, band]) => `, ${number} ${band}`).join("")}`;
    say(`${found} · ${Math.round(took)} ms${exact ? "" : " · approximate"}`);
  }
}
