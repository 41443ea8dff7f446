// Talks to the server. A refusal becomes an Error whose message is fit to show.

import { inWords } from "./shared/words.js";

export class Refusal extends Error {
  constructor(message, status, problem = {}) {
    super(message.charAt(0).toUpperCase() + message.slice(1));
    this.status = status; // 0: no answer at all
    this.problem = problem; // the document that says more
  }
}

const GONE = "The server does not answer. Is it still running?";

async function answer(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(GONE, 0);
  }
  if (response.status === 401) location.assign("/login");
  if (!response.ok) throw await refusal(response);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(GONE, 0); // it went away in the middle of its answer
  }
}

async function refusal(response) {
  const problem = await response.json().catch(() => ({})); // else the status has to do
  return new Refusal(inWords(problem) || `${response.status} ${response.statusText}`, response.status, problem);
}

function address(path, parameters) {
  const known = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.length ? `${path}?${new URLSearchParams(known)}` : path;
}

const send = (url, body, signal) =>
  answer(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });
const remove = (url) => answer(url, { method: "DELETE" });

function upload(url, file, options, signal) {
  const form = new FormData();
  form.append("options", JSON.stringify(options));
  form.append("file", file, file.name || "example");
  return answer(url, { method: "POST", body: form, signal });
}

// --- searching; `parts` are query parts, `file` an example or null ---------------------------

export const search = (parts, file, options, signal) =>
  file
    ? upload("/v1/search/example", file, { query: parts, ...options }, signal)
    : send("/v1/search", { query: parts, ...options }, signal);

export const matches = (videoId, parts, file, signal) =>
  file
    ? upload(`/v1/videos/${videoId}/matches/example`, file, { query: parts }, signal)
    : send(`/v1/videos/${videoId}/matches`, { query: parts }, signal);

// --- the library ---------------------------------------------------------------------------

export const status = () => answer("/v1/status");
export const videos = (parameters) => answer(address("/v1/videos", parameters));
export const video = (id) => answer(`/v1/videos/${id}`);
export const clips = (parameters, signal) => answer(address("/v1/clips", parameters), { signal });
export const timeline = (id) => answer(`/v1/videos/${id}/timeline`);
export const keyFrames = (id, most) => answer(address(`/v1/videos/${id}/key-frames`, { max: most }));
export const ingest = (path) => send("/v1/ingest", { paths: [path] });
export const jobs = (limit) => answer(address("/v1/jobs", { limit }));
export const job = (id) => answer(`/v1/jobs/${id}`);

// --- actions -------------------------------------------------------------------------------

export const actions = () => answer("/v1/actions");
export const action = (name) => answer(`/v1/actions/${encodeURIComponent(name)}`);
export const segments = (parameters) => answer(address("/v1/segments", parameters));
export const teach = (lesson) => send("/v1/actions", lesson);
export const forget = (name) => remove(`/v1/actions/${encodeURIComponent(name)}`);
export const suggestions = (name) => answer(`/v1/actions/${encodeURIComponent(name)}/suggestions?limit=12`);
export const forgetExample = (name, id) => remove(`/v1/actions/${encodeURIComponent(name)}/examples/${id}`);
export const judge = (what, action, correct) => send("/v1/feedback", { ...what, action, correct });

// --- footage -------------------------------------------------------------------------------

const between = (path, start, end) =>
  address(path, { start_seconds: start.toFixed(3), end_seconds: end.toFixed(3) });
export const fileUrl = (videoId) => `/v1/videos/${videoId}/file`;
export const convertedUrl = (videoId, start, end) => between(`/v1/videos/${videoId}/preview`, start, end);
export const cutUrl = (videoId, start, end) => between(`/v1/videos/${videoId}/cut`, start, end);
export const loopUrl = (clipId) => `/v1/clips/${clipId}/preview`;
export const storyboardUrl = (videoId, most, columns) =>
  address(`/v1/videos/${videoId}/storyboard`, { max: most, columns });
export const spritesUrl = (videoId) => `/v1/videos/${videoId}/sprites.jpg`;

export async function sprites(videoId) {
  const response = await fetch(`/v1/videos/${videoId}/sprites.vtt`);
  if (!response.ok) throw await refusal(response);
  return response.text();
}

// Why footage cannot be had: a Refusal, or null when the server does send it.
export async function whyNot(url) {
  try {
    const response = await fetch(url, { headers: { Range: "bytes=0-0" } });
    return response.ok ? null : await refusal(response);
  } catch {
    return new Refusal(GONE, 0);
  }
}
