"""What identifies a validator in cache keys."""

import dataclasses
import functools
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from async_oauth_guard import (
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
)
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import CacheDelete
from async_oauth_guard.validators.audience_option import FROM_PROTECTOR
from async_oauth_guard.validators.cache_identity import has_stable_name, repr_of, setdefault_bounded
from tests.ids import described
from tests.unit.driving import ISSUER, World, authorization_context, key_set, ok
from tests.unit.validators.remote_validators import (
    API,
    ENDPOINT,
    KEY,
    OTHER_API,
    SECRET,
    Make,
    both,
    introspection,
    jwt,
    make_client,
    token_of,
)

DIFFERENCES: list[dict[str, Any]] = [
    {"audience": OTHER_API},
    {"audience": [API, OTHER_API]},
    {"audience": None},
    {"audience": FROM_PROTECTOR},
    {"issuer": OTHER_API},
    {"user_lookup": "username"},
    {"user_lookup": ("email", "email")},
    {"user_lookup": make_client},
    {"http_client": make_client},
    {"verify": ssl.create_default_context()},
    {"allow_insecure_http": True},
]


@pytest.mark.parametrize("options", DIFFERENCES, ids=described)
@both
def test_fingerprints(make: Make, options: dict[str, Any]) -> None:
    """The fingerprint contains the options that can change a result, and no others."""
    plain = make(API)
    same = make([API], timeout=1, realm="r")
    assert plain.fingerprint() == same.fingerprint()
    assert plain.signer().name("x") == same.signer().name("x")
    other = make(**{"audience": API, **options})
    assert other.fingerprint() != plain.fingerprint()
    assert other.signer().name("x") != plain.signer().name("x")


def remote_jwt(audience: Any = API, **options: Any) -> JWTBearerTokenValidator:
    return jwt(audience, **{"jwks": None, "jwks_uri": f"{ISSUER}/keys", **options})


def leave_and_find(left: Any, finder: Any) -> int:
    """The number of requests of ``finder`` after the validator ``left`` wrote its results to the shared cache."""
    world = World()
    world.answer(f"{ISSUER}/keys", ok(key_set(KEY)))
    is_jwt = isinstance(left, JWTBearerTokenValidator)
    presented = token_of(jwt if is_jwt else introspection, world)
    context = dataclasses.replace(authorization_context(), cache="default")
    for validator in (left, finder):
        world.run(validator.authenticate_flow(presented, context))
    return len(world.calls) - 1


def client_of(name: str) -> Any:
    """A factory of clients with different certificates. All factories look alike."""

    def make() -> httpx.AsyncClient:
        return httpx.AsyncClient(headers={"X-Tenant": name})

    return make


class Clients:
    def make(self) -> httpx.AsyncClient:
        return httpx.AsyncClient()

    def __call__(self) -> httpx.AsyncClient:
        return httpx.AsyncClient()


def find_user(claims: Any) -> User:
    return User(pk=7)


partial_of_a = functools.partial(client_of, "a")
partial_of_b = functools.partial(client_of, "b")

UNNAMED: dict[str, Callable[[], dict[str, Any]]] = {
    "closure": lambda: {"http_client": client_of("a")},
    "lambda": lambda: {"http_client": lambda: httpx.AsyncClient()},
    "partial": lambda: {"http_client": functools.partial(make_client)},
    "bound method": lambda: {"http_client": Clients().make},
    "object": lambda: {"http_client": Clients()},
    "context": lambda: {"verify": ssl.create_default_context()},
    "user_lookup": lambda: {"user_lookup": lambda claims: User(pk=7)},
}
both_remote = pytest.mark.parametrize("make", [remote_jwt, introspection])


@pytest.mark.parametrize("options", UNNAMED.values(), ids=UNNAMED)
@both_remote
def test_options_without_a_name_prevent_sharing(make: Make, options: Callable[[], dict[str, Any]]) -> None:
    """R133: validators with options that look alike share neither results nor keys through the cache."""
    left, finder = make(API, **options()), make(API, **options())
    assert leave_and_find(left, finder) == 1
    assert left.unnamed_options == tuple(options())


@both_remote
def test_options_without_a_name_allow_caching_in_the_process(make: Make) -> None:
    """Such validators cache results in the process, and write nothing to the shared cache."""
    validator = make(API, http_client=client_of("a"))
    assert leave_and_find(validator, validator) == 0


@pytest.mark.parametrize(
    ("options", "asked"), [({}, 1), ({"http_client": client_of("a")}, 0)], ids=["named", "unnamed"]
)
def test_invalidation_with_options_without_a_name(options: dict[str, Any], asked: int) -> None:
    """Such validators delete nothing from the shared cache, because the entry may be from another one."""
    world = World()
    world.run(introspection(API, **options).invalidate_flow(token_of(introspection, world), "default"))
    assert sum(isinstance(effect, CacheDelete) for effect in world.effects) == asked


NAMED: list[dict[str, Any]] = [
    {},
    {"http_client": make_client},
    {"http_client": httpx.AsyncClient},
    {"http_client": f"{__name__}.partial_of_a"},
    {"user_lookup": find_user},
]


@pytest.mark.parametrize("options", NAMED, ids=described)
@both_remote
def test_options_with_a_name_are_shared(make: Make, options: dict[str, Any]) -> None:
    """Results are shared with other processes if the options have the same dotted paths."""
    assert leave_and_find(make(API, **options), make(API, **options)) == 0


@both_remote
def test_dotted_paths_are_apart(make: Make) -> None:
    """Two similar clients differ by the dotted paths that were given."""
    left, finder = (make(API, http_client=f"{__name__}.partial_of_{name}") for name in "ab")
    assert leave_and_find(left, finder) == 1


