// Statuses, challenges and tokens in words.

const TONES = {
  good: { glyph: "✓", word: "let in" },
  unknown: { glyph: "✕", word: "refused" },
  forbidden: { glyph: "⊘", word: "forbidden" },
  broken: { glyph: "!", word: "malformed" },
  trouble: { glyph: "↻", word: "unavailable" },
  quiet: { glyph: "–", word: "refused" },
};

export function toneOf(status) {
  if (status < 300) return "good";
  if (status === 401) return "unknown";
  if (status === 403) return "forbidden";
  return status < 500 ? "broken" : "trouble";
}

export const glyphOf = (status) => TONES[toneOf(status)].glyph;
export const wordOf = (status) => TONES[toneOf(status)].word;

// What a challenge says, in a word or two: of an error, its code.
export function gistOf(challenge) {
  if (challenge === null) return "no challenge";
  const error = /\berror="([^"]*)"/.exec(challenge);
  return error ? error[1] : "bare challenge";
}

// Our own words have a space; codes have none.
export const isCode = (gist) => gist !== "" && !gist.includes(" ");

// The value of the Authorization header; `null` for none.
export function authorizationOf(scheme, token) {
  if (token === "") return null;
  return scheme ? `${scheme} ${token}` : token;
}

// Whether the view takes tokens of other kinds only.
export const isOfAnotherKind = (view, token) => token.kind !== null && !view.takes.includes(token.kind);

export function groupsOf(tokens) {
  const groups = new Map();
  for (const token of tokens) groups.set(token.group, [...(groups.get(token.group) ?? []), token]);
  return [...groups];
}

export const calledAs = (view) => (view.is_async ? "async" : "sync");
export const named = (view) => `${view.method} ${view.path}`;
export const spoken = (words) => words.replaceAll("_", " ");

export function milliseconds(seconds) {
  const value = seconds * 1000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0ms`;
}
