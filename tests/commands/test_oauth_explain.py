"""The command ``oauth_explain``: one case for each `Reason`, and its messages about invalid input."""

import base64
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from authlib.oauth2.rfc6750 import InvalidTokenError as AuthlibInvalidTokenError
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from oauth2_provider.models import AccessToken as ToolkitToken
from oauth2_provider.models import Application

from async_oauth_guard import (
    BearerTokenValidator,
    InvalidDPoPProofError,
    ProtectedResourceMixin,
    Reason,
    ResourceProtector,
    UseDPoPNonceError,
    require_oauth,
    token_authenticated,
    token_rejected,
)
from async_oauth_guard.diagnostics.remedies import REMEDIES
from async_oauth_guard.errors import error_of
from async_oauth_guard.management.commands.oauth_explain import Command
from async_oauth_guard.runtime import event_loop
from async_oauth_guard.validators.clock import CLOCK
from tests.conftest import create_token, make_user
from tests.faults import FaultServer, Hang, Json, Reset, Status
from tests.remote.authority import (
    AUDIENCE,
    CLIENT_SECRET,
    INTROSPECTION,
    KEYS,
    METADATA,
    SUBJECT,
    Authority,
    make_key,
)
from tests.site.models import AnyTenantToken, TenantToken
from tests.sites import Urls
from tests.terminals import read_samples

pytestmark = pytest.mark.django_db

MODEL = "async_oauth_guard.BearerTokenValidator"
JWT = "async_oauth_guard.JWTBearerTokenValidator"
INTROSPECT = "async_oauth_guard.IntrospectTokenValidator"
HERE = "tests.commands.test_oauth_explain"
PAGE = Path(__file__).parent.parent.parent / "docs" / "explain.md"
NOW = int(time.time())


@pytest.fixture(scope="module")
def _server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server
    event_loop.close()


@pytest.fixture
def authority(_server: FaultServer) -> Authority:
    """An authorization server that is well."""
    _server.calls.clear()
    return Authority(_server)


class RefusingValidator(BearerTokenValidator):
    """Refuses by an error of Authlib's own."""

    def authenticate_token(self, token_string: str) -> Any:
        raise AuthlibInvalidTokenError


class FailingValidator(BearerTokenValidator):
    """Has a bug."""

    def authenticate_token(self, token_string: str) -> Any:
        raise LookupError(f"with {token_string}")


# --- what is typed, and what comes of it -----------------------------------------------------------------------------


@dataclass
class Told:
    """What the command printed, and how it ended."""

    status: int
    out: str
    trouble: str

    @property
    def guards(self) -> list[Any]:
        return list(json.loads(self.out)["guards"])

    def failed_steps(self) -> list[Any]:
        """Those of each validator that the guard asks, or else those of the header."""
        guard = self.guards[0]
        asked = [each for each in guard["validators"] if each["asked"]] or guard["validators"]
        steps = [step for validator in asked for step in validator["steps"]] or guard["credentials"]
        return [step for step in steps if step["outcome"] == "failed"]


def run(given: str | bytes, *arguments: str, as_json: bool = True) -> Told:
    """Run the command with ``given`` on its standard input."""
    data = given if isinstance(given, bytes) else given.encode()
    out = io.StringIO()
    options = [*arguments, "--json"] if as_json else [*arguments, "--no-color"]
    try:
        call_command("oauth_explain", *options, stdin=io.TextIOWrapper(io.BytesIO(data)), stdout=out)
    except CommandError as error:
        return Told(error.returncode, out.getvalue(), str(error))
    return Told(0, out.getvalue(), "")


def setting(backend: str, **options: Any) -> dict[str, Any]:
    return {"VALIDATORS": [{"BACKEND": backend, "OPTIONS": options}]}


def in_model(**options: Any) -> dict[str, Any]:
    return setting(MODEL, **({"token_model": "site.OAuth2Token"} | options))


def verifying(authority: Authority, **options: Any) -> dict[str, Any]:
    usual = {"issuer": authority.issuer, "resource_server": AUDIENCE, "jwks_uri": authority.issuer + KEYS}
    return setting(JWT, **(usual | options))


