// A table of tokens and views. Each cell shows the status, the challenge and the reason of one response.

import { reasonsOf } from "./api.js";
import { clientOf, sendAs } from "./client.js";
import { breakable, byId, element, replace } from "./dom.js";
import { challengeLabel, glyphOf, groupsOf, isErrorCode, isOfAnotherKind, labelOf, modeOf, requestLine, toneOf, withSpaces } from "./labels.js";
import { meaningOf } from "./meanings.js";

export class Grid {
  // The ids of its parts begin with `id`. The user chooses a request by pressing its cell.
  constructor(id, onChoose) {
    this.id = id;
    this.onChoose = onChoose;
    this.views = [];
    this.tokens = [];
    this.error = null;
    this.cells = [];
    this.current = null;
    this.detailed = null;
    this.layout = null;
    this.round = 0;
    this.hasUnavailable = false;
    this.part().addEventListener("keydown", (event) => this.move(event));
  }

  part(name) {
    return byId(name ? `${this.id}-${name}` : this.id);
  }

  setTokens(tokens, error) {
    this.tokens = tokens.filter((token) => token.grid === this.id);
    this.error = error;
  }

  setViews(views) {
    this.views = views.filter((view) => view.grid === this.id);
  }

  draw() {
    // Keep the cells if the layout is unchanged: the old results and the focus stay until there are new results.
    const layout = JSON.stringify([this.views, this.tokens.map((token) => ({ ...token, token: token.token !== null }))]);
    if (layout === this.layout) return this.updateTokens();
    this.layout = layout;
    this.cells = [];
    this.current = null;
    this.detailed = null;
    replace(
      this.part(),
      element("thead", {}, element("tr", {}, element("td", {}), ...this.views.map(heading))),
      ...groupsOf(this.tokens).map(([group, tokens]) => this.drawGroup(group, tokens)),
    );
  }

  updateTokens() {
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

  async send() {
    const round = (this.round += 1);
    const cells = this.cells.filter((cell) => cell.token.token !== null);
    this.part().setAttribute("aria-busy", "true");
    this.setSummary("Sending…");
    const began = performance.now();
    try {
      const responses = await Promise.all(cells.map(({ view, token }) => sendAs(clientOf(token), view)));
      const seconds = (performance.now() - began) / 1000;
      const reasons = await reasonsOf(responses);
      // Ignore these responses if a newer round has started.
      if (round !== this.round) return;
      this.hasUnavailable = responses.some(({ status }) => toneOf(status) === "unavailable");
      cells.forEach((cell, index) => this.fill(cell, responses[index], reasons[responses[index].name]));
      this.setSummary(this.summaryOf(responses, seconds));
    } catch (error) {
      if (round === this.round) this.setSummary("No response.");
      throw error;
    } finally {
      if (round === this.round) this.part().removeAttribute("aria-busy");
    }
  }

  setSummary(text) {
    this.part("summary").textContent = text;
  }

  fill(cell, response, reason) {
    const before = cell.holder.querySelector("button");
    const button = before ?? element("button", { type: "button", tabindex: -1 });
    const challenge = response.status < 300 ? "" : challengeLabel(response.challenge);
    const isMuted = isRefusedForItsKind(cell, response);
    const tone = isMuted ? "muted" : toneOf(response.status);
    button.className = `cell tone-${tone}`;
    replace(
      button,
      element("span", { class: "status" }, element("span", { class: "glyph", "aria-hidden": "true" }, glyphOf(response.status)), ` ${response.status}`),
      ...(isMuted ? [element("span", { class: "challenge" }, "token of another kind")] : details(response, challenge, reason)),
    );
    button.setAttribute("aria-label", accessibleName(cell, response, challenge, reason) + (isMuted ? "; token of another kind" : ""));
    button.dataset.status = response.status;
    button.dataset.reason = reason ?? "";
    const show = () => {
      this.detailed = cell;
      this.showDetail(cell, response, reason);
    };
    button.onfocus = () => {
      this.setCurrent(cell);
      show();
    };
    button.onmouseenter = show;
    button.onclick = () => this.onChoose(cell.view, cell.token);
    if (!before) replace(cell.holder, button);
    if (!this.current) this.setCurrent(cell);
    if (this.detailed === cell) show();
  }

  // The Tab key reaches one cell. The arrow keys move from there to the others.
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
    const moves = {
      ArrowLeft: [at - 1, -1, row],
      ArrowRight: [at + 1, 1, row + width - 1],
      ArrowUp: [at - width, -width, 0],
      ArrowDown: [at + width, width, this.cells.length - 1],
      Home: [row, 1, at],
      End: [row + width - 1, -1, at],
    };
    if (at < 0 || !(event.key in moves)) return;
    event.preventDefault();
    const [from, step, last] = moves[event.key];
    for (let next = from; step > 0 ? next <= last : next >= last; next += step) {
      const button = this.cells[next].holder.querySelector("button");
      if (button) return focusOn(button);
    }
  }

