// A client that makes its own requests, and uses `dpop` for the proofs only.
import * as dpop from 'dpop';
import { options, parameters, recordingFetch, report } from './visits.mjs';

const { issuer, client, algorithm } = options;

// Sends the request. If the server requires a nonce, sends it again with the nonce. `key.nonces` has one for each origin.
async function send(url, { method, headers, body }, key, token) {
  const { origin, pathname } = new URL(url);
  for (let attempt = 1; ; attempt += 1) {
    const proof = await dpop.generateProof(key, origin + pathname, method, key.nonces[origin], token);
    const response = await recordingFetch(url, { method, headers: { ...headers, DPoP: proof }, body });
    key.nonces[origin] = response.headers.get('DPoP-Nonce') ?? key.nonces[origin];
    if (attempt === 2 || !(await requiresNonce(response.clone()))) return response;
  }
}

async function requiresNonce(response) {
  if (response.status === 400) return (await response.json()).error === 'use_dpop_nonce';
  return response.status === 401 && response.headers.get('WWW-Authenticate').includes('error="use_dpop_nonce"');
}

async function newKey() {
  return { ...(await dpop.generateKeyPair(algorithm)), nonces: {} };
}

async function fetchToken(key) {
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  const body = new URLSearchParams({ grant_type: 'client_credentials', ...parameters });
  const headers = { Authorization: `Basic ${btoa(`${client.client_id}:${client.client_secret}`)}` };
  const response = await send(metadata.token_endpoint, { method: 'POST', headers, body }, key);
  return response.json();
}

async function visit(url, token, key) {
  const request = { method: 'GET', headers: { Authorization: `${key ? 'DPoP' : 'Bearer'} ${token}` } };
  const response = key ? await send(url, request, key, token) : await recordingFetch(url, request);
  if (response.ok) return { body: await response.json() };
  return { challenges: response.headers.get('WWW-Authenticate') };
}

await report({ newKey, fetchToken, visit });
