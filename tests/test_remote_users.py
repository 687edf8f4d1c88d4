"""``user_lookup``: the Django user of a remote token, or nobody, in sync and async views on both servers."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, connections
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, JsonResponse
from django.test.utils import CaptureQueriesContext
from django.utils.functional import LazyObject, SimpleLazyObject
from joserfc.jwk import KeySet

from async_oauth_guard import (
    AccessToken,
    IntrospectTokenValidator,
    InvalidTokenError,
    JWTBearerTokenValidator,
    Reason,
    ResourceProtector,
)
from tests import asgi
from tests.answers import Answer, bearer
from tests.conftest import Committed, Send
from tests.sites import MODES, serving
from tests.test_authlib_parity_remote import ABSENT, ISSUER, KEYS, RESOURCE, make_jwt
from tests.test_documentation import PAGES, blocks

pytestmark = pytest.mark.django_db

# What a token says, whichever kind it is.
Claims = dict[str, Any]
Ask = Callable[..., Answer]

NUMBER = 1_200_034
ADDRESSES = {
    "none": "",
    "blank": " ",
    "first": "two@example.com",
    "second": "two@example.com",
    "ann@example.com": "ann@example.com",
}

sync_and_async = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module", autouse=True)
def _users(committed: Committed) -> None:
    committed.user("alice", first_name="Ada")
    committed.user("bob", is_active=False)
    # A user who is called as a client is.
    committed.user("console")
    committed.user("Carol", first_name="twice")
    committed.user("carol.2", first_name="twice")
    committed.row(User(username="numbered", pk=NUMBER))
    for name, address in ADDRESSES.items():
        committed.row(User(username=name, email=address))


def view_of(mode: str) -> Any:
    """Says who the token's user is, and the request's, without a query."""

    def sync_view(request: HttpRequest) -> JsonResponse:
        token = AccessToken.of(request)
        assert token is not None
        assert not issubclass(type(token.user), LazyObject)
        user = getattr(request, "user", None)
        return JsonResponse({"user": token.user and token.user.username, "request": user and str(user)})

    async def async_view(request: HttpRequest) -> JsonResponse:
        if hasattr(request, "auser"):
            assert await request.auser() is request.user
        return sync_view(request)

    return {"def": sync_view, "async def": async_view}[mode]


def jwt_asker(send: Send, mode: str) -> Ask:
    def ask(claims: Claims, lookup: Any, *, set_user: bool = False, asked: Any = None, **options: Any) -> Answer:
        validator = JWTBearerTokenValidator(ISSUER, RESOURCE, jwks=KEYS, user_lookup=lookup, **options)
        protector = ResourceProtector(validator, set_user=set_user)
        with serving(protector(**(asked or {}))(view_of(mode))):
            return send("/", bearer(make_jwt({}, claims)))

    return ask


def introspection_asker(send: Send, mode: str) -> Ask:
    def ask(claims: Claims, lookup: Any, *, set_user: bool = False, asked: Any = None) -> Answer:
        answer = {"active": True, "sub": "alice", "client_id": "console", **claims}

        class Validator(IntrospectTokenValidator):
            def introspect_token(self, token_string: str) -> Any:
                return {name: value for name, value in answer.items() if value is not ABSENT}

        protector = ResourceProtector(Validator(user_lookup=lookup), set_user=set_user)
        with serving(protector(**(asked or {}))(view_of(mode))):
            return send("/", bearer("opaque"))

    return ask


KINDS = {"jwt": jwt_asker, "introspection": introspection_asker}


@pytest.fixture(params=KINDS)
def ask(request: pytest.FixtureRequest, send: Send, mode: str) -> Ask:
    """Asks a guarded view for an answer to a token with these claims."""
    return KINDS[request.param](send, mode)


def by_name(claims: Claims) -> Any:
    return get_user_model().objects.filter(username=claims["sub"]).first()


async def by_name_async(claims: Claims) -> Any:
    return await get_user_model().objects.filter(username=claims["sub"]).afirst()


class ByName:
    """A callable object, sync or async."""

    async def __call__(self, claims: Claims) -> Any:
        return await by_name_async(claims)


LOOKUPS: dict[str, Any] = {
    "field": "username",
    "pair": ("username", "sub"),
    "list": ["username", "sub"],
    "function": by_name,
    "coroutine function": by_name_async,
    "object": ByName(),
    "lambda": lambda claims: by_name_async(claims),
}
every_lookup = pytest.mark.parametrize("lookup", LOOKUPS.values(), ids=LOOKUPS)


@sync_and_async
@every_lookup
def test_user(lookup: Any, ask: Ask) -> None:
    """Whichever way it is looked for, the user is there before the view runs."""
    answer = ask({"sub": "alice"}, lookup)
    assert (answer.status, answer.json) == (200, {"user": "alice", "request": None})


@sync_and_async
@every_lookup
@pytest.mark.parametrize(
    ("sub", "reason"), [("nobody", Reason.UNKNOWN_USER), ("bob", Reason.INACTIVE_USER), ("ALICE", Reason.UNKNOWN_USER)]
)
def test_user_who_is_refused(sub: str, reason: Reason, lookup: Any, ask: Ask, reasons: list[Reason]) -> None:
    """R30: a token of a user who is not known here, or not active, is an invalid one: 401."""
    if sub == "ALICE" and connection.vendor != "sqlite" and callable(lookup):
        pytest.skip("the collation decides")
    answer = ask({"sub": sub}, lookup)
    assert answer.status == 401
    assert answer.challenges[0].parameters["error"] == "invalid_token"
    assert reasons == [reason]


@sync_and_async
def test_pair(ask: Ask) -> None:
    """A pair compares another claim, with another field."""
    assert ask({"sub": "x", "email": "alice@example.com"}, ("email", "email")).json["user"] == "alice"
    assert ask({"sub": "x"}, ("email", "email")).status == 401


@sync_and_async
def test_two_rows(ask: Ask, reasons: list[Reason]) -> None:
    """Nobody can tell who is meant where two users hold the value: 401, and no crash."""
    assert ask({"sub": "Ada"}, "first_name").json["user"] == "alice"
    assert ask({"sub": "twice"}, "first_name").status == 401
    assert reasons == [Reason.UNKNOWN_USER]


@sync_and_async
@pytest.mark.parametrize(("field", "value"), [("id", "x"), ("id", "9" * 30), ("username", "a\0b"), ("id", "")])
def test_what_the_column_cannot_hold(field: str, value: str, ask: Ask) -> None:
    """What cannot be anybody's identifier is nobody's: 401, and never an error of the database's."""
    answer = ask({"sub": value}, field)
    # A blank subject is no JWT's at all.
    assert answer.status == 401


