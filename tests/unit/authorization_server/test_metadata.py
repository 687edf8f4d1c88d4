"""Where a server's URLs are found, and which of them may be used."""

from contextlib import nullcontext
from typing import Any

import pytest

from async_oauth_guard.authorization_server.metadata import (
    LACKING_TTL,
    METADATA_TTL,
    Metadata,
    check_url,
    well_known_urls,
)
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.runtime.effects import OutboundRequest, OutboundResponse, SingleFlight
from tests.unit.driving import DOWN, ISSUER, World, ok, status

TENANT = f"{ISSUER}/tenant1"
PLACES = (f"{ISSUER}/.well-known/oauth-authorization-server", f"{ISSUER}/.well-known/openid-configuration")
TENANT_PLACES = (
    f"{ISSUER}/.well-known/oauth-authorization-server/tenant1",
    f"{ISSUER}/.well-known/openid-configuration/tenant1",
    f"{TENANT}/.well-known/openid-configuration",
)
JWKS_URI = f"{ISSUER}/keys"


# URLs

ALLOWED = [
    "https://as.example.com",
    "https://as.example.com/",
    "https://as.example.com:8443/a/b?tenant=1",
    "HTTPS://AS.EXAMPLE.COM/",
    "https://[2001:db8::1]/keys",
    "https://192.0.2.1/",
    "http://localhost:9000/introspect",
    "http://LOCALHOST/",
    "http://127.0.0.1/",
    "http://127.8.9.10:8000/",
    "http://[::1]:8000/",
]
PRIVATE = ["http://as.example.com", "http://10.0.0.1/", "http://localhost.example.com/", "http://keycloak:8080/"]
REFUSED: list[Any] = [
    None,
    7,
    b"https://as.example.com",
    ["https://as.example.com"],
    "",
    "as.example.com",
    "//as.example.com/",
    "/introspect",
    "https:",
    "https://",
    "https:///introspect",
    "https:as.example.com",
    "ftp://as.example.com/",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "data:application/json,{}",
    "javascript:alert(1)",
    "unix://localhost/",
    "https://user@as.example.com/",
    "https://user:password@as.example.com/",
    "https://@as.example.com/",
    "https://:@as.example.com/",
    "http://localhost@evil.example.com/",
    "https://as.example.com/#fragment",
    "https://as.example.com/#",
    "https://as.example.com:0/",
    "https://as.example.com:65536/",
    "https://as.example.com:port/",
    "https://as.example.com/a b",
    " https://as.example.com/",
    "https://as.example.com/\n",
    "https://as.exa\tmple.com/",
    "https://as.example.com/\0",
    "https://as.example.com\\@evil.example.com/",
    "https://as.example.com\\evil",
    "https://äs.example.com/",
    "https://as.example.com/ä",
    "https://[::1/",
    "https://[evil]/",
]


@pytest.mark.parametrize("url", ALLOWED)
@pytest.mark.parametrize("insecure", [False, True])
def test_allowed(url: str, insecure: bool) -> None:
    """Requests go to https URLs, or to this machine."""
    check_url(url, insecure)


@pytest.mark.parametrize("url", PRIVATE)
def test_private_network(url: str) -> None:
    """R65: plain http to another machine is refused, unless the site allows it."""
    with pytest.raises(ValueError, match="allow_insecure_http=True"):
        check_url(url, allow_insecure_http=False)
    check_url(url, allow_insecure_http=True)


@pytest.mark.parametrize("url", REFUSED, ids=repr)
@pytest.mark.parametrize("insecure", [False, True])
def test_refused(url: Any, insecure: bool) -> None:
    """R65: a URL that is not absolute, or that programs may read differently, is always refused."""
    with pytest.raises(ValueError):
        check_url(url, insecure)


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (ISSUER, PLACES),
        (f"{ISSUER}/", PLACES),
        (TENANT, TENANT_PLACES),
        (f"{TENANT}/", TENANT_PLACES),
        (
            "http://localhost:9000/a/b",
            (
                "http://localhost:9000/.well-known/oauth-authorization-server/a/b",
                "http://localhost:9000/.well-known/openid-configuration/a/b",
                "http://localhost:9000/a/b/.well-known/openid-configuration",
            ),
        ),
        (
            "https://[2001:db8::1]:8443",
            (
                "https://[2001:db8::1]:8443/.well-known/oauth-authorization-server",
                "https://[2001:db8::1]:8443/.well-known/openid-configuration",
            ),
        ),
    ],
)
def test_places(issuer: str, urls: tuple[str, ...]) -> None:
    """R64: RFC 8414's path is inserted before the issuer's path. OpenID Connect's is tried before and after it."""
    assert well_known_urls(issuer) == urls


