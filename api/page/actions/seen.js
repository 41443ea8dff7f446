// The actions that heads see where the player stands.

import { make } from "../shared/elements.js";
import { colour, percent } from "../shared/format.js";
import { judging } from "./judge.js";

export function showSeen(list, segments, only) {
  list.replaceChildren(...segments.map((segment) => make(
    "li", {},
    make(
      "button",
      { class: `chip ${colour(segment.action)}`, type: "button", title: `Search for ${segment.action}`, onclick: () => only(segment.action) },
      segment.action, " ", make("b", {}, percent(segment.confidence)),
    ),
    judging(segment),
  )));
}
