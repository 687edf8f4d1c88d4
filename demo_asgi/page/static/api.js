// Requests to the demo: to its views, as any client sends them, and to the endpoints of the page.

export class Gone extends Error {}

const listeners = { gone: [], back: [] };
let isGone = false;

// Call `gone` when the demo stops responding, and `back` when it responds again.
export function watch({ gone, back }) {
  listeners.gone.push(gone);
  listeners.back.push(back);
}

export const isDemoGone = () => isGone;

// The listeners already show that the demo is gone, so `otherwise` needs no error message.
export async function unlessGone(action, otherwise = () => {}) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Gone)) throw error;
    otherwise();
  }
}

async function send(path, options) {
  // Outside of `try`: an invalid header field does not mean that the demo is gone.
  const request = new Request(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
  let response;
  try {
    response = await fetch(request);
    // A server that stops in the middle of a response is gone too.
    response = { status: response.status, statusText: response.statusText, headers: response.headers, body: await response.text() };
  } catch {
    if (!isGone) {
      isGone = true;
      listeners.gone.forEach((listener) => listener());
    }
    throw new Gone("The demo does not respond.");
  }
  if (isGone) {
    isGone = false;
    listeners.back.forEach((listener) => listener());
  }
  return response;
}

export async function getJson(path) {
  return JSON.parse((await send(path)).body);
}

export async function postJson(path, message) {
  const response = await send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(message),
  });
  if (response.status !== 200) throw new Error(errorText(response));
  return JSON.parse(response.body);
}

// Send a form, and return the plain text of the response.
export async function postForm(path, form) {
  const { status, body } = await send(path, { method: "POST", body: new URLSearchParams(form) });
  if (status !== 200) throw new Error(body);
  return body;
}

function errorText({ status, headers, body }) {
  if (headers.get("Content-Type") !== "application/json") return `The demo failed with status ${status}.`;
  return JSON.parse(body).error;
}

// Requests have names, so that the page can look up why one was refused. The response does not contain the reason.
const pageId = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
let sent = 0;

export async function requestView(view, ownHeaders) {
  const name = `${pageId}-${(sent += 1)}`;
  const headers = { "X-Demo-Request": name, Accept: "application/json", ...ownHeaders };
  const response = await send(view.path, { method: view.method, headers });
  return { ...response, name, challenge: response.headers.get("WWW-Authenticate") };
}

export async function reasonsOf(responses) {
  const { reasons } = await postJson("/page/reasons", { names: responses.map((response) => response.name) });
  return reasons;
}
