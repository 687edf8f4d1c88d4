// The authorization server: its state, its faults, its keys.

import { call, read, unlessGone } from "./api.js";
import { byId } from "./dom.js";

const FAULTS = ["down", "slow"];
const ROTATIONS = ["rotate-keep", "rotate-remove"];
const NOTHING_KNOWN = { running: false, down: false, slow: false, kids: [] };

export class Switches {
  constructor(changed) {
    this.changed = changed;
    this.isRunning = false;
    this.isWell = false;
    for (const name of FAULTS) {
      byId(name).addEventListener("click", () => this.set({ [name]: byId(name).getAttribute("aria-checked") !== "true" }));
    }
    byId("rotate-keep").addEventListener("click", () => this.set({ rotate: "keep" }));
    byId("rotate-remove").addEventListener("click", () => this.set({ rotate: "remove" }));
  }

  async refresh() {
    this.show((await read("/page/status")).authority);
  }

  // The demo, which would know, is gone.
  forget() {
    this.show(NOTHING_KNOWN, "Not known");
  }

  async set(message) {
    if (!this.isRunning) return;
    await unlessGone(async () => {
      await this.send(message);
      await this.changed(message);
    });
  }

  async send(message) {
    const { authority, trouble } = await call("/page/authority", message);
    this.show(authority, trouble);
  }

  show(server, trouble) {
    this.isRunning = server.running;
    this.isWell = server.running && !FAULTS.some((name) => server[name]);
    for (const name of FAULTS) byId(name).setAttribute("aria-checked", String(server[name]));
    // Not `disabled`, which would take the focus away.
    for (const id of [...FAULTS, ...ROTATIONS]) byId(id).setAttribute("aria-disabled", String(!server.running));
    const [tone, words] = stateOf(server, trouble);
    const state = byId("server-state");
    // Said once: a live region that is filled again is read again.
    if (state.textContent !== words) state.textContent = words;
    state.className = `state tone-${tone}`;
    byId("keys").textContent = keysOf(server.kids);
  }
}

function stateOf(server, trouble) {
  if (trouble) return ["trouble", trouble];
  if (!server.running) return ["trouble", "It does not respond at all"];
  if (server.down) return ["trouble", server.slow ? "Down, and slow to respond" : "Down"];
  if (server.slow) return ["unknown", "Slow"];
  return ["good", "Running"];
}

function keysOf(kids) {
  if (!kids.length) return "Keys: not known.";
  const signing = `Signs with ${kids[0].slice(0, 8)}…`;
  return kids.length === 1 ? `${signing}, its only key.` : `${signing}; ${kids.length} keys are published.`;
}
