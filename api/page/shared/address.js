// The page's state is its address: a reload, a link and Back all bring it back.
//
// view: search | library | actions; words; likings: [{ id, like }], where id is a span's
// ("3@12.5-15" of video 3) or a clip's ("17_3@12.5-15"); example: the key of a kept file; filters by the names below; player: { video, time } or null;
// show: which videos of the library; name: the action that is looked at; unread: what of the address
// means nothing here.

export const FILTERS = ["action", "confidence", "prefix", "min", "max", "after", "before"];
const VIEWS = ["library", "actions"];

const isNumber = (text) => text.trim() !== "" && Number.isFinite(Number(text));
const isDate = (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));
const MEANINGS = { confidence: isNumber, min: isNumber, max: isNumber, after: isDate, before: isDate };

export function read(place = location) {
  const stored = new URLSearchParams(place.search);
  const unread = [];
  const word = (name) => stored.get(name) ?? "";
  const kept = (name, value, isRight) => {
    if (isRight) return true;
    unread.push(`${name}=${value}`);
    return false;
  };
  const hash = place.hash.replace(/^#\/?/, "");
  const view = [word("view"), hash].find((name) => VIEWS.includes(name)) ?? "search";
  const liked = (name, like) => word(name).split(",").filter((id) => id && kept(name, id, isPart(id))).map((id) => ({ id, like }));
  const filter = (name) => (word(name) && kept(name, word(name), (MEANINGS[name] ?? Boolean)(word(name))) ? word(name) : "");
  const video = Number(word("v"));
  const isVideo = Number.isSafeInteger(video) && video > 0;
  if (stored.has("v")) kept("v", word("v"), isVideo);
  return {
    view,
    words: word("q"),
    likings: [...liked("like", true), ...liked("unlike", false)],
    example: word("example"),
    filters: Object.fromEntries(FILTERS.map((name) => [name, filter(name)])),
    group: ["clip", "video"].includes(word("group")) ? word("group") : "moment",
    player: isVideo ? { video, time: seconds(word("t")) } : null,
    show: word("show"),
    name: word("name"),
    unread,
  };
}

// Seconds of "65.2", "1:05.2" or "0:01:05.2"; 0 for what is no time.
function seconds(text) {
  const time = text.split(":").reduce((sum, step) => sum * 60 + Number(step), 0);
  return Number.isFinite(time) && time > 0 ? time : 0;
}

export function write(state) {
  const stored = new URLSearchParams();
  const keep = (name, value) => value && stored.set(name, value);
  if (state.view !== "search") keep("view", state.view);
  keep("q", state.words);
  for (const [name, like] of [["like", true], ["unlike", false]]) {
    keep(name, state.likings.filter((one) => one.like === like).map((one) => one.id).join(","));
  }
  keep("example", state.example);
  for (const name of FILTERS) keep(name, state.filters[name]);
  if (state.group !== "moment") keep("group", state.group);
  keep("show", state.view === "library" && state.show);
  keep("name", state.view === "actions" && state.name);
  if (state.player) {
    keep("v", state.player.video);
    keep("t", shortTime(state.player.time));
  }
  const query = stored.toString().replaceAll("%2C", ",").replaceAll("%40", "@");
  return query ? `/?${query}` : "/";
}

// What the search depends on, as one string: another string is another search.
export const searchKey = (state) =>
  write({ ...state, view: "search", player: null });

const shortTime = (seconds) => String(Math.round(seconds * 1000) / 1000);
export const momentUrl = (video, time) => `/?v=${video}&t=${shortTime(time)}`;
// A link for others: the search too, but for a dropped file, which only this browser keeps.
export const linkTo = (state, video, time) => write({ ...state, view: "search", example: "", player: { video, time } });

const PART = /^(?:(\d+)_)?(\d+)@(-?[\d.]+)-(-?[\d.]+)$/;
const isPart = (id) => PART.test(id);
export const spanId = (video, start, end) => `${video}@${shortTime(start)}-${shortTime(end)}`;
export const hitId = (hit) => `${hit.clip_id}_${spanId(hit.video_id, hit.start_seconds, hit.end_seconds)}`;

// Where a part of the query is from.
export function place(id) {
  const [video_id, start_seconds, end_seconds] = PART.exec(id).slice(2).map(Number);
  return { video_id, start_seconds, end_seconds };
}

// The query part that an id stands for.
export function part(id) {
  const clip = PART.exec(id)[1];
  return clip ? { clip_id: Number(clip) } : place(id);
}
