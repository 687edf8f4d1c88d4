"""Validators and protectors of remote tokens, called directly: each method, sync and async, and who gets its results.

Another instance, view or request gets only copies of what a hook returned or a server answered.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest, JsonResponse
from django.test import RequestFactory
from joserfc.jwk import KeySet, RSAKey

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InsufficientScopeError,
    IntrospectTokenValidator,
    InvalidTokenError,
    JWTBearerTokenValidator,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
)
from async_oauth_guard.runtime import event_loop
from tests.answers import Answer, bearer
from tests.conftest import Send
from tests.faults import FaultServer, Json, Status
from tests.site.models import OAuth2Token
from tests.sites import MODES, serving
from tests.test_authlib_parity_remote import ISSUER, KEY, KEYS, OTHER_KEY, PUBLIC, RESOURCE, In, make_jwt

sync_and_async = pytest.mark.parametrize("mode", MODES)
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """An authorization server on a real socket."""
    with FaultServer() as running:
        yield running
    event_loop.close()


def jwt_validator(**options: Any) -> JWTBearerTokenValidator:
    return JWTBearerTokenValidator(ISSUER, RESOURCE, **{"jwks": KEYS, **options})


def introspect_validator(server: FaultServer, **options: Any) -> IntrospectTokenValidator:
    given: dict[str, Any] = {"client_id": "rs", "client_secret": "s", "audience": None, **options}
    return IntrospectTokenValidator(f"{server.url}/introspect", **given)


def variants_of(owner: Any, name: str) -> list[Callable[..., Any]]:
    """The sync method and the async one, both to be called from a thread."""
    return [getattr(owner, name), async_to_sync(getattr(owner, f"a{name}"))]


# Each method.


def test_authenticate_token_of_a_jwt() -> None:
    """It verifies a token, and gives its claims with what Authlib's have: ``header``, ``validate``, ``get_scope``."""
    for authenticate in variants_of(jwt_validator(), "authenticate_token"):
        token = authenticate(make_jwt({}, {}))
        assert isinstance(token, AccessToken)
        assert (token["iss"], token.get("scope"), token.get_scope()) == (ISSUER, "profile email", "profile email")
        assert token.header == {"alg": "RS256", "typ": "at+jwt", "kid": "k1"}
        assert token.scopes == {"profile", "email"}
        assert (token.subject, token.client_id, token.audience) == ("alice", "console", (RESOURCE,))
        assert (token.is_expired(), token.is_revoked(), token.user) == (False, False, None)
        token.validate()
        for bad in ("garbage", make_jwt({}, {"exp": In(-60)}), make_jwt({}, {}, OTHER_KEY)):
            with pytest.raises(InvalidTokenError):
                authenticate(bad)


def test_validate_of_a_token_that_has_expired_since() -> None:
    """``validate()`` checks the lifetime again."""
    token = jwt_validator().authenticate_token(make_jwt({}, {}))
    token["exp"] = 1
    with pytest.raises(InvalidTokenError) as caught:
        token.validate()
    assert caught.value.reason is Reason.EXPIRED


def test_validate_token_of_a_jwt() -> None:
    """It validates the token that was found: lifetime, scopes, groups, roles and entitlements."""
    validator = jwt_validator()
    found = validator.authenticate_token(make_jwt({}, {"groups": ["staff"], "roles": "a b"}))
    for validate in variants_of(validator, "validate_token"):
        assert validate(found, None, None) is None
        assert validate(found, ["profile", "x"], None, groups="staff", roles=["b"]) is None
        for scopes, attributes in (("x", {}), (None, {"groups": "root"}), (None, {"entitlements": ["x"]})):
            with pytest.raises(InsufficientScopeError):
                validate(found, scopes, None, **attributes)
        for bad in (None, {**found, "exp": 1}, {**found, "exp": None}):
            with pytest.raises(InvalidTokenError):
                validate(bad, None, None)


