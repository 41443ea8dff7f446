// Confirming and rejecting what heads saw.

import * as api from "./api.js";
import { icon, make } from "./elements.js";

const clips = new Map(); // video id -> promise of its clips

// The clip that holds most of a segment: corrections are kept by clip.
export async function clipOf(segment) {
  const { video_id: id } = segment;
  if (!clips.has(id)) clips.set(id, api.clips({ video_id: id, limit: 1000 }));
  let listed;
  try {
    listed = (await clips.get(id)).clips;
  } catch (error) {
    clips.delete(id);
    throw error;
  }
  const shared = (clip) =>
    Math.min(clip.end_seconds, segment.end_seconds) - Math.max(clip.start_seconds, segment.start_seconds);
  return listed.reduce((most, clip) => (!most || shared(clip) > shared(most) ? clip : most), null);
}

// Two buttons and what came of them; `done(correct)` is called after an answer.
export function judging(segment, done = () => {}) {
  const said = make("span", { class: "said", role: "status" });
  const judge = (correct) => async () => {
    for (const button of buttons) button.disabled = true;
    try {
      const clip = await clipOf(segment);
      if (!clip) throw new Error("No stored clip covers this any more.");
      const { positive, negative } = await api.judge(clip.clip_id, segment.action, correct);
      said.textContent = `${correct ? "Confirmed" : "Rejected"}: ${positive} for, ${negative} against are kept`;
      done(correct);
    } catch (error) {
      said.textContent = error.message;
      for (const button of buttons) button.disabled = false;
    }
  };
  const button = (name, text, correct) => make(
    "button",
    { class: "plain edged small", type: "button", "aria-label": `${text}: this is ${segment.action}`, onclick: judge(correct) },
    icon(name), text,
  );
  const buttons = [button("check", "Confirm", true), button("close", "Reject", false)];
  return make("span", { class: "judging" }, ...buttons, said);
}
