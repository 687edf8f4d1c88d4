// Views × tokens: each result with its status, challenge and reason.

import { reasonsOf } from "./api.js";
import { presentedAs, visit } from "./client.js";
import { breakable, byId, element, replace } from "./dom.js";
import { meaningOf } from "./meanings.js";
import { calledAs, gistOf, glyphOf, groupsOf, isCode, isOfAnotherKind, named, spoken, toneOf, wordOf } from "./words.js";

export class Grid {
  // Its parts have ids that begin with `id`.
  constructor(id, chosen) {
    this.id = id;
    this.chosen = chosen;
    this.views = [];
    this.tokens = [];
    this.trouble = null;
    this.cells = [];
    this.current = null;
    this.shown = null;
    this.shape = null;
    this.round = 0;
    this.hasTrouble = false;
    this.part().addEventListener("keydown", (event) => this.move(event));
  }

  part(name) {
    return byId(name ? `${this.id}-${name}` : this.id);
  }

  setTokens(tokens, trouble) {
    this.tokens = tokens.filter((token) => token.grid === this.id);
    this.trouble = trouble;
  }

  setViews(views) {
    this.views = views.filter((view) => view.grid === this.id);
  }

  draw() {
    // A grid of the same shape is not drawn again, so results and focus stay until there are new results.
    const shape = JSON.stringify([this.views, this.tokens.map((token) => ({ ...token, token: token.token !== null }))]);
    if (shape === this.shape) return this.rename();
    this.shape = shape;
    this.cells = [];
    this.current = null;
    this.shown = null;
    replace(
      this.part(),
      element("thead", {}, element("tr", {}, element("td", {}), ...this.views.map(heading))),
      ...groupsOf(this.tokens).map(([group, tokens]) => this.drawGroup(group, tokens)),
    );
  }

  // The same tokens by their names, with other values.
  rename() {
    const tokens = new Map(this.tokens.map((token) => [token.name, token]));
    for (const cell of this.cells) cell.token = tokens.get(cell.token.name);
  }

  drawGroup(group, tokens) {
    const title = element("th", { scope: "rowgroup", colspan: this.views.length + 1 }, element("span", {}, group));
    return element("tbody", {}, element("tr", { class: "group" }, title), ...tokens.map((token) => this.drawRow(token)));
  }

  drawRow(token) {
    const label = element(
      "th",
      { scope: "row" },
      element("span", { class: "label" }, token.label),
      element("span", { class: "about" }, token.about),
    );
    return element("tr", {}, label, ...this.views.map((view) => this.drawCell(view, token)));
  }

  drawCell(view, token) {
    const holder = element("td", {});
    this.cells.push({ view, token, holder });
    if (token.token === null) replace(holder, element("span", { class: "absent" }, "not issued"));
    return holder;
  }

  async ask() {
    const round = (this.round += 1);
    const asked = this.cells.filter((cell) => cell.token.token !== null);
    this.part().setAttribute("aria-busy", "true");
    this.say("Asking…");
    const began = performance.now();
    try {
      const answers = await Promise.all(asked.map(({ view, token }) => visit(view, presentedAs(token))));
      const seconds = (performance.now() - began) / 1000;
      const reasons = await reasonsOf(answers);
      // If another round was started meanwhile, these answers are ignored.
      if (round !== this.round) return;
      this.hasTrouble = answers.some(({ status }) => toneOf(status) === "trouble");
      asked.forEach((cell, index) => this.fill(cell, answers[index], reasons[answers[index].name]));
      this.say(this.summary(answers, seconds));
    } catch (error) {
      if (round === this.round) this.say("No answer.");
      throw error;
    } finally {
      if (round === this.round) this.part().removeAttribute("aria-busy");
    }
  }

  say(words) {
    this.part("summary").textContent = words;
  }

  fill(cell, answer, reason) {
    const before = cell.holder.querySelector("button");
    const button = before ?? element("button", { type: "button", tabindex: -1 });
    const gist = answer.status < 300 ? "" : gistOf(answer.challenge);
    const isMuted = isNoVerdict(cell, answer);
    const tone = isMuted ? "quiet" : toneOf(answer.status);
    button.className = `cell tone-${tone}`;
    replace(
      button,
      element("span", { class: "status" }, element("span", { class: "glyph", "aria-hidden": "true" }, glyphOf(answer.status)), ` ${answer.status}`),
      ...(isMuted ? [element("span", { class: "gist" }, "token of another kind")] : saidOf(answer, gist, reason)),
    );
    button.setAttribute("aria-label", spokenVerdict(cell, answer, gist, reason) + (isMuted ? "; token of another kind" : ""));
    button.dataset.status = answer.status;
    button.dataset.reason = reason ?? "";
    const show = () => {
      this.shown = cell;
      this.showDetail(cell, answer, reason);
    };
    button.onfocus = () => {
      this.setCurrent(cell);
      show();
    };
    button.onmouseenter = show;
    button.onclick = () => this.chosen(cell.view, cell.token);
    if (!before) replace(cell.holder, button);
    if (!this.current) this.setCurrent(cell);
    if (this.shown === cell) show();
  }

