"""Faulty server metadata is not used, no address in it is called, and service resumes afterwards."""

import socket
from typing import Any

import pytest

from async_oauth_guard import Reason
from tests.faults import Behaviour, FaultServer, Hang, Huge, Json, Received, Redirect, Reset, Status
from tests.remote.authority import INTROSPECTION, KEYS, METADATA, OPENID_METADATA, TIMEOUT, Authority
from tests.remote.conftest import Guarded, Site, check_refused, check_unavailable, eventually, within_deadline

# Waits for real seconds.
pytestmark = pytest.mark.slow

ELSEWHERE = "/elsewhere"
WELL_KNOWN = {METADATA, OPENID_METADATA}


def guard(site: Site, authority: Authority, kind: str, **options: Any) -> tuple[Guarded, str]:
    """A view whose validator has to discover what it needs, and a good token."""
    if kind == "keys":
        return site.guard(authority.verifying(**options)), authority.jwt()
    return site.guard(authority.introspecting(issuer=authority.issuer, **options)), authority.opaque()


def changed(**changes: Any) -> Any:
    """Metadata that differs from the true one."""

    def answer(authority: Authority) -> Behaviour:
        return Json({name: value for name, value in {**authority.metadata, **changes}.items() if value is not None})

    return answer


def always(behaviour: Behaviour) -> Any:
    return lambda authority: behaviour


def redirected(authority: Authority) -> Behaviour:
    return Redirect(authority.issuer + ELSEWHERE)


def foreign(authority: Authority) -> Behaviour:
    return Json(authority.metadata | {"issuer": "https://attacker.example.com"})


def with_slash(authority: Authority) -> Behaviour:
    return Json(authority.metadata | {"issuer": authority.issuer + "/"})