def introspecting(authority: Authority, **options: Any) -> dict[str, Any]:
    usual = {"client_id": "api", "client_secret": CLIENT_SECRET, "audience": AUDIENCE}
    return setting(INTROSPECT, **(usual | {"introspection_endpoint": authority.issuer + INTROSPECTION} | options))


def together(*settings: dict[str, Any]) -> dict[str, Any]:
    """One setting with all their validators."""
    return {"VALIDATORS": [entry for each in settings for entry in each["VALIDATORS"]]}


def _segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forge(authority: Authority, header: Mapping[str, Any]) -> str:
    """A token that no library would make."""
    return f"{_segment(header)}.{_segment(authority.claims())}.c2lnbmF0dXJl"


def view(request: HttpRequest) -> HttpResponse:
    raise AssertionError("no view is called")


async def async_view(request: HttpRequest) -> HttpResponse:
    raise AssertionError("no view is called")


class ClassView(ProtectedResourceMixin, View):
    required_scopes = "profile"

    def get(self, request: HttpRequest) -> HttpResponse:
        raise AssertionError("no view is called")


class HalfGuarded(View):
    @method_decorator(require_oauth("profile"))
    def get(self, request: HttpRequest) -> HttpResponse:
        raise AssertionError("no view is called")

    def post(self, request: HttpRequest) -> HttpResponse:
        raise AssertionError("no view is called")


URLS = Urls(
    path("half/", HalfGuarded.as_view()),
    path("misspelt/", require_oauth("profile", opt=True)(view)),
    path("scopes/", require_oauth("email")(view)),
    path("scopes/async/", require_oauth("email")(async_view)),
    path("class/", ClassView.as_view()),
    path("methods/", require_oauth({"GET": "profile"})(view)),
    path("groups/", require_oauth(groups="staff")(view)),
    path("roles/", require_oauth(roles="admin")(view)),
    path("entitlements/", require_oauth(entitlements="print")(view)),
    path("acr/", require_oauth(acr_values="gold", max_age=60)(view)),
    path("recent/", require_oauth(max_age=60)(view)),
    path("details/", require_oauth(authorization_details={"type": "payment"})(view)),
    path("bound/", require_oauth(sender_constrained=True)(view)),
    path("user/", require_oauth(require_user=True)(view)),
    path("check/", require_oauth(check=lambda request, token: False)(view)),
    path("nested/", require_oauth("profile")(require_oauth("email")(view))),
    path("optional/", require_oauth("profile", optional=True)(view)),
    path("open/", view),
)


@dataclass
class Case:
    """How a `Reason` comes about.

    Attributes:
        setting: ``OAUTH_GUARD``.
        given: what is on standard input.
        step: the rule that fails.
        arguments: of the command.
        patch: what goes wrong meanwhile.
        times: how often the command is run; the last time counts.
    """

    setting: Callable[[Authority], dict[str, Any]]
    given: Callable[[Authority], str]
    step: str
    arguments: tuple[str, ...] = ()
    patch: Callable[[Authority], Any] = field(default=lambda authority: mock.MagicMock())
    times: int = 1


def row(**values: Any) -> Callable[[Authority], str]:
    """A token that is in the table."""

    def make(authority: Authority) -> str:
        owner = {} if "user" in values else {"user": make_user("alice")}
        return str(create_token(**owner, **values).access_token)

    return make


def text(given: str) -> Callable[[Authority], str]:
    return lambda authority: given


def in_table(given: Callable[[Authority], str], step: str, *arguments: str, **options: Any) -> Case:
    return Case(lambda authority: in_model(**options), given, step, arguments)


def jwt(step: str, *, given: Callable[[Authority], str] | None = None, **changed: Any) -> Case:
    """A JWT with other claims than a good one; ``options`` are the validator's."""
    options, header = changed.pop("options", {}), changed.pop("header", None)
    make = given or (lambda authority: authority.jwt(header=header, **changed))
    return Case(lambda authority: verifying(authority, **options), make, step)


def told(server_path: str, behaviour: Any, step: str, **options: Any) -> Case:
    """A server that answers otherwise than it should; the token is opaque, or where its keys matter, a JWT."""
    is_about_keys = server_path in (KEYS, METADATA)
    return Case(
        lambda authority: (verifying if is_about_keys else introspecting)(authority, **options),
        lambda authority: authority.jwt() if is_about_keys else authority.opaque(),
        step,
        patch=lambda authority: authority.server.answer(server_path, behaviour) or mock.MagicMock(),
    )


