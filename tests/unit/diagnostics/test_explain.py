"""Why a token is accepted or refused: the ladders of rules, their true order, and what is shown of a token."""

import asyncio
import itertools
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from authlib.oauth2.rfc6750 import InvalidTokenError as AuthlibInvalidTokenError
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import OperationalError, connections
from django.test import RequestFactory, override_settings
from django.urls import path
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import Key, KeySet

from async_oauth_guard import (
    BearerTokenValidator,
    InsufficientScopeError,
    IntrospectTokenValidator,
    InvalidTokenError,
    JWTBearerTokenValidator,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
    TokenValidator,
    token_authenticated,
    token_rejected,
)
from async_oauth_guard.diagnostics.explain import Explanation, aexplain, explain
from async_oauth_guard.diagnostics.explain.notes import shown_claims
from async_oauth_guard.diagnostics.remedies import REMEDIES
from async_oauth_guard.guard.context import make_context
from async_oauth_guard.guard.overrides import TokenOverride, begin_override
from async_oauth_guard.protocol.credentials import AUTHLIB_CREDENTIALS, Credentials
from async_oauth_guard.protocol.requirements import parse_requirements
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.validators.clock import CLOCK
from tests.conftest import create_token, make_user
from tests.remote.authority import make_key
from tests.site.models import OAuth2Token
from tests.sites import Urls

ISSUER = "https://as.example.com"
API = "https://api.example.com"
KEY = make_key("ec")
# Of the same kid as KEY, and another key.
IMPOSTOR = make_key("ec", "ES384")
NOW = int(time.time())


def view(request: Any) -> Any:
    raise AssertionError("no view is called")


def guard_of(protector: ResourceProtector, *arguments: Any, **keywords: Any) -> Any:
    guarded: Any = protector(*arguments, **keywords)(view)
    return guarded._oauth_guard


def failed(explanation: Explanation, number: int = 0) -> list[tuple[str, Any]]:
    steps = explanation.validators[number].steps if explanation.validators else explanation.credentials
    return [(step.rule, step.reason) for step in steps if step.outcome == "failed"]


# --- the tables -----------------------------------------------------------------------------------------------------


@dataclass
class Draft:
    """A token and a request in the making: good, until something is broken."""

    header: dict[str, Any] = field(default_factory=lambda: {"typ": "at+jwt", "alg": "ES256", "kid": KEY.kid})
    claims: dict[str, Any] = field(
        default_factory=lambda: {
            "iss": ISSUER,
            "aud": API,
            "sub": "alice-5cT1",
            "client_id": "app",
            "jti": "j",
            "iat": NOW,
            "exp": NOW + 86_400,
            "scope": "profile",
            "groups": ["staff"],
            "roles": ["admin"],
            "entitlements": ["print"],
            "acr": "gold",
            "auth_time": NOW - 30,
            "authorization_details": [{"type": "payment"}],
        }
    )
    key: Key = field(default_factory=lambda: KEY)
    method: str = "GET"
    ending: str = ""
    passes_check: bool = True
    recognised: bool = True
    answers: bool = True

    def token(self) -> str:
        algorithm = self.header["alg"]
        return joserfc_jwt.encode(self.header, self.claims, self.key, algorithms=[algorithm]) + self.ending


def _sign_with(draft: Draft, key: Key, **header: Any) -> None:
    draft.key = key
    draft.header.update(header)


def _ask_as_client(draft: Draft) -> None:
    # RFC 9068 §2.2: where no resource owner is involved, `sub` names the client.
    draft.claims["sub"] = draft.claims["client_id"]


