"""The fake authorization server: what it issues and answers, how it is entered and left, its clock and its record."""

import asyncio
import base64
import contextlib
import errno
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from django.test.utils import _TestState
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

from async_oauth_guard import (
    BearerTokenValidator,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
    TokenValidator,
)
from async_oauth_guard.runtime import http
from async_oauth_guard.testing import (
    Call,
    FakeAuthorizationServer,
    Fault,
    ServerClock,
    ServerRequest,
    ServerResponse,
    SigningKey,
)
from async_oauth_guard.testing.server import tokens
from async_oauth_guard.validators.clock import CLOCK
from tests.kit.guarded_sites import AUDIENCE, CLIENTS, ISSUER, SECRET, introspecting, site, verifying
from tests.sites import MODES

sync_and_async = pytest.mark.parametrize("mode", MODES)


def fake(*args: Any, **options: Any) -> FakeAuthorizationServer:
    """With a key that is made in no time."""
    return FakeAuthorizationServer(*args, **({"algorithm": "ES256"} | options))


def ask(url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """The answer of a server in this process, asked as the guard asks it."""
    make_client = http.TRANSPORT_OVERRIDES["/".join(url.split("/")[:3])]

    async def send() -> httpx.Response:
        async with make_client() as client:
            if form is None:
                return await client.get(url, headers=headers)
            return await client.post(url, data=form, headers=headers)

    return asyncio.run(send())


def ask_port(
    url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """The answer of a server on a port."""
    with httpx.Client(trust_env=False) as client:
        return client.get(url, headers=headers) if form is None else client.post(url, data=form, headers=headers)


def basic(client: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


def parts_of(token: str) -> list[Any]:
    """The header and the claims of a JWT, unverified."""
    padded = [part + "=" * (-len(part) % 4) for part in token.split(".")[:2]]
    return [json.loads(base64.urlsafe_b64decode(part)) for part in padded]


# --- tokens ----------------------------------------------------------------------------------------------------------


@sync_and_async
def test_jwts_are_let_in(mode: str) -> None:
    """A JWT is let in by the validators that the site has for that issuer, as they are."""
    with FakeAuthorizationServer() as server, site(mode, verifying()) as guarded:
        assert guarded.outcome(server.jwt("profile email")) == (200, None)
        assert guarded.outcome(server.jwt("email")) == (403, Reason.INSUFFICIENT_SCOPE)


@sync_and_async
def test_opaque_tokens_are_let_in(mode: str) -> None:
    """An opaque token is let in too. A token that the server did not issue is refused."""
    with fake(clients=CLIENTS) as server, site(mode, introspecting()) as guarded:
        assert guarded.outcome(server.opaque(["profile", "email"])) == (200, None)
        assert guarded.outcome(server.opaque("email")) == (403, Reason.INSUFFICIENT_SCOPE)
        assert guarded.outcome("nobody-issued-this") == (401, Reason.INACTIVE_TOKEN)


@pytest.mark.parametrize("algorithm", tokens.ALGORITHMS)
def test_algorithms(algorithm: str) -> None:
    """Whatever algorithm the guard knows may sign."""
    with FakeAuthorizationServer(algorithm=algorithm) as server, site("def", verifying()) as guarded:
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        assert parts_of(server.jwt())[0]["alg"] == algorithm


def test_several_algorithms() -> None:
    """The first of several algorithms signs, unless the call that issues a token names another."""
    with FakeAuthorizationServer(algorithm=["ES256", "EdDSA"]) as server, site("def", verifying()) as guarded:
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        assert guarded.outcome(server.jwt("profile", algorithm="EdDSA")) == (200, None)
        with pytest.raises(ValueError, match=r"write FakeAuthorizationServer\(algorithm=\['ES256', 'EdDSA', 'RS256'\]"):
            server.jwt(algorithm="RS256")


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"expires_in": -60}, Reason.EXPIRED),
        ({"expires_in": None}, Reason.MISSING_CLAIM),
        ({"audience": "https://other.example.test"}, Reason.WRONG_AUDIENCE),
        ({"audience": ["https://other.example.test", AUDIENCE]}, None),
        ({"claims": {"jti": None}}, Reason.MISSING_CLAIM),
        ({"claims": {"nbf": 9_999_999_999}}, Reason.NOT_YET_VALID),
        ({"claims": {"iss": "https://other.example.test"}}, Reason.WRONG_ISSUER),
        ({"claims": {"cnf": {"jkt": "x"}}}, Reason.SENDER_CONSTRAINED),
        ({"claims": {"exp": "soon"}}, Reason.MALFORMED_CLAIM),
        ({"header": {"typ": "JWT"}}, Reason.WRONG_TYPE),
        ({"header": {"typ": None}}, Reason.WRONG_TYPE),
        ({"header": {"alg": "none"}}, Reason.UNSUPPORTED_ALGORITHM),
        ({"header": {"kid": "other"}}, Reason.UNKNOWN_KEY),
        ({"header": {"kid": None}}, None),
        ({"header": {"crit": ["x"], "x": 1}}, Reason.CRITICAL_HEADER),
        ({"algorithm": "none"}, Reason.UNSUPPORTED_ALGORITHM),
        ({"algorithm": "none", "header": {"alg": "ES256"}}, Reason.MALFORMED_JWT),
        ({"key": "a secret of others", "header": {"alg": "ES256", "kid": "key-1"}}, Reason.BAD_SIGNATURE),
        ({"key": b"a secret of others"}, Reason.UNSUPPORTED_ALGORITHM),
        ({"key": ECKey.generate_key("P-256", {"kid": "key-1"})}, Reason.BAD_SIGNATURE),
        ({"key": ECKey.generate_key("P-256", {"alg": "ES256", "kid": "of-others"})}, Reason.UNKNOWN_KEY),
    ],
    ids=str,
)
def test_shapes(shape: dict[str, Any], reason: Reason | None) -> None:
    """A JWT may have any shape, and is refused for just what is wrong with it."""
    with fake() as server, site("def", verifying()) as guarded:
        assert guarded.outcome(server.jwt("profile", **shape)) == (401 if reason else 200, reason)


