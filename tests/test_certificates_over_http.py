"""Certificate-bound tokens (RFC 8705), with requests through both servers' handlers to sync and async views."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InvalidTokenError,
    MutualTLS,
    Reason,
    ResourceProtector,
    token_rejected,
)
from async_oauth_guard.protocol.certificates import HEADERS
from async_oauth_guard.testing import FakeAuthorizationServer
from tests.answers import Answer, bearer
from tests.bound_tokens import SOURCES, commit_rows
from tests.certificates import WRITERS, der, pem
from tests.conftest import Committed, Send
from tests.kit.guarded_sites import CLIENTS
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

sync_and_async = pytest.mark.parametrize("mode", MODES)


def hashed(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


RIGHT = hashed(der())
BOUND = {"x5t#S256": RIGHT}
# Other spellings of the same hash, and other hashes.
WRONG: dict[str, Any] = {
    "padded": {"x5t#S256": RIGHT + "="},
    "hexadecimal": {"x5t#S256": hashlib.sha256(der()).hexdigest()},
    "standard Base64": {"x5t#S256": base64.b64encode(hashlib.sha256(der()).digest()).decode()},
    "hash of the PEM": {"x5t#S256": hashed(pem().encode())},
    "another certificate": {"x5t#S256": hashed(der("other"))},
}
UNCHECKED: dict[str, Any] = {
    "SHA-1": {"x5t": RIGHT},
    "key as well": {**BOUND, "jkt": RIGHT},
    "unknown member as well": {**BOUND, "kid": "k"},
    "not text": {"x5t#S256": [RIGHT]},
    "empty": {"x5t#S256": ""},
}


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    commit_rows(committed, [None, BOUND, *WRONG.values(), *UNCHECKED.values()])


@pytest.fixture(scope="module")
def server() -> Iterator[FakeAuthorizationServer]:
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running


class Asked:
    """Sends requests to a guarded view, and knows why they were refused."""

    def __init__(self, send: Send, mode: str, protector: ResourceProtector, token: str) -> None:
        self.send, self.token = send, token
        self.view = protector("profile")(Witness().view(mode))
        self.reasons: list[Any] = []

    def answer(self, headers: Any = ()) -> Answer:
        self.reasons.clear()
        token_rejected.connect(self.hear)
        with serving(self.view):
            return self.send("/", [*bearer(self.token), *headers])

    def hear(self, sender: Any, error: Any, **kwargs: Any) -> None:
        self.reasons.append(error.reason)

    def outcome(self, headers: Any = ()) -> tuple[int, Any]:
        answer = self.answer(headers)
        if answer.status == 401:
            assert [challenge.parameters["error"] for challenge in answer.challenges] == ["invalid_token"]
        return answer.status, self.reasons[0] if self.reasons else None


Ask = Callable[..., Asked]


@pytest.fixture
def ask(send: Send, server: FakeAuthorizationServer) -> Ask:
    """Makes a site that trusts the tests' own address, unless another ``mtls`` is given."""

    def make(mode: str, source: str, confirmation: Any, mtls: Any = None) -> Asked:
        validator, token = SOURCES[source](server, confirmation)
        mtls = mtls or MutualTLS("nginx", trusted_proxies=["127.0.0.1"])
        return Asked(send, mode, ResourceProtector(validator, mtls=mtls), token)

    return make


def header(name: str = "client", source: str = "nginx", as_name: str | None = None) -> list[tuple[bytes, bytes]]:
    return [((as_name or HEADERS[source][0]).encode(), WRITERS[source](name).encode())]


NO_CERTIFICATE = (401, Reason.SENDER_CONSTRAINED)
OTHER_CERTIFICATE = (401, Reason.WRONG_CONFIRMATION)


@sync_and_async
@pytest.mark.parametrize("source", SOURCES)
def test_certificates(source: str, mode: str, ask: Ask) -> None:
    """R101: the right certificate is let in. Another one, or none, is 401, whatever source the token comes from."""
    asked = ask(mode, source, BOUND)
    assert asked.outcome(header()) == (200, None)
    assert asked.outcome(header("other")) == OTHER_CERTIFICATE
    assert asked.outcome() == NO_CERTIFICATE
    assert asked.outcome([(b"x-ssl-client-cert", b"")]) == NO_CERTIFICATE


@sync_and_async
@pytest.mark.parametrize("proxy", HEADERS)
def test_proxies(proxy: Any, mode: str, ask: Ask) -> None:
    """R101: the header of each proxy is read."""
    asked = ask(mode, "attribute", BOUND, MutualTLS(proxy, trusted_proxies=["127.0.0.0/8"]))
    assert asked.outcome(header(source=proxy)) == (200, None)
    assert asked.outcome(header("other", source=proxy)) == OTHER_CERTIFICATE