def test_validate_token_of_an_answer(server: FaultServer) -> None:
    """It validates an introspection answer as well. Only ``active: true`` means an active token."""
    for validate in variants_of(introspect_validator(server), "validate_token"):
        assert validate({"active": True, "scope": "profile"}, ["profile"], None) is None
        with pytest.raises(InsufficientScopeError):
            validate({"active": True}, ["profile"], None)
        for bad in (None, {}, {"active": False}, {"active": "true"}, {"active": True, "exp": 1}, [], 5, "active"):
            with pytest.raises(InvalidTokenError):
                validate(bad, None, None)


def test_get_jwks() -> None:
    """It gives the keys in the form in which they were handed over, and dictionaries as copies."""

    async def keys_for_loops() -> Any:
        await asyncio.sleep(0)
        return {"keys": [PUBLIC]}

    document = {"keys": [{**PUBLIC}]}
    for validator, expected in (
        (jwt_validator(), KEYS),
        (jwt_validator(jwks=KEY), KEY),
        (jwt_validator(jwks=document), document),
        (jwt_validator(jwks=lambda: document), document),
        (jwt_validator(jwks=keys_for_loops), document),
    ):
        for get_jwks in variants_of(validator, "get_jwks"):
            assert get_jwks() == expected
            if isinstance(expected, dict):
                get_jwks()["keys"].append("mine")
                get_jwks()["keys"][0]["kid"] = "mine"
                assert get_jwks() == {"keys": [PUBLIC]}


def test_get_jwks_from_a_server(server: FaultServer) -> None:
    """Fetched keys are the server's document, of which each caller has a copy, and are fetched once."""
    server.answer("/jwks", Json({"keys": [PUBLIC], "extra": True}))
    validator = jwt_validator(jwks=None, jwks_uri=f"{server.url}/jwks")
    for get_jwks in variants_of(validator, "get_jwks"):
        assert get_jwks() == {"keys": [PUBLIC], "extra": True}
        get_jwks()["keys"].clear()
    assert len(server.calls) == 1
    assert validator.authenticate_token(make_jwt({}, {}))["sub"] == "alice"


def test_introspect_token(server: FaultServer) -> None:
    """It returns the server's answer in a new dictionary. The sync and async methods share one introspection."""
    server.answer("/introspect", Json({"active": True, "groups": ["staff"]}), Json({"active": False}))
    validator = introspect_validator(server)
    for introspect in variants_of(validator, "introspect_token"):
        answer = introspect("opaque")
        assert answer == {"active": True, "groups": ["staff"]}
        answer["groups"].append("root")
        answer["active"] = False
    assert len(server.calls) == 1
    assert validator.introspect_token("other") == {"active": False}


def test_authenticate_token_of_an_answer(server: FaultServer) -> None:
    """An inactive token is found, and refused when it is validated. If the server fails, that is not a refusal."""
    server.answer("/introspect", Json({"active": True, "scope": "profile"}), Json({"active": False}), Status(500))
    validator = introspect_validator(server)
    for authenticate, good in zip(variants_of(validator, "authenticate_token"), ("a", "a"), strict=True):
        token = authenticate(good)
        assert (token["active"], token.scopes, token.header) == (True, {"profile"}, {})
    assert validator.authenticate_token("b") == {"active": False}
    with pytest.raises(TemporarilyUnavailableError):
        validator.authenticate_token("c")


def test_direct_calls_of_a_protector(server: FaultServer) -> None:
    """R126: without a request a token is fully validated, whichever validator knows it."""
    server.answer("/introspect", lambda call: Json({"active": call.form["token"] == "opaque", "scope": "profile"}))
    protector = ResourceProtector(jwt_validator(), introspect_validator(server))
    for validate in variants_of(protector, "validate_token"):
        assert validate(make_jwt({}, {}), "profile")["sub"] == "alice"
        assert validate("opaque", "profile")["active"] is True
        for token in (make_jwt({}, {}), "opaque"):
            with pytest.raises(InsufficientScopeError):
                validate(token, "admin")
        for token in ("unknown", "a b", "", "\ud800", "x" * 40_000, make_jwt({}, {"exp": 1})):
            with pytest.raises(InvalidTokenError):
                validate(token)
    for acquire in variants_of(protector, "acquire_token"):
        request = RequestFactory().get("/", headers={"Authorization": "Bearer opaque"})
        assert acquire(request, "profile").scopes == {"profile"}


