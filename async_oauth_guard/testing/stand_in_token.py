"""The token that stands in for what requests present, and who judges it: by the rules for tokens of its kind."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from ..claims import check_times
from ..credentials import Secret
from ..effects import Flow
from ..flows.authorization import Inquiry
from ..scopes import own_copy, parse_scopes
from ..tokens import AccessToken, TokenState
from ..validators.base import TokenValidator
from ..validators.remote import CLOCK
from ..validators.toolkit import ToolkitTokenValidator
from .environment import check_test_environment

__all__ = ["StandInValidator", "check_token", "make_token_factory"]

# What the properties of an `AccessToken` are called among its claims.
_CLAIMS: Mapping[str, str] = {
    "audience": "aud",
    "client_id": "client_id",
    "expires_at": "exp",
    "issuer": "iss",
    "subject": "sub",
}

_ARGUMENTS = ("scopes", "user", "claims", "error", "token", "token_type", "header", *_CLAIMS)
# How alike two names are that are one, and a slip of the pen.
_NEAR = 0.8
# What these say is called otherwise here: as claims they would say nothing to a guard, and a test would test nothing.
_CALLED_HERE: Mapping[str, str] = {
    "scope": "scopes=...",
    "client": "client_id=...",
    "expires_in": "expires_at=..., or error='expired'",
    "expired": "expires_at=..., or error='expired'",
    "revoked": "error='revoked'",
}


class StandInValidator(TokenValidator):
    """Finds what ``present`` returns, or refuses with what it raises; judges tokens as their own validators do."""

    def __init__(self, present: Callable[[Inquiry | None], Any]) -> None:
        super().__init__()
        self._present = present
        self._toolkit = ToolkitTokenValidator()

    def authenticate_flow(self, token: Secret[str], inquiry: Inquiry | None = None) -> Flow[Any]:
        """Find what stands in.

        Raises:
            RuntimeError: no tests run any more. A token without a request has no credentials that would ask.
        """
        check_test_environment()
        yield from ()
        return self._present(inquiry)

    def read_state(self, token: Any, inquiry: Inquiry) -> TokenState:
        """What the token says of itself: by its claims, or by the methods of its class."""
        if isinstance(token, AccessToken):
            reason = check_times(token, CLOCK.wall(), leeway=0, required=False)
            return self._read_grant(token, token._granted, inquiry) if reason is None else TokenState(reason)
        if not hasattr(token, "get_scope"):
            return self._toolkit.read_state(token, inquiry)
        return super().read_state(token, inquiry)


def check_token(token: Any) -> None:
    """Refuse what no guard could judge.

    Raises:
        TypeError: it is neither an `AccessToken` nor an object with the methods of a token.
    """
    if isinstance(token, AccessToken):
        return
    if isinstance(token, str | bytes):
        raise TypeError("token: a token's text says nothing of it: write override_oauth(scopes=..., user=...)")
    if isinstance(token, Mapping):
        raise TypeError("token: an AccessToken or a row is wanted: write claims=... for a mapping of claims")
    if isinstance(token, type) or not _can_be_judged(token):
        given = f"the class {token.__name__}" if isinstance(token, type) else type(token).__name__
        raise TypeError(
            "token: an AccessToken is wanted, or an instance of a token model with is_expired(), is_revoked() and "
            f"get_scope(), not {given}"
        )


def make_token_factory(scopes: Any, user: Any, claims: Any, attributes: Mapping[str, Any]) -> Callable[[], AccessToken]:
    """What makes the token of each request, with claims of its own: a view may write into them.

    Raises:
        TypeError: an argument is of the wrong type, or two of them say the same.
        ValueError: a scope is none.
    """
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


def _can_be_judged(token: Any) -> bool:
    # django-oauth-toolkit's tokens have a method for it all, and their scope in a column.
    methods = ("is_expired", "is_revoked") if hasattr(token, "get_scope") else ("is_expired", "is_valid")
    return all(callable(getattr(token, name, None)) for name in methods)


def _join_claims(claims: dict[str, Any], scopes: Any, attributes: Mapping[str, Any]) -> dict[str, Any]:
    named = [
        (_CLAIMS.get(name, name), _read_attribute(name, value))
        for name, value in attributes.items()
        # A token that does not say its client, or when it ends, has no such claim.
        if value is not None or name not in _CLAIMS
    ]
    if scopes is not None:
        named.append(("scope", _read_scopes(scopes)))
    for name, value in named:
        if name in claims:
            raise TypeError(f"{name}: this claim is given twice: write it once, in claims= or by a keyword")
        claims[name] = value
    # One claim at least: a token without any is none.
    claims.setdefault("scope", "")
    return claims


def _read_claims(claims: Any) -> dict[str, Any]:
    if claims is None:
        return {}
    if not isinstance(claims, Mapping) or not all(isinstance(name, str) for name in claims):
        raise TypeError(
            f"claims: a mapping of claims by name is wanted, such as {{'tenant': 'acme'}}, not {type(claims).__name__}"
        )
    return own_copy(dict(claims))  # type: ignore[no-any-return]


def _read_attribute(name: str, value: Any) -> Any:
    if name != "expires_at":
        return value
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expires_at: seconds since the epoch or a datetime are wanted, not {type(value).__name__}")
    return value


def _read_scopes(scopes: Any) -> str:
    if callable(scopes):
        raise TypeError("scopes: a function or class was given: write @override_oauth() with its parentheses")
    if isinstance(scopes, str):
        held = scopes.split()
    elif isinstance(scopes, Iterable) and not isinstance(scopes, Mapping | bytes | bytearray):
        # The members of a set have no order, and what a test sees must not depend on chance.
        held = sorted(scopes) if isinstance(scopes, set | frozenset) else list(scopes)
    else:
        raise TypeError(
            f"scopes: write a string such as 'profile email', or a list of scopes, not {type(scopes).__name__}"
        )
    for scope in held:
        _check_scope(scope)
    return " ".join(dict.fromkeys(held))


def _check_scope(scope: Any) -> None:
    if not isinstance(scope, str):
        raise TypeError(
            f"scopes: a token holds strings, not {type(scope).__name__}: alternatives are for a view to name"
        )
    if len(scope.split()) != 1:
        raise ValueError(f"scopes: {scope!r} is not one scope: write 'a b' or ['a', 'b']")
    # Refuses what no view can ask for.
    parse_scopes(scope)


def _check_user(user: Any) -> None:
    if user is None:
        return
    # Neither their name nor their number; nor a queryset or a class, which has no answer, but a property.
    if isinstance(user, type) or not hasattr(user, "is_authenticated"):
        given = f"the class {user.__name__}" if isinstance(user, type) else type(user).__name__
        raise TypeError(
            f"user: an instance of the user model is wanted, such as user=User.objects.get(...), not {given}"
        )
    if not user.is_authenticated:
        raise TypeError("user: nobody is logged in there: leave it out for a token that speaks for no user")


def _check_attributes(attributes: Mapping[str, Any]) -> None:
    for name in attributes:
        if name.startswith("_") or (hasattr(AccessToken, name) and name not in _CLAIMS):
            raise TypeError(f"{name}: tokens have something else of that name: give it in claims=")
        meant = _CALLED_HERE.get(name) or _misspelt(name)
        if meant is not None:
            raise TypeError(f"{name}: write {meant}; a claim of that name is given in claims=")


def _misspelt(name: str) -> str | None:
    """What to write for ``name``, if it is nearly an argument, but not quite."""
    near = [] if name in _ARGUMENTS else difflib.get_close_matches(name, _ARGUMENTS, n=1, cutoff=_NEAR)
    return f"{near[0]}=..." if near else None