SPELLINGS = ["1_200_034", "+1200034", "01200034", " 1200034", "1200034 ", "1200034.0", "١٢٠٠٠٣٤"]


@sync_and_async
@pytest.mark.parametrize("lookup", ["id", ("id", "number")], ids=repr)
def test_spellings_of_a_number(lookup: Any, ask: Ask, reasons: list[Reason]) -> None:
    """A claim selects a user only as their field writes it, though Python reads other texts as the same number."""
    claim = "sub" if lookup == "id" else "number"
    assert ask({"sub": "x", claim: str(NUMBER)}, lookup).json["user"] == "numbered"
    assert [ask({"sub": "x", claim: text}, lookup).status for text in SPELLINGS] == [401] * len(SPELLINGS)
    assert reasons == [Reason.UNKNOWN_USER] * len(SPELLINGS)


@sync_and_async
@pytest.mark.parametrize("address", [ABSENT, None, "", " ", 7, ["alice@example.com"], "two@example.com"], ids=repr)
def test_addresses_that_select_nobody(address: Any, ask: Ask, reasons: list[Reason]) -> None:
    """A missing, blank or shared address is nobody's, though there are users without one."""
    assert ask({"sub": "x", "email": address}, ("email", "email")).status == 401
    assert reasons == [Reason.UNKNOWN_USER]


