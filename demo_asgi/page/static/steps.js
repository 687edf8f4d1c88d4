// The rules that led to a decision, from the guard's explanation.

import { breakable, element, replace } from "./dom.js";
import { glyphOf, toneOf, withSpaces } from "./labels.js";

const OUTCOMES = {
  passed: { glyph: "✓", label: "passed", tone: "good" },
  failed: { glyph: "✕", label: "failed", tone: "malformed" },
  not_reached: { glyph: "–", label: "not reached", tone: "muted" },
  not_checked: { glyph: "–", label: "not checked", tone: "muted" },
};

const VALIDATOR_TONES = {
  accepted: "good",
  refused: "malformed",
  unavailable: "unavailable",
};

export function drawSteps(holder, guards, note) {
  if (guards.length) replace(holder, ...(note ? [element("p", { class: "hint" }, note)] : []), ...guards.map(drawGuard));
  else drawMessage(holder, "Nothing guards this view, so there is no decision.");
}

// Show a message in the place of the steps.
export function drawMessage(holder, message) {
  replace(holder, element("p", { class: "hint" }, message));
}

function drawGuard(explanation) {
  const { status, outcome, reason, remedy, credentials, proof, validators } = explanation;
  return element(
    "div",
    {},
    element(
      "p",
      { class: `outcome tone-${toneOf(status)}` },
      element("span", { class: "glyph", "aria-hidden": "true" }, glyphOf(status)),
      element("strong", {}, ` ${status} ${outcome}`),
      reason ? `: ${withSpaces(reason)}` : "",
    ),
    remedy ? element("p", { class: "remedy" }, ...withCode(remedy)) : null,
    element(
      "div",
      { class: "panels" },
      panel("The Authorization header", null, credentials),
      proof.length ? panel("The DPoP proof", null, proof) : null,
      ...validators.map((validator) => panel(validator.validator, validator, validator.steps)),
    ),
  );
}

function panel(title, validator, steps) {
  return element(
    "div",
    { class: "panel" },
    element("h4", {}, element("span", {}, ...breakable(title)), validator ? badge(validator) : null),
    steps.length
      ? element("ol", {}, ...steps.map(drawStep))
      : element("p", { class: "hint" }, "The guard does not try it for this token."),
    validator && validator.calls.length ? list("Requests and lookups", validator.calls) : null,
    // The other validators would show the same claims.
    validator && validator.asked ? claims(validator.claims) : null,
  );
}

function badge({ outcome, asked }) {
  if (outcome === "not_asked") return element("span", { class: "badge tone-muted" }, "not tried");
  const tone = asked ? VALIDATOR_TONES[outcome] : "muted";
  return element("span", { class: `badge tone-${tone}` }, asked ? outcome : `not tried; would be ${outcome}`);
}

function drawStep({ rule, outcome, reason, detail }) {
  const { glyph, label, tone } = OUTCOMES[outcome];
  return element(
    "li",
    { class: `step tone-${tone}` },
    element("span", { class: "glyph", "aria-hidden": "true" }, glyph),
    element(
      "span",
      { class: "rule" },
      rule,
      detail ? element("span", { class: "required" }, ...breakable(` (${detail})`)) : null,
      reason ? element("strong", {}, ` ${withSpaces(reason)}`) : null,
      element("span", { class: "hidden" }, `, ${label}`),
    ),
  );
}

function list(title, items) {
  return element("div", { class: "extra" }, element("h5", {}, title), element("ul", {}, ...items.map((item) => element("li", {}, item))));
}

function claims(known) {
  const entries = Object.entries(known);
  if (!entries.length) return null;
  return element(
    "div",
    { class: "extra" },
    element("h5", {}, "Claims of the token"),
    element("dl", {}, ...entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, typeof value === "string" ? value : JSON.stringify(value))))),
  );
}

// Text between backticks is code.
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}
