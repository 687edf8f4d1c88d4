"""Whatever a site's own classes and tables do, a request is judged in full, and in doubt it is refused."""

import copy
import datetime
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from django.contrib.auth.models import User
from django.core.checks import Error, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from oauth2_provider.models import AbstractApplication, Application
from oauth2_provider.models import AccessToken as ToolkitToken

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InsufficientScopeError,
    Reason,
    ResourceProtector,
    TokenValidator,
    require_oauth,
    token_rejected,
)
from tests.answers import bearer
from tests.conftest import Committed, Send
from tests.site.models import Client, ClientToken, NumberToken, OAuth2Token, OrphanToken, PlainUserToken
from tests.sites import COLOURS, Witness, serving

pytestmark = pytest.mark.django_db

PLAIN = "token-without-groups"
STAFF = "token-of-the-staff"
GONE = 987_654_321

both_colours = pytest.mark.parametrize("colour", COLOURS)


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=PLAIN)
    committed.token(access_token=STAFF, groups=["staff"], roles=["admin"], entitlements=["all"])
    committed.token(OrphanToken, access_token=PLAIN)
    committed.row(OrphanToken(access_token="orphan", user_id=GONE, scope="profile"))
    committed.row(PlainUserToken(access_token=PLAIN, user_id=GONE))
    client = committed.row(Client(client_id="of-the-client"))
    committed.token(ClientToken, access_token=PLAIN, application=client, client_id="of-the-row")
    committed.token(NumberToken, access_token=12_345)
    application = committed.row(Application(name="app", client_type="public", authorization_grant_type="password"))
    later = timezone.now() + datetime.timedelta(days=1)
    row = ToolkitToken(
        token=PLAIN, expires=later, scope="profile", application=application, user=committed.user("alice")
    )
    committed.row(row)


@pytest.fixture
def reasons() -> Iterator[list[Any]]:
    """Why requests were refused."""
    heard: list[Any] = []

    def receive(sender: Any, error: Any, **kwargs: Any) -> None:
        heard.append(error.reason)

    token_rejected.connect(receive)
    yield heard
    token_rejected.disconnect(receive)


def view_of(answer: Any, colour: str) -> Any:
    """A view that answers with what ``answer`` makes of the request."""

    def sync_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"answer": answer(request)})

    async def async_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"answer": answer(request)})

    return sync_view if colour == "def" else async_view


# Groups, roles and entitlements behind a hook.


class Forwards(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any, **kwargs: Any) -> None:  # type: ignore[override]
        super().validate_token(token, scopes, request, **kwargs)


class ForwardsAsync(BearerTokenValidator):
    async def validate_token(self, token: Any, scopes: Any, request: Any, **kwargs: Any) -> None:  # type: ignore[override]
        await super().avalidate_token(token, scopes, request, **kwargs)


class Names(BearerTokenValidator):
    def validate_token(
        self, token: Any, scopes: Any, request: Any, groups: Any = None, roles: Any = None, entitlements: Any = None
    ) -> None:
        super().validate_token(token, scopes, request, groups=groups, roles=roles, entitlements=entitlements)


class NamesSome(BearerTokenValidator):
    """Names one of three, by keyword only, and leaves the others to whoever minds."""

    def validate_token(self, token: Any, scopes: Any, request: Any, *, groups: Any = None, **kwargs: Any) -> None:  # type: ignore[override]
        super().validate_token(token, scopes, request, groups=groups)


class Swallows(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any, **kwargs: Any) -> None:  # type: ignore[override]
        super().validate_token(token, scopes, request)


