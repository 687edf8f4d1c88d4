"""Whatever a site's own classes and tables do, a request is fully checked. In doubt it is refused."""

import copy
import datetime
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator
from django.contrib.auth.models import AnonymousUser, User
from django.core.checks import Error, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from oauth2_provider.models import AbstractApplication, Application
from oauth2_provider.models import AccessToken as ToolkitToken

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InsufficientScopeError,
    IntrospectTokenValidator,
    InvalidTokenError,
    JWTBearerTokenValidator,
    Reason,
    ResourceProtector,
    TokenValidator,
    require_oauth,
)
from tests.answers import bearer
from tests.conftest import Committed, Send
from tests.faults import FaultServer, Json
from tests.site.models import Client, ClientToken, NumberToken, OAuth2Token, OrphanToken, PlainUserToken
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

PLAIN = "token-without-groups"
STAFF = "token-of-the-staff"
GONE = 987_654_321

sync_and_async = pytest.mark.parametrize("mode", MODES)


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


def view_of(answer: Any, mode: str) -> Any:
    """A view that answers with what ``answer`` makes of the request."""

    def sync_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"answer": answer(request)})

    async def async_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"answer": answer(request)})

    return sync_view if mode == "def" else async_view


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
    """Names one of the three keywords, as keyword only. It accepts the others and ignores them."""

    def validate_token(self, token: Any, scopes: Any, request: Any, *, groups: Any = None, **kwargs: Any) -> None:  # type: ignore[override]
        super().validate_token(token, scopes, request, groups=groups)


class Swallows(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any, **kwargs: Any) -> None:  # type: ignore[override]
        super().validate_token(token, scopes, request)


