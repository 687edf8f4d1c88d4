"""Managers and querysets that see one tenant: concurrent requests each get their own tenant's answer."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth.models import Group
from django.db.backends.utils import CursorWrapper
from django.db.models import Manager, Prefetch, Q, QuerySet
from django.http import HttpRequest, JsonResponse

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from tests import asgi, wsgi
from tests.answers import Answer, bearer
from tests.conftest import Committed
from tests.site.models import OAuth2Token, TenantManager, TenantToken, tenant
from tests.sites import MODES, serving

pytestmark = pytest.mark.django_db

SAME = "token-of-both-tenants"
TENANTS = ("a", "b")
CROWD = 16

sync_and_async = pytest.mark.parametrize("mode", MODES)
both_servers = pytest.mark.parametrize("server", ["asgi", "wsgi"])


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed, django_db_blocker: Any) -> Iterator[None]:
    for name in TENANTS:
        committed.token(TenantToken, access_token=SAME, tenant=name)
        committed.token(TenantToken, access_token=f"only-of-{name}", tenant=name)
    committed.token(OAuth2Token, access_token=SAME)
    with django_db_blocker.unblock():
        groups = [Group.objects.create(name=name) for name in TENANTS]
        committed.user("alice").groups.set(groups)
    yield
    with django_db_blocker.unblock():
        for group in groups:
            group.delete()


def its_own() -> str:
    return tenant.get("nobody")


class ViaAll(Manager[Any]):
    def all(self) -> QuerySet[Any]:
        return super().all().filter(tenant=its_own())


class ViaUsing(Manager[Any]):
    def using(self, alias: str) -> QuerySet[Any]:
        return super().get_queryset().using(alias).filter(tenant=its_own())


class ViaFilter(QuerySet[Any]):
    def filter(self, *args: Any, **kwargs: Any) -> "ViaFilter":
        return super().filter(*args, **kwargs, tenant=its_own())


class ViaClone(QuerySet[Any]):
    def _clone(self) -> "ViaClone":
        clone = super()._clone()  # type: ignore[misc]
        clone.query.add_q(Q(tenant=its_own()))
        return clone  # type: ignore[no-any-return]


class ViaInit(QuerySet[Any]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.query.add_q(Q(tenant=its_own()))


class ViaFetch(QuerySet[Any]):
    def _fetch_all(self) -> None:
        super()._fetch_all()  # type: ignore[misc]
        self._result_cache = [row for row in self._result_cache or () if row.tenant == its_own()]


class WithMethods(QuerySet[Any]):
    """Adds, and changes nothing."""

    def of_client(self, client_id: str) -> "WithMethods":
        return self.filter(client_id=client_id)


def proxy(name: str, manager: Any, base: type[Any] = TenantToken) -> type[Any]:
    """A model of the same rows with another manager."""
    meta = type("Meta", (), {"proxy": True, "app_label": "site"})
    return type(name, (base,), {"__module__": __name__, "objects": manager, "Meta": meta})


MODELS: dict[str, type[Any]] = {
    "get_queryset": proxy("TokenViaGetQueryset", TenantManager()),
    "all": proxy("TokenViaAll", ViaAll()),
    "using": proxy("TokenViaUsing", ViaUsing()),
    "filter": proxy("TokenViaFilter", ViaFilter.as_manager()),
    "_clone": proxy("TokenViaClone", ViaClone.as_manager()),
    "__init__": proxy("TokenViaInit", ViaInit.as_manager()),
    "_fetch_all": proxy("TokenViaFetch", ViaFetch.as_manager()),
}
PlainProxy = proxy("TokenWithMethods", WithMethods.as_manager(), OAuth2Token)
every_way = pytest.mark.parametrize("way", MODELS)


class PrefetchingManager(Manager[Any]):
    """The same rows for all, and of their users' groups those of the tenant."""

    def get_queryset(self) -> QuerySet[Any]:
        groups = Group.objects.filter(name=its_own())
        return super().get_queryset().prefetch_related(Prefetch("user__groups", groups, to_attr="own_groups"))


