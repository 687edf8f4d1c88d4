// The state, the faults and the keys of the authorization server.

import { getJson, postJson, unlessGone } from "./api.js";
import { byId } from "./dom.js";

const FAULTS = ["down", "slow"];
const ROTATIONS = ["rotate-keep", "rotate-remove"];
const UNKNOWN = { running: false, down: false, slow: false, kids: [] };

export class Switches {
  constructor(onChange) {
    this.onChange = onChange;
    this.isRunning = false;
    this.isHealthy = false;
    for (const name of FAULTS) {
      byId(name).addEventListener("click", () => this.set({ [name]: byId(name).getAttribute("aria-checked") !== "true" }));
    }
    byId("rotate-keep").addEventListener("click", () => this.set({ rotate: "keep" }));
    byId("rotate-remove").addEventListener("click", () => this.set({ rotate: "remove" }));
  }

  async refresh() {
    this.show((await getJson("/page/status")).authority);
  }

  showUnknown() {
    this.show(UNKNOWN, "Not known");
  }

  async set(message) {
    if (!this.isRunning) return;
    await unlessGone(async () => {
      await this.send(message);
      await this.onChange(message);
    });
  }

  async send(message) {
    const { authority, error } = await postJson("/page/authority", message);
    this.show(authority, error);
  }

  show(server, error) {
    this.isRunning = server.running;
    this.isHealthy = server.running && !FAULTS.some((name) => server[name]);
    for (const name of FAULTS) byId(name).setAttribute("aria-checked", String(server[name]));
    // `disabled` would remove the focus.
    for (const id of [...FAULTS, ...ROTATIONS]) byId(id).setAttribute("aria-disabled", String(!server.running));
    const [tone, text] = stateOf(server, error);
    const state = byId("server-state");
    // Screen readers read a live region again whenever its text is set.
    if (state.textContent !== text) state.textContent = text;
    state.className = `state tone-${tone}`;
    byId("keys").textContent = keysOf(server.kids);
  }
}

function stateOf(server, error) {
  if (error) return ["unavailable", error];
  if (!server.running) return ["unavailable", "It does not respond"];
  if (server.down) return ["unavailable", server.slow ? "Down, and slow to respond" : "Down"];
  if (server.slow) return ["unauthorized", "Slow"];
  return ["good", "Running"];
}

function keysOf(kids) {
  if (!kids.length) return "Keys: not known.";
  const signing = `Signs with ${kids[0].slice(0, 8)}…`;
  return kids.length === 1 ? `${signing}, its only key.` : `${signing}; ${kids.length} keys are published.`;
}
