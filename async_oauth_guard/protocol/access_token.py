"""The validated access token that views get."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ..errors import InvalidTokenError, Reason
from .attributes import read_confirmation, read_member
from .authorization_details import read_details
from .claims import check_times, is_time, read_seconds
from .confirmation import is_bound_to_key
from .provider_profiles import Profile, read_attribute_values
from .scopes import read_values

__all__ = [
    "AccessToken",
    "TokenState",
    "check_token",
    "end_of_use",
    "read_attribute",
]


# There is one for each request. Creating a frozen instance would take four times as long.
@dataclass(slots=True)
class TokenState:
    """The current state of a token. ``reason`` says why the token is invalid, or is ``None`` if it is valid.

    ``confirmation`` and ``token_type`` are its ``cnf`` and ``token_type`` as received, unchecked.
    ``remembered`` is the cached result that the token was read from, with the policy for its claims, if there is one.
    ``leeway`` is for how many seconds after ``exp`` the token is accepted.
    """

    reason: Reason | None = None
    scope: Any = None
    user: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    confirmation: Any = None
    token_type: Any = None
    remembered: Any = field(default=None, repr=False, compare=False)
    leeway: float = 0.0


class AccessToken(dict[str, Any]):
    """A validated access token: a dictionary of its claims, with properties for the claims of RFC 9068 and RFC 7662.

    `AccessToken.of` also represents a database token in this form, with claims from its columns. A property is ``None``
    or empty if its value is unknown. ``header`` is the JOSE header of a JWT, and empty for other tokens.
    """

    # One is created for each request. Without slots, that takes twice as long.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_audiences",
        "_client_id",
        "_profile",
        "_scope",
        "_token_type",
        "header",
        "user",
    )

    def __init__(
        self,
        claims: Mapping[str, Any],
        *,
        user: Any = None,
        token_type: str = "Bearer",
        scope: Any = None,
        client_id: str | None = None,
        header: Mapping[str, Any] | None = None,
        profile: Profile | None = None,
        audiences: Collection[str] = (),
    ) -> None:
        super().__init__(claims)
        self.user = user
        self._token_type = token_type
        self.header: Mapping[str, Any] = {} if header is None else header
        # The server's profile says where these are, if the server uses other claims.
        self._scope = scope
        self._client_id = client_id
        self._profile = profile
        self._audiences = audiences

    @classmethod
    def of(cls, request: HttpRequest) -> "AccessToken | None":
        """The token of a guarded request, from any source, or ``None`` if the guard is optional and there was no token.

        Raises:
            LookupError: no guard has let this request in.
        """
        try:
            token = request.oauth_token  # type: ignore[attr-defined]
        except AttributeError:
            raise LookupError("the request has no token, because no guard has let it in; guard the view") from None
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
            **{name: _field_of(row, state, name) for name in ("acr", "authorization_details")},
            "auth_time": read_seconds(_field_of(row, state, "auth_time")),
            "cnf": read_confirmation(row) if state is None else state.confirmation,
        }
        known = {name: value for name, value in claims.items() if value is not None}
        return cls(known, user=user)

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that were granted (RFC 6749 §3.3)."""
        return read_values(self._granted)

    @property
    def subject(self) -> str | None:
        """The subject of the token: ``sub``. For a database token, the user's primary key as a string."""
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
        """The resource servers that the token is meant for: ``aud`` (RFC 7519 §4.1.3)."""
        audience = self.get("aud")
        return (audience,) if isinstance(audience, str) else tuple(audience or ())

    @property
    def expires_at(self) -> float | None:
        """When the token expires, in seconds since the epoch: ``exp``."""
        return self.get("exp")

    @property
    def confirmation(self) -> Mapping[str, Any] | None:
        """What the token is bound to: ``cnf`` (RFC 7800 §3.1). ``None`` for a bearer token that anyone may present."""
        return self.get("cnf")

    @property
    def token_type(self) -> str:
        """The scheme that the token is presented with: ``"DPoP"`` (RFC 9449 §7.1) or ``"Bearer"``."""
        return "DPoP" if is_bound_to_key(self.confirmation) else self._token_type

    @property
    def authorization_details(self) -> list[Mapping[str, Any]]:
        """What was granted in detail (RFC 9396 §9): objects that each have a ``type``; may be empty."""
        return read_details(self.get("authorization_details"))

    def get_scope(self) -> str | None:
        """See ``authlib.oauth2.rfc6749.TokenMixin.get_scope``."""
        granted: Any = self._granted
        return granted if granted is None or isinstance(granted, str) else " ".join(granted)

    @property
    def _granted(self) -> Any:
        """The scopes in the token: a string, a list, or ``None``."""
        return self.get("scope") if self._scope is None else self._scope

    def is_expired(self) -> bool:
        """Whether ``exp`` has passed. A token without ``exp`` does not expire."""
        return self.expires_at is not None and self.expires_at <= time.time()

    def is_revoked(self) -> bool:
        """Always false, because a revoked token never reaches a view."""
        return False

    def validate(self, now: float | None = None, leeway: float = 0) -> None:
        """Check the lifetime again, like ``authlib.oauth2.rfc9068.claims.JWTAccessTokenClaims.validate``.

        Args:
            now: seconds since the epoch. By default, the current time.
            leeway: seconds by which clocks may differ.

        Raises:
            InvalidTokenError: the token has expired, is not valid yet, or has a malformed time.
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


def end_of_use(token: Any, leeway: float, presented_at: float) -> float | None:
    """Until when a token that was let in may be used, in seconds since the epoch; ``None`` if that is not known.

    A token that was presented within its leeway may be used until the leeway ends.
    """
    expires_at = _expiry_of(token)
    if expires_at is None or not is_time(expires_at):
        return None
    if presented_at < expires_at:
        return expires_at
    end = expires_at + leeway
    is_expired = getattr(token, "is_expired", None)
    # The time of a row may mean something else: with Authlib, a row with `expires_in=0` does not expire.
    return None if presented_at >= end and callable(is_expired) and not is_expired() else end


def _scope_of(row: Any) -> Any:
    get_scope = getattr(row, "get_scope", None)
    return get_scope() if callable(get_scope) else getattr(row, "scope", None)


def check_token(token: Any) -> None:
    """Check that the value that a hook returned can be a token. The token itself is not validated.

    Raises:
        TypeError: it cannot. Examples are an error that was returned instead of raised, a generator, or a function that
            was not called. All of these are truthy.
    """
    # Of Python's built-in types, only a dictionary of claims, the token's string and a plain object are allowed.
    is_plain = type(token).__module__ == "builtins" and type(token) not in (dict, str, object)
    if is_plain or isinstance(token, type | BaseException | HttpResponseBase):
        raise TypeError(
            "authenticate_token() and acquire_token() must return a token (claims or an object) or None, and refuse "
            f"by raising an error; got {type(token).__name__}"
        )


def read_attribute(token: Any, name: str) -> Any:
    """The value of ``name`` in a token, which may be a mapping of claims or an object; ``None`` if it has none."""
    if isinstance(token, AccessToken) and token._profile is not None:
        return read_attribute_values(token._profile, token, name, token._audiences)
    return read_member(token, name)


def _client_of(row: Any) -> str | None:
    # django-oauth-toolkit has a separate table for clients. Do not load the client here, because a query may block.
    state = getattr(row, "_state", None)
    application = state.fields_cache.get("application") if state is not None else None
    return getattr(application or row, "client_id", None)


def _expiry_of(token: Any) -> float | None:
    """When a token of any source expires, in seconds since the epoch, or ``None`` if it does not say so.

    Methods of a model are called, which may run queries.
    """
    if isinstance(token, Mapping):
        return read_seconds(token.get("exp"))
    for name in ("get_expires_at", "expires_at", "expires"):
        value = getattr(token, name, None)
        seconds = read_seconds(value() if callable(value) else value)
        if seconds is not None:
            return seconds
    return None


def _field_of(row: Any, state: TokenState | None, name: str) -> Any:
    # Read no property here, because it may run a query.
    read = {} if state is None else state.attributes
    return read[name] if name in read else getattr(row, "__dict__", {}).get(name)
