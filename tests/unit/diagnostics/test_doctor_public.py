"""What the doctor reports about the addresses that clients see: metadata, challenge, proofs and clock."""

import json
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from async_oauth_guard import DPoP, JWTBearerTokenValidator, ResourceProtector, TokenValidator
from async_oauth_guard.authorization_server.responses import JSON
from async_oauth_guard.diagnostics.doctor import Finding, Severity, site
from async_oauth_guard.diagnostics.doctor.guarded_url import GuardedUrl, ProofMaker
from async_oauth_guard.diagnostics.doctor.public import PublicAddress
from async_oauth_guard.protocol.base64url import decode_base64url
from async_oauth_guard.protocol.dpop import PresentedProof, Proof, check_proof
from async_oauth_guard.protocol.secrets import Secret
from tests.faults import Behaviour, FaultServer, Hang, HangUp, Huge, Json, Received, Redirect, Status
from tests.remote.authority import make_key
from tests.sites import Witness, serving

WELL_KNOWN = "/.well-known/oauth-protected-resource"
ISSUER = "https://as.example.com"
CORS = {"Access-Control-Allow-Origin": "*"}
VIEW = "/notes/"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """What responds at the public address."""
    with FaultServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    with serving([]):
        yield


def guarding(resource: str | None, **options: Any) -> ResourceProtector:
    """A protector with metadata and DPoP that guards a view."""
    validator = JWTBearerTokenValidator(ISSUER, "api", jwks={"keys": [make_key("k").as_dict(private=False)]})
    protector = ResourceProtector(validator, **({"resource": resource, "dpop": True, "metadata": True} | options))
    protector(Witness().view("def"))
    return protector


def only(findings: Any) -> Finding:
    [finding] = findings
    assert isinstance(finding, Finding)
    return finding


def summary(finding: Finding) -> tuple[str, str | None]:
    return finding.severity.value, finding.facts.get("fault")


# --- metadata ---


def document(server: FaultServer, **members: Any) -> dict[str, Any]:
    return {"resource": server.url, "authorization_servers": [ISSUER], **members}


