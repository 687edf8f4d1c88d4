"""The authorization server of the demo, over HTTP."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

from async_oauth_guard.protocol.certificates import thumbprint
from async_oauth_guard.testing import DPoPKey
from demo_asgi.authority.clients import (
    CLIENT_CREDENTIALS,
    JWT_APP,
    NAMED_USER,
    OPAQUE_APP,
    RESOURCE,
    RESOURCE_SERVER,
    DemoClient,
)
from demo_asgi.processes import STOP_AT_EOF, ServerStartError, running
from tests.certificates import WRITERS, der
from tests.demo.processes import DEADLINE, ROOT, forked_authority
from tests.forks import Forks


class Client:
    """Sends requests to the authorization server as one of its clients, or without authentication."""

    def __init__(self, http: httpx.Client, identity: DemoClient | None = None) -> None:
        self.http = http
        self.auth = None if identity is None else (identity.client_id, identity.client_secret)

    def post(self, path: str, **form: str) -> httpx.Response:
        if self.auth is None:
            return self.http.post(path, data=form)
        return self.http.post(path, data=form, auth=self.auth)

    def token(self, **form: str) -> str:
        response = self.post("/token", **form)
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    def key_set(self) -> KeySet:
        return KeySet.import_key_set(self.http.get("/jwks").json())


@pytest.fixture(scope="module")
def http(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        forked_authority(forks, tmp_path_factory.mktemp("authority")) as origin,
        httpx.Client(base_url=origin, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def jwt_app(http: httpx.Client) -> Client:
    return Client(http, JWT_APP)


@pytest.fixture
def opaque_app(http: httpx.Client) -> Client:
    return Client(http, OPAQUE_APP)


@pytest.fixture
def resource_server(http: httpx.Client) -> Client:
    return Client(http, RESOURCE_SERVER)


def test_metadata_names_the_issuer_and_its_endpoints(http: httpx.Client) -> None:
    """RFC 8414: the issuer is the address of the request, and every endpoint that the metadata names exists."""
    metadata = AuthorizationServerMetadata(http.get("/.well-known/oauth-authorization-server").json())
    metadata.validate_issuer()
    assert metadata["issuer"] == str(http.base_url).rstrip("/")
    endpoints = {name: address for name, address in metadata.items() if name.endswith(("_endpoint", "_uri"))}
    assert {name: http.get(address).status_code for name, address in endpoints.items()} == {
        "token_endpoint": 405,
        "introspection_endpoint": 405,
        "revocation_endpoint": 405,
        "jwks_uri": 200,
    }


def test_jwt_has_what_rfc_9068_requires(http: httpx.Client, jwt_app: Client) -> None:
    """The type, key and claims of a JWT for a resource owner."""
    access_token = jwt_app.token(grant_type=NAMED_USER, username="alice", scope="profile")
    token = jwt.decode(access_token, jwt_app.key_set(), algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"
    claims = dict(token.claims)
    assert claims.pop("exp") - claims.pop("iat") == 3600
    assert len(claims.pop("jti")) == 16
    assert claims == {
        "iss": str(http.base_url).rstrip("/"),
        "aud": RESOURCE,
        "sub": "alice",
        "client_id": JWT_APP.client_id,
        "scope": "profile",
    }


def test_client_that_acts_for_itself_is_the_subject(jwt_app: Client, opaque_app: Client) -> None:
    """RFC 9068 §2.2: without a resource owner, `sub` is the client. Without `scope`, the client gets all its scopes."""
    token = jwt.decode(jwt_app.token(grant_type=CLIENT_CREDENTIALS), jwt_app.key_set(), algorithms=["ES256"])
    assert token.claims["sub"] == JWT_APP.client_id
    assert token.claims["scope"] == JWT_APP.scope
    assert "." not in opaque_app.token(grant_type=CLIENT_CREDENTIALS)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": NAMED_USER, "username": "nobody"}, "invalid_grant"),
        ({"grant_type": NAMED_USER}, "invalid_grant"),
        ({"grant_type": NAMED_USER, "username": "alice", "scope": "admin"}, "invalid_scope"),
        ({"grant_type": CLIENT_CREDENTIALS, "scope": "profile admin"}, "invalid_scope"),
        ({"grant_type": "password", "username": "alice", "password": "secret"}, "unsupported_grant_type"),
    ],
)
def test_invalid_token_requests_are_refused(jwt_app: Client, form: dict[str, str], error: str) -> None:
    """Unknown users, other scopes and other grants get no token."""
    response = jwt_app.post("/token", **form)
    assert (response.status_code, response.json()["error"]) == (400, error)


@pytest.mark.parametrize("grant_type", [CLIENT_CREDENTIALS, NAMED_USER])
def test_resource_server_gets_no_tokens(resource_server: Client, grant_type: str) -> None:
    """Its credentials are for introspection only."""
    response = resource_server.post("/token", grant_type=grant_type, username="alice")
    assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
def test_clients_must_authenticate(http: httpx.Client, path: str) -> None:
    """Requests without the right secret are refused."""
    form = {"grant_type": CLIENT_CREDENTIALS, "token": "some-token"}
    refusals = [
        http.post(path, data=form),
        http.post(path, data=form, auth=(JWT_APP.client_id, "guess")),
        http.post(path, data=form, auth=("nobody", "guess")),
        http.post(path, data=form | {"client_id": JWT_APP.client_id, "client_secret": JWT_APP.client_secret}),
    ]
    assert [(response.status_code, response.json()["error"]) for response in refusals] == [(401, "invalid_client")] * 4


TOKEN = {"grant_type": NAMED_USER, "username": "alice", "scope": "profile"}


def test_a_token_is_bound_to_what_its_client_presents(http: httpx.Client, jwt_app: Client) -> None:
    """RFC 9449 §5 and RFC 8705 §3: to the key of a proof, or to a certificate. Otherwise it is not bound."""
    key = DPoPKey()
    shown = [
        ({"DPoP": key.proof("POST", f"{str(http.base_url).rstrip('/')}/token")}, "DPoP", key.confirmation),
        ({"Client-Cert": WRITERS["rfc9440"]("client")}, "Bearer", {"x5t#S256": thumbprint(der())}),
        ({}, "Bearer", None),
    ]
    for headers, token_type, confirmation in shown:
        document = http.post("/token", data=TOKEN, auth=jwt_app.auth, headers=headers).json()
        claims = jwt.decode(document["access_token"], jwt_app.key_set(), algorithms=["ES256"]).claims
        assert (document["token_type"], claims.get("cnf")) == (token_type, confirmation)


def test_introspection_returns_the_confirmation(
    http: httpx.Client, opaque_app: Client, resource_server: Client
) -> None:
    """An opaque token is bound in the same way."""
    headers = {"Client-Cert": WRITERS["rfc9440"]("client")}
    token = http.post("/token", data=TOKEN, auth=opaque_app.auth, headers=headers).json()["access_token"]
    assert resource_server.post("/introspect", token=token).json()["cnf"] == {"x5t#S256": thumbprint(der())}


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"DPoP": "no proof"}, "invalid_dpop_proof"),
        ({"DPoP": DPoPKey().proof("POST", "https://elsewhere.example/token")}, "invalid_dpop_proof"),
        ({"Client-Cert": ":bm8gY2VydGlmaWNhdGU=:"}, "invalid_request"),
    ],
)
def test_an_invalid_proof_or_certificate_gets_no_token(
    http: httpx.Client, jwt_app: Client, headers: dict[str, str], error: str
) -> None:
    """A proof for another request is refused, and so is an invalid certificate."""
    response = http.post("/token", data=TOKEN, auth=jwt_app.auth, headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_a_token_says_how_its_user_logged_in(jwt_app: Client) -> None:
    """The client names the login in its request, because there is no login page."""
    token = jwt_app.token(**TOKEN, login_age="60", acr="mfa")
    claims = jwt.decode(token, jwt_app.key_set(), algorithms=["ES256"]).claims
    assert (claims["acr"], claims["iat"] - claims["auth_time"] - 60 in (0, 1)) == ("mfa", True)
    assert "auth_time" not in jwt.decode(jwt_app.token(**TOKEN), jwt_app.key_set(), algorithms=["ES256"]).claims


def test_introspection_by_the_resource_server(http: httpx.Client, opaque_app: Client, resource_server: Client) -> None:
    """RFC 7662 §2.2: all claims of the token."""
    access_token = opaque_app.token(grant_type=NAMED_USER, username="alice", scope="profile")
    introspected = resource_server.post("/introspect", token=access_token).json()
    assert introspected.pop("exp") - introspected.pop("iat") == 3600
    assert introspected == {
        "active": True,
        "iss": str(http.base_url).rstrip("/"),
        "aud": RESOURCE,
        "sub": "alice",
        "username": "alice",
        "client_id": OPAQUE_APP.client_id,
        "scope": "profile",
        "token_type": "Bearer",
    }


def test_introspection_by_other_clients(opaque_app: Client, resource_server: Client) -> None:
    """RFC 7662 §2.2: a client that may not introspect a token gets the response for an unknown token."""
    access_token = opaque_app.token(grant_type=CLIENT_CREDENTIALS)
    assert opaque_app.post("/introspect", token=access_token).json() == {"active": False}
    assert resource_server.post("/introspect", token="nobody-issued-this").json() == {"active": False}


def test_revoked_token_is_not_active(opaque_app: Client, jwt_app: Client, resource_server: Client) -> None:
    """RFC 7009, for opaque tokens and JWTs. Revoking an unknown token succeeds."""
    for client in (opaque_app, jwt_app):
        access_token = client.token(grant_type=CLIENT_CREDENTIALS)
        assert client.post("/revoke", token=access_token).status_code == 200
        assert resource_server.post("/introspect", token=access_token).json() == {"active": False}
        assert client.post("/revoke", token="nobody-issued-this").status_code == 200


def test_only_its_own_client_revokes_a_token(opaque_app: Client, jwt_app: Client, resource_server: Client) -> None:
    """RFC 7009 §2.1: the server checks that the token was issued to the client."""
    access_token = opaque_app.token(grant_type=CLIENT_CREDENTIALS)
    assert jwt_app.post("/revoke", token=access_token).json()["error"] == "invalid_grant"
    assert resource_server.post("/introspect", token=access_token).json()["active"] is True


def test_rotation_keeps_or_removes_old_keys(http: httpx.Client, jwt_app: Client) -> None:
    """The newest key signs. Older keys are published while they are kept. Private keys are never published."""
    first = jwt_app.token(grant_type=CLIENT_CREDENTIALS)
    kept = http.post("/rotate", data={"old": "keep"}).json()["kid"]
    second = jwt_app.token(grant_type=CLIENT_CREDENTIALS)
    keys = jwt_app.key_set()
    assert jwt.decode(second, keys, algorithms=["ES256"]).header["kid"] == kept
    assert jwt.decode(first, keys, algorithms=["ES256"]).header["kid"] != kept
    http.post("/rotate", data={"old": "remove"})
    (published,) = http.get("/jwks").json()["keys"]
    assert sorted(published) == ["alg", "crv", "kid", "kty", "use", "x", "y"]
    with pytest.raises(InvalidKeyIdError):
        jwt.decode(second, jwt_app.key_set(), algorithms=["ES256"])


@pytest.mark.parametrize("form", [{}, {"old": "perhaps"}])
def test_rotation_requires_a_choice(http: httpx.Client, form: dict[str, str]) -> None:
    """There is no default for the old keys."""
    response = http.post("/rotate", data=form)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("headers", [{"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}])
@pytest.mark.parametrize(
    ("path", "form"), [("/rotate", {"old": "keep"}), ("/faults", {"down": "on"}), ("/invalid-jwts", {})]
)
def test_browsers_cannot_use_the_switches(
    http: httpx.Client, path: str, form: dict[str, str], headers: dict[str, str]
) -> None:
    """Endpoints without client authentication refuse browsers, because any page can make a browser send a form."""
    assert http.post(path, data=form, headers=headers).status_code == 403
    assert http.get("/faults", headers=headers).json()["down"] is False


def test_tokens_and_keys_outlive_a_restart(forks: Forks, tmp_path: Path) -> None:
    """A second process with the same file knows the tokens and keys of the first one."""
    with (
        forked_authority(forks, tmp_path) as origin,
        httpx.Client(base_url=origin, trust_env=False) as http,
    ):
        access_token = Client(http, OPAQUE_APP).token(grant_type=CLIENT_CREDENTIALS)
        keys = http.get("/jwks").json()
    with (
        forked_authority(forks, tmp_path) as origin,
        httpx.Client(base_url=origin, trust_env=False) as http,
    ):
        assert Client(http, RESOURCE_SERVER).post("/introspect", token=access_token).json()["active"] is True
        assert http.get("/jwks").json() == keys


def test_it_ends_with_its_input(tmp_path: Path) -> None:
    """If the parent process is killed, the pipe closes, and the server exits without an error."""
    state = str(tmp_path / "it.json")
    command = [sys.executable, "-m", "demo_asgi.authority", STOP_AT_EOF, "--port", "0", "--state", state]
    result = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_server_that_does_not_start_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The process prints the reason in one line."""
    state = tmp_path / "missing" / "authority.json"
    with (
        pytest.raises(ServerStartError),
        running("demo_asgi.authority", "--port", "0", "--state", str(state)),
    ):
        pass
    assert capfd.readouterr().err.count("\n") == 1