def two_rows(authority: Authority) -> str:
    for tenant in ("a", "b"):
        create_token(TenantToken, user=None, access_token="twice", tenant=tenant)
    return "twice"


def toolkit_token(authority: Authority) -> str:
    application = Application.objects.create(name="app", client_id="app")
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW + 86_400))
    return str(ToolkitToken.objects.create(token="toolkit-3gH8", application=application, expires=expires).token)


def swapped_claims(authority: Authority) -> str:
    header, _, signature = authority.jwt().split(".")
    return ".".join([header, authority.jwt().split(".")[1], signature])


HEADER = "credentials"
PROFILE = row(scope="profile")

CASES: dict[Reason, Case] = {
    Reason.MISSING_CREDENTIALS: in_table(text("Authorization:"), "credentials are presented"),
    Reason.UNSUPPORTED_SCHEME: in_table(text("Basic YWxpY2U6c2VjcmV0"), "scheme is served"),
    Reason.MALFORMED_CREDENTIALS: in_table(text('Bearer "quoted"'), "form of the credentials"),
    Reason.REPEATED_CREDENTIALS: in_table(text("Bearer one, Bearer two"), "presented once"),
    Reason.TOKEN_TOO_LONG: in_table(text("a" * 40_000), "length of the token"),
    Reason.UNRECOGNISED_TOKEN: in_table(text("another"), "form that this validator takes", token_format="ours-.*"),
    Reason.UNKNOWN_TOKEN: in_table(text("unknown-4bF7"), "a row has it"),
    Reason.AMBIGUOUS_TOKEN: in_table(two_rows, "one row has it, not two", token_model=AnyTenantToken),
    Reason.EXPIRED: in_table(row(expires_at=1), "not expired"),
    Reason.REVOKED: in_table(row(revoked=True), "not revoked"),
    Reason.INACTIVE_USER: in_table(
        lambda authority: row(user=make_user("bob", is_active=False))(authority), "user is active"
    ),
    Reason.UNUSABLE_CLIENT: Case(
        lambda authority: setting(f"{MODEL}.for_django_oauth_toolkit"),
        toolkit_token,
        "client is usable",
        patch=lambda authority: mock.patch.object(Application, "is_usable", return_value=False),
    ),
    Reason.WRONG_AUDIENCE: jwt("audience", aud="https://another.example.com"),
    Reason.MALFORMED_SCOPE: jwt("scopes", scope=5),
    Reason.INSUFFICIENT_SCOPE: in_table(PROFILE, "scopes", "--url", "/scopes/async/"),
    Reason.METHOD_NOT_NAMED: in_table(PROFILE, "method is granted", "--url", "/methods/", "--method", "POST"),
    Reason.INSUFFICIENT_GROUPS: in_table(PROFILE, "groups", "--url", "/groups/"),
    Reason.INSUFFICIENT_ROLES: in_table(PROFILE, "roles", "--url", "/roles/"),
    Reason.INSUFFICIENT_ENTITLEMENTS: in_table(PROFILE, "entitlements", "--url", "/entitlements/"),
    Reason.INSUFFICIENT_ACR: in_table(PROFILE, "acr", "--url", "/acr/"),
    Reason.AUTHENTICATION_TOO_OLD: in_table(PROFILE, "auth_time", "--url", "/recent/"),
    Reason.INSUFFICIENT_AUTHORIZATION_DETAILS: in_table(PROFILE, "granted details", "--url", "/details/"),
    Reason.BINDING_REQUIRED: Case(
        lambda authority: in_model() | {"DPOP": True}, PROFILE, "sender-constrained", ("--url", "/bound/")
    ),
    Reason.NO_USER: in_table(row(user=None), "speaks for a user", "--url", "/user/"),
    Reason.CHECK_FAILED: in_table(PROFILE, "check", "--url", "/check/"),
    Reason.REFUSED_BY_HOOK: Case(
        lambda authority: setting(f"{HERE}.RefusingValidator", token_model="site.OAuth2Token"),
        text("any"),
        "its own decision",
    ),
    Reason.MALFORMED_JWT: jwt("a signed JWT that can be read in one way", given=text("a.b.c")),
    Reason.WRONG_TYPE: jwt("type", header={"typ": "dpop+jwt"}),
    Reason.UNSUPPORTED_ALGORITHM: jwt("algorithm", options={"algorithms": ["ES256"]}),
    Reason.CRITICAL_HEADER: jwt(
        "a signed JWT that can be read in one way",
        given=lambda authority: forge(authority, {"alg": "RS256", "crit": ["b64"]}),
    ),
    Reason.WRONG_ISSUER: jwt("issuer", iss="https://another.example.com"),
    Reason.MISSING_CLAIM: jwt("claims that make an access token", jti=None),
    Reason.MALFORMED_CLAIM: jwt("authorization_details", authorization_details=["none"]),
    Reason.WRONG_CLAIM: jwt(
        "claims that make an access token", typ="ID", header={"typ": "JWT"}, options={"profile": "keycloak"}, azp="app"
    ),
    Reason.NOT_YET_VALID: jwt("times", nbf=NOW + 5_000),
    Reason.ISSUED_IN_FUTURE: jwt("times", iat=NOW + 5_000),
    Reason.UNKNOWN_KEY: jwt("key of the issuer", given=lambda authority: authority.jwt(make_key("another"))),
    Reason.BAD_SIGNATURE: jwt("signature", given=swapped_claims),
    Reason.SENDER_CONSTRAINED: jwt("scheme of the token", cnf={"jkt": "thumbprint"}),
    Reason.UNSUPPORTED_CONFIRMATION: jwt("cnf can be checked", cnf={"kid": "key"}),
    Reason.INACTIVE_TOKEN: Case(introspecting, lambda authority: authority.unknown(), "active"),
    Reason.UNKNOWN_USER: jwt("user", options={"user_lookup": "username"}),
    Reason.DATABASE_UNAVAILABLE: Case(
        lambda authority: in_model(),
        text("any"),
        "database answers",
        patch=lambda authority: mock.patch.object(CursorWrapper, "execute", side_effect=OperationalError("gone")),
    ),
    Reason.SERVER_UNREACHABLE: told(INTROSPECTION, Reset(), "the server's word"),
    Reason.SERVER_TOO_SLOW: told(INTROSPECTION, Hang(), "the server's word", timeout=0.05),
    Reason.SERVER_ANSWER_UNUSABLE: told(KEYS, Status(500), "key of the issuer"),
    Reason.TOKEN_ANSWER_UNUSABLE: told(INTROSPECTION, Status(400), "the server's word"),
    Reason.SERVER_REFUSES_US: told(INTROSPECTION, Status(401), "the server's word"),
    Reason.METADATA_UNUSABLE: told(METADATA, Json({"issuer": "another"}), "key of the issuer", jwks_uri=None),
    Reason.KEYS_UNAVAILABLE: told(KEYS, Json({"keys": []}), "key of the issuer"),
    Reason.BACKING_OFF: Case(
        introspecting,
        lambda authority: authority.opaque(),
        "the server's word",
        patch=lambda authority: authority.server.answer(INTROSPECTION, Reset()) or mock.MagicMock(),
        times=6,
    ),
    Reason.TOO_MANY_CALLS: Case(
        introspecting,
        lambda authority: authority.opaque(),
        "the server's word",
        patch=lambda authority: mock.patch(
            "async_oauth_guard.runtime.http._Queue.enter", mock.AsyncMock(return_value=False)
        ),
    ),
}
# `test_oauth_explain_dpop.py` shows each of them, except what only the use of a proof can tell.
OF_PROOFS = {
    Reason.UNBOUND_TOKEN,
    Reason.WRONG_CONFIRMATION,
    *(reason for reason in Reason if isinstance(error_of(reason), InvalidDPoPProofError | UseDPoPNonceError)),
    Reason.REPLAY_STORE_UNAVAILABLE,
    Reason.REPLAY_STORE_FULL,
}


