// How times, sizes, scores and names are written.

export function clock(seconds, digits = 1) {
  const sign = seconds < 0 ? "-" : "";
  const tenths = Math.round(Math.abs(seconds) * 10);
  const pad = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60];
  const rest = pad(Math.floor(tenths / 10) % 60) + (digits ? `.${tenths % 10}` : "");
  return sign + (hours ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`);
}

export const span = (one) => `${clock(one.start_seconds)} – ${clock(one.end_seconds)}`;
export const fileName = (path) => path.slice(path.lastIndexOf("/") + 1);
export const folder = (path) => path.slice(0, path.lastIndexOf("/") + 1);
export const percent = (share) => `${Math.round(share * 100)} %`;
export const whole = (number) => number.toLocaleString("en");
export const count = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;

export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const number = bytes / 1000 ** step;
  return `${number.toFixed(step && number < 10 ? 1 : 0)} ${units[step]}`;
}

export function length(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return seconds < 3600 ? `${clock(seconds, 0)} min` : `${clock(seconds, 0)} h`;
}

// The key frame that stands for a span: of a hit the one that fits best, else the one nearest to the middle.
export function still(one) {
  if (one.band) return one.key_frames[0] ?? null;
  const middle = (one.start_seconds + one.end_seconds) / 2;
  const away = (frame) => Math.abs(frame.time_seconds - middle);
  return one.key_frames.reduce((best, frame) => (!best || away(frame) < away(best) ? frame : best), null);
}

// What words were taken for, as in "dog: 118 kinds; knows nothing of: quarterly, earnings".
export function understood(reading) {
  const parts = reading.concepts.map(({ words, meaning, kinds }) => {
    const name = meaning.toLowerCase() === words.toLowerCase() ? words : `${words} (${meaning})`;
    return `${name}: ${kinds ? count(kinds, "kind") : "by likeness"}`;
  });
  if (reading.unknown.length) parts.push(`knows nothing of: ${reading.unknown.join(", ")}`);
  return parts.join("; ") || `${reading.text.trim()}: says nothing by itself`;
}

// Which parts of the example a hit shows, and where each lies in its video, as lines of text.
export function pieces(hit) {
  return (hit.matches ?? []).map((one) => {
    const asked = `${clock(one.query_start_seconds)} – ${clock(one.query_end_seconds)}`;
    const ways = [one.mirrored && "mirrored", one.reversed && "backwards"].filter(Boolean);
    if (Math.abs(one.speed - 1) > 0.1) ways.unshift(`${one.speed.toFixed(2)}x`);
    return `${asked} of the example is ${span(one)}${ways.length ? `, ${ways.join(", ")}` : ""}`;
  });
}

export function verdict(hit) {
  if (hit.band !== "match") return { maybe: "Maybe", unlikely: "Unlikely" }[hit.band];
  const ways = [hit.match?.mirrored && "mirrored", hit.match?.reversed && "backwards"].filter(Boolean);
  if (ways.length) return `Match, ${ways.join(", ")}`;
  return hit.score >= 0.9 ? "Nearly the same" : "Match";
}

// A colour per action, the same for as long as the page is open. Colours are in base.css.
const COLOURS = 7;
const colours = new Map();
export function colour(action) {
  if (!colours.has(action)) colours.set(action, `hue-${colours.size % COLOURS}`);
  return colours.get(action);
}