@sync_and_async
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("confirmation", WRONG.values(), ids=WRONG)
def test_other_hashes(confirmation: Any, source: str, mode: str, ask: Ask) -> None:
    """R102: ``x5t#S256`` is compared with the hash of the DER, in base64url without padding."""
    assert ask(mode, source, confirmation).outcome(header()) == OTHER_CERTIFICATE


@sync_and_async
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("confirmation", UNCHECKED.values(), ids=UNCHECKED)
def test_other_members(confirmation: Any, source: str, mode: str, ask: Ask) -> None:
    """R104: all members of ``cnf`` must be satisfied. What cannot be checked is refused, also with the certificate."""
    status, reason = ask(mode, source, confirmation).outcome(header())
    assert status == 401
    assert reason in (Reason.UNSUPPORTED_CONFIRMATION, Reason.SENDER_CONSTRAINED)


@sync_and_async
@pytest.mark.parametrize("source", SOURCES)
def test_bearer_tokens(source: str, mode: str, ask: Ask) -> None:
    """A token that is bound to nothing is let in with and without a certificate."""
    asked = ask(mode, source, None)
    assert asked.outcome(header()) == asked.outcome() == (200, None)


@sync_and_async
@pytest.mark.parametrize("trusted", [["10.0.0.0/8"], ["unix"], ["::1"]])
def test_untrusted_peer(trusted: list[str], mode: str, ask: Ask) -> None:
    """R103: the header of a peer that is not a trusted proxy is ignored."""
    asked = ask(mode, "attribute", BOUND, MutualTLS("nginx", trusted_proxies=trusted))
    for forged in ([], [(b"x-forwarded-for", b"10.0.0.1")], [(b"remote-addr", b"10.0.0.1")]):
        assert asked.outcome([*header(), *forged]) == NO_CERTIFICATE


@sync_and_async
def test_repeated_header(mode: str, ask: Ask) -> None:
    """R103: two header lines, or two values in one line, are no certificate, whichever of them is right."""
    asked = ask(mode, "attribute", BOUND)
    [(name, value)] = header()
    for second in (value, header("other")[0][1], b"", b"x"):
        for pair in ((value, second), (second, value)):
            assert asked.outcome([(name, each) for each in pair]) == NO_CERTIFICATE
            assert asked.outcome([(name, b",".join(pair))]) == NO_CERTIFICATE


@sync_and_async
def test_underscores(mode: str, ask: Ask, request: pytest.FixtureRequest) -> None:
    """R103: a variant of the name with underscores never replaces the proxy's header.

    Under WSGI the two have one name, so the server either drops the variant or joins the values, as here.
    """
    asked = ask(mode, "attribute", BOUND)
    variant = header(as_name="X_SSL_Client_Cert")
    is_asgi = "asgi" in request.node.name
    assert asked.outcome([*header("other"), *variant]) == (OTHER_CERTIFICATE if is_asgi else NO_CERTIFICATE)
    assert asked.outcome([*variant, *header("other")]) == (OTHER_CERTIFICATE if is_asgi else NO_CERTIFICATE)
    if is_asgi:
        assert asked.outcome(variant) == NO_CERTIFICATE


@sync_and_async
@pytest.mark.parametrize("proxy", HEADERS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=st.one_of(st.binary(max_size=60), st.text('=;,"%:+-AQB \n', max_size=40).map(str.encode)))
def test_any_bytes(proxy: Any, value: bytes, mode: str, ask: Ask) -> None:
    """R103: no bytes in the header cause a 500, and none are a certificate."""
    asked = ask(mode, "attribute", BOUND, MutualTLS(proxy, trusted_proxies=["127.0.0.1"]))
    for text in (
        value,
        WRITERS[proxy]("client").encode() + b"\x80" + value,
        value + b'"' + WRITERS[proxy]("client").encode(),
    ):
        assert asked.outcome([(HEADERS[proxy][0].encode(), text)]) == NO_CERTIFICATE


@sync_and_async
def test_callable(mode: str, ask: Ask) -> None:
    """R101: the site's function returns the certificate. It is called only if the token is bound to one."""
    calls: list[HttpRequest] = []

    async def source(request: HttpRequest) -> bytes | None:
        calls.append(request)
        return der()

    def sync_source(request: HttpRequest) -> bytes | None:
        calls.append(request)
        return der()

    for each in (source, sync_source):
        mtls = MutualTLS(each)
        calls.clear()
        for name in SOURCES:
            assert ask(mode, name, None, mtls).outcome() == (200, None)
        assert ask(mode, "attribute", {**BOUND, "kid": "k"}, mtls).outcome() == (401, Reason.UNSUPPORTED_CONFIRMATION)
        assert calls == []
        for number, name in enumerate(SOURCES, start=1):
            assert ask(mode, name, BOUND, mtls).outcome() == (200, None)
            # Once for each request, also if a hook calls our method.
            assert len(calls) == number
        assert ask(mode, "JWT", WRONG["another certificate"], mtls).outcome() == OTHER_CERTIFICATE


