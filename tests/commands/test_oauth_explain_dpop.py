"""``oauth_explain`` for sender-constrained tokens: the rules of DPoP proofs, and of client certificates."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.test import RequestFactory, override_settings
from django.urls import path

from async_oauth_guard import DPoP, MutualTLS, Reason, ResourceProtector, require_oauth
from async_oauth_guard.diagnostics.explain import aexplain, explain
from async_oauth_guard.diagnostics.remedies import REMEDIES
from async_oauth_guard.protocol.certificates import thumbprint
from async_oauth_guard.testing import DPoPKey, FakeAuthorizationServer
from async_oauth_guard.validators.clock import CLOCK
from tests.certificates import der, pem
from tests.commands.test_oauth_explain import OF_PROOFS, PAGE, Told, run
from tests.kit.guarded_sites import AUDIENCE, CLIENTS, ISSUER, introspecting, verifying
from tests.kit.urls import async_view, sync_view
from tests.own_tokens import Own
from tests.proofs import forget_proofs
from tests.sites import Urls
from tests.terminals import read_samples

KEY = DPoPKey()
ORIGIN = "https://api.example.test"
URI = f"{ORIGIN}/notes/"
JWT = {"BACKEND": "async_oauth_guard.JWTBearerTokenValidator", "OPTIONS": {"issuer": ISSUER}}
SETTING = {"VALIDATORS": [JWT], "RESOURCE": AUDIENCE, "PUBLIC_ORIGIN": ORIGIN, "DPOP": True}
STRICT = {**SETTING, "DPOP": {"nonce": True}}


def handled(request: Any) -> Any:
    raise AssertionError("oauth_explain calls no view")


class OwnProtector(ResourceProtector):
    """Finds tokens itself, by our method, unless there is a cookie."""

    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        if request.META.get("QUERY_STRING"):
            from async_oauth_guard import InvalidTokenError

            raise InvalidTokenError(reason=Reason.REVOKED)
        return super().acquire_token(request, scopes, **requirements)


URLS = Urls(
    path("notes/", require_oauth("profile")(sync_view)),
    path("async/", require_oauth("profile")(async_view)),
    path("bound/", require_oauth("profile", sender_constrained=True)(sync_view)),
    path("own/", OwnProtector(Own(KEY.confirmation), dpop=True, public_origin=ORIGIN)()(handled)),
    path("anywhere/", ResourceProtector(Own(KEY.confirmation), dpop=True)()(handled)),
    path("nested/", require_oauth("profile")(require_oauth("email")(handled))),
)


@pytest.fixture(autouse=True)
def _site() -> Iterator[None]:
    with override_settings(OAUTH_GUARD=SETTING, ROOT_URLCONF=URLS):
        yield
    forget_proofs()


@pytest.fixture
def server() -> Iterator[FakeAuthorizationServer]:
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running


def bound(server: FakeAuthorizationServer, scopes: str = "profile", **claims: Any) -> str:
    return server.jwt(scopes, claims={"cnf": KEY.confirmation, **claims})


def tell(token: str, proof: str, *arguments: str, as_json: bool = True) -> Told:
    told = run(token, "--url", "/notes/", "--dpop", proof, *arguments, as_json=as_json)
    for secret in (*token.split("."), *filter(None, proof.split("."))):
        assert secret not in told.out + told.trouble
    return told


def proof_steps(told: Told, outcome: str) -> list[tuple[str, Any]]:
    return [(step["rule"], step["reason"]) for step in told.guards[0]["proof"] if step["outcome"] == outcome]


def steps_of_validator(told: Told, number: int = 0) -> dict[str, str]:
    return {step["rule"]: step["outcome"] for step in told.guards[0]["validators"][number]["steps"]}


# --- proofs ----------------------------------------------------------------------------------------------------------

RULES = ["proof is presented", "one proof", "form of the proof", "typ of the proof", "alg of the proof"]
RULES += ["claims of the proof", "htm", "htu", "iat", "ath", "key of the proof", "signature of the proof"]


def test_let_in(server: FakeAuthorizationServer) -> None:
    """A proof is explained before the token. Nothing is used up, so the same proof is let in later."""
    token = bound(server)
    proof = KEY.proof("GET", URI, token)
    for _ in range(2):
        told = tell(token, proof)
        assert told.status == 0
        assert proof_steps(told, "passed") == [(rule, None) for rule in RULES]
        steps = steps_of_validator(told)
        assert steps.pop("proof was not used before") == "not_checked"
        assert set(steps.values()) == {"passed"}
        assert told.guards[0]["proof_claims"]["htu"] == URI
    request = RequestFactory().get("/notes/", headers={"Authorization": f"DPoP {token}", "DPoP": proof})
    assert require_oauth.acquire_token(request).confirmation == KEY.confirmation
    # What a request has used is not looked up.
    assert tell(token, proof).status == 0


FLAWS: dict[Reason, tuple[str, Callable[[str], str]]] = {
    Reason.MISSING_PROOF: ("proof is presented", lambda token: ""),
    Reason.REPEATED_PROOF: ("one proof", lambda token: f"{KEY.proof('GET', URI, token)},x"),
    Reason.MALFORMED_PROOF: ("form of the proof", lambda token: "secret-4bF7.secret-5cG8"),
    Reason.WRONG_PROOF_TYPE: ("typ of the proof", lambda token: KEY.proof("GET", URI, token, header={"typ": "JWT"})),
    Reason.UNSUPPORTED_PROOF_ALGORITHM: (
        "alg of the proof",
        lambda token: KEY.proof("GET", URI, token, header={"alg": "HS256"}),
    ),
    Reason.WRONG_PROOF_METHOD: ("htm", lambda token: KEY.proof("POST", URI, token)),
    Reason.WRONG_PROOF_URI: ("htu", lambda token: KEY.proof("GET", f"{ORIGIN}/other?secret-4bF7", token)),
    Reason.EXPIRED_PROOF: ("iat", lambda token: KEY.proof("GET", URI, token, claims={"iat": int(time.time()) - 99})),
    Reason.PROOF_ISSUED_IN_FUTURE: (
        "iat",
        lambda token: KEY.proof("GET", URI, token, claims={"iat": int(time.time()) + 99}),
    ),
    Reason.PROOF_FOR_ANOTHER_TOKEN: ("ath", lambda token: KEY.proof("GET", URI, "another")),
    Reason.UNUSABLE_PROOF_KEY: ("key of the proof", lambda token: KEY.proof("GET", URI, token, header={"jwk": {}})),
    Reason.BAD_PROOF_SIGNATURE: (
        "signature of the proof",
        lambda token: KEY.proof("GET", URI, token, header={"jwk": DPoPKey().jwk}),
    ),
}


def test_each_reason_has_a_case() -> None:
    """Each reason that needs a proof is here, except those that only the use of a proof can tell."""
    unchecked = {Reason.REPLAYED_PROOF, Reason.REPLAY_STORE_UNAVAILABLE, Reason.REPLAY_STORE_FULL}
    elsewhere = {Reason.MISSING_NONCE, Reason.INVALID_NONCE, Reason.UNBOUND_TOKEN, Reason.WRONG_CONFIRMATION}
    assert {*FLAWS} == OF_PROOFS - unchecked - elsewhere


@pytest.mark.parametrize("reason", FLAWS)
def test_flaws(reason: Reason, server: FakeAuthorizationServer) -> None:
    """The rule that a proof breaks is named, with its remedy. The token is not looked at then."""
    rule, make = FLAWS[reason]
    token = bound(server)
    told = tell(token, make(token))
    guard = told.guards[0]
    assert proof_steps(told, "failed") == [(rule, reason)]
    assert [rule for rule, _ in proof_steps(told, "not_reached")] == RULES[RULES.index(rule) + 1 :]
    assert (guard["reason"], guard["remedy"], guard["error"]) == (reason, REMEDIES[reason], "invalid_dpop_proof")
    assert [(each["outcome"], each["steps"]) for each in guard["validators"]] == [("not_asked", [])]
    assert (told.status, told.trouble) == (1, f"The token is refused: {reason}.")
    assert "secret-4bF7" not in told.out
    assert server.calls == []


def test_claims_of_the_proof(server: FakeAuthorizationServer) -> None:
    """A proof without a required claim breaks the rule for claims."""
    token = bound(server)
    assert proof_steps(tell(token, KEY.proof("GET", URI, token, claims={"jti": None})), "failed") == [
        ("claims of the proof", Reason.MALFORMED_PROOF)
    ]


def test_nonces(server: FakeAuthorizationServer) -> None:
    """With ``nonce``, the last rule is that of the nonce."""
    token = bound(server)
    with override_settings(OAUTH_GUARD=STRICT):
        for nonce, reason in ((None, Reason.MISSING_NONCE), ("x", Reason.INVALID_NONCE)):
            told = tell(token, KEY.proof("GET", URI, token, nonce=nonce))
            assert proof_steps(told, "failed") == [("nonce", reason)]
            assert told.guards[0]["error"] == "use_dpop_nonce"


def test_details(server: FakeAuthorizationServer) -> None:
    """The report says what the proof must be for."""
    token = bound(server)
    told = tell(token, KEY.proof("PUT", URI, token), "--method", "PUT")
    details = {step["rule"]: step["detail"] for step in told.guards[0]["proof"]}
    assert (details["htm"], details["htu"], details["iat"]) == ("PUT", URI, "at most 60 s ago")
    assert details["alg of the proof"].startswith("ES256 or ES384")


@pytest.mark.parametrize("url", ["/notes/", "/async/", "/bound/"])
def test_bindings(url: str, server: FakeAuthorizationServer) -> None:
    """After the proof, the rules of the token say whether it is bound to the proof's key."""
    uri = f"{ORIGIN}{url}"
    for token, rule, reason in (
        (bound(server, cnf=DPoPKey().confirmation), "proof of possession", Reason.WRONG_CONFIRMATION),
        (bound(server, cnf=None), "scheme of the token", Reason.UNBOUND_TOKEN),
        (bound(server, exp=1), "times", Reason.EXPIRED),
        (bound(server, "email"), "scopes", Reason.INSUFFICIENT_SCOPE),
    ):
        told = run(token, "--url", url, "--dpop", KEY.proof("GET", uri, token))
        assert proof_steps(told, "failed") == []
        assert told.failed_steps() == [mock.ANY]
        assert (told.failed_steps()[0]["rule"], told.guards[0]["reason"]) == (rule, reason)
    token = bound(server)
    told = run(f"Bearer {token}", "--url", url, "--dpop", KEY.proof("GET", uri, token))
    assert (told.guards[0]["proof"], told.guards[0]["reason"]) == ([], Reason.SENDER_CONSTRAINED)


