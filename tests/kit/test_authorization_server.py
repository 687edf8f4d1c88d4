"""The fake authorization server: what it issues and answers, how it is entered and left, its clock and its record."""

import asyncio
import base64
import errno
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
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
    outgoing,
    transport,
)
from async_oauth_guard.testing import (
    Call,
    FakeAuthorizationServer,
    Fault,
    ServerClock,
    SigningKey,
    authorization_server,
    server_tokens,
)
from async_oauth_guard.validators.remote import CLOCK
from tests.kit.guarded_sites import AUDIENCE, CLIENTS, ISSUER, SECRET, introspecting, site, verifying
from tests.sites import COLOURS

both_colours = pytest.mark.parametrize("colour", COLOURS)


def fake(*args: Any, **options: Any) -> FakeAuthorizationServer:
    """With a key that is made in no time."""
    return FakeAuthorizationServer(*args, **({"algorithm": "ES256"} | options))


def ask(url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """The answer of a server in this process, asked as the guard asks it."""
    make_client = transport.STAND_INS["/".join(url.split("/")[:3])]

    async def send() -> httpx.Response:
        async with make_client() as client:
            if form is None:
                return await client.get(url, headers=headers)
            return await client.post(url, data=form, headers=headers)

    return asyncio.run(send())


def basic(client: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


def parts_of(token: str) -> list[Any]:
    """The header and the claims of a JWT, unverified."""
    padded = [part + "=" * (-len(part) % 4) for part in token.split(".")[:2]]
    return [json.loads(base64.urlsafe_b64decode(part)) for part in padded]


# --- tokens ----------------------------------------------------------------------------------------------------------


@both_colours
def test_jwts_are_let_in(colour: str) -> None:
    """A JWT is let in by the validators that the site has for that issuer, as they are."""
    with FakeAuthorizationServer() as server, site(colour, verifying()) as guarded:
        assert guarded.outcome(server.jwt("profile email")) == (200, None)
        assert guarded.outcome(server.jwt("email")) == (403, Reason.INSUFFICIENT_SCOPE)


@both_colours
def test_opaque_tokens_are_let_in(colour: str) -> None:
    """So is an opaque token; one that the server did not issue is not."""
    with fake(clients=CLIENTS) as server, site(colour, introspecting()) as guarded:
        assert guarded.outcome(server.opaque(["profile", "email"])) == (200, None)
        assert guarded.outcome(server.opaque("email")) == (403, Reason.INSUFFICIENT_SCOPE)
        assert guarded.outcome("nobody-issued-this") == (401, Reason.INACTIVE_TOKEN)


@pytest.mark.parametrize("algorithm", server_tokens.ALGORITHMS)
def test_algorithms(algorithm: str) -> None:
    """Whatever algorithm the guard knows may sign."""
    with FakeAuthorizationServer(algorithm=algorithm) as server, site("def", verifying()) as guarded:
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        assert parts_of(server.jwt())[0]["alg"] == algorithm


def test_several_algorithms() -> None:
    """Of several, the first signs, unless a token is told otherwise."""
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
        ({"scopes": 1}, TypeError, r"scopes: write 'profile email' or \['profile', 'email'\], not int"),
        ({"scopes": b"profile"}, TypeError, "scopes: .*, not bytes"),
        ({"scopes": ["profile", 1]}, TypeError, "scopes: .*, not list"),
        ({"scopes": {"profile": True}}, TypeError, "scopes: .*, not dict"),
        ({"user": 5}, TypeError, "user: write a user of the site or a user name, not int; leave it out for nobody"),
        ({"user": AnonymousUser()}, TypeError, "user: .*, not AnonymousUser; leave it out for nobody"),
        ({"user": User}, TypeError, "user: .*, not the class User"),
        ({"user": User.objects.none()}, TypeError, "user: .*, not QuerySet"),
        ({"subject": 5}, TypeError, r"subject: write a string, such as str\(user\.pk\), not int; .* into claims="),
        ({"client_id": 5}, TypeError, "client_id: write a string, such as 'reports', not int"),
        ({"audience": 5}, TypeError, "audience: a string is wanted, or a list of strings, not int"),
        ({"audience": ["a", 5]}, TypeError, "audience: a string is wanted, or a list of strings, not list"),
        ({"expires_in": "x"}, TypeError, "expires_in: write seconds, or None, not str"),
        ({"expires_in": True}, TypeError, "expires_in: write seconds, or None, not bool"),
        ({"expires_in": timedelta(minutes=1)}, TypeError, "expires_in: write seconds, or None, not timedelta"),
        ({"expires_in": float("inf")}, ValueError, "expires_in: write seconds, or None, not inf"),
        ({"claims": ["x"]}, TypeError, "claims: a mapping is wanted, such as {'name': 'value'}, not list"),
        ({"claims": {"at": date(2001, 1, 1)}}, TypeError, "claims: values are wanted that JSON has: .* date"),
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
        ({"header": [1]}, TypeError, "header: a mapping is wanted, such as {'name': 'value'}, not list"),
        ({"header": {"x": {1}}}, TypeError, "header: values are wanted that JSON has: .* set"),
        ({"key": object()}, TypeError, r"key: server\.foreign_key\(\), a key of joserfc's, or a secret .*, not object"),
        ({"key": ECKey}, TypeError, "key: .*, not the class ECKey"),
        ({"key": {"kty": "oct"}}, TypeError, "key: .*, not dict"),
        (
            {"key": "s", "algorithm": "RS256"},
            ValueError,
            "algorithm of that key: 'RS256' is none of HS256, HS384, HS512",
        ),
        ({"key": SECRET_KEY, "algorithm": "ES256"}, ValueError, "algorithm of that key: 'ES256' is none of HS256"),
        ({"key": ECKey.generate_key("P-256"), "algorithm": "HS256"}, ValueError, "algorithm of that key: .* of ES256"),
        ({"algorithm": "HS256"}, ValueError, "algorithm: HS256 signs with a secret: write key='the secret' beside it"),
        ({"algorithm": "RS999"}, ValueError, "algorithm: 'RS999' is none of RS256, .*, none"),
        ({"algorithm": "es256"}, ValueError, "algorithm: 'es256' is none of .*; did you mean 'ES256'"),
        ({"algorithm": ["ES256"]}, ValueError, r"algorithm: \['ES256'\] is none of RS256, "),
        ({"algorithm": 5, "key": "s"}, ValueError, "algorithm: 5 is none of RS256, "),
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
        with pytest.raises(ValueError, match="algorithm of that key: 'RS256' is none of ES256, ES384, ES512, none"):
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


@both_colours
def test_revocation(colour: str) -> None:
    """A token that was revoked is inactive for introspection; a JWT's signature is as good as ever."""
    with fake() as server:
        token = server.jwt("profile")
        with site(colour, introspecting(cache_ttl=0)) as guarded:
            assert guarded.outcome(token) == (200, None)
            server.revoke(token)
            assert guarded.outcome(token) == (401, Reason.INACTIVE_TOKEN)
        with site(colour, verifying()) as guarded:
            assert guarded.outcome(token) == (200, None)
        with pytest.raises(ValueError, match="server has none like that") as caught:
            server.revoke(token)
        assert token not in str(caught.value)


@both_colours
def test_rotation(colour: str) -> None:
    """With the old key still published, its tokens are good; without it, they are not."""
    with fake() as server, site(colour, verifying(cooldown=0)) as guarded:
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
            Reason.TOKEN_ANSWER_UNUSABLE,
        )
        assert guarded.outcome(server.opaque("profile", claims={"aud": None})) == (401, Reason.WRONG_AUDIENCE)
        assert guarded.outcome(server.opaque("profile", claims={"iss": None})) == (200, None)
        assert guarded.outcome(server.opaque("profile", expires_in=-1)) == (401, Reason.INACTIVE_TOKEN)
        assert guarded.outcome(server.jwt("profile", key=server.foreign_key())) == (401, Reason.INACTIVE_TOKEN)
        assert guarded.outcome(server.opaque("profile", claims={"exp": "soon"})) == (503, Reason.TOKEN_ANSWER_UNUSABLE)


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
        assert set(transport.STAND_INS) == {ISSUER, "https://keys.example.test"}
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


@both_colours
@pytest.mark.parametrize("method", METHODS)
def test_client_authentication(colour: str, method: Any) -> None:
    """A client proves who it is by any of the methods that the guard knows; another is refused."""
    known, options = METHODS[method]
    validator = introspecting(client_auth=method, **options)
    with fake(clients={"api": known}) as server, site(colour, validator) as guarded:
        assert guarded.outcome(server.opaque("profile")) == (200, None)
        assert [(call.client, call.is_authenticated) for call in server.calls_to("introspection")] == [("api", True)]
    with fake(clients={"other": known, "api": "another"}) as server, site(colour, validator) as guarded:
        expected = (200, None) if method == "bearer" else (503, Reason.SERVER_REFUSES_US)
        assert guarded.outcome(server.opaque("profile")) == expected


@pytest.mark.parametrize("method", METHODS)
def test_any_client(method: Any) -> None:
    """Where no clients are named, whoever asks may."""
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
    """Whoever cannot prove who they are learns nothing, from any endpoint that asks."""
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
                "client_assertion": server_tokens.sign_jwt({"alg": "ES256"}, claims, "ES256", KEY),
                "token": "x",
            }
            assert ask(url, form).status_code == status