class SwallowsAll(BearerTokenValidator):
    """Says yes to everything."""

    async def validate_token(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        pass


class SaysNothing(BearerTokenValidator):
    """Knows no keywords, as hooks were before Authlib had them."""

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        super().validate_token(token, scopes, request)


JUDGES = [BearerTokenValidator, Forwards, ForwardsAsync, Names, NamesSome, Swallows, SwallowsAll, SaysNothing]


@both_colours
@pytest.mark.parametrize("cls", JUDGES)
@pytest.mark.parametrize("asked", [{"groups": "staff"}, {"roles": ["admin"]}, {"entitlements": [["all"]]}])
def test_attributes_behind_a_hook(asked: dict[str, Any], cls: Any, colour: str, send: Send) -> None:
    """What the view asks beyond scopes is judged however a ``validate_token`` takes its keywords: 403 without it."""
    witness = Witness()
    with serving(ResourceProtector(cls(OAuth2Token))("profile", **asked)(witness.view(colour))):
        answer = send("/", bearer(PLAIN))
        assert (answer.status, witness.entered) == (403, 0)
        assert answer.challenges[0].parameters["error"] == "insufficient_scope"
        assert send("/", bearer(STAFF)).status == 200


@pytest.mark.parametrize("door", ["validate_token", "avalidate_token"])
def test_attributes_at_the_validators_door(door: str) -> None:
    """The validator's own door judges them as well, and knows no other keywords."""
    validate = getattr(BearerTokenValidator(OAuth2Token), door)
    validate = validate if door == "validate_token" else async_to_sync(validate)
    row = OAuth2Token(access_token="x", scope="profile", groups=["staff"])
    validate(row, "profile", None, groups=["staff"], roles=None)
    for asked in ({"groups": ["g"]}, {"roles": "r"}, {"entitlements": [["staff"]]}):
        with pytest.raises(InsufficientScopeError):
            validate(row, "profile", None, **asked)
    with pytest.raises(TypeError):
        validate(row, "profile", None, group=["staff"])


# Hooks that change what they are handed.


class Meddling(BearerTokenValidator):
    """Uses its lists as its own, all the way down."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: dict[str, int] = {}

    def meddle(self, *values: Any) -> None:
        self.seen.setdefault(repr(values), 0)
        self.seen[repr(values)] += 1
        for value in values:
            for part in (*(value or ()), value):
                if isinstance(part, list):
                    part.append("profile")
                    part.clear()

    def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:  # type: ignore[override]
        insufficient = AuthlibTokenValidator.scope_insufficient(token_scopes, required_scopes)
        self.meddle(required_scopes)
        return insufficient


class MeddlingJudge(Meddling):
    def validate_token(self, token: Any, scopes: Any, request: Any, groups: Any = None, extra: Any = None) -> None:  # type: ignore[override]
        asked, its_groups = copy.deepcopy((scopes, groups))
        self.meddle(scopes, groups, extra)
        super().validate_token(token, asked, request, groups=its_groups)


class MeddlingAsyncJudge(Meddling):
    async def validate_token(self, token: Any, scopes: Any, request: Any, **kwargs: Any) -> None:  # type: ignore[override]
        asked, its_groups = copy.deepcopy((scopes, kwargs["groups"]))
        self.meddle(scopes, *kwargs.values())
        await super().avalidate_token(token, asked, request, groups=its_groups)


WRITTEN = ["email", ["email"], [["email"]], ["email", ["phone", "email"]], {"GET": [["email"]], "*": None}]


@both_colours
@pytest.mark.parametrize("scopes", WRITTEN)
@pytest.mark.parametrize("cls", [Meddling, MeddlingJudge, MeddlingAsyncJudge])
def test_lists_are_the_hooks_own(cls: type[Meddling], scopes: Any, colour: str, send: Send) -> None:
    """What a hook does to its lists changes nothing for the next request: neither scopes, nor groups, nor others."""
    keywords: dict[str, Any] = {} if cls is Meddling else {"extra": [["a"], "b"]}
    keywords["groups"] = [["staff"], "crew"]
    written = repr((scopes, keywords))
    for granted, status in (("profile", 403), ("email", 200)):
        validator = cls(OAuth2Token)
        validator.authenticate_token = lambda token, scope=granted: OAuth2Token(scope=scope, groups=["staff"])  # type: ignore[method-assign,misc]
        with serving(ResourceProtector(validator)(scopes, **keywords)(Witness().view(colour))):
            assert [send("/", bearer(PLAIN)).status for _ in range(3)] == [status] * 3
        # Each list is what it was for each of the three requests.
        assert {*validator.seen.values()} == {3}
    assert repr((scopes, keywords)) == written


# What stands for a token.


class Finding(TokenValidator):
    """Finds what it is made with, and has an opinion of its own where ``says_yes``."""

    def __init__(self, found: Any, *, says_yes: bool = False) -> None:
        super().__init__()
        self.found = found
        if says_yes:
            self.validate_token = lambda token, scopes, request, **kwargs: None  # type: ignore[method-assign,assignment]

    def authenticate_token(self, token_string: str) -> Any:
        return self.found


@both_colours
@pytest.mark.parametrize("says_yes", [False, True])
@pytest.mark.parametrize("found", [None, {}, "", 0, False, ()], ids=repr)
def test_falsy_token(found: Any, says_yes: bool, colour: str, send: Send, reasons: list[Any]) -> None:
    """What is no token to Python is none to a guard, whatever a site's ``validate_token`` makes of it."""
    witness = Witness()
    with serving(ResourceProtector(Finding(found, says_yes=says_yes))(witness.view(colour))):
        assert send("/", bearer("x")).status == 401
    assert witness.entered == 0
    assert reasons == [Reason.UNKNOWN_TOKEN]


CLAIMS = {"user": "root", "user_id": 1, "scope": "profile"}


@both_colours
def test_claim_named_user(colour: str, send: Send, reasons: list[Any]) -> None:
    """A member ``user`` among claims is whatever a token said, and no user of the site's: ``require_user`` refuses."""
    protector = ResourceProtector(Finding(CLAIMS, says_yes=True))
    with serving(protector(require_user=True)(view_of(lambda request: None, colour))):
        assert send("/", bearer("x")).status == 403
    assert reasons == [Reason.NO_USER]


@both_colours
def test_claim_named_user_is_not_set(colour: str, send: Send) -> None:
    """Nor does ``set_user`` set it."""
    protector = ResourceProtector(Finding(CLAIMS, says_yes=True), set_user=True)
    with serving(protector(view_of(lambda request: type(request.user).__name__, colour))):
        assert send("/", bearer("x")).json == {"answer": "AnonymousUser"}
    with serving(protector(view_of(lambda request: repr(AccessToken.of(request).user), colour))):  # type: ignore[union-attr]
        assert send("/", bearer("x")).json == {"answer": "None"}


@both_colours
@pytest.mark.parametrize(("is_active", "status"), [(True, 200), (False, 401)])
def test_user_of_claims(is_active: bool, status: int, colour: str, send: Send, reasons: list[Any]) -> None:
    """The user that a site's hook gives an ``AccessToken`` is judged like a row's."""
    token = AccessToken({"scope": "profile"}, user=User(username="bob", is_active=is_active))
    with serving(ResourceProtector(Finding(token))("profile", require_user=True)(Witness().view(colour))):
        assert send("/", bearer("x")).status == status
    assert reasons == ([] if is_active else [Reason.INACTIVE_USER])


# Users who are gone, users who are numbers, users who are not loaded.


@both_colours
@pytest.mark.parametrize("options", [{}, {"select_related": ()}, {"select_related": (), "blocking_methods": True}])
def test_user_who_is_gone(options: dict[str, Any], colour: str, send: Send, reasons: list[Any]) -> None:
    """A token that has outlived its user is refused, whether or not the user was to be loaded with it."""
    witness = Witness()
    with serving(ResourceProtector(BearerTokenValidator(OrphanToken, **options))(witness.view(colour))):
        assert send("/", bearer("orphan")).status == 401
        assert witness.entered == 0
        assert send("/", bearer(PLAIN)).json == {"token": True, "user": "alice"}
    assert reasons == [Reason.INACTIVE_USER]


class JudgeOfOrphans(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        pass


@both_colours
def test_user_who_is_gone_behind_a_hook(colour: str, send: Send, reasons: list[Any]) -> None:
    """So is one that a hook has judged."""
    view = ResourceProtector(JudgeOfOrphans(OrphanToken, select_related=()))(Witness().view(colour))
    with serving(view):
        assert send("/", bearer("orphan")).status == 401
    assert reasons == [Reason.INACTIVE_USER]


@both_colours
def test_user_who_is_a_number(colour: str, send: Send) -> None:
    """A model that knows its user's number only has no user to judge: it lets in, and ``require_user`` does not."""
    protector = ResourceProtector(BearerTokenValidator(PlainUserToken))
    with serving(protector("profile")(view_of(lambda request: request.oauth_token.user_id, colour))):
        assert send("/", bearer(PLAIN)).json == {"answer": GONE}
    with serving(protector(require_user=True)(view_of(lambda request: None, colour))):
        assert send("/", bearer(PLAIN)).status == 403


class Judge(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        assert token.client_id == "client"


class AsyncJudge(BearerTokenValidator):
    async def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        assert token.client_id == "client"


@both_colours
@pytest.mark.parametrize("cls", [Judge, AsyncJudge])
@pytest.mark.parametrize("keywords", [{}, {"require_user": True}])
def test_user_of_a_row_that_a_hook_judged(keywords: Any, cls: Any, colour: str, send: Send) -> None:
    """Its user is there for the view, on an event loop too, though nothing loaded them with the row."""
    protector = ResourceProtector(cls(OAuth2Token, select_related=()), set_user=True)
    for answer in (
        lambda request: request.oauth_token.user.username,
        lambda request: request.user.username,
        lambda request: AccessToken.of(request).user.username,  # type: ignore[union-attr]
    ):
        with serving(protector(**keywords)(view_of(answer, colour))):
            assert send("/", bearer(PLAIN)).json == {"answer": "alice"}


@both_colours
@pytest.mark.parametrize("cls", [BearerTokenValidator, Judge])
def test_client_that_is_not_loaded(cls: Any, colour: str, send: Send) -> None:
    """``AccessToken.of`` asks the database nothing: a client that is a row of its own and not loaded stays so."""
    if cls is Judge:
        view = ResourceProtector(JudgeOfOrphans(ClientToken))
    else:
        view = ResourceProtector(BearerTokenValidator(ClientToken))
    with serving(view(view_of(lambda request: AccessToken.of(request).client_id, colour))):  # type: ignore[union-attr]
        assert send("/", bearer(PLAIN)).json == {"answer": "of-the-row"}
    loading = BearerTokenValidator(ClientToken, select_related=("user", "application"))
    of_client = ResourceProtector(loading)(view_of(lambda request: AccessToken.of(request).client_id, colour))  # type: ignore[union-attr]
    with serving(of_client):
        assert send("/", bearer(PLAIN)).json == {"answer": "of-the-client"}


# Columns that cannot hold what is presented.


@both_colours
@pytest.mark.parametrize("token", ["9" * 19, "9" * 30, "9" * 5000, str(2**63), "nan", "1e3"])
def test_numbers_that_no_column_holds(
    token: str, colour: str, send: Send, reasons: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number beyond what the column holds is an unknown token, and the database is not asked about it."""
    queries: list[str] = []
    execute = CursorWrapper.execute

    def noting(cursor: Any, sql: str, params: Any = None) -> Any:
        queries.append(sql)
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", noting)
    with serving(ResourceProtector(BearerTokenValidator(NumberToken))(Witness().view(colour))):
        assert send("/", bearer(token)).status == 401
        assert queries == []
        assert send("/", bearer("12345")).status == 200
    assert reasons == [Reason.UNKNOWN_TOKEN]


# Validators that are not made as ours are.


class Bare(TokenValidator):
    """Calls no ``super().__init__()``, so it has neither realm nor attributes."""

    def __init__(self) -> None:
        pass

    def authenticate_token(self, token_string: str) -> Any:
        return AccessToken({"scope": "profile"}) if token_string == "good" else None


class BareAuthlib(AuthlibTokenValidator):
    """The same for Authlib's class."""

    def __init__(self) -> None:
        pass

    def authenticate_token(self, token_string: str) -> Any:
        return AccessToken({"scope": "profile"}) if token_string == "good" else None

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        if AuthlibTokenValidator.scope_insufficient(token and token.get_scope(), scopes):
            raise InsufficientScopeError


class NoClassOfOurs:
    """No base at all."""

    TOKEN_TYPE = "bearer"

    def authenticate_token(self, token_string: str) -> Any:
        return AccessToken({"scope": "profile"}) if token_string == "good" else None

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        if token and AuthlibTokenValidator.scope_insufficient(token.get_scope(), scopes):
            raise InsufficientScopeError


@both_colours
@pytest.mark.parametrize("compat", [None, "authlib"])
@pytest.mark.parametrize("cls", [Bare, BareAuthlib, NoClassOfOurs])
def test_validators_without_a_realm(cls: Any, compat: Any, colour: str, send: Send) -> None:
    """A validator that has neither realm nor attributes refuses as others do, and lets in as others do."""
    protector = ResourceProtector(cls(), compat=compat)
    with serving(protector(view_of(lambda request: None, colour))):
        assert [send("/", headers).status for headers in ([], bearer("bad"), bearer("good"))] == [401, 401, 200]
    with serving(protector("email")(view_of(lambda request: None, colour))):
        assert send("/", bearer("good")).status == 403


class OwnScopes(TokenValidator):
    """Scopes of a shape of the site's own, and a rule that reads it."""

    def authenticate_token(self, token_string: str) -> Any:
        return SimpleNamespace(is_expired=bool, is_revoked=bool, user=None, get_scope=lambda: {"profile": token_string})

    def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:  # type: ignore[override]
        return any(token_scopes.get(scope) != "write" for scope in required_scopes or ())


class OwnScopesAsync(OwnScopes):
    async def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:  # type: ignore[override]
        return super().scope_insufficient(token_scopes, required_scopes)


@both_colours
@pytest.mark.parametrize("cls", [OwnScopes, OwnScopesAsync])
def test_scopes_of_an_own_shape(cls: Any, colour: str, send: Send) -> None:
    """Where a site defines ``scope_insufficient``, it alone reads what ``get_scope()`` gives, and its no is a no."""
    view = view_of(lambda request: None, colour)
    with serving(ResourceProtector(cls())("profile")(view)):
        assert send("/", bearer("write")).status == 200
    with serving(ResourceProtector(cls())("email")(view)):
        assert send("/", bearer("write")).status >= 400
    with serving(ResourceProtector(Finding(cls().authenticate_token("write")))("profile")(view)):
        assert send("/", bearer("write")).status == 401


@both_colours
@pytest.mark.parametrize("cls", [OwnScopes, OwnScopesAsync])
def test_no_of_a_hook_to_scopes_of_an_own_shape(cls: Any, colour: str, send: Send, reasons: list[Any]) -> None:
    """RFC 6750 §3.1: its no means that the token does not reach this far, which is 403, not that it is malformed."""
    with serving(ResourceProtector(cls())("profile")(view_of(lambda request: None, colour))):
        assert send("/", bearer("read")).status == 403
    assert reasons == [Reason.INSUFFICIENT_SCOPE]


# Other schemes than Bearer.


class Hawk(TokenValidator):
    """Reads parameters in place of a token."""

    TOKEN_TYPE = "hawk"

    def authenticate_token(self, token_string: str) -> Any:
        return AccessToken({"scope": "profile", "read": str(token_string)})


@both_colours
@pytest.mark.parametrize("presented", ['id="x", mac="y"', 'id="x",mac="y"', "id=x", "abc"])
def test_scheme_with_parameters(presented: str, colour: str, send: Send) -> None:
    """RFC 9110 §11.4: what follows another scheme is its validator's to read, as it is."""
    protector = ResourceProtector(Hawk(), BearerTokenValidator(OAuth2Token))
    with serving(protector("profile")(view_of(lambda request: request.oauth_token["read"], colour))):
        assert send("/", bearer(presented, "Hawk")).json == {"answer": presented}


@both_colours
@pytest.mark.parametrize("presented", ['id="x", mac="y"', "a b", "a,b", 'token="x"', "a;b", "="])
def test_malformed_bearer_beside_other_schemes(presented: str, colour: str, send: Send) -> None:
    """RFC 6750 §2.1: after ``Bearer`` stands one token68, and anything else stays malformed."""
    witness = Witness()
    protector = ResourceProtector(Hawk(), BearerTokenValidator(OAuth2Token))
    with serving(protector(witness.view(colour))):
        assert send("/", bearer(presented)).status == 400
        assert send("/", bearer(presented, "bEaReR")).status == 400
    assert witness.entered == 0


# The toolkit's rows.


@both_colours
@pytest.mark.parametrize("query", [b"", b"?page[size]=10", b"?q=%zz", b"?q=%ff&&;=", b"?a=\xc3\xa4"])
def test_own_method_of_the_toolkits_clients(
    query: bytes, colour: str, send: Send, monkeypatch: pytest.MonkeyPatch, reasons: list[Any]
) -> None:
    """A site's own ``is_usable()`` is asked whatever the query string, of which the toolkit's request takes less."""
    methods: list[str] = []
    is_usable = True

    def own(application: Any, request: Any) -> bool:
        methods.append(request.http_method)
        return is_usable

    monkeypatch.setattr(Application, "is_usable", own)
    assert Application.is_usable is not AbstractApplication.is_usable
    witness = Witness()
    protector = ResourceProtector(BearerTokenValidator.for_django_oauth_toolkit())
    with serving(protector("profile")(witness.view(colour))):
        assert send("/", bearer(PLAIN), query=query.removeprefix(b"?")).status == 200
        is_usable = False
        assert send("/", bearer(PLAIN), query=query.removeprefix(b"?")).status == 401
    assert methods == ["GET", "GET"]
    assert witness.entered == 1
    assert reasons == [Reason.UNUSABLE_CLIENT]


@both_colours
def test_own_method_of_the_toolkits_tokens(
    colour: str, send: Send, monkeypatch: pytest.MonkeyPatch, reasons: list[Any]
) -> None:
    """A site's own ``is_valid()`` is asked: where it says no, the token is refused."""
    witness = Witness()
    protector = ResourceProtector(BearerTokenValidator.for_django_oauth_toolkit())
    with serving(protector("profile")(witness.view(colour))):
        assert send("/", bearer(PLAIN)).status == 200
        monkeypatch.setattr(ToolkitToken, "is_valid", lambda token, scopes=None: False)
        assert send("/", bearer(PLAIN)).status == 401
    assert witness.entered == 1
    assert reasons == [Reason.REVOKED]


# What is refused when it is made.


@pytest.mark.parametrize(
    "option", [{"digest": "shake_128"}, {"digest": "none"}, {"token_format": "("}, {"token_format": "[z-a]"}]
)
def test_validators_options_that_cannot_work(option: dict[str, Any]) -> None:
    """An option that would fail at each request fails when the validator is made, and is found in the setting."""
    with pytest.raises((TypeError, ValueError), match=next(iter(option))):
        BearerTokenValidator(OAuth2Token, **option)
    entry = {
        "BACKEND": "async_oauth_guard.BearerTokenValidator",
        "OPTIONS": {"token_model": "site.OAuth2Token", **option},
    }
    assert setting_errors(VALIDATORS=[entry]) == ["async_oauth_guard.E002"]


@pytest.mark.parametrize(
    "option",
    [{"render_error": 7}, {"set_user": "no"}, {"set_user": None}, {"realm": 7}, {"resource": 7}, {"public_origin": 7}],
)
def test_protectors_options_of_a_wrong_type(option: dict[str, Any]) -> None:
    """So it is with a protector's; ``"no"`` for one would have been a yes."""
    (name,) = option
    with pytest.raises(TypeError, match=name):
        ResourceProtector(**option)
    assert setting_errors(**{name.upper(): option[name]}) == ["async_oauth_guard.E002"]


def setting_errors(**values: Any) -> list[str | None]:
    """The ids of the errors that the system checks give for such a setting, which no request gets past either."""
    guarded = require_oauth(Witness().view("def"))
    with serving(guarded, OAUTH_GUARD={"VALIDATORS": [], **values}):
        with pytest.raises(ImproperlyConfigured):
            guarded(HttpRequest())
        return [message.id for message in run_checks(tags=["security"]) if isinstance(message, Error)]


def shaped(**attributes: Any) -> Any:
    """A validator of Authlib's class with these attributes."""
    validator = AuthlibTokenValidator()
    vars(validator).update(attributes)
    return validator


@pytest.mark.parametrize(
    ("validator", "error"),
    [
        (shaped(TOKEN_TYPE=7), TypeError),
        (shaped(TOKEN_TYPE=None), TypeError),
        (shaped(TOKEN_TYPE=b"bearer"), TypeError),
        (shaped(realm="r\xe9alm"), ValueError),
        (shaped(realm="a\r\nb"), ValueError),
        (shaped(extra_attributes={"error": "x"}), ValueError),
        (shaped(extra_attributes={"scope": "x"}), ValueError),
        (shaped(extra_attributes={"a b": "x"}), ValueError),
        (shaped(extra_attributes={"a": "\u20ac"}), ValueError),
    ],
)
def test_validators_that_cannot_be_registered(validator: Any, error: type[Exception]) -> None:
    """A validator whose scheme or challenge could not be written is refused, not found out at the first refusal."""
    with pytest.raises(error):
        ResourceProtector(validator)
    protector = ResourceProtector()
    with pytest.raises(error):
        protector.register_token_validator(validator)
    assert list(protector.validators) == []
