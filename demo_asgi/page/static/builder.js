// One request: put together, sent, and explained.

import { call, Gone, present } from "./api.js";
import { byId, element, replace } from "./dom.js";
import { drawSteps, drawWords } from "./steps.js";
import { authorizationOf, glyphOf, groupsOf, named, toneOf, wordOf } from "./words.js";

const OWN = "own";

export class Builder {
  constructor() {
    this.views = [];
    this.tokens = [];
    this.turn = 0;
    this.hasAnswer = false;
    byId("view").addEventListener("change", () => this.describe());
    byId("token").addEventListener("change", () => this.describe());
    for (const id of ["view", "scheme", "token", "own"]) byId(id).addEventListener("input", () => this.preview());
    byId("builder").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  setViews(views) {
    this.views = views;
    refill(byId("view"), views.map((view) => element("option", { value: named(view) }, named(view))));
    this.describe();
    this.preview();
  }

  setTokens(tokens) {
    this.tokens = tokens;
    const groups = groupsOf(tokens).map(([label, members]) => element("optgroup", { label }, ...members.map(optionOf)));
    refill(byId("token"), [...groups, element("option", { value: OWN }, "Your own…")]);
    this.describe();
    this.preview();
  }

  // A verdict of the grid was chosen.
  show(view, token) {
    byId("view").value = named(view);
    byId("scheme").value = "Bearer";
    byId("token").value = token.name;
    this.describe();
    this.preview();
    byId("request").scrollIntoView();
    byId("request-title").focus({ preventScroll: true });
    this.send();
  }

  get view() {
    return this.views.find((view) => named(view) === byId("view").value);
  }

  get authorization() {
    const name = byId("token").value;
    const token = name === OWN ? byId("own").value.trim() : (this.tokens.find((token) => token.name === name)?.token ?? "");
    return authorizationOf(byId("scheme").value, token);
  }

  describe() {
    const view = this.view;
    const token = this.tokens.find((token) => token.name === byId("token").value);
    byId("view-about").textContent = view
      ? view.guarded
        ? `${view.colour}; asks for: ${view.requirement}. Judged by ${view.validators}.`
        : `${view.colour}; nothing guards it.`
      : "";
    byId("token-about").textContent = token ? token.about : "as you write it below";
    byId("own-field").hidden = Boolean(token);
  }

  preview() {
    const view = this.view;
    if (!view) return;
    const request = rawRequest(view, this.authorization);
    byId("curl").textContent = curlOf(view, this.authorization);
    if (byId("raw-request").textContent === request) return;
    byId("raw-request").textContent = request;
    // No answer stands beside a request that it is none to.
    this.turn += 1;
    this.clear("Nothing was sent yet.");
    say("");
  }

  async send() {
    const { view, authorization } = this;
    const turn = (this.turn += 1);
    // Whoever has changed the request meanwhile, or sent it again, waits for another answer.
    const isLatest = () => turn === this.turn;
    if (!this.hasAnswer) this.clear("Asking…");
    say("Sending…");
    try {
      const answer = await present(view, authorization);
      if (!isLatest()) return;
      this.hasAnswer = true;
      byId("raw-answer").textContent = rawAnswer(answer);
      say(`${answer.status}, ${wordOf(answer.status)}`, toneOf(answer.status), glyphOf(answer.status));
    } catch (error) {
      if (!isLatest()) return;
      this.clear("No answer.");
      say(whyNotSent(error), "broken");
      return;
    }
    const draw = await explained(view, authorization);
    if (isLatest()) draw(byId("steps"));
  }

  clear(words) {
    this.hasAnswer = false;
    byId("raw-answer").textContent = words;
    drawWords(byId("steps"), words);
  }
}

// What draws the steps, or why there are none.
async function explained({ method, path }, authorization) {
  try {
    const { guards } = await call("/page/explain", { method, path, authorization });
    return (holder) => drawSteps(holder, guards);
  } catch (error) {
    return (holder) => drawWords(holder, error.message);
  }
}

function say(words, tone, glyph) {
  const mark = glyph ? [element("span", { class: "glyph", "aria-hidden": "true" }, glyph), " "] : [];
  byId("sent").className = tone ? `verdict tone-${tone}` : "verdict";
  replace(byId("sent"), ...mark, words);
}

function whyNotSent(error) {
  if (error instanceof Gone) return "No answer.";
  // What the browser itself says of it is about parts of the script.
  return error instanceof TypeError ? "It could not be sent: no header field can hold this token." : error.message;
}

function refill(select, options) {
  const before = select.value;
  replace(select, ...options);
  if (before) select.value = before;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

function optionOf(token) {
  const missing = token.token === null;
  return element("option", { value: token.name, disabled: missing }, missing ? `${token.label} (not issued)` : token.label);
}

function rawRequest(view, authorization) {
  const lines = [`${named(view)} HTTP/1.1`, `Host: ${location.host}`, "Accept: application/json"];
  if (authorization !== null) lines.push(`Authorization: ${authorization}`);
  return `${lines.join("\n")}\n`;
}

function rawAnswer(answer) {
  const lines = [`HTTP/1.1 ${answer.status} ${answer.words}`];
  for (const [name, value] of answer.headers) lines.push(`${name}: ${value}`);
  return `${lines.join("\n")}\n\n${answer.body}`;
}

function curlOf(view, authorization) {
  const words = ["curl -i"];
  if (view.method !== "GET") words.push(`-X ${view.method}`);
  if (authorization !== null) words.push(`-H ${quoted(`Authorization: ${authorization}`)}`);
  return [...words, location.origin + view.path].join(" ");
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
