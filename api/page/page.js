// The page: its state is its address; a change of one is a change of the other.

import * as actions from "./actions/actions.js";
import * as address from "./shared/address.js";
import * as api from "./api.js";
import * as dropping from "./search/dropping.js";
import { element, isPlainClick, make } from "./shared/elements.js";
import { count, whole } from "./shared/format.js";
import * as library from "./library/library.js";
import * as player from "./player.js";
import * as query from "./search/query.js";
import { search } from "./search/search.js";
import { posters } from "./library/posters.js";

const TITLES = { search: "Reelseek", library: "Library · Reelseek", actions: "Actions · Reelseek" };
let state = address.read();
let searched = null; // the key of the search that is shown
let depth = history.state?.depth ?? 0; // how many of our own entries lie behind this one

// Changes the state and the address with it.
function go(change, { replace = false } = {}) {
  state = { ...state, unread: [], ...change };
  const same = address.write(state) === location.pathname + location.search;
  if (replace || same) history.replaceState({ depth }, "", address.write(state));
  else {
    depth += 1;
    history.pushState({ depth }, "", address.write(state));
  }
  apply();
}

function apply() {
  for (const view of ["search", "library", "actions"]) element(`view-${view}`).hidden = state.view !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!state.player) entitle();
  query.show(state, go);
  if (state.view === "search") showSearch();
  library.show(state);
  actions.show(state);
  player.show(state.player, () => searching.asked(state));
}

// The title tells what is looked at: a video, a search, or a view.
function entitle(name = "") {
  const what = name || (state.view === "search" && state.words);
  document.title = what ? `${what} · Reelseek` : TITLES[state.view];
}

async function showSearch() {
  const key = address.searchKey(state);
  if (key === searched) return;
  searched = key;
  const isHome = key === "/";
  element("view-search").classList.toggle("at-home", isHome);
  element("home").hidden = true;
  await searching.run(state);
  if (isHome && searched === key) showHome();
}

async function showHome() {
  try {
    const { videos, total } = await api.videos({ status: "indexed", limit: 12 });
    element("home").hidden = !videos.length || searched !== "/";
    element("home-videos").replaceChildren(...posters(videos, (video) => open(video.id, 0)));
    if (!videos.length) {
      const link = make("a", { href: "/?view=library" }, "Index a folder");
      element("message").replaceChildren(make("b", {}, "This library is empty."), link);
    }
    element("home-all").hidden = total <= videos.length;
    element("home-all").textContent = `All ${whole(total)} videos`;
  } catch {
    // the header says that the server is gone
  }
}

async function showHoldings() {
  const line = element("holdings");
  try {
    const { videos, clips } = await api.status();
    line.replaceChildren(`${count(videos.indexed, "video")} · ${count(clips, "clip")}`);
    for (const name of ["missing", "failed"]) {
      if (videos[name]) line.append(make("a", { class: name, href: `/?view=library&show=${name}` }, `${whole(videos[name])} ${name}`));
    }
  } catch (error) {
    line.textContent = error.message;
  }
}

function open(video, time, hit = null) {
  player.expect(hit);
  go({ player: { video, time } });
}

// Where the player stands now: a reload goes on from there.
function moved(time) {
  if (!state.player) return;
  state.player = { ...state.player, time };
  history.replaceState({ depth }, "", address.write(state));
}

// Back leaves the player where the page opened it; a link that opened it has no page before.
function close() {
  if (!state.player) return;
  if (depth > 0) history.back();
  else go({ player: null }, { replace: true });
}

const on = {
  play: (hit) => open(hit.video_id, hit.start_seconds, hit),
  like: (hit) => liking.like(hit, true),
  unlike: (hit) => liking.like(hit, false),
  only: (action) => {
    go({ view: "search", filters: { ...state.filters, action }, player: null });
    element("main").focus();
  },
  drag: dropping.drag,
};
const searching = search(on);
const liking = query.connect(go, () => state);
dropping.connect({ files: (files) => query.useExample(files, go), hit: (hit, like) => liking.like(hit, like), refuse: query.say });
player.connect({
  close,
  entitle,
  moved,
  likeSpan: (video, start, end, like, url) => {
    const id = query.rememberSpan(video, start, end, url);
    const others = state.likings.filter((one) => one.id !== id);
    go({ view: "search", likings: [...others, { id, like }], player: null });
    window.scrollTo({ top: 0 });
  },
  likeHit: (hit, like) => liking.like(hit, like),
  link: (video, time) => address.linkTo(state, video, time),
  only: on.only,
  learned: query.knowActions,
});
library.connect({ open, go, changed: showHoldings });
actions.connect({ open, go, only: on.only, learned: query.knowActions });

// Links of our own change the state in place.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || event.defaultPrevented || !isPlainClick(event) || link.hasAttribute("download")) return;
  event.preventDefault();
  const next = address.read(new URL(link.href));
  go(next);
  element(next.view === "search" ? "words" : "main").focus();
  window.scrollTo({ top: 0 });
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  go({ view: "search" }, { replace: state.view === "search" });
  element("words").select();
});
window.addEventListener("popstate", (event) => {
  depth = event.state?.depth ?? 0;
  state = address.read();
  apply();
});
window.addEventListener("hashchange", () => {
  state = address.read();
  apply();
});

history.replaceState({ depth }, "", address.write(state));
apply();
showHoldings();
query.knowActions();
// On a phone the focus would open the keyboard over the page.
if (!state.player && state.view === "search" && window.matchMedia("(pointer: fine)").matches) element("words").focus();
