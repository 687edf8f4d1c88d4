// One request: put together, sent, and explained.

import { call, Gone } from "./api.js";
import { headersOf, presentedAs, proofForm, provesKey, visit } from "./client.js";
import { byId, element, replace } from "./dom.js";
import { drawJwts } from "./jwt.js";
import { drawSteps, drawWords } from "./steps.js";
import { calledAs, glyphOf, groupsOf, named, toneOf, wordOf } from "./words.js";

const OWN = { name: "own", about: "as you write it below", scheme: "Bearer", key: "client", takes_nonce: true };

const REPLAYED = "The answer was another one: its proof had been used before. These steps use no proof up, so they do not check that.";

export class Builder {
  constructor() {
    this.views = [];
    this.tokens = [];
    this.turn = 0;
    this.hasAnswer = false;
    byId("view").addEventListener("change", () => this.describe());
    byId("token").addEventListener("change", () => {
      byId("scheme").value = this.token.scheme;
      this.describe();
      this.preview();
    });
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
    refill(byId("token"), [...groups, element("option", { value: OWN.name }, "Your own…")]);
    this.describe();
    this.preview();
  }

  // A result of the grid was chosen.
  show(view, token) {
    byId("view").value = named(view);
    byId("token").value = token.name;
    byId("scheme").value = token.scheme;
    this.describe();
    this.preview();
    byId("request").scrollIntoView();
    byId("request-title").focus({ preventScroll: true });
    this.send();
  }

  get view() {
    return this.views.find((view) => named(view) === byId("view").value);
  }

  // Of the page, or the user's own.
  get token() {
    const token = this.tokens.find(({ name }) => name === byId("token").value) ?? { ...OWN, token: byId("own").value.trim() };
    return { ...token, token: token.token ?? "" };
  }

  get client() {
    return presentedAs(this.token, byId("scheme").value);
  }

  describe() {
    const { view, token } = this;
    byId("view-about").textContent = view
      ? view.guarded
        ? `${calledAs(view)}; requires: ${view.requirement}. Validated by ${view.validators}.`
        : `${calledAs(view)}; nothing guards it.`
      : "";
    byId("token-about").textContent = token.about;
    byId("own-field").hidden = token.name !== OWN.name;
  }

  preview() {
    const { view, client } = this;
    if (!view) return;
    const request = rawRequest(view, headersToCome(client));
    if (this.previewed === request) return;
    this.previewed = request;
    byId("raw-request").textContent = request;
    byId("curl").textContent = curlOf(view, client);
    drawJwts(byId("inside"), [["Token", client.token]]);
    // No answer stands beside a request that it is none to.
    this.turn += 1;
    this.clear("Nothing was sent yet.");
    say("");
  }

  async send() {
    const { view, client } = this;
    const turn = (this.turn += 1);
    // If the request was changed or sent again meanwhile, this answer is ignored.
    const isLatest = () => turn === this.turn;
    if (!this.hasAnswer) this.clear("Asking…");
    say("Sending…");
    let answer;
    try {
      answer = await visit(view, client);
      if (!isLatest()) return;
      this.hasAnswer = true;
      byId("raw-request").textContent = rawRequest(view, answer.sent);
      byId("raw-answer").textContent = rawAnswer(answer);
      if (answer.sent.DPoP) drawJwts(byId("inside"), [["Token", client.token], ["Proof", answer.sent.DPoP]]);
      say(`${answer.status}, ${wordOf(answer.status)}`, toneOf(answer.status), glyphOf(answer.status));
    } catch (error) {
      if (!isLatest()) return;
      this.clear("No answer.");
      say(whyNotSent(error), "broken");
      return;
    }
    const draw = await explained(view, client, answer);
    if (isLatest()) draw(byId("steps"));
  }

  clear(words) {
    this.hasAnswer = false;
    byId("raw-answer").textContent = words;
    drawWords(byId("steps"), words);
  }
}

// What draws the steps, or why there are none.
async function explained(view, client, { sent, nonce }) {
  try {
    // The proof that was sent is used up.
    const { Authorization, DPoP } = client.replays ? sent : await headersOf(view, client, nonce);
    const presented = { authorization: Authorization ?? null, proof: DPoP ?? null, certificate: client.certificate ?? null };
    const { guards } = await call("/page/explain", { method: view.method, path: view.path, ...presented });
    return (holder) => drawSteps(holder, guards, client.replays ? REPLAYED : null);
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

function rawRequest(view, headers) {
  const lines = [`${named(view)} HTTP/1.1`, `Host: ${location.host}`, "Accept: application/json"];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return `${lines.join("\n")}\n`;
}

function headersToCome(client) {
  const headers = {};
  if (client.authorization !== null) headers.Authorization = client.authorization;
  if (provesKey(client)) headers.DPoP = `(a proof, signed by the ${client.key} when the request is sent)`;
  if (client.client_cert) headers["Client-Cert"] = client.client_cert;
  return headers;
}

function rawAnswer(answer) {
  const lines = [`HTTP/1.1 ${answer.status} ${answer.words}`];
  for (const [name, value] of answer.headers) lines.push(`${name}: ${value}`);
  return `${lines.join("\n")}\n\n${answer.body}`;
}

function curlOf(view, client) {
  const words = ["curl -i"];
  if (view.method !== "GET") words.push(`-X ${view.method}`);
  if (client.authorization !== null) words.push(`-H ${quoted(`Authorization: ${client.authorization}`)}`);
  if (client.client_cert) words.push(`-H ${quoted(`Client-Cert: ${client.client_cert}`)}`);
  if (provesKey(client)) {
    // A proof is valid once, and for a minute.
    const form = Object.entries(proofForm(view, client)).map((pair) => `--data-urlencode ${quoted(pair.join("="))}`);
    words.push(`-H "DPoP: $(curl -s ${form.join(" ")} ${location.origin}/page/proof)"`);
  }
  return [...words, location.origin + view.path].join(" ");
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
