// What the page asks: the demo's views with tokens, as any client would, and the page's own calls.

export class Gone extends Error {}

const watchers = { gone: [], back: [] };
let isGone = false;

// Tell `watchers` when the demo stops answering, and when it answers again.
export function watch({ gone, back }) {
  watchers.gone.push(gone);
  watchers.back.push(back);
}

export const isAway = () => isGone;

// Listeners are already told that the server is gone, so this error needs no other message than `otherwise`.
export async function unlessGone(action, otherwise = () => {}) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Gone)) throw error;
    otherwise();
  }
}

async function send(path, options) {
  // Outside of what follows: a header field that cannot be is no sign of a server that is gone.
  const request = new Request(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
  let response;
  try {
    response = await fetch(request);
    // A server that stops in the middle of an answer is gone too.
    response = { status: response.status, words: response.statusText, headers: response.headers, body: await response.text() };
  } catch {
    if (!isGone) {
      isGone = true;
      watchers.gone.forEach((tell) => tell());
    }
    throw new Gone("The demo does not respond.");
  }
  if (isGone) {
    isGone = false;
    watchers.back.forEach((tell) => tell());
  }
  return response;
}

export async function read(path) {
  return JSON.parse((await send(path)).body);
}

export async function call(path, message) {
  const response = await send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(message),
  });
  if (response.status !== 200) throw new Error(complaintOf(response));
  return JSON.parse(response.body);
}

// A form, for plain text.
export async function post(path, form) {
  const { status, body } = await send(path, { method: "POST", body: new URLSearchParams(form) });
  if (status !== 200) throw new Error(body);
  return body;
}

function complaintOf({ status, headers, body }) {
  if (headers.get("Content-Type") !== "application/json") return `The demo itself has failed, with status ${status}.`;
  return JSON.parse(body).error;
}

// Requests have names, so that the page can ask why one was refused: no answer tells.
const visit = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
let sent = 0;

export async function present(view, presented) {
  const name = `${visit}-${(sent += 1)}`;
  const headers = { "X-Demo-Request": name, Accept: "application/json", ...presented };
  const response = await send(view.path, { method: view.method, headers });
  return { ...response, name, challenge: response.headers.get("WWW-Authenticate") };
}

export async function reasonsOf(answers) {
  const { reasons } = await call("/page/reasons", { names: answers.map((answer) => answer.name) });
  return reasons;
}
