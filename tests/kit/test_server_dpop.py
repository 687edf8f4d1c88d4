"""The test server issues bound tokens: DPoP at its token endpoint, and what its tokens say about key and login."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from async_oauth_guard import ResourceProtector
from async_oauth_guard.testing import DPoPKey, FakeAuthorizationServer
from tests.answers import bearer
from tests.kit.guarded_sites import CLIENTS, ISSUER, SEND, introspecting, verifying
from tests.kit.test_authorization_server import ask, ask_port, basic, parts_of
from tests.proofs import dpop
from tests.sites import MODES, Witness, serving

ME = basic("api", "a+secret%3A+of+ours%2B9bQ4")
URL = f"{ISSUER}/token"
KEY = DPoPKey()
sync_and_async = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def server() -> Iterator[FakeAuthorizationServer]:
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running


@pytest.fixture
def strict() -> Iterator[FakeAuthorizationServer]:
    """A server that wants its nonces."""
    with FakeAuthorizationServer(clients=CLIENTS, dpop_nonce=True) as running:
        yield running


def grant(proof: str | None = None, **form: str) -> httpx.Response:
    """The answer of the token endpoint."""
    headers = ME if proof is None else {**ME, "DPoP": proof}
    return ask(URL, {"grant_type": "client_credentials", "scope": "profile", **form}, headers)


def outcome(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, response.json().get("error")


@sync_and_async
def test_granted_tokens(mode: str, server: FakeAuthorizationServer) -> None:
    """A client that sends a proof gets a token that is bound to its key, and a guard wants proofs with it."""
    granted = grant(KEY.proof("POST", URL)).json()
    token = granted.pop("access_token")
    assert granted == {"token_type": "DPoP", "expires_in": 3600, "scope": "profile"}
    assert parts_of(token)[1]["cnf"] == KEY.confirmation
    described = server.introspect(token)
    assert (described["cnf"], described["token_type"]) == (KEY.confirmation, "DPoP")
    assert server.metadata["dpop_signing_alg_values_supported"][0] == "RS256"
    for validator in (verifying(), introspecting()):
        with serving(ResourceProtector(validator, dpop=True)("profile", sender_constrained=True)(Witness().view(mode))):
            proof = KEY.proof("GET", "http://testserver/", token)
            assert SEND[mode]("/", dpop(token, proof)).status == 200
            assert SEND[mode]("/", bearer(token)).status == 401
            other = DPoPKey().proof("GET", "http://testserver/", token)
            assert SEND[mode]("/", dpop(token, other)).status == 401


def test_clients_without_proofs(server: FakeAuthorizationServer) -> None:
    """Without a proof, the token is a bearer token."""
    assert grant().json()["token_type"] == "Bearer"


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
def test_algorithms(algorithm: str, server: FakeAuthorizationServer) -> None:
    """Whatever algorithm a guard accepts is accepted here too."""
    key = DPoPKey(algorithm)
    assert server.introspect(grant(key.proof("POST", URL)).json()["access_token"])["cnf"] == key.confirmation


def private() -> dict[str, Any]:
    return dict(KEY._private.as_dict(private=True))


FLAWS: dict[str, Callable[[], str]] = {
    "garbage": lambda: "garbage",
    "empty": lambda: "",
    "two": lambda: f"{KEY.proof('POST', URL)}, {KEY.proof('POST', URL)}",
    "typ": lambda: KEY.proof("POST", URL, header={"typ": "JWT"}),
    "alg": lambda: KEY.proof("POST", URL, header={"alg": "none"}),
    "no jwk": lambda: KEY.proof("POST", URL, header={"jwk": None}),
    "jwk": lambda: KEY.proof("POST", URL, header={"jwk": {"kty": "EC"}}),
    "private jwk": lambda: KEY.proof("POST", URL, header={"jwk": private()}),
    "secret": lambda: KEY.proof("POST", URL, header={"jwk": {"kty": "oct", "k": "AAAA"}}),
    "another key": lambda: KEY.proof("POST", URL, header={"jwk": DPoPKey().jwk}),
    "no jti": lambda: KEY.proof("POST", URL, claims={"jti": None}),
    "htm": lambda: KEY.proof("GET", URL),
    "htu": lambda: KEY.proof("POST", f"{ISSUER}/other"),
    "old": lambda: KEY.proof("POST", URL, claims={"iat": int(time.time()) - 400}),
    "early": lambda: KEY.proof("POST", URL, claims={"iat": int(time.time()) + 400}),
    "no iat": lambda: KEY.proof("POST", URL, claims={"iat": None}),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_flaws(flaw: str, server: FakeAuthorizationServer) -> None:
    """RFC 9449 §5: a proof that is not for this request gets no token."""
    assert outcome(grant(FLAWS[flaw]())) == (400, "invalid_dpop_proof")


def test_replays(server: FakeAuthorizationServer) -> None:
    """A proof gets one token."""
    proof = KEY.proof("POST", URL)
    assert [outcome(grant(proof)) for _ in range(2)] == [(200, None), (400, "invalid_dpop_proof")]


def test_nonces(strict: FakeAuthorizationServer) -> None:
    """RFC 9449 §8: a server may want its nonces. Each response has one, which is good for five minutes."""
    refused = grant(KEY.proof("POST", URL))
    assert outcome(refused) == (400, "use_dpop_nonce")
    nonce = refused.headers["DPoP-Nonce"]
    granted = grant(KEY.proof("POST", URL, nonce=nonce))
    assert (granted.json()["token_type"], granted.headers["Cache-Control"]) == ("DPoP", "no-store")
    assert granted.headers["DPoP-Nonce"] != nonce
    assert outcome(grant(KEY.proof("POST", URL, nonce=nonce))) == (200, None)
    assert outcome(grant(KEY.proof("POST", URL, nonce="another"))) == (400, "use_dpop_nonce")
    strict.clock.move(301)
    assert outcome(grant(KEY.proof("POST", URL, nonce=nonce))) == (400, "use_dpop_nonce")
    assert outcome(grant("garbage")) == (400, "invalid_dpop_proof")
    bearers = grant()
    assert bearers.json()["token_type"] == "Bearer"
    assert "DPoP-Nonce" not in bearers.headers


def test_other_requests_come_first(strict: FakeAuthorizationServer) -> None:
    """A request that would be refused anyway needs no nonce, and uses up no proof."""
    assert outcome(grant(KEY.proof("POST", URL), grant_type="password")) == (400, "unsupported_grant_type")


def test_on_a_port() -> None:
    """So over a socket, where the address is that of the metadata."""
    with FakeAuthorizationServer(dpop_nonce=True).on_port() as server:
        url, form = server.metadata["token_endpoint"], {"grant_type": "client_credentials"}
        nonce = ask_port(url, form, {"DPoP": KEY.proof("POST", url)}).headers["DPoP-Nonce"]
        assert ask_port(url, form, {"DPoP": KEY.proof("POST", url, nonce=nonce)}).json()["token_type"] == "DPoP"


DETAILS = [{"type": "payment", "actions": ["initiate"]}]


def test_authorization_details(server: FakeAuthorizationServer) -> None:
    """RFC 9396 §6, §7: what a client asks for in detail is granted, and named in the response and the token."""
    granted = grant(authorization_details=json.dumps(DETAILS)).json()
    assert granted["authorization_details"] == DETAILS
    assert parts_of(granted["access_token"])[1]["authorization_details"] == DETAILS
    assert server.introspect(granted["access_token"])["authorization_details"] == DETAILS


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "[5]", "[{}]", '[{"type": 5}]'])
def test_odd_authorization_details(text: str, server: FakeAuthorizationServer) -> None:
    """RFC 9396 §5: what has no such form is refused."""
    assert outcome(grant(authorization_details=text)) == (400, "invalid_authorization_details")


@sync_and_async
def test_logins(mode: str, server: FakeAuthorizationServer) -> None:
    """The tokens of a test say how its user logged in, and what was granted; for JWTs and for opaque tokens."""
    requirements = {"acr_values": "gold", "max_age": 60, "authorization_details": {"type": "payment"}}
    for validator, issue in ((verifying(), server.jwt), (introspecting(), server.opaque)):
        with serving(ResourceProtector(validator)("profile", **requirements)(Witness().view(mode))):
            claims = {"acr": "gold", "auth_time": int(time.time()), "authorization_details": DETAILS}
            token = issue("profile", user="alice", claims=claims)
            assert SEND[mode]("/", bearer(token)).status == 200
            token = issue("profile", user="alice", claims={**claims, "auth_time": 1})
            assert SEND[mode]("/", bearer(token)).status == 401


def test_bad_input() -> None:
    """``dpop_nonce`` is a flag."""
    with pytest.raises(TypeError, match=r"^dpop_nonce must be True or False, got str"):
        FakeAuthorizationServer(dpop_nonce="yes")  # type: ignore[arg-type]