# Metadata


class Site:
    """A validator that needs one of the server's URLs."""

    def __init__(self, issuer: str = ISSUER, **options: Any) -> None:
        self.world = World()
        self.server = self.world.server(issuer=issuer, **options)
        self.metadata = Metadata(self.server, max_stale=86_400.0)

    def address(self, name: str = "jwks_uri") -> Any:
        return self.world.run(self.metadata.address_flow(name))

    def refusal(self, name: str = "jwks_uri") -> TemporarilyUnavailableError:
        with pytest.raises(TemporarilyUnavailableError) as caught:
            self.address(name)
        return caught.value


def document(issuer: Any = ISSUER, **members: Any) -> OutboundResponse:
    return ok({"issuer": issuer, "jwks_uri": JWKS_URI, **members})


def test_found_at_once() -> None:
    """R64: if RFC 8414's location responds, no other is tried, and the request reveals nothing about tokens."""
    site = Site()
    site.world.answer(PLACES[0], document())
    assert site.address() == JWKS_URI
    (call,) = site.world.calls
    assert (call.method, call.url, call.form) == ("GET", PLACES[0], None)
    assert call.headers == {"Accept": "application/json"}
    assert (call.client, call.concurrency_limit) == (site.server.client, site.server.concurrency_limit)


@pytest.mark.parametrize(
    "answer", [status(404), status(500), status(301), status(204), ok(b"<html>", "text/html"), ok([])]
)
@pytest.mark.parametrize(
    ("issuer", "places"), [(ISSUER, PLACES), (TENANT, TENANT_PLACES), (f"{TENANT}/", TENANT_PLACES)]
)
def test_goes_on(answer: OutboundResponse, issuer: str, places: tuple[str, ...]) -> None:
    """R64: after an unusable response, such as an HTML page, the next location is tried, in order."""
    site = Site(issuer)
    for place in places[:-1]:
        site.world.answer(place, answer)
    site.world.answer(places[-1], document(issuer))
    assert site.address() == JWKS_URI
    assert site.world.urls == list(places)


@pytest.mark.parametrize("answer", [status(404), status(302), status(500), ok(b"<html>", "text/html")])
def test_found_nowhere(answer: OutboundResponse) -> None:
    """E17: if no location has metadata, the outage is reported, and the server is backing off."""
    site = Site()
    for place in PLACES:
        site.world.answer(place, answer)
    assert site.refusal().reason == Reason.SERVER_ANSWER_UNUSABLE
    assert site.world.urls == list(PLACES)
    assert site.refusal().reason == Reason.BACKING_OFF
    assert site.world.urls == list(PLACES)


