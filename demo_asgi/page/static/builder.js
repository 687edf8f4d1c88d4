// One request: put together, sent, and explained.

import { call, Gone, present } from "./api.js";
import { byId, element, replace } from "./dom.js";
import { drawSteps } from "./steps.js";
import { authorizationOf, glyphOf, named, toneOf, wordOf } from "./words.js";

const OWN = "own";

export class Builder {
  constructor() {
    this.views = [];
    this.tokens = [];
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
    const groups = [...new Set(tokens.map((token) => token.group))].map((group) =>
      element("optgroup", { label: group }, ...tokens.filter((token) => token.group === group).map(optionOf)),
    );
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
    byId("raw-request").textContent = rawRequest(view, this.authorization);
    byId("curl").textContent = curlOf(view, this.authorization);
  }

  async send() {
    const { view, authorization } = this;
    byId("sent").textContent = "Sending…";
    byId("sent").className = "verdict";
    try {
      const [answer, explanation] = [
        await present(view, authorization),
        await call("/page/explain", { method: view.method, path: view.path, authorization }),
      ];
      byId("raw-answer").textContent = rawAnswer(answer);
      drawSteps(byId("steps"), explanation.guards);
      byId("sent").className = `verdict tone-${toneOf(answer.status)}`;
      replace(
        byId("sent"),
        element("span", { class: "glyph", "aria-hidden": "true" }, glyphOf(answer.status)),
        ` ${answer.status}, ${wordOf(answer.status)}`,
      );
    } catch (error) {
      // Of a token that no header field can hold, the browser says so itself.
      byId("sent").textContent = error instanceof Gone ? "No answer." : `It could not be sent: ${error.message}`;
    }
  }
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