PrefetchingToken = proxy("TokenWithPrefetch", PrefetchingManager(), OAuth2Token)


def validator(way: str, **options: Any) -> BearerTokenValidator:
    """One that looks where the tenant's rows are found that way."""
    if way == "using":
        options["using"] = "default"
    return BearerTokenValidator(MODELS[way], **options)


def told_tenant(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"tenant": request.oauth_token.tenant})  # type: ignore[attr-defined]


def told_groups(request: HttpRequest) -> JsonResponse:
    user: Any = request.oauth_token.user  # type: ignore[attr-defined]
    return JsonResponse({"tenant": [group.name for group in user.own_groups]})


def view_of(tell: Callable[[HttpRequest], JsonResponse], mode: str) -> Any:
    async def async_view(request: HttpRequest) -> JsonResponse:
        return tell(request)

    return async_view if mode == "async def" else tell


def set_tenant(get_response: Any) -> Any:
    """A sync and async middleware, which records the request's tenant."""
    if not iscoroutinefunction(get_response):

        def middleware(request: HttpRequest) -> Any:
            tenant.set(request.headers["X-Tenant"])
            return get_response(request)

        return middleware

    async def amiddleware(request: HttpRequest) -> Any:
        tenant.set(request.headers["X-Tenant"])
        return await get_response(request)

    return markcoroutinefunction(amiddleware)


set_tenant.sync_capable = set_tenant.async_capable = True  # type: ignore[attr-defined]
MIDDLEWARE = [f"{__name__}.set_tenant"]


def headers(name: str, token: str = SAME) -> list[tuple[bytes, bytes]]:
    return [(b"x-tenant", name.encode()), *bearer(token)]


def crowd(server: str, token: str = SAME) -> list[tuple[str, Answer]]:
    """What requests of both tenants at once were answered, each with its tenant."""
    names = [TENANTS[number % 2] for number in range(CROWD)]

    async def at_once() -> list[Answer]:
        return await asyncio.gather(*(asgi.request("/", headers(name, token)) for name in names))

    if server == "asgi":
        return list(zip(names, asyncio.run(at_once()), strict=True))
    with ThreadPoolExecutor(4) as threads:
        return list(zip(names, threads.map(lambda name: wsgi.send("/", headers(name, token)), names), strict=True))


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that ask for the token, on whatever thread."""
    seen: list[str] = []
    execute = CursorWrapper.execute

    def noting(cursor: Any, sql: str, params: Any = None) -> Any:
        if SAME in (params or ()):
            seen.append(sql)
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", noting)
    return seen


@both_servers
@sync_and_async
@every_way
@pytest.mark.parametrize("coalesce", [None, True, False])
def test_each_request_gets_its_own_tenant(coalesce: bool | None, way: str, mode: str, server: str) -> None:
    """Of two rows with one token, each concurrent request gets its tenant's; so even where sharing is wished."""
    protector = ResourceProtector(validator(way, coalesce=coalesce))
    with serving(protector(view_of(told_tenant, mode)), MIDDLEWARE=MIDDLEWARE):
        answers = crowd(server)
    assert [(answer.status, answer.json["tenant"]) for _, answer in answers] == [(200, name) for name, _ in answers]


@both_servers
@sync_and_async
@every_way
@pytest.mark.parametrize("coalesce", [None, True])
def test_anothers_token_is_unknown(coalesce: bool | None, way: str, mode: str, server: str) -> None:
    """A token of one tenant never gives access to another, whatever requests run at the same time."""
    protector = ResourceProtector(validator(way, coalesce=coalesce))
    with serving(protector(view_of(told_tenant, mode)), MIDDLEWARE=MIDDLEWARE):
        answers = crowd(server, "only-of-a")
    assert [answer.status for _, answer in answers] == [200 if name == "a" else 401 for name, _ in answers]