def test_foreign_keys() -> None:
    """A foreign key has the name of the server's own, and signs for nobody; nor does one of another server."""
    with fake() as server, site("def", verifying()) as guarded, fake("https://other.example.test") as other:
        assert guarded.outcome(server.jwt("profile", key=server.foreign_key())) == (401, Reason.BAD_SIGNATURE)
        assert guarded.outcome(other.jwt("profile", claims={"iss": ISSUER})) == (401, Reason.BAD_SIGNATURE)
        assert repr(server.foreign_key()) == "SigningKey(kid='key-1', algorithm='ES256')"


def test_shared_secrets() -> None:
    """A key that the site was handed over may sign as well: a secret too."""
    secret = OctKey.import_key("only for tests, and as long as it has to be")
    with fake() as server, site("def", verifying(jwks=secret)) as guarded:
        assert guarded.outcome(server.jwt("profile", key=secret)) == (200, None)
        assert guarded.outcome(server.jwt("profile", key="only for tests, and as long as it has to be")) == (200, None)
        assert guarded.outcome(server.jwt("profile", key="another one")) == (401, Reason.BAD_SIGNATURE)


def test_published_keys() -> None:
    """The key set is at hand, without private parts, for validators that are given their keys."""
    with FakeAuthorizationServer() as server, site("def", verifying(jwks=server.jwks)) as guarded:
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        assert server.calls == []
        (key,) = server.jwks["keys"]
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}


def test_claims() -> None:
    """Without a user or a subject it is a client's own token; the claims are those of RFC 9068."""
    with fake(audience=["a", "b"]) as server:
        header, claims = parts_of(server.jwt({"b", "a"}, client_id="robot", claims={"groups": ["x"]}))
        assert header == {"typ": "at+jwt", "alg": "ES256", "kid": "key-1"}
        assert claims.pop("exp") - claims["iat"] == 3600
        assert claims.pop("iat") == int(server.clock.now())
        assert claims == {
            "iss": ISSUER,
            "sub": "robot",
            "aud": ["a", "b"],
            "client_id": "robot",
            "scope": "a b",
            "jti": "token-1",
            "groups": ["x"],
        }


@pytest.mark.parametrize(
    ("who", "subject", "username"),
    [
        ({"user": "alice"}, "alice", "alice"),
        ({"user": User(username="alice")}, "alice", "alice"),
        ({"subject": "s-1"}, "s-1", None),
        ({"user": "alice", "subject": "s-1"}, "s-1", "alice"),
    ],
    ids=str,
)
def test_users(who: dict[str, Any], subject: str, username: str | None) -> None:
    """A token speaks for a user of the site, for a name, or for a subject."""
    with fake() as server:
        claims = parts_of(server.jwt(**who))[1]
        assert (claims["sub"], claims.get("username")) == (subject, username)
        assert server.jwt(**who) != server.jwt(**who)


@pytest.mark.parametrize("method", ["jwt", "opaque"])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"scopes": 1}, TypeError, r"scopes must be 'profile email' or \['profile', 'email'\], got int"),
        ({"scopes": b"profile"}, TypeError, "scopes must be .*, got bytes"),
        ({"scopes": ["profile", 1]}, TypeError, "scopes must be .*, got list"),
        ({"scopes": {"profile": True}}, TypeError, "scopes must be .*, got dict"),
        ({"user": 5}, TypeError, "user must be a Django user or a user name, got int; leave it out for no user"),
        ({"user": AnonymousUser()}, TypeError, "user must be .*, got AnonymousUser; leave it out for no user"),
        ({"user": User}, TypeError, "user must be .*, got the class User"),
        ({"user": User.objects.none()}, TypeError, "user must be .*, got QuerySet"),
        ({"subject": 5}, TypeError, r"subject must be a string such as str\(user\.pk\), got int; .* into claims="),
        ({"client_id": 5}, TypeError, "client_id must be a string such as 'reports', got int"),
        ({"audience": 5}, TypeError, "audience must be a string or a list of strings, got int"),
        ({"audience": ["a", 5]}, TypeError, "audience must be a string or a list of strings, got list"),
        ({"expires_in": "x"}, TypeError, "expires_in must be seconds or None, got str"),
        ({"expires_in": True}, TypeError, "expires_in must be seconds or None, got bool"),
        ({"expires_in": timedelta(minutes=1)}, TypeError, "expires_in must be seconds or None, got timedelta"),
        ({"expires_in": float("inf")}, ValueError, "expires_in must be seconds or None, got inf"),
        ({"claims": ["x"]}, TypeError, "claims must be a mapping, such as {'name': 'value'}, got list"),
        ({"claims": {"at": date(2001, 1, 1)}}, TypeError, "claims must have values that JSON can hold: .* date"),
    ],
)
def test_arguments_of_tokens(method: str, given: dict[str, Any], error: type[Exception], message: str) -> None:
    """An argument of a token that cannot work is an error that says what to write, for tokens of either form."""
    with fake() as server, pytest.raises(error, match=f"^{message}"):
        getattr(server, method)(**given)


SECRET_KEY = OctKey.import_key("only for tests, and as long as it has to be")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"header": [1]}, TypeError, "header must be a mapping, such as {'name': 'value'}, got list"),
        ({"header": {"x": {1}}}, TypeError, "header must have values that JSON can hold: .* set"),
        ({"key": object()}, TypeError, r"key must be server\.foreign_key\(\), a joserfc key, or a secret, got object"),
        ({"key": ECKey}, TypeError, "key must be .*, got the class ECKey"),
        ({"key": {"kty": "oct"}}, TypeError, "key must be .*, got dict"),
        (
            {"key": "s", "algorithm": "RS256"},
            ValueError,
            "algorithm of that key must be one of HS256, HS384, HS512, none, got 'RS256'",
        ),
        (
            {"key": SECRET_KEY, "algorithm": "ES256"},
            ValueError,
            "algorithm of that key must be one of HS256, .*, got 'ES256'",
        ),
        (
            {"key": ECKey.generate_key("P-256"), "algorithm": "HS256"},
            ValueError,
            "algorithm of that key must be one of ES256",
        ),
        ({"algorithm": "HS256"}, ValueError, "algorithm: HS256 signs with a secret; write key='the secret' too"),
        ({"algorithm": "RS999"}, ValueError, "algorithm must be one of RS256, .*, none, got 'RS999'"),
        ({"algorithm": "es256"}, ValueError, "algorithm must be one of .*, got 'es256'; did you mean 'ES256'"),
        ({"algorithm": ["ES256"]}, ValueError, r"algorithm must be one of RS256, .*, got \['ES256'\]"),
        ({"algorithm": 5, "key": "s"}, ValueError, "algorithm must be one of RS256, .*, got 5"),
    ],
)
def test_arguments_of_jwts(given: dict[str, Any], error: type[Exception], message: str) -> None:
    """So is one that only a JWT has; no secret is repeated."""
    with fake() as server, pytest.raises(error, match=f"^{message}") as caught:
        server.jwt(**given)
    assert "only for tests" not in str(caught.value)


