// A WebSocket that ends with its token, and one without a token.

import { getJson, postJson, unlessGone } from "./api.js";
import { byId } from "./dom.js";

const ADDRESS = Object.assign(new URL("/countdown", location.href), {
  protocol: location.protocol === "https:" ? "wss:" : "ws:",
});

// The guard's default close code for an expired token.
const EXPIRED = 3000;

export class Countdown {
  constructor() {
    byId("socket-open").addEventListener("click", () => this.runAlone(', ["bearer", token]', withToken));
    byId("socket-bare").addEventListener("click", () => this.runAlone("", withoutToken));
  }

  async runAlone(protocols, action) {
    if (this.isBusy) return;
    this.setBusy(true);
    byId("socket-code").textContent = `new WebSocket("/countdown"${protocols})`;
    byId("socket-left").textContent = "";
    setState("muted", "Opening…");
    await unlessGone(action, () => setState("unavailable", "The demo does not respond."));
    this.setBusy(false);
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    // `disabled` would remove the focus.
    for (const id of ["socket-open", "socket-bare"]) byId(id).setAttribute("aria-disabled", String(isBusy));
  }
}

async function withToken() {
  const { token } = await postJson("/page/short", {});
  const { code } = await connect(["bearer", token], {
    open: () => setState("good", "✓ Open: the guard has accepted the token."),
    // Outside the live region, because screen readers would read it each second.
    message: (event) => (byId("socket-left").textContent = leftOf(Number(event.data))),
  });
  const hasExpired = code === EXPIRED;
  if (hasExpired) byId("socket-left").textContent = leftOf(0);
  setState("unauthorized", `✕ Closed with code ${code}${hasExpired ? ": the token has expired." : "."}`);
}

async function withoutToken() {
  const { code } = await connect([]);
  // A script cannot tell a refusal from a demo that has stopped, so check that the demo responds.
  await getJson("/page/status");
  setState("unauthorized", `✕ Refused before the handshake with status 401. Scripts see only the code ${code}.`);
}

// Open a WebSocket, and wait until it is closed.
function connect(protocols, listeners = {}) {
  return new Promise((resolve) => {
    const socket = new WebSocket(ADDRESS, protocols);
    for (const [type, listener] of Object.entries(listeners)) socket.addEventListener(type, listener);
    socket.addEventListener("close", resolve);
  });
}

function setState(tone, text) {
  byId("socket-state").className = `chip tone-${tone}`;
  byId("socket-state").textContent = text;
}

const leftOf = (seconds) => `${seconds} ${seconds === 1 ? "second" : "seconds"} left`;
