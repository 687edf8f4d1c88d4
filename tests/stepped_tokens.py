"""Tokens that say how their user authenticated and what was granted in detail, from every source."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from django.http import HttpRequest

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    InsufficientScopeError,
    ResourceProtector,
    TokenValidator,
)
from async_oauth_guard.testing import FakeAuthorizationServer
from tests.conftest import Committed
from tests.kit.guarded_sites import introspecting, verifying
from tests.site.models import StepUpToken

Claims = Mapping[str, Any]


class Own(TokenValidator):
    """The site's own source of tokens."""

    def __init__(self, scope: str, claims: Claims) -> None:
        super().__init__()
        self.scope, self.claims = scope, claims

    def authenticate_token(self, token_string: str) -> Any:
        scope = self.scope
        return SimpleNamespace(
            is_expired=lambda: False, is_revoked=lambda: False, get_scope=lambda: scope, user=None, **self.claims
        )


class OwnChecks(Own):
    """The same, and it checks lifetimes and scopes by itself: it calls ours."""

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        super().validate_token(token, scopes, request)


class OwnChecksAlone(Own):
    """The same, and ours is not called. It does not compare scopes."""

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        pass


class OwnScopes(Own):
    """The same, but compares scopes by itself."""

    @staticmethod
    def scope_insufficient(token_scopes: Any, required_scopes: Any) -> bool:
        held = set(token_scopes.split() if isinstance(token_scopes, str) else token_scopes or ())
        return bool(required_scopes) and not any(held.issuperset(each.split()) for each in required_scopes)


class OwnClaims(Own):
    """Finds claims instead of an object, and checks scopes by itself."""

    def authenticate_token(self, token_string: str) -> Any:
        return AccessToken({"scope": self.scope, **self.claims})

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:  # type: ignore[override]
        if scopes and token["scope"] not in scopes:
            raise InsufficientScopeError


class OwnRequests(ResourceProtector):
    """Finds tokens by itself, and checks no scopes."""

    found: Any = None

    def acquire_token(self, request: HttpRequest, scopes: Any = None) -> Any:  # type: ignore[override]
        return self.found


Issue = Callable[[FakeAuthorizationServer, str, Claims], tuple[ResourceProtector, str]]
"""Issues a token with this scope and these claims. Returns a protector for it, and the token."""


def commit_rows(committed: Committed, tokens: Iterable[tuple[str, Claims]]) -> None:
    """Make the rows of the tokens that are in a table. Do this once in a module, outside of its tests."""
    for name, (scope, claims) in {_name(*token): token for token in tokens}.items():
        committed.token(StepUpToken, access_token=name, scope=scope, **claims)


def _name(scope: str, claims: Claims) -> str:
    return hashlib.sha256(json.dumps([scope, claims], sort_keys=True).encode()).hexdigest()


def _jwt(server: FakeAuthorizationServer, scope: str, claims: Claims) -> tuple[ResourceProtector, str]:
    return ResourceProtector(verifying()), server.jwt(scope, claims=claims)


def _introspection(server: FakeAuthorizationServer, scope: str, claims: Claims) -> tuple[ResourceProtector, str]:
    return ResourceProtector(introspecting()), server.opaque(scope, claims=claims)


def _row(server: FakeAuthorizationServer, scope: str, claims: Claims) -> tuple[ResourceProtector, str]:
    return ResourceProtector(BearerTokenValidator(StepUpToken)), _name(scope, claims)


def _own(cls: type[Own]) -> Issue:
    return lambda server, scope, claims: (ResourceProtector(cls(scope, claims)), "token-of-the-site")


def _acquired(server: FakeAuthorizationServer, scope: str, claims: Claims) -> tuple[ResourceProtector, str]:
    protector = OwnRequests(Own(scope, claims))
    protector.found = AccessToken({"scope": scope, **claims})
    return protector, "token-of-the-site"


SOURCES: dict[str, Issue] = {
    "JWT": _jwt,
    "introspection": _introspection,
    "row": _row,
    "own": _own(Own),
    "own scopes": _own(OwnScopes),
    "own checks": _own(OwnChecks),
    "own checks alone": _own(OwnChecksAlone),
    "own claims": _own(OwnClaims),
    "acquired": _acquired,
}

OF_OUR_RULES = ("JWT", "introspection", "row", "own", "own scopes")
"""The sources of which the guard checks everything: a hook that checks scopes does so before the guard's rules."""