def test_algorithm_of_a_foreign_key() -> None:
    """A foreign key signs as keys of its kind do, or not at all."""
    with fake() as server:
        assert parts_of(server.jwt(key=server.foreign_key(), algorithm="ES384"))[0]["alg"] == "ES384"
        assert server.jwt(key=server.foreign_key(), algorithm="none").endswith(".")
        assert server.jwt(key="a secret", algorithm="none").endswith(".")
        with pytest.raises(
            ValueError, match="algorithm of that key must be one of ES256, ES384, ES512, none, got 'RS256'"
        ):
            server.jwt(key=server.foreign_key(), algorithm="RS256")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        ("a secret", "HS256"),
        (SECRET_KEY, "HS256"),
        (ECKey.generate_key("P-384"), "ES384"),
        (ECKey.generate_key("secp256k1"), "ES256"),
        (ECKey.generate_key("P-256", {"alg": "ES512"}), "ES512"),
        (OKPKey.generate_key("Ed25519"), "EdDSA"),
        (OKPKey.generate_key("Ed448"), "EdDSA"),
    ],
)
def test_usual_algorithm_of_a_key(key: Any, algorithm: str) -> None:
    """A key that is given signs by the algorithm that it names, or else by that of its curve or its type."""
    with fake() as server:
        assert parts_of(server.jwt(key=key))[0]["alg"] == algorithm


@pytest.mark.parametrize(("algorithm", "bits"), [("HS256", 256), ("HS384", 384), ("HS512", 512)])
def test_secrets_sign(algorithm: str, bits: int) -> None:
    """RFC 7518 §3.2: a signature by a secret is as long as its algorithm says, and verifies."""
    with fake() as server:
        token = server.jwt(key=SECRET_KEY, algorithm=algorithm, header={"typ": "JWT"})
    assert len(base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")) * 8 == bits
    assert joserfc_jwt.decode(token, SECRET_KEY, algorithms=[algorithm]).claims["client_id"] == "client"


@pytest.mark.parametrize("endpoint", ["introspection", "revocation", "token"])
def test_clients_that_are_refused(endpoint: str) -> None:
    """``refuses_us`` holds at each endpoint where clients authenticate."""
    form, me = {"grant_type": "client_credentials", "token": "x"}, basic("api", "a+secret%3A+of+ours%2B9bQ4")
    with fake(clients=CLIENTS) as server:
        address = server.metadata[f"{endpoint}_endpoint"]
        assert ask(address, form, me).status_code == 200
        with server.fail("refuses_us"):
            answer = ask(address, form, me)
        assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})


@sync_and_async
def test_revocation(mode: str) -> None:
    """A revoked token is inactive for introspection, but the signature of a revoked JWT is still valid."""
    with fake() as server:
        token = server.jwt("profile")
        with site(mode, introspecting(cache_ttl=0)) as guarded:
            assert guarded.outcome(token) == (200, None)
            server.revoke(token)
            assert guarded.outcome(token) == (401, Reason.INACTIVE_TOKEN)
        with site(mode, verifying()) as guarded:
            assert guarded.outcome(token) == (200, None)
        with pytest.raises(ValueError, match="one that this server issued") as caught:
            server.revoke(token)
        assert token not in str(caught.value)


@sync_and_async
def test_rotation(mode: str) -> None:
    """With the old key still published, its tokens are good; without it, they are not."""
    with fake() as server, site(mode, verifying(cooldown=0)) as guarded:
        first = server.jwt("profile")
        server.rotate()
        second = server.jwt("profile")
        assert [guarded.outcome(token) for token in (first, second)] == [(200, None), (200, None)]
        server.rotate(keep_old=False)
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        assert guarded.outcome(second) == (401, Reason.UNKNOWN_KEY)
        assert [key["kid"] for key in server.jwks["keys"]] == ["key-3"]


def test_introspection_tells_what_it_is_told() -> None:
    """The claims of an opaque token are what introspection says, whatever they are."""
    with fake() as server, site("def", introspecting()) as guarded:
        assert guarded.outcome(server.opaque("profile", claims={"active": "yes"})) == (
            503,
            Reason.SERVER_ANSWER_UNUSABLE,
        )
        assert guarded.outcome(server.opaque("profile", claims={"aud": None})) == (401, Reason.WRONG_AUDIENCE)
        assert guarded.outcome(server.opaque("profile", claims={"iss": None})) == (200, None)
        assert guarded.outcome(server.opaque("profile", expires_in=-1)) == (401, Reason.INACTIVE_TOKEN)
        assert guarded.outcome(server.jwt("profile", key=server.foreign_key())) == (401, Reason.INACTIVE_TOKEN)
        assert guarded.outcome(server.opaque("profile", claims={"exp": "soon"})) == (503, Reason.SERVER_ANSWER_UNUSABLE)


# --- discovery -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", [ISSUER, "https://sso.example.test/", "https://sso.example.test/realms/x"])
@pytest.mark.parametrize(("discovery", "found"), [("both", True), ("rfc8414", True), ("openid", True), ("none", False)])
def test_discovery(issuer: str, discovery: Any, found: bool) -> None:
    """The metadata are where RFC 8414, or OpenID Connect Discovery, says; or nowhere."""
    with fake(issuer, discovery=discovery) as server, site("def", verifying(issuer)) as guarded:
        assert guarded.outcome(server.jwt("profile"))[0] == (200 if found else 503)
        assert server.metadata["jwks_uri"] == f"{issuer.removesuffix('/')}/jwks"


def test_addresses() -> None:
    """Endpoints are where the metadata say, on whatever host; one that is left out is nowhere."""
    metadata = {"jwks_uri": "https://keys.example.test/certs", "introspection_endpoint": "/who", "token_endpoint": None}
    with fake(metadata=metadata) as server, site("def", verifying()) as guarded:
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        assert server.metadata["introspection_endpoint"] == f"{ISSUER}/who"
        assert "token_endpoint" not in server.metadata
        assert ask(f"{ISSUER}/token", {}).status_code == 404
        assert set(http.TRANSPORT_OVERRIDES) == {ISSUER, "https://keys.example.test"}
        assert ask(f"{ISSUER}/.well-known/openid-configuration").json() == server.metadata