@sync_and_async
@pytest.mark.parametrize("returned", ["text", True, [der()]])
def test_callable_that_returns_something_else(returned: Any, mode: str, ask: Ask) -> None:
    """What the site's function returns is checked: a mistake of the site is a 500."""
    asked = ask(mode, "attribute", BOUND, MutualTLS(lambda request: returned))
    with pytest.raises(TypeError, match="must return a bytes or None"):
        raise_server_error(asked)


def raise_server_error(asked: Asked) -> None:
    """Call the view without Django's handler, which would turn the exception into a 500."""
    from asgiref.sync import async_to_sync
    from django.test import AsyncRequestFactory, RequestFactory

    from async_oauth_guard.runtime.run import is_async

    headers = {"Authorization": f"Bearer {asked.token}"}
    if is_async(asked.view):
        async_to_sync(asked.view)(AsyncRequestFactory().get("/", headers=headers))
    else:
        asked.view(RequestFactory().get("/", headers=headers))


class OwnRequests(ResourceProtector):
    """Finds tokens by itself."""

    confirmation: Any = None

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return AccessToken({"scope": "profile", "cnf": self.confirmation})


@sync_and_async
def test_acquired_tokens(mode: str, send: Send) -> None:
    """R101, R104: the certificate is compared with the token that a protector's own method finds, too."""
    mtls = MutualTLS("nginx", trusted_proxies=["127.0.0.1"])
    protector = OwnRequests(BearerTokenValidator("site.OAuth2Token"), mtls=mtls)
    asked = Asked(send, mode, protector, "any")
    for protector.confirmation, outcome in (
        (BOUND, (200, None)),
        (WRONG["another certificate"], OTHER_CERTIFICATE),
        (None, (200, None)),
    ):
        assert asked.outcome(header()) == outcome
    protector.confirmation = BOUND
    assert asked.outcome() == NO_CERTIFICATE


@pytest.mark.parametrize("source", SOURCES)
def test_without_a_request(source: str, server: FakeAuthorizationServer) -> None:
    """R101: ``validate_token`` takes the certificate as DER, and refuses a bound token without it."""
    validator, token = SOURCES[source](server, BOUND)
    for mtls in (None, MutualTLS("asgi")):
        protector = ResourceProtector(validator, mtls=mtls)
        assert protector.validate_token(token, certificate=der())
        for certificate, reason in ((None, Reason.SENDER_CONSTRAINED), (der("other"), Reason.WRONG_CONFIRMATION)):
            with pytest.raises(InvalidTokenError) as caught:
                protector.validate_token(token, certificate=certificate)
            assert caught.value.reason is reason  # type: ignore[attr-defined]


async def test_without_a_request_on_a_loop() -> None:
    """The async method takes it as well, and both refuse what is not the DER of a certificate."""
    validator, token = SOURCES["own"](None, BOUND)  # type: ignore[arg-type]
    protector = ResourceProtector(validator)
    assert await protector.avalidate_token(token, certificate=der())
    for wrong, error in ((pem(), TypeError), (pem().encode(), ValueError), (b"", ValueError)):
        with pytest.raises(error, match="certificate must be"):
            await protector.avalidate_token(token, certificate=wrong)  # type: ignore[arg-type]


@sync_and_async
def test_settings(mode: str, send: Send, server: FakeAuthorizationServer) -> None:
    """The ready-made protector takes the setting."""
    _, token = SOURCES["attribute"](server, BOUND)
    setting = {
        "VALIDATORS": [
            {"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": "site.BoundToken"}}
        ],
        "MTLS": {"source": "haproxy", "header": "X-Cert", "trusted_proxies": ["127.0.0.1"]},
    }
    asked = Asked(send, mode, ResourceProtector.from_settings(), token)
    from django.test import override_settings

    with override_settings(OAUTH_GUARD=setting):
        assert asked.outcome(header(source="haproxy", as_name="X-Cert")) == (200, None)
        assert asked.outcome(header(source="haproxy")) == NO_CERTIFICATE
    with override_settings(OAUTH_GUARD={**setting, "MTLS": {"source": "tests.certificates.of_request"}}):
        asked = Asked(send, mode, ResourceProtector.from_settings(), token)
        assert asked.outcome() == (200, None)
