"""Authorizes a token step by step, without a database and an event loop."""

import traceback
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error, rfc6749, rfc6750
from django.contrib.auth.models import User
from django.db import DataError, InterfaceError, OperationalError

from async_oauth_guard import AccessToken, BearerTokenValidator, TokenValidator
from async_oauth_guard.errors import (
    AccessDeniedError,
    GuardError,
    HookError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    Reason,
    TemporarilyUnavailableError,
)
from async_oauth_guard.protocol.access_token import TokenState
from async_oauth_guard.protocol.confirmation import CERTIFICATE, Possession
from async_oauth_guard.protocol.requirements import parse_requirements
from async_oauth_guard.protocol.secrets import PresentedToken, Secret
from async_oauth_guard.runtime.effects import Call, ReadModel, Row
from async_oauth_guard.validators.authorization import adopt_token_flow, authorize_flow, validate_flow
from async_oauth_guard.validators.authorization_context import Authorization
from async_oauth_guard.validators.found_token import FoundToken
from tests.ids import described
from tests.site.models import BoundToken, OAuth2Token
from tests.unit.driving import PERFORM, authorization_context, drive, perform

ALICE = User(pk=7, username="alice")
BOB = User(pk=8, username="bob", is_active=False)
TOKEN = Secret(PresentedToken("the-token"))
HIDDEN = Secret(PresentedToken("se-cret-4bF7"))


def token(**values: Any) -> OAuth2Token:
    return OAuth2Token(**{"user": ALICE, "scope": "a b", **values})


def model_validator(**options: Any) -> BearerTokenValidator:
    return BearerTokenValidator(OAuth2Token, **options)


def authorize(validators: Any, context: Any, *replies: Any) -> Any:
    return drive(authorize_flow(validators, TOKEN, context), *replies)


def refusal(validators: Any, context: Any, *replies: Any) -> GuardError:
    with pytest.raises(GuardError) as caught:
        authorize(validators, context, *replies)
    return caught.value


# The lookup, then the model's methods.


def test_valid_row() -> None:
    """R1: a valid row with sufficient scopes is let in after one lookup and one reading of the row."""
    validator, row = model_validator(), token()
    authorization, effects = authorize([validator], authorization_context("a"), [row], PERFORM)
    assert [type(effect) for effect in effects] == [Row, ReadModel]
    assert authorization.token is row
    assert authorization.user is ALICE
    assert authorization.state.scope == "a b"
    assert authorization.checked == frozenset()
    read = effects[1]
    assert (read.instance, read.blocking) == (row, False)


def test_blocking_methods() -> None:
    """With ``blocking_methods``, the model's methods do not run on the event loop."""
    _, effects = authorize([model_validator(blocking_methods=True)], authorization_context(), [token()], PERFORM)
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


@pytest.mark.parametrize(("values", "scopes", "reason"), STATES, ids=described)
def test_invalid_rows(values: dict[str, Any], scopes: Any, reason: Reason) -> None:
    """R26, R29, R121, R123: an invalid token is refused as invalid before its scopes are checked."""
    validator = model_validator()
    error = refusal([validator], authorization_context(scopes), [token(**values)], PERFORM)
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


@pytest.mark.parametrize(("required", "held", "missing"), SCOPES)
def test_scopes(required: Any, held: Any, missing: tuple[str, ...] | None) -> None:
    """R27, R119, R120, R122: if no alternative is met, the error names the nearest one."""
    if missing is None:
        authorization, _ = authorize([model_validator()], authorization_context(required), [token(scope=held)], PERFORM)
        assert authorization.state.scope == held
        return
    error = refusal([model_validator()], authorization_context(required), [token(scope=held)], PERFORM)
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
    """R120: the required scopes are those for the request's method, or for ``*`` without a request."""
    if reason is None:
        authorize([model_validator()], authorization_context(scopes, method=method), [token()], PERFORM)
        return
    error = refusal([model_validator()], authorization_context(scopes, method=method), [token()], PERFORM)
    expected = AccessDeniedError if reason is Reason.METHOD_NOT_NAMED else InsufficientScopeError
    assert type(error) is expected
    assert error.reason == reason