  // The Tab key reaches one result; the arrow keys move to the others.
  setCurrent(cell) {
    const before = this.current?.holder.querySelector("button");
    if (before) before.tabIndex = -1;
    this.current = cell;
    cell.holder.querySelector("button").tabIndex = 0;
  }

  move(event) {
    const width = this.views.length;
    const at = this.cells.indexOf(this.current);
    const row = at - (at % width);
    const ways = {
      ArrowLeft: [at - 1, -1, row],
      ArrowRight: [at + 1, 1, row + width - 1],
      ArrowUp: [at - width, -width, 0],
      ArrowDown: [at + width, width, this.cells.length - 1],
      Home: [row, 1, at],
      End: [row + width - 1, -1, at],
    };
    if (at < 0 || !(event.key in ways)) return;
    event.preventDefault();
    const [from, step, last] = ways[event.key];
    for (let next = from; step > 0 ? next <= last : next >= last; next += step) {
      const button = this.cells[next].holder.querySelector("button");
      if (button) return goTo(button);
    }
  }

  summary(answers, seconds) {
    const count = new Map();
    for (const { status } of answers) count.set(status, (count.get(status) ?? 0) + 1);
    const parts = [...count].sort(([one], [other]) => one - other).map(([status, number]) => `${number}\u00a0×\u00a0${status}`);
    const missing = this.tokens.some(({ token }) => token === null) ? "some tokens are missing" : "no new tokens were fetched";
    const trouble = this.trouble ? ` ${this.trouble} So ${missing}.` : "";
    const later = this.hasTrouble ? " Each 503 is asked for again, once the server is well." : "";
    return `${answers.length} requests in ${seconds.toFixed(1)} s: ${parts.join(", ")}.${later}${trouble}`;
  }

  showDetail({ view, token }, answer, reason) {
    const { before } = answer;
    const rows = [
      ["Request", `${named(view)}, ${token.group === token.label ? token.label : `${token.group}: ${token.label}`}`],
      ["Answer", `${answer.status} ${answer.words}${before ? `, after ${before.status} ${before.challenge ? gistOf(before.challenge) : before.words} to the first request` : ""}`],
      ["Challenge", answer.challenge ?? "none"],
      ["Reason", reason ?? "none: it was let in"],
    ];
    const meaning = isNoVerdict({ view, token }, answer)
      ? "The view takes tokens of another kind only. This says nothing of the token."
      : meaningOf(answer, reason);
    if (meaning) rows.splice(3, 0, ["It means", meaning]);
    const wait = answer.headers.get("Retry-After");
    if (wait) rows.push(["Retry-After", `${wait} s`]);
    // The table goes on being described by it.
    this.part("help").hidden = true;
    replace(
      this.part("detail"),
      element("dl", {}, ...rows.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text)))),
    );
  }
}

// Whether a view refuses a token only because it takes tokens of other kinds.
const isNoVerdict = ({ view, token }, { status }) => status >= 400 && status < 500 && isOfAnotherKind(view, token);

function saidOf(answer, gist, reason) {
  return [
    element("span", { class: isCode(gist) ? "gist code" : "gist" }, ...breakable(gist || wordOf(answer.status))),
    element("span", { class: "reason" }, reason ? spoken(reason) : ""),
  ];
}

// The whole of it comes in sight: of the focus itself, a part that is seen already is enough for browsers.
function goTo(button) {
  button.focus({ preventScroll: true });
  button.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function heading(view) {
  return element(
    "th",
    { scope: "col" },
    element("span", { class: "path" }, ...breakable(view.path)),
    element("span", { class: "about" }, `${calledAs(view)} · ${view.requirement}`),
  );
}

function spokenVerdict({ view, token }, answer, gist, reason) {
  const parts = [`${token.group}, ${token.label}, on ${view.path}: ${answer.status}, ${wordOf(answer.status)}`];
  if (gist) parts.push(`challenge: ${spoken(gist)}`);
  if (reason) parts.push(`reason: ${spoken(reason)}`);
  return parts.join("; ");
}
