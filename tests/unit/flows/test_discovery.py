"""Where a server's addresses are found, and which of them may be used."""

from typing import Any

import pytest

from async_oauth_guard.effects import HttpAnswer, HttpCall, Once
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.flows.discovery import LACKING_TTL, METADATA_TTL, Metadata, check_url, well_known_urls
from tests.unit.driving import DOWN, ISSUER, World, ok, status

TENANT = f"{ISSUER}/tenant1"
PLACES = (f"{ISSUER}/.well-known/oauth-authorization-server", f"{ISSUER}/.well-known/openid-configuration")
TENANT_PLACES = (
    f"{ISSUER}/.well-known/oauth-authorization-server/tenant1",
    f"{ISSUER}/.well-known/openid-configuration/tenant1",
    f"{TENANT}/.well-known/openid-configuration",
)
JWKS_URI = f"{ISSUER}/keys"


# Addresses

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
    """Calls go to https, or to this machine."""
    check_url(url, insecure)


@pytest.mark.parametrize("url", PRIVATE)
def test_private_network(url: str) -> None:
    """R65: http to another machine is refused, unless the site allows it by name."""
    with pytest.raises(ValueError, match="allow_insecure_http=True"):
        check_url(url, allow_insecure_http=False)
    check_url(url, allow_insecure_http=True)


@pytest.mark.parametrize("url", REFUSED, ids=repr)
@pytest.mark.parametrize("insecure", [False, True])
def test_refused(url: Any, insecure: bool) -> None:
    """R65: what is no absolute URL of that kind, or would be read in two ways, is refused whatever the site allows."""
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
    """R64: RFC 8414's name is inserted before the issuer's path, then OpenID Connect's, which comes after it too."""
    assert well_known_urls(issuer) == urls


# Metadata


class Site:
    """A validator that needs an address of the server's."""

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


def document(issuer: Any = ISSUER, **members: Any) -> HttpAnswer:
    return ok({"issuer": issuer, "jwks_uri": JWKS_URI, **members})


def test_found_at_once() -> None:
    """R64: where RFC 8414's location answers, no other is asked, and the request says nothing of any token."""
    site = Site()
    site.world.answer(PLACES[0], document())
    assert site.address() == JWKS_URI
    (call,) = site.world.calls
    assert (call.method, call.url, call.form) == ("GET", PLACES[0], None)
    assert call.headers == {"Accept": "application/json"}
    assert (call.client, call.gate) == (site.server.client, site.server.gate)


@pytest.mark.parametrize(
    "answer", [status(404), status(500), status(301), status(204), ok(b"<html>", "text/html"), ok([])]
)
@pytest.mark.parametrize(
    ("issuer", "places"), [(ISSUER, PLACES), (TENANT, TENANT_PLACES), (f"{TENANT}/", TENANT_PLACES)]
)
def test_goes_on(answer: HttpAnswer, issuer: str, places: tuple[str, ...]) -> None:
    """R64: an answer that is none, such as a page for people, sends us to the next location, in order."""
    site = Site(issuer)
    for place in places[:-1]:
        site.world.answer(place, answer)
    site.world.answer(places[-1], document(issuer))
    assert site.address() == JWKS_URI
    assert site.world.urls == list(places)


@pytest.mark.parametrize("answer", [status(404), status(302), status(500), ok(b"<html>", "text/html")])
def test_found_nowhere(answer: HttpAnswer) -> None:
    """E17: when no location has it, nobody can tell, and the server is left alone for a while."""
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
    """R63, E20: metadata of another issuer is not used, ends the search, and nothing that it names is fetched."""
    site = Site()
    site.world.answer(PLACES[0], document(issuer))
    assert site.refusal().reason == Reason.METADATA_UNUSABLE
    assert site.world.urls == [PLACES[0]]
    assert caplog.messages == [f"{PLACES[0]} is the metadata of another issuer than {ISSUER}"]
    assert site.refusal().reason == Reason.BACKING_OFF
    assert site.world.urls == [PLACES[0]]


def test_no_issuer_in_metadata() -> None:
    """R63: metadata that does not say whose it is is nobody's."""
    site = Site()
    site.world.answer(PLACES[0], ok({"jwks_uri": JWKS_URI}))
    assert site.refusal().reason == Reason.METADATA_UNUSABLE


def test_content_type() -> None:
    """JSON under another name is no metadata."""
    site = Site()
    site.world.answer(PLACES[0], ok({"issuer": ISSUER, "jwks_uri": JWKS_URI}, "text/plain"))
    assert site.refusal().reason == Reason.SERVER_ANSWER_UNUSABLE
    assert site.world.urls == [PLACES[0]]