def test_metadata_that_lie() -> None:
    """What is given stays as it is given: another issuer, for one."""
    with fake(metadata={"issuer": "https://other.example.test"}) as server, site("def", verifying()) as guarded:
        assert guarded.outcome(server.jwt("profile")) == (503, Reason.METADATA_UNUSABLE)


# --- clients ---------------------------------------------------------------------------------------------------------

KEY = ECKey.generate_key("P-256")
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "client_secret_basic": (SECRET, {"client_secret": SECRET}),
    "client_secret_post": (SECRET, {"client_secret": SECRET}),
    "bearer": (SECRET, {"client_secret": SECRET}),
    "none": (None, {"client_secret": None}),
    "private_key_jwt": (KEY.as_dict(private=False), {"client_secret": KEY.as_dict(private=True)}),
}


@sync_and_async
@pytest.mark.parametrize("method", METHODS)
def test_client_authentication(mode: str, method: Any) -> None:
    """A client proves who it is by any of the methods that the guard knows; another is refused."""
    known, options = METHODS[method]
    validator = introspecting(client_auth=method, **options)
    with fake(clients={"api": known}) as server, site(mode, validator) as guarded:
        assert guarded.outcome(server.opaque("profile")) == (200, None)
        assert [(call.client, call.is_authenticated) for call in server.calls_to("introspection")] == [("api", True)]
    with fake(clients={"other": known, "api": "another"}) as server, site(mode, validator) as guarded:
        expected = (200, None) if method == "bearer" else (503, Reason.SERVER_REFUSES_US)
        assert guarded.outcome(server.opaque("profile")) == expected


@pytest.mark.parametrize("method", METHODS)
def test_any_client(method: Any) -> None:
    """If no clients are named, any client may introspect."""
    with fake() as server, site("def", introspecting(client_auth=method, **METHODS[method][1])) as guarded:
        assert guarded.outcome(server.opaque("profile")) == (200, None)
        assert [call.client for call in server.calls_to("introspection")] == ["bearer" if method == "bearer" else "api"]


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, {}),
        (basic("api", "wrong"), {}),
        (basic("other", SECRET), {}),
        ({"Authorization": "Basic ???"}, {}),
        ({"Authorization": "Bearer wrong"}, {}),
        ({}, {"client_id": "api", "client_secret": "wrong"}),
        ({}, {"client_id": "api"}),
        ({}, {"client_id": "key", "client_assertion": "a.b.c"}),
        ({}, {"client_id": "api", "client_assertion": "a.b.c"}),
    ],
)
def test_refused_clients(headers: dict[str, str], form: dict[str, str]) -> None:
    """A client that cannot authenticate learns nothing, from any endpoint that requires authentication."""
    if "client_assertion" in form:
        form = form | {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
    with fake(clients={**CLIENTS, "key": KEY}) as server:
        token = server.opaque("profile")
        for name in ("introspection", "revocation", "token"):
            response = ask(server.metadata[f"{name}_endpoint"], {"token": token, **form}, headers)
            assert (response.status_code, response.json()) == (401, {"error": "invalid_client"})
        assert {call.is_authenticated for call in server.calls} == {False}


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_schemes_in_letters_of_any_size(scheme: str) -> None:
    """RFC 9110 §11.1: the scheme by which a client proves who it is may be written in letters of any size."""
    with fake(clients={"api": "secret"}) as server:
        url = server.metadata["introspection_endpoint"]
        credentials = basic("api", "secret")["Authorization"].removeprefix("Basic ")
        assert ask(url, {"token": "x"}, {"Authorization": f"{scheme} {credentials}"}).status_code == 200
        assert ask(url, {"token": "x"}, {"Authorization": "bEARER secret"}).status_code == 200
        assert [call.client for call in server.calls] == ["api", "api"]


@pytest.mark.parametrize(
    "flaw", [{"aud": "https://other.example.test"}, {"exp": 1}, {"sub": "other"}, {"iss": "other"}]
)
def test_refused_assertions(flaw: dict[str, Any]) -> None:
    """An assertion of who one is has to be for this server, of the client, and in time."""
    with fake(clients={"key": KEY}) as server:
        url = server.metadata["introspection_endpoint"]
        for changes, status in (({}, 200), (flaw, 401)):
            claims = {"iss": "key", "sub": "key", "aud": ISSUER, "exp": server.clock.now() + 60} | changes
            form = {
                "client_id": "key",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": tokens.sign_jwt({"alg": "ES256"}, claims, "ES256", KEY),
                "token": "x",
            }
            assert ask(url, form).status_code == status


# --- endpoints -------------------------------------------------------------------------------------------------------


def test_endpoints_of_parties() -> None:
    """A client gets a token, introspects it, and revokes it, over HTTP."""
    with fake(clients=CLIENTS) as server, site("def", verifying(), introspecting(cache_ttl=0)) as guarded:
        urls, me = server.metadata, basic("api", "a+secret%3A+of+ours%2B9bQ4")
        granted = ask(urls["token_endpoint"], {"grant_type": "client_credentials", "scope": "profile"}, me).json()
        token = granted.pop("access_token")
        assert granted == {"token_type": "Bearer", "expires_in": 3600, "scope": "profile"}
        assert guarded.outcome(token) == (200, None)
        assert ask(urls["introspection_endpoint"], {"token": token}, me).json()["client_id"] == "api"
        revoked = ask(urls["revocation_endpoint"], {"token": token}, me)
        assert (revoked.status_code, revoked.content) == (200, b"")
        assert ask(urls["revocation_endpoint"], {"token": "unknown"}, me).status_code == 200
        assert ask(urls["introspection_endpoint"], {"token": token}, me).json() == {"active": False}


def test_odd_requests() -> None:
    """What is no proper request is refused as OAuth says."""
    with fake() as server:
        urls = server.metadata
        for name in ("introspection", "revocation"):
            answer = ask(urls[f"{name}_endpoint"], {})
            assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})
        answer = ask(urls["token_endpoint"], {"grant_type": "password"})
        assert (answer.status_code, answer.json()) == (400, {"error": "unsupported_grant_type"})
        assert ask(urls["jwks_uri"], {}).status_code == 405
        assert ask(urls["token_endpoint"]).status_code == 405
        assert ask(f"{ISSUER}/other").status_code == 404
        assert "scope" not in ask(urls["token_endpoint"], {"grant_type": "client_credentials"}).json()
        assert [call.endpoint for call in server.calls][-2:] == ["unknown", "token"]


