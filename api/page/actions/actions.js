// The actions view: what is known, how well it was learned, examples, what was found.

import * as api from "../api.js";
import { element, icon, make } from "../shared/elements.js";
import { colour, count, fileName, length, percent, span, whole } from "../shared/format.js";
import { clipOf, judging } from "./judge.js";
import { figure, finished, outcome, stage, tooFew } from "./lesson.js";
import { fit } from "../shared/scrub.js";

const PAGE = 24;
const body = element("actions-body");
const message = element("actions-message");
let on = null;
let shown = null; // the name that is looked at, "" for the listing, null while the view is not shown

export function show(state) {
  if (state.view !== "actions") {
    shown = null;
    return;
  }
  if (shown === state.name) return;
  shown = state.name;
  load();
}

function say(text, kind = "") {
  message.className = `message ${kind}`;
  message.textContent = text;
}

async function load() {
  const mine = shown;
  try {
    const made = mine ? await detail(mine) : await listing();
    if (mine !== shown) return;
    say("");
    body.replaceChildren(...made);
  } catch (error) {
    if (mine !== shown) return;
    body.replaceChildren(mine ? back() : "");
    say(error.message, "problem");
  }
}

// --- the listing -----------------------------------------------------------------------------

async function listing() {
  const { actions, heads, untaught } = await api.actions();
  const made = [];
  if (!actions.length) {
    made.push(make(
      "div", { class: "empty" },
      make("b", {}, "No action is known here yet."),
      make("p", {}, "Play a video, mark a few spans that show it, and press Teach. A handful is enough to begin with."),
      make("a", { class: "plain edged", href: "/?view=library" }, "Choose a video"),
    ));
  }
  made.push(make("ul", { class: "action-list" }, ...actions.map(row)));
  if (untaught.length) {
    made.push(make("h2", {}, "Kept, not taught yet"), make("ul", { class: "plain-list" }, ...untaught.map((one) =>
      make("li", {}, make("a", { href: `/?view=actions&name=${encodeURIComponent(one.action)}` }, one.action),
        ` · ${count(one.positive, "example")} that ${one.positive === 1 ? "shows" : "show"} it, ${one.negative} that ${one.negative === 1 ? "does" : "do"} not`))));
  }
  if (heads.length) {
    made.push(make("h2", {}, "Heads"), make("ul", { class: "plain-list" }, ...heads.map((one) =>
      make("li", {}, make("b", {}, one.head), ` knows ${count(one.names, "name")}`))));
  }
  return made;
}

function row(one) {
  return make(
    "li", { class: "action" },
    make("div", { class: "action-head" },
      make("i", { class: `swatch ${colour(one.action)}`, "aria-hidden": "true" }),
      make("h2", {}, make("a", { href: `/?view=actions&name=${encodeURIComponent(one.action)}` }, one.action)),
      make("span", { class: "note" }, one.head === "taught" ? "taught here" : one.head === "draft" ? "a draft, found by its name alone" : one.head)),
    make("p", { class: "found" }, make("b", {}, whole(one.segments)), ` ${one.segments === 1 ? "segment" : "segments"} · ${length(one.seconds)}`),
    one.head === "taught" || one.head === "draft" ? faces(one.action) : null,
    measures(one.report),
    make("div", { class: "row" },
      make("button", { class: "plain edged", type: "button", "aria-label": `Search for ${one.action}`, onclick: () => on.only(one.action) }, "Search for it"),
      make("a", { class: "plain edged", "aria-label": `Review ${one.action}`, href: `/?view=actions&name=${encodeURIComponent(one.action)}` }, "Review")),
  );
}

// A few of its examples as pictures.
function faces(name) {
  const strip = make("div", { class: "strip", "aria-hidden": "true" });
  api.action(name).then(({ examples }) => {
    const urls = examples.filter((one) => one.positive && one.key_frame_url).map((one) => one.key_frame_url);
    strip.append(...[...new Set(urls)].slice(0, 3).map((url) => make("img", { src: url, alt: "", loading: "lazy" })));
  }).catch(() => {});
  return strip;
}