def test_invalidate(server: FaultServer) -> None:
    """The sync and async methods remove what is cached for a token, and keep it for other tokens."""
    server.answer("/introspect", Json({"active": True}))
    protector = ResourceProtector(introspect_validator(server), jwt_validator())
    asked = 0
    for forget in variants_of(protector, "invalidate"):
        for token in ("a", "b", make_jwt({}, {})):
            protector.validate_token(token)
            protector.validate_token(token)
        asked += 2 if asked == 0 else 1
        assert len(server.calls_to("/introspect")) == asked
        forget("a")
        forget(make_jwt({}, {}))
        forget("never seen")
    protector.validate_token("a")
    assert len(server.calls_to("/introspect")) == asked + 1


def test_invalidate_where_nothing_is_remembered() -> None:
    """A token of a table is looked up each time, so there is nothing to forget; other validators are still told."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), jwt_validator())
    for forget in variants_of(protector, "invalidate"):
        assert forget("never seen") is None


def test_invalidate_takes_strings_only() -> None:
    """Anything else is a mistake that would leave the token where it is."""
    for forget in variants_of(ResourceProtector(jwt_validator()), "invalidate"):
        for token in (None, b"x", 5):
            with pytest.raises(TypeError, match="token"):
                forget(token)


async def test_sync_calls_in_a_loop(server: FaultServer) -> None:
    """R126: if a loop runs in this thread, each sync method that may do I/O raises at once, and names the async one."""
    validator, introspecting = jwt_validator(), introspect_validator(server)
    protector = ResourceProtector(validator, introspecting)
    for method, arguments in (
        (validator.authenticate_token, ("x",)),
        (validator.validate_token, ({}, None, None)),
        (validator.get_jwks, ()),
        (introspecting.authenticate_token, ("x",)),
        (introspecting.introspect_token, ("x",)),
        (protector.validate_token, ("x",)),
        (protector.acquire_token, (RequestFactory().get("/"),)),
        (protector.invalidate, ("x",)),
    ):
        with pytest.raises(SynchronousOnlyOperation, match=f"await a{method.__name__}"):
            method(*arguments)  # type: ignore[operator]
    # Nothing is left of these calls.
    assert server.calls == []
    assert validator.validate_iss({}, ISSUER) is True
    assert validator.validate_iss({}, ISSUER + "/") is False


async def test_direct_calls_of_loops(server: FaultServer) -> None:
    """Coroutines can use the async variants."""
    server.answer("/introspect", Json({"active": True, "scope": "profile"}))
    validator, introspecting = jwt_validator(), introspect_validator(server)
    token = await validator.aauthenticate_token(make_jwt({}, {}))
    await validator.avalidate_token(token, ["profile"], None)
    assert await validator.aget_jwks() is KEYS
    assert (await introspecting.aintrospect_token("opaque"))["active"] is True
    answer = await introspecting.aauthenticate_token("opaque")
    await introspecting.avalidate_token(answer, ["profile"], None)
    protector = ResourceProtector(validator, introspecting)
    assert (await protector.avalidate_token("opaque", "profile")).scopes == {"profile"}
    await protector.ainvalidate("opaque")


def test_direct_calls_without_an_audience() -> None:
    """R28: a validator that takes its audience from its protector cannot judge before it has exactly one."""
    validator = JWTBearerTokenValidator(ISSUER, jwks=KEYS)
    token = make_jwt({}, {})
    with pytest.raises(ImproperlyConfigured, match="resource_server="):
        validator.authenticate_token(token)
    ResourceProtector(validator, resource=RESOURCE)
    assert validator.authenticate_token(token)["aud"] == RESOURCE
    ResourceProtector(validator, resource="https://other.example.com")
    with pytest.raises(ImproperlyConfigured, match="no single protector"):
        validator.authenticate_token(token)


# What is whose.


def token_view(mode: str, seen: list[Any], spoil: bool = True) -> Any:
    """Notes its token as it is, and then changes all of it that can be changed."""

    def sync_view(request: HttpRequest) -> JsonResponse:
        token = request.oauth_token  # type: ignore[attr-defined]
        seen.append(JsonResponse(token).content)
        if spoil:
            _spoil(token)
            seen.append(JsonResponse(getattr(token, "header", {})).content)
            _spoil(getattr(token, "header", None))
            _spoil(getattr(token, "_granted", None))
        return JsonResponse({})

    async def async_view(request: HttpRequest) -> JsonResponse:
        return sync_view(request)

    return {"def": sync_view, "async def": async_view}[mode]


def _spoil(value: Any) -> None:
    if isinstance(value, dict):
        for part in value.values():
            _spoil(part)
        value["spoilt"] = True
    elif isinstance(value, list):
        for part in value:
            _spoil(part)
        value.append("spoilt")


NESTED = {"groups": ["staff"], "address": {"lines": ["a", {"b": ["c"]}]}, "scope": ["profile"]}


def let_in(protector: ResourceProtector, token: str, send: Send, mode: str, seen: list[Any]) -> Answer:
    with serving(protector("profile")(token_view(mode, seen))):
        return send("/", bearer(token))


@sync_and_async
def test_tokens_are_each_requests_own(mode: str, send: Send, server: FaultServer) -> None:
    """What a view changes in its token, to the last list, is in no other request's: remembered tokens are copied."""
    server.answer("/introspect", Json({"active": True, **NESTED}))
    protector = ResourceProtector(jwt_validator(), introspect_validator(server))
    for token in (make_jwt({"x5c": ["MIIB", "MIIC"]}, NESTED), "opaque"):
        seen: list[Any] = []
        for _ in range(3):
            assert let_in(protector, token, send, mode, seen).status == 200
        firsts, rest = seen[:2], seen[2:]
        assert rest == firsts * 2
        assert b"spoilt" not in b"".join(firsts)
    assert len(server.calls) == 1