def test_other_validators(server: FakeAuthorizationServer) -> None:
    """Validators that the guard does not try are tried with the same proof."""
    first, second = verifying(), verifying("https://other.example.test")
    protector = ResourceProtector(second, first, dpop=True, public_origin=ORIGIN)
    token = bound(server)
    explanation = explain(protector, f"DPoP {token}", proof=KEY.proof("GET", URI, token), uri="/notes/")
    assert [(each.outcome, each.asked) for each in explanation.validators] == [("refused", False), ("accepted", True)]


def test_nested_guards(server: FakeAuthorizationServer) -> None:
    """Each guard is shown with the proof."""
    token = bound(server)
    told = run(token, "--url", "/nested/", "--dpop", KEY.proof("GET", f"{ORIGIN}/nested/", token))
    assert [(guard["status"], len(guard["proof"])) for guard in told.guards] == [(200, 12), (403, 12)]


def test_protectors_without_dpop(server: FakeAuthorizationServer) -> None:
    """Without ``dpop``, the scheme is not served, and no rule for proofs is shown."""
    with override_settings(OAUTH_GUARD={**SETTING, "DPOP": None}):
        told = tell(bound(server), "x")
    assert (told.guards[0]["reason"], told.guards[0]["proof"]) == (Reason.UNSUPPORTED_SCHEME, [])


