// Talks to the server. A refusal becomes an Error whose message is fit to show.

export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answer(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer. Is it still running?", 0);
  }
  if (response.ok) return response.json();
  if (response.status === 401) location.assign("/login");
  throw await refusal(response);
}

async function refusal(response) {
  let detail = `${response.status} ${response.statusText}`;
  try {
    detail = (await response.json()).detail || detail;
  } catch {
    // not a problem document: the status has to do
  }
  return new Refusal(detail, response.status);
}

export const status = () => answer("/v1/status");

// `parts` are query parts, `file` an example or null, `options` has filters, limit and group_by.
export function search(parts, file, options, signal) {
  if (!file) {
    return answer("/v1/search", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ query: parts, ...options }),
      signal,
    });
  }
  const form = new FormData();
  form.append("options", JSON.stringify({ query: parts, ...options }));
  form.append("file", file, file.name || "example");
  return answer("/v1/search/example", { method: "POST", body: form, signal });
}

export const fileUrl = (videoId) => `/v1/videos/${videoId}/file`;

// Why a video cannot be played: the server's reason, or null when it does send the file.
export async function whyNot(videoId) {
  try {
    const response = await fetch(fileUrl(videoId), { headers: { Range: "bytes=0-0" } });
    return response.ok ? null : (await refusal(response)).message;
  } catch {
    return "The server does not answer. Is it still running?";
  }
}
