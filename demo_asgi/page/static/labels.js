// Labels for statuses, challenges and tokens.

const TONES = {
  good: { glyph: "✓", label: "let in" },
  unauthorized: { glyph: "✕", label: "refused" },
  forbidden: { glyph: "⊘", label: "forbidden" },
  malformed: { glyph: "!", label: "malformed" },
  unavailable: { glyph: "↻", label: "unavailable" },
};

export function toneOf(status) {
  if (status < 300) return "good";
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  return status < 500 ? "malformed" : "unavailable";
}

export const glyphOf = (status) => TONES[toneOf(status)].glyph;
export const labelOf = (status) => TONES[toneOf(status)].label;

// The error code of a challenge, or a label for a challenge without one.
export function challengeLabel(challenge) {
  if (challenge === null) return "no challenge";
  const error = /\berror="([^"]*)"/.exec(challenge);
  return error ? error[1] : "bare challenge";
}

// Error codes contain no spaces; the labels above do.
export const isErrorCode = (label) => label !== "" && !label.includes(" ");

// The value of the Authorization header; `null` for none.
export function authorizationOf(scheme, token) {
  if (token === "") return null;
  return scheme ? `${scheme} ${token}` : token;
}

// Whether the view accepts only other kinds of tokens.
export const isOfAnotherKind = (view, token) => token.kind !== null && !view.accepts.includes(token.kind);

export function groupsOf(tokens) {
  const groups = new Map();
  for (const token of tokens) groups.set(token.group, [...(groups.get(token.group) ?? []), token]);
  return [...groups];
}

export const modeOf = (view) => (view.is_async ? "async" : "sync");
export const requestLine = (view) => `${view.method} ${view.path}`;
export const withSpaces = (code) => code.replaceAll("_", " ");

export function milliseconds(seconds) {
  const value = seconds * 1000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0ms`;
}
