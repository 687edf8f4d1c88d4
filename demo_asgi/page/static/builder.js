// One request: the user puts it together and sends it, and the page explains the decision.

import { Gone, postJson } from "./api.js";
import { clientOf, headersOf, proofForm, sendAs, usesDPoP } from "./client.js";
import { byId, element, replace } from "./dom.js";
import { drawJwts } from "./jwt.js";
import { glyphOf, groupsOf, labelOf, modeOf, requestLine, toneOf } from "./labels.js";
import { drawMessage, drawSteps } from "./steps.js";

const OWN = { name: "own", about: "as you write it below", scheme: "Bearer", key: "client", uses_nonce: true };
const NOT_SENT = "Not sent yet.";

const REPLAYED = "The response differs: its proof had been used before. The steps do not check that, so that they do not use up a proof.";

export class Builder {
  constructor() {
    this.views = [];
    this.tokens = [];
    this.sequence = 0;
    this.hasResponse = false;
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
    refill(byId("view"), views.map((view) => element("option", { value: requestLine(view) }, requestLine(view))));
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

  // Show and send the request of a cell of the grid.
  show(view, token) {
    byId("view").value = requestLine(view);
    byId("token").value = token.name;
    byId("scheme").value = token.scheme;
    this.describe();
    this.preview();
    byId("request").scrollIntoView();
    byId("request-title").focus({ preventScroll: true });
    this.send();
  }

  get view() {
    return this.views.find((view) => requestLine(view) === byId("view").value);
  }

  get token() {
    const token = this.tokens.find(({ name }) => name === byId("token").value) ?? { ...OWN, token: byId("own").value.trim() };
    return { ...token, token: token.token ?? "" };
  }

  get client() {
    return clientOf(this.token, byId("scheme").value);
  }

  describe() {
    const { view, token } = this;
    byId("view-about").textContent = view
      ? view.guarded
        ? `${modeOf(view)}; requires: ${view.requirement}. Validated by ${view.validators}.`
        : `${modeOf(view)}; nothing guards it.`
      : "";
    byId("token-about").textContent = token.about;
    byId("own-field").hidden = token.name !== OWN.name;
  }

  preview() {
    const { view, client } = this;
    if (!view) return;
    const request = rawRequest(view, plannedHeaders(client));
    if (this.previewed === request) return;
    this.previewed = request;
    byId("raw-request").textContent = request;
    byId("curl").textContent = curlOf(view, client);
    drawJwts(byId("inside"), [["Token", client.token]]);
    // Remove the response to the previous request.
    this.sequence += 1;
    this.clear(NOT_SENT);
    setStatus("");
  }

  async send() {
    const { view, client } = this;
    const sequence = (this.sequence += 1);
    // Ignore this response if the user has changed the request, or sent it again.
    const isLatest = () => sequence === this.sequence;
    if (!this.hasResponse) this.clear("Sending…");
    setStatus("Sending…");
    let response;
    try {
      response = await sendAs(client, view);
      if (!isLatest()) return;
      this.hasResponse = true;
      byId("raw-request").textContent = rawRequest(view, response.sent);
      byId("raw-response").textContent = rawResponse(response);
      if (response.sent.DPoP) drawJwts(byId("inside"), [["Token", client.token], ["Proof", response.sent.DPoP]]);
      setStatus(`${response.status}, ${labelOf(response.status)}`, toneOf(response.status), glyphOf(response.status));
    } catch (error) {
      if (!isLatest()) return;
      this.clear("No response.");
      setStatus(errorText(error), "malformed");
      return;
    }
    const draw = await explain(client, view, response);
    if (isLatest()) draw(byId("steps"));
  }

  clear(text) {
    this.hasResponse = false;
    byId("raw-response").textContent = text;
    drawMessage(byId("steps"), text);
  }
}

// Return a function that draws the steps, or why there are none.
async function explain(client, view, { sent, nonce }) {
  try {
    // The request has used up its proof, so this needs a new one.
    const { Authorization, DPoP } = client.replays ? sent : await headersOf(client, view, nonce);
    const presented = { authorization: Authorization ?? null, proof: DPoP ?? null, certificate: client.certificate ?? null };
    const { guards } = await postJson("/page/explain", { method: view.method, path: view.path, ...presented });
    return (holder) => drawSteps(holder, guards, client.replays ? REPLAYED : null);
  } catch (error) {
    return (holder) => drawMessage(holder, error.message);
  }
}

function setStatus(text, tone, glyph) {
  const mark = glyph ? [element("span", { class: "glyph", "aria-hidden": "true" }, glyph), " "] : [];
  byId("sent").className = tone ? `result tone-${tone}` : "result";
  replace(byId("sent"), ...mark, text);
}

function errorText(error) {
  if (error instanceof Gone) return "No response.";
  // The browser's own message is about the script.
  return error instanceof TypeError ? "It could not be sent: a header field cannot contain this token." : error.message;
}

function refill(select, options) {
  const chosen = select.value;
  replace(select, ...options);
  if (chosen) select.value = chosen;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

function optionOf(token) {
  const missing = token.token === null;
  return element("option", { value: token.name, disabled: missing }, missing ? `${token.label} (not issued)` : token.label);
}

function rawRequest(view, headers) {
  const lines = [`${requestLine(view)} HTTP/1.1`, `Host: ${location.host}`, "Accept: application/json"];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return `${lines.join("\n")}\n`;
}

function plannedHeaders(client) {
  const headers = {};
  if (client.authorization !== null) headers.Authorization = client.authorization;
  if (usesDPoP(client)) headers.DPoP = `(a proof, signed by the ${client.key} when the request is sent)`;
  if (client.client_cert) headers["Client-Cert"] = client.client_cert;
  return headers;
}

function rawResponse(response) {
  const lines = [`HTTP/1.1 ${response.status} ${response.statusText}`];
  for (const [name, value] of response.headers) lines.push(`${name}: ${value}`);
  return `${lines.join("\n")}\n\n${response.body}`;
}

function curlOf(view, client) {
  const parts = ["curl -i"];
  if (view.method !== "GET") parts.push(`-X ${view.method}`);
  if (client.authorization !== null) parts.push(`-H ${quoted(`Authorization: ${client.authorization}`)}`);
  if (client.client_cert) parts.push(`-H ${quoted(`Client-Cert: ${client.client_cert}`)}`);
  if (usesDPoP(client)) {
    // A proof is valid once, and for a minute, so the command makes a new one.
    const form = Object.entries(proofForm(client, view)).map((pair) => `--data-urlencode ${quoted(pair.join("="))}`);
    parts.push(`-H "DPoP: $(curl -s ${form.join(" ")} ${location.origin}/page/proof)"`);
  }
  return [...parts, location.origin + view.path].join(" ");
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