def test_own_protectors() -> None:
    """A protector's own ``acquire_token`` may refuse before ours checks the proof."""
    arguments = ("--dpop", KEY.proof("GET", f"{ORIGIN}/own/", "t"))
    assert run("t", "--url", "/own/", *arguments).status == 0
    told = run("t", "--url", "/own/?revoked", *arguments)
    assert (told.guards[0]["reason"], told.guards[0]["proof"]) == (Reason.REVOKED, [])


@pytest.mark.parametrize("is_async", [False, True])
def test_in_code(is_async: bool) -> None:
    """In code, the same, with sync and async callers."""
    protector = ResourceProtector(Own(KEY.confirmation), dpop=DPoP())
    call = async_to_sync(aexplain) if is_async else explain
    for _ in range(2):
        explanation = call(protector, "DPoP t", proof=KEY.proof("GET", URI, "t"), uri="/notes/", method="GET")
        assert (explanation.outcome, explanation.reason) == ("refused", Reason.WRONG_PROOF_URI)
        proof = KEY.proof("GET", "http://testserver/notes/", "t")
        explanation = call(protector, "DPoP t", proof=proof, uri="http://testserver/notes/")
        assert explanation.outcome == "accepted"
        assert proof not in repr(explanation)
    with pytest.raises(ValueError, match="certificate must be the DER"):
        call(protector, "Bearer t", certificate=b"none")