METADATA: dict[str, tuple[Callable[[FaultServer], Behaviour], str, str | None, str, str]] = {
    "correct": (lambda server: Json(document(server), headers=CORS), "ok", None, "as these settings say", ""),
    "scopes differ": (lambda server: Json(document(server, x=1), headers=CORS), "ok", None, "", ""),
    "missing": (lambda server: Status(404), "problem", "status", "status 404.", "metadata_urls()"),
    "forbidden": (lambda server: Status(403), "problem", "status", "status 403.", "without a login"),
    "redirect": (lambda server: Redirect("/login"), "problem", "redirect", "a redirect.", "login page"),
    "broken": (lambda server: Status(502), "problem", "status", "status 502.", "logs of the proxy and of the site"),
    "busy": (lambda server: Status(429), "problem", "status", "status 429.", "logs of the proxy and of the site"),
    "html": (
        lambda server: Status(200, {"Content-Type": "text/html"}, b"<html>"),
        "problem",
        "answer",
        f"a JSON object of the content type {JSON}",
        f"let the proxy pass {WELL_KNOWN} on",
    ),
    "type": (
        lambda server: Status(200, {"Content-Type": "text/plain"}, json.dumps(document(server)).encode()),
        "problem",
        "answer",
        "got something else",
        "page of a frontend",
    ),
    "list": (lambda server: Json([], headers=CORS), "problem", "answer", "got something else", "frontend"),
    "resource": (
        lambda server: Json(document(server, resource=f"{server.url}/"), headers=CORS),
        "problem",
        "resource",
        "resource in the metadata",
        "Restart the site",
    ),
    "no resource": (lambda server: Json({}, headers=CORS), "problem", "resource", "got None.", "another site"),
    "servers": (
        lambda server: Json(document(server, authorization_servers=["https://old.example.com"]), headers=CORS),
        "problem",
        "authorization-servers",
        f"must be ['{ISSUER}'], got ['https://old.example.com'].",
        "Restart the site",
    ),
    "long": (
        lambda server: Json(document(server, resource="x" * 9000), headers=CORS),
        "problem",
        "resource",
        f"got '{'x' * 199}.",
        "",
    ),
    "no CORS": (lambda server: Json(document(server)), "warning", "cors", "in a browser", "leave this header"),
    "CORS of one": (
        lambda server: Json(document(server), headers={"Access-Control-Allow-Origin": "https://a.example"}),
        "warning",
        "cors",
        "Access-Control-Allow-Origin: *",
        "",
    ),
    "hangs": (lambda server: Hang(), "problem", "timeout", "did not respond in time", "--timeout"),
    "hangs up": (lambda server: HangUp(), "problem", "unreachable", "closed", "with --local"),
    "huge": (lambda server: Huge(1), "problem", "answer", "more than 65536 bytes", "with --local"),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata(case: str, server: FaultServer) -> None:
    """The document is the one that clients need, or what is wrong is named."""
    behave, severity, fault, found, remedy = METADATA[case]
    server.answer(WELL_KNOWN, behave(server))
    address = PublicAddress(server.url, [guarding(server.url)], timeout=0.3 if case == "hangs" else 20.0)
    finding = only(address.metadata())
    assert summary(finding) == (severity, fault)
    assert found in finding.found
    assert remedy in (finding.remedy or "")
    assert (finding.remedy is None) == (severity == "ok")
    [call] = server.calls
    assert (call.path, call.header("Accept"), call.header("Authorization")) == (WELL_KNOWN, JSON, None)


@pytest.mark.parametrize(
    ("make_url", "fault", "remedy"),
    [
        (lambda port: f"http://127.0.0.1:{port}", "refused", "Start the proxy"),
        (lambda port: "https://api.invalid", "dns", "RESOURCE and PUBLIC_ORIGIN"),
        (lambda port: None, "tls", "SSL_CERT_FILE"),
    ],
)
def test_unreachable(make_url: Any, fault: str, remedy: str, server: FaultServer) -> None:
    """If there is no response, the report says why, and what to do about it at a public address."""
    server.stop()
    with FaultServer(tls=True) as tls:
        url = make_url(server.port) or tls.url
        finding = only(PublicAddress(url, [guarding(url)]).metadata())
    assert summary(finding) == ("problem", fault)
    assert remedy in str(finding.remedy)
    assert "with --local" in str(finding.remedy)


def test_timeout(server: FaultServer) -> None:
    """The command may replace the timeout."""
    assert [PublicAddress(server.url, [], seconds)._timeout for seconds in (None, 0.3)] == [5.0, 0.3]


# --- the clock ---


@pytest.mark.parametrize(("ahead", "verdict"), [(0, "ok"), (120, "problem"), (-120, "problem"), (20, "warning")])
@pytest.mark.parametrize("has_metadata", [True, False])
def test_clock(has_metadata: bool, ahead: float, verdict: str, server: FaultServer) -> None:
    """The clock is that of the responses: of the document, or else of a request for nothing but the time."""
    headers = {"Date": formatdate(time.time() + ahead, usegmt=True), **CORS}
    server.answer(WELL_KNOWN, Json(document(server), headers=headers))
    server.answer("/", Status(404, headers))
    protectors = [
        guarding(server.url, metadata=has_metadata, dpop=DPoP(leeway=30)),
        guarding(None, metadata=None, dpop=DPoP(leeway=300)),
    ]
    address = PublicAddress(server.url, protectors)
    assert address.needs_clock
    assert len([*address.metadata()]) == has_metadata
    finding = only(address.clock())
    assert finding.severity.value == verdict
    assert finding.remedy is None or "until then, DPoP proofs seem expired" in finding.remedy
    assert [call.path for call in server.calls] == [WELL_KNOWN if has_metadata else "/"]


def test_clock_of_an_address_without_a_response(server: FaultServer) -> None:
    """If nothing responds, that is the finding."""
    server.stop()
    finding = only(PublicAddress(server.url, [guarding(server.url, metadata=None)]).clock())
    assert summary(finding) == ("problem", "refused")


# --- the challenge and proofs ---

CHALLENGE = 'Bearer realm="api", scope="notes", DPoP realm="api", scope="notes", algs="ES256 PS256"'


class Site:
    """A guarded view behind proxies, which takes ``origin`` for its address and whose clock is ``ahead``."""

    def __init__(self, server: FaultServer, origin: str = "", ahead: float = 0.0, error: str = "invalid_token") -> None:
        self.origin = origin or server.url
        self.ahead = ahead
        self.error = error
        self.tried: list[tuple[str, int]] = []

    def __call__(self, received: Received) -> Behaviour:
        named = f', resource_metadata="{self.origin}{WELL_KNOWN}"'
        proof = received.header("DPoP")
        error = "" if proof is None else f', error="{self._judge(received, proof)}"'
        return Status(401, {"WWW-Authenticate": CHALLENGE + named + error})

    def _judge(self, received: Received, proof: str) -> str:
        scheme, _, token = str(received.header("Authorization")).partition(" ")
        assert scheme == "DPoP"
        claims = json.loads(decode_base64url(proof.split(".")[1], 4096) or b"")
        # RFC 9449 §4.2: "without query and fragment parts".
        assert "?" not in claims["htu"]
        self.tried.append((claims["htu"], round((claims["iat"] - time.time()) / 70)))
        presented = PresentedProof(
            policy=DPoP(),
            value=Secret(proof),
            method=received.method,
            uri=f"{self.origin}{received.path}",
            token=Secret(token),
            now=time.time() + self.ahead,
            nonce_keys=(),
        )
        return self.error if isinstance(check_proof(presented), Proof) else "invalid_dpop_proof"


def examine(server: FaultServer, *protectors: ResourceProtector, timeout: float = 20.0) -> tuple[Finding, Finding]:
    """What is found out about the challenge, and about proofs."""
    protectors = protectors or (guarding(server.url),)
    guarded = GuardedUrl(f"{server.url}{VIEW}?page=2", protectors, PublicAddress(server.url, protectors, timeout))
    return only(guarded.challenge()), only(guarded.proofs())


@pytest.mark.parametrize("error", ["invalid_token", "use_dpop_nonce"])
def test_proof_that_counts(error: str, server: FaultServer) -> None:
    """A proof is accepted if the site then refuses the token, or requires a nonce."""
    server.answer(VIEW, Site(server, error=error))
    challenge, proofs = examine(server)
    assert (summary(challenge), summary(proofs)) == (("ok", None), ("ok", None))
    assert [call.query for call in server.calls] == ["page=2"] * 2
    assert server.calls[0].header("Authorization") is None
    assert str(server.calls[1].header("Authorization")).startswith("DPoP oauth-doctor-")


PROOFS: dict[str, tuple[Callable[[FaultServer], Any], str | None, str, str]] = {
    "https for http": (
        lambda server: Site(server, server.url.replace("http:", "https:")),
        "origin",
        "it takes https://127.0.0.1:{port} for its address",
        'to "{url}"',
    ),
    "no port": (lambda server: Site(server, "http://127.0.0.1"), "origin", "it takes http://127.0.0.1 for", "restart"),
    "configured": (lambda server: Site(server, "http://intern:8000"), "origin", "takes http://intern:8000", "restart"),
    "unknown": (lambda server: Site(server, "http://unknown:8000"), "proof", "refuses a DPoP proof", 'to "{url}"'),
    "ahead": (
        lambda server: Site(server, ahead=120),
        "clock",
        "its clock is 60 to 130 s ahead of that of this machine",
        "with NTP",
    ),
    "far ahead": (
        lambda server: Site(server, ahead=250),
        "clock",
        "200 to 270 s ahead of that of this machine",
        "with NTP",
    ),
    "a little ahead": (
        lambda server: Site(server, ahead=100),
        "clock",
        "60 to 130 s ahead of that of this machine",
        "with NTP",
    ),
    "behind": (
        lambda server: Site(server, ahead=-120),
        "clock",
        "its clock is 80 to 150 s behind that of this machine",
        "with NTP",
    ),
    "a little behind": (
        lambda server: Site(server, ahead=-45),
        "clock",
        "10 to 80 s behind that of this machine",
        "with NTP",
    ),
    "an hour ahead": (lambda server: Site(server, ahead=3600), "proof", "refuses a DPoP proof", "missing_proof"),
}


@pytest.mark.parametrize("case", PROOFS)
def test_proof_that_is_refused(case: str, server: FaultServer) -> None:
    """What the site takes for its address or its time is found out by trying."""
    behave, fault, found, remedy = PROOFS[case]
    server.answer(VIEW, behave(server))
    other = guarding("http://intern:8000", metadata=None)
    _, finding = examine(server, guarding(None, metadata=None), other)
    assert summary(finding) == ("problem", fault)
    assert found.format(port=server.port) in finding.found
    assert remedy.format(url=server.url) in str(finding.remedy)


def test_what_is_tried(server: FaultServer) -> None:
    """Each address and each time is tried once, and this machine's time first."""
    view = Site(server, "http://unknown:8000")
    server.answer(VIEW, view)
    examine(server, guarding("http://intern:8000", metadata=None), guarding("http://intern:8000", metadata=None))
    own, https = f"{server.url}{VIEW}", f"https://127.0.0.1:{server.port}{VIEW}"
    others = [f"http://127.0.0.1{VIEW}", https, f"https://127.0.0.1{VIEW}", f"http://intern:8000{VIEW}"]
    times = [(own, move) for move in (1, -1, 2, -2, 3, -3, 4, -4)]
    assert view.tried == [(own, 0), *((other, 0) for other in others), *times]


def with_token(behaviour: Behaviour) -> Callable[[Received], Behaviour]:
    """The guard's challenge for requests without a token; this for the others."""
    return lambda received: (
        Status(401, {"WWW-Authenticate": CHALLENGE}) if received.header("Authorization") is None else behaviour
    )


TOKENS: dict[str, tuple[Behaviour, str, str, str]] = {
    "no header": (
        Status(401, {"WWW-Authenticate": CHALLENGE}),
        "authorization",
        "header Authorization does not arrive",
        "pass on",
    ),
    "no challenge": (Status(401), "authorization", "does not arrive", "WSGIPassAuthorization On"),
    "outage": (Status(503), "status", "status 503", "logs"),
    "let in": (Status(200), "status", "status 200", "A token that does not exist must get 401"),
    "hangs up": (HangUp(), "unreachable", "closed", "--local"),
}


@pytest.mark.parametrize("case", TOKENS)
def test_token_that_is_not_judged(case: str, server: FaultServer) -> None:
    """Other responses say nothing about the proof, but name what is wrong."""
    behaviour, fault, found, remedy = TOKENS[case]
    server.answer(VIEW, with_token(behaviour))
    _, finding = examine(server, guarding(server.url, metadata=None))
    assert summary(finding) == ("problem", fault)
    assert found in finding.found
    assert remedy in str(finding.remedy)


CHALLENGES: dict[str, tuple[Behaviour, str, str | None, str, str]] = {
    "open": (Status(200), "problem", "status", "status 200", "without optional=True"),
    "not there": (Status(404), "problem", "status", "status 404", "Give --url"),
    "redirect": (Redirect("/login"), "problem", "redirect", "a redirect", "login page"),
    "no challenge": (Status(401), "problem", "challenge", "without the challenge", "WWW-Authenticate"),
    "of a proxy": (
        Status(401, {"WWW-Authenticate": 'Basic realm="staging"'}),
        "problem",
        "challenge",
        "without the challenge",
        "no other login",
    ),
    "hangs up": (HangUp(), "problem", "unreachable", "closed", "--local"),
    "other metadata": (
        Status(401, {"WWW-Authenticate": f'{CHALLENGE}, resource_metadata="https://old.example.com/x"'}),
        "problem",
        "resource-metadata",
        "got https://old.example.com/x.",
        "Restart the site",
    ),
    "no metadata": (
        Status(401, {"WWW-Authenticate": CHALLENGE}),
        "problem",
        "resource-metadata",
        "got none.",
        "unchanged",
    ),
}


@pytest.mark.parametrize("case", CHALLENGES)
def test_challenge(case: str, server: FaultServer) -> None:
    """A request without a token must get the guard's challenge."""
    behaviour, severity, fault, found, remedy = CHALLENGES[case]
    server.answer(VIEW, behaviour)
    finding, proofs = examine(server)
    assert summary(finding) == (severity, fault)
    assert found in finding.found
    assert remedy in str(finding.remedy)
    if fault != "resource-metadata":
        assert (summary(proofs), "see challenge" in proofs.found) == (("not applicable", None), True)


METADATA_URLS = [
    ([{"metadata": True}, {"metadata": None}], [], "ok", ""),
    ([{"metadata": True}, {"metadata": None}], [WELL_KNOWN], "ok", ""),
    ([{"metadata": None}], [], "ok", ""),
    ([{"metadata": None}], [WELL_KNOWN], "problem", "must name the metadata none, got"),
    ([{"metadata": True}], [WELL_KNOWN, "/x"], "problem", "/x."),
    ([{"metadata": True, "dpop": None, "compat": "authlib"}], [], "ok", ""),
]


@pytest.mark.parametrize(("options", "paths", "severity", "found"), METADATA_URLS)
def test_metadata_in_the_challenge(
    options: Any, paths: list[str], severity: str, found: str, server: FaultServer
) -> None:
    """It is that of a protector. It may be missing if a protector has none, or responds as Authlib does."""
    named = "".join(f', resource_metadata="{server.url}{path}"' for path in paths)
    server.answer(VIEW, Status(401, {"WWW-Authenticate": CHALLENGE + named}))
    finding, _ = examine(server, *(guarding(server.url, **each) for each in options))
    assert finding.severity.value == severity
    assert found in finding.found


@pytest.mark.parametrize("challenge", ['Bearer realm="api"', 'Bearer realm="api", DPoP realm="api", algs="RS256"'])
def test_view_without_dpop(challenge: str, server: FaultServer) -> None:
    """If the view accepts no proof that the doctor can make, none is sent."""
    server.answer(VIEW, Status(401, {"WWW-Authenticate": challenge}))
    _, proofs = examine(server, guarding(server.url, metadata=None))
    assert proofs.severity is Severity.NOT_APPLICABLE
    assert len(server.calls) == 1


def test_scheme_of_the_sites_own(server: FaultServer) -> None:
    """A challenge for the scheme of a validator is one of a guard."""

    class Own(TokenValidator):
        TOKEN_TYPE = "MAC"

        def authenticate_token(self, token_string: str) -> Any:
            return None

    protector = ResourceProtector(Own())
    protector(Witness().view("def"))
    server.answer(VIEW, Status(401, {"WWW-Authenticate": 'mac realm="api"'}))
    finding, _ = examine(server, protector)
    assert finding.severity is Severity.OK


def test_proof_maker() -> None:
    """A proof holds the public key only."""
    proof = ProofMaker().make("GET", "https://api.example.com/notes/", Secret("token"), 1_800_000_000.7).reveal()
    header, claims, _ = proof.split(".")
    assert {*json.loads(decode_base64url(header, 4096) or b"")["jwk"]} == {"kty", "crv", "x", "y"}
    assert json.loads(decode_base64url(claims, 4096) or b"")["iat"] == 1_800_000_000


# --- which addresses ---


def subjects(*protectors: ResourceProtector, url: str | None = None) -> list[tuple[str, str]]:
    found = site._examine_addresses(site._in_use(protectors), 0.3, url)
    return [(each.about, each.subject.removeprefix("the site at ")) for each in found]


A, B = "http://127.0.0.1:9", "http://127.0.0.1:10"
NO_METADATA = {"metadata": None}


@pytest.mark.parametrize(
    ("protectors", "url", "expected"),
    [
        ([], None, []),
        ([(A, {"metadata": None, "dpop": None})], None, []),
        ([(A, {"dpop": None})], None, [("metadata", A)]),
        ([(A, {})], None, [("metadata", A), ("clock", A)]),
        ([(A, NO_METADATA)], None, [("clock", A)]),
        ([(None, NO_METADATA)], None, []),
        ([(f"{A}/v1", {"public_origin": B})], None, [("clock", B), ("metadata", A), ("clock", A)]),
        ([(A, {"metadata": None, "dpop": None})], f"{A}/notes/", [("challenge", A), ("proofs", A)]),
        ([(B, NO_METADATA)], f"{A}/", [("clock", B), ("challenge", A), ("proofs", A), ("clock", A)]),
        ([(A, {})], f"{A}/", [("metadata", A), ("challenge", A), ("proofs", A), ("clock", A)]),
    ],
)
def test_addresses(protectors: Any, url: str | None, expected: list[tuple[str, str]]) -> None:
    """Those that clients get from the settings, and the one of the URL."""
    assert subjects(*(guarding(resource, **options) for resource, options in protectors), url=url) == expected


def test_protectors_that_are_not_examined() -> None:
    """One that guards nothing serves nobody, and one without a validator lets in nobody."""
    idle = ResourceProtector(TokenValidator(), resource=A, dpop=True, metadata=True)
    empty = ResourceProtector(resource=A, dpop=True, metadata=True)
    empty(Witness().view("def"))
    assert subjects(idle, empty) == []


def test_local(monkeypatch: pytest.MonkeyPatch, no_other_protectors: None) -> None:
    """With ``is_local``, no address of the site is examined."""
    monkeypatch.setattr(site, "ALL_PROTECTORS", [guarding(A)])
    everything, local = site.diagnose(0.3), site.diagnose(0.3, is_local=True)
    assert [each for each in everything if each.subject == f"the site at {A}"]
    assert not [each for each in local if each.subject.startswith("the site at ")]
