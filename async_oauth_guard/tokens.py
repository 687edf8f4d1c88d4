"""The validated token, as views see it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest

from .claims import check_times
from .errors import InvalidTokenError, Reason
from .scopes import read_values

__all__ = ["AccessToken", "TokenState", "read_attribute", "read_user"]


# One for each request; to make a frozen one would take four times as long.
@dataclass(slots=True)
class TokenState:
    """What a token says of itself at this moment. ``reason`` is why it is no good, where it is not."""

    reason: Reason | None = None
    scope: Any = None
    user: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


class AccessToken(dict[str, Any]):
    """The claims of a token, with the properties that RFC 9068 and RFC 7662 name.

    A database token has claims too: those that its columns tell. What is not known is ``None`` or empty. ``header`` is
    the JOSE header of a JWT, and empty for others.
    """

    def __init__(
        self,
        claims: Mapping[str, Any],
        *,
        user: Any = None,
        token_type: str = "Bearer",
        scope: Any = None,
        client_id: str | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(claims)
        self.user = user
        self.token_type = token_type
        self.header: Mapping[str, Any] = {} if header is None else header
        # As the server's profile finds them, where it keeps them under other names.
        self._scope = scope
        self._client_id = client_id

    @classmethod
    def of(cls, request: HttpRequest) -> "AccessToken | None":
        """The token of a guarded request, whatever its source; ``None`` where an optional guard got none.

        Raises:
            LookupError: no guard has let this request in.
        """
        try:
            token = request.oauth_token  # type: ignore[attr-defined]
        except AttributeError:
            raise LookupError("no guard has let this request in, so it has no token") from None
        if token is None or isinstance(token, cls):
            return token
        if isinstance(token, Mapping):
            return cls(token, user=getattr(token, "user", None))
        return cls._of_row(token, getattr(request, "_oauth_token_state", None))

    @classmethod
    def _of_row(cls, row: Any, state: TokenState | None) -> "AccessToken":
        user = getattr(row, "user", None) if state is None else state.user
        scope = _scope_of(row) if state is None else state.scope
        claims = {
            "scope": scope if scope is None or isinstance(scope, str) else " ".join(scope),
            "sub": None if user is None else str(user.pk),
            "client_id": _client_of(row),
            "exp": _expiry_of(row),
            "aud": getattr(row, "resource", None),
        }
        known = {name: value for name, value in claims.items() if value is not None}
        return cls(known, user=user, token_type=getattr(row, "token_type", None) or "Bearer")

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that were granted (RFC 6749 §3.3)."""
        return read_values(self._granted)

    @property
    def subject(self) -> str | None:
        """For whom the token speaks: ``sub``. For a database token, the user's primary key."""
        return self.get("sub")

    @property
    def client_id(self) -> str | None:
        """The client to which the token was issued (RFC 8693 §4.3)."""
        return self.get("client_id") if self._client_id is None else self._client_id

    @property
    def issuer(self) -> str | None:
        """The authorization server that issued the token: ``iss``."""
        return self.get("iss")

    @property
    def audience(self) -> tuple[str, ...]:
        """For which resource servers the token is meant: ``aud`` (RFC 7519 §4.1.3)."""
        audience = self.get("aud")
        return (audience,) if isinstance(audience, str) else tuple(audience or ())

    @property
    def expires_at(self) -> float | None:
        """When the token ends, in seconds since the epoch: ``exp``."""
        return self.get("exp")

    def get_scope(self) -> str | None:
        """See ``authlib.oauth2.rfc6749.TokenMixin.get_scope``."""
        granted: Any = self._granted
        return granted if granted is None or isinstance(granted, str) else " ".join(granted)

    @property
    def _granted(self) -> Any:
        """The scopes as the token holds them: a string, or a list."""
        return self.get("scope") if self._scope is None else self._scope

    def is_expired(self) -> bool:
        """Whether ``exp`` has come; a token without one does not expire."""
        return self.expires_at is not None and self.expires_at <= time.time()

    def is_revoked(self) -> bool:
        """Always false: a revoked token does not get as far as a view."""
        return False

    def validate(self, now: float | None = None, leeway: float = 0) -> None:
        """Judge the lifetime again, as ``authlib.oauth2.rfc9068.claims.JWTAccessTokenClaims.validate`` does.

        Args:
            now: seconds since the epoch; left out, this moment.
            leeway: seconds by which clocks may differ.

        Raises:
            InvalidTokenError: the token has expired, or is not valid yet, or its times are none.
        """
        reason = check_times(self, time.time() if now is None else now, leeway=leeway, required=False)
        if reason is not None:
            raise InvalidTokenError(reason=reason)

    def __repr__(self) -> str:
        try:
            scopes: object = sorted(self.scopes)
        except ValueError:
            scopes = "malformed"
        return f"<{type(self).__name__} scopes={scopes} expires_at={self.expires_at}>"


def _scope_of(row: Any) -> Any:
    get_scope = getattr(row, "get_scope", None)
    return get_scope() if callable(get_scope) else getattr(row, "scope", None)


def read_attribute(token: Any, name: str) -> Any:
    """``name`` of a token, whether it is a mapping of claims or an object; ``None`` where it has none."""
    return token.get(name) if isinstance(token, Mapping) else getattr(token, name, None)


def read_user(token: Any) -> Any:
    """The Django user of a token, or ``None``. A claim of that name is no user of ours.

    Raises:
        InvalidTokenError: the user is gone, where the database allows their token to outlive them.
    """
    try:
        return getattr(token, "user", None)
    except ObjectDoesNotExist:
        raise InvalidTokenError(reason=Reason.INACTIVE_USER) from None


def _client_of(row: Any) -> str | None:
    # django-oauth-toolkit keeps clients in a table of their own. One that is not loaded stays so: to load it may block.
    state = getattr(row, "_state", None)
    application = state.fields_cache.get("application") if state is not None else None
    return getattr(application or row, "client_id", None)


def _expiry_of(row: Any) -> float | None:
    for name in ("get_expires_at", "expires_at", "expires"):
        value = getattr(row, name, None)
        value = value() if callable(value) else value
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return None