@sync_and_async
@pytest.mark.parametrize(
    ("verified", "status"), [(ABSENT, 200), (True, 200)] + [(value, 401) for value in (False, None, "true", 1)]
)
@pytest.mark.parametrize(
    ("lookup", "claim"),
    [(("email", "email"), "email"), (("username", "email"), "email"), (("email", "upn"), "upn"), ("email", "sub")],
)
def test_addresses_that_are_not_verified(
    lookup: Any, claim: str, verified: Any, status: int, ask: Ask, reasons: list[Reason]
) -> None:
    """An address selects nobody where the token does not say ``true`` of ``email_verified``."""
    answer = ask({"sub": "x", claim: "ann@example.com", "email_verified": verified}, lookup)
    assert answer.status == status
    assert reasons == ([] if status == 200 else [Reason.UNKNOWN_USER])


@sync_and_async
def test_verified_addresses_matter_to_addresses_only(ask: Ask) -> None:
    """A user found by another claim needs no verified address."""
    assert ask({"sub": "alice", "email": "x", "email_verified": False}, "username").status == 200


@sync_and_async
@pytest.mark.parametrize("value", [7, 7.5, True, ["alice"], {"alice": 1}], ids=repr)
def test_claims_that_are_no_strings(value: Any, ask: Ask) -> None:
    """A claim that is no string names nobody, whatever the database would make of it."""
    assert ask({"name": value}, ("username", "name")).status == 401
    assert ask({"sub": value}, "username").status == 401
    assert ask({"username": value, "sub": "x"}, "username").status == 401


@sync_and_async
def test_no_lookup(ask: Ask) -> None:
    """Without a lookup a token has no user, and needs none."""
    assert ask({"sub": "alice"}, None).json == {"user": None, "request": None}
    assert ask({"sub": "nobody"}, None).status == 200
    assert ask({"sub": "alice"}, None, asked={"require_user": True}).status == 403


# Clients.


@sync_and_async
@every_lookup
def test_clients_are_no_users(lookup: Any, ask: Ask) -> None:
    """R34: a client's own token has no user, though a user is called as the client is."""
    assert ask({"sub": "console", "client_id": "console"}, lookup).json == {"user": None, "request": None}
    # Of another client, it is the user's.
    assert ask({"sub": "console", "client_id": "other"}, lookup).json["user"] == "console"


@sync_and_async
@every_lookup
def test_clients_and_require_user(lookup: Any, ask: Ask, reasons: list[Reason]) -> None:
    """R34: a view for users alone answers a client's own token with 403."""
    answer = ask({"sub": "console", "client_id": "console"}, lookup, asked={"require_user": True})
    assert answer.status == 403
    assert reasons == [Reason.NO_USER]
    assert ask({"sub": "alice"}, lookup, asked={"require_user": True}).status == 200


@sync_and_async
@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"sub": ABSENT}, None),
        ({"sub": None}, None),
        ({"sub": ABSENT, "username": "console"}, None),
        ({"sub": "console", "username": "alice"}, None),
        ({"sub": "alice", "username": "console"}, None),
        ({"sub": "alice", "client_id": ABSENT}, "alice"),
        ({"sub": "alice", "client_id": ABSENT, "username": "x"}, "alice"),
    ],
    ids=str,
)
def test_who_is_a_client(claims: Claims, user: str | None, send: Send, mode: str) -> None:
    """R34: an answer speaks for a client where it names nobody, or where either name is the client's."""
    assert introspection_asker(send, mode)(claims, "username").json["user"] == user