class Counting(IntrospectTokenValidator):
    """Its hook records the tokens that it gets. Its answer has the number of calls."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[str] = []

    def introspect_token(self, token_string: str) -> Any:
        self.asked.append(str(token_string))
        return {"active": True, "scope": ["profile"], "call": len(self.asked), "list": [{"a": []}]}


class AsyncCounting(Counting):
    async def introspect_token(self, token_string: str) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().introspect_token(token_string)


class CountingKeys(JWTBearerTokenValidator):
    """Its hook counts, and gives whatever ``keys`` are at the moment."""

    def __init__(self, **options: Any) -> None:
        super().__init__(ISSUER, RESOURCE, **options)
        self.keys: Any = KEYS
        self.asked: list[None] = []

    def get_jwks(self) -> Any:
        self.asked.append(None)
        return self.keys


class AsyncCountingKeys(CountingKeys):
    async def get_jwks(self) -> Any:
        await asyncio.sleep(0)
        return super().get_jwks()


sync_and_async_hooks = pytest.mark.parametrize("cls", [Counting, AsyncCounting, CountingKeys, AsyncCountingKeys])


def presented_to(validator: Any) -> str:
    if isinstance(validator, IntrospectTokenValidator):
        return "opaque"
    return make_jwt({}, {"list": [{"a": []}], "scope": ["profile"]})


@sync_and_async
@sync_and_async_hooks
def test_hooks_are_asked_in_every_request(cls: Any, mode: str, send: Send) -> None:
    """A hook's result is neither kept nor shared. The hook is called for each request, by each view and instance."""
    first, second = cls(), cls()
    seen: list[Any] = []
    for validator, count in ((first, 1), (first, 2), (second, 1), (first, 3)):
        assert let_in(ResourceProtector(validator), presented_to(validator), send, mode, seen).status == 200
        assert len(validator.asked) == count
    assert b"spoilt" not in b"".join(seen)


