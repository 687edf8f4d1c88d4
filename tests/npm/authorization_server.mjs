// An authorization server that binds its tokens to the clients' keys, and requires a nonce in each proof.
// It prints its issuer as JSON when it is ready. The argument is the clients, as JSON.
// The last segment of a resource is the format of its tokens: `jwt` or `opaque`.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const clients = JSON.parse(process.argv[2]);

const configuration = {
  clients,
  jwks: { keys: [generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })] },
  scopes: ['notes:read'],
  enabledJWA: { dPoPSigningAlgValues: ['ES256', 'Ed25519', 'PS256', 'RS256'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (context, resource) => ({
        scope: 'notes:read',
        audience: resource,
        accessTokenFormat: new URL(resource).pathname.slice(1),
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  server.on('request', new Provider(issuer, configuration).callback());
  console.log(JSON.stringify({ issuer }));
});