def test_token_is_validated_before_the_method() -> None:
    """R123: the token is validated before the method is checked."""
    error = refusal(
        [model_validator()], authorization_context({"GET": "a"}, method="POST"), [token(expires_at=1)], PERFORM
    )
    assert error.reason == Reason.EXPIRED


@pytest.mark.parametrize("found", [None, {}, ""])
def test_unknown(found: Any) -> None:
    """R29: a token that no validator finds is invalid."""

    class Source(TokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            return found

    error = refusal([Source()], authorization_context("a"), PERFORM)
    assert (type(error), error.reason) == (InvalidTokenError, Reason.UNKNOWN_TOKEN)


@pytest.mark.parametrize("error", [OperationalError("down"), InterfaceError("down")])
def test_outage_while_the_row_is_read(error: Exception) -> None:
    """E21: a model's method that cannot query is an outage, and the database's error is not shown."""
    outage = refusal([model_validator()], authorization_context(), [token()], error)
    assert type(outage) is TemporarilyUnavailableError
    assert outage.reason == Reason.DATABASE_UNAVAILABLE
    assert outage.__cause__ is None
    assert outage.__suppress_context__


@pytest.mark.parametrize("error", [DataError("a bug"), KeyError("a bug")])
@pytest.mark.parametrize("replies", [[], [[token()]]], ids=["look-up", "reading"])
def test_bugs_go_through(error: Exception, replies: list[Any]) -> None:
    """R124: any other error is a bug of the site and is raised unchanged."""
    with pytest.raises(type(error)) as caught:
        authorize([model_validator(), model_validator()], authorization_context(), *replies, error)
    assert caught.value is error


# Several validators.


class Known(TokenValidator):
    """Accepts every token, rejects it, has an outage, or does not recognise it."""

    def __init__(self, outcome: Any, recognised: bool = True) -> None:
        super().__init__()
        self.outcome = outcome
        self.recognised = recognised
        self.presented: list[str] = []

    def recognises(self, token: str) -> bool:
        return self.recognised

    def authenticate_token(self, token_string: str) -> Any:
        self.presented.append(token_string)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def good() -> Known:
    return Known(token())


def unknown() -> Known:
    return Known(None)


def narrow() -> Known:
    return Known(token(scope=""))


def down() -> Known:
    return Known(TemporarilyUnavailableError())


def foreign() -> Known:
    return Known(KeyError("not called"), recognised=False)


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


@pytest.mark.parametrize(("makers", "reason"), SEVERAL, ids=lambda part: described(part)[:10])
def test_several_validators(makers: list[Any], reason: Reason | None) -> None:
    """The first validator that accepts the token wins. 401 only if every validator rejects it. Otherwise an outage."""
    validators = [make() for make in makers]
    flow = authorize_flow(validators, TOKEN, authorization_context("a"))
    if reason is None:
        authorization = _run(flow)
        assert authorization.token.scope == "a b"
    else:
        with pytest.raises(GuardError) as caught:
            _run(flow)
        assert caught.value.reason == reason
    assert all(validator.presented in ([], ["the-token"]) for validator in validators)


def _run(flow: Any) -> Any:
    """Like `drive`, but performs the effects."""
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


def test_first_accepting_validator_ends_the_search() -> None:
    """Validators after the first one that accepts the token are not called."""
    validators = [unknown(), good(), good()]
    _run(authorize_flow(validators, TOKEN, authorization_context()))
    assert [validator.presented for validator in validators] == [["the-token"], ["the-token"], []]


def test_bug_ends_the_search() -> None:
    """R124: if a validator raises an unexpected error, no other is called, because it might have refused."""
    validators = [Known(KeyError("a bug")), good()]
    with pytest.raises(KeyError):
        _run(authorize_flow(validators, TOKEN, authorization_context()))
    assert validators[1].presented == []


def test_refusals_name_their_validator() -> None:
    """The challenge is that of the validator whose rejection counts."""
    first, second = unknown(), refusing()
    assert refusal([first, second], authorization_context(), PERFORM, PERFORM).validator is first
    assert refusal([narrow()], authorization_context("c"), PERFORM, PERFORM).validator is not None
    assert refusal([], authorization_context()).validator is None


# Hooks.


class AllHooks(TokenValidator):
    def validate_request(self, request: Any) -> None: ...

    def authenticate_token(self, token_string: str) -> Any: ...

    def validate_token(self, token: Any, scopes: Any, request: Any, roles: Any = None, level: Any = None) -> None: ...


def test_order_of_hooks() -> None:
    """As in Authlib, the request is checked first, then the token is found, then it is validated."""
    validator, hook_request, row = AllHooks(), object(), token()
    context = authorization_context(["a b", "c"], hook_request=hook_request, roles="r", groups=None, level=7)
    authorization, effects = authorize([validator], context, None, row, None, PERFORM)
    assert effects[:3] == [
        Call(validator.validate_request, (hook_request,)),
        Call(validator.authenticate_token, (TOKEN,)),
        Call(validator.validate_token, (row, ["a b", "c"], hook_request), {"roles": ["r"], "level": 7}),
    ]
    assert authorization == Authorization(
        row, ALICE, {"roles": []}, None, frozenset({"roles"}), context=authorization_context()
    )


@pytest.mark.parametrize(
    ("scopes", "expected"), [(None, None), ([], []), ("a b", ["a b"]), ([["a", "b"]], [["a", "b"]])], ids=described
)
def test_scopes_are_handed_on(scopes: Any, expected: Any) -> None:
    """A ``validate_token`` written for Authlib gets the arguments that Authlib passes."""
    _, effects = authorize([AllHooks()], authorization_context(scopes), None, token(), None, PERFORM)
    assert effects[2].arguments[1] == expected


def test_hook_without_checks_and_an_unknown_token() -> None:
    """R124: a ``validate_token`` that does not handle ``None`` lets no unknown token in."""
    error = refusal([AllHooks()], authorization_context("a"), None, None, None)
    assert (type(error), error.reason) == (InvalidTokenError, Reason.UNKNOWN_TOKEN)


@pytest.mark.parametrize("found", [False, 0, "", (), {}], ids=described)
def test_hook_without_checks_and_a_false_token(found: Any) -> None:
    """R124: any false value counts as not found, as in Authlib's ``validate_token`` and in ours."""
    error = refusal([AllHooks()], authorization_context("a"), None, found, None, PERFORM)
    assert (type(error), error.reason) == (InvalidTokenError, Reason.UNKNOWN_TOKEN)


def test_hook_cannot_allow_a_method_without_an_entry() -> None:
    """A method without an entry gets 403, after the hook validated the token with ``None`` for scopes."""
    flow = authorize_flow([AllHooks()], TOKEN, authorization_context({"POST": "a"}))
    next(flow)
    flow.send(None)
    call = flow.send(token())
    assert isinstance(call, Call)
    assert call.arguments[1] is None
    with pytest.raises(AccessDeniedError) as caught:
        flow.send(None)
    assert caught.value.reason == Reason.METHOD_NOT_NAMED


class OwnScopes(TokenValidator):
    @staticmethod
    def scope_insufficient(token_scopes: Any, required_scopes: Any) -> Any:
        return None

    def authenticate_token(self, token_string: str) -> Any:
        return token(scope="x")


def test_own_scope_rule_refuses() -> None:
    """A custom ``scope_insufficient`` can refuse, and gets the arguments that Authlib passes."""
    validator = OwnScopes()
    flow = authorize_flow([validator], TOKEN, authorization_context(["a", "b"]))
    with pytest.raises(InsufficientScopeError) as caught:
        drive(flow, PERFORM, PERFORM, True)
    assert caught.value.scope == ("a",)


def test_own_scope_rule_accepts() -> None:
    """R119: a custom ``scope_insufficient`` can accept scopes that our rule would refuse."""
    validator = OwnScopes()
    _, effects = authorize([validator], authorization_context(["a", "b"]), PERFORM, PERFORM, False)
    assert effects[-1] == Call(validator.scope_insufficient, ("x", ["a", "b"]))


@pytest.mark.parametrize("returned", [None, 0, 1, "", "yes", object()], ids=described)
def test_own_scope_rule_that_does_not_decide(returned: Any) -> None:
    """R124: a result that is not a ``bool`` is a bug of the site, for scopes and for groups."""
    for required, results in ({}, (returned,)), ({"groups": "g"}, (False, returned)):
        with pytest.raises(
            TypeError, match=rf"scope_insufficient\(\) must return a bool, got {type(returned).__name__}$"
        ):
            authorize([OwnScopes()], authorization_context("a", **required), PERFORM, PERFORM, *results)


@pytest.mark.parametrize("insufficient", [True, False])
def test_own_scope_rule_sees_the_scope_as_it_is(insufficient: bool) -> None:
    """R121: a custom rule gets a scope of a wrong type unchanged. If it refuses, the scopes are insufficient."""

    class Odd(OwnScopes):
        def authenticate_token(self, token_string: str) -> Any:
            return token(scope=7)

    validator = Odd()
    if insufficient:
        error = refusal([validator], authorization_context("a"), PERFORM, PERFORM, True)
        assert (type(error), error.reason, error.scope) == (InsufficientScopeError, Reason.INSUFFICIENT_SCOPE, ("a",))
        return
    _, effects = authorize([validator], authorization_context("a"), PERFORM, PERFORM, False)
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
@pytest.mark.parametrize(("error", "cls", "reason"), HOOK_ERRORS, ids=lambda part: described(part)[:30])
def test_errors_of_hooks(before: int, error: Any, cls: type[GuardError], reason: Reason) -> None:
    """Authlib's errors become ours with the original as cause. Our errors stay. The validator is named."""
    validator = AllHooks()
    raised = refusal([validator], authorization_context(), *[None, token()][:before], error)
    assert type(raised) is cls
    assert raised.reason == reason
    assert raised.validator is validator
    assert raised is error or raised.__cause__ is error


def test_request_that_a_hook_refuses_ends_the_search() -> None:
    """A request that a hook refuses is refused for every validator."""
    second = good()
    raised = refusal([AllHooks(), second], authorization_context(), rfc6749.InvalidRequestError())
    assert type(raised) is InvalidRequestError
    assert second.presented == []


def test_a_token_that_a_hook_refuses_may_be_anothers() -> None:
    """A token that a hook refuses may be accepted by another validator."""
    row = token()
    authorization, _ = authorize(
        [AllHooks(), Known(row)], authorization_context(), None, rfc6750.InvalidTokenError(), PERFORM, PERFORM
    )
    assert authorization.token is row


# Requirements beyond scopes.

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


@pytest.mark.parametrize(("name", "required", "held", "enough"), ATTRIBUTES)
@pytest.mark.parametrize("source", ["row", "claims"])
def test_attributes(name: str, required: Any, held: Any, enough: bool, source: str) -> None:
    """Groups, roles and entitlements of rows and claims are checked. Without them: 403 without a scope."""
    found: Any = token(**{name: held}) if source == "row" else AccessToken({name: held, "scope": ""})
    validator = Known(found)
    if enough:
        assert authorize([validator], authorization_context(**{name: required}), PERFORM, PERFORM)[0].token is found
        return
    error = refusal([validator], authorization_context(**{name: required}), PERFORM, PERFORM)
    assert type(error) is AccessDeniedError
    assert (error.reason, error.scope, error.validator) == (REASONS[name], (), None)


def test_attributes_that_are_not_asked_for_are_not_read() -> None:
    """Only required attributes of a row are read, because reading them may cost a query."""

    class Shy(SimpleNamespace):
        @property
        def roles(self) -> Any:
            raise AssertionError("read")

    found = Shy(is_expired=bool, is_revoked=bool, get_scope=lambda: "a", user=ALICE, groups=["g"])
    authorization, _ = authorize([Known(found)], authorization_context("a", groups="g"), PERFORM, PERFORM)
    assert dict(authorization.state.attributes) == {"groups": ["g"]}


@pytest.mark.parametrize(("user", "reason"), [(ALICE, None), (None, Reason.NO_USER)])
def test_require_user(user: Any, reason: Reason | None) -> None:
    """R34: a token without a user gets 403 if a user is required."""
    validator = model_validator()
    if reason is None:
        authorize([validator], authorization_context(require_user=True), [token(user=user)], PERFORM)
        return
    error = refusal([validator], authorization_context(require_user=True), [token(user=user)], PERFORM)
    assert (type(error), error.reason) == (AccessDeniedError, reason)


def test_checks_get_request_and_token() -> None:
    """A check is called with the Django request and the token, and every check must pass."""

    def first(request: Any, token: Any) -> bool: ...
    def second(request: Any, token: Any) -> bool: ...

    context, row = authorization_context(check=[first, second]), token()
    _, effects = authorize([model_validator()], context, [row], PERFORM, True, True)
    assert effects[2:] == [Call(first, (context.request, row)), Call(second, (context.request, row))]
    error = refusal([model_validator()], context, [row], PERFORM, True, False)
    assert (type(error), error.reason) == (AccessDeniedError, Reason.CHECK_FAILED)
    refusal([model_validator()], context, [row], PERFORM, False)


@pytest.mark.parametrize("returned", [None, 1, 0, "yes", "", [], object(), AccessToken({})], ids=described)
def test_checks_that_do_not_decide(returned: Any) -> None:
    """R124: a result that is not a ``bool`` is a bug in the check and never lets a request in."""
    with pytest.raises(TypeError, match=rf"<lambda>\(\) must return a bool, got {type(returned).__name__}$"):
        authorize(
            [model_validator()],
            authorization_context(check=lambda request, token: returned),
            [token()],
            PERFORM,
            PERFORM,
        )


def test_checks_come_last() -> None:
    """R123: a check is called only if the token is valid, has the scopes, and has a user if one is required."""
    for values, required in [
        ({"expires_at": 1}, {}),
        ({"scope": ""}, {"scopes": "a"}),
        ({}, {"groups": "g"}),
        ({"user": None}, {"require_user": True}),
    ]:
        refusal(
            [model_validator()],
            authorization_context(check=lambda *args: 1 / 0, **required),
            [token(**values)],
            PERFORM,
        )


# Tokens that a hook validated.


def own_verdict(context: Any, found: Any, *replies: Any) -> Any:
    return authorize([AllHooks()], context, None, found, None, *(replies or [PERFORM]))


def test_hook_checks_the_attributes_that_it_names() -> None:
    """A ``validate_token`` checks the attributes that it has parameters for. The guard checks the others."""
    found = token(roles=[], groups=["g"])
    authorization, effects = own_verdict(authorization_context(roles="r", groups="g"), found)
    assert (effects[-1].instance, effects[-1].blocking) == (found, False)
    assert authorization == Authorization(
        found, ALICE, {"roles": [], "groups": ["g"]}, None, frozenset({"roles"}), context=authorization_context()
    )
    with pytest.raises(InsufficientScopeError) as caught:
        own_verdict(authorization_context(roles="r", groups="h"), found)
    assert caught.value.reason == Reason.INSUFFICIENT_GROUPS


@pytest.mark.parametrize(
    ("found", "user"),
    [(token(), ALICE), (token(user=None), None), (AccessToken({"sub": "8"}, user=BOB), BOB), ({"user": 7}, None)],
)
def test_user_of_a_token_that_a_hook_validated(found: Any, user: Any) -> None:
    """The user of a hook's token is always loaded, because a view on an event loop could not. A claim is not a user."""
    authorization, effects = own_verdict(authorization_context("a"), found)
    assert authorization == Authorization(found, user, {}, context=authorization_context())
    assert [type(effect) for effect in effects] == [Call, Call, Call, ReadModel]


def test_thumbprint_of_a_row_that_a_hook_validated() -> None:
    """A row that names a key in a field of its own needs a proof, also if a hook validated it."""

    class OwnVerdict(BearerTokenValidator):
        def validate_token(self, token: Any, scopes: Any, request: Any) -> None: ...

    validator, row = OwnVerdict(BoundToken, confirmation="dpop_jkt"), BoundToken(user=ALICE, dpop_jkt="k" * 43)
    error = refusal([validator], authorization_context(), [row], None, PERFORM)
    assert error.reason == Reason.SENDER_CONSTRAINED
    row.dpop_jkt = ""
    assert authorize([validator], authorization_context(), [row], None, PERFORM)[0].token is row


def test_no_user_of_a_token_that_a_hook_validated() -> None:
    """R34: claims without a user get 403 if a user is required."""
    with pytest.raises(InsufficientScopeError) as caught:
        own_verdict(authorization_context(require_user=True), {"sub": "7"})
    assert caught.value.reason == Reason.NO_USER


@pytest.mark.parametrize("error", [OperationalError("down"), InterfaceError("down")])
def test_outage_while_the_user_is_read(error: Exception) -> None:
    """E21: if the database is down while the user is loaded, it is an outage."""
    with pytest.raises(TemporarilyUnavailableError):
        own_verdict(authorization_context(require_user=True), token(), error)


@pytest.mark.parametrize("error", [OperationalError("down"), InterfaceError("down")])
def test_outage_of_a_custom_acquire_token(error: Exception) -> None:
    """E21: so it is if a custom ``acquire_token`` cannot query, and the database's error is not shown."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        drive(adopt_token_flow(Call(print, ()), authorization_context()), error)
    assert caught.value.reason == Reason.DATABASE_UNAVAILABLE
    assert caught.value.__cause__ is None


def test_requirements_that_were_met_earlier_in_the_request() -> None:
    """A check is not called again for the same token, but it is for another token, or with other requirements."""

    def check(request: Any, token: Any) -> bool: ...

    context, row, other = authorization_context(check=check), token(), token()
    authorize([model_validator()], context, [row], PERFORM, True)
    acquire, called = Call(print, ()), Call(check, (context.request, other))
    assert len(drive(adopt_token_flow(acquire, context), row, PERFORM)[1]) == 2
    assert drive(adopt_token_flow(acquire, context), other, PERFORM, True)[1][2:] == [called]
    stricter = authorization_context(check=[check, check])
    stricter.request = context.request
    assert drive(adopt_token_flow(acquire, stricter), other, PERFORM, True, True)[1][2:] == [called, called]


# `validate_flow` alone, as the public methods of validators use it.


def test_validate_flow() -> None:
    """The state of a token is checked without a lookup."""
    row = token()
    authorization, effects = drive(
        validate_flow(model_validator(), row, authorization_context("a", groups="g")), PERFORM
    )
    assert (authorization.token, authorization.user, authorization.attributes) == (row, ALICE, {"groups": []})
    assert (authorization.state.scope, authorization.checked) == ("a b", frozenset())
    assert [type(effect) for effect in effects] == [ReadModel]
    with pytest.raises(InvalidTokenError) as caught:
        drive(validate_flow(model_validator(), None, authorization_context("a")))
    assert caught.value.reason == Reason.UNKNOWN_TOKEN


# Closing, and secrets.


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_closing(steps: int) -> None:
    """R127: a flow that is closed at any step yields nothing more, and calls no further validator."""
    second = good()
    flow = authorize_flow([AllHooks(), second], TOKEN, authorization_context())
    next(flow)
    for _ in range(steps - 1):
        flow.send(token())
    flow.close()
    assert list(flow) == []
    assert second.presented == []


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


@pytest.mark.parametrize(("name", "replies", "required"), ENDS, ids=[end[0] for end in ENDS])
def test_no_error_shows_the_token(name: str, replies: list[Any], required: Any) -> None:
    """R31, R133: the token is not in the text, the arguments or the frames' locals of an error or its cause."""
    with pytest.raises(Exception) as caught:
        drive(authorize_flow([model_validator()], HIDDEN, authorization_context(**required)), *replies)
    report = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "authorize_flow" in report
    assert "se-cret" not in report
    assert "se-cret" not in repr(vars(caught.value))


def test_requirements_are_compiled_once() -> None:
    """The context has the requirements that the guard was given."""
    context = authorization_context({"GET": "a"}, method="HEAD")
    assert context.requirements == parse_requirements({"GET": "a"})
    assert context.scopes is context.requirements.scopes.by_method["GET"]


def test_authorization_shows_no_token() -> None:
    """R31: the repr of an authorization does not show the token, because error pages print it."""

    class Telling:
        def __repr__(self) -> str:
            return "the-token"

    authorization = Authorization(
        Telling(), Telling(), {"groups": Telling()}, TokenState(user=Telling()), context=authorization_context()
    )
    authorization.confirmation = authorization.scope = Telling()
    found = FoundToken(None, Telling(), Telling())
    effects = [Call(print, (Telling(),), {"a": Telling()}), ReadModel(print, Telling(), blocking=False)]
    assert "the-token" not in repr([authorization, found, *effects])


@pytest.mark.parametrize(("insufficient", "reason"), [(False, None), (True, Reason.INSUFFICIENT_GROUPS)])
def test_own_scope_rule_for_groups(insufficient: bool, reason: Reason | None) -> None:
    """As in Authlib, a custom ``scope_insufficient`` compares groups too, after the scopes, and in their place."""

    class Grouped(OwnScopes):
        def authenticate_token(self, token_string: str) -> Any:
            return token(scope="x", groups=["h"])

    validator, context = Grouped(), authorization_context("a", groups="g")
    if reason is not None:
        error = refusal([validator], context, PERFORM, PERFORM, False, insufficient)
        assert error.reason == reason
        return
    authorization, effects = authorize([validator], context, PERFORM, PERFORM, False, insufficient)
    compared = [effect.arguments for effect in effects if isinstance(effect, Call)][-2:]
    assert compared == [("x", ["a"]), (authorization.attributes["groups"], ["g"])]


def test_details_with_an_own_scope_rule() -> None:
    """Authorization details are checked after a custom ``scope_insufficient`` got the scopes, before it gets groups."""
    context = authorization_context("a", groups="g", authorization_details={"type": "pay"})
    error = refusal([OwnScopes()], context, PERFORM, PERFORM, False)
    assert error.reason == Reason.INSUFFICIENT_AUTHORIZATION_DETAILS


NARROW: list[tuple[dict[str, Any], dict[str, Any], Reason | None]] = [
    ({"acr_values": "gold"}, {"acr": "gold"}, None),
    ({"acr_values": "gold"}, {"acr": "silver"}, Reason.INSUFFICIENT_ACR),
    ({"authorization_details": {"type": "pay"}}, {"authorization_details": [{"type": "pay"}]}, None),
    (
        {"authorization_details": {"type": "pay"}},
        {"authorization_details": [{"type": "read"}]},
        Reason.INSUFFICIENT_AUTHORIZATION_DETAILS,
    ),
    ({"sender_constrained": True}, {}, Reason.BINDING_REQUIRED),
    ({"acr_values": "gold", "scopes": {"POST": "a"}}, {"acr": "gold"}, Reason.METHOD_NOT_NAMED),
]


@pytest.mark.parametrize(("required", "claims", "reason"), NARROW)
def test_narrow_tokens_that_a_hook_validated(required: Any, claims: dict[str, Any], reason: Reason | None) -> None:
    """What is required of the token itself is checked also if a hook validated the token."""
    found = AccessToken({"sub": "7", **claims})
    if reason is None:
        assert own_verdict(authorization_context(**required), found)[0].token is found
        return
    with pytest.raises(GuardError) as caught:
        own_verdict(authorization_context(**required), found)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("validator", "replies"),
    [(BearerTokenValidator(BoundToken), [PERFORM]), (AllHooks(), [PERFORM, None, PERFORM])],
    ids=["ours", "hook"],
)
def test_bound_tokens_are_sender_constrained(validator: Any, replies: list[Any]) -> None:
    """A token that is bound to the certificate of the request is sender-constrained, also if a hook validated it."""
    row, context = BoundToken(user=ALICE, cnf={CERTIFICATE: "t"}), authorization_context(sender_constrained=True)
    context.possession = Possession({CERTIFICATE: "t"})
    found = [None, row] if isinstance(validator, AllHooks) else [[row]]
    authorization, _ = authorize([validator], context, *found, *replies)
    assert (authorization.token, authorization.confirmation) == (row, row.cnf)