@sync_and_async
def test_username_alone(send: Send, mode: str) -> None:
    """RFC 7662 §2.2: an answer may name the resource owner by ``username`` alone, which a pair compares."""
    ask = introspection_asker(send, mode)
    assert ask({"sub": ABSENT, "username": "alice"}, ("username", "username")).json["user"] == "alice"
    assert ask({"sub": ABSENT, "username": "bob"}, ("username", "username")).status == 401
    # No subject: nobody is known by it.
    assert ask({"sub": ABSENT, "username": "alice"}, "username").status == 401


@sync_and_async
def test_clients_of_profiles(send: Send, mode: str) -> None:
    """R34: the profile decides what marks a client's token."""
    ask = jwt_asker(send, mode)
    claims = {"sub": "alice", "preferred_username": "service-account-console"}
    assert ask(claims, "username").json["user"] == "alice"
    # Other servers' tokens are of another `typ`.
    validator = JWTBearerTokenValidator(ISSUER, RESOURCE, jwks=KEYS, profile="generic", user_lookup="username")
    with serving(ResourceProtector(validator)(view_of(mode))):
        assert send("/", bearer(make_jwt({"typ": "JWT"}, claims))).json["user"] is None
        assert send("/", bearer(make_jwt({"typ": "JWT"}, {"sub": ABSENT}))).json["user"] is None


# The request's user.


@sync_and_async
@every_lookup
def test_set_user(lookup: Any, ask: Ask) -> None:
    """``set_user`` gives the token's user to the request, and ``AnonymousUser`` where it has none."""
    assert ask({"sub": "alice"}, lookup, set_user=True).json == {"user": "alice", "request": "alice"}
    client = {"sub": "console", "client_id": "console"}
    assert ask(client, lookup, set_user=True).json == {"user": None, "request": str(AnonymousUser())}
    assert ask({"sub": "alice"}, None, set_user=True).json == {"user": None, "request": str(AnonymousUser())}


# The lookup's own code.


@sync_and_async
def test_callables_get_claims_of_their_own(ask: Ask) -> None:
    """What a lookup changes in the claims is in no token."""

    def lookup(claims: Claims) -> Any:
        user = by_name(claims)
        claims["sub"] = "mallory"
        claims.setdefault("groups", []).append("root")
        return user

    claims = {"sub": "alice", "groups": ["staff"]}
    assert ask(claims, lookup, asked={"groups": "staff"}).json["user"] == "alice"
    assert ask(claims, lookup, asked={"groups": "root"}).status == 403


@sync_and_async
@pytest.mark.parametrize(
    ("error", "status"), [(OperationalError("down"), 503), (InvalidTokenError(), 401), (KeyError("k"), 500)], ids=repr
)
def test_callables_that_raise(error: Exception, status: int, ask: Ask) -> None:
    """R124: a lookup that cannot tell is 503, one that refuses 401, and a bug 500."""

    def lookup(claims: Claims) -> Any:
        raise error

    async def alookup(claims: Claims) -> Any:
        raise error

    for each in (lookup, alookup):
        assert ask({}, each).status == status


@sync_and_async
@pytest.mark.parametrize("found", [AnonymousUser(), None], ids=repr)
def test_callables_that_find_nobody(found: Any, ask: Ask) -> None:
    """Neither ``None`` nor an anonymous user is anybody."""
    assert ask({}, lambda claims: found).status == 401


class Person:
    """A user of the site's own making."""

    username = "person"
    is_authenticated = True


class Inactive(Person):
    is_active = False


class Anonymous(Person):
    is_authenticated = False


def returning(found: Any) -> dict[str, Any]:
    """Lookups of each kind that give ``found()``."""

    def lookup(claims: Claims) -> Any:
        return found()

    async def alookup(claims: Claims) -> Any:
        return found()

    return {"lookup": lookup, "alookup": alookup}