# In the order of the ladder: what to do to a token so that it fails at this rule, and the reason.
BROKEN: dict[str, tuple[Callable[[Draft], Any], Reason]] = {
    "form that this validator takes": (lambda draft: setattr(draft, "recognised", False), Reason.UNRECOGNISED_TOKEN),
    "a signed JWT that can be read in one way": (lambda draft: setattr(draft, "ending", "="), Reason.MALFORMED_JWT),
    "algorithm": (lambda draft: _sign_with(draft, make_key("p", "ES384"), alg="ES384"), Reason.UNSUPPORTED_ALGORITHM),
    "type": (lambda draft: draft.header.update(typ="JWT"), Reason.WRONG_TYPE),
    "claims that make an access token": (lambda draft: draft.claims.pop("jti"), Reason.MISSING_CLAIM),
    "issuer": (lambda draft: draft.claims.update(iss=f"{ISSUER}/"), Reason.WRONG_ISSUER),
    "audience": (lambda draft: draft.claims.update(aud="https://another.example.com"), Reason.WRONG_AUDIENCE),
    "times": (lambda draft: draft.claims.update(exp=NOW - 600), Reason.EXPIRED),
    "is not called another kind of token": (lambda draft: draft.claims.update(token_use="id"), Reason.WRONG_TYPE),
    "type of token": (lambda draft: draft.claims.update(token_type="MAC"), Reason.SENDER_CONSTRAINED),
    "authorization_details": (lambda draft: draft.claims.update(authorization_details=1), Reason.MALFORMED_CLAIM),
    "key of the issuer": (lambda draft: draft.header.update(kid="unknown"), Reason.UNKNOWN_KEY),
    "signature": (lambda draft: _sign_with(draft, make_key("impostor")), Reason.BAD_SIGNATURE),
    "user": (lambda draft: draft.claims.update(sub="nobody-5cT1"), Reason.UNKNOWN_USER),
    "cnf can be checked": (lambda draft: draft.claims.update(cnf={}), Reason.UNSUPPORTED_CONFIRMATION),
    "scheme of the token": (lambda draft: draft.claims.update(cnf={"jkt": "x"}), Reason.SENDER_CONSTRAINED),
    "proof of possession": (lambda draft: draft.claims.update(cnf={"x5t#S256": "x"}), Reason.SENDER_CONSTRAINED),
    "acr": (lambda draft: draft.claims.update(acr="silver"), Reason.INSUFFICIENT_ACR),
    "auth_time": (lambda draft: draft.claims.update(auth_time=NOW - 10**6), Reason.AUTHENTICATION_TOO_OLD),
    "method is granted": (lambda draft: setattr(draft, "method", "POST"), Reason.METHOD_NOT_NAMED),
    "scopes": (lambda draft: draft.claims.update(scope=""), Reason.INSUFFICIENT_SCOPE),
    "granted details": (
        lambda draft: draft.claims.pop("authorization_details"),
        Reason.INSUFFICIENT_AUTHORIZATION_DETAILS,
    ),
    "groups": (lambda draft: draft.claims.update(groups=[]), Reason.INSUFFICIENT_GROUPS),
    "roles": (lambda draft: draft.claims.update(roles=[]), Reason.INSUFFICIENT_ROLES),
    "entitlements": (lambda draft: draft.claims.update(entitlements=[]), Reason.INSUFFICIENT_ENTITLEMENTS),
    "speaks for a user": (_ask_as_client, Reason.NO_USER),
    "check": (lambda draft: setattr(draft, "passes_check", False), Reason.CHECK_FAILED),
}
BOUND = ["cnf can be checked", "scheme of the token", "proof of possession"]
REQUIRED = [*BOUND, *list(BROKEN)[list(BROKEN).index("acr") :]]
# The same for what a server says of a token. One of another form it is not asked about.
ANSWERED: dict[str, tuple[Callable[[Draft], Any], Reason]] = {
    "the server's word": (lambda draft: setattr(draft, "answers", False), Reason.SERVER_UNREACHABLE),
    "active": (lambda draft: draft.claims.update(active=False), Reason.INACTIVE_TOKEN),
    "issuer": BROKEN["issuer"],
    "audience": BROKEN["audience"],
    "times": BROKEN["times"],
    "is not called another kind of token": BROKEN["is not called another kind of token"],
    "type of token": BROKEN["type of token"],
    "authorization_details": BROKEN["authorization_details"],
    "user": BROKEN["user"],
    **{rule: BROKEN[rule] for rule in REQUIRED},
}
BY_KIND = {"jwt": BROKEN, "introspection": ANSWERED}
RULES = {"jwt": list(BROKEN), "introspection": ["form that this validator takes", *ANSWERED]}


class Recognising(JWTBearerTokenValidator):
    """Recognises tokens as the draft says."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(ISSUER, API, jwks=KeySet([KEY]), algorithms=["ES256"], user_lookup=_user_of)
        self.draft = draft

    def recognises(self, token: str) -> bool:
        return self.draft.recognised


class Telling(IntrospectTokenValidator):
    """Answers for a token what the draft says."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(issuer=ISSUER, audience=API, user_lookup=_user_of)
        self.draft = draft

    def introspect_token(self, token_string: str) -> Any:
        if not self.draft.answers:
            raise TemporarilyUnavailableError(reason=Reason.SERVER_UNREACHABLE)
        return {"active": True} | self.draft.claims


def verifying(cls: type[JWTBearerTokenValidator] = JWTBearerTokenValidator, **options: Any) -> Any:
    usual = {"jwks": KeySet([KEY]), "algorithms": ["ES256"], "user_lookup": _user_of}
    return cls(ISSUER, API, **(usual | options))


def _user_of(claims: Mapping[str, Any]) -> Any:
    return SimpleNamespace(pk=1, is_authenticated=True) if claims["sub"] == "alice-5cT1" else None


def explain_on_a_loop(*arguments: Any, **keywords: Any) -> Explanation:
    """What `aexplain` says."""
    return asyncio.run(aexplain(*arguments, **keywords))


EXPLAIN = {"def": explain, "async def": explain_on_a_loop}
sync_and_async = pytest.mark.parametrize("mode", EXPLAIN)


def judge(draft: Draft, kind: str = "jwt", mode: str = "def") -> Explanation:
    """What is said of a token by a guard that asks for all there is."""
    protector = ResourceProtector(Recognising(draft) if kind == "jwt" else Telling(draft))
    guard = guard_of(
        protector,
        {"GET": "profile"},
        groups="staff",
        roles="admin",
        entitlements="print",
        require_user=True,
        check=lambda request, token: draft.passes_check,
        acr_values=["platinum", "gold"],
        max_age=100_000,
        authorization_details=[{"type": "transfer"}, {"type": "payment"}],
    )
    token = draft.token() if kind == "jwt" else "opaque"
    return EXPLAIN[mode](protector, f"Bearer {token}", guard=guard, method=draft.method)


@sync_and_async
@pytest.mark.parametrize("kind", BY_KIND)
def test_the_whole_ladder(kind: str, mode: str) -> None:
    """A good token passes every rule there is, in the order of the ladder."""
    explanation = judge(Draft(), kind, mode)
    assert explanation.outcome == "accepted"
    steps = explanation.validators[0].steps
    assert [(step.rule, step.outcome) for step in steps] == [(rule, "passed") for rule in RULES[kind]]


