// What the server says, in the words of the page: it names commands and addresses that nobody types here.

const OWN = {
  "unknown-action": () => "No action of this name is known here. Play a video, mark a few spans that show it, and press Teach.",
};
const COMMANDS = [
  [/^this library is empty:.*/, "this library is empty: index a folder in the Library view"],
  [/there is no library .*/, "there is no library yet: index a folder in the Library view"],
  [/[;:,] its key frames are still at \S+/, ""],
  [/^(body|query|path)(\.[\w.]+)?: (Value error, )?/, ""],
  [/^a path must be absolute, got (.*)$/, "a path must be absolute, as /archive/2024; got $1"],
  [/[;,] `indexer [^`]*` (shows|lists) [^;.]*/g, ""],
];

// The detail of a problem document, fit to show; "" where there is none.
export function inWords(problem) {
  const kind = String(problem.type ?? "").split(":").at(-1);
  if (OWN[kind]) return OWN[kind](problem);
  return COMMANDS.reduce((text, [pattern, words]) => text.replace(pattern, words), problem.detail ?? "");
}