@sync_and_async
@pytest.mark.parametrize(
    "wrap",
    [
        lambda user: user,
        lambda user: SimpleLazyObject(lambda: user),
        lambda user: SimpleLazyObject(lambda: SimpleLazyObject(lambda: user)),
    ],
    ids=["plain", "lazy", "lazier"],
)
@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (Person(), None),
        (None, Reason.UNKNOWN_USER),
        (AnonymousUser(), Reason.UNKNOWN_USER),
        (Anonymous(), Reason.UNKNOWN_USER),
        (Inactive(), Reason.INACTIVE_USER),
    ],
    ids=["person", "none", "anonymous", "own anonymous", "inactive"],
)
def test_what_callables_return(user: Any, reason: Reason | None, wrap: Any, ask: Ask, reasons: list[Reason]) -> None:
    """Only an authenticated user who is not inactive lets a token in; a lazy object counts as what it stands for."""
    for lookup in returning(lambda: wrap(user)).values():
        assert ask({"sub": "alice"}, lookup).status == (200 if reason is None else 401)
    assert reasons == ([] if reason is None else [reason] * 2)


class OldStyle(Person):
    def is_authenticated(self) -> bool:  # type: ignore[override]
        return False


@sync_and_async
@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (lambda: get_user_model().objects.none(), "QuerySet"),
        (lambda: False, "bool"),
        (lambda: (Person(), True), "tuple"),
        (lambda: "alice", "str"),
        (lambda: get_user_model(), "ModelBase"),
        (lambda: OldStyle(), "OldStyle"),
        (lambda: SimpleLazyObject(lambda: ()), "tuple"),
    ],
    ids=["queryset", "False", "pair", "name", "model", "method", "lazy"],
)
def test_callables_that_return_no_user(
    found: Any, kind: str, ask: Ask, caplog: pytest.LogCaptureFixture, reasons: list[Reason]
) -> None:
    """What is no user at all is a bug of the lookup's: 500, the view is not called, and the log names both."""
    for name, lookup in returning(found).items():
        caplog.clear()
        answer = ask({"sub": "alice"}, lookup)
        assert answer.status == 500
        (error,) = [record.exc_info[1] for record in caplog.records if record.exc_info]
        assert type(error) is TypeError
        said = rf"the result of user_lookup returning.<locals>.{name} must be a user .*, got {kind}"
        assert re.match(said, str(error)), error
    assert reasons == []


class OldActive(Person):
    def is_active(self) -> bool:  # type: ignore[override]  # pragma: no cover - never asked
        return False


@sync_and_async
def test_callables_that_return_a_user_with_old_methods(ask: Ask) -> None:
    """A method ``is_active`` is true whatever it would return, so such a user lets nobody in: 500."""
    for lookup in returning(OldActive).values():
        assert ask({"sub": "alice"}, lookup).status == 500


@sync_and_async
def test_lazy_users_are_resolved_where_they_may_query(ask: Ask) -> None:
    """A lazy user is loaded on a thread, also for an async view, and the view gets the user itself."""
    in_loop: list[bool] = []

    def load() -> Any:
        in_loop.append(asyncio._get_running_loop() is not None)
        return get_user_model().objects.get(username="alice")

    for lookup in returning(lambda: SimpleLazyObject(load)).values():
        answer = ask({"sub": "alice"}, lookup, set_user=True)
        assert answer.json == {"user": "alice", "request": "alice"}
    assert in_loop == [False, False]


@sync_and_async
def test_lazy_users_of_a_database_that_is_down(ask: Ask) -> None:
    """R124: a lazy user whose database cannot answer is 503."""

    def load() -> Any:
        raise OperationalError("down")

    assert ask({}, lambda claims: SimpleLazyObject(load)).status == 503


@sync_and_async
def test_users_whose_properties_query(ask: Ask) -> None:
    """Whether a user is active may be a query, for an async view as well."""

    class Querying(Person):
        @property
        def is_active(self) -> bool:
            return get_user_model().objects.get(username="alice").is_active

    assert ask({"sub": "alice"}, lambda claims: Querying()).status == 200