@sync_and_async
def test_signed_answers(mode: str) -> None:
    """A validator that requests signed introspection responses gets them."""
    with fake(clients=CLIENTS) as server, site(mode, introspecting(signed_responses="required")) as guarded:
        assert guarded.outcome(server.opaque("profile")) == (200, None)
        assert [call.endpoint for call in server.calls] == ["metadata", "introspection", "keys"]


# --- the record ------------------------------------------------------------------------------------------------------


@sync_and_async
def test_one_fetch_serves_all(mode: str) -> None:
    """One fetch of the keys serves a hundred requests, also when they come at once."""
    with fake() as server, site(mode, verifying()) as guarded, ThreadPoolExecutor(8) as pool:
        tokens = [server.jwt("profile") for _ in range(100)]
        assert {answer.status for answer in pool.map(guarded.get, tokens)} == {200}
        assert len(server.calls_to("keys")) == 1
        assert len(server.calls) == 2


def test_what_is_handed_out() -> None:
    """What a server hands out is of classes that the kit has by name."""
    with fake() as server:
        ask(server.metadata["jwks_uri"])
        handed_out = (server.calls[0], server.fail("down"), server.foreign_key(), server.clock)
        assert [type(each) for each in handed_out] == [Call, Fault, SigningKey, ServerClock]


def test_calls_hold_no_secret() -> None:
    """A call tells who asked what; neither token nor secret is in it."""
    with fake(clients=CLIENTS) as server, site("def", introspecting()) as guarded:
        token = server.opaque("profile")
        guarded.get(token)
        (call,) = server.calls_to("introspection")
        assert repr(call) == (
            "Call(endpoint='introspection', method='POST', path='/introspect', client='api', status=200)"
        )
        with pytest.raises(ValueError, match="did you mean 'introspection'"):
            server.calls_to("introspect")


def test_waiting_for_a_call() -> None:
    """A call that another thread makes can be waited for, and is not waited for forever."""
    with fake() as server, site("def", verifying()) as guarded:
        thread = threading.Thread(target=guarded.get, args=(server.jwt("profile"),))
        thread.start()
        assert server.wait_for_call("keys").path == "/jwks"
        thread.join()
        with pytest.raises(TimeoutError, match="no call to token within 0 seconds"):
            server.wait_for_call("token", timeout=0)


async def test_waiting_for_a_call_on_a_loop() -> None:
    """A call that another task of the same loop makes can be waited for as well, while it is under way."""
    async with fake().on_port() as server:
        with site("async def", introspecting(server.issuer)) as guarded, server.fail("slow"):
            waiting = asyncio.create_task(guarded.aget(server.opaque("profile")))
            call = await server.await_for_call("metadata")
            assert (call.status, waiting.done()) == (None, False)
            server.recover()
            assert (await waiting).status == 200
        with pytest.raises(TimeoutError, match="no call to token within 0 seconds"):
            await server.await_for_call("token", timeout=0)
        with pytest.raises(ValueError, match="did you mean 'introspection'"):
            await server.await_for_call("introspect")


# --- answers of a test's own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("is_on_port", [False, True])
def test_answers_of_a_test(is_async: bool, is_on_port: bool) -> None:
    """A function of the test answers where it returns a response, at any path; otherwise the server does."""
    asked: list[ServerRequest] = []

    def respond(request: ServerRequest) -> ServerResponse | None:
        asked.append(request)
        if request.endpoint == "introspection" and request.form["token"] == "odd":
            return ServerResponse(429, headers={"Retry-After": "7"})
        return ServerResponse.json({"at": request.path}) if request.path == "/userinfo" else None

    async def arespond(request: ServerRequest) -> ServerResponse | None:
        return respond(request)

    fake_server = fake(clients=CLIENTS, respond=arespond if is_async else respond)
    with fake_server.on_port() if is_on_port else fake_server as server:
        send = ask_port if is_on_port else ask
        url, me = server.metadata["introspection_endpoint"], basic("api", "a+secret%3A+of+ours%2B9bQ4")
        odd = send(url, {"token": "odd"}, me)
        assert (odd.status_code, odd.headers["Retry-After"], odd.content) == (429, "7", b"")
        assert send(url, {"token": server.opaque("profile")}, me).json()["active"] is True
        assert send(f"{server.issuer}/userinfo").json() == {"at": "/userinfo"}
        assert send(f"{server.issuer}/other").status_code == 404
        assert [(each.endpoint, each.client) for each in asked] == [
            ("introspection", "api"),
            ("introspection", "api"),
            ("unknown", None),
            ("unknown", None),
        ]
        assert [call.status for call in server.calls] == [429, 200, 200, 404]


def test_a_test_is_asked_only_while_the_server_is_well() -> None:
    """Strangers are refused before the function is called, and a fault comes first."""

    def respond(request: ServerRequest) -> ServerResponse:
        raise AssertionError("it is not asked")

    with fake(clients=CLIENTS, respond=respond) as server:
        assert ask(server.metadata["introspection_endpoint"], {"token": "x"}).status_code == 401
        assert ask(server.metadata["introspection_endpoint"]).status_code == 405
        with server.fail("garbage"):
            assert b"<html>" in ask(server.metadata["jwks_uri"]).content


def test_answers_that_are_none() -> None:
    """What is no response is an error that says what to return."""
    with (
        fake(respond=lambda request: {"active": True}) as server,
        pytest.raises(TypeError, match="respond must return a ServerResponse or None, got dict"),
    ):
        ask(server.metadata["jwks_uri"])


def test_a_function_that_fails_on_a_port(caplog: pytest.LogCaptureFixture) -> None:
    """Where the function of a test fails, the client gets no answer, and the log has the error."""
    with fake(respond=lambda request: 1 / 0).on_port() as server, pytest.raises(httpx.RemoteProtocolError):
        ask_port(server.metadata["jwks_uri"])
    assert "ZeroDivisionError" in caplog.text


