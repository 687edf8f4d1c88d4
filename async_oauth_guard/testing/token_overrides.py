"""What `override_oauth` uses instead of the presented token: a token that the test describes, or an error."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from ..errors import (
    GuardError,
    InvalidRequestError,
    MissingAuthorizationError,
    Reason,
    UnsupportedTokenTypeError,
    error_of,
)
from ..protocol.access_token import AccessToken, TokenState
from ..protocol.attributes import resolve_user
from ..protocol.authorization_details import parse_details
from ..protocol.claims import check_times
from ..protocol.confirmation import CONFIRMATION_METHODS
from ..protocol.copies import own_copy
from ..protocol.scopes import parse_scopes
from ..protocol.secrets import Secret
from ..runtime.effects import Flow
from ..validators.authorization_context import AuthorizationContext
from ..validators.base import TokenValidator
from ..validators.clock import CLOCK
from ..validators.django_oauth_toolkit import ToolkitTokenValidator
from .arguments import in_order, kind_of
from .environment import check_test_environment

__all__ = [
    "OverrideValidator",
    "check_token",
    "copy_of",
    "is_of_credentials",
    "make_token_factory",
    "read_error",
]

# The claim behind each property of an `AccessToken`.
_CLAIMS: Mapping[str, str] = {
    "acr": "acr",
    "audience": "aud",
    "auth_time": "auth_time",
    "authorization_details": "authorization_details",
    "client_id": "client_id",
    "confirmation": "cnf",
    "expires_at": "exp",
    "issuer": "iss",
    "subject": "sub",
}

_ARGUMENTS = ("scopes", "user", "claims", "error", "token", "token_type", "header", *_CLAIMS)
# The similarity from which a name counts as a misspelt argument.
_NEAR = 0.8
# Names that mean something else here. As claims they would have no effect on the guard, and the test would pass.
_RENAMED: Mapping[str, str] = {
    "scope": "scopes=...",
    "client": "client_id=...",
    "expires_in": "expires_at=..., or error='expired'",
    "acr_values": "acr=...",
    "max_age": "auth_time=...",
    "cnf": "confirmation=...",
    "dpop": "client.oauth(..., dpop=True) of OAuthClient, because its requests need proofs",
    "expired": "expires_at=..., or error='expired'",
    "revoked": "error='revoked'",
}


class OverrideValidator(TokenValidator):
    """Accepts the token that ``present`` returns, or refuses with the error that it raises.

    It then checks the state of the token as the token's usual validator does.
    """

    def __init__(self, present: Callable[[AuthorizationContext | None], Any]) -> None:
        super().__init__()
        self._present = present
        self._toolkit = ToolkitTokenValidator()

    def authenticate_flow(self, token: Secret[str], context: AuthorizationContext | None = None) -> Flow[Any]:
        """Find the token of the override.

        Raises:
            RuntimeError: no tests run any more. Without a request, nothing has checked this earlier.
        """
        check_test_environment()
        yield from ()
        return self._present(context)

    def read_state(self, token: Any, context: AuthorizationContext) -> TokenState:
        """The state of the token, from its claims or from the methods of its class."""
        if isinstance(token, AccessToken):
            reason = check_times(token, CLOCK.wall(), leeway=0, required=False)
            return self._read_grant(token, token._granted, context) if reason is None else TokenState(reason)
        if not hasattr(token, "get_scope"):
            return self._toolkit.read_state(token, context)
        return super().read_state(token, context)


def check_token(token: Any) -> None:
    """Refuse what a guard could not check."""
    if isinstance(token, AccessToken):
        return
    if isinstance(token, str | bytes):
        raise TypeError("token must be an AccessToken or a row, got text: write override_oauth(scopes=..., user=...)")
    if isinstance(token, Mapping):
        raise TypeError("token must be an AccessToken or a row, got a mapping: write claims=... for claims")
    if isinstance(token, type) or not _has_token_methods(token):
        raise TypeError(
            "token must be an AccessToken, or an instance of a token model with is_expired(), is_revoked() and "
            f"get_scope(), got {kind_of(token)}"
        )


def make_token_factory(scopes: Any, user: Any, claims: Any, attributes: Mapping[str, Any]) -> Callable[[], AccessToken]:
    """A function that creates the token of one request. Each has its own claims, because views may change them."""
    user = resolve_user(user)
    _check_user(user)
    _check_attributes(attributes)
    known = dict(attributes)
    token_type, header = known.pop("token_type", "Bearer"), known.pop("header", None)
    all_claims = _join_claims(_read_claims(claims), scopes, known)
    if getattr(user, "pk", None) is not None:
        # As for a token in a table; see `AccessToken.subject`.
        all_claims.setdefault("sub", str(user.pk))
    others = {name: value for name, value in known.items() if name not in _CLAIMS}

    def make_token() -> AccessToken:
        token = AccessToken(own_copy(all_claims), user=user, token_type=token_type, header=own_copy(header))
        vars(token).update(own_copy(others))
        return token

    return make_token


def _has_token_methods(token: Any) -> bool:
    # Tokens of django-oauth-toolkit have `is_valid`, and their scopes in a column.
    methods = ("is_expired", "is_revoked") if hasattr(token, "get_scope") else ("is_expired", "is_valid")
    return all(callable(getattr(token, name, None)) for name in methods)


def _join_claims(claims: dict[str, Any], scopes: Any, attributes: Mapping[str, Any]) -> dict[str, Any]:
    named = [
        (_CLAIMS.get(name, name), _read_attribute(name, value))
        for name, value in attributes.items()
        # `None` leaves out the claim.
        if value is not None or name not in _CLAIMS
    ]
    if scopes is not None:
        named.append(("scope", _read_scopes(scopes)))
    for name, value in named:
        if name in claims:
            raise TypeError(f"{name}: this claim is given twice; write it once, in claims= or as a keyword")
        claims[name] = value
    # A token without any claim is false, so add one.
    claims.setdefault("scope", "")
    return claims


def _read_claims(claims: Any) -> dict[str, Any]:
    if claims is None:
        return {}
    if not isinstance(claims, Mapping) or not all(isinstance(name, str) for name in claims):
        raise TypeError(
            f"claims must be a mapping of claims by name, such as {{'tenant': 'acme'}}, got {type(claims).__name__}"
        )
    return own_copy(dict(claims))  # type: ignore[no-any-return]


def _read_attribute(name: str, value: Any) -> Any:
    if name == "authorization_details":
        # As in a guard: one object, or a list of objects.
        return [*parse_details(value)]
    if name == "confirmation":
        return _read_confirmation(value)
    if name in ("expires_at", "auth_time") and isinstance(value, datetime):
        return value.timestamp()
    if name == "expires_at" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(f"expires_at must be seconds since the epoch or a datetime, got {type(value).__name__}")
    return value


def _read_confirmation(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"confirmation must be a mapping such as {{'jkt': 'thumbprint'}}, got {type(value).__name__}")
    if not value or not CONFIRMATION_METHODS.issuperset(value):
        raise ValueError(f"confirmation must have {' or '.join(sorted(CONFIRMATION_METHODS))}, and nothing else")
    for thumbprint in value.values():
        if not isinstance(thumbprint, str):
            raise TypeError(f"confirmation must contain strings, got {type(thumbprint).__name__}")
    return dict(value)


def _read_scopes(scopes: Any) -> str:
    if callable(scopes):
        raise TypeError("scopes must be a string or a list, got a callable: write @override_oauth() with parentheses")
    if isinstance(scopes, str):
        held = scopes.split()
    elif isinstance(scopes, Iterable) and not isinstance(scopes, Mapping | bytes | bytearray):
        held = in_order(scopes)
    else:
        raise TypeError(
            f"scopes must be a string such as 'profile email', or a list of scopes, got {type(scopes).__name__}"
        )
    for scope in held:
        _check_scope(scope)
    return " ".join(dict.fromkeys(held))


def _check_scope(scope: Any) -> None:
    if not isinstance(scope, str):
        raise TypeError(f"scopes must contain strings, got {type(scope).__name__}: only views name alternatives")
    if len(scope.split()) != 1:
        raise ValueError(f"scopes: {scope!r} is not a single scope; write 'a b' or ['a', 'b']")
    # Refuse what no view can require.
    parse_scopes(scope)


def _check_user(user: Any) -> None:
    if user is None:
        return
    # Refuse names, numbers and querysets. A class is refused because its `is_authenticated` is a property object.
    if isinstance(user, type) or not hasattr(user, "is_authenticated"):
        raise TypeError(
            f"user must be an instance of the user model, such as user=User.objects.get(...), got {kind_of(user)}"
        )
    if not user.is_authenticated:
        raise TypeError("user must not be anonymous; leave it out for a token without a user")


def _check_attributes(attributes: Mapping[str, Any]) -> None:
    for name in attributes:
        if name.startswith("_") or (hasattr(AccessToken, name) and name not in ("header", "token_type", *_CLAIMS)):
            raise TypeError(f"{name}: tokens already have an attribute of this name; pass the claim in claims=")
        meant = _RENAMED.get(name) or _misspelt(name)
        if meant is not None:
            raise TypeError(f"{name}: write {meant}; pass a claim of that name in claims=")


def _misspelt(name: str) -> str | None:
    """What to write instead of ``name``, if it looks like a misspelt argument."""
    near = [] if name in _ARGUMENTS else difflib.get_close_matches(name, _ARGUMENTS, n=1, cutoff=_NEAR)
    return f"{near[0]}=..." if near else None


# --- errors instead of a token ---

_EXPECTED = "error must be a Reason, its name, or a GuardError such as InvalidTokenError"


def read_error(error: Any) -> GuardError:
    """The error that ``error`` names: a `Reason`, its name, a class of errors, or an instance."""
    if isinstance(error, str):
        reason = _read_reason(error)
        return error_of(reason)
    if isinstance(error, GuardError):
        return error
    if isinstance(error, type) and issubclass(error, GuardError):
        return _make(error)
    given = error.__name__ if isinstance(error, type) else type(error).__name__
    raise TypeError(f"{_EXPECTED}, got {given}")


def copy_of(error: GuardError) -> GuardError:
    """Copy an error for one request, which adds its challenge and its traceback to it."""
    # `copy.copy()` would pass the message to the class as its first argument.
    copy = type(error).__new__(type(error), *error.args)
    vars(copy).update(vars(error))
    copy.__cause__ = error.__cause__
    return copy


def is_of_credentials(error: GuardError) -> bool:
    """Whether the error is raised before any validator runs."""
    return isinstance(error, MissingAuthorizationError | UnsupportedTokenTypeError | InvalidRequestError)


def _read_reason(name: str) -> Reason:
    try:
        return Reason(name.lower())
    except ValueError:
        raise ValueError(f"error: {name!r} is not a reason; write a member of async_oauth_guard.Reason") from None


def _make(cls: type[GuardError]) -> GuardError:
    try:
        made = cls()
    except TypeError:
        raise TypeError(f"error: {cls.__name__} cannot be created without arguments; pass an instance") from None
    if made.error is None:
        raise TypeError(f"error: {cls.__name__} has no error code; {_EXPECTED}")
    return made