def recipes(name: str = "find_user") -> dict[str, Any]:
    """The lookups of this name that the pages show, by page."""
    found: dict[str, Any] = {}
    for page in PAGES:
        for block in blocks(page):
            if f"def {name}(" in block["code"]:
                names: dict[str, Any] = {"__name__": "tests.site.documentation"}
                exec(compile(block["code"], page.name, "exec"), names)
                found[page.name] = names[name]
    return found


UNVERIFIED = [{"email_verified": value} for value in (ABSENT, False, None, "true", 1)]
NO_ADDRESS = [
    {"email": value} for value in (ABSENT, None, "", " ", 7, ["ann@example.com"], "Ann@example.com", "two@example.com")
]


@sync_and_async
@pytest.mark.parametrize("missing", [{}, *UNVERIFIED, *NO_ADDRESS], ids=str)
def test_recipe_of_addresses(missing: Claims, ask: Ask) -> None:
    """The documented lookup by address takes one verified address of one user, and nothing else."""
    claims = {"sub": "x", "email": "ann@example.com", "email_verified": True, **missing}
    assert ask(claims, recipes()["users.md"]).status == (401 if missing else 200)


def test_recipe_of_several_issuers() -> None:
    """The documented lookup for several issuers takes one subject of one of them, and nothing else."""
    find_user = async_to_sync(recipes()["several-sources.md"])
    issuer = "https://sso.example.com/realms/acme"
    user, without_subject = User.objects.create(username="acme:7"), User(username="acme:")
    assert find_user({"iss": issuer, "sub": "7"}) == user
    # One after the other, because some collations compare them as equal.
    for without_subject.username in ("acme:", "acme: "):
        without_subject.save()
        for claims in ({}, {"sub": ""}, {"sub": " "}, {"sub": None}, {"sub": 7}, {"sub": ["7"]}, {"sub": "8"}):
            assert find_user({"iss": issuer, **claims}) is None
    assert find_user({"iss": "https://sso.example.com/realms/globex", "sub": "7"}) is None


def test_recipe_that_creates_users() -> None:
    """The documented lookup that creates users creates one for each subject, and none for anything else."""
    find_or_create = async_to_sync(recipes("find_or_create_user")["users.md"])
    user = find_or_create({"sub": "a-subject"})
    assert user.username == "a-subject"
    assert find_or_create({"sub": "a-subject"}) == user
    number = User.objects.count()
    for claims in ({}, {"sub": ""}, {"sub": " "}, {"sub": None}, {"sub": 7}, {"sub": ["7"]}):
        assert find_or_create(claims) is None
    assert User.objects.count() == number
    # Some collations find this user for it.
    other = find_or_create({"sub": "A-Subject"})
    assert other is None or other.username == "A-Subject"


def test_every_recipe_is_tested() -> None:
    """No other page shows a lookup, and none queries the users in another way."""
    assert set(recipes()) == {"users.md", "several-sources.md"}
    assert set(recipes("find_or_create_user")) == {"users.md"}
    queries = [page.name for page in PAGES for block in blocks(page) if "get_user_model().objects" in block["code"]]
    assert sorted(queries) == sorted([*recipes(), *recipes("find_or_create_user")])


@sync_and_async
def test_callables_run_on_the_requests_own_thread(ask: Ask) -> None:
    """A ``def`` lookup may query, also for an async view."""
    in_loop: list[bool] = []

    def lookup(claims: Claims) -> Any:
        in_loop.append(asyncio._get_running_loop() is not None)
        return by_name(claims)

    assert ask({"sub": "alice"}, lookup).status == 200
    assert in_loop == [False]


