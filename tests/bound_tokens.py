"""Tokens that are bound to a key or a certificate, from every source."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from async_oauth_guard import BearerTokenValidator, InsufficientScopeError
from async_oauth_guard.testing import FakeAuthorizationServer
from tests.conftest import Committed
from tests.kit.guarded_sites import introspecting, verifying
from tests.own_tokens import Own
from tests.site.models import BoundToken


class OwnChecks(Own):
    """The same, and it checks lifetimes and scopes by itself: it calls ours first."""

    def validate_token(self, token: Any, scopes: Any, request: Any, **keywords: Any) -> None:
        super().validate_token(token, scopes, request)
        if scopes and "profile" not in scopes[0]:
            raise InsufficientScopeError()


class OwnChecksAlone(Own):
    """The same, and ours is not called."""

    def validate_token(self, token: Any, scopes: Any, request: Any, **keywords: Any) -> None:
        if scopes and "profile" not in scopes[0]:
            raise InsufficientScopeError()


Issue = Callable[[FakeAuthorizationServer, Any], tuple[Any, str]]
"""Issues a token with this ``cnf``. Returns the validator for it, and the token."""


def commit_rows(committed: Committed, confirmations: Iterable[Any]) -> None:
    """Make the rows of the tokens that are in a table. Do this once in a module, outside of its tests."""
    for confirmation in confirmations:
        thumbprint = confirmation.get("jkt", "") if isinstance(confirmation, dict) else ""
        committed.token(BoundToken, access_token=_name(confirmation), cnf=confirmation)
        committed.token(BoundToken, access_token=f"field-{_name(confirmation)}", dpop_jkt=thumbprint)


def _name(confirmation: Any) -> str:
    return hashlib.sha256(json.dumps(confirmation).encode()).hexdigest()


def _jwt(server: FakeAuthorizationServer, confirmation: Any) -> tuple[Any, str]:
    return verifying(), server.jwt("profile", claims={"cnf": confirmation})


def _introspection(server: FakeAuthorizationServer, confirmation: Any) -> tuple[Any, str]:
    return introspecting(), server.opaque("profile", claims={"cnf": confirmation})


def _attribute(server: FakeAuthorizationServer, confirmation: Any) -> tuple[Any, str]:
    return BearerTokenValidator(BoundToken), _name(confirmation)


def _field(server: FakeAuthorizationServer, confirmation: Any) -> tuple[Any, str]:
    return BearerTokenValidator(BoundToken, confirmation="dpop_jkt"), f"field-{_name(confirmation)}"


def _own(cls: Any) -> Issue:
    return lambda server, confirmation: (cls(confirmation), "token-of-the-site")


SOURCES: dict[str, Issue] = {
    "JWT": _jwt,
    "introspection": _introspection,
    "attribute": _attribute,
    "own": _own(Own),
    "own checks": _own(OwnChecks),
    "own checks alone": _own(OwnChecksAlone),
}
"""The sources of tokens with any ``cnf``."""

SOURCES_OF_KEYS: dict[str, Issue] = {**SOURCES, "field": _field}
"""The sources of tokens that may be bound to a key: one has a field for its thumbprint only."""
