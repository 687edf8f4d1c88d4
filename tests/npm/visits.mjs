// What each client does at the guarded site, and the result as JSON.
// The argument is JSON with the members `issuer`, `client`, `resource`, `algorithm` and `urls`.
export const options = JSON.parse(process.argv[2]);
export const parameters = { resource: options.resource, scope: 'notes:read' };

let requests = [];

// As fetch(). It remembers the requests and the statuses of their responses.
export async function recordingFetch(url, init) {
  const response = await fetch(url, init);
  requests.push({ url, init, status: response.status });
  return response;
}

async function recorded(action) {
  requests = [];
  const result = await action();
  return { ...result, statuses: requests.map((request) => request.status) };
}

// As an eavesdropper: sends the last request again, with the same proof.
async function replay() {
  const { url, init } = requests.at(-1);
  const response = await fetch(url, init);
  return { challenges: response.headers.get('WWW-Authenticate'), statuses: [response.status] };
}

// What happens at each of the URLs, with a new key and a new token for each.
//
// `newKey()` gives a key. `fetchToken(key)` gives the response of the token endpoint. `visit(url, token, key)` gives
// `{ body }`, or `{ challenges }` as the library parses them. Without `key`, it sends a bearer token.
export async function report({ newKey, fetchToken, visit }) {
  const visits = [];
  for (const url of options.urls) {
    const key = await newKey();
    let token;
    const issued = await recorded(async () => {
      const response = await fetchToken(key);
      token = response.access_token;
      return { type: response.token_type.toLowerCase() };
    });
    const first = await recorded(() => visit(url, token, key));
    const second = await recorded(() => visit(url, token, key));
    const replayed = await replay();
    const otherKey = await recorded(async () => visit(url, token, await newKey()));
    const bearer = await recorded(() => visit(url, token));
    visits.push({ issued, first, second, replayed, otherKey, bearer });
  }
  console.log(JSON.stringify(visits));
}
