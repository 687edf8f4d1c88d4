"""``OAuthClient.oauth(..., dpop=True)``: the requests of the test clients prove possession of the token's key."""

import base64
import hashlib
import unittest
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import path

from async_oauth_guard import DPoP, Reason, ResourceProtector, require_oauth
from async_oauth_guard.protocol.dpop import PresentedProof, Proof, check_proof
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.testing import AsyncOAuthClient, DPoPKey, OAuthClient, override_oauth
from async_oauth_guard.validators.clock import CLOCK
from tests.kit.asking import alice, answer_of, sync_and_async, token_seen
from tests.kit.urls import async_view, model_validator, sync_view
from tests.proofs import forget_proofs
from tests.site.models import BoundToken
from tests.sites import MODES, Urls

ORIGIN = "https://api.example.com"
CLIENTS = {"def": OAuthClient, "async def": AsyncOAuthClient}
both_clients = pytest.mark.parametrize("mode", MODES)
usual = ResourceProtector(model_validator(), dpop=True)
elsewhere = ResourceProtector(model_validator(), dpop=True, public_origin=ORIGIN)
strict = ResourceProtector(model_validator(), dpop=DPoP(nonce=True, required=True))
picky = ResourceProtector(model_validator(), dpop=DPoP(("EdDSA",)))
without = ResourceProtector(model_validator())
VIEWS = {"def": sync_view, "async def": async_view}


async def _echo(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {"method": request.method, "body": request.body.decode(), "cookies": request.META["HTTP_COOKIE"]}
    )


def _acquire(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"type": require_oauth.acquire_token(request, "profile").token_type})


def _patterns(mode: str) -> Iterator[Any]:
    view = VIEWS[mode]
    guards = {"usual": usual, "elsewhere": elsewhere, "strict": strict, "picky": picky, "without": without}
    for name, protector in guards.items():
        yield path(f"{name}/", protector("profile", sender_constrained=name != "without")(view))
    yield path("nested/", elsewhere("profile")(elsewhere("profile")(view)))
    yield path("usual/a b/", usual("profile")(view))
    yield path("redirect/", usual("profile")(lambda request: HttpResponseRedirect("/strict/")))
    yield path("echo/", strict("profile")(_echo))
    yield path("open/", lambda request: HttpResponse())
    yield path("acquire/", _acquire)


@pytest.fixture(autouse=True)
def _no_replays() -> Iterator[None]:
    yield
    forget_proofs()


def send(client: Any, path: str, method: str = "get", **options: Any) -> Any:
    """The response of the view of the same kind as the client."""
    mode = "def" if isinstance(client, OAuthClient) else "async def"
    call = getattr(client, method)
    with override_settings(ROOT_URLCONF=Urls(*_patterns(mode))):
        return call(path, **options) if mode == "def" else async_to_sync(call)(path, **options)


# --- clients ---------------------------------------------------------------------------------------------------------


@both_clients
@pytest.mark.parametrize("name", ["usual", "elsewhere", "strict", "nested", "usual/a%20b"])
def test_proofs(name: str, mode: str) -> None:
    """Each request has a proof of its own, for its method and the address by which clients know the site."""
    client = CLIENTS[mode]().oauth("profile", user=alice, dpop=True)
    for method in ("get", "post", "head", "delete"):
        assert send(client, f"/{name}/", method).status_code == 200
    assert send(client, f"/{name}/?page=2").status_code == 200
    assert send(client, f"/{name}/", secure=True).status_code == 200


@both_clients
def test_the_token_is_bound(mode: str, reasons: list[Any]) -> None:
    """Views see a token that is bound to the key. Without ``dpop``, it is not."""
    client = CLIENTS[mode]()
    with override_settings(OAUTH_GUARD=SETTING):
        assert send(client.oauth("profile", dpop=True), "/acquire/").json() == {"type": "DPoP"}
        assert send(client.oauth("profile"), "/acquire/").json() == {"type": "Bearer"}
    assert send(client.oauth("profile"), "/usual/").status_code == 401
    assert send(client.oauth("profile", dpop=True), "/open/").status_code == 200
    assert send(client.oauth("profile", dpop=True), "/nowhere/").status_code == 404
    assert reasons == [Reason.BINDING_REQUIRED]


@both_clients
def test_views_without_a_guard(mode: str) -> None:
    """A site without the setting has views that read no proof."""
    client = CLIENTS[mode]().oauth("profile", dpop=True)
    with override_settings(OAUTH_GUARD={}):
        del settings.OAUTH_GUARD
        assert send(client, "/open/").status_code == 200
        assert send(client, "/nowhere/").status_code == 404


SETTING = {
    "VALIDATORS": [
        {"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": "site.OAuth2Token"}}
    ],
    "DPOP": True,
    "PUBLIC_ORIGIN": ORIGIN,
}