@sync_and_async
@pytest.mark.parametrize(("kind", "rule"), [(kind, rule) for kind, broken in BY_KIND.items() for rule in broken])
def test_one_rule_is_broken(kind: str, rule: str, mode: str) -> None:
    """A token that breaks one rule fails there: what comes before is passed, what comes after is not reached."""
    break_it, reason = BY_KIND[kind][rule]
    draft = Draft()
    break_it(draft)
    explanation = judge(draft, kind, mode)
    assert explanation.reason == reason
    steps = explanation.validators[0].steps
    # The view's check is no matter of a validator that the guard does not ask.
    rules = [each for each in RULES[kind] if draft.recognised or each != "check"]
    place = rules.index(rule)
    outcomes = ["passed"] * place + ["failed"] + ["not_reached"] * (len(rules) - place - 1)
    assert [(step.rule, step.outcome) for step in steps] == list(zip(rules, outcomes, strict=True))
    assert {step.reason for step in steps if step.outcome != "failed"} == {None}


PAIRS = [(kind, *pair) for kind, broken in BY_KIND.items() for pair in itertools.pairwise(broken)]


@sync_and_async
@pytest.mark.parametrize(("kind", "earlier", "later"), PAIRS)
def test_the_order_is_true(kind: str, earlier: str, later: str, mode: str) -> None:
    """A token that breaks two rules that stand side by side is refused for the earlier one."""
    broken = BY_KIND[kind]
    draft = Draft()
    broken[later][0](draft)
    broken[earlier][0](draft)
    assert failed(judge(draft, kind, mode)) == [(earlier, broken[earlier][1])]


AMBIGUOUS: dict[str, tuple[dict[str, Any], str]] = {
    "no jti": ({"jti": None}, "claims that make an access token"),
    "jti is a number": ({"jti": 1}, "claims that make an access token"),
    "exp is text": ({"exp": "soon"}, "claims that make an access token"),
    "nbf is text": ({"nbf": "soon"}, "times"),
    "nbf and details": ({"nbf": "soon", "authorization_details": 1}, "times"),
    "details": ({"authorization_details": 1}, "authorization_details"),
}


