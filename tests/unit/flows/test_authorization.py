"""The story of one token, step by step: no database, no loop."""

import traceback
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750
from django.contrib.auth.models import User
from django.db import DataError, InterfaceError, OperationalError

from async_oauth_guard import AccessToken, BearerTokenValidator, TokenValidator
from async_oauth_guard.credentials import PresentedToken, Secret
from async_oauth_guard.effects import Call, ReadModel, Row
from async_oauth_guard.errors import (
    GuardError,
    HookError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    Reason,
    TemporarilyUnavailableError,
)
from async_oauth_guard.flows.authorization import Verdict, authorize_flow, judge_flow
from async_oauth_guard.requirements import parse_requirements
from async_oauth_guard.tokens import TokenState
from tests.site.models import OAuth2Token
from tests.unit.driving import PERFORM, drive, inquire, perform

ALICE = User(pk=7, username="alice")
BOB = User(pk=8, username="bob", is_active=False)
TOKEN = Secret(PresentedToken("the-token"))
HIDDEN = Secret(PresentedToken("se-cret-4bF7"))


def token(**values: Any) -> OAuth2Token:
    return OAuth2Token(**{"user": ALICE, "scope": "a b", **values})


def model_validator(**options: Any) -> BearerTokenValidator:
    return BearerTokenValidator(OAuth2Token, **options)


def authorize(validators: Any, inquiry: Any, *replies: Any) -> Any:
    return drive(authorize_flow(validators, TOKEN, inquiry), *replies)


def refusal(validators: Any, inquiry: Any, *replies: Any) -> GuardError:
    with pytest.raises(GuardError) as caught:
        authorize(validators, inquiry, *replies)
    return caught.value


# The look-up, then the model's methods.


def test_yes() -> None:
    """R1: a good row with enough scopes is let in after one look-up and one reading of the row."""
    validator, row = model_validator(), token()
    verdict, effects = authorize([validator], inquire("a"), [row], PERFORM)
    assert [type(effect) for effect in effects] == [Row, ReadModel]
    assert verdict.token is row
    assert verdict.user is ALICE
    assert verdict.state.scope == "a b"
    assert verdict.judged == frozenset()
    read = effects[1]
    assert (read.instance, read.blocking) == (row, False)


def test_blocking_methods() -> None:
    """A validator that says so has its model's methods kept off the loop."""
    _, effects = authorize([model_validator(blocking_methods=True)], inquire(), [token()], PERFORM)
    assert effects[1].blocking is True


STATES: list[tuple[dict[str, Any], Any, Reason]] = [
    ({"expires_at": 1}, None, Reason.EXPIRED),
    ({"revoked": True}, None, Reason.REVOKED),
    ({"expires_at": 1, "revoked": True}, None, Reason.EXPIRED),
    ({"user": BOB}, None, Reason.INACTIVE_USER),
    ({"expires_at": 1, "scope": ""}, "a", Reason.EXPIRED),
    ({"revoked": True, "scope": ""}, "a", Reason.REVOKED),
    ({"user": BOB, "scope": ""}, "a", Reason.INACTIVE_USER),
    ({"scope": {"a": 1}}, "a", Reason.MALFORMED_SCOPE),
    ({"scope": 7}, None, Reason.MALFORMED_SCOPE),
    ({"scope": ["a", 7]}, "a", Reason.MALFORMED_SCOPE),
]


@pytest.mark.parametrize(("values", "scopes", "reason"), STATES, ids=repr)
def test_no_good(values: dict[str, Any], scopes: Any, reason: Reason) -> None:
    """R26, R29, R121, R123: a token that is no good is an invalid one before anybody looks at its scopes."""
    validator = model_validator()
    error = refusal([validator], inquire(scopes), [token(**values)], PERFORM)
    assert type(error) is InvalidTokenError
    assert error.reason == reason
    assert error.validator is validator
    assert error.scope == ()