# --- endpoints -------------------------------------------------------------------------------------------------------


def test_endpoints_of_parties() -> None:
    """A client gets a token of its own, asks about it, and revokes it, over HTTP."""
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


@both_colours
def test_signed_answers(colour: str) -> None:
    """Whoever asks for signed answers of introspection gets them."""
    with fake(clients=CLIENTS) as server, site(colour, introspecting(signed_responses="required")) as guarded:
        assert guarded.outcome(server.opaque("profile")) == (200, None)
        assert [call.endpoint for call in server.calls] == ["metadata", "introspection", "keys"]


# --- the record ------------------------------------------------------------------------------------------------------


@both_colours
def test_one_fetch_serves_all(colour: str) -> None:
    """One fetch of the keys serves a hundred requests, also when they come at once."""
    with fake() as server, site(colour, verifying()) as guarded, ThreadPoolExecutor(8) as pool:
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


# --- the clock -------------------------------------------------------------------------------------------------------


@both_colours
def test_the_clock_moves_guards(colour: str) -> None:
    """Tokens expire, and keys are fetched anew, when the clock has moved; tokens of then are good then."""
    with fake() as server, site(colour, verifying(leeway=0)) as guarded:
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
        ("60", TypeError, "a number of seconds is wanted, not str"),
        (True, TypeError, "a number of seconds is wanted, not bool"),
        (-1, ValueError, "write expires_in=-60"),
        (float("inf"), ValueError, "seconds to come are wanted"),
        (float("nan"), ValueError, "seconds to come are wanted"),
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
    with pytest.raises(RuntimeError, match="this clock stands still"):
        second.clock.move(1)