# --- for people ------------------------------------------------------------------------------------------------------


def test_shown(server: FakeAuthorizationServer) -> None:
    """People see a table for the proof, then those of the validators, and what was not checked."""
    token = bound(server)
    told = tell(token, KEY.proof("GET", URI, token), as_json=False)
    lines = told.out.splitlines()
    assert lines[:2] == ["The guard requires: profile", "The DPoP proof is valid"]
    assert f"  claims: htm=GET, htu={URI}, iat=" in told.out
    assert "JWTBearerTokenValidator accepts the token" in lines
    replay = next(line for line in lines if line.startswith("proof was not used before"))
    assert replay.split("  ")[-1] == "not checked here, so that the proof can still be used"
    assert lines[-1] == "Status 200: the request is let in, if its proof was not used before."
    refused = tell(token, KEY.proof("GET", f"{ORIGIN}/", token), as_json=False)
    lines = refused.out.splitlines()
    assert lines[1] == "The DPoP proof is refused"
    assert f"  claims, unverified: htm=GET, htu={ORIGIN}/, iat=" in refused.out
    assert "JWTBearerTokenValidator was not tried" in lines
    assert lines[-1] == f"What to do: {REMEDIES[Reason.WRONG_PROOF_URI]}"
    assert "The DPoP proof is refused" in tell(token, "garbage", as_json=False).out


def test_sample_of_the_page(server: FakeAuthorizationServer) -> None:
    """The page shows what the command prints of a proof for another address."""
    [typed] = [each for each in read_samples(PAGE) if "--dpop" in each.command]
    uri = "https://api.example.com/notes/"
    now = datetime.fromisoformat("2026-03-02T09:30:00Z").timestamp()
    setting = {**SETTING, "PUBLIC_ORIGIN": "https://api.example.com"}
    urls = Urls(path("notes/", require_oauth("notes:write")(handled)))
    proof = KEY.proof("POST", uri.replace("https", "http"), "t", claims={"iat": int(now) - 60})
    with (
        override_settings(OAUTH_GUARD=setting, ROOT_URLCONF=urls),
        mock.patch.object(CLOCK, "wall", return_value=now),
    ):
        told = run("t", "--url", "/notes/", "--method", "POST", "--dpop", proof, as_json=False)
    assert typed.is_answered_by(f"{told.out}CommandError: {told.trouble}"), told.out