@pytest.mark.parametrize(("changed", "rule"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_which_of_several_rules(changed: dict[str, Any], rule: str) -> None:
    """If several rules can refuse for the same reason, the explanation says which one did."""
    draft = Draft()
    draft.claims.update(changed)
    assert [step for step, _ in failed(judge(draft))] == [rule]


def test_issuer_that_is_not_told() -> None:
    """A server that says ``null`` for the issuer has not named the right one; one that says nothing is believed."""
    draft = Draft()
    draft.claims["iss"] = None
    assert failed(judge(draft, "introspection")) == [("issuer", Reason.MISSING_CLAIM)]
    del draft.claims["iss"]
    assert judge(draft, "introspection").outcome == "accepted"


def test_headers_of_jwts() -> None:
    """An unknown algorithm is refused for the token's form, not by the validator's list."""
    token = Draft().token()
    none = "eyJhbGciOiJub25lIn0." + token.partition(".")[2]
    explanation = explain(ResourceProtector(verifying()), f"Bearer {none}")
    assert failed(explanation) == [("a signed JWT that can be read in one way", Reason.UNSUPPORTED_ALGORITHM)]


class OwnIssuer(JWTBearerTokenValidator):
    """Compares issuers with a custom hook."""

    def validate_iss(self, claims: Any, iss: Any) -> bool:
        return bool(iss == "https://mine.example.com")


def test_issuers_by_a_hook() -> None:
    """A hook that compares issuers does so after the signature, and the rule stands there."""
    explanation = explain(ResourceProtector(verifying(OwnIssuer)), f"Bearer {Draft().token()}")
    assert failed(explanation) == [("issuer, by validate_iss()", Reason.WRONG_ISSUER)]
    rules = [step.rule for step in explanation.validators[0].steps]
    assert "issuer" not in rules
    assert rules.index("issuer, by validate_iss()") == rules.index("signature") + 1


def test_rules_that_are_not_asked() -> None:
    """Without an audience and a lookup of users, no rule about them is shown."""
    validator = JWTBearerTokenValidator(ISSUER, None, jwks=KeySet([KEY]))
    steps = explain(ResourceProtector(validator), f"Bearer {Draft().token()}").validators[0].steps
    assert {"audience", "user", "groups", "check"}.isdisjoint(step.rule for step in steps)


def test_what_is_asked_for() -> None:
    """Each rule shows what it requires."""
    with mock.patch.object(CLOCK, "wall", return_value=float(NOW)):
        details = {step.rule: step.detail for step in judge(Draft()).validators[0].steps}
    assert details["algorithm"] == "alg is ES256"
    assert details["type"] == "profile rfc9068"
    assert details["issuer"] == f"iss is {ISSUER}"
    assert details["audience"] == f"aud has {API}"
    assert details["times"] == time.strftime("it is %Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW))
    assert (details["method is granted"], details["scopes"], details["groups"]) == ("GET", "profile", "staff")
    assert (details["acr"], details["auth_time"]) == ("platinum or gold", "at most 100000 s ago")
    assert details["granted details"] == "transfer or payment"


def test_audience_of_a_profile() -> None:
    """The audience is shown with the claim that the profile uses for it."""
    validator = verifying(profile="cognito")
    details = {
        step.rule: step.detail
        for step in explain(ResourceProtector(validator), f"Bearer {Draft().token()}").validators[0].steps
    }
    assert details["audience"] == f"client_id has {API}"


# --- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_ladder_of_rows() -> None:
    """A row is checked in the order of its ladder: a token that breaks two rules is refused for the earlier one."""
    bob = make_user("bob", is_active=False)
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    guard = guard_of(protector, "email")
    broken = [
        ("not expired", {"expires_at": 1}),
        ("not revoked", {"revoked": True}),
        ("user is active", {"user": bob}),
        ("scopes", {"scope": "profile"}),
    ]
    for number, (rule, _) in enumerate(broken):
        values: dict[str, Any] = {"user": None}
        for _, changed in broken[number:]:
            values.update(changed)
        row = create_token(**values)
        assert [step for step, _ in failed(explain(protector, f"Bearer {row.access_token}", guard=guard))] == [rule]


@pytest.mark.django_db
def test_row_is_told() -> None:
    """The explanation shows a row's scopes, its expiry and the lookup, but nothing about its user."""
    row = create_token(user=make_user("alice"), expires_at=NOW - 60)
    explanation = explain(ResourceProtector(BearerTokenValidator(OAuth2Token)), f"Bearer {row.access_token}")
    validator = explanation.validators[0]
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - 60))
    assert validator.claims == {"exp": NOW - 60, "exp_date": date, "scope": "profile"}
    assert validator.calls == ("lookup in site.OAuth2Token.access_token: 1 found",)


@pytest.mark.django_db
def test_row_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that fails while its row is shown does not change the result."""
    monkeypatch.setattr(OAuth2Token, "get_expires_at", lambda row: 1 / 0, raising=False)
    row = create_token(user=None, expires_at=1)
    explanation = explain(ResourceProtector(BearerTokenValidator(OAuth2Token)), f"Bearer {row.access_token}")
    assert (explanation.reason, explanation.validators[0].claims) == (Reason.EXPIRED, {})


# --- several validators ----------------------------------------------------------------------------------------------


class AnswersItself(IntrospectTokenValidator):
    """Has the server's words at hand."""

    words: Mapping[str, Any] = {}
    heard: list[str] = []

    def introspect_token(self, token_string: str) -> Any:
        self.heard.append(str(token_string))
        return self.words.get(token_string, {"active": False})


@pytest.fixture
def asking() -> AnswersItself:
    """A validator that hands tokens over."""
    AnswersItself.heard = []
    AnswersItself.words = {"opaque": {"active": True, "aud": API, "scope": "profile", "sub": "alice-5cT1"}}
    return AnswersItself(audience=API)


def test_routing_is_told(asking: AnswersItself) -> None:
    """The explanation says which validators a request calls. Others run only if that sends the token to nobody."""
    protector = ResourceProtector(verifying(), asking)
    own = explain(protector, f"Bearer {Draft().token()}")
    assert own.asked == ("JWTBearerTokenValidator",)
    assert [each.outcome for each in own.validators] == ["accepted", "not_asked"]
    assert asking.heard == []
    opaque = explain(protector, "Bearer opaque")
    assert opaque.asked == ("AnswersItself",)
    assert [(each.outcome, each.asked) for each in opaque.validators] == [("refused", False), ("accepted", True)]
    assert asking.heard == ["opaque"]
    assert opaque.outcome == "accepted"


def test_the_first_yes_ends_it(asking: AnswersItself) -> None:
    """After a validator accepts the token, no other gets it; after a refusal the next one does."""
    second = AnswersItself(audience=API)
    explanation = explain(ResourceProtector(asking, second), "Bearer opaque")
    assert explanation.asked == ("AnswersItself 1",)
    assert [each.validator for each in explanation.validators] == ["AnswersItself 1", "AnswersItself 2"]
    assert asking.heard == ["opaque"]
    refused = explain(ResourceProtector(asking, second), "Bearer unknown")
    assert refused.asked == ("AnswersItself 1", "AnswersItself 2")
    assert (refused.reason, asking.heard) == (Reason.INACTIVE_TOKEN, ["opaque", "unknown", "unknown"])


def test_missing_scopes_end_it(asking: AnswersItself) -> None:
    """A refusal for any reason but an invalid token is final, as for a request; the realm is that validator's."""
    second = AnswersItself(audience=API, realm="second")
    protector = ResourceProtector(asking, second)
    explanation = explain(protector, "Bearer opaque", guard=guard_of(protector, "email"))
    assert (explanation.status, explanation.reason, explanation.asked) == (
        403,
        Reason.INSUFFICIENT_SCOPE,
        ("AnswersItself 1",),
    )
    assert explanation.challenge is not None
    assert 'scope="email"' in explanation.challenge


def test_realm_of_who_refuses(asking: AnswersItself) -> None:
    """The challenge has the realm of the validator that refuses."""
    first = AnswersItself(audience=API, realm="first", token_format="never")
    second = AnswersItself(audience=API, realm="second")
    explanation = explain(ResourceProtector(first, second), "Bearer unknown")
    assert explanation.challenge is not None
    assert 'realm="second"' in explanation.challenge


def test_nobody_is_asked() -> None:
    """A token that nobody takes is refused as for a request, and each validator that keeps tokens says why."""
    issuers = [JWTBearerTokenValidator(f"{ISSUER}/{name}", API, jwks=KeySet([KEY])) for name in ("a", "b")]
    explanation = explain(ResourceProtector(*issuers), f"Bearer {Draft().token()}")
    assert (explanation.reason, explanation.asked) == (Reason.UNRECOGNISED_TOKEN, ())
    assert [each.reason for each in explanation.validators] == [Reason.WRONG_ISSUER] * 2


def test_checks_are_the_views(asking: AnswersItself) -> None:
    """The view's check is called once, for the validator that the guard asks."""
    seen: list[Any] = []
    protector = ResourceProtector(verifying(), verifying())
    guard = guard_of(protector, check=lambda request, token: seen.append((request.path, request.method)) or True)
    explanation = explain(protector, f"Bearer {Draft().token()}", guard=guard, method="PUT", uri="/a/b?c=d")
    assert [each.outcome for each in explanation.validators] == ["accepted", "accepted"]
    assert seen == [("/a/b", "PUT")]


# --- code of the site's ----------------------------------------------------------------------------------------------


@dataclass
class Found:
    """A token of a site's own finding."""

    expired: bool = False

    def is_expired(self) -> bool:
        return self.expired

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return "profile"


class Own(TokenValidator):
    """A source of tokens of a site's own."""

    def authenticate_token(self, token_string: str) -> Any:
        if token_string == "authlib":
            raise AuthlibInvalidTokenError
        if token_string == "teapot":
            raise OAuth2Error(error="no_such_luck", status_code=418)
        if token_string == "made-up":
            raise InvalidTokenError(reason="a word of its own")  # type: ignore[arg-type]
        return Found(expired=token_string == "expired")


class OwnVerdict(BearerTokenValidator):
    """Judges in its own way."""

    def authenticate_token(self, token_string: str) -> Any:
        return token_string

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        """All are good."""


def test_own_validator() -> None:
    """A site's validator decides in one step; the view's requirements are shown as well."""
    protector = ResourceProtector(Own())
    assert [(step.rule, step.outcome) for step in explain(protector, "Bearer good").validators[0].steps] == [
        ("its own decision", "passed"),
        *((rule, "passed") for rule in BOUND),
        ("method is granted", "passed"),
        ("scopes", "passed"),
    ]
    assert failed(explain(protector, "Bearer authlib")) == [("its own decision", Reason.REFUSED_BY_HOOK)]
    assert failed(explain(protector, "Bearer expired")) == [("its own decision", Reason.EXPIRED)]
    guard = guard_of(protector, "email")
    assert failed(explain(protector, "Bearer good", guard=guard)) == [("scopes", Reason.INSUFFICIENT_SCOPE)]
    assert explain(protector, "Bearer good").validators[0].calls == ("call of Own.authenticate_token(): returned",)
    assert explain(protector, "Bearer authlib").validators[0].calls == (
        "call of Own.authenticate_token(): raised InvalidTokenError",
    )


def test_error_of_an_own_code() -> None:
    """An error with a hook's custom code is shown as a request would get it."""
    explanation = explain(ResourceProtector(Own()), "Bearer teapot")
    assert (explanation.status, explanation.error, explanation.reason) == (418, "no_such_luck", Reason.REFUSED_BY_HOOK)


def test_reason_of_an_own_word() -> None:
    """A reason that a hook has made up is not shown, as in the log: it may hold anything."""
    explanation = explain(ResourceProtector(Own()), "Bearer made-up")
    assert (explanation.status, explanation.reason) == (401, Reason.REFUSED_BY_HOOK)
    assert explanation.remedy == REMEDIES[Reason.REFUSED_BY_HOOK]
    assert failed(explanation) == [("its own decision", Reason.REFUSED_BY_HOOK)]


def test_methods_of_any_size() -> None:
    """A method is what Django makes of it."""
    seen: list[str] = []
    guard = guard_of(ResourceProtector(Own()), check=lambda request, token: seen.append(request.method) or True)
    assert explain(ResourceProtector(Own()), "Bearer good", guard=guard, method="post").outcome == "accepted"
    assert seen == ["POST"]


RULES_OF_ROWS = [
    "form that this validator takes",
    "the column can hold it",
    "database answers",
    "one row has it, not two",
    "a row has it",
    "not expired",
    "not revoked",
    "user is active",
    *REQUIRED,
]
RULES_OF_THE_TOOLKIT = [
    *RULES_OF_ROWS[: RULES_OF_ROWS.index("user is active")],
    "resource",
    "client is usable",
    "user is active",
    *REQUIRED,
]
SIGNED = list(BROKEN).index("signature") + 1
RULES_OF_JWTS = [*list(BROKEN)[:SIGNED], "issuer, by validate_iss()", *list(BROKEN)[SIGNED:]]


@pytest.mark.parametrize(
    ("validator", "rules"),
    [
        (BearerTokenValidator(OAuth2Token), RULES_OF_ROWS),
        (BearerTokenValidator.for_django_oauth_toolkit(), RULES_OF_THE_TOOLKIT),
        (verifying(), RULES_OF_JWTS),
        (verifying(OwnIssuer), RULES_OF_JWTS),
        (AnswersItself(audience=API), RULES["introspection"]),
        (TokenValidator(), ["its own decision", *REQUIRED]),
        (Own(), ["its own decision", *REQUIRED]),
        (OwnVerdict(OAuth2Token), ["its own decision", *REQUIRED]),
    ],
)
def test_ladder_of_a_class(validator: Any, rules: list[str]) -> None:
    """A subclass has the rules of its kind, each under a unique name, unless it finds or validates tokens itself."""
    context = make_context(ResourceProtector(validator).options, parse_requirements(), None)
    names = [rule.name for table, _ in validator._rule_tables(context) for rule in table]
    # A good token of this module is not bound. The explanation of a request uses up no proof.
    unlisted = {"sender-constrained", "proof was not used before"}
    assert [name for name in names if name not in unlisted] == rules
    assert names.index("sender-constrained") == names.index("acr") - 1
    assert len(set(names)) == len(names)


def test_bug_of_a_check() -> None:
    """What a check raises is raised, a database's outage too: for a request it would be 500."""
    protector = ResourceProtector(verifying())

    def fail(request: Any, token: Any) -> bool:
        raise OperationalError("gone")

    with pytest.raises(OperationalError):
        explain(protector, f"Bearer {Draft().token()}", guard=guard_of(protector, check=fail))


def test_unknown_keyword() -> None:
    """A keyword that no validator takes is an error, as it is for a request."""
    protector = ResourceProtector.from_settings()
    guard = guard_of(protector, tenant="a")
    with pytest.raises(TypeError, match="tenant"):
        explain(protector, "Bearer any", guard=guard)


class OwnProtector(ResourceProtector):
    """Has the last word itself."""

    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        if request.path == "/closed/":
            raise AuthlibInvalidTokenError("closed")
        if request.path == "/alone/":
            return {"sub": "anybody"}
        return super().acquire_token(request, scopes, **requirements)


class AsyncProtector(ResourceProtector):
    """The same for event loops."""

    async def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:  # type: ignore[override]
        return await ResourceProtector.aacquire_token(self, request, scopes, **requirements)


def test_own_acquire_token() -> None:
    """A protector's own ``acquire_token`` decides; the explanation says which validators it asks. No signal is sent."""
    protector = OwnProtector(verifying())
    token = f"Bearer {Draft().token()}"
    heard: list[Any] = []
    receivers = {signal: lambda **kwargs: heard.append(kwargs) for signal in (token_authenticated, token_rejected)}
    for signal, receive in receivers.items():
        signal.connect(receive)
    try:
        asked = explain(protector, token)
        narrow = explain(protector, token, guard=guard_of(protector, "email"))
        alone = explain(protector, token, uri="/alone/")
        closed = explain(protector, token, uri="/closed/")
        other = explain(protector, "Basic abc")
    finally:
        for signal, receive in receivers.items():
            signal.disconnect(receive)
    assert heard == []
    assert (asked.outcome, asked.asked) == ("accepted", ("JWTBearerTokenValidator",))
    assert (narrow.reason, narrow.asked) == (Reason.INSUFFICIENT_SCOPE, ("JWTBearerTokenValidator",))
    assert narrow.challenge is not None
    assert 'scope="email"' in narrow.challenge
    assert (alone.outcome, alone.asked, alone.validators[0].outcome) == ("accepted", (), "accepted")
    assert (closed.status, closed.reason, closed.asked) == (401, Reason.REFUSED_BY_HOOK, ())
    assert (other.status, other.reason) == (401, Reason.UNSUPPORTED_SCHEME)


class SecondThoughts(ResourceProtector):
    """Asks once more, for less, where a token is not good for everything."""

    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        try:
            return super().acquire_token(request, "everything")
        except InsufficientScopeError:
            return super().acquire_token(request, scopes, **requirements)


class AsyncSecondThoughts(ResourceProtector):
    """The same for event loops."""

    async def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:  # type: ignore[override]
        try:
            return await ResourceProtector.aacquire_token(self, request, "everything")
        except InsufficientScopeError:
            return await ResourceProtector.aacquire_token(self, request, scopes, **requirements)


@pytest.mark.parametrize(
    ("cls", "mode"), [(SecondThoughts, "def"), (SecondThoughts, "async def"), (AsyncSecondThoughts, "async def")]
)
def test_second_thoughts(cls: Any, mode: str) -> None:
    """If an ``acquire_token`` asks twice, the last answer counts, and its steps are shown."""
    protector = cls(verifying())
    token = f"Bearer {Draft().token()}"
    refused = EXPLAIN[mode](protector, token, guard=guard_of(protector, groups="guests"))
    assert (refused.reason, failed(refused)) == (Reason.INSUFFICIENT_GROUPS, [("groups", Reason.INSUFFICIENT_GROUPS)])
    let_in = EXPLAIN[mode](protector, token, guard=guard_of(protector, "profile"))
    assert (let_in.outcome, let_in.validators[0].outcome, failed(let_in)) == ("accepted", "accepted", [])


class Shy(Own):
    """Takes no token for its own."""

    def recognises(self, token: str) -> bool:
        return False


class PassingOn(ResourceProtector):
    """Requires an additional scope, and raises what a hook raised."""

    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        try:
            return super().acquire_token(request, "own")
        except OAuth2Error as error:
            raise error.__cause__ or error from None


@sync_and_async
@pytest.mark.parametrize(
    ("cls", "header", "told"),
    [
        (OwnProtector, "Bearer authlib", 'realm="own"'),
        (PassingOn, "Bearer authlib", 'realm="own"'),
        (PassingOn, None, 'scope="own"'),
    ],
)
def test_own_acquire_token_and_its_errors(cls: Any, header: str | None, told: str, mode: str) -> None:
    """An error that goes through ``acquire_token`` is shown once, with the challenge that a request gets."""
    protector = cls(Shy(realm="another"), Own(realm="own"))
    explanation = EXPLAIN[mode](protector, header)
    headers = {} if header is None else {"Authorization": header}
    response: Any = protector()(view)(RequestFactory().get("/", headers=headers))
    assert (explanation.status, explanation.challenge) == (401, response["WWW-Authenticate"])
    assert told in response["WWW-Authenticate"]
    assert explanation.reason == (Reason.MISSING_CREDENTIALS if header is None else Reason.REFUSED_BY_HOOK)


# --- what is handed over ---------------------------------------------------------------------------------------------


def test_optional() -> None:
    """An optional guard lets a request without credentials in, and says that it is one."""
    protector = ResourceProtector(verifying())
    explanation = explain(protector, None, guard=guard_of(protector, "profile", optional=True))
    assert (explanation.outcome, explanation.status, explanation.requirement) == (
        "accepted",
        200,
        "optional: profile",
    )
    assert [step.outcome for step in explanation.credentials] == ["failed", *["not_reached"] * 4]
    assert explain(protector, None).status == 401


def test_authlib_answers() -> None:
    """With ``compat="authlib"`` the header is read and answered as Authlib does."""
    protector = ResourceProtector(verifying(), compat="authlib")
    explanation = explain(protector, "Bearer a b")
    assert [step.rule for step in explanation.credentials] == [rule.name for rule in AUTHLIB_CREDENTIALS]
    assert (explanation.reason, explanation.challenge) == (
        Reason.MALFORMED_JWT,
        'Bearer error="invalid_token", error_description="The access token provided is expired, revoked, malformed, or'
        ' invalid for other reasons."',
    )


@pytest.mark.parametrize("compat", [None, "authlib"])
def test_stand_ins_do_not_count(compat: Any) -> None:
    """What a test puts in the place of a request's credentials is not what is explained."""
    layer = begin_override(TokenOverride(lambda schemes: Credentials("bearer", Secret("another")), [Own()]))  # type: ignore[arg-type]
    try:
        explanation = explain(ResourceProtector(verifying(), compat=compat), f"Bearer {Draft().token()}")
        own = explain(OwnProtector(verifying(), compat=compat), None)
    finally:
        layer.end()
    assert explanation.asked == ("JWTBearerTokenValidator",)
    assert explanation.outcome == "accepted"
    assert own.reason is Reason.MISSING_CREDENTIALS


@pytest.mark.parametrize(
    ("uri", "allowed", "expected"),
    [
        (None, ["*"], "http://localhost/"),
        ("/a?b=c", [".example.com"], "http://example.com/a?b=c"),
        ("/a", ["*", "api.example.com"], "http://api.example.com/a"),
        ("/caf%C3%A9/?b=c", ["*"], "http://localhost/caf%C3%A9/?b=c"),
        ("/café/", ["*"], "http://localhost/caf%C3%A9/"),
        ("https://api.example.com/a", ["*"], "https://api.example.com/a"),
        ("http://api.example.com:8000/a", ["*"], "http://api.example.com:8000/a"),
    ],
)
def test_request(uri: str | None, allowed: list[str], expected: str) -> None:
    """Checks get a request for the URI, of a host that Django allows."""
    seen: list[str] = []
    protector = ResourceProtector(verifying())
    guard = guard_of(protector, check=lambda request, token: seen.append(request.build_absolute_uri()) or True)
    with override_settings(ALLOWED_HOSTS=allowed):
        explain(protector, Secret(f"Bearer {Draft().token()}"), guard=guard, uri=uri)
    assert seen == [expected]


def test_path_that_cannot_be_read() -> None:
    """If the site's code fails while the path is read, no frame of the library shows the token."""
    failing = mock.patch("async_oauth_guard.diagnostics.explain.explanation.resolve", side_effect=KeyError)
    with failing, pytest.raises(KeyError) as caught:
        explain(ResourceProtector(verifying()), Secret("Bearer the-secret-token"), uri="/things/a/")
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert any(frame.f_code.co_name == "_request" for frame in frames)
    assert "the-secret-token" not in "".join(repr(frame.f_locals) for frame in frames)


def test_request_that_django_has_read() -> None:
    """Checks may look at what a path says, where there is a view at it."""
    seen: list[Any] = []
    guard = guard_of(ResourceProtector(Own()), check=lambda request, token: seen.append(request.resolver_match) or True)
    with override_settings(ROOT_URLCONF=Urls(path("users/<name>", view))):
        for uri in ("/users/alice", "/nowhere", None):
            assert explain(ResourceProtector(Own()), "Bearer good", guard=guard, uri=uri).outcome == "accepted"
    assert [match and match.kwargs for match in seen] == [{"name": "alice"}, None, None]


def test_path_that_a_shell_could_not_decode() -> None:
    """Bytes of the command line that are no UTF-8 are bytes of the path, as a client may send them."""
    seen: list[Any] = []
    guard = guard_of(ResourceProtector(Own()), check=lambda request, token: seen.append(request.path) or True)
    explain(ResourceProtector(Own()), "Bearer good", guard=guard, uri="/caf\udce9")
    assert seen == ["/caf%E9"]


async def test_event_loop(asking: AnswersItself) -> None:
    """On an event loop it is ``aexplain``, with the same outcome; the other would block."""
    protector = ResourceProtector(verifying(), asking)
    token = f"Bearer {Draft().token()}"
    guard = guard_of(protector, "email", check=lambda request, token: True)
    explanation = await aexplain(protector, token, guard=guard)
    assert (explanation.status, failed(explanation)) == (403, [("scopes", Reason.INSUFFICIENT_SCOPE)])
    assert (await aexplain(protector, "Bearer opaque")).outcome == "accepted"
    with pytest.raises(SynchronousOnlyOperation, match="aexplain"):
        explain(protector, token)


@pytest.mark.django_db(transaction=True)
async def test_row_on_an_event_loop() -> None:
    """A row is shown on an event loop too."""
    try:
        row = await OAuth2Token.objects.acreate(access_token="token-4bF7", scope="profile", revoked=True)
        explanation = await aexplain(ResourceProtector(BearerTokenValidator(OAuth2Token)), f"Bearer {row.access_token}")
    finally:
        # Of asgiref's thread, which outlives the test.
        await sync_to_async(connections.close_all)()
    assert (explanation.reason, explanation.validators[0].claims) == (Reason.REVOKED, {"scope": "profile"})


async def test_own_acquire_token_on_an_event_loop() -> None:
    """An ``async def acquire_token`` is awaited."""
    explanation = await aexplain(AsyncProtector(verifying()), f"Bearer {Draft().token()}")
    assert (explanation.outcome, explanation.asked) == ("accepted", ("JWTBearerTokenValidator",))


def test_no_validator() -> None:
    """A protector that cannot judge anything says so."""
    with pytest.raises(ImproperlyConfigured, match="must have a token validator"):
        explain(ResourceProtector(), "Bearer any")


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_json_is_json() -> None:
    """All of it can be written as JSON, and has neither the token nor whom it speaks for."""
    draft = Draft()
    draft.claims.update(email="alice-5cT1@example.com", aud=[API, 7])
    token = draft.token()
    explanation = explain(ResourceProtector(verifying()), f"Bearer {token}")
    text = json.dumps(explanation.as_json()) + repr(explanation)
    assert json.loads(json.dumps(explanation.as_json()))["validators"][0]["claims"]["alg"] == "ES256"
    for secret in (*token.split("."), "alice-5cT1"):
        assert secret not in text


CLAIMS: dict[str, tuple[Any, Any]] = {
    "text": ({"iss": "a"}, {"iss": "a"}),
    "long text": ({"iss": "a" * 300}, {"iss": "a" * 200 + "…"}),
    "an object": ({"iss": {"a": 1}}, {"iss": "<dict>"}),
    "a list": ({"aud": ["a", {"b": 1}]}, {"aud": ["a", "<dict>"]}),
    "a long list": ({"aud": ["a"] * 60}, {"aud": ["a"] * 50}),
    "authentication": (
        {"acr": "gold", "auth_time": 0, "amr": ["pwd"]},
        {"acr": "gold", "auth_time": 0, "auth_time_date": "1970-01-01T00:00:00Z"},
    ),
    "a date": ({"exp": 0}, {"exp": 0, "exp_date": "1970-01-01T00:00:00Z"}),
    "every time": (
        {"exp": 60, "nbf": 0, "iat": 1.5},
        {
            "exp": 60,
            "exp_date": "1970-01-01T00:01:00Z",
            "nbf": 0,
            "nbf_date": "1970-01-01T00:00:00Z",
            "iat": 1.5,
            "iat_date": "1970-01-01T00:00:01Z",
        },
    ),
    "a number that is no time": ({"iss": 5}, {"iss": 5}),
    "a list in a list": ({"aud": [["x"]]}, {"aud": ["<list>"]}),
    "no date": ({"exp": "soon"}, {"exp": "soon"}),
    "a year that is none": ({"exp": 10**15}, {"exp": 10**15}),
    "no number that there is": ({"exp": 10**400}, {"exp": "<a very large number>"}),
    "what names a person": ({"sub": "alice", "email": "a@b", "name": "Alice", "jti": "j"}, {}),
}


@pytest.mark.parametrize(("claims", "told"), CLAIMS.values(), ids=CLAIMS)
def test_claims_that_are_told(claims: Any, told: Any) -> None:
    """A few claims are shown, cut to a readable length; other claims are never shown."""
    assert shown_claims(claims, {}) == told


def test_header_that_is_told() -> None:
    """The header's type, algorithm and key id are shown."""
    assert shown_claims({}, {"typ": "JWT", "alg": "ES256", "kid": "k", "jwk": {"kty": "EC"}}) == {
        "typ": "JWT",
        "alg": "ES256",
        "kid": "k",
    }


class FromAuthlib(AuthlibTokenValidator):
    """A validator that was written for Authlib, and knows nothing of tables of rules."""

    TOKEN_TYPE = "bearer"

    def authenticate_token(self, token_string: str) -> Any:
        return {"scope": "a"}

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        """Accept every token."""


def test_validators_of_authlibs_class() -> None:
    """A validator of Authlib's class has one rule of its own, and then the requirements of the view."""
    [validator] = explain(ResourceProtector(FromAuthlib()), Secret("Bearer token")).validators
    assert [(step.rule, step.outcome) for step in validator.steps] == [
        ("its own decision", "passed"),
        *((rule, "passed") for rule in BOUND),
        ("method is granted", "passed"),
        ("scopes", "passed"),
    ]