def test_each_reason_has_a_case() -> None:
    """No reason is without its case here, except those that need a proof, or a view of Django REST framework."""
    assert set(CASES) == set(Reason) - OF_PROOFS - {Reason.AUTHENTICATED_OTHERWISE}


@pytest.mark.parametrize("reason", CASES)
def test_reason(reason: Reason, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """Each reason is shown with its rule, its remedy and the status of a view. The token is never shown."""
    caplog.set_level("DEBUG", logger="async_oauth_guard")
    case = CASES[reason]
    with override_settings(OAUTH_GUARD=case.setting(authority), ROOT_URLCONF=URLS):
        given = case.given(authority)
        with case.patch(authority):
            for _ in range(case.times):
                told = run(f"{given}\n", *case.arguments)
    guard = told.guards[0]
    assert (guard["reason"], guard["remedy"]) == (reason, REMEDIES[reason])
    assert [(step["rule"], step["reason"]) for step in told.failed_steps()] == [(case.step, reason)]
    is_outage = guard["status"] == 503
    assert guard["outcome"] == ("unavailable" if is_outage else "refused")
    assert told.status == (3 if is_outage else 1)
    assert (guard["challenge"] is None) == (is_outage or guard["error"] == "access_denied")
    assert reason in told.trouble
    said = told.out + told.trouble + caplog.text
    for secret in [part for part in given.replace(",", " ").replace(".", " ").split() if len(part) > 6]:
        assert secret not in said.replace("Authorization:", "")
    assert SUBJECT not in said


def test_token_that_the_column_cannot_hold() -> None:
    """A token that is longer than the column causes no query, and the output lists no calls."""
    with override_settings(OAUTH_GUARD=in_model()):
        told = run("a" * 256)
    assert told.failed_steps() == [
        {
            "rule": "the column can hold it",
            "outcome": "failed",
            "reason": Reason.UNKNOWN_TOKEN,
            "detail": "CharField(255)",
        }
    ]
    [validator] = told.guards[0]["validators"]
    assert validator["calls"] == []


# --- yes, and several guards -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [None, "/class/", "/optional/", "http://testserver/class/?page=2"])
def test_let_in(url: str | None, authority: Authority) -> None:
    """A good token ends with status 0, whether alone or for a view that asks for no more."""
    with override_settings(OAUTH_GUARD=in_model(), ROOT_URLCONF=URLS):
        told = run(PROFILE(authority), *(("--url", url) if url else ()))
    assert told.status == 0
    assert [guard["outcome"] for guard in told.guards] == ["accepted"]
    assert told.guards[0]["status"] == 200
    assert told.failed_steps() == []


def test_nested_guards(authority: Authority) -> None:
    """Several guards are shown, the outermost first. The first guard that refuses decides."""
    with override_settings(OAUTH_GUARD=in_model(), ROOT_URLCONF=URLS):
        told = run(row(scope="profile")(authority), "--url", "/nested/")
        shown = run(row(user=None, scope="profile")(authority), "--url", "/nested/", as_json=False).out
    assert [guard["outcome"] for guard in told.guards] == ["accepted", "refused"]
    assert (told.status, told.guards[1]["reason"]) == (1, Reason.INSUFFICIENT_SCOPE)
    assert "Guard 1 of 2 requires: profile\n" in shown
    assert "Guard 2 of 2 requires: email\n" in shown


def test_advice_for_each_validator(authority: Authority) -> None:
    """The response is that of the first validator. The token may be meant for another, so its advice is shown too."""
    with override_settings(OAUTH_GUARD=together(in_model(), introspecting(authority))):
        shown = run("unknown-4bF7", as_json=False).out
    assert "Status 401: invalid_token, for unknown_token\n" in shown
    assert f"What to do: {REMEDIES[Reason.UNKNOWN_TOKEN]}\n" in shown
    assert shown.endswith(f"What to do for IntrospectTokenValidator: {REMEDIES[Reason.INACTIVE_TOKEN]}\n")


def test_no_advice_about_validators_that_do_not_know_a_valid_token(authority: Authority) -> None:
    """If another validator accepts the token, the others do not matter."""
    with override_settings(OAUTH_GUARD=together(introspecting(authority), in_model()), ROOT_URLCONF=URLS):
        shown = run(row(user=None, scope="email")(authority), "--url", "/class/", as_json=False).out
    assert "Status 403: insufficient_scope" in shown
    assert "What to do for" not in shown


def test_sends_no_signal(authority: Authority) -> None:
    """Nobody else hears of it."""
    heard: list[Any] = []

    def hear(**kwargs: Any) -> None:
        heard.append(kwargs)

    for signal in (token_authenticated, token_rejected):
        signal.connect(hear)
    try:
        with override_settings(OAUTH_GUARD=in_model()):
            assert run(PROFILE(authority)).status == 0
            assert run("unknown-4bF7").status == 1
    finally:
        for signal in (token_authenticated, token_rejected):
            signal.disconnect(hear)
    assert heard == []


# --- for people ------------------------------------------------------------------------------------------------------


def test_shown_refusal(authority: Authority) -> None:
    """People get a table of the rules, the claims that may be shown, and what to do."""
    with override_settings(OAUTH_GUARD=verifying(authority)):
        told = run(authority.jwt(aud=["a", "b"], scope=None), as_json=False)
    lines = told.out.splitlines()
    assert lines[0] == "JWTBearerTokenValidator refuses the token"
    assert lines[1].split() == ["rule", "outcome", "reason", "required"]
    verdicts = {rule: verdict for rule, verdict, *_ in (line.split("  ", 1) for line in lines[2:12] if "  " in line)}
    assert verdicts["issuer"].split()[0] == "passed"
    assert verdicts["audience"].split()[:2] == ["failed", "wrong_audience"]
    assert verdicts["times"].split()[:2] == ["not", "reached"]
    claims = next(line for line in lines if line.startswith("  claims, unverified: "))
    assert f"iss={authority.issuer}, aud=a b, exp=" in claims
    assert "Status 401: invalid_token, for wrong_audience" in lines
    assert any(line.startswith('WWW-Authenticate: Bearer realm="api", error="invalid_token"') for line in lines)
    assert lines[-1] == f"What to do: {REMEDIES[Reason.WRONG_AUDIENCE]}"
    assert told.trouble == "The token is refused: wrong_audience."


def test_shown_acceptance(authority: Authority) -> None:
    """The output for an accepted token shows its claims and the introspection request."""
    with override_settings(OAUTH_GUARD=introspecting(authority)):
        told = run(authority.opaque(exp=NOW + 86_400), as_json=False)
    assert told.out.startswith("IntrospectTokenValidator accepts the token\n")
    assert f"  claims: aud={AUDIENCE}, exp={NOW + 86_400}, exp_date=" in told.out
    assert f"  POST {authority.issuer}{INTROSPECTION} (introspection): 200\n" in told.out
    assert told.out.endswith("Status 200: the request is let in.\n")


def test_shown_outage(authority: Authority) -> None:
    """If the server does not answer, the output shows a 503 and the call that failed, but no challenge."""
    authority.server.answer(INTROSPECTION, Reset())
    with override_settings(OAUTH_GUARD=introspecting(authority)):
        told = run(authority.opaque(), as_json=False)
    assert told.out.startswith("IntrospectTokenValidator cannot validate the token\n")
    assert f"  POST {authority.issuer}{INTROSPECTION} (introspection): server_unreachable\n" in told.out
    assert "Status 503: temporarily_unavailable, for server_unreachable\nWhat to do:" in told.out
    assert (told.status, told.trouble) == (3, "The token cannot be validated: server_unreachable.")


def test_shown_address(authority: Authority) -> None:
    """Addresses are shown without their query, where some servers want a key."""
    endpoint = f"{authority.issuer}{INTROSPECTION}?key=secret-4bF7"
    with override_settings(OAUTH_GUARD=introspecting(authority, introspection_endpoint=endpoint)):
        told = run(authority.opaque())
    assert told.guards[0]["validators"][0]["calls"] == [f"POST {authority.issuer}{INTROSPECTION} (introspection): 200"]
    assert "secret-4bF7" not in told.out


def test_shown_header(authority: Authority) -> None:
    """If the header cannot be read, the output starts with that."""
    told = run("Basic YWxpY2U6c2VjcmV0", as_json=False)
    assert told.out.startswith("Reading the header\nrule ")


def test_shown_others(authority: Authority) -> None:
    """The output says that the guard does not use these validators, and none of them gets the token."""
    with override_settings(OAUTH_GUARD=together(verifying(authority), introspecting(authority))):
        own = run(authority.jwt(aud="another"), as_json=False).out
        assert authority.questions == []
        opaque = run(authority.opaque(), as_json=False).out
    assert "IntrospectTokenValidator was not tried\n" in own
    assert "JWTBearerTokenValidator refuses the token (the guard does not try it for this token)\n" in opaque


# --- what is given ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "{token}",
        "{token}\n",
        "{token}\r\n",
        "  {token}\n",
        "Bearer {token}",
        "bearer   {token}\n",
        "Authorization: Bearer {token}\n",
        "authorization:Bearer {token}",
    ],
)
def test_forms(form: str, authority: Authority) -> None:
    """A token is taken alone, with its scheme, or as the whole line of the header."""
    with override_settings(OAUTH_GUARD=in_model()):
        assert run(form.format(token=PROFILE(authority))).status == 0