class SwallowsAll(BearerTokenValidator):
    """Lets in everything."""

    async def validate_token(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        pass


class SaysNothing(BearerTokenValidator):
    """Knows no keywords, as hooks were before Authlib had them."""

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        super().validate_token(token, scopes, request)


JUDGES = [BearerTokenValidator, Forwards, ForwardsAsync, Names, NamesSome, Swallows, SwallowsAll, SaysNothing]


@sync_and_async
@pytest.mark.parametrize("cls", JUDGES)
@pytest.mark.parametrize("asked", [{"groups": "staff"}, {"roles": ["admin"]}, {"entitlements": [["all"]]}])
def test_attributes_behind_a_hook(asked: dict[str, Any], cls: Any, mode: str, send: Send) -> None:
    """However ``validate_token`` takes its keywords, a view's other requirements are checked: 403 if they fail."""
    witness = Witness()
    with serving(ResourceProtector(cls(OAuth2Token))("profile", **asked)(witness.view(mode))):
        answer = send("/", bearer(PLAIN))
        assert (answer.status, witness.entered) == (403, 0)
        assert (answer.json["error"], answer.challenges) == ("access_denied", [])
        assert send("/", bearer(STAFF)).status == 200


@pytest.mark.parametrize("method", ["validate_token", "avalidate_token"])
def test_attributes_in_direct_calls(method: str) -> None:
    """A direct call of the validator's method checks them as well, and accepts no other keywords."""
    validate = getattr(BearerTokenValidator(OAuth2Token), method)
    validate = validate if method == "validate_token" else async_to_sync(validate)
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


@sync_and_async
@pytest.mark.parametrize("scopes", WRITTEN)
@pytest.mark.parametrize("cls", [Meddling, MeddlingJudge, MeddlingAsyncJudge])
def test_lists_are_the_hooks_own(cls: type[Meddling], scopes: Any, mode: str, send: Send) -> None:
    """What a hook does to its lists changes nothing for the next request: neither scopes, nor groups, nor others."""
    keywords: dict[str, Any] = {} if cls is Meddling else {"extra": [["a"], "b"]}
    keywords["groups"] = [["staff"], "crew"]
    written = repr((scopes, keywords))
    for granted, status in (("profile", 403), ("email", 200)):
        validator = cls(OAuth2Token)
        validator.authenticate_token = lambda token, scope=granted: OAuth2Token(scope=scope, groups=["staff"])  # type: ignore[method-assign,misc]
        with serving(ResourceProtector(validator)(scopes, **keywords)(Witness().view(mode))):
            assert [send("/", bearer(PLAIN)).status for _ in range(3)] == [status] * 3
        # Each list is what it was for each of the three requests.
        assert {*validator.seen.values()} == {3}
    assert repr((scopes, keywords)) == written


# What a validator may return in place of a token.


class Finding(TokenValidator):
    """Finds the object that it was made with. With ``says_yes`` its own ``validate_token`` accepts everything."""

    def __init__(self, found: Any, *, says_yes: bool = False) -> None:
        super().__init__()
        self.found = found
        if says_yes:
            self.validate_token = lambda token, scopes, request, **kwargs: None  # type: ignore[method-assign,assignment]

    def authenticate_token(self, token_string: str) -> Any:
        return self.found


@sync_and_async
@pytest.mark.parametrize("says_yes", [False, True])
@pytest.mark.parametrize("found", [None, {}, "", 0, False, ()], ids=repr)
def test_falsy_token(found: Any, says_yes: bool, mode: str, send: Send, reasons: list[Any]) -> None:
    """A falsy object is not a token, even if a site's ``validate_token`` accepts it."""
    witness = Witness()
    with serving(ResourceProtector(Finding(found, says_yes=says_yes))(witness.view(mode))):
        assert send("/", bearer("x")).status == 401
    assert witness.entered == 0
    assert reasons == [Reason.UNKNOWN_TOKEN]


@sync_and_async
@pytest.mark.parametrize("found", [True, 1, [{}], InvalidTokenError(), HttpResponse(status=401), Finding], ids=repr)
def test_what_is_no_token(found: Any, mode: str, send: Send) -> None:
    """A refusal that ``authenticate_token`` returns is not a token, even if a site's ``validate_token`` accepts it."""
    witness = Witness()
    with serving(ResourceProtector(Finding(found, says_yes=True))(witness.view(mode))):
        assert send("/", bearer("x")).status == 500
    assert witness.entered == 0


# A server's possible answers for an inactive token.
INACTIVE: list[Any] = [
    {"active": False, "scope": "profile"},
    *({"active": value, "scope": "profile"} for value in ("true", 1, None, [True])),
    {"scope": "profile"},
]


class SeesAll(IntrospectTokenValidator):
    """Checks nothing, and would let in an inactive token."""

    def __init__(self, seen: list[Any], **options: Any) -> None:
        super().__init__(audience=None, **options)
        self.seen = seen

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        self.seen.append(token)


class SeesAllAsync(SeesAll):
    async def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        self.seen.append(token)


def told_by(method: str, judge: type[SeesAll], word: Any, seen: list[Any], server: FaultServer) -> SeesAll:
    """A validator that gets this result for any token, from a server or from a method that it defines."""
    if method == "server":
        server.answer("/introspect", Json(word))
        return judge(seen, introspection_endpoint=f"{server.url}/introspect", client_auth="none")
    return type("Own", (judge,), {method: lambda self, token_string: word})(seen)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@sync_and_async
@pytest.mark.parametrize("compat", [None, "authlib"])
@pytest.mark.parametrize("judge", [SeesAll, SeesAllAsync])
@pytest.mark.parametrize("method", ["server", "introspect_token", "authenticate_token"])
def test_inactive_tokens_are_kept_from_hooks(
    method: str,
    judge: type[SeesAll],
    compat: Any,
    mode: str,
    send: Send,
    server: FaultServer,
    reasons: list[Any],
) -> None:
    """An inactive token is 401 before a site's own ``validate_token`` runs; it may not think of looking."""
    words = {"server": INACTIVE[:1], "introspect_token": [*INACTIVE, "active"], "authenticate_token": INACTIVE}[method]
    for word in words:
        seen: list[Any] = []
        protector = ResourceProtector(told_by(method, judge, word, seen, server), compat=compat)
        witness = Witness()
        with serving(protector("profile")(witness.view(mode))):
            answer = send("/", bearer("x"))
        assert (answer.status, answer.json["error"], witness.entered, seen) == (401, "invalid_token", 0, []), word
    assert reasons == [Reason.INACTIVE_TOKEN] * len(words)


@sync_and_async
@pytest.mark.parametrize("judge", [SeesAll, SeesAllAsync])
@pytest.mark.parametrize("method", ["server", "introspect_token", "authenticate_token"])
def test_active_tokens_are_handed_to_hooks(
    method: str, judge: type[SeesAll], mode: str, send: Send, server: FaultServer
) -> None:
    """An active token is a site's own ``validate_token``'s to judge."""
    seen: list[Any] = []
    word = {"active": True, "scope": "profile"}
    with serving(
        ResourceProtector(told_by(method, judge, word, seen, server))("profile")(view_of(lambda request: None, mode))
    ):
        assert send("/", bearer("x")).status == 200
    assert [dict(token) for token in seen] == [word]


@sync_and_async
def test_own_objects_are_handed_to_hooks(mode: str, send: Send) -> None:
    """What is no mapping, from an ``authenticate_token`` of a site's own, has no ``active`` to look at."""
    found, seen = object(), []  # type: ignore[var-annotated]
    own = type("Own", (SeesAll,), {"authenticate_token": lambda self, token_string: found})
    with serving(ResourceProtector(own(seen))("profile")(view_of(lambda request: None, mode))):
        assert send("/", bearer("x")).status == 200
    assert seen == [found]


def test_inactive_tokens_are_found_by_direct_calls(server: FaultServer) -> None:
    """``authenticate_token()`` returns an inactive token, as with Authlib. The caller must validate it."""
    validator = told_by("server", SeesAll, INACTIVE[0], [], server)
    assert validator.authenticate_token("x") == {"active": False}


@sync_and_async
@pytest.mark.parametrize("method", ["introspect_token", "authenticate_token"])
@pytest.mark.parametrize(
    "kind", [{"token_use": "refresh_token"}, {"token_type": "id_token"}, {"typ": "Refresh"}], ids=str
)
def test_other_kinds_of_token_from_hooks(
    kind: dict[str, str], method: str, mode: str, send: Send, reasons: list[Any]
) -> None:
    """A refresh token or an ID token is 401, also where a site's own method says what it is."""
    word = {"active": True, "scope": "profile", **kind}
    own = type("Own", (IntrospectTokenValidator,), {method: lambda self, token_string: word})
    witness = Witness()
    with serving(ResourceProtector(own(audience=None))("profile")(witness.view(mode))):
        assert send("/", bearer("x")).status == 401
    assert (witness.entered, reasons) == (0, [Reason.WRONG_TYPE])


CLAIMS = {"user": "root", "user_id": 1, "scope": "profile"}


@sync_and_async
def test_claim_named_user(mode: str, send: Send, reasons: list[Any]) -> None:
    """A member ``user`` among claims is whatever a token said, and no user of the site's: ``require_user`` refuses."""
    protector = ResourceProtector(Finding(CLAIMS, says_yes=True))
    with serving(protector(require_user=True)(view_of(lambda request: None, mode))):
        assert send("/", bearer("x")).status == 403
    assert reasons == [Reason.NO_USER]


@sync_and_async
def test_claim_named_user_is_not_set(mode: str, send: Send) -> None:
    """Nor does ``set_user`` set it."""
    protector = ResourceProtector(Finding(CLAIMS, says_yes=True), set_user=True)
    with serving(protector(view_of(lambda request: type(request.user).__name__, mode))):
        assert send("/", bearer("x")).json == {"answer": "AnonymousUser"}
    with serving(protector(view_of(lambda request: repr(AccessToken.of(request).user), mode))):  # type: ignore[union-attr]
        assert send("/", bearer("x")).json == {"answer": "None"}


@sync_and_async
@pytest.mark.parametrize(("is_active", "status"), [(True, 200), (False, 401)])
def test_user_of_claims(is_active: bool, status: int, mode: str, send: Send, reasons: list[Any]) -> None:
    """The user that a site's hook gives an ``AccessToken`` is checked like a row's."""
    token = AccessToken({"scope": "profile"}, user=User(username="bob", is_active=is_active))
    with serving(ResourceProtector(Finding(token))("profile", require_user=True)(Witness().view(mode))):
        assert send("/", bearer("x")).status == status
    assert reasons == ([] if is_active else [Reason.INACTIVE_USER])


class FindingJwt(JWTBearerTokenValidator):
    """Finds tokens by itself."""

    def __init__(self, user: Any) -> None:
        super().__init__("https://as.example.com", "api")
        self.user = user

    def authenticate_token(self, token_string: str) -> Any:
        now = int(time.time())
        return AccessToken({"iss": self.issuer, "aud": "api", "iat": now, "exp": now + 60}, user=self.user)


class FindingAnswer(IntrospectTokenValidator):
    """Finds tokens by itself."""

    def __init__(self, user: Any) -> None:
        super().__init__("https://as.example.com/introspect", audience="api")
        self.user = user

    def authenticate_token(self, token_string: str) -> Any:
        return AccessToken({"active": True, "aud": "api"}, user=self.user)


class AskedItself(IntrospectTokenValidator):
    """Asks by itself, and adds the user."""

    def __init__(self, user: Any) -> None:
        super().__init__(audience="api")
        self.user = user

    def introspect_token(self, token_string: str) -> Any:
        return AccessToken({"active": True, "aud": "api"}, user=self.user)


FINDERS: dict[str, Any] = {
    "token": lambda user: Finding(AccessToken({"scope": "profile"}, user=user)),
    "judged": lambda user: Finding(AccessToken({"scope": "profile"}, user=user), says_yes=True),
    "jwt": FindingJwt,
    "introspection": FindingAnswer,
    "own introspection": AskedItself,
}
every_finder = pytest.mark.parametrize("finder", FINDERS)


def alice_when_asked() -> Any:
    """A lazy user, whose loading queries."""
    return SimpleLazyObject(lambda: User.objects.get(username="alice"))


@sync_and_async
@every_finder
def test_inactive_user_of_a_hooks_token(finder: str, mode: str, send: Send) -> None:
    """A user that a hook found is refused if they are not active, unless the hook judges the token itself."""
    for user in (User(is_active=False), SimpleLazyObject(lambda: User(is_active=False))):
        with serving(ResourceProtector(FINDERS[finder](user))(Witness().view(mode))):
            assert send("/", bearer("x")).status == (200 if finder == "judged" else 401)


class MethodUser:
    """Says by a method, which is true, that it is not active."""

    is_authenticated = True

    def is_active(self) -> bool:  # pragma: no cover - never asked
        return False


@sync_and_async
@every_finder
def test_user_whose_is_active_is_a_method(finder: str, mode: str, send: Send) -> None:
    """Fail closed: a method has no value until it is called. It is a mistake and does not count as true."""
    with serving(ResourceProtector(FINDERS[finder](MethodUser()))(view_of(lambda request: None, mode))):
        assert send("/", bearer("x")).status == (200 if finder == "judged" else 500)


class FaultyUser(User):
    """Its state is in another row, which is missing. Django's error for that is an ``AttributeError`` too."""

    class Meta:
        proxy = True
        app_label = "site"

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return bool(self.account.is_open)  # type: ignore[attr-defined]

    @is_active.setter
    def is_active(self, value: bool) -> None:
        pass


class PlainToken:
    """A token of the site's own class."""

    user: Any = None

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return "profile"


def faulty(name: str) -> Any:
    """A token whose property raises an ``AttributeError``."""
    return type("FaultyToken", (PlainToken,), {name: property(lambda token: token.missing)})()


@sync_and_async
@pytest.mark.parametrize(
    ("token", "status"),
    [
        (PlainToken(), 200),
        (AccessToken({"scope": "profile"}, user=FaultyUser(username="bob")), 500),
        *((faulty(name), 500) for name in ("user", "cnf", "token_type")),
    ],
    ids=["none", "is_active", "user", "cnf", "token_type"],
)
def test_properties_that_fail(token: Any, status: int, mode: str, send: Send) -> None:
    """Fail closed: a property that raises an ``AttributeError`` does not count as an attribute that is not there."""
    witness = Witness()
    with serving(ResourceProtector(Finding(token))(witness.view(mode))):
        assert send("/", bearer("x")).status == status
    assert witness.entered == (status == 200)


@sync_and_async
@every_finder
def test_lazy_user_of_a_hooks_token(finder: str, mode: str, send: Send) -> None:
    """A lazy user is loaded before the view runs, and the request gets the user itself."""
    protector = ResourceProtector(FINDERS[finder](alice_when_asked()), set_user=True)
    answer = view_of(lambda request: [type(request.user).__name__, request.oauth_token.user.username], mode)
    with serving(protector(require_user=True)(answer)):
        assert send("/", bearer("x")).json == {"answer": ["User", "alice"]}


@sync_and_async
@every_finder
@pytest.mark.parametrize(
    ("user", "status"),
    [
        (AnonymousUser(), 403),
        (SimpleLazyObject(AnonymousUser), 403),
        (SimpleLazyObject(lambda: None), 403),
        (False, 500),
        ((), 500),
        ("alice", 500),
    ],
    ids=["anonymous", "lazy anonymous", "lazy none", "False", "tuple", "name"],
)
def test_who_is_no_user(user: Any, status: int, finder: str, mode: str, send: Send) -> None:
    """Nobody but an authenticated user satisfies ``require_user``, whatever a hook's token has for a user."""
    witness = Witness()
    with serving(ResourceProtector(FINDERS[finder](user))(require_user=True)(witness.view(mode))):
        answered = send("/", bearer("x")).status
    anonymous = isinstance(user, AnonymousUser)
    assert answered == (401 if anonymous and finder != "judged" else status)
    assert witness.entered == 0


@sync_and_async
@pytest.mark.parametrize(
    ("user", "status"), [(AnonymousUser(), 200), (SimpleLazyObject(lambda: None), 200), (False, 500), ("alice", 500)]
)
def test_who_is_not_set(user: Any, status: int, mode: str, send: Send) -> None:
    """``set_user`` sets no other object than a user."""
    protector = ResourceProtector(FINDERS["judged"](user), set_user=True)
    with serving(protector(view_of(lambda request: type(request.user).__name__, mode))):
        answer = send("/", bearer("x"))
    assert answer.status == status
    assert status == 500 or answer.json == {"answer": "AnonymousUser"}


# Users who are gone, users who are numbers, users who are not loaded.


@sync_and_async
@pytest.mark.parametrize("options", [{}, {"select_related": ()}, {"select_related": (), "blocking_methods": True}])
def test_user_who_is_gone(options: dict[str, Any], mode: str, send: Send, reasons: list[Any]) -> None:
    """A token that has outlived its user is refused, whether or not the user was to be loaded with it."""
    witness = Witness()
    with serving(ResourceProtector(BearerTokenValidator(OrphanToken, **options))(witness.view(mode))):
        assert send("/", bearer("orphan")).status == 401
        assert witness.entered == 0
        assert send("/", bearer(PLAIN)).json == {"token": True, "user": "alice"}
    assert reasons == [Reason.INACTIVE_USER]


class JudgeOfOrphans(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        pass


@sync_and_async
def test_user_who_is_gone_behind_a_hook(mode: str, send: Send, reasons: list[Any]) -> None:
    """So is one that a hook has judged."""
    view = ResourceProtector(JudgeOfOrphans(OrphanToken, select_related=()))(Witness().view(mode))
    with serving(view):
        assert send("/", bearer("orphan")).status == 401
    assert reasons == [Reason.INACTIVE_USER]


@sync_and_async
def test_user_who_is_a_number(mode: str, send: Send) -> None:
    """A model that knows its user's number only has no user to judge: it lets in, and ``require_user`` does not."""
    protector = ResourceProtector(BearerTokenValidator(PlainUserToken))
    with serving(protector("profile")(view_of(lambda request: request.oauth_token.user_id, mode))):
        assert send("/", bearer(PLAIN)).json == {"answer": GONE}
    with serving(protector(require_user=True)(view_of(lambda request: None, mode))):
        assert send("/", bearer(PLAIN)).status == 403


class Judge(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        assert token.client_id == "client"


class AsyncJudge(BearerTokenValidator):
    async def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        assert token.client_id == "client"


@sync_and_async
@pytest.mark.parametrize("cls", [Judge, AsyncJudge])
@pytest.mark.parametrize("keywords", [{}, {"require_user": True}])
def test_user_of_a_row_that_a_hook_judged(keywords: Any, cls: Any, mode: str, send: Send) -> None:
    """Its user is there for the view, on an event loop too, though nothing loaded them with the row."""
    protector = ResourceProtector(cls(OAuth2Token, select_related=()), set_user=True)
    for answer in (
        lambda request: request.oauth_token.user.username,
        lambda request: request.user.username,
        lambda request: AccessToken.of(request).user.username,  # type: ignore[union-attr]
    ):
        with serving(protector(**keywords)(view_of(answer, mode))):
            assert send("/", bearer(PLAIN)).json == {"answer": "alice"}


@sync_and_async
@pytest.mark.parametrize("cls", [BearerTokenValidator, Judge])
def test_client_that_is_not_loaded(cls: Any, mode: str, send: Send) -> None:
    """``AccessToken.of`` makes no database query. A client in a separate row that is not loaded stays unloaded."""
    if cls is Judge:
        view = ResourceProtector(JudgeOfOrphans(ClientToken))
    else:
        view = ResourceProtector(BearerTokenValidator(ClientToken))
    with serving(view(view_of(lambda request: AccessToken.of(request).client_id, mode))):  # type: ignore[union-attr]
        assert send("/", bearer(PLAIN)).json == {"answer": "of-the-row"}
    loading = BearerTokenValidator(ClientToken, select_related=("user", "application"))
    of_client = ResourceProtector(loading)(view_of(lambda request: AccessToken.of(request).client_id, mode))  # type: ignore[union-attr]
    with serving(of_client):
        assert send("/", bearer(PLAIN)).json == {"answer": "of-the-client"}


# Columns that cannot hold what is presented.


@sync_and_async
@pytest.mark.parametrize("token", ["9" * 19, "9" * 30, "9" * 5000, str(2**63), "nan", "1e3"])
def test_numbers_that_no_column_holds(
    token: str, mode: str, send: Send, reasons: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number beyond what the column holds is an unknown token, and the database is not asked about it."""
    queries: list[str] = []
    execute = CursorWrapper.execute

    def noting(cursor: Any, sql: str, params: Any = None) -> Any:
        queries.append(sql)
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", noting)
    with serving(ResourceProtector(BearerTokenValidator(NumberToken))(Witness().view(mode))):
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


@sync_and_async
@pytest.mark.parametrize("compat", [None, "authlib"])
@pytest.mark.parametrize("cls", [Bare, BareAuthlib, NoClassOfOurs])
def test_validators_without_a_realm(cls: Any, compat: Any, mode: str, send: Send) -> None:
    """A validator that has neither realm nor attributes refuses as others do, and lets in as others do."""
    protector = ResourceProtector(cls(), compat=compat)
    with serving(protector(view_of(lambda request: None, mode))):
        assert [send("/", headers).status for headers in ([], bearer("bad"), bearer("good"))] == [401, 401, 200]
    with serving(protector("email")(view_of(lambda request: None, mode))):
        assert send("/", bearer("good")).status == 403


class OwnScopes(TokenValidator):
    """Scopes of a shape of the site's own, and a rule that reads it."""

    def authenticate_token(self, token_string: str) -> Any:
        return SimpleNamespace(is_expired=bool, is_revoked=bool, user=None, get_scope=lambda: {"profile": token_string})

    def scope_insufficient(self, token_scopes: Any, required_scopes: Any) -> bool:  # type: ignore[override]
        return any(token_scopes.get(scope) != "write" for scope in required_scopes or ())


@sync_and_async
def test_scopes_of_an_own_shape(mode: str, send: Send) -> None:
    """Where a site defines ``scope_insufficient``, only that method reads ``get_scope()``. Its refusal is final."""
    view = view_of(lambda request: None, mode)
    with serving(ResourceProtector(OwnScopes())("profile")(view)):
        assert send("/", bearer("write")).status == 200
    with serving(ResourceProtector(OwnScopes())("email")(view)):
        assert send("/", bearer("write")).status >= 400
    with serving(ResourceProtector(Finding(OwnScopes().authenticate_token("write")))("profile")(view)):
        assert send("/", bearer("write")).status == 401


@sync_and_async
def test_no_of_a_hook_to_scopes_of_an_own_shape(mode: str, send: Send, reasons: list[Any]) -> None:
    """RFC 6750 §3.1: its no means that the token does not reach this far, which is 403, not that it is malformed."""
    with serving(ResourceProtector(OwnScopes())("profile")(view_of(lambda request: None, mode))):
        assert send("/", bearer("read")).status == 403
    assert reasons == [Reason.INSUFFICIENT_SCOPE]


async def forgotten(*arguments: Any) -> bool:
    return False


UNDECIDED: dict[str, Any] = {
    "text": lambda *arguments: "",
    "zero": lambda *arguments: 0,
    "list": lambda *arguments: [],
    "object": lambda *arguments: object(),
}


class Deciding(OwnScopes):
    """Its hooks return what a test says, in place of a ``bool``."""

    def __init__(self, hook: str, answer: Any) -> None:
        super().__init__()
        setattr(self, hook, answer)


@sync_and_async
@pytest.mark.parametrize(
    ("hook", "compat"),
    [
        ("scope_insufficient", None),
        ("scope_insufficient", "authlib"),
        ("recognises", None),
        ("recognises", "authlib"),
        # With `compat` there is one validator at most, so nobody asks whose a token is.
        ("owns", None),
    ],
)
@pytest.mark.parametrize("answer", UNDECIDED.values(), ids=UNDECIDED)
def test_hooks_that_do_not_decide(
    answer: Any, hook: str, compat: Any, mode: str, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that decides returns a ``bool``: anything else is a bug of the site's, and the view is not called."""
    witness = Witness()
    # Two, since nobody asks a single one whether it owns a token.
    protector = ResourceProtector(Deciding(hook, answer), Deciding(hook, answer), compat=compat)
    with serving(protector("profile")(witness.view(mode))):
        assert send("/", bearer("write")).status == 500
    assert witness.entered == 0
    assert "<lambda>() must return a bool" in caplog.text


@sync_and_async
@pytest.mark.parametrize("hook", ["recognises", "owns"])
def test_hooks_that_nobody_awaits(hook: str, mode: str, send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that must not do I/O may not return a coroutine. Python does not warn that it was never awaited."""
    protector = ResourceProtector(Deciding(hook, forgotten), Deciding(hook, forgotten))
    witness = Witness()
    with serving(protector(witness.view(mode))):
        assert send("/", bearer("write")).status == 500
    assert witness.entered == 0
    assert "forgotten() must return a bool" in caplog.text


class Promising(TokenValidator):
    """Its plain hooks return awaitables, and these results; ``done`` tells what was awaited."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.done: list[str] = []
        self.result = result

    async def _do(self, what: str, result: Any) -> Any:
        self.done.append(what)
        return result

    def authenticate_token(self, token_string: str) -> Any:
        token = SimpleNamespace(is_expired=bool, is_revoked=bool, user=None, get_scope=lambda: "profile")
        return self._do("authenticate_token", token)

    def validate_request(self, request: Any) -> Any:
        return self._do("validate_request", self.result)

    def validate_token(self, token: Any, scopes: Any, request: Any) -> Any:  # type: ignore[override]
        return self._do("validate_token", self.result)


@sync_and_async
@pytest.mark.parametrize("compat", [None, "authlib"])
@pytest.mark.parametrize("result", [None, False, "no", ()], ids=repr)
def test_results_that_decide_nothing(result: Any, compat: Any, mode: str, send: Send) -> None:
    """As with Authlib, ``validate_request`` and ``validate_token`` refuse by raising; what they return is awaited."""
    validator = Promising(result)
    with serving(ResourceProtector(validator, compat=compat)("profile")(view_of(lambda request: None, mode))):
        assert send("/", bearer("x")).status == 200
    assert validator.done == ["validate_request", "authenticate_token", "validate_token"]


# Other schemes than Bearer.


class Hawk(TokenValidator):
    """Reads parameters in place of a token."""

    TOKEN_TYPE = "hawk"

    def authenticate_token(self, token_string: str) -> Any:
        return AccessToken({"scope": "profile", "read": str(token_string)})


@sync_and_async
@pytest.mark.parametrize("presented", ['id="x", mac="y"', 'id="x",mac="y"', "id=x", "abc"])
def test_scheme_with_parameters(presented: str, mode: str, send: Send) -> None:
    """RFC 9110 §11.4: what follows another scheme is its validator's to read, as it is."""
    protector = ResourceProtector(Hawk(), BearerTokenValidator(OAuth2Token))
    with serving(protector("profile")(view_of(lambda request: request.oauth_token["read"], mode))):
        assert send("/", bearer(presented, "Hawk")).json == {"answer": presented}


@sync_and_async
@pytest.mark.parametrize("presented", ['id="x", mac="y"', "a b", "a,b", 'token="x"', "a;b", "="])
def test_malformed_bearer_beside_other_schemes(presented: str, mode: str, send: Send) -> None:
    """RFC 6750 §2.1: after ``Bearer`` stands one token68, and anything else stays malformed."""
    witness = Witness()
    protector = ResourceProtector(Hawk(), BearerTokenValidator(OAuth2Token))
    with serving(protector(witness.view(mode))):
        assert send("/", bearer(presented)).status == 400
        assert send("/", bearer(presented, "bEaReR")).status == 400
    assert witness.entered == 0


# The toolkit's rows.


@sync_and_async
@pytest.mark.parametrize("query", [b"", b"?page[size]=10", b"?q=%zz", b"?q=%ff&&;=", b"?a=\xc3\xa4"])
def test_own_method_of_the_toolkits_clients(
    query: bytes, mode: str, send: Send, monkeypatch: pytest.MonkeyPatch, reasons: list[Any]
) -> None:
    """A site's own ``is_usable()`` is called for any query string. The toolkit's request accepts fewer of them."""
    methods: list[str] = []
    is_usable = True

    def own(application: Any, request: Any) -> bool:
        methods.append(request.http_method)
        return is_usable

    monkeypatch.setattr(Application, "is_usable", own)
    assert Application.is_usable is not AbstractApplication.is_usable
    witness = Witness()
    protector = ResourceProtector(BearerTokenValidator.for_django_oauth_toolkit())
    with serving(protector("profile")(witness.view(mode))):
        assert send("/", bearer(PLAIN), query=query.removeprefix(b"?")).status == 200
        is_usable = False
        assert send("/", bearer(PLAIN), query=query.removeprefix(b"?")).status == 401
    assert methods == ["GET", "GET"]
    assert witness.entered == 1
    assert reasons == [Reason.UNUSABLE_CLIENT]


@sync_and_async
def test_own_method_of_the_toolkits_tokens(
    mode: str, send: Send, monkeypatch: pytest.MonkeyPatch, reasons: list[Any]
) -> None:
    """A site's own ``is_valid()`` is called. If it returns false, the token is refused."""
    witness = Witness()
    protector = ResourceProtector(BearerTokenValidator.for_django_oauth_toolkit())
    with serving(protector("profile")(witness.view(mode))):
        assert send("/", bearer(PLAIN)).status == 200
        monkeypatch.setattr(ToolkitToken, "is_valid", lambda token, scopes=None: False)
        assert send("/", bearer(PLAIN)).status == 401
    assert witness.entered == 1
    assert reasons == [Reason.REVOKED]


# What is refused when it is made.


@pytest.mark.usefixtures("no_other_protectors")
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


@pytest.mark.usefixtures("no_other_protectors")
@pytest.mark.parametrize(
    "option",
    [{"render_error": 7}, {"set_user": "no"}, {"set_user": None}, {"realm": 7}, {"resource": 7}, {"public_origin": 7}],
)
def test_protectors_options_of_a_wrong_type(option: dict[str, Any]) -> None:
    """It is the same with a protector's options. For example, ``"no"`` would have counted as true."""
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