@sync_and_async
def test_outage(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """R124: when the database cannot answer, nobody can tell whose token it is: 503; then it is answered again."""

    def down(*args: Any) -> None:
        raise OperationalError("down")

    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", down)
        answer = ask({"sub": "alice"}, "username")
        assert (answer.status, answer.challenges) == (503, [])
        # A client's own token needs no database.
        assert ask({"sub": "console", "client_id": "console"}, "username").status == 200
    assert ask({"sub": "alice"}, "username").status == 200


def test_refused_tokens_cost_no_query() -> None:
    """For an invalid token, or one that expired after it was verified, no user is looked up."""
    validator = JWTBearerTokenValidator(ISSUER, RESOURCE, jwks=KEYS, user_lookup="username")
    protector = ResourceProtector(validator)
    for token in ("garbage", make_jwt({}, {"exp": 1}), make_jwt({}, {"aud": "x"})):
        with CaptureQueriesContext(connection) as queries, pytest.raises(InvalidTokenError):
            protector.validate_token(token)
        assert len(queries) == 0


def test_user_of_today() -> None:
    """A token that is remembered has the user of this moment: one who was deactivated since is refused."""
    user = get_user_model().objects.create_user("dora")
    validator = JWTBearerTokenValidator(ISSUER, RESOURCE, jwks=KEYS, user_lookup="username")
    protector = ResourceProtector(validator)
    token = make_jwt({}, {"sub": "dora"})
    assert protector.validate_token(token).user == user
    user.is_active = False
    user.save()
    with pytest.raises(InvalidTokenError) as caught:
        protector.validate_token(token)
    assert caught.value.reason is Reason.INACTIVE_USER


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_field(kind: str) -> None:
    """A field that the user model does not have is reported."""

    class Introspecting(IntrospectTokenValidator):
        def introspect_token(self, token_string: str) -> Any:
            return {"active": True, "sub": "alice", "client_id": "console"}

    validator: Any = (
        JWTBearerTokenValidator(ISSUER, RESOURCE, jwks=KEYS, user_lookup="nickname")
        if kind == "jwt"
        else Introspecting(user_lookup="nickname")
    )
    with pytest.raises(ImproperlyConfigured, match=r"user_lookup must name a field of .*, got 'nickname'"):
        ResourceProtector(validator).validate_token(make_jwt({}, {}))


@pytest.mark.parametrize("lookup", [5, ("username",), ("username", ""), ("a", "b", "c"), "", get_user_model, b"sub"])
def test_lookups_that_are_none(lookup: Any) -> None:
    """R16: what is neither a field, nor a pair, nor a callable is refused when the validator is built."""
    if lookup is get_user_model:
        lookup = get_user_model()
    with pytest.raises(TypeError, match="user_lookup"):
        JWTBearerTokenValidator(ISSUER, RESOURCE, jwks=KEYS, user_lookup=lookup)


# Many at once.


@pytest.mark.django_db(transaction=True)
def test_lookups_are_coalesced(committed: Committed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests at one time share queries for their users, and each has its own user."""
    queries: list[str] = []
    execute = CursorWrapper.execute

    def counted(cursor: Any, sql: str, params: Any = None) -> Any:
        queries.append(sql)
        return execute(cursor, sql, params)

    names = [f"user-{number}" for number in range(20)]
    for name in names:
        committed.user(name)
    validator = JWTBearerTokenValidator(ISSUER, RESOURCE, jwks=KeySet(KEYS.keys), user_lookup="username")
    guarded = ResourceProtector(validator)(view_of("async def"))
    tokens = {name: make_jwt({}, {"sub": name}) for name in names}

    async def crowd() -> list[Answer]:
        try:
            return await asyncio.gather(*(asgi.request("/", bearer(tokens[name])) for name in names * 5))
        finally:
            await sync_to_async(connections.close_all)()

    with serving(guarded), monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", counted)
        answers = asyncio.run(crowd())
    assert [answer.json["user"] for answer in answers] == names * 5
    assert 1 <= len([sql for sql in queries if "auth_user" in sql]) < 50