@pytest.mark.parametrize(
    "address",
    [None, "http://as.example.com/keys", "file:///keys", "/keys", "https://u:p@as.example.com/", 7, [JWKS_URI]],
)
def test_address_that_may_not_be_used(address: Any, caplog: pytest.LogCaptureFixture) -> None:
    """R65: an address in the metadata that is no https URL is not used, and logged; the rest is used on."""
    site = Site()
    site.world.answer(PLACES[0], document(jwks_uri=address, introspection_endpoint=f"{ISSUER}/introspect"))
    assert site.refusal().reason == Reason.METADATA_UNUSABLE
    assert f"the metadata of {ISSUER} has no usable jwks_uri: " in caplog.text
    assert site.address("introspection_endpoint") == f"{ISSUER}/introspect"
    assert site.world.urls == [PLACES[0]]


@pytest.mark.parametrize("address", [None, "http://as.example.com/keys"])
def test_address_that_appears_later(address: Any) -> None:
    """E17: metadata that lacks an address that is needed is asked for again soon, not after ten minutes."""
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


def test_insecure_address() -> None:
    """R65: where the site allows http, it allows it for what the metadata names as well."""
    site = Site(allow_insecure_http=True)
    site.world.answer(PLACES[0], document(jwks_uri="http://as.example.com/keys"))
    assert site.address() == "http://as.example.com/keys"


@pytest.mark.parametrize("answer", [DOWN, status(503, "60")])
def test_down(answer: Any) -> None:
    """E17: without metadata nobody can tell; a server that is not there is not asked for a second location."""
    site = Site()
    for place in PLACES:
        site.world.answer(place, answer)
    error = site.refusal()
    expected = [PLACES[0]] if answer is DOWN else list(PLACES)
    assert site.world.urls == expected
    assert error.retry_after == (1 if answer is DOWN else 60)


def test_kept() -> None:
    """Metadata is used for ten minutes without asking. Then it is asked for anew, and nobody waits for that."""
    site = Site()
    site.world.answer(PLACES[0], document(), document(jwks_uri=f"{ISSUER}/new-keys"))
    assert site.address() == JWKS_URI
    site.world.time.advance(METADATA_TTL - 0.1)
    assert site.address() == JWKS_URI
    assert len(site.world.calls) == 1
    site.world.time.advance(0.1)
    site.world.hold = (HttpCall,)
    assert [site.address(), site.address()] == [JWKS_URI, JWKS_URI]
    assert len(site.world.calls) == 2
    site.world.release()
    assert site.address() == f"{ISSUER}/new-keys"
    assert len(site.world.calls) == 2


def test_asked_for_once() -> None:
    """Whoever needs an address meanwhile waits for the same answer."""
    site = Site()
    site.world.answer(PLACES[0], document(introspection_endpoint=f"{ISSUER}/introspect"))
    site.world.hold = (HttpCall,)
    runs = [
        site.world.begin(site.metadata.address_flow(name))
        for name in ("jwks_uri", "introspection_endpoint", "jwks_uri")
    ]
    site.world.release()
    assert [run.result() for run in runs] == [JWKS_URI, f"{ISSUER}/introspect", JWKS_URI]
    assert len(site.world.calls) == 1
    assert {effect.timeout for effect in site.world.asked(Once)} == {5.0}


@pytest.mark.parametrize("answer", [DOWN, status(404), document("https://evil.example.com"), ok(b"{}", "text/html")])
def test_old_metadata_while_it_cannot_be_had(answer: Any) -> None:
    """E18: addresses seldom change: what is known is used on for a day, and the server asked now and then."""
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


def test_metadata_that_cannot_be_had_is_no_failure_of_what_it_names() -> None:
    """E18: while metadata cannot be had, the server's other addresses may be asked."""
    site = Site()
    site.world.answer(PLACES[0], document(), DOWN)
    site.address()
    site.world.time.advance(METADATA_TTL)
    assert site.address() == JWKS_URI
    assert not site.server.backoff.is_failing
    site.server.backoff.check_open()


def test_a_bug_is_no_outage() -> None:
    """R124: an unexpected error is raised as it is, and no reason to leave the server alone."""
    site = Site()
    site.world.answer(PLACES[0], KeyError("a bug"), document())
    with pytest.raises(KeyError):
        site.address()
    assert site.address() == JWKS_URI


def test_two_servers_at_once() -> None:
    """R63: who waits for the metadata of one server is given no other's."""
    site = Site()
    site.world.answer(PLACES[0], document())
    site.world.answer(TENANT_PLACES[0], document(TENANT, jwks_uri=f"{TENANT}/keys"))
    tenant = Metadata(site.world.server(issuer=TENANT), max_stale=86_400.0)
    site.world.hold = (HttpCall,)
    runs = [site.world.begin(metadata.address_flow("jwks_uri")) for metadata in (site.metadata, tenant)]
    assert site.world.urls == [PLACES[0], TENANT_PLACES[0]]
    site.world.release()
    site.world.release()
    assert [run.result() for run in runs] == [JWKS_URI, f"{TENANT}/keys"]