  summaryOf(responses, seconds) {
    const count = new Map();
    for (const { status } of responses) count.set(status, (count.get(status) ?? 0) + 1);
    const parts = [...count].sort(([one], [other]) => one - other).map(([status, number]) => `${number}\u00a0×\u00a0${status}`);
    const missing = this.tokens.some(({ token }) => token === null) ? "some tokens are missing" : "no new tokens were fetched";
    const error = this.error ? ` ${this.error} So ${missing}.` : "";
    const retry = this.hasUnavailable ? " The page retries each 503 when the server has recovered." : "";
    return `${responses.length} requests in ${seconds.toFixed(1)} s: ${parts.join(", ")}.${retry}${error}`;
  }

  showDetail({ view, token }, response, reason) {
    const { first } = response;
    const afterFirst = first ? `, after ${first.status} ${first.challenge ? challengeLabel(first.challenge) : first.statusText} to the first request` : "";
    const rows = [
      ["Request", `${requestLine(view)}, ${token.group === token.label ? token.label : `${token.group}: ${token.label}`}`],
      ["Response", `${response.status} ${response.statusText}${afterFirst}`],
      ["Challenge", response.challenge ?? "none"],
      ["Reason", reason ?? "none: it was let in"],
    ];
    const meaning = isRefusedForItsKind({ view, token }, response)
      ? "The view accepts only other kinds of tokens. The token itself may be valid."
      : meaningOf(response, reason);
    if (meaning) rows.splice(3, 0, ["Meaning", meaning]);
    const wait = response.headers.get("Retry-After");
    if (wait) rows.push(["Retry-After", `${wait} s`]);
    // The help stays in the document, because the table is described by it.
    this.part("help").hidden = true;
    replace(
      this.part("detail"),
      element("dl", {}, ...rows.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text)))),
    );
  }
}

const isRefusedForItsKind = ({ view, token }, { status }) => status >= 400 && status < 500 && isOfAnotherKind(view, token);

function details(response, challenge, reason) {
  return [
    element("span", { class: isErrorCode(challenge) ? "challenge code" : "challenge" }, ...breakable(challenge || labelOf(response.status))),
    element("span", { class: "reason" }, reason ? withSpaces(reason) : ""),
  ];
}

// `focus` alone does not scroll if a part of the button is visible.
function focusOn(button) {
  button.focus({ preventScroll: true });
  button.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function heading(view) {
  return element(
    "th",
    { scope: "col" },
    element("span", { class: "path" }, ...breakable(view.path)),
    element("span", { class: "about" }, `${modeOf(view)} · ${view.requirement}`),
  );
}

function accessibleName({ view, token }, response, challenge, reason) {
  const parts = [`${token.group}, ${token.label}, on ${view.path}: ${response.status}, ${labelOf(response.status)}`];
  if (challenge) parts.push(`challenge: ${withSpaces(challenge)}`);
  if (reason) parts.push(`reason: ${withSpaces(reason)}`);
  return parts.join("; ");
}