def test_identities_replace_names() -> None:
    """Validators with equal ``cache_identity()`` share results, and others do not."""

    def of_tenant(name: str) -> Any:
        validator: Any = introspection(API, http_client=client_of(name))
        validator.cache_identity = lambda: name
        return validator

    assert leave_and_find(of_tenant("a"), of_tenant("a")) == 0
    assert leave_and_find(of_tenant("a"), of_tenant("b")) == 1


def test_classes_without_a_name() -> None:
    """Classes that are created in a function may have the same name, so they share nothing."""

    class Local(IntrospectTokenValidator):
        pass

    left, finder = (Local(ENDPOINT, client_id="api", client_secret=SECRET, audience=API) for _ in range(2))
    assert left.unnamed_options == ("class",)
    assert leave_and_find(left, finder) == 1


def test_stable_names() -> None:
    """Objects of ``__main__``, and objects with an address in their repr, have no stable name."""
    main: Any = lambda: None  # noqa: E731
    main.__module__, main.__qualname__ = "__main__", "main"
    sys.modules["__main__"].main = main  # type: ignore[attr-defined]
    assert [has_stable_name(value) for value in (None, "x", ("a", "b"), make_client, Clients)] == [True] * 5
    assert [has_stable_name(value) for value in (main, object(), Clients().make, [object()], sys)] == [False] * 5
    del sys.modules["__main__"].main  # type: ignore[attr-defined]


@both
def test_subclasses_are_apart(make: Make) -> None:
    """A subclass does not share results with its base class."""
    plain = make(API)
    own: Any = type("Own", (type(plain),), {})
    arguments = {"jwks": key_set(KEY)} if make is jwt else {"client_id": "api", "client_secret": SECRET}
    other = own(ISSUER if make is jwt else ENDPOINT, **arguments)
    other.audience = plain.audience
    assert other.signer().name("x") != plain.signer().name("x")


@both
def test_secret_keys_are_apart(make: Make) -> None:
    """After ``SECRET_KEY`` changes, earlier results are not used."""
    validator = make(API)
    digest = validator.signer().digest(Secret("token"))
    assert validator.signer().digest(Secret("token")) == digest
    with override_settings(SECRET_KEY="another"):
        assert validator.signer().digest(Secret("token")) != digest


@both
def test_identities_of_a_cache(make: Make) -> None:
    """``cache_identity()`` is called each time and separates results."""
    plain = make(API)
    tenants = iter(["a", "b", "a"])
    plain.cache_identity = lambda: next(tenants)
    digests = [plain.signer().digest(Secret("token")) for _ in range(3)]
    assert digests[0] == digests[2]
    assert digests[0] != digests[1]
    assert digests[0] != make(API).signer().digest(Secret("token"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (make_client, f"{make_client.__module__}.make_client"),
        (Secret, "async_oauth_guard.protocol.secrets.Secret"),
        # It has no module.
        (str.lower, ".str.lower"),
        (("a", "b"), ["a", "b"]),
        ("a", "'a'"),
        (None, "None"),
    ],
)
def test_options_in_fingerprints(value: Any, expected: Any) -> None:
    """The fingerprint contains the name of an option's value, never its address."""
    assert repr_of(value) == expected


@both
def test_certificates_in_fingerprints(make: Make, ca_file: Path) -> None:
    """The fingerprint contains the path of a file of certificates."""
    assert make(API, verify=str(ca_file)).fingerprint()["verify"] == str(ca_file)


def test_setdefault_bounded() -> None:
    """The number of identities is limited, and a value that another thread created is kept."""
    entries: dict[int, str] = {}
    for number in range(3000):
        assert setdefault_bounded(entries, number, "a") == "a"
        assert setdefault_bounded(entries, number, "b") == "a"
        assert len(entries) <= 1024


class Text(str):
    """A subclass of ``str``."""


async def forgotten() -> str:
    return "tenant"


@both
@pytest.mark.parametrize("identity", [None, 1, b"tenant", object(), Text("tenant"), ["tenant"]], ids=type)
def test_identities_that_are_not_strings(identity: Any, make: Make) -> None:
    """``cache_identity()`` must return a string, because another object's address can be reused."""
    validator, world = make(API), World()
    presented = token_of(make, world)
    validator.cache_identity = lambda: identity
    with pytest.raises(TypeError, match=rf"<lambda>\(\) must return a str, got {type(identity).__name__}$"):
        world.run(validator.authenticate_flow(presented, authorization_context()))


@both
def test_identities_that_are_not_awaited(make: Make) -> None:
    """A coroutine is refused as an identity, without a warning that it was never awaited."""
    validator = make(API)
    validator.cache_identity = forgotten
    with pytest.raises(TypeError, match=r"^forgotten\(\) must return a str, got coroutine$"):
        validator.signer()


@both
def test_identities_without_bound(make: Make) -> None:
    """The number of signers is limited."""
    validator, world = make(API), World()
    names = iter(map(str, range(10_000)))
    validator.cache_identity = lambda: next(names)
    for _ in range(1500):
        validator.signer()
    assert len(validator._signers) <= 1024
    presented = token_of(make, world)
    for _ in range(1100 if make is jwt else 1):
        world.run(validator.authenticate_flow(presented, authorization_context()))
    assert len(getattr(validator, "_rules", ())) <= 1024


def test_callable_objects_in_fingerprints() -> None:
    """The fingerprint contains the class of a callable object."""

    class Finder:
        def __call__(self, found: Any) -> None: ...

    assert repr_of(Finder()).endswith("Finder")
    assert "0x" not in repr_of(Finder())