def test_requests_hold_no_secret() -> None:
    """A request shows neither its fields nor its body to a log."""
    request = ServerRequest("POST", "https://sso.example.test/token", {"authorization": "Basic x"}, b"token=x")
    assert repr(request) == (
        "ServerRequest(method='POST', url='https://sso.example.test/token', endpoint='unknown', client=None)"
    )


# --- the clock -------------------------------------------------------------------------------------------------------


@sync_and_async
def test_the_clock_moves_guards(mode: str) -> None:
    """Tokens expire, and keys are fetched anew, when the clock has moved; tokens of then are good then."""
    with fake() as server, site(mode, verifying(leeway=0)) as guarded:
        token = server.jwt("profile", expires_in=60)
        assert guarded.outcome(token) == (200, None)
        server.clock.move(60)
        assert guarded.outcome(token) == (401, Reason.EXPIRED)
        assert guarded.outcome(server.jwt("profile", expires_in=60)) == (200, None)
        server.clock.move(86_400)
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        assert len(server.calls_to("keys")) == 2


def test_the_clock_moves_answers() -> None:
    """The server dates its answers by its clock, and calls no token active that has expired by it."""
    with fake() as server, site("def", introspecting(cache_ttl=0)) as guarded:
        token = server.opaque("profile", expires_in=60)
        assert guarded.outcome(token) == (200, None)
        server.clock.move(60)
        assert guarded.outcome(token) == (401, Reason.INACTIVE_TOKEN)
        server.clock.move(10 * 365 * 86_400)
        year = ask(server.metadata["jwks_uri"]).headers["Date"].split()[3]
        assert int(year) >= 2035


@pytest.mark.parametrize(
    ("seconds", "error", "message"),
    [
        ("60", TypeError, "seconds must be a number, got str"),
        (True, TypeError, "seconds must be a number, got bool"),
        (-1, ValueError, "write expires_in=-60"),
        (float("inf"), ValueError, "seconds must be 0 or more"),
        (float("nan"), ValueError, "seconds must be 0 or more"),
    ],
)
def test_the_clock_takes_seconds(seconds: Any, error: type[Exception], message: str) -> None:
    """What is no number of seconds to come is an error that says what to write."""
    with fake() as server, pytest.raises(error, match=message):
        server.clock.move(seconds)


def test_clocks_of_two_servers() -> None:
    """Two servers have one time; who leaves, in whatever order, takes back what it moved."""
    first, second = fake(), fake("https://other.example.test")
    before = (CLOCK.wall, CLOCK.steady, CLOCK.chance)
    first.__enter__()
    second.__enter__()
    began = CLOCK.steady()
    assert CLOCK.chance() == CLOCK.chance() == 0.5
    first.clock.move(1000)
    second.clock.move(10_000)
    assert 11_000 <= CLOCK.steady() - began < 11_900
    assert first.clock.now() - second.clock.now() < 10
    first.__exit__(None, None, None)
    assert 10_000 <= CLOCK.steady() - began < 10_900
    second.__exit__(None, None, None)
    assert (CLOCK.wall, CLOCK.steady, CLOCK.chance) == before
    with pytest.raises(RuntimeError, match="this clock does not run"):
        second.clock.move(1)


# --- entering and leaving --------------------------------------------------------------------------------------------


@sync_and_async
def test_nothing_is_left(mode: str) -> None:
    """After an exception, calls use the network again, the clock is the real one, and all guards have empty caches."""
    before = (CLOCK.wall, CLOCK.steady, CLOCK.chance)
    validator = verifying()
    with site(mode, validator) as guarded:
        with pytest.raises(ZeroDivisionError):
            _break_off(guarded)
        assert http.TRANSPORT_OVERRIDES == {}
        assert (CLOCK.wall, CLOCK.steady, CLOCK.chance) == before
        with fake() as server:
            assert guarded.outcome(server.jwt("profile")) == (200, None)
            assert len(server.calls_to("keys")) == 1