# --- entering and leaving --------------------------------------------------------------------------------------------


@both_colours
def test_nothing_is_left(colour: str) -> None:
    """After an exception calls go out as ever, the clock is the real one, and no guard knows what it had learned."""
    before = (CLOCK.wall, CLOCK.steady, CLOCK.chance)
    validator = verifying()
    with site(colour, validator) as guarded:
        with pytest.raises(ZeroDivisionError):
            _break_off(guarded)
        assert transport.STAND_INS == {}
        assert (CLOCK.wall, CLOCK.steady, CLOCK.chance) == before
        with fake() as server:
            assert guarded.outcome(server.jwt("profile")) == (200, None)
            assert len(server.calls_to("keys")) == 1


@both_colours
def test_nobody_is_answered_outside_of_tests(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was never left is trusted by nobody once no tests run any more: its issuer cannot be reached."""
    with fake() as server, site(colour, verifying()) as guarded:
        token = server.jwt("profile")
        with monkeypatch.context() as outside:
            outside.delattr(_TestState, "saved_data")
            assert guarded.outcome(token) == (503, Reason.SERVER_UNREACHABLE)
        assert server.calls == []


async def test_entry_that_nobody_waits_for() -> None:
    """A task that is cancelled while it enters leaves nothing, whenever the thread that enters gets to it."""
    before = (CLOCK.wall, CLOCK.steady, CLOCK.chance)
    for turns in range(4):
        server = fake()
        entering = asyncio.ensure_future(server.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        await asyncio.to_thread(lambda: None)
        assert transport.STAND_INS == {}
        assert (CLOCK.wall, CLOCK.steady, CLOCK.chance) == before


def test_entry_whose_task_is_dropped() -> None:
    """A coroutine that is closed while the thread enters, as that of an abandoned loop is, leaves nothing either."""
    before = (CLOCK.wall, CLOCK.steady, CLOCK.chance)

    async def enter() -> None:
        entering = fake().__aenter__()
        # It has begun, and waits for the thread.
        entering.send(None)
        entering.close()

    asyncio.run(enter())
    assert transport.STAND_INS == {}
    assert (CLOCK.wall, CLOCK.steady, CLOCK.chance) == before


@pytest.mark.parametrize("turns", range(3))
async def test_exit_that_is_cancelled(turns: int) -> None:
    """A task that is cancelled while it leaves has left nothing when it ends, however busy the loop's threads are."""
    before = (CLOCK.wall, CLOCK.steady, CLOCK.chance)
    loop, until = asyncio.get_running_loop(), threading.Event()
    busy = ThreadPoolExecutor(1)
    server = await fake().__aenter__()
    loop.set_default_executor(busy)
    blocked = busy.submit(until.wait, 60)
    leaving = asyncio.ensure_future(server.__aexit__(None, None, None))
    for _ in range(turns + 1):
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert transport.STAND_INS == {}
    assert (CLOCK.wall, CLOCK.steady, CLOCK.chance) == before
    until.set()
    assert blocked.result()


def test_entry_that_ends_before_it_is_cancelled() -> None:
    """What has been entered when the cancellation comes is left, and what nobody had begun to enter is not entered."""
    server = fake()
    before = (CLOCK.wall, CLOCK.steady, CLOCK.chance)
    entry = authorization_server._Entry(server)
    entry.run()
    assert server.issuer == ISSUER
    entry.abandon()
    late = authorization_server._Entry(server)
    late.abandon()
    late.run()
    assert transport.STAND_INS == {}
    assert (CLOCK.wall, CLOCK.steady, CLOCK.chance) == before


def _break_off(guarded: Any) -> None:
    with fake() as server:
        server.clock.move(60)
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        server.fail("down")
        raise ZeroDivisionError


@both_colours
def test_nothing_is_brought_along(colour: str) -> None:
    """A guard that has failed before it is entered does not back off within."""
    with site(colour, verifying(ISSUER, timeout=2, http_client=_refusing_client)) as guarded:
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
    """A validator that another one asks forgets as well; what is no validator of ours is let be."""
    inner, other = verifying(), introspecting()
    protector = ResourceProtector(Delegating(inner, other), BearerTokenValidator("site.OAuth2Token"))
    eras = {inner._era, other._era}
    with fake():
        assert {inner._era, other._era}.isdisjoint(eras)
    assert protector.validators


def test_broken_settings() -> None:
    """A protector whose setting is wrong is none of the server's business."""
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
        with pytest.raises(ValueError, match="none like that"):
            server.revoke(token)


def test_two_of_one_origin() -> None:
    """Two servers for one origin are an error, and the first one stays."""
    with fake() as server, site("def", verifying()) as guarded:
        with pytest.raises(RuntimeError, match=f"another server stands in for {ISSUER}"):
            fake(f"{ISSUER}/realms/x").__enter__()
        assert guarded.outcome(server.jwt("profile")) == (200, None)
    assert transport.STAND_INS == {}


def test_outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production it stands in for nobody: outside of a test it is an error. On a port it may run anywhere."""
    monkeypatch.delattr(_TestState, "saved_data")
    with pytest.raises(RuntimeError, match=r"within tests only.*or write FakeAuthorizationServer\(\)\.on_port\(\)"):
        fake().__enter__()
    assert transport.STAND_INS == {}
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
        ({"issuer": "sso.example.test"}, ValueError, "issuer: a URL such as 'https://sso.example.test' is wanted"),
        ({"clients": [("api", "x")]}, TypeError, "clients: secrets by client_id are wanted, such as "),
        ({"algorithm": "HS256"}, ValueError, "algorithm: 'HS256' is none of RS256, .*did you mean 'RS256'"),
        ({"issuer": 5}, ValueError, "issuer: a URL such as "),
        ({"audience": 5}, TypeError, "audience: a string is wanted, or a list of strings, not int"),
        ({"audience": None}, TypeError, "audience: .*, not NoneType"),
        ({"metadata": [1]}, TypeError, "metadata: a mapping is wanted, such as {'name': 'value'}, not list"),
        ({"metadata": {"x": {1}}}, TypeError, "metadata: values are wanted that JSON has: .* set"),
        ({"algorithm": 5}, TypeError, r"algorithm: write 'RS256', or \['RS256', 'ES256'\], not int"),
        ({"algorithm": [5]}, ValueError, "algorithm: 5 is none of RS256, "),
        ({"algorithm": []}, ValueError, "algorithm: one at least is wanted"),
        ({"discovery": "oidc"}, ValueError, "discovery: 'oidc' is none of both, rfc8414, openid, none"),
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
    assert transport.STAND_INS == {}


async def test_no_loop_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """``async with`` lets another thread wait for the loop that ends on entering, and for the one on leaving."""
    waiting: list[int] = []
    close = outgoing.close

    def close_and_note() -> None:
        waiting.append(threading.get_ident())
        close()

    monkeypatch.setattr(outgoing, "close", close_and_note)
    async with fake():
        pass
    assert len(waiting) == 2
    assert threading.get_ident() not in waiting


async def test_left_while_asked() -> None:
    """Leaving it while a request waits for an answer hangs nobody."""
    with site("async def", introspecting()) as guarded:
        with fake() as server:
            waiting = asyncio.create_task(guarded.aget(server.opaque("profile")))
            await asyncio.sleep(0)
        assert (await waiting).status in (200, 503)


def test_doors_of_a_validator() -> None:
    """What is asked without a request ends up there too."""
    validator = introspecting()
    protector = ResourceProtector(validator)
    with fake() as server:
        assert protector.validate_token(server.opaque("profile"), "profile").client_id == "client"
        with server.fail("down"), pytest.raises(TemporarilyUnavailableError):
            protector.validate_token(server.opaque("profile"), "profile")


# --- on a port -------------------------------------------------------------------------------------------------------


@both_colours
def test_on_a_port(colour: str) -> None:
    """On a port it is an issuer of its own, for whoever comes."""
    with fake("https://sso.example.test/realms/x", clients=CLIENTS).on_port() as server:
        assert server.issuer.startswith("http://127.0.0.1:")
        assert server.issuer.endswith("/realms/x")
        assert transport.STAND_INS == {}
        with site(colour, verifying(server.issuer), introspecting(server.issuer)) as guarded:
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
    """A length that is none, and a client that goes away, are nobody's trouble."""
    with fake().on_port() as server:
        url = server.metadata["introspection_endpoint"]
        odd = urllib.request.Request(url, b"token=x", {"Content-Length": "x"})
        with pytest.raises(urllib.error.HTTPError, match="400") as caught:
            urllib.request.urlopen(odd)
        caught.value.close()
        with urllib.request.urlopen(url, urlencode({"token": "x"}).encode()) as response:
            assert json.load(response) == {"active": False}


def test_on_port_comes_first() -> None:
    """That it is to listen is said before it is entered."""
    with fake() as server, pytest.raises(RuntimeError, match="before it is entered"):
        server.on_port()
    assert repr(fake()) == f"<FakeAuthorizationServer {ISSUER} in process>"
    assert repr(fake().on_port()) == f"<FakeAuthorizationServer {ISSUER} on a port>"


@pytest.mark.parametrize(
    ("port", "error", "sentence"),
    [
        ("a", TypeError, "port: write a number such as 8001, or 0 for any that is free, not str"),
        (22.5, TypeError, "port: .*, not float"),
        (True, TypeError, "port: .*, not bool"),
        (None, TypeError, "port: .*, not NoneType"),
        (-1, ValueError, "port: write a number up to 65535, or 0 for any that is free, not -1"),
        (65_536, ValueError, "port: .*, not 65536"),
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
        with pytest.raises(OSError, match=f"in use: nothing can listen on port {port} of 127") as caught:
            fake().on_port(port).__enter__()
        assert caught.value.errno == errno.EADDRINUSE
    with fake().on_port(port) as server:
        assert server.issuer == f"http://127.0.0.1:{port}"