def test_scheme() -> None:
    """Another scheme is put before a token by ``--scheme``; what is no scheme is refused."""
    assert run("abc", "--scheme", "DPoP").guards[0]["reason"] == Reason.UNSUPPORTED_SCHEME
    assert (
        run("abc", "--scheme", "a b").trouble
        == "--scheme must be the name of an authentication scheme, such as Bearer."
    )


BAD_INPUT: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "Standard input is empty: pipe the token in."),
    "a line break": (b"\n", "Standard input is empty: pipe the token in."),
    "spaces": (b"  \t\n", "Standard input is empty: pipe the token in."),
    "two lines": (b"secret-4bF7\nsecret-5cG8\n", "Standard input must be one token on one line, got several lines."),
    "two line breaks": (b"secret-4bF7\n\n", "Standard input must be one token on one line, got several lines."),
    "NUL": (b"secret-4bF7\0", "Standard input must be one token as text, got binary data."),
    "no UTF-8": (b"secret-4bF7\xff\xfe", "Standard input must be one token as text, got binary data."),
    "an escape": (b"\x1b[2Jsecret-4bF7", "Standard input must be one token as text, got binary data."),
    "huge": (b"secret-4bF7" * 10_000, "Standard input has more than 65536 bytes, which is too long for a token."),
}