@sync_and_async
def test_nobody_is_answered_outside_of_tests(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was never left is trusted by nobody once no tests run any more: its issuer cannot be reached."""
    with fake() as server, site(mode, verifying()) as guarded:
        token = server.jwt("profile")
        with monkeypatch.context() as outside:
            outside.delattr(_TestState, "saved_data")
            assert guarded.outcome(token) == (503, Reason.SERVER_UNREACHABLE)
        assert server.calls == []


def _break_off(guarded: Any) -> None:
    with fake() as server:
        server.clock.move(60)
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        server.fail("down")
        raise ZeroDivisionError


@sync_and_async
def test_nothing_is_brought_along(mode: str) -> None:
    """A guard that has failed before entering does not back off within."""
    with site(mode, verifying(ISSUER, timeout=2, http_client=_refusing_client)) as guarded:
        assert guarded.outcome(_a_jwt())[0] == 503
        with fake() as server:
            assert guarded.outcome(server.jwt("profile")) == (200, None)


def _refusing_client() -> httpx.AsyncClient:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    return httpx.AsyncClient(transport=httpx.MockTransport(refuse), trust_env=False)


def _a_jwt() -> str:
    with fake() as server:
        return server.jwt("profile")


class Delegating(TokenValidator):
    """A validator of a site's own, which asks others."""

    def __init__(self, *others: Any) -> None:
        super().__init__()
        self.others = [*others]
        self.first = others[0]

    def authenticate_token(self, token_string: str) -> Any:
        return self.first.authenticate_token(token_string)


def test_validators_within_validators() -> None:
    """A validator inside another one forgets its cache too. Other kinds of validators are left alone."""
    inner, other = verifying(), introspecting()
    protector = ResourceProtector(Delegating(inner, other), BearerTokenValidator("site.OAuth2Token"))
    eras = {inner._generation, other._generation}
    with fake():
        assert {inner._generation, other._generation}.isdisjoint(eras)
    assert protector.validators


def test_broken_settings() -> None:
    """The server ignores a protector whose setting is wrong."""
    protector = ResourceProtector.from_settings()
    with override_settings(OAUTH_GUARD={"VALIDATORS": 1}):
        protector.forget_settings()
        with fake() as server:
            assert server.calls == []


def test_entered_twice() -> None:
    """A server is entered once at a time; after it was left, it begins anew."""
    server = fake()
    with server:
        with pytest.raises(RuntimeError, match=r"write FakeAuthorizationServer\(\) for each `with`"):
            server.__enter__()
        token = server.opaque()
        ask(server.metadata["jwks_uri"])
        assert len(server.calls) == 1
    with server:
        assert server.calls == []
        with pytest.raises(ValueError, match="one that this server issued"):
            server.revoke(token)


def test_two_of_one_origin() -> None:
    """Two servers for one origin are an error, and the first one stays."""
    with fake() as server, site("def", verifying()) as guarded:
        with pytest.raises(RuntimeError, match=f"another server replaces {ISSUER} already"):
            fake(f"{ISSUER}/realms/x").__enter__()
        assert guarded.outcome(server.jwt("profile")) == (200, None)
    assert http.TRANSPORT_OVERRIDES == {}


def test_outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of tests the server raises an error instead of replacing an issuer. On a port it may run anywhere."""
    monkeypatch.delattr(_TestState, "saved_data")
    with pytest.raises(RuntimeError, match=r"only in tests.*or write FakeAuthorizationServer\(\)\.on_port\(\)"):
        fake().__enter__()
    assert http.TRANSPORT_OVERRIDES == {}
    with fake().on_port() as server:
        assert server.issuer.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("name", ["issuer", "metadata", "jwks", "calls"])
def test_attributes_of_a_server_that_does_not_run(name: str) -> None:
    """What only a running server has is an error that says what to write."""
    with pytest.raises(RuntimeError, match=r"write `with FakeAuthorizationServer\(\) as server:`"):
        getattr(fake(), name)


@pytest.mark.parametrize(
    "call",
    [
        lambda server: server.jwt(),
        lambda server: server.opaque(),
        lambda server: server.revoke("x"),
        lambda server: server.foreign_key(),
        lambda server: server.rotate(),
        lambda server: server.fail("down"),
        lambda server: server.recover(),
    ],
)
def test_methods_of_a_server_that_does_not_run(call: Any) -> None:
    """So is what only a running server does."""
    with pytest.raises(RuntimeError, match="this server does not run"):
        call(fake())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"issuer": "sso.example.test"}, ValueError, "issuer must be a URL such as 'https://sso.example.test'"),
        ({"clients": [("api", "x")]}, TypeError, "clients must be a mapping from client_id to the secret, such as "),
        ({"algorithm": "HS256"}, ValueError, "algorithm must be one of RS256, .*, got 'HS256'.*did you mean 'RS256'"),
        ({"issuer": 5}, ValueError, "issuer must be a URL such as "),
        ({"audience": 5}, TypeError, "audience must be a string or a list of strings, got int"),
        ({"audience": None}, TypeError, "audience must be .*, got NoneType"),
        ({"metadata": [1]}, TypeError, "metadata must be a mapping, such as {'name': 'value'}, got list"),
        ({"metadata": {"x": {1}}}, TypeError, "metadata must have values that JSON can hold: .* set"),
        ({"algorithm": 5}, TypeError, r"algorithm must be 'RS256' or \['RS256', 'ES256'\], got int"),
        ({"algorithm": [5]}, ValueError, "algorithm must be one of RS256, .*, got 5"),
        ({"algorithm": []}, ValueError, "algorithm must name at least one"),
        ({"discovery": "oidc"}, ValueError, "discovery must be one of both, rfc8414, openid, none, got 'oidc'"),
    ],
)
def test_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """An argument that cannot work is an error that says what to write."""
    with pytest.raises(error, match=message):
        FakeAuthorizationServer(**options)


def test_keys_are_used_again() -> None:
    """A server's key serves a later server, and never two at once: RSA keys take long to make."""
    with FakeAuthorizationServer() as server:
        key = server.jwks["keys"][0]["n"]
        with FakeAuthorizationServer("https://other.example.test") as other:
            assert other.jwks["keys"][0]["n"] != key
    with FakeAuthorizationServer("https://a.example.test") as a, FakeAuthorizationServer("https://b.example.test") as b:
        assert key in (a.jwks["keys"][0]["n"], b.jwks["keys"][0]["n"])


async def test_in_an_async_test() -> None:
    """It is entered and left on a running loop, in either way, and the loop goes on."""
    async with fake() as server:
        with site("async def", verifying()) as guarded:
            tokens = [server.jwt("profile") for _ in range(20)]
            answers = await asyncio.gather(*map(guarded.aget, tokens))
            assert {answer.status for answer in answers} == {200}
            assert len(server.calls_to("keys")) == 1
    with fake() as server, site("async def", introspecting()) as guarded:
        assert (await guarded.aget(server.opaque("profile"))).status == 200
    assert http.TRANSPORT_OVERRIDES == {}


async def test_left_while_asked() -> None:
    """Leaving it while a request waits for an answer hangs nobody."""
    with site("async def", introspecting()) as guarded:
        with fake() as server:
            waiting = asyncio.create_task(guarded.aget(server.opaque("profile")))
            await asyncio.sleep(0)
        assert (await waiting).status in (200, 503)


def test_direct_calls_of_a_validator() -> None:
    """Validation without a request calls the fake server too."""
    validator = introspecting()
    protector = ResourceProtector(validator)
    with fake() as server:
        assert protector.validate_token(server.opaque("profile"), "profile").client_id == "client"
        with server.fail("down"), pytest.raises(TemporarilyUnavailableError):
            protector.validate_token(server.opaque("profile"), "profile")


# --- on a port -------------------------------------------------------------------------------------------------------


@sync_and_async
def test_on_a_port(mode: str) -> None:
    """On a port it is a separate issuer that any client can call."""
    with fake("https://sso.example.test/realms/x", clients=CLIENTS).on_port() as server:
        assert server.issuer.startswith("http://127.0.0.1:")
        assert server.issuer.endswith("/realms/x")
        assert http.TRANSPORT_OVERRIDES == {}
        with site(mode, verifying(server.issuer), introspecting(server.issuer)) as guarded:
            assert guarded.outcome(server.jwt("profile")) == (200, None)
            assert guarded.outcome(server.opaque("profile")) == (200, None)
        with urllib.request.urlopen(server.metadata["jwks_uri"]) as response:
            assert json.load(response) == server.jwks
        head = urllib.request.Request(server.metadata["jwks_uri"], method="HEAD")
        with urllib.request.urlopen(head) as response:
            assert response.read() == b""
        address = server.metadata["jwks_uri"]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address)


