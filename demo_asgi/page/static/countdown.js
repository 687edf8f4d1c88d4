// A WebSocket that ends with its token, and one without a token.

import { call, read, unlessGone } from "./api.js";
import { byId } from "./dom.js";

const ADDRESS = Object.assign(new URL("/countdown", location.href), {
  protocol: location.protocol === "https:" ? "wss:" : "ws:",
});

// The guard's, unless it is configured otherwise.
const EXPIRED = 3000;

export class Countdown {
  constructor() {
    byId("socket-open").addEventListener("click", () => this.unlessBusy(', ["bearer", token]', withToken));
    byId("socket-bare").addEventListener("click", () => this.unlessBusy("", withoutToken));
  }

  async unlessBusy(protocols, action) {
    if (this.isBusy) return;
    this.setBusy(true);
    byId("socket-code").textContent = `new WebSocket("/countdown"${protocols})`;
    byId("socket-left").textContent = "";
    say("quiet", "Opening…");
    await unlessGone(action, () => say("trouble", "The demo does not respond."));
    this.setBusy(false);
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    // Not `disabled`, which would take the focus away.
    for (const id of ["socket-open", "socket-bare"]) byId(id).setAttribute("aria-disabled", String(isBusy));
  }
}

async function withToken() {
  const { token } = await call("/page/short", {});
  const { code } = await connect(["bearer", token], {
    open: () => say("good", "✓ Open: the guard has let the token in."),
    // Not in the live region, which would be read each second.
    message: (event) => (byId("socket-left").textContent = leftOf(Number(event.data))),
  });
  const hasExpired = code === EXPIRED;
  if (hasExpired) byId("socket-left").textContent = leftOf(0);
  say("unknown", `✕ Closed with code ${code}${hasExpired ? ": the token has expired." : "."}`);
}

async function withoutToken() {
  const { code } = await connect([]);
  // To a script, a demo that has gone looks the same.
  await read("/page/status");
  say("unknown", `✕ Refused before the handshake: it never opened. Scripts see only code ${code}; the response was 401.`);
}

// How a WebSocket ends.
function connect(protocols, listeners = {}) {
  return new Promise((done) => {
    const socket = new WebSocket(ADDRESS, protocols);
    for (const [type, listener] of Object.entries(listeners)) socket.addEventListener(type, listener);
    socket.addEventListener("close", done);
  });
}

function say(tone, words) {
  byId("socket-state").className = `chip tone-${tone}`;
  byId("socket-state").textContent = words;
}

const leftOf = (seconds) => `${seconds} ${seconds === 1 ? "second" : "seconds"} left`;