// Precision and recall of a lesson, with what they rest on.
function measures(report) {
  const draft = report?.is_draft ? make("p", { class: "note caution" }, `A draft: ${report.reason}.`) : null;
  if (!report || !Number.isFinite(report.precision)) {
    return make("div", { class: "measures" }, draft, make("p", { class: "note" }, "Nothing was measured here."));
  }
  const gauge = (name, share) => make(
    "div", { class: "gauge" },
    make("dt", {}, name),
    make("dd", {}, figure(report, name.toLowerCase()), make("meter", { min: 0, max: 1, value: share, "aria-label": `${name} ${percent(share)}` })),
  );
  const videos = report.videos ? ` of ${count(report.videos, "video")}` : "";
  const basis = `Measured on ${count(report.positives, "example")}${videos} that show it and ${report.negatives} that do not, each held out in turn.`;
  return make(
    "div", { class: "measures" },
    draft,
    make("dl", {}, gauge("Precision", report.precision), gauge("Recall", report.recall)),
    make("p", { class: "note" }, basis, report.by_source ? null : make("span", { class: "caution" }, " They come from few files: with other footage, expect less.")),
  );
}

// --- one action --------------------------------------------------------------------------------

const back = () => make("p", {}, make("a", { href: "/?view=actions" }, "← All actions"));

async function detail(name) {
  const [known, found] = await Promise.all([
    api.action(name),
    api.segments({ action: name, limit: PAGE }).catch(() => ({ segments: [], total: 0, next_cursor: null })),
  ]);
  const segments = make("ul", { class: "tiles" });
  const more = make("button", { class: "plain more", type: "button" }, "Show more");
  let cursor = null;
  const add = async (page) => {
    segments.append(...page.segments.map(judged));
    cursor = page.next_cursor;
    more.hidden = !cursor;
  };
  more.addEventListener("click", async () => {
    try {
      await add(await api.segments({ action: name, limit: PAGE, cursor }));
    } catch (error) {
      say(error.message, "problem");
    }
  });
  const total = make("b", { class: "number" }, whole(found.total));
  let left = found.total;
  function judged(one) {
    let wasRejected = false;
    const made = tile(one, judging(one, (correct) => {
      const isRejected = correct === false;
      left += Number(wasRejected) - Number(isRejected);
      wasRejected = isRejected;
      total.textContent = whole(left);
      made.classList.toggle("rejected", isRejected);
    }));
    return made;
  }
  await add(found);
  const taught = known.head === "taught" || known.head === "draft";
  const isKept = !known.head && known.examples.length > 0;
  return [
    back(),
    make("div", { class: "action-title" },
      make("h2", {}, name),
      make("div", { class: "row" },
        isKept ? null : make("button", { class: "plain edged", type: "button", onclick: () => on.only(name) }, "Search for it"),
        taught || isKept ? make("button", { class: "plain edged", type: "button", onclick: (event) => again(name, event.currentTarget) }, taught ? "Teach again" : "Teach it") : null,
        taught || isKept ? make("button", { class: "plain edged bad", type: "button", onclick: (event) => forget(name, event.currentTarget) }, "Forget it") : null)),
    isKept ? make("p", { class: "note" }, "Not taught yet: these examples are kept until there are enough for a lesson.") : measures(known.report),
    make("h3", {}, "Found ", total),
    found.total ? make("p", { class: "note" }, "Confirm or reject what you see: it is learned again at once.") : make("p", { class: "note" }, "Nothing was found yet."),
    segments,
    more,
    taught ? helping(name) : null,
    make("h3", {}, "Examples ", make("b", { class: "number" }, whole(known.examples.length))),
    make("ul", { class: "tiles" }, ...known.examples.map((one) => exampleTile(name, one))),
  ];
}