@pytest.mark.parametrize(
    "issuer",
    [f"{ISSUER}/", ISSUER.upper(), "https://evil.example.com", f"{ISSUER}:443", "", None, [ISSUER], TENANT],
    ids=repr,
)
def test_foreign_issuer(issuer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """R63, E20: metadata of another issuer ends the search, and none of its URLs is used."""
    site = Site()
    site.world.answer(PLACES[0], document(issuer))
    assert site.refusal().reason == Reason.METADATA_UNUSABLE
    assert site.world.urls == [PLACES[0]]
    assert caplog.messages == [f"The issuer in the metadata at {PLACES[0]} must be {ISSUER}, got another"]
    assert site.refusal().reason == Reason.BACKING_OFF
    assert site.world.urls == [PLACES[0]]


def test_no_issuer_in_metadata() -> None:
    """R63: metadata without an issuer is refused."""
    site = Site()
    site.world.answer(PLACES[0], ok({"jwks_uri": JWKS_URI}))
    assert site.refusal().reason == Reason.METADATA_UNUSABLE


def test_content_type() -> None:
    """JSON with another content type is refused."""
    site = Site()
    site.world.answer(PLACES[0], ok({"issuer": ISSUER, "jwks_uri": JWKS_URI}, "text/plain"))
    assert site.refusal().reason == Reason.SERVER_ANSWER_UNUSABLE
    assert site.world.urls == [PLACES[0]]


@pytest.mark.parametrize(
    "address",
    [None, "http://as.example.com/keys", "file:///keys", "/keys", "https://u:p@as.example.com/", 7, [JWKS_URI]],
)
def test_address_that_may_not_be_used(address: Any, caplog: pytest.LogCaptureFixture) -> None:
    """R65: a URL that is not https is not used, and logged. The other URLs of the metadata are used."""
    site = Site()
    site.world.answer(PLACES[0], document(jwks_uri=address, introspection_endpoint=f"{ISSUER}/introspect"))
    assert site.refusal().reason == Reason.METADATA_UNUSABLE
    assert f"The metadata of {ISSUER} has no usable jwks_uri: " in caplog.text
    assert site.address("introspection_endpoint") == f"{ISSUER}/introspect"
    assert site.world.urls == [PLACES[0]]


@pytest.mark.parametrize(
    "issuer",
    [None, "as", "http://as.example.com", "https://u:secret@as.example.com", "https://as.example.com:99999"],
)
def test_issuer_that_may_not_be_asked(issuer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An issuer that the options have not checked, since a hook seems to replace its use, is not asked, and logged."""
    site = Site(issuer)
    assert site.refusal().reason == Reason.SERVER_ANSWER_UNUSABLE
    assert site.world.urls == []
    assert "The URL for metadata cannot be used: it must be " in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("address", [None, "http://as.example.com/keys"])
def test_address_that_appears_later(address: Any) -> None:
    """E17: metadata that lacks the needed URL is fetched again soon, not only after ten minutes."""
    site = Site()
    site.world.answer(PLACES[0], document(jwks_uri=address, introspection_endpoint=f"{ISSUER}/introspect"), document())
    site.refusal()
    site.world.time.advance(LACKING_TTL - 0.1)
    site.refusal()
    assert site.address("introspection_endpoint") == f"{ISSUER}/introspect"
    assert len(site.world.calls) == 1
    site.world.time.advance(0.1)
    assert site.address("introspection_endpoint") == f"{ISSUER}/introspect"
    assert len(site.world.calls) == 1
    assert site.address() == JWKS_URI
    assert len(site.world.calls) == 2


LOCAL_KEYS = ["http://127.0.0.1:9000/keys", "http://localhost/keys", "http://[::1]/keys"]


@pytest.mark.parametrize("address", LOCAL_KEYS)
@pytest.mark.parametrize("name", ["jwks_uri", "introspection_endpoint"])
@pytest.mark.parametrize("issuer", [ISSUER, "https://localhost:9443", "HTTPS://as.example.com"])
def test_plain_address_of_this_machine(issuer: str, name: str, address: str) -> None:
    """R65: metadata of an https issuer cannot direct secrets in plain text to a port of this machine."""
    site = Site(issuer)
    for place in well_known_urls(issuer):
        site.world.answer(place, document(issuer, **{name: address}))
    assert site.refusal(name).reason == Reason.METADATA_UNUSABLE
    assert address not in site.world.urls


@pytest.mark.parametrize("address", LOCAL_KEYS)
@pytest.mark.parametrize("issuer", ["http://127.0.0.1:9000", "http://localhost/tenant"])
def test_plain_issuer_of_this_machine(issuer: str, address: str) -> None:
    """R65: an http issuer on this machine may have http URLs on this machine, and no others."""
    site = Site(issuer)
    site.world.answer(well_known_urls(issuer)[0], document(issuer, jwks_uri=address, token="http://as.example.com/"))
    assert site.address() == address
    assert site.refusal("token").reason == Reason.METADATA_UNUSABLE


@pytest.mark.parametrize("address", LOCAL_KEYS)
def test_insecure_address_of_this_machine(address: str) -> None:
    """R65: if the site allows http for all addresses, this includes this machine."""
    site = Site(allow_insecure_http=True)
    site.world.answer(PLACES[0], document(jwks_uri=address))
    assert site.address() == address


def test_insecure_address() -> None:
    """R65: if the site allows http, this includes the URLs in the metadata."""
    site = Site(allow_insecure_http=True)
    site.world.answer(PLACES[0], document(jwks_uri="http://as.example.com/keys"))
    assert site.address() == "http://as.example.com/keys"


@pytest.mark.parametrize("insecure", [False, True])
def test_request_to_an_insecure_address(insecure: bool) -> None:
    """R65: a request is sent to an http address only if the site allows it."""
    server = Site(allow_insecure_http=insecure).server
    with server.backoff.attempt() as attempt, nullcontext() if insecure else pytest.raises(TemporarilyUnavailableError):
        assert server.get("http://as.example.com/keys", attempt, "jwks").url == "http://as.example.com/keys"


@pytest.mark.parametrize("answer", [DOWN, status(503, "60")])
def test_down(answer: Any) -> None:
    """E17: without metadata the outage is reported. No second location is tried if the server is unreachable."""
    site = Site()
    for place in PLACES:
        site.world.answer(place, answer)
    error = site.refusal()
    expected = [PLACES[0]] if answer is DOWN else list(PLACES)
    assert site.world.urls == expected
    assert error.retry_after == (1 if answer is DOWN else 60)


def test_kept() -> None:
    """Metadata is used for ten minutes. Then it is fetched again in the background."""
    site = Site()
    site.world.answer(PLACES[0], document(), document(jwks_uri=f"{ISSUER}/new-keys"))
    assert site.address() == JWKS_URI
    site.world.time.advance(599.9)
    assert site.address() == JWKS_URI
    assert len(site.world.calls) == 1
    site.world.time.advance(0.1)
    site.world.hold = (OutboundRequest,)
    assert [site.address(), site.address()] == [JWKS_URI, JWKS_URI]
    assert len(site.world.calls) == 2
    site.world.release()
    assert site.address() == f"{ISSUER}/new-keys"
    assert len(site.world.calls) == 2


def test_asked_for_once() -> None:
    """Concurrent requests that need a URL share one fetch."""
    site = Site()
    site.world.answer(PLACES[0], document(introspection_endpoint=f"{ISSUER}/introspect"))
    site.world.hold = (OutboundRequest,)
    runs = [
        site.world.begin(site.metadata.address_flow(name))
        for name in ("jwks_uri", "introspection_endpoint", "jwks_uri")
    ]
    site.world.release()
    assert [run.result() for run in runs] == [JWKS_URI, f"{ISSUER}/introspect", JWKS_URI]
    assert len(site.world.calls) == 1
    assert {effect.timeout for effect in site.world.asked(SingleFlight)} == {5.0}


@pytest.mark.parametrize("answer", [DOWN, status(404), document("https://evil.example.com"), ok(b"{}", "text/html")])
def test_old_metadata_while_it_cannot_be_had(answer: Any) -> None:
    """E18: during an outage known URLs are used for a day, and the metadata is requested now and then."""
    site = Site()
    site.world.answer(PLACES[0], document(), answer)
    site.world.answer(PLACES[1], answer)
    site.address()
    site.world.time.advance(METADATA_TTL)
    assert site.address() == JWKS_URI
    asked = len(site.world.calls)
    assert asked > 1
    assert site.address() == JWKS_URI
    assert len(site.world.calls) == asked
    site.world.time.advance(86_399.9 - METADATA_TTL)
    assert site.address() == JWKS_URI
    assert len(site.world.calls) > asked
    site.world.time.advance(0.1)
    site.refusal()
    site.world.time.advance(60)
    asked = len(site.world.calls)
    site.refusal()
    assert len(site.world.calls) > asked


def test_a_request_that_queued_while_the_server_began_to_fail() -> None:
    """E24: a request that waits in the queue is not sent if the server has failed meanwhile."""
    site = Site()
    with site.server.backoff.attempt() as attempt:
        request = site.server.get(PLACES[0], attempt, "metadata")
        request.ready()
        with pytest.raises(TemporarilyUnavailableError), site.server.backoff.attempt():
            raise TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE)
        with pytest.raises(TemporarilyUnavailableError) as caught:
            request.ready()
    assert caught.value.reason == Reason.BACKING_OFF


def test_metadata_that_cannot_be_had_is_no_failure_of_what_it_names() -> None:
    """E18: while the metadata is not available, requests to the server's other URLs are still allowed."""
    site = Site()
    site.world.answer(PLACES[0], document(), DOWN)
    site.address()
    site.world.time.advance(METADATA_TTL)
    assert site.address() == JWKS_URI
    assert not site.server.backoff.is_failing
    site.server.backoff.check_open()


def test_a_bug_is_no_outage() -> None:
    """R124: an unexpected error is raised unchanged, and does not start a back-off."""
    site = Site()
    site.world.answer(PLACES[0], KeyError("a bug"), document())
    with pytest.raises(KeyError):
        site.address()
    assert site.address() == JWKS_URI


def test_two_servers_at_once() -> None:
    """R63: a request that waits for the metadata of one server never gets that of another."""
    site = Site()
    site.world.answer(PLACES[0], document())
    site.world.answer(TENANT_PLACES[0], document(TENANT, jwks_uri=f"{TENANT}/keys"))
    tenant = Metadata(site.world.server(issuer=TENANT), max_stale=86_400.0)
    site.world.hold = (OutboundRequest,)
    runs = [site.world.begin(metadata.address_flow("jwks_uri")) for metadata in (site.metadata, tenant)]
    assert site.world.urls == [PLACES[0], TENANT_PLACES[0]]
    site.world.release()
    site.world.release()
    assert [run.result() for run in runs] == [JWKS_URI, f"{TENANT}/keys"]