# --- what is given ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "{token}\nDPoP: {proof}\n",
        "DPoP: {proof}\r\nAuthorization: DPoP {token}\r\n",
        "DPoP {token}\ndpop:{proof}",
    ],
)
def test_headers(form: str, server: FakeAuthorizationServer) -> None:
    """Both headers may be piped in, one in each line."""
    token = bound(server)
    given = form.format(token=token, proof=KEY.proof("GET", URI, token))
    assert run(given, "--url", "/notes/").status == 0
    twice = f"{given.strip()}\nDPoP: {KEY.proof('GET', URI, token)}"
    assert proof_steps(run(twice, "--url", "/notes/"), "failed") == [("one proof", Reason.REPEATED_PROOF)]


BAD: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no url": (
        "t",
        ("--dpop", "x"),
        "--url must name the address of the request, because a DPoP proof is valid for one",
    ),
    "no token": ("DPoP: secret-4bF7", ("--url", "/notes/"), "Standard input has a proof but no token"),
    "two tokens": ("a\nb\nDPoP: x", ("--url", "/notes/"), "Standard input must be one token on one line"),
    "no text": ("t", ("--url", "/notes/", "--dpop", "\x1b"), "--dpop must be one proof as text"),
    "no file": ("t", ("--certificate", "/nowhere-4bF7"), "--certificate must name a file that can be read"),
    "no certificate": ("t", ("--certificate", __file__), "--certificate must name a file with a certificate"),
    "no host": (
        "t",
        ("--url", "https://elsewhere-4bF7/anywhere/", "--dpop", "x"),
        "--url must be a path, or have a host that ALLOWED_HOSTS allows.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    """What cannot be checked is refused in one sentence, which repeats nothing."""
    given, arguments, sentence = BAD[case]
    told = run(given, *arguments)
    assert (told.status, told.out) == (2, "")
    assert told.trouble.startswith(sentence)
    assert "4bF7" not in told.trouble


def test_called_in_code(server: FakeAuthorizationServer) -> None:
    """``call_command`` takes the proof as a keyword too."""
    from io import StringIO

    from django.core.management import call_command

    token, out = bound(server), StringIO()
    proof = KEY.proof("GET", URI, token)
    call_command("oauth_explain", stdin=StringIO(token), stdout=out, url="/notes/", dpop=proof, json=True)
    assert json.loads(out.getvalue())["outcome"] == "accepted"


# --- certificates ----------------------------------------------------------------------------------------------------

MTLS = {**SETTING, "MTLS": {"source": "nginx", "trusted_proxies": ["192.0.2.1"]}}
CERTIFIED = {"x5t#S256": thumbprint(der())}


@pytest.mark.parametrize("written", [der(), pem().encode(), f"text\n{pem()}{pem('other')}".encode()], ids=str)
def test_certificates(written: bytes, tmp_path: Path, server: FakeAuthorizationServer) -> None:
    """A certificate counts as if the proxy had passed it on."""
    file = tmp_path / "client.pem"
    file.write_bytes(written)
    token = bound(server, cnf=CERTIFIED)
    with override_settings(OAUTH_GUARD=MTLS):
        assert run(token, "--certificate", str(file)).status == 0
        assert run(token, "--certificate", str(file), "--url", "/bound/").status == 0
        assert run(token).guards[0]["reason"] == Reason.SENDER_CONSTRAINED
        file.write_bytes(der("other"))
        told = run(token, "--certificate", str(file))
        assert told.guards[0]["reason"] == Reason.WRONG_CONFIRMATION
        assert [step["rule"] for step in told.failed_steps()] == ["proof of possession"]
    told = run(token, "--certificate", str(file))
    assert told.guards[0]["reason"] == Reason.SENDER_CONSTRAINED


def test_certificates_and_proofs(server: FakeAuthorizationServer) -> None:
    """A token that is bound to both needs both, whatever its source."""
    confirmation = {**CERTIFIED, **KEY.confirmation}
    mtls = MutualTLS("asgi")
    protector = ResourceProtector(introspecting(), dpop=True, mtls=mtls, public_origin=ORIGIN)
    token = server.opaque("profile", claims={"cnf": confirmation})
    for certificate, status in ((der(), 200), (None, 401), (der("other"), 401)):
        proof = KEY.proof("GET", URI, token)
        explanation = explain(protector, f"DPoP {token}", proof=proof, certificate=certificate, uri="/notes/")
        assert explanation.status == status
