"""The views of `demo_asgi.remote_views` that require more than a token: a key, a certificate, or a recent login."""

import base64
import hashlib
import time
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from async_oauth_guard.testing import DPoPKey, FakeAuthorizationServer
from demo_asgi.page import keys

from .conftest import bearer

DPOP = ("/dpop/async", "/dpop/sync")
NONCE = ("/nonce/async", "/nonce/sync")
MTLS = ("/mtls/async", "/mtls/sync")
PAYMENT = ("/payment/async", "/payment/sync")

for_dpop = pytest.mark.parametrize("path", DPOP)
for_nonces = pytest.mark.parametrize("path", NONCE)
for_certificates = pytest.mark.parametrize("path", MTLS)
for_payments = pytest.mark.parametrize("path", PAYMENT)


def proven(key: DPoPKey, path: str, token: str, **proof: Any) -> dict[str, str]:
    """The header fields that present ``token`` with a proof for ``path``."""
    return {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", settings.ORIGIN + path, token, **proof)}


@for_dpop
def test_each_proof_is_accepted_once(client: Client, server: FakeAuthorizationServer, alice: User, path: str) -> None:
    """The client that has the key is let in. A second request with the same proof is refused."""
    key = DPoPKey()
    token = server.jwt("profile", user=alice, claims={"cnf": key.confirmation})
    headers = proven(key, path, token)
    assert client.get(path, headers=headers).json()["username"] == "alice"
    again = client.get(path, headers=headers)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_dpop_proof")


@for_dpop
@pytest.mark.django_db
def test_a_thief_is_refused(client: Client, server: FakeAuthorizationServer, path: str) -> None:
    """The token is useless without a proof, and with the proof of another key."""
    token = server.jwt("profile", claims={"cnf": DPoPKey().confirmation})
    for headers in (bearer(token), proven(DPoPKey(), path, token)):
        response = client.get(path, headers=headers)
        assert (response.status_code, response.json()["error"]) == (401, "invalid_token")


@pytest.mark.parametrize("path", [*DPOP, *NONCE, *MTLS])
@pytest.mark.django_db
def test_an_unbound_token_is_refused(client: Client, server: FakeAuthorizationServer, path: str) -> None:
    """These views refuse bearer tokens."""
    assert client.get(path, headers=bearer(server.jwt("profile"))).status_code == 401


@for_nonces
def test_a_nonce_is_required(client: Client, server: FakeAuthorizationServer, alice: User, path: str) -> None:
    """The first response contains the nonce for the second proof."""
    key = DPoPKey()
    token = server.jwt("profile", user=alice, claims={"cnf": key.confirmation})
    first = client.get(path, headers=proven(key, path, token))
    assert (first.status_code, first.json()["error"]) == (401, "use_dpop_nonce")
    nonce = first.headers["DPoP-Nonce"]
    assert client.get(path, headers=proven(key, path, token, nonce=nonce)).json()["username"] == "alice"


async def test_from_an_event_loop(async_client: AsyncClient, server: FakeAuthorizationServer) -> None:
    """The async view also works when an event loop runs it."""
    key = DPoPKey()
    token = server.jwt("profile", claims={"cnf": key.confirmation})
    response = await async_client.get("/dpop/async", headers=proven(key, "/dpop/async", token))
    assert response.json()["scopes"] == ["profile"]


def certified(server: FakeAuthorizationServer, user: User) -> str:
    """A token that is bound to the certificate of the page's client."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(keys.certificate("client")).digest())
    return server.jwt("profile", user=user, claims={"cnf": {"x5t#S256": digest.decode().rstrip("=")}})


@for_certificates
def test_the_right_certificate(client: Client, server: FakeAuthorizationServer, alice: User, path: str) -> None:
    """The client with the certificate is let in."""
    headers = {**bearer(certified(server, alice)), "Client-Cert": keys.client_cert("client")}
    assert client.get(path, headers=headers).json()["username"] == "alice"


@for_certificates
@pytest.mark.parametrize("certificate", [None, "thief"])
def test_a_missing_or_wrong_certificate(
    client: Client, server: FakeAuthorizationServer, alice: User, path: str, certificate: str | None
) -> None:
    """Without a certificate, or with another one, the token is invalid."""
    presented = {} if certificate is None else {"Client-Cert": keys.client_cert(certificate)}
    response = client.get(path, headers={**bearer(certified(server, alice)), **presented})
    assert (response.status_code, response.json()["error"]) == (401, "invalid_token")


@for_certificates
def test_the_header_counts_only_from_a_proxy(
    client: Client, server: FakeAuthorizationServer, alice: User, path: str
) -> None:
    """From any other address, the same request has no certificate."""
    headers = {**bearer(certified(server, alice)), "Client-Cert": keys.client_cert("client")}
    assert client.get(path, headers=headers, REMOTE_ADDR="192.0.2.1").status_code == 401


@for_payments
def test_a_recent_login(client: Client, server: FakeAuthorizationServer, alice: User, path: str) -> None:
    """A login just now with two factors is enough."""
    claims = {"acr": "mfa", "auth_time": int(time.time())}
    assert client.get(path, headers=bearer(server.jwt("profile", user=alice, claims=claims))).status_code == 200


@for_payments
@pytest.mark.parametrize(
    ("acr", "age", "unmet"),
    [("mfa", 3600, 'max_age="600"'), ("pwd", 0, 'acr_values="mfa"'), ("pwd", 3600, 'acr_values="mfa", max_age="600"')],
)
@pytest.mark.django_db
def test_an_insufficient_login(
    client: Client, server: FakeAuthorizationServer, path: str, acr: str, age: int, unmet: str
) -> None:
    """The challenge says what the next login must be."""
    claims = {"acr": acr, "auth_time": int(time.time()) - age}
    response = client.get(path, headers=bearer(server.jwt("profile", claims=claims)))
    assert (response.status_code, response.json()["error"]) == (401, "insufficient_user_authentication")
    assert response.headers["WWW-Authenticate"].endswith(unmet)
