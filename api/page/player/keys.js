// The player's keys.

import { element } from "../shared/elements.js";
import * as spans from "./spans.js";
import * as timeline from "./timeline.js";

const FAR = 10;

// `on` has seek(seconds), now(), toggle() and frame(), the length of a frame.
export function connect(dialog, on) {
  const step = (seconds) => () => on.seek(on.now() + seconds);
  const press = (id) => () => !element(id).hidden && element(id).click();
  const plain = {
    " ": on.toggle,
    k: on.toggle,
    ArrowRight: step(1),
    ArrowLeft: step(-1),
    l: step(FAR),
    j: step(-FAR),
    n: () => on.seek(timeline.shotFrom(on.now(), 1)),
    p: () => on.seek(timeline.shotFrom(on.now(), -1)),
    b: press("player-best"),
    i: spans.begin,
    o: spans.end,
    x: spans.clear,
    "+": () => timeline.zoom(0.5),
    "=": () => timeline.zoom(0.5),
    "-": () => timeline.zoom(2),
    ",": () => on.seek(on.now() - on.frame()),
    ".": () => on.seek(on.now() + on.frame()),
  };
  const onTimeline = {
    Home: () => on.seek(-Infinity),
    End: () => timeline.extent() && on.seek(Infinity),
    ArrowUp: step(1),
    ArrowDown: step(-1),
    PageUp: step(FAR),
    PageDown: step(-FAR),
  };
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { target, key } = event;
    if (target.closest("input, select, textarea")) return;
    if (key === " " && target.closest("button, a, summary")) return;
    const far = { ArrowRight: step(FAR), ArrowLeft: step(-FAR) };
    const act = (event.shiftKey && far[key])
      || plain[key.length === 1 ? key.toLowerCase() : key]
      || (target === element("timeline") && onTimeline[key]);
    if (!act) return;
    event.preventDefault();
    act();
  }, { capture: true });
}
