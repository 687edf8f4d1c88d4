// The guided tour: four steps, each with requests that anyone could send.

import { call, Gone, present } from "./api.js";
import { byId, element, replace } from "./dom.js";
import { authorizationOf, gistOf, glyphOf, toneOf, wordOf } from "./words.js";

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
    // Not `disabled`, which would take the focus away.
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
      results.append(element("li", {}, error instanceof Gone ? "No answer." : error.message));
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

  // --- The steps ---

  async works() {
    this.tokens = (await call("/page/tour", {})).tokens;
    await this.show(CACHED, "known", "an opaque token");
    await this.show(SIGNED, "jwt", "a JWT");
  }

  async lacksScope() {
    const answer = await this.show(CACHED, "email", "a token with the scope “email”");
    this.say(`The challenge asks for scope="${/scope="([^"]*)"/.exec(answer.challenge ?? "")?.[1]}".`);
  }

  async isRevoked() {
    await this.show(FRESH, "revoked", "before");
    await call("/page/tour", { revoke: this.tokens.revoked });
    await this.show(FRESH, "revoked", "revoked a moment ago");
  }

  async serverStops() {
    await this.switches.send({ down: true });
    this.say("The server is down.");
    try {
      await this.show(SIGNED, "jwt", "the JWT: its keys are known");
      await this.show(CACHED, "known", "the opaque token of step 1");
      const answer = await this.show(CACHED, "unseen", "a new opaque token");
      this.say(`It is told to retry after ${answer.headers.get("Retry-After")} s.`);
    } finally {
      await this.switches.send({ down: false });
    }
    this.say("The server runs again.");
  }

  // --- What they show ---

  async show(view, name, words) {
    const answer = await present(view, { Authorization: authorizationOf("Bearer", this.tokens[name]) });
    const { status, challenge } = answer;
    const said = challenge ? gistOf(challenge) : wordOf(status);
    this.results.append(
      element(
        "li",
        {},
        element("span", { class: `chip tone-${toneOf(status)}` }, element("span", { class: "glyph", "aria-hidden": "true" }, glyphOf(status)), ` ${status} ${said}`),
        element("span", { class: "what" }, words),
        element("code", {}, view.path),
      ),
    );
    return answer;
  }

  say(words) {
    this.results.append(element("li", { class: "hint" }, words));
  }
}
