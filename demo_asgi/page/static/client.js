// Clients: they present a token, and the key or certificate that it is bound to.

import { postForm, requestView } from "./api.js";
import { authorizationOf } from "./labels.js";

// The client of a token. It uses the token's scheme unless you name another one.
export function clientOf(token, scheme = token.scheme) {
  return { ...token, authorization: authorizationOf(scheme, token.token) };
}

// Return the response with the headers that were sent (`sent`) and, after two requests, the first response (`first`).
export async function sendAs(client, view) {
  let response = await attempt(client, view);
  const nonce = response.headers.get("DPoP-Nonce");
  if (nonce && response.status === 401 && client.uses_nonce) {
    response = { ...(await attempt(client, view, nonce)), first: response, nonce };
  }
  if (client.replays) response = { ...(await requestView(view, response.sent)), first: response, sent: response.sent };
  return response;
}

async function attempt(client, view, nonce) {
  const sent = await headersOf(client, view, nonce);
  return { ...(await requestView(view, sent)), sent };
}

// With the scheme DPoP, each request has a new proof.
export async function headersOf(client, view, nonce) {
  const headers = {};
  if (client.authorization !== null) headers.Authorization = client.authorization;
  if (usesDPoP(client)) headers.DPoP = await postForm("/page/proof", proofForm(client, view, nonce));
  if (client.client_cert) headers["Client-Cert"] = client.client_cert;
  return headers;
}

export const usesDPoP = ({ authorization }) => /^dpop /i.test(authorization ?? "");

export function proofForm({ key, token }, view, nonce) {
  return { key, method: view.method, uri: view.path, token, ...(nonce ? { nonce } : {}) };
}