@both_clients
def test_nonces(mode: str, reasons: list[Any]) -> None:
    """A request is sent once more with the nonce that the site wants. Later requests have it at once."""
    client = CLIENTS[mode]().oauth("profile", dpop=True)
    for text in ("one", "two"):
        response = send(client, "/echo/", "post", data=text, content_type="text/plain")
        assert response.json() == {"method": "POST", "body": text, "cookies": ""}
    assert reasons == [Reason.MISSING_NONCE]


@both_clients
def test_one_retry(mode: str, reasons: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that accepts none of its own nonces is not asked for ever."""
    monkeypatch.setattr("async_oauth_guard.protocol.dpop.read_nonce", lambda nonce, keys: None)
    assert send(CLIENTS[mode]().oauth("profile", dpop=True), "/strict/").status_code == 401
    assert reasons == [Reason.MISSING_NONCE, Reason.INVALID_NONCE]


@both_clients
def test_redirects(mode: str, reasons: list[Any]) -> None:
    """The request after a redirect has its own proof."""
    response = send(CLIENTS[mode]().oauth("profile", dpop=True), "/redirect/", follow=True)
    assert (response.status_code, response.redirect_chain) == (200, [("/strict/", 302)])
    assert reasons == [Reason.MISSING_NONCE]


@both_clients
def test_proofs_of_the_test(mode: str, reasons: list[Any]) -> None:
    """A proof that the test sends itself is sent as it is, once."""
    client = CLIENTS[mode]().oauth("profile", dpop=True)
    response = send(client, "/usual/")
    sent = response.wsgi_request if mode == "def" else response.asgi_request
    assert response.status_code == 200
    assert send(client, "/usual/", headers={"DPoP": sent.headers["DPoP"]}).status_code == 401
    assert send(client, "/strict/", headers={"DPoP": "garbage"}).status_code == 401
    assert reasons == [Reason.REPLAYED_PROOF, Reason.MALFORMED_PROOF]


@both_clients
def test_stolen_tokens(mode: str, reasons: list[Any]) -> None:
    """A token that is bound to another key, or to none, is refused."""
    client, key = CLIENTS[mode](), DPoPKey()
    assert send(client.oauth("profile", confirmation=DPoPKey().confirmation, dpop=key), "/usual/").status_code == 401
    row = BoundToken(scope="profile", cnf=key.confirmation, user=alice)
    assert send(client.oauth(token=row, dpop=key), "/usual/").status_code == 200
    assert send(client.oauth(token=BoundToken(scope="profile", user=alice), dpop=key), "/usual/").status_code == 401
    assert reasons == [Reason.WRONG_CONFIRMATION, Reason.UNBOUND_TOKEN]


@both_clients
def test_sites_without_dpop(mode: str, reasons: list[Any]) -> None:
    """A protector without ``dpop`` refuses the scheme, and one with other algorithms the proof."""
    client = CLIENTS[mode]()
    assert send(client.oauth("profile", dpop=True), "/without/").status_code == 401
    assert send(client.oauth("profile", dpop=True), "/picky/").status_code == 401
    assert send(client.oauth("profile", dpop=DPoPKey("EdDSA")), "/picky/").status_code == 200
    assert reasons == [Reason.UNSUPPORTED_SCHEME, Reason.UNSUPPORTED_PROOF_ALGORITHM]


@both_clients
def test_refusals(mode: str) -> None:
    """An error of the test is the answer, in the challenge of DPoP."""
    response = send(CLIENTS[mode]().oauth(error=Reason.EXPIRED, dpop=True), "/usual/")
    assert response.status_code == 401
    _, _, challenge = response["WWW-Authenticate"].partition("DPoP ")
    assert 'scope="profile", error="invalid_token"' in challenge


@pytest.mark.parametrize("client_class", [OAuthClient, AsyncOAuthClient])
@pytest.mark.parametrize("given", [1, "ES256", {}, DPoPKey], ids=repr)
def test_bad_input(given: Any, client_class: Any) -> None:
    """Anything else is refused when the client is made."""
    with pytest.raises(TypeError, match=r"^dpop must be True or a DPoPKey, got "):
        client_class().oauth("profile", dpop=given)


def test_fixtures(oauth_client: OAuthClient) -> None:
    """The fixture of pytest has it."""
    assert send(oauth_client.oauth("profile", dpop=True), "/strict/").status_code == 200


async def test_async_fixtures(async_oauth_client: AsyncOAuthClient) -> None:
    """So has the one for async tests."""
    with override_settings(ROOT_URLCONF=Urls(*_patterns("async def"))):
        assert (await async_oauth_client.oauth("profile", dpop=True).get("/strict/")).status_code == 200


class TestWithUnittest(unittest.TestCase):
    """Without pytest, it works too."""

    def test_client(self) -> None:
        assert send(OAuthClient().oauth("profile", dpop=True), "/strict/").status_code == 200


# --- keys ------------------------------------------------------------------------------------------------------------


def check(proof: str, token: str = "t", method: str = "GET", uri: str = f"{ORIGIN}/a", **options: Any) -> Any:
    presented = PresentedProof(
        policy=DPoP(**options), value=Secret(proof), method=method, uri=uri, token=Secret(token), now=CLOCK.wall()
    )
    return check_proof(presented)


@pytest.mark.parametrize("algorithm", DPoP().algorithms)
def test_keys(algorithm: str) -> None:
    """A key makes proofs by any algorithm that a guard accepts."""
    key = DPoPKey(algorithm)
    proof = check(key.proof("GET", f"{ORIGIN}/a?b", "t"))
    assert isinstance(proof, Proof)
    assert key.confirmation == {"jkt": key.thumbprint} == {"jkt": proof.thumbprint}
    assert {"kty"} <= key.jwk.keys()
    assert not {"d", "kid"} & key.jwk.keys()
    assert repr(key) == f"<DPoPKey {algorithm} {key.thumbprint}>"


def test_changed_proofs() -> None:
    """A test may change any member of a proof, or leave it out."""
    key = DPoPKey()
    assert check(key.proof("GET", f"{ORIGIN}/a")) is Reason.MALFORMED_PROOF
    assert check(key.proof("GET", f"{ORIGIN}/a", "t", claims={"jti": None})) is Reason.MALFORMED_PROOF
    assert check(key.proof("GET", f"{ORIGIN}/a", "t", claims={"iat": 1})) is Reason.EXPIRED_PROOF
    assert check(key.proof("GET", f"{ORIGIN}/a", "t", header={"typ": "JWT"})) is Reason.WRONG_PROOF_TYPE
    assert check(key.proof("GET", f"{ORIGIN}/a", "t", nonce="x"), nonce=True) is Reason.INVALID_NONCE


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DPoPKey("ES265"), ValueError, "algorithm must be one of .*; did you mean 'ES256'"),
        (lambda: DPoPKey().proof("GET", "/a"), ValueError, "uri must be a whole URL"),
        (lambda: DPoPKey().proof("GET", ORIGIN, b"t"), TypeError, "token must be a string"),  # type: ignore[arg-type]
        (lambda: DPoPKey().proof("GET", ORIGIN, claims=5), TypeError, "claims must be a mapping"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_of_keys(make: Any, error: type[Exception], message: str) -> None:
    """What cannot work is refused at once."""
    with pytest.raises(error, match=message):
        make()


# --- override_oauth --------------------------------------------------------------------------------------------------

CERTIFICATE = {"x5t#S256": base64.urlsafe_b64encode(hashlib.sha256(b"").digest()).rstrip(b"=").decode()}


@sync_and_async
@pytest.mark.parametrize("confirmation", [{"jkt": "k"}, CERTIFICATE, {"jkt": "k", **CERTIFICATE}], ids=str)
def test_confirmations(confirmation: Any, view: Any) -> None:
    """``confirmation`` binds the token, and the requests need no proof."""
    with override_oauth("profile", confirmation=confirmation):
        assert answer_of(usual("profile", sender_constrained=True), view).status_code == 200
        token = token_seen()
        assert (token.confirmation, token["cnf"]) == (confirmation, confirmation)
        assert token.token_type == ("DPoP" if "jkt" in confirmation else "Bearer")
    with override_oauth("profile", confirmation=None):
        assert answer_of(usual("profile", sender_constrained=True), view).status_code == 401
        assert token_seen().confirmation is None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"confirmation": "k"}, TypeError, "confirmation must be a mapping such as {'jkt': 'thumbprint'}, got str"),
        ({"confirmation": {}}, ValueError, "confirmation must have jkt or x5t#S256, and nothing else"),
        ({"confirmation": {"kid": "k"}}, ValueError, "confirmation must have jkt or x5t#S256, and nothing else"),
        ({"confirmation": {"jkt": 5}}, TypeError, "confirmation must contain strings, got int"),
        ({"confirmation": {"jkt": "k"}, "claims": {"cnf": {}}}, TypeError, "cnf: this claim is given twice"),
        ({"cnf": {"jkt": "k"}}, TypeError, "cnf: write confirmation="),
        ({"dpop": True}, TypeError, r"dpop: write client.oauth\(..., dpop=True\)"),
    ],
)
def test_bad_confirmations(given: Any, error: type[Exception], message: str) -> None:
    """A ``cnf`` that no guard could check is refused at once."""
    with pytest.raises(error, match=f"^{message}"):
        override_oauth("profile", **given)


def test_overrides_still_present_no_proof() -> None:
    """Within ``override_oauth``, other clients' requests need no proof, whatever headers they have."""
    with override_oauth("profile"):
        request = RequestFactory().get("/", headers={"DPoP": "garbage"})
        assert usual.acquire_token(request, "profile").token_type == "Bearer"
        request = AsyncRequestFactory().get("/", headers={"DPoP": "garbage"})
        assert async_to_sync(strict.aacquire_token)(request, "profile").token_type == "Bearer"