@pytest.mark.parametrize(("given", "sentence"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input(given: bytes, sentence: str) -> None:
    """What is no token is refused in one sentence, and not repeated."""
    assert run(given) == Told(2, "", sentence)


def test_streams(authority: Authority) -> None:
    """Standard input may be of bytes or of text, whichever a program hands over."""
    token = PROFILE(authority)
    with override_settings(OAUTH_GUARD=in_model()):
        for stdin in (io.BytesIO(token.encode()), io.StringIO(token)):
            call_command("oauth_explain", stdin=stdin, stdout=io.StringIO())


def test_closed_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell's ``<&-`` leaves nothing to read from."""
    monkeypatch.setattr("sys.stdin", None)
    with override_settings(OAUTH_GUARD=in_model()), pytest.raises(CommandError, match=r"^Standard input is empty"):
        call_command("oauth_explain", stdout=io.StringIO())


def test_terminal(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """On a terminal the command prompts for the token without an echo."""
    prompts: list[str] = []
    token = PROFILE(authority)
    monkeypatch.setattr("getpass.getpass", lambda prompt: prompts.append(prompt) or token)
    terminal = mock.Mock()
    terminal.isatty.return_value = True
    with override_settings(OAUTH_GUARD=in_model()):
        call_command("oauth_explain", stdin=terminal, stdout=io.StringIO())
    assert prompts == ["Token (not shown): "]
    assert terminal.read.called is False


@pytest.mark.parametrize("ending", [EOFError, KeyboardInterrupt])
def test_nothing_typed(monkeypatch: pytest.MonkeyPatch, ending: type[BaseException]) -> None:
    """If the user ends the prompt, no token was given: the command prints one sentence and exits with status 2."""
    monkeypatch.setattr("getpass.getpass", mock.Mock(side_effect=ending))
    terminal = mock.Mock()
    terminal.isatty.return_value = True
    with override_settings(OAUTH_GUARD=in_model()), pytest.raises(CommandError, match="No token was entered") as caught:
        call_command("oauth_explain", stdin=terminal, stdout=io.StringIO())
    assert caught.value.returncode == 2


def test_standard_input_is_the_default(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """Without a stream of the caller's, it is the process's."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PROFILE(authority).encode())))
    out = io.StringIO()
    with override_settings(OAUTH_GUARD=in_model()):
        call_command("oauth_explain", stdout=out)
    assert "Status 200" in out.getvalue()


@pytest.mark.parametrize("arguments", [["secret-4bF7"], ["-secret-4bF7"], ["--json=secret-4bF7"], ["--secret-4bF7"]])
def test_token_as_an_argument(arguments: list[str]) -> None:
    """A token among the arguments is refused with what to do instead, and not repeated."""
    told = run("", *arguments)
    assert told.status == 2
    assert "pipe it in" in told.trouble
    assert "secret" not in told.trouble


@pytest.mark.parametrize("arguments", [["secret-4bF7"], ["--json=secret-4bF7"]])
def test_token_as_an_argument_of_a_shell(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """From a shell, too, it is one sentence, which does not repeat the token, and the exit status is 2."""
    with pytest.raises(SystemExit) as caught:
        Command().run_from_argv(["manage.py", "oauth_explain", *arguments])
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.count("\n")) == (2, "", 1)
    assert "pipe it in" in err
    assert "secret" not in err


# --- what is configured ----------------------------------------------------------------------------------------------

NO_VALIDATOR = "There is no token validator, so no token is accepted: add one to OAUTH_GUARD['VALIDATORS']."
UNUSABLE: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "no setting": (None, (), "OAUTH_GUARD must be set, because the ready-made require_oauth reads it"),
    "no validator": ({}, (), NO_VALIDATOR),
    "no validator of a view": (in_model(), ("--url", "/nothing/"), NO_VALIDATOR),
    "unknown path": (
        in_model(),
        ("--url", "/elsewhere/"),
        "The site has no view at this --url. `oauth_routes` lists the paths. Check the slashes at both ends.",
    ),
    "no guard": (in_model(), ("--url", "/open/"), f"There is no guard for {HERE}.view at /open/."),
    "no guard of a method": (
        in_model(),
        ("--url", "/half/", "--method", "post"),
        f"There is no guard for POST of {HERE}.HalfGuarded at /half/.",
    ),
    "a method that cannot be": (
        in_model(),
        ("--method", "B AD"),
        "--method must be the name of an HTTP method, such as POST.",
    ),
    "a keyword that nobody takes": (
        in_model(),
        ("--url", "/misspelt/"),
        "Each request to this view gets status 500: BearerTokenValidator.validate_token() must accept the keyword"
        " opt. Correct the keyword at the view.",
    ),
    "a bug": (
        setting(f"{HERE}.FailingValidator", token_model="site.OAuth2Token"),
        (),
        "Your own code raised LookupError while the token was checked: a request would get status 500.",
    ),
    "a broken model": (
        in_model(token_model="site.Nothing"),
        (),
        "token_model must be the label of a model, got 'site.Nothing'",
    ),
}


@pytest.mark.parametrize(("guard", "arguments", "sentence"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable(guard: Any, arguments: tuple[str, ...], sentence: str) -> None:
    """If nothing can be validated, one sentence gives the cause, and the exit status is 2."""
    # Made here: while it is there, each check of the site finds that it has no validator.
    urls = Urls(*URLS.urlpatterns, path("nothing/", ResourceProtector()(view)))
    with override_settings(OAUTH_GUARD=guard, ROOT_URLCONF=urls):
        assert run("secret-4bF7", *arguments) == Told(2, "", sentence)


# --- the page --------------------------------------------------------------------------------------------------------


def test_sample_of_the_page(authority: Authority) -> None:
    """The page shows what the command prints of an old token: each rule, the claims, the answer, and what to do."""
    [typed] = [each for each in read_samples(PAGE) if each.command == "python manage.py oauth_explain < token.txt"]
    issuer, audience = "https://as.example.com", "https://api.example.com"
    guard = verifying(
        authority, issuer=issuer, resource_server=audience, algorithms=["RS256"], jwks_uri=None, jwks=authority.key_set
    )
    now = datetime.fromisoformat("2026-03-02T09:30:00Z").timestamp()
    token = authority.jwt(iss=issuer, aud=audience, iat=int(now) - 600, exp=int(now) - 60)
    with override_settings(OAUTH_GUARD=guard), mock.patch.object(CLOCK, "wall", return_value=now):
        told = run(token, as_json=False)
    assert typed.is_answered_by(f"{told.out}CommandError: {told.trouble}"), told.out
