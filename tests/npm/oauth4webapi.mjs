// A client that asks the site for its authorization server, and sends a request again itself if a nonce is required.
import * as oauth from 'oauth4webapi';
import { options, recordingFetch, report } from './visits.mjs';

const client = { client_id: options.client.client_id };
const authentication = oauth.ClientSecretBasic(options.client.client_secret);
const insecure = { [oauth.allowInsecureRequests]: true };
const transport = { [oauth.customFetch]: recordingFetch, ...insecure };

async function discover() {
  const resource = new URL(options.resource);
  const found = await oauth.resourceDiscoveryRequest(resource, insecure);
  const metadata = await oauth.processResourceDiscoveryResponse(resource, found);
  const issuer = new URL(metadata.authorization_servers[0]);
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  return { server, resource: metadata.resource, scope: metadata.scopes_supported.join(' ') };
}

async function withNonce(request) {
  try {
    return await request();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return request();
  }
}

async function newKey() {
  return oauth.DPoP(client, await oauth.generateKeyPair(options.algorithm));
}

async function fetchToken(key) {
  const { server, ...parameters } = await discover();
  return withNonce(async () => {
    const response = await oauth.clientCredentialsGrantRequest(
      server, client, authentication, new URLSearchParams(parameters), { DPoP: key, ...transport },
    );
    return oauth.processClientCredentialsResponse(server, client, response);
  });
}

async function visit(url, token, key) {
  const request = () => oauth.protectedResourceRequest(
    token, 'GET', new URL(url), undefined, undefined, { DPoP: key, ...transport },
  );
  try {
    return { body: await (await withNonce(request)).json() };
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) return { challenges: error.cause };
    throw error;
  }
}

await report({ newKey, fetchToken, visit });