SCOPES: list[tuple[Any, Any, tuple[str, ...] | None]] = [
    (None, "", None),
    ("a", "a b", None),
    ("a b", "b a", None),
    (["a c", "b"], "a b", None),
    ("c", "a b", ("c",)),
    ("a c", "a b", ("a", "c")),
    (["c d", "a e"], "a b", ("a", "e")),
    ("A", "a b", ("A",)),
    ("a", None, ("a",)),
    ("a", ["a"], None),
    ("a", ["a b"], ("a",)),
]


@pytest.mark.parametrize(("asked", "held", "missing"), SCOPES)
def test_scopes(asked: Any, held: Any, missing: tuple[str, ...] | None) -> None:
    """R27, R119, R120, R122: the nearest alternative is named where none is held in full."""
    if missing is None:
        verdict, _ = authorize([model_validator()], inquire(asked), [token(scope=held)], PERFORM)
        assert verdict.state.scope == held
        return
    error = refusal([model_validator()], inquire(asked), [token(scope=held)], PERFORM)
    assert type(error) is InsufficientScopeError
    assert error.reason == Reason.INSUFFICIENT_SCOPE
    assert error.scope == missing


@pytest.mark.parametrize(
    ("scopes", "method", "reason"),
    [
        ({"GET": "a"}, "GET", None),
        ({"GET": "a"}, "HEAD", None),
        ({"GET": "a"}, "POST", Reason.METHOD_NOT_NAMED),
        ({"GET": "a"}, None, Reason.METHOD_NOT_NAMED),
        ({"GET": "c", "*": "a"}, None, None),
        ({"GET": "c", "*": "a"}, "OPTIONS", None),
        ({"GET": "c", "*": "a"}, "GET", Reason.INSUFFICIENT_SCOPE),
    ],
)
def test_scopes_by_method(scopes: Any, method: str | None, reason: Reason | None) -> None:
    """R120: the requirement is that of the request's method; without a request it is that of ``*``."""
    if reason is None:
        authorize([model_validator()], inquire(scopes, method=method), [token()], PERFORM)
        return
    error = refusal([model_validator()], inquire(scopes, method=method), [token()], PERFORM)
    assert type(error) is InsufficientScopeError
    assert error.reason == reason


def test_method_that_is_granted_to_nobody_wants_a_good_token_first() -> None:
    """R123: whether the token is good is decided before what it may do."""
    error = refusal([model_validator()], inquire({"GET": "a"}, method="POST"), [token(expires_at=1)], PERFORM)
    assert error.reason == Reason.EXPIRED