// Clips whose answers would help most, once they are there.
function helping(name) {
  const part = make("div", { class: "helping", hidden: true });
  api.suggestions(name).then(({ suggestions }) => {
    if (!suggestions.length) return;
    part.append(
      make("h3", {}, "Would help most"),
      make("p", { class: "note" }, "The head is least sure of these, and none is like another. Does each show it?"),
      make("ul", { class: "tiles" }, ...suggestions.map((one) => tile(one, judging({ ...one, action: name })))),
    );
    part.hidden = false;
  }).catch(() => {}); // a head that learned borders suggests nothing
  return part;
}

function tile(one, ...acts) {
  const image = make("img", { alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => fit(image.parentElement, image), { once: true });
  if (one.key_frame_url) image.src = one.key_frame_url;
  else clipOf(one).then((clip) => clip?.key_frames.length && (image.src = clip.key_frames[0].url)).catch(() => {});
  const still = make("button", { class: "still", type: "button", onclick: () => on.open(one.video_id, one.start_seconds) },
    image, make("span", { class: "time" }, span(one)));
  const name = make("p", { class: "name" });
  const entitle = (path) => {
    still.setAttribute("aria-label", `Play ${path ? `${fileName(path)}, ` : ""}${span(one)}`);
    name.textContent = fileName(path);
    name.title = path;
  };
  entitle(one.path ?? "");
  if (!one.path) pathOf(one.video_id).then(entitle).catch(() => {});
  return make(
    "li", { class: "tile" },
    still,
    name,
    Number.isFinite(one.confidence) ? make("p", { class: "note" }, `${percent(one.confidence)} sure`) : null,
    ...acts,
  );
}

const paths = new Map(); // video id -> promise of its path
function pathOf(id) {
  if (!paths.has(id)) paths.set(id, api.video(id).then((video) => video.path));
  return paths.get(id);
}

function exampleTile(name, one) {
  const sign = make("p", { class: one.positive ? "sign yes" : "sign no" }, icon(one.positive ? "check" : "close"), one.positive ? "shows it" : "does not show it");
  const where = one.video_id && one.start_seconds !== null ? span(one) : fileName(one.source ?? "");
  const out = one.id ? make("button", { class: "plain edged small", type: "button", "aria-label": `Remove the example ${where}`, onclick: async (event) => {
    event.currentTarget.disabled = true;
    try {
      await api.forgetExample(name, one.id);
      // What had given way to it stands again.
      const left = await api.action(name).then(({ examples }) => examples, () => []);
      made.parentElement?.replaceChildren(...left.map((other) => exampleTile(name, other)));
      say("Removed. It is learned again without it.");
    } catch (error) {
      say(error.message, "problem");
    }
  } }, "Remove") : null;
  const made = one.video_id && one.start_seconds !== null
    ? tile({ ...one, source: null }, sign, out)
    : make("li", { class: "tile" }, make("div", { class: "still none" }, make("span", {}, "Not in this library")), make("p", { class: "name", title: one.source }, where), sign, out);
  return made;
}

async function again(name, button) {
  button.disabled = true;
  say("Learning…");
  try {
    const asked = await api.teach({ action: name, positives: [], negatives: [], keep: true });
    const job = await finished(asked, ({ progress }) => say(stage(progress)));
    await load();
    say(outcome({ action: name, ...job.result }));
    on.learned();
  } catch (error) {
    say(error.problem?.needed ? tooFew(name, error.problem) : error.message, "problem");
  } finally {
    button.disabled = false;
  }
}

// Asked twice: what was taught is gone after it.
async function forget(name, button) {
  if (!button.dataset.sure) {
    button.dataset.sure = "1";
    button.textContent = "Forget it for good?";
    setTimeout(() => {
      delete button.dataset.sure;
      button.textContent = "Forget it";
    }, 4000);
    return;
  }
  try {
    await api.forget(name);
    on.learned();
    on.go({ name: "" });
    say(`“${name}” is forgotten.`);
  } catch (error) {
    say(error.message, "problem");
  }
}

// `handlers`: open(video id, time), go(change), only(action), learned().
export function connect(handlers) {
  on = handlers;
}
