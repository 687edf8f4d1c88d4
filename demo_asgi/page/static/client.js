// Requests as a client sends them: with its token, and with what the token is bound to.

import { post, present } from "./api.js";
import { authorizationOf } from "./words.js";

// How a token of the page is presented, unless the scheme is another one.
export function presentedAs(token, scheme = token.scheme) {
  return { ...token, authorization: authorizationOf(scheme, token.token) };
}

// The answer to a request, with the headers that were sent (`sent`) and the answer before it, if there were two (`before`).
export async function visit(view, client) {
  let answer = await attempt(view, client);
  const nonce = answer.headers.get("DPoP-Nonce");
  if (nonce && answer.status === 401 && client.takes_nonce) {
    answer = { ...(await attempt(view, client, nonce)), before: answer, nonce };
  }
  if (client.replays) answer = { ...(await present(view, answer.sent)), before: answer, sent: answer.sent };
  return answer;
}

async function attempt(view, client, nonce) {
  const sent = await headersOf(view, client, nonce);
  return { ...(await present(view, sent)), sent };
}

// With the scheme DPoP, each request has a proof of its own.
export async function headersOf(view, client, nonce) {
  const headers = {};
  if (client.authorization !== null) headers.Authorization = client.authorization;
  if (provesKey(client)) headers.DPoP = await post("/page/proof", proofForm(view, client, nonce));
  if (client.client_cert) headers["Client-Cert"] = client.client_cert;
  return headers;
}

export const provesKey = ({ authorization }) => /^dpop /i.test(authorization ?? "");

export function proofForm(view, { key, token }, nonce) {
  return { key, method: view.method, uri: view.path, token, ...(nonce ? { nonce } : {}) };
}
