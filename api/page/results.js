// Hits as cards.

export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const pad = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60];
  const rest = `${pad(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
  return hours ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`;
}

export const span = (hit) => `${clock(hit.start_seconds)} – ${clock(hit.end_seconds)}`;
export const fileName = (path) => path.slice(path.lastIndexOf("/") + 1);

// The frame that stands for a hit: the one nearest to its middle.
export function still(hit) {
  const middle = (hit.start_seconds + hit.end_seconds) / 2;
  return hit.key_frames.reduce(
    (best, frame) =>
      !best || Math.abs(frame.time_seconds - middle) < Math.abs(best.time_seconds - middle) ? frame : best,
    null,
  );
}

export function verdict(hit) {
  if (hit.weak) return "weak";
  if (hit.match?.mirrored) return "match, mirrored";
  return hit.score >= 0.9 ? "nearly the same" : "match";
}

// Makes the card of a hit; `on` has play(hit), like(hit) and unlike(hit).
export function card(hit, on) {
  const item = document.getElementById("card").content.firstElementChild.cloneNode(true);
  const find = (selector) => item.querySelector(selector);
  const name = fileName(hit.path);
  const image = find("img");
  const shown = still(hit);
  if (shown) image.src = shown.url;
  find(".time").textContent = span(hit);
  find(".name").textContent = name;
  find(".name").title = hit.path;
  find(".verdict").textContent = `${verdict(hit)} · ${hit.score.toFixed(3)}`;
  find(".meter i").style.width = `${Math.max(0, Math.min(1, hit.score)) * 100}%`;
  item.classList.toggle("weak", hit.weak);
  item.dataset.clip = hit.clip_id;
  const where = `${name}, ${span(hit)}`;
  find(".still").setAttribute("aria-label", `Play ${where}: ${verdict(hit)}, score ${hit.score.toFixed(3)}`);
  find(".still").addEventListener("click", () => on.play(hit));
  find(".like").setAttribute("aria-label", `More like ${where}`);
  find(".unlike").setAttribute("aria-label", `Not like ${where}`);
  find(".like").addEventListener("click", () => on.like(hit));
  find(".unlike").addEventListener("click", () => on.unlike(hit));
  if (hit.key_frames.length > 1) scrub(find(".still"), image, hit.key_frames, shown);
  return item;
}

function scrub(button, image, frames, shown) {
  button.addEventListener("pointermove", (event) => {
    const box = button.getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left) / box.width) * frames.length);
    const frame = frames[Math.max(0, Math.min(frames.length - 1, at))];
    if (!image.src.endsWith(frame.url)) image.src = frame.url;
  });
  button.addEventListener("pointerleave", () => {
    image.src = shown.url;
  });
}
