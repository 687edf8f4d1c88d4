"""The path of a request through the package, from ``acquire_token`` to the token, and how often it goes back."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory

import async_oauth_guard
from async_oauth_guard import BearerTokenValidator, ResourceProtector, TokenValidator
from async_oauth_guard.protocol.secrets import Secret
from tests.site.models import OAuth2Token
from tests.unit.validators.remote_validators import API, KEY, claims, introspection, jwt

PACKAGE = str(Path(async_oauth_guard.__file__).parent)
GOOD = "a-token"

Presented = tuple[ResourceProtector, str]


class CallPath:
    """The calls of functions of the package.

    A frame is one call. A generator has one frame, so it is called once, when it first runs; resuming it is no call.
    Functions that C code or a generated ``__init__`` calls count as called by the innermost caller from the package.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str | None]] = []
        # Kept, so that no frame gets the id of an earlier one.
        self._frames: set[FrameType] = set()

    def record(self, frame: FrameType, event: str, argument: object) -> None:
        file = _file_of(frame)
        if event != "call" or file is None or frame in self._frames:
            return
        self._frames.add(frame)
        caller = frame.f_back
        while caller is not None and _file_of(caller) is None:
            caller = caller.f_back
        self.calls.append((file, frame.f_code.co_qualname, caller and _file_of(caller)))

    def back(self) -> Iterator[str]:
        """The calls that go to a file in which an earlier call was, and that is not the file of the caller."""
        visited: set[str] = set()
        for file, function, caller in self.calls:
            if file in visited and file != caller:
                yield f"{caller} -> {file} {function}"
            visited.add(file)


def _file_of(frame: FrameType) -> str | None:
    name = frame.f_code.co_filename
    return name.removeprefix(PACKAGE) if name.startswith(PACKAGE) else None


@contextmanager
def recording() -> Iterator[CallPath]:
    path = CallPath()
    earlier = sys.getprofile()
    sys.setprofile(path.record)
    try:
        yield path
    finally:
        sys.setprofile(earlier)


class Found:
    user = User(pk=7, username="alice")

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return "a"


class Source(TokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return Found()


def own_source() -> Presented:
    return ResourceProtector(Source()), GOOD


def database() -> Presented:
    OAuth2Token.objects.create(access_token=GOOD, scope="a", expires_at=int(time.time()) + 60)
    return ResourceProtector(BearerTokenValidator(OAuth2Token)), GOOD


def verified_jwt() -> Presented:
    return ResourceProtector(jwt(API)), KEY.sign({**claims(), "scope": "a"}, typ="at+jwt").reveal()


def introspected() -> Presented:
    validator = introspection(API)
    clock, results, key = validator._server.clock, validator._results, validator.signer().digest(Secret(GOOD))
    now = clock.steady()
    result = results.result({"active": True, **claims(), "scope": "a"}, now, now, clock.wall())
    assert results.keep(key, result, results.epoch_of(key))
    return ResourceProtector(validator), GOOD


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("make", "most"),
    [
        (own_source, 6),
        (database, 7),
        (verified_jwt, 7),
        (introspected, 7),
    ],
)
def test_path_goes_on(make: Callable[[], Presented], most: int) -> None:
    """From `acquire_token` to the token, few calls go back to a file of the package that was visited before.

    What counts is a call of a function in a file of the package in which an earlier call was, unless the caller is in
    the same file. The first run of a generator is a call; resuming it is none. The token was presented before, so that
    the path is that of most requests: keys are there, and results are cached.
    """
    protector, token = make()
    requests = [RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"}) for _ in range(3)]
    for request in requests[:2]:
        protector.acquire_token(request, "a")
    with recording() as path:
        found = protector.acquire_token(requests[2], "a")
    assert found is not None
    back = list(path.back())
    assert len(back) <= most, "\n".join(back)
