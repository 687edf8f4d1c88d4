// The steps of a decision, as the guard explains itself.

import { breakable, element, replace } from "./dom.js";
import { glyphOf, spoken, toneOf } from "./words.js";

const OUTCOMES = {
  passed: { glyph: "✓", word: "passed", tone: "good" },
  failed: { glyph: "✕", word: "failed", tone: "broken" },
  not_reached: { glyph: "–", word: "not reached", tone: "quiet" },
  not_checked: { glyph: "–", word: "not checked", tone: "quiet" },
};

const TONES = {
  accepted: "good",
  refused: "broken",
  unavailable: "trouble",
  not_asked: "quiet",
};

export function drawSteps(holder, guards, note) {
  if (guards.length) replace(holder, ...(note ? [element("p", { class: "hint" }, note)] : []), ...guards.map(drawGuard));
  else drawWords(holder, "Nothing guards this view, so there is no decision.");
}

// In the place of steps.
export function drawWords(holder, words) {
  replace(holder, element("p", { class: "hint" }, words));
}

function drawGuard(told) {
  return element(
    "div",
    {},
    element(
      "p",
      { class: `outcome tone-${toneOf(told.status)}` },
      element("span", { class: "glyph", "aria-hidden": "true" }, glyphOf(told.status)),
      element("strong", {}, ` ${told.status} ${told.outcome}`),
      told.reason ? `: ${spoken(told.reason)}` : "",
    ),
    told.remedy ? element("p", { class: "remedy" }, ...withCode(told.remedy)) : null,
    element(
      "div",
      { class: "judges" },
      judge("The Authorization header", null, told.credentials),
      told.proof.length ? judge("The DPoP proof", null, told.proof) : null,
      ...told.validators.map((validator) => judge(validator.validator, validator, validator.steps)),
    ),
  );
}

function judge(title, validator, steps) {
  return element(
    "div",
    { class: "judge" },
    element("h4", {}, element("span", {}, ...breakable(title)), validator ? badge(validator) : null),
    steps.length
      ? element("ol", {}, ...steps.map(drawStep))
      : element("p", { class: "hint" }, "The guard does not ask it about this token."),
    validator && validator.calls.length ? list("Asked outside", validator.calls) : null,
    // The same in the words of each: once is enough.
    validator && validator.asked ? claims(validator.claims) : null,
  );
}

function badge({ outcome, asked }) {
  const words = outcome === "not_asked" || asked ? spoken(outcome) : `not asked; its result would be: ${spoken(outcome)}`;
  return element("span", { class: `badge tone-${asked ? TONES[outcome] : "quiet"}` }, words);
}

function drawStep({ rule, outcome, reason, detail }) {
  const { glyph, word, tone } = OUTCOMES[outcome];
  return element(
    "li",
    { class: `step tone-${tone}` },
    element("span", { class: "glyph", "aria-hidden": "true" }, glyph),
    element(
      "span",
      { class: "rule" },
      rule,
      detail ? element("span", { class: "wants" }, ...breakable(` (${detail})`)) : null,
      reason ? element("strong", {}, ` ${spoken(reason)}`) : null,
      element("span", { class: "hidden" }, `, ${word}`),
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
    element("h5", {}, "What the token says"),
    element("dl", {}, ...entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, typeof value === "string" ? value : JSON.stringify(value))))),
  );
}

// What stands between backticks is code.
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}
