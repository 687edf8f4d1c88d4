// The tour: four steps. Each sends requests that any client could send.

import { Gone, postJson, requestView } from "./api.js";
import { byId, element, replace } from "./dom.js";
import { authorizationOf, challengeLabel, glyphOf, labelOf, toneOf } from "./labels.js";

const view = (path) => ({ method: "GET", path });
const CACHED = view("/introspection/async");
const FRESH = view("/introspection/fresh");
const SIGNED = view("/jwt/async");

export class Tour {
  constructor(switches) {
    this.switches = switches;
    this.steps = [...byId("tour-steps").children];
    this.at = 0;
    this.button = byId("tour-next");
    this.button.addEventListener("click", () => this.next());
  }

  async next() {
    // `disabled` would remove the focus.
    if (this.button.getAttribute("aria-disabled") === "true") return;
    if (this.at === this.steps.length) this.reset();
    this.button.setAttribute("aria-disabled", "true");
    this.mark(this.at);
    const step = this.steps[this.at];
    const results = this.results;
    replace(results);
    try {
      await [() => this.works(), () => this.lacksScope(), () => this.isRevoked(), () => this.serverStops()][this.at]();
      this.at += 1;
    } catch (error) {
      results.append(element("li", {}, error instanceof Gone ? "No response." : error.message));
    } finally {
      this.button.removeAttribute("aria-disabled");
      step.scrollIntoView({ block: "nearest" });
    }
    this.button.textContent = this.at === this.steps.length ? "Take the tour again" : this.steps[this.at].dataset.next;
  }

  get results() {
    return this.steps[this.at].querySelector("ul");
  }

  reset() {
    this.at = 0;
    for (const step of this.steps) replace(step.querySelector("ul"));
  }

  mark(current) {
    this.steps.forEach((step, at) => {
      step.classList.toggle("done", at <= current);
      if (at === current) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    });
  }

  // --- Steps ---

  async works() {
    this.tokens = (await postJson("/page/tour", {})).tokens;
    await this.send(CACHED, "known", "an opaque token");
    await this.send(SIGNED, "jwt", "a JWT");
  }

  async lacksScope() {
    const response = await this.send(CACHED, "email", "a token with the scope “email”");
    this.addNote(`The challenge names scope="${/scope="([^"]*)"/.exec(response.challenge ?? "")?.[1]}".`);
  }

  async isRevoked() {
    await this.send(FRESH, "revoked", "before");
    await postJson("/page/tour", { revoke: this.tokens.revoked });
    await this.send(FRESH, "revoked", "revoked a moment ago");
  }

  async serverStops() {
    await this.switches.send({ down: true });
    this.addNote("The server is down.");
    try {
      await this.send(SIGNED, "jwt", "the JWT: its keys are known");
      await this.send(CACHED, "known", "the opaque token of step 1");
      const response = await this.send(CACHED, "unseen", "a new opaque token");
      this.addNote(`The client may retry after ${response.headers.get("Retry-After")} s.`);
    } finally {
      await this.switches.send({ down: false });
    }
    this.addNote("The server runs again.");
  }

  // --- Results ---

  async send(view, name, description) {
    const response = await requestView(view, { Authorization: authorizationOf("Bearer", this.tokens[name]) });
    const { status, challenge } = response;
    const label = challenge ? challengeLabel(challenge) : labelOf(status);
    this.results.append(
      element(
        "li",
        {},
        element("span", { class: `chip tone-${toneOf(status)}` }, element("span", { class: "glyph", "aria-hidden": "true" }, glyphOf(status)), ` ${status} ${label}`),
        element("span", {}, description),
        element("code", {}, view.path),
      ),
    );
    return response;
  }

  addNote(text) {
    this.results.append(element("li", { class: "hint" }, text));
  }
}
