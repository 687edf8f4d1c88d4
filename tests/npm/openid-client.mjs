// A client that leaves everything to the library, also the nonces.
import * as client from 'openid-client';
import { options, parameters, recordingFetch, report } from './visits.mjs';

const { client_id: id, client_secret: secret } = options.client;
const configuration = await client.discovery(
  new URL(options.issuer), id, undefined, client.ClientSecretBasic(secret), { execute: [client.allowInsecureRequests] },
);
configuration[client.customFetch] = recordingFetch;

async function newKey() {
  return client.getDPoPHandle(configuration, await client.randomDPoPKeyPair(options.algorithm));
}

function fetchToken(key) {
  return client.clientCredentialsGrant(configuration, parameters, { DPoP: key });
}

async function visit(url, token, key) {
  try {
    const response = await client.fetchProtectedResource(
      configuration, token, new URL(url), 'GET', undefined, undefined, { DPoP: key },
    );
    return { body: await response.json() };
  } catch (error) {
    if (error instanceof client.WWWAuthenticateChallengeError) return { challenges: error.cause };
    throw error;
  }
}

await report({ newKey, fetchToken, visit });