def test_odd_requests_on_a_port() -> None:
    """An invalid content length, or a client that disconnects, causes no error."""
    with fake().on_port() as server:
        url = server.metadata["introspection_endpoint"]
        odd = urllib.request.Request(url, b"token=x", {"Content-Length": "x"})
        with pytest.raises(urllib.error.HTTPError, match="400") as caught:
            urllib.request.urlopen(odd)
        caught.value.close()
        with urllib.request.urlopen(url, urlencode({"token": "x"}).encode()) as response:
            assert json.load(response) == {"active": False}


def test_connections_are_kept() -> None:
    """A connection serves one request after the other, however their bytes arrive, until the client ends it."""
    with fake().on_port() as server:
        path, host = "/jwks", ("127.0.0.1", int(server.issuer.rpartition(":")[2]))
        with socket.create_connection(host) as connection, connection.makefile("rb") as answers:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\nPOST {path} HTTP/1.1\r\nContent-Le".encode())
            assert _read_answer(answers) == (b"HTTP/1.1 200 \r\n", server.jwks)
            connection.sendall(b"ngth: 4\r\n\r\na=")
            connection.sendall(b"1&")
            assert _read_answer(answers) == (b"HTTP/1.1 405 \r\n", {"error": "invalid_request"})
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            assert _read_answer(answers) == (b"HTTP/1.1 200 \r\n", server.jwks)
            assert answers.read() == b""
        assert [call.status for call in server.calls] == [200, 405, 200]


def _read_answer(answers: Any) -> tuple[bytes, Any]:
    status, length = answers.readline(), 0
    while line := answers.readline().strip():
        name, _, value = line.partition(b":")
        length = int(value) if name == b"Content-Length" else length
    return status, json.loads(answers.read(length))


def test_requests_that_are_too_long() -> None:
    """Nobody has a megabyte to ask: such a connection is broken off."""
    with fake().on_port() as server, pytest.raises(httpx.TransportError):
        ask_port(server.metadata["introspection_endpoint"], {"token": "x" * 1_048_576})


def test_clients_that_go() -> None:
    """A client may go before it is answered. One that is still there when the server is left is hung up on."""
    with fake().on_port() as server:
        host = ("127.0.0.1", int(server.issuer.rpartition(":")[2]))
        with server.fail("slow", at="keys"):
            with socket.create_connection(host) as gone:
                gone.sendall(b"GET /jwks HTTP/1.1\r\n\r\n")
                server.wait_for_call("keys")
                gone.sendall(b"GET /jwks HTTP/1.1\r\n\r\n")
            # An answer to somebody else: by now the server knows that the other one is gone.
            assert ask_port(f"{server.issuer}/other").status_code == 404
        assert [call.status for call in server.calls] == [None, 404]
        staying = socket.create_connection(host)
    with staying, contextlib.suppress(ConnectionResetError):
        assert staying.recv(1) == b""


def test_state_outlives_a_server(tmp_path: Path) -> None:
    """With a file, a server goes on with the keys and tokens of the one before, as far as these still count."""
    file = tmp_path / "server.json"
    with fake(algorithm=["ES256", "RS256"]).on_port(state=file) as server:
        port = int(server.issuer.rpartition(":")[2])
        server.rotate()
        jwt, opaque, revoked, expired = (
            server.jwt("profile"),
            server.opaque(),
            server.opaque(),
            server.opaque(expires_in=-1),
        )
        server.revoke(revoked)
        keys = server.jwks
    assert file.stat().st_mode & 0o777 == 0o600
    assert expired not in file.read_text()
    with fake(algorithm=["ES256", "RS256"]).on_port(port, state=str(file)) as server:
        assert server.jwks == keys
        with site("def", verifying(server.issuer)) as guarded:
            assert guarded.outcome(jwt) == (200, None)
            assert guarded.outcome(server.jwt("profile")) == (200, None)
        active = [server.introspect(token)["active"] for token in (jwt, opaque, revoked, expired)]
        assert active == [True, True, False, False]
        assert parts_of(server.jwt())[1]["jti"] not in (parts_of(jwt)[1]["jti"], server.introspect(opaque)["jti"])
        server.rotate(keep_old=False)
        assert [key["kid"] for key in server.jwks["keys"]] == ["key-5", "key-6"]
    with fake(algorithm=["RS256", "EdDSA"]).on_port(state=file) as server:
        assert [key["alg"] for key in server.jwks["keys"]] == ["ES256", "RS256", "EdDSA"]
        assert parts_of(server.jwt())[0]["kid"] == "key-6"


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}"])
def test_state_of_others(tmp_path: Path, content: str) -> None:
    """A file that no server has written is refused, and stays as it is."""
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"state: .*other\.json was not written by this server; pass another file"):
        fake().on_port(state=file).__enter__()
    assert file.read_text() == content


def test_on_port_comes_first() -> None:
    """That it is to listen is said before entering."""
    with fake() as server, pytest.raises(RuntimeError, match="before entering"):
        server.on_port()
    assert repr(fake()) == f"<FakeAuthorizationServer {ISSUER} in process>"
    assert repr(fake().on_port()) == f"<FakeAuthorizationServer {ISSUER} on a port>"


@pytest.mark.parametrize(
    ("port", "error", "sentence"),
    [
        ("a", TypeError, "port must be a number such as 8001, or 0 for any free port, got str"),
        (22.5, TypeError, "port must be .*, got float"),
        (True, TypeError, "port must be .*, got bool"),
        (None, TypeError, "port must be .*, got NoneType"),
        (-1, ValueError, "port must be a number up to 65535, or 0 for any free port, got -1"),
        (65_536, ValueError, "port must be .*, got 65536"),
    ],
)
def test_ports_that_are_none(port: Any, error: type[Exception], sentence: str) -> None:
    """What no port has for a number is refused at once, with what to write."""
    server = fake()
    with pytest.raises(error, match=sentence):
        server.on_port(port)
    assert "in process" in repr(server)
    fake().on_port(65_535)


def test_a_port_that_is_taken() -> None:
    """A port that is taken is the usual error with its number, and leaves nothing behind."""
    with fake().on_port() as server:
        port = int(server.issuer.rpartition(":")[2])
        with pytest.raises(OSError, match=f"in use: cannot listen on port {port} of 127") as caught:
            fake().on_port(port).__enter__()
        assert caught.value.errno == errno.EADDRINUSE
    with fake().on_port(port) as server:
        assert server.issuer == f"http://127.0.0.1:{port}"