@pytest.mark.parametrize("found", [None, {}, ""])
def test_unknown(found: Any) -> None:
    """R29: what no validator found is an invalid token."""

    class Source(TokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            return found

    error = refusal([Source()], inquire("a"), PERFORM)
    assert (type(error), error.reason) == (InvalidTokenError, Reason.UNKNOWN_TOKEN)


@pytest.mark.parametrize("error", [OperationalError("down"), InterfaceError("down")])
def test_outage_while_the_row_is_read(error: Exception) -> None:
    """E21: a model's method that cannot query is an outage, and the database's error is not shown."""
    outage = refusal([model_validator()], inquire(), [token()], error)
    assert type(outage) is TemporarilyUnavailableError
    assert outage.reason == Reason.DATABASE_UNAVAILABLE
    assert outage.__cause__ is None
    assert outage.__suppress_context__


@pytest.mark.parametrize("error", [DataError("a bug"), KeyError("a bug")])
@pytest.mark.parametrize("replies", [[], [[token()]]], ids=["look-up", "reading"])
def test_bugs_go_through(error: Exception, replies: list[Any]) -> None:
    """R124: any other error is a bug of the site's, and no verdict."""
    with pytest.raises(type(error)) as caught:
        authorize([model_validator(), model_validator()], inquire(), *replies, error)
    assert caught.value is error


# Several validators.


class Known(TokenValidator):
    """Knows every token, or none, or cannot tell, or does not recognise it."""

    def __init__(self, answer: Any, recognised: bool = True) -> None:
        super().__init__()
        self.answer = answer
        self.recognised = recognised
        self.asked: list[str] = []

    def recognises(self, token: str) -> bool:
        return self.recognised

    def authenticate_token(self, token_string: str) -> Any:
        self.asked.append(token_string)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def good() -> Known:
    return Known(token())


def unknown() -> Known:
    return Known(None)


def narrow() -> Known:
    return Known(token(scope=""))


def down() -> Known:
    return Known(TemporarilyUnavailableError())


def foreign() -> Known:
    return Known(KeyError("not asked"), recognised=False)


def refusing() -> Known:
    return Known(InvalidTokenError(reason=Reason.WRONG_AUDIENCE))


SEVERAL: list[tuple[list[Any], Any]] = [
    ([], Reason.UNRECOGNISED_TOKEN),
    ([foreign], Reason.UNRECOGNISED_TOKEN),
    ([foreign, foreign], Reason.UNRECOGNISED_TOKEN),
    ([good], None),
    ([good, unknown], None),
    ([unknown, good], None),
    ([refusing, good], None),
    ([down, good], None),
    ([foreign, unknown, down, good], None),
    ([unknown], Reason.UNKNOWN_TOKEN),
    ([unknown, refusing], Reason.UNKNOWN_TOKEN),
    ([refusing, unknown], Reason.WRONG_AUDIENCE),
    ([foreign, refusing, foreign], Reason.WRONG_AUDIENCE),
    ([down], Reason.DATABASE_UNAVAILABLE),
    ([down, unknown], Reason.DATABASE_UNAVAILABLE),
    ([unknown, down], Reason.DATABASE_UNAVAILABLE),
    ([refusing, down, unknown], Reason.DATABASE_UNAVAILABLE),
    ([foreign, down], Reason.DATABASE_UNAVAILABLE),
    ([narrow, good], Reason.INSUFFICIENT_SCOPE),
    ([unknown, narrow, good], Reason.INSUFFICIENT_SCOPE),
    ([down, narrow], Reason.INSUFFICIENT_SCOPE),
]


@pytest.mark.parametrize(("makers", "reason"), SEVERAL, ids=lambda part: repr(part)[:10])
def test_several_validators(makers: list[Any], reason: Reason | None) -> None:
    """The first yes decides, a no needs a no from all, and whoever could not tell makes it an outage."""
    validators = [make() for make in makers]
    flow = authorize_flow(validators, TOKEN, inquire("a"))
    if reason is None:
        verdict = _run(flow)
        assert verdict.token.scope == "a b"
    else:
        with pytest.raises(GuardError) as caught:
            _run(flow)
        assert caught.value.reason == reason
    assert all(validator.asked in ([], ["the-token"]) for validator in validators)


def _run(flow: Any) -> Any:
    """As `drive`, with whatever is asked for performed."""
    try:
        effect = next(flow)
        while True:
            try:
                result = perform(effect)
            except Exception as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value


def test_the_first_yes_ends_the_asking() -> None:
    """Those after the first yes are not asked about the token."""
    validators = [unknown(), good(), good()]
    _run(authorize_flow(validators, TOKEN, inquire()))
    assert [validator.asked for validator in validators] == [["the-token"], ["the-token"], []]


def test_a_bug_ends_the_asking() -> None:
    """R124: a validator that fails is not passed over, since it might have said no."""
    validators = [Known(KeyError("a bug")), good()]
    with pytest.raises(KeyError):
        _run(authorize_flow(validators, TOKEN, inquire()))
    assert validators[1].asked == []


def test_refusals_name_their_validator() -> None:
    """The challenge is that of the validator whose no counts."""
    first, second = unknown(), refusing()
    assert refusal([first, second], inquire(), PERFORM, PERFORM).validator is first
    assert refusal([narrow()], inquire("c"), PERFORM, PERFORM).validator is not None
    assert refusal([], inquire()).validator is None


# Hooks.


class AllHooks(TokenValidator):
    def validate_request(self, request: Any) -> None: ...

    def authenticate_token(self, token_string: str) -> Any: ...

    def validate_token(self, token: Any, scopes: Any, request: Any, roles: Any = None, level: Any = None) -> None: ...


def test_order_of_hooks() -> None:
    """As in Authlib, the request is judged before the token is looked at, and that is found before it is judged."""
    validator, hook_request, row = AllHooks(), object(), token()
    inquiry = inquire(["a b", "c"], hook_request=hook_request, roles="r", groups=None, level=7)
    verdict, effects = authorize([validator], inquiry, None, row, None, PERFORM)
    assert effects[:3] == [
        Call(validator.validate_request, (hook_request,)),
        Call(validator.authenticate_token, (TOKEN,)),
        Call(validator.validate_token, (row, ["a b", "c"], hook_request), {"roles": ["r"], "level": 7}),
    ]
    assert verdict == Verdict(row, ALICE, {"roles": []}, None, frozenset({"roles"}))


@pytest.mark.parametrize(
    ("scopes", "expected"), [(None, None), ([], []), ("a b", ["a b"]), ([["a", "b"]], [["a", "b"]])], ids=repr
)
def test_scopes_are_handed_on(scopes: Any, expected: Any) -> None:
    """A ``validate_token`` written for Authlib gets what Authlib would hand it."""
    _, effects = authorize([AllHooks()], inquire(scopes), None, token(), None, PERFORM)
    assert effects[2].arguments[1] == expected


def test_hook_that_judges_nothing_lets_no_unknown_token_in() -> None:
    """R124: a ``validate_token`` that forgot what is not found lets nobody in."""
    error = refusal([AllHooks()], inquire("a"), None, None, None)
    assert (type(error), error.reason) == (InvalidTokenError, Reason.UNKNOWN_TOKEN)


@pytest.mark.parametrize("found", [False, 0, "", (), {}], ids=repr)
def test_hook_that_judges_nothing_lets_nothing_in_that_is_no_token(found: Any) -> None:
    """R124: whatever is false counts as not found, as it does in Authlib's own ``validate_token`` and in ours."""
    error = refusal([AllHooks()], inquire("a"), None, found, None, PERFORM)
    assert (type(error), error.reason) == (InvalidTokenError, Reason.UNKNOWN_TOKEN)


def test_hook_gets_no_say_where_the_method_is_granted_to_nobody() -> None:
    """A method without an entry is 403, after the hook has judged the token with ``None`` for scopes."""
    flow = authorize_flow([AllHooks()], TOKEN, inquire({"POST": "a"}))
    next(flow)
    flow.send(None)
    asked = flow.send(token())
    assert isinstance(asked, Call)
    assert asked.arguments[1] is None
    with pytest.raises(InsufficientScopeError) as caught:
        flow.send(None)
    assert caught.value.reason == Reason.METHOD_NOT_NAMED


class OwnScopes(TokenValidator):
    @staticmethod
    def scope_insufficient(token_scopes: Any, required_scopes: Any) -> Any:
        return None

    def authenticate_token(self, token_string: str) -> Any:
        return token(scope="x")


@pytest.mark.parametrize("answer", [True, 1, "yes"])
def test_own_scope_rule_says_no(answer: Any) -> None:
    """A ``scope_insufficient`` of a site's own decides, with the arguments that Authlib gives."""
    validator = OwnScopes()
    flow = authorize_flow([validator], TOKEN, inquire(["a", "b"]))
    with pytest.raises(InsufficientScopeError) as caught:
        drive(flow, PERFORM, PERFORM, answer)
    assert caught.value.scope == ("a",)


@pytest.mark.parametrize("answer", [False, None, 0, ""])
def test_own_scope_rule_says_yes(answer: Any) -> None:
    """R119: what it lets in is in, whatever our own rules would say."""
    validator = OwnScopes()
    _, effects = authorize([validator], inquire(["a", "b"]), PERFORM, PERFORM, answer)
    assert effects[-1] == Call(validator.scope_insufficient, ("x", ["a", "b"]))


@pytest.mark.parametrize("insufficient", [True, False])
def test_own_scope_rule_sees_the_scope_as_it_is(insufficient: bool) -> None:
    """R121: a scope of a wrong type is for a site's own rule to judge; its no means that the token falls short."""

    class Odd(OwnScopes):
        def authenticate_token(self, token_string: str) -> Any:
            return token(scope=7)

    validator = Odd()
    if insufficient:
        error = refusal([validator], inquire("a"), PERFORM, PERFORM, True)
        assert (type(error), error.reason, error.scope) == (InsufficientScopeError, Reason.INSUFFICIENT_SCOPE, ("a",))
        return
    _, effects = authorize([validator], inquire("a"), PERFORM, PERFORM, False)
    assert effects[-1] == Call(validator.scope_insufficient, (7, ["a"]))


HOOK_ERRORS: list[tuple[OAuth2Error, type[GuardError], Any]] = [
    (rfc6750.InvalidTokenError(), InvalidTokenError, Reason.REFUSED_BY_HOOK),
    (rfc6750.InsufficientScopeError(), InsufficientScopeError, Reason.REFUSED_BY_HOOK),
    (rfc6749.InvalidRequestError("which?"), InvalidRequestError, Reason.REFUSED_BY_HOOK),
    (OAuth2Error(error="made_up", status_code=418), HookError, Reason.REFUSED_BY_HOOK),
    (InvalidTokenError(reason=Reason.REVOKED), InvalidTokenError, Reason.REVOKED),
    (TemporarilyUnavailableError(), TemporarilyUnavailableError, Reason.DATABASE_UNAVAILABLE),
]
AT_HOOK = pytest.mark.parametrize("before", [0, 1, 2], ids=["validate_request", "authenticate_token", "validate_token"])


@AT_HOOK
@pytest.mark.parametrize(("error", "cls", "reason"), HOOK_ERRORS, ids=lambda part: repr(part)[:30])
def test_errors_of_hooks(before: int, error: Any, cls: type[GuardError], reason: Reason) -> None:
    """Authlib's errors become ours, caused by what the hook raised; ours stay themselves; the validator is named."""
    validator = AllHooks()
    raised = refusal([validator], inquire(), *[None, token()][:before], error)
    assert type(raised) is cls
    assert raised.reason == reason
    assert raised.validator is validator
    assert raised is error or raised.__cause__ is error


def test_a_request_that_a_hook_refuses_ends_the_asking() -> None:
    """What a hook says of the request holds for every validator."""
    second = good()
    raised = refusal([AllHooks(), second], inquire(), rfc6749.InvalidRequestError())
    assert type(raised) is InvalidRequestError
    assert second.asked == []


def test_a_token_that_a_hook_refuses_may_be_anothers() -> None:
    """What a hook says of the token holds for its own validator."""
    row = token()
    verdict, _ = authorize([AllHooks(), Known(row)], inquire(), None, rfc6750.InvalidTokenError(), PERFORM, PERFORM)
    assert verdict.token is row


# What the view asks beyond scopes.

ATTRIBUTES: list[tuple[str, Any, Any, bool]] = [
    ("groups", "a", ["a", "b"], True),
    ("groups", "a b", ["a", "b"], True),
    ("groups", "a", "a b", True),
    ("groups", ["a c", "b"], ["b"], True),
    ("groups", [["two words"]], ["two words"], True),
    ("groups", [], None, True),
    ("groups", "a", [], False),
    ("groups", "a", None, False),
    ("groups", "a", {"a": 1}, False),
    ("groups", "a", 7, False),
    ("groups", [], 7, True),
    ("roles", "a c", ["a"], False),
    ("entitlements", "A", ["a"], False),
]
REASONS = {
    "groups": Reason.INSUFFICIENT_GROUPS,
    "roles": Reason.INSUFFICIENT_ROLES,
    "entitlements": Reason.INSUFFICIENT_ENTITLEMENTS,
}


@pytest.mark.parametrize(("name", "asked", "held", "enough"), ATTRIBUTES)
@pytest.mark.parametrize("source", ["row", "claims"])
def test_attributes(name: str, asked: Any, held: Any, enough: bool, source: str) -> None:
    """Groups, roles and entitlements of rows and of claims; a good token without them is 403 without a scope."""
    found: Any = token(**{name: held}) if source == "row" else AccessToken({name: held, "scope": ""})
    validator = Known(found)
    if enough:
        assert authorize([validator], inquire(**{name: asked}), PERFORM, PERFORM)[0].token is found
        return
    error = refusal([validator], inquire(**{name: asked}), PERFORM, PERFORM)
    assert type(error) is InsufficientScopeError
    assert (error.reason, error.scope, error.validator) == (REASONS[name], (), None)


def test_attributes_that_are_not_asked_for_are_not_read() -> None:
    """A row's attributes may cost a query, so only those asked for are read."""

    class Shy(SimpleNamespace):
        @property
        def roles(self) -> Any:
            raise AssertionError("read")

    found = Shy(is_expired=bool, is_revoked=bool, get_scope=lambda: "a", user=ALICE, groups=["g"])
    verdict, _ = authorize([Known(found)], inquire("a", groups="g"), PERFORM, PERFORM)
    assert dict(verdict.state.attributes) == {"groups": ["g"]}


@pytest.mark.parametrize(("user", "reason"), [(ALICE, None), (None, Reason.NO_USER)])
def test_require_user(user: Any, reason: Reason | None) -> None:
    """R34: a token that speaks for no user is 403 where one is wanted."""
    validator = model_validator()
    if reason is None:
        authorize([validator], inquire(require_user=True), [token(user=user)], PERFORM)
        return
    error = refusal([validator], inquire(require_user=True), [token(user=user)], PERFORM)
    assert (type(error), error.reason) == (InsufficientScopeError, reason)


def test_checks_get_request_and_token() -> None:
    """A check is called with the Django request and the token; each of several has to pass."""

    def first(request: Any, token: Any) -> bool: ...
    def second(request: Any, token: Any) -> bool: ...

    inquiry, row = inquire(check=[first, second]), token()
    _, effects = authorize([model_validator()], inquiry, [row], PERFORM, True, True)
    assert effects[2:] == [Call(first, (inquiry.request, row)), Call(second, (inquiry.request, row))]
    error = refusal([model_validator()], inquiry, [row], PERFORM, True, False)
    assert (type(error), error.reason) == (InsufficientScopeError, Reason.CHECK_FAILED)
    refusal([model_validator()], inquiry, [row], PERFORM, False)


@pytest.mark.parametrize("answer", [None, 1, 0, "yes", "", [], object(), AccessToken({})], ids=repr)
def test_checks_that_do_not_decide(answer: Any) -> None:
    """R124: anything but a ``bool`` is a bug of the check's, never a yes."""
    with pytest.raises(TypeError, match=f"^check must return a bool, not {type(answer).__name__}$"):
        authorize([model_validator()], inquire(check=lambda request, token: answer), [token()], PERFORM, PERFORM)


def test_checks_come_last() -> None:
    """R123: a check is asked about tokens that are good, wide enough, and of a user where one is wanted."""
    for values, asked in [
        ({"expires_at": 1}, {}),
        ({"scope": ""}, {"scopes": "a"}),
        ({}, {"groups": "g"}),
        ({"user": None}, {"require_user": True}),
    ]:
        refusal([model_validator()], inquire(check=lambda *args: 1 / 0, **asked), [token(**values)], PERFORM)


# What a hook has judged.


def own_verdict(inquiry: Any, found: Any, *replies: Any) -> Any:
    return authorize([AllHooks()], inquiry, None, found, None, *(replies or [PERFORM]))


def test_a_hook_judges_what_it_names() -> None:
    """An attribute that ``validate_token`` takes is its affair; the others are ours still."""
    found = token(roles=[], groups=["g"])
    verdict, effects = own_verdict(inquire(roles="r", groups="g"), found)
    assert (effects[-1].instance, effects[-1].blocking) == (found, False)
    assert verdict == Verdict(found, ALICE, {"roles": [], "groups": ["g"]}, None, frozenset({"roles"}))
    with pytest.raises(InsufficientScopeError) as caught:
        own_verdict(inquire(roles="r", groups="h"), found)
    assert caught.value.reason == Reason.INSUFFICIENT_GROUPS


@pytest.mark.parametrize(
    ("found", "user"),
    [(token(), ALICE), (token(user=None), None), (AccessToken({"sub": "8"}, user=BOB), BOB), ({"user": 7}, None)],
)
def test_the_user_of_what_a_hook_judged(found: Any, user: Any) -> None:
    """The user of a hook's token is read in any case, since a view on a loop could not load it; a claim is none."""
    verdict, effects = own_verdict(inquire("a"), found)
    assert verdict == Verdict(found, user, {})
    assert [type(effect) for effect in effects] == [Call, Call, Call, ReadModel]


def test_no_user_of_what_a_hook_judged() -> None:
    """R34: claims without a user are 403 where one is wanted."""
    with pytest.raises(InsufficientScopeError) as caught:
        own_verdict(inquire(require_user=True), {"sub": "7"})
    assert caught.value.reason == Reason.NO_USER


@pytest.mark.parametrize("error", [OperationalError("down"), InterfaceError("down")])
def test_outage_while_the_user_is_read(error: Exception) -> None:
    """E21: a user that cannot be loaded because the database is down is an outage."""
    with pytest.raises(TemporarilyUnavailableError):
        own_verdict(inquire(require_user=True), token(), error)


# Our own judgement alone, as the doors of validators use it.


def test_judge() -> None:
    """What a validator found is judged without looking anything up."""
    row = token()
    verdict, effects = drive(judge_flow(model_validator(), row, inquire("a", groups="g")), PERFORM)
    assert (verdict.token, verdict.user, verdict.attributes) == (row, ALICE, {"groups": []})
    assert (verdict.state.scope, verdict.judged) == ("a b", frozenset())
    assert [type(effect) for effect in effects] == [ReadModel]
    with pytest.raises(InvalidTokenError) as caught:
        drive(judge_flow(model_validator(), None, inquire("a")))
    assert caught.value.reason == Reason.UNKNOWN_TOKEN


# Closing, and secrets.


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_closing(steps: int) -> None:
    """R127: a flow that is closed at any step asks for nothing more, and no validator after it is asked."""
    second = good()
    flow = authorize_flow([AllHooks(), second], TOKEN, inquire())
    next(flow)
    for _ in range(steps - 1):
        flow.send(token())
    flow.close()
    assert list(flow) == []
    assert second.asked == []


ENDS: list[tuple[str, list[Any], Any]] = [
    ("unknown", [[]], {}),
    ("expired", [[token(expires_at=1)], PERFORM], {}),
    ("narrow", [[token()], PERFORM], {"scopes": "c"}),
    ("two rows", [[token(), token()]], {}),
    ("outage", [TemporarilyUnavailableError()], {}),
    ("outage while reading", [[token()], OperationalError("down")], {}),
    ("bug", [KeyError("x")], {}),
    ("bug while reading", [[token()], KeyError("x")], {}),
    ("no bool", [[token()], PERFORM, 7], {"check": print}),
]


@pytest.mark.parametrize(("name", "replies", "asked"), ENDS, ids=[end[0] for end in ENDS])
def test_no_error_shows_the_token(name: str, replies: list[Any], asked: Any) -> None:
    """R31, R133: neither text, arguments nor any frame's locals show the token, in the error or in what caused it."""
    with pytest.raises(Exception) as caught:
        drive(authorize_flow([model_validator()], HIDDEN, inquire(**asked)), *replies)
    report = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "authorize_flow" in report
    assert "se-cret" not in report
    assert "se-cret" not in repr(vars(caught.value))


def test_requirements_are_compiled_once() -> None:
    """What an inquiry asks is what the guard was given."""
    inquiry = inquire({"GET": "a"}, method="HEAD")
    assert inquiry.requirements == parse_requirements({"GET": "a"})
    assert inquiry.scopes is inquiry.requirements.scopes.by_method["GET"]


def test_a_verdict_shows_no_token() -> None:
    """R31: a model's ``__str__`` may be the token, and error pages print what a frame holds."""

    class Telling:
        def __repr__(self) -> str:
            return "the-token"

    verdict = Verdict(Telling(), Telling(), {"groups": Telling()}, TokenState(user=Telling()))
    effects = [Call(print, (Telling(),), {"a": Telling()}), ReadModel(print, Telling(), blocking=False)]
    assert "the-token" not in repr([verdict, *effects])
