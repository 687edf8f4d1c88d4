"""Which guards remember that they let a token in."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpResponse
from django.test import RequestFactory

from async_oauth_guard import JWTBearerTokenValidator, ResourceProtector, token_authenticated
from async_oauth_guard.conf import Options
from async_oauth_guard.guard import memo
from async_oauth_guard.guard.handover import presented_by
from async_oauth_guard.protocol.credentials import Credentials
from async_oauth_guard.protocol.secrets import PresentedToken, Secret
from async_oauth_guard.runtime.observer import set_observer
from async_oauth_guard.runtime.run import run
from tests.unit.driving import ISSUER, key_set
from tests.unit.validators.remote_validators import API, KEY, claims, introspection, jwt

TOKEN = KEY.sign({**claims(), "scope": "a"}, typ="at+jwt").reveal()


class OwnProtector(ResourceProtector):
    pass


class OwnValidator(JWTBearerTokenValidator):
    pass


def request(method: str = "GET", header: str = f"Bearer {TOKEN}") -> Any:
    return RequestFactory().generic(method, "/", headers={"Authorization": header})


def remembers(protector: ResourceProtector, *, method: str = "GET", header: str = f"Bearer {TOKEN}", **kw: Any) -> bool:
    """Whether the memo lets in a token that the guard let in three times."""
    guarded = protector(**kw)(lambda request: HttpResponse())
    for _ in range(3):
        assert guarded(request(method, header)).status_code == 200
    guard = guarded._oauth_guard
    plan = guard.memo and guard.memo.plan(protector, guard.requirements)
    return plan is not None and recalls(plan, request(method, header))


def recalls(plan: Any, request: Any) -> bool:
    return plan.recall(request, presented_by(request)) is not None


@pytest.mark.parametrize("scopes", [None, "a", {"GET": "a"}])
def test_remembering(scopes: Any) -> None:
    """A guard that requires only scopes remembers."""
    assert remembers(ResourceProtector(jwt(API), realm="r", resource=API), scopes=scopes)
    assert remembers(ResourceProtector(jwt(API)), scopes=scopes, optional=True)


@pytest.mark.parametrize(
    "requirements",
    [{"roles": None, "fresh": True}, {"check": lambda request, token: True}, {"groups": []}],
)
def test_other_requirements(requirements: Any) -> None:
    """A guard that requires anything else does not."""
    assert not remembers(ResourceProtector(jwt(API)), **requirements)


@pytest.mark.parametrize(
    "make",
    [
        lambda: OwnProtector(jwt(API)),
        lambda: ResourceProtector(OwnValidator(ISSUER, API, jwks=key_set(KEY))),
        lambda: ResourceProtector(jwt(API, jwks=lambda: key_set(KEY))),
        lambda: ResourceProtector(jwt(API), introspection(API)),
        lambda: ResourceProtector(jwt(API), compat="authlib"),
        lambda: ResourceProtector(jwt(API), set_user=True),
    ],
)
def test_other_protectors(make: Callable[[], ResourceProtector]) -> None:
    """Subclasses, several validators, keys from the site's code, and other options are not for the memo."""
    assert not remembers(make())


@pytest.mark.parametrize(
    ("method", "header"), [("PURGE", f"Bearer {TOKEN}"), ("GET", f"bearer {TOKEN}"), ("GET", f"Bearer  {TOKEN}")]
)
def test_other_requests(method: str, header: str) -> None:
    """Unusual methods, and other spellings of the header, are not remembered."""
    assert not remembers(ResourceProtector(jwt(API)), method=method, header=header)


def test_options_that_do_not_exist_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that the memo does not know switches it off, unless it has its default."""

    @dataclass(frozen=True, slots=True)
    class MoreOptions(Options):
        later: Any = field(default=None, kw_only=True)

    protector = ResourceProtector(jwt(API))
    assert remembers(protector)
    options = protector.options
    values = {each.name: getattr(options, each.name) for each in fields(Options) if each.init}
    protector._options = MoreOptions(**values)
    assert not remembers(protector)
    monkeypatch.setattr(memo, "_VALIDATOR_OPTIONS", memo._VALIDATOR_OPTIONS - {"leeway"})
    assert remembers(ResourceProtector(jwt(API)))
    assert not remembers(ResourceProtector(jwt(API, leeway=11)))


def test_while_someone_watches() -> None:
    """With an observer or a receiver, each request goes through the flow."""
    protector = ResourceProtector(jwt(API))

    class Watcher:
        def begin_validation(self, scheme: Any) -> Any:
            return lambda outcome: None

    def receive(**arguments: Any) -> None: ...

    set_observer(Watcher())  # type: ignore[arg-type]
    try:
        assert not remembers(protector)
    finally:
        set_observer(None)
    token_authenticated.connect(receive)
    try:
        assert not remembers(protector)
    finally:
        token_authenticated.disconnect(receive)
    assert remembers(protector)


def test_a_change_during_the_flow() -> None:
    """What the flow found out before a change, or for another token, is not remembered."""
    protector = ResourceProtector(jwt(API))
    guarded = protector()(lambda request: HttpResponse())
    guard = guarded._oauth_guard
    for _ in range(2):
        plan = guard.memo.plan(protector, guard.requirements)
    # Only a token that is found again is remembered.
    _authorize(protector, guard)
    for presented in ("another", TOKEN):
        credentials = Credentials("bearer", Secret(PresentedToken(presented)))
        authorization = _authorize(protector, guard)
        if presented == TOKEN:
            protector.register_token_validator(introspection(API))
        guard.memo.keep(plan, protector, request(), credentials, authorization)
        assert not recalls(plan, request())


def _authorize(protector: ResourceProtector, guard: Any) -> Any:
    presented = request()
    return run(protector.authorize_flow(presented, guard.requirements, protector.read_credentials(presented)))


def change(inner: Any, changes: Any) -> Any:
    """Code between two guards that makes the next of these changes to the token."""

    def changing(request: Any) -> Any:
        request.oauth_token.update(next(changes))
        return inner(request)

    async def achanging(request: Any) -> Any:
        request.oauth_token.update(next(changes))
        return await inner(request)

    return achanging if iscoroutinefunction(inner) else changing


def view(request: Any) -> HttpResponse:
    return HttpResponse()


async def aview(request: Any) -> HttpResponse:
    return HttpResponse()


@pytest.mark.parametrize("inner", [view, aview])
def test_token_that_code_between_guards_changes(inner: Any) -> None:
    """The memo lets in no token that was changed for this request. The change does not count for other requests."""
    protector = ResourceProtector(jwt(API))
    changes: list[Any] = [{}, {}, {}, {"exp": 1}, {}, {"exp": 1}]
    guarded: Any = protector(change(protector("a")(inner), iter(changes)))
    respond = async_to_sync(guarded) if inner is aview else guarded
    assert [respond(request()).status_code for _ in changes] == [200, 200, 200, 401, 200, 401]