@sync_and_async
@sync_and_async_hooks
def test_hooks_with_an_identity(cls: Any, mode: str, send: Send) -> None:
    """With ``cache_identity()`` the hook's results are kept, as copies; of each instance's own; ``fresh`` asks anew."""

    class Identified(cls):
        def cache_identity(self) -> str:
            return "all that it depends on"

    first, second = Identified(), Identified()
    seen: list[Any] = []
    for validator in (first, second):
        token = presented_to(validator)
        for _ in range(3):
            assert let_in(ResourceProtector(validator), token, send, mode, seen).status == 200
        assert len(validator.asked) == 1
    assert b"spoilt" not in b"".join(seen)
    if not issubclass(cls, CountingKeys):
        ResourceProtector(first).validate_token("opaque", fresh=True)
        assert len(first.asked) == 2
        ResourceProtector(first).invalidate("opaque")
        ResourceProtector(first).validate_token("opaque")
        assert len(first.asked) == 3


class Finds(IntrospectTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return super().authenticate_token(token_string)


class AsyncFinds(IntrospectTokenValidator):
    async def authenticate_token(self, token_string: str) -> Any:  # type: ignore[override]
        return await super().aauthenticate_token(token_string)


class Asks(IntrospectTokenValidator):
    def introspect_token(self, token_string: str) -> Any:
        return super().introspect_token(token_string)


class AsyncAsks(IntrospectTokenValidator):
    async def introspect_token(self, token_string: str) -> Any:  # type: ignore[override]
        return await super().aintrospect_token(token_string)


class AsksAndKeeps(Asks):
    def cache_identity(self) -> str:
        return "all that it depends on"


@sync_and_async
@pytest.mark.parametrize("cls", [Finds, AsyncFinds, Asks, AsyncAsks, AsksAndKeeps])
def test_fresh_behind_a_hook_that_hands_on(cls: Any, mode: str, send: Send, server: FaultServer) -> None:
    """``fresh=True`` asks the server, also where a hook hands on to ours; the other views go on remembering."""
    server.answer("/introspect", Json({"active": True}))
    validator = cls(f"{server.url}/introspect", client_id="rs", client_secret="s", audience=None)

    def sync_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({})

    async def async_view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({})

    def ask(**keywords: Any) -> int:
        guard = ResourceProtector(validator)(**keywords)
        with serving(guard(sync_view if mode == "def" else async_view)):
            return send("/", bearer("opaque")).status

    for fresh, calls in ((False, 1), (False, 1), (True, 2), (True, 3), (False, 3)):
        assert ask(fresh=fresh) == 200
        assert len(server.calls_to("/introspect")) == calls
    server.answer("/introspect", Json({"active": False}))
    assert ask(fresh=True) == 401


def test_identity_for_a_hook_that_says_no() -> None:
    """An inactive result is cached too, for less time. An active one is kept until its expiry, and no other is kept."""
    answers: list[Any] = []
    asked: list[str] = []

    class Identified(IntrospectTokenValidator):
        def introspect_token(self, token_string: str) -> Any:
            asked.append(token_string)
            return answers[0]

        def cache_identity(self) -> str:
            return ""

    for answer, calls, is_good in (
        ({"active": False}, 1, False),
        ({"active": True, "exp": 1}, 2, False),
        ({"active": "true"}, 2, False),
        ({}, 2, False),
        ([], 2, False),
        ({"active": True, "exp": None}, 2, True),
        ({"active": True, "exp": 4102444800}, 1, True),
    ):
        validator = Identified()
        answers[:], asked[:] = [answer], []
        for _ in range(2):
            if is_good:
                assert ResourceProtector(validator).validate_token("opaque")["active"] is True
            else:
                with pytest.raises(InvalidTokenError):
                    ResourceProtector(validator).validate_token("opaque")
        assert len(asked) == calls, answer


# Tenants.

TENANT_KEYS = {"a": KEY, "b": OTHER_KEY}


class TenantKeys(JWTBearerTokenValidator):
    """Each tenant has its own keys."""

    def get_jwks(self) -> Any:
        return KeySet([TENANT_KEYS[tenant.get()]])

    def cache_identity(self) -> str:
        return tenant.get()


class AsyncTenantKeys(TenantKeys):
    async def get_jwks(self) -> Any:
        await asyncio.sleep(0)
        return super().get_jwks()


class TenantCallable(JWTBearerTokenValidator):
    """The same, with a callable in place of the hook."""

    def __init__(self, issuer: str, resource_server: str) -> None:
        super().__init__(issuer, resource_server, jwks=lambda: KeySet([TENANT_KEYS[tenant.get()]]))

    def cache_identity(self) -> str:
        return tenant.get()


class TenantAnswers(IntrospectTokenValidator):
    """The same token says something else to each tenant."""

    def introspect_token(self, token_string: str) -> Any:
        return {"active": token_string == tenant.get(), "scope": "profile"}

    def cache_identity(self) -> str:
        return tenant.get()


def as_tenant(name: str, view: Any) -> Any:
    """The view, called as a tenant's middleware would let it be."""

    def sync_view(request: HttpRequest) -> Any:
        tenant.set(name)
        return view(request)

    async def async_view(request: HttpRequest) -> Any:
        tenant.set(name)
        return await view(request)

    return async_view if asyncio.iscoroutinefunction(view) else sync_view


@sync_and_async
@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction':DeprecationWarning")
@pytest.mark.parametrize("kind", [TenantKeys, AsyncTenantKeys, TenantCallable, TenantAnswers])
def test_identity_separates_tenants(kind: Any, mode: str, send: Send) -> None:
    """What a hook said for one tenant is never used for another, in whatever order they come."""
    validator: Any = kind() if kind is TenantAnswers else kind(ISSUER, RESOURCE)
    tokens = {name: name if kind is TenantAnswers else make_jwt({}, {}, key) for name, key in TENANT_KEYS.items()}
    view = ResourceProtector(validator)("profile")(token_view(mode, []))
    for _ in range(2):
        for name in TENANT_KEYS:
            for owner, token in tokens.items():
                with serving(as_tenant(name, view)):
                    assert send("/", bearer(token)).status == (200 if owner == name else 401), (name, owner)


def test_keys_of_a_tenant_through_super() -> None:
    """A hook that adds to the base class's keys adds to its own tenant's, and to nobody's next answer."""

    class Adding(TenantCallable):
        def get_jwks(self) -> Any:
            keys = super().get_jwks()
            return KeySet([*keys.keys, RSAKey.import_key({**PUBLIC, "kid": "added"})])

    validator = Adding(ISSUER, RESOURCE)
    for name, key in (*TENANT_KEYS.items(), *TENANT_KEYS.items()):
        with_tenant = contextvars.copy_context()
        with_tenant.run(tenant.set, name)
        assert with_tenant.run(validator.authenticate_token, make_jwt({}, {}, key))["sub"] == "alice"
        for other in TENANT_KEYS.values():
            if other is not key:
                with pytest.raises(InvalidTokenError):
                    with_tenant.run(validator.authenticate_token, make_jwt({}, {}, other))


def test_identity_of_a_request_and_fetched_keys(server: FaultServer, settings: Any) -> None:
    """An identity that only a request knows is no hindrance to fetching keys, which no request does."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    server.answer("/jwks", Json({"keys": [PUBLIC]}))

    class Identified(JWTBearerTokenValidator):
        def validate_iss(self, claims: Any, iss: str) -> bool:
            return tenant.get() in TENANT_KEYS and iss == ISSUER

        def cache_identity(self) -> str:
            return tenant.get()

    protector = ResourceProtector(Identified(ISSUER, RESOURCE, jwks_uri=f"{server.url}/jwks"), cache="default")
    for name in TENANT_KEYS:
        context = contextvars.copy_context()
        context.run(tenant.set, name)
        assert context.run(protector.validate_token, make_jwt({}, {}))["sub"] == "alice"
    assert len(server.calls) == 1


def test_identity_of_a_request_and_introspection(server: FaultServer, settings: Any) -> None:
    """Nor is it one to introspection, whose answers are shared by the workers for each identity apart."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    server.answer("/introspect", Json({"active": True}))

    class Identified(IntrospectTokenValidator):
        def cache_identity(self) -> str:
            return tenant.get()

    validator = Identified(f"{server.url}/introspect", client_id="rs", client_secret="s", audience=None)
    protector = ResourceProtector(validator, cache="default")
    for name in TENANT_KEYS:
        context = contextvars.copy_context()
        context.run(tenant.set, name)
        assert context.run(protector.validate_token, "opaque")["active"] is True
    assert len(server.calls) == 2


# ``AccessToken.of``.


@sync_and_async
def test_access_token_of_any_source(mode: str, send: Send, server: FaultServer) -> None:
    """``AccessToken.of(request)`` gives the same for every source, also for a plain dictionary of a hook's."""
    server.answer("/introspect", Json({"active": True, "scope": "profile", "sub": "alice", "client_id": "console"}))
    seen: list[AccessToken] = []

    class Introspecting(IntrospectTokenValidator):
        def introspect_token(self, token_string: str) -> Any:
            return {"active": True, "scope": "profile", "sub": "alice", "client_id": "console"}

    def sync_view(request: HttpRequest) -> JsonResponse:
        token = AccessToken.of(request)
        assert token is not None
        seen.append(token)
        return JsonResponse({"same": token is request.oauth_token})  # type: ignore[attr-defined]

    async def async_view(request: HttpRequest) -> JsonResponse:
        return sync_view(request)

    view = {"def": sync_view, "async def": async_view}[mode]
    for validator, token, is_same in (
        (jwt_validator(), make_jwt({}, {"scope": "profile"}), True),
        (introspect_validator(server), "opaque", True),
        (Introspecting(), "opaque", False),
    ):
        with serving(ResourceProtector(validator)(view)):
            assert send("/", bearer(token)).json == {"same": is_same}
    for token in seen:
        assert (token.subject, token.client_id, token.scopes, token.user) == ("alice", "console", {"profile"}, None)
        assert (token.is_expired(), token.is_revoked(), token.get_scope()) == (False, False, "profile")
        assert "alice" not in repr(token)


def test_what_a_hook_returned_is_passed_on_as_it_is() -> None:
    """A hook's own object reaches the view, with whatever its author gave it."""

    class Answer(dict[str, Any]):
        tenant = "a"

    class Introspecting(IntrospectTokenValidator):
        def introspect_token(self, token_string: str) -> Any:
            return Answer(active=True)

    class Identified(Introspecting):
        def cache_identity(self) -> str:
            return ""

    for validator in (Introspecting(), Identified()):
        for _ in range(2):
            assert ResourceProtector(validator).validate_token("opaque").tenant == "a"


@sync_and_async
def test_threads_of_hooks(mode: str, send: Send) -> None:
    """For an async view a ``def`` hook runs on the request's own thread, and its ``super()`` with it."""
    threads: list[Any] = []

    class Noting(Counting):
        def introspect_token(self, token_string: str) -> Any:
            threads.append((threading.get_ident(), asyncio._get_running_loop()))
            return super().introspect_token(token_string)

        def authenticate_token(self, token_string: str) -> Any:
            threads.append((threading.get_ident(), asyncio._get_running_loop()))
            return super().authenticate_token(token_string)

    assert let_in(ResourceProtector(Noting()), "opaque", send, mode, []).status == 200
    assert len(threads) == 2
    assert len(set(threads)) == 1
    assert threads[0][1] is None