@both_servers
@every_way
def test_tenant_of_a_wrapper(way: str, server: str) -> None:
    """The tenant may be set right above the guard as well, in an async function."""
    guarded = ResourceProtector(validator(way))(view_of(told_tenant, "async def"))

    async def within_tenant(request: HttpRequest) -> Any:
        tenant.set(request.headers["X-Tenant"])
        return await guarded(request)

    with serving(within_tenant):
        answers = crowd(server)
    assert [answer.json["tenant"] for _, answer in answers] == [name for name, _ in answers]


@every_way
def test_unasked_nothing_is_shared(way: str, lookups: list[str]) -> None:
    """Lookups by code that may ask who asks share no query, unless that is wished."""
    its_validator = validator(way)
    with serving(ResourceProtector(its_validator)(view_of(told_tenant, "async def")), MIDDLEWARE=MIDDLEWARE):
        crowd("asgi")
    assert len(lookups) == CROWD
    assert not its_validator.coalesces


@pytest.mark.parametrize("way", ["get_queryset", "all", "using"])
def test_equal_sql_is_shared_where_it_is_wished(way: str, lookups: list[str]) -> None:
    """With ``coalesce=True``, those share queries whose managers wrote equal SQL: fewer queries, and none for both."""
    protector = ResourceProtector(validator(way, coalesce=True))
    with serving(protector(view_of(told_tenant, "async def")), MIDDLEWARE=MIDDLEWARE):
        crowd("asgi")
    assert len(TENANTS) <= len(lookups) < CROWD


@pytest.mark.parametrize("way", ["filter", "_clone", "__init__", "_fetch_all"])
def test_querysets_of_another_class_are_never_shared(way: str, lookups: list[str]) -> None:
    """What a queryset's own methods do its SQL does not tell, so that wish is not followed."""
    protector = ResourceProtector(validator(way, coalesce=True))
    with serving(protector(view_of(told_tenant, "async def")), MIDDLEWARE=MIDDLEWARE):
        crowd("asgi")
    assert len(lookups) == CROWD


@both_servers
@sync_and_async
@pytest.mark.parametrize("coalesce", [None, True])
def test_prefetches_never_cross(coalesce: bool | None, mode: str, server: str) -> None:
    """Where only what is prefetched depends on the tenant, and the rows' SQL is equal, each gets its own as well."""
    protector = ResourceProtector(BearerTokenValidator(PrefetchingToken, coalesce=coalesce))
    with serving(protector(view_of(told_groups, mode)), MIDDLEWARE=MIDDLEWARE):
        answers = crowd(server)
    assert [answer.json["tenant"] for _, answer in answers] == [[name] for name, _ in answers]


def test_added_methods_are_no_obstacle(lookups: list[str]) -> None:
    """A queryset class that only adds methods answers like Django's, so its lookups share queries unasked."""
    its_validator = BearerTokenValidator(PlainProxy)
    assert its_validator.coalesces
    view = ResourceProtector(its_validator)(view_of(lambda request: JsonResponse({}), "async def"))
    with serving(view, MIDDLEWARE=MIDDLEWARE):
        assert {answer.status for _, answer in crowd("asgi")} == {200}
    assert 0 < len(lookups) < CROWD


def test_given_queryset(lookups: list[str]) -> None:
    """A queryset that is passed in also runs in each request's context, if its class overrides a method."""
    its_validator = BearerTokenValidator(TenantToken, queryset=ViaFilter(TenantToken))
    assert not its_validator.coalesces
    with serving(ResourceProtector(its_validator)(view_of(told_tenant, "async def")), MIDDLEWARE=MIDDLEWARE):
        answers = crowd("asgi")
    assert [answer.json["tenant"] for _, answer in answers] == [name for name, _ in answers]
    assert len(lookups) == CROWD
