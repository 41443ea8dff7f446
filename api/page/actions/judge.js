// Confirming and rejecting what heads saw.

import * as api from "../api.js";
import { icon, make } from "../shared/elements.js";
import { count } from "../shared/format.js";
import { finished, outcome } from "./lesson.js";

const clips = new Map(); // video id -> promise of its clips

// The clip that holds most of a segment.
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

// The whole segment is judged; a server that keeps corrections by clip is told the clip.
async function send(segment, correct) {
  const { video_id, start_seconds, end_seconds, action } = segment;
  try {
    return await api.judge({ video_id, start_seconds, end_seconds }, action, correct);
  } catch (error) {
    if (error.status !== 422) throw error;
  }
  const clip = await clipOf(segment);
  if (!clip) throw new Error("No stored clip covers this any more.");
  return api.judge({ clip_id: clip.clip_id }, action, correct);
}

// Two buttons and what came of them; `done(correct)` is called after an answer, with null for one taken back.
export function judging(segment, done = () => {}) {
  const { action } = segment;
  const said = make("span", { class: "said", role: "status" });
  const enable = (yes) => {
    for (const button of buttons) button.disabled = !yes;
  };
  const attempt = (act) => async () => {
    enable(false);
    try {
      await act();
    } catch (error) {
      said.textContent = error.message;
      enable(true);
    }
  };
  // The server learns from an answer at once; what came of it is said when it is done.
  const relearn = async (id) => {
    if (!id) return;
    const told = make("span", {}, " Learning it again…");
    said.append(told);
    try {
      const job = await finished(await api.job(id));
      told.textContent = ` ${outcome({ action, ...job.result })}`;
    } catch (error) {
      told.textContent = ` ${error.message}`;
    }
  };
  const judge = (correct) => attempt(async () => {
    const { positive, negative, removed, lesson, example_id: kept } = await send(segment, correct);
    said.replaceChildren(
      `${correct ? "Confirmed" : "Rejected"}. Kept: ${count(positive, "example")} that ${positive === 1 ? "shows" : "show"} it, ${negative} that ${negative === 1 ? "does" : "do"} not.`,
      removed ? ` ${count(removed, "example")} gave way to it.` : "",
    );
    said.append(" ", undo(kept));
    relearn(lesson);
    done(correct);
  });
  const undo = (kept) => make("button", { class: "plain edged small", type: "button", onclick: attempt(async () => {
    const { lesson } = await api.forgetExample(action, kept);
    said.textContent = "Taken back.";
    relearn(lesson);
    enable(true);
    done(null);
    buttons[0].focus();
  }) }, "Undo");
  const button = (name, text, correct) => make(
    "button",
    { class: "plain edged small", type: "button", "aria-label": `${text}: this is ${action}`, onclick: judge(correct) },
    icon(name), text,
  );
  const buttons = [button("check", "Confirm", true), button("close", "Reject", false)];
  return make("span", { class: "judging" }, ...buttons, said);
}