FAULTS: dict[str, Any] = {
    "foreign issuer": foreign,
    "issuer with a slash": with_slash,
    "issuer absent": changed(issuer=None),
    "issuer a list": lambda authority: Json(authority.metadata | {"issuer": [authority.issuer]}),
    "redirect": redirected,
    "hang": always(Hang()),
    "reset": always(Reset()),
    "500": always(Status(500)),
    "HTML": always(Status(200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>")),
    "a list": always(Json([])),
    "200 MB": always(Huge(200)),
}

UNUSABLE: dict[str, Any] = {
    "nothing in it": lambda authority: Json({"issuer": authority.issuer}),
    "addresses that are none": changed(jwks_uri=7, introspection_endpoint=["https://as.example.com"]),
    "files": changed(jwks_uri="file:///etc/passwd", introspection_endpoint="file:///etc/passwd"),
    "addresses with a password": changed(jwks_uri="https://a:b@127.0.0.1/", introspection_endpoint="https://a:b@h/"),
    "relative": changed(jwks_uri=KEYS, introspection_endpoint=INTROSPECTION),
}


@pytest.mark.parametrize("kind", ["keys", "introspection"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_faults(fault: Any, kind: str, site: Site, authority: Authority) -> None:
    """E20, R63, R65: the answer is 503, only the metadata is fetched, and no token is sent. Then service resumes."""
    guarded, token = guard(site, authority, kind, timeout=TIMEOUT)
    break_metadata(authority, fault)
    authority.server.answer(ELSEWHERE, Json(authority.metadata))
    with within_deadline():
        check_unavailable(guarded.get(token), token)
    assert guarded.entered == 0
    assert {call.path for call in authority.server.calls} <= WELL_KNOWN
    authority.recover()
    eventually(lambda: guarded.get(token), 200)


def break_metadata(authority: Authority, fault: Any) -> None:
    for path in WELL_KNOWN:
        authority.server.answer(path, fault(authority))


@pytest.mark.parametrize("kind", ["keys", "introspection"])
@pytest.mark.parametrize("fault", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_addresses(fault: Any, kind: str, site: Site, authority: Authority) -> None:
    """R65: what the metadata names is not asked unless it is an address that may be."""
    guarded, token = guard(site, authority, kind)
    break_metadata(authority, fault)
    for _ in range(2):
        with within_deadline():
            check_unavailable(guarded.get(token), token)
    assert {call.path for call in authority.server.calls} <= WELL_KNOWN


@pytest.mark.parametrize("kind", ["keys", "introspection"])
def test_unusable_addresses_are_mended(kind: str, site: Site, authority: Authority) -> None:
    """E17: service resumes within the back-off when the metadata names an address that may be used."""
    guarded, token = guard(site, authority, kind)
    break_metadata(authority, UNUSABLE["nothing in it"])
    check_unavailable(guarded.get(token), token)
    authority.recover()
    eventually(lambda: guarded.get(token), 200, within=2)


@pytest.mark.parametrize("kind", ["keys", "introspection"])
def test_insecure_addresses(kind: str, site: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """R65: an ``http`` address other than this machine's is not asked, unless that was said to be all right."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **kw: look_up("127.0.0.1", *args, **kw))
    with FaultServer() as other:
        insecure = f"http://as.example.com:{other.port}"
        metadata = Json(authority.metadata | {"jwks_uri": insecure + KEYS, "introspection_endpoint": insecure})
        other.answer(KEYS, Json(authority.key_set))
        other.answer("/", authority.introspect)
        for path in WELL_KNOWN:
            authority.server.answer(path, metadata)
        guarded, token = guard(site, authority, kind)
        check_unavailable(guarded.get(token), token)
        assert other.calls == []
        allowing, token = guard(site, authority, kind, allow_insecure_http=True)
        assert allowing.get(token).status == 200
        assert len(other.calls) == 1


@pytest.mark.parametrize("kind", ["keys", "introspection"])
def test_openid_metadata(kind: str, site: Site, authority: Authority) -> None:
    """R64: a server that has only OpenID Connect's document is found by it, whatever else it answers."""
    for answer in (Status(404), Status(500), Redirect(ELSEWHERE), Status(200, {"Content-Type": "text/html"}, b"<p>")):
        authority.server.answer(METADATA, answer)
        authority.server.answer(OPENID_METADATA, Json(authority.metadata))
        guarded, token = guard(site, authority, kind)
        assert guarded.get(token).status == 200
        assert [call.path for call in authority.server.calls][:2] == [METADATA, OPENID_METADATA]
        authority.server.calls.clear()


def test_issuer_with_a_path(site: Site, authority: Authority) -> None:
    """R64: the addresses from which the metadata of an issuer with a path is fetched, in order."""
    authority.issuer += "/tenant1"
    asked = [f"{METADATA}/tenant1", f"{OPENID_METADATA}/tenant1", f"/tenant1{OPENID_METADATA}"]
    authority.server.answer(asked[-1], lambda _: Json(authority.metadata | {"jwks_uri": authority.server.url + KEYS}))
    guarded = site.guard(authority.verifying())
    assert guarded.get(authority.jwt()).status == 200
    assert [call.path for call in authority.server.calls] == [*asked, KEYS]


def test_metadata_is_asked_for_once(site: Site, authority: Authority) -> None:
    """Many that need the metadata at once share one call for it."""
    guarded, _ = guard(site, authority, "introspection")
    answers = guarded.get_all([authority.opaque() for _ in range(20)])
    assert [answer.status for answer in answers] == [200] * 20
    assert len(authority.server.calls_to(METADATA)) == 1


def test_outage_of_the_metadata_later(site: Site, authority: Authority) -> None:
    """Once the addresses are known, nobody asks for them again with each token."""
    guarded, token = guard(site, authority, "introspection")
    assert guarded.get(token).status == 200
    for path in WELL_KNOWN:
        authority.server.answer(path, Status(500))
    assert guarded.get(authority.opaque()).status == 200
    check_refused(guarded.get(authority.unknown()))


def test_endpoint_that_redirects(site: Site, authority: Authority, reasons: list[Any]) -> None:
    """R65: a token is not sent on to where a discovered endpoint points."""
    guarded, token = guard(site, authority, "introspection")
    seen: list[Received] = []

    def trap(received: Received) -> Behaviour:
        seen.append(received)
        return authority.introspect(received)

    authority.server.answer(INTROSPECTION, Redirect(ELSEWHERE, 308))
    authority.server.answer(ELSEWHERE, trap)
    check_unavailable(guarded.get(token), token)
    assert (seen, reasons) == ([], [Reason.SERVER_ANSWER_UNUSABLE])
    authority.recover()
    eventually(lambda: guarded.get(token), 200)
