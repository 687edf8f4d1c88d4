"""Checks the arguments that tests pass to the authorization server; errors say what to write instead.

Each function raises `TypeError` or `ValueError` for an argument that cannot be used.
"""

import difflib
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "check_issuer",
    "check_name",
    "choose",
    "in_order",
    "kind_of",
    "read_audience",
    "read_lifetime",
    "read_members",
    "read_port",
    "read_scope",
    "read_state",
    "read_username",
    "write_state",
]

_LAST_PORT = 65_535


def kind_of(given: Any) -> str:
    """The type of an argument, for errors. Its value may be a secret."""
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__


def choose(argument: str, name: Any, names: Collection[str]) -> None:
    """Refuse a name that is not in ``names``, and suggest a similar one."""
    if name in names:
        return
    by_lower_case = {each.lower(): each for each in names}
    near = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1)
    hint = f"; did you mean {by_lower_case[near[0]]!r}?" if near else ""
    raise ValueError(f"{argument} must be one of {', '.join(names)}, got {name!r}{hint}")


def check_issuer(issuer: Any) -> None:
    """Refuse an issuer without a host."""
    if not isinstance(issuer, str) or not urlsplit(issuer).netloc:
        raise ValueError("issuer must be a URL such as 'https://sso.example.test'")


def check_name(argument: str, name: Any, example: str) -> None:
    """Refuse anything except a string or ``None``."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{argument} must be a string such as {example}, got {kind_of(name)}; others go into claims=")


def read_members(argument: str, given: Any) -> dict[str, Any]:
    """The members of a JSON object. ``None`` has no members."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{argument} must be a mapping, such as {{'name': 'value'}}, got {kind_of(given)}")
    members = dict(given)
    try:
        # Check now: if the server failed later, it would look like a fault of the guard.
        json.dumps(members)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{argument} must have values that JSON can hold: {error}") from None
    return members


def read_audience(audience: Any) -> str | list[str]:
    """One audience as a string, several as a list."""
    if isinstance(audience, str):
        return audience
    if not _are_strings(audience):
        raise TypeError(f"audience must be a string or a list of strings, got {kind_of(audience)}")
    return in_order(audience)


def read_scope(scopes: Any) -> str | None:
    """``scopes`` as the claim of a token; ``None`` leaves out the claim."""
    if scopes is None or isinstance(scopes, str):
        return scopes
    if not _are_strings(scopes):
        raise TypeError(f"scopes must be 'profile email' or ['profile', 'email'], got {kind_of(scopes)}")
    return " ".join(in_order(scopes))


def read_lifetime(expires_in: Any) -> int:
    """Whole seconds. They may be negative."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        raise TypeError(f"expires_in must be seconds or None, got {kind_of(expires_in)}")
    if not math.isfinite(expires_in):
        raise ValueError(f"expires_in must be seconds or None, got {expires_in}")
    return int(expires_in)


def read_port(port: Any) -> int:
    """The number of a port; ``0`` means any free port."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port must be a number such as 8001, or 0 for any free port, got {kind_of(port)}")
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"port must be a number up to {_LAST_PORT}, or 0 for any free port, got {port}")
    return port


def read_username(user: Any) -> str | None:
    """The user name of a Django user, or the given name; ``None`` for no user."""
    if user is None or isinstance(user, str):
        return user
    # On a class, `is_authenticated` is a property object, which is true.
    if isinstance(user, type) or not getattr(user, "is_authenticated", False):
        raise TypeError(f"user must be a Django user or a user name, got {kind_of(user)}; leave it out for no user")
    return str(user.get_username())


def read_state(path: Any) -> dict[str, Any]:
    """What a server saved in this file; empty if there is no file yet.

    Raises:
        ValueError: the file was not written by this server.
    """
    try:
        saved = json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        saved = None
    if not isinstance(saved, dict) or "serial" not in saved:
        raise ValueError(f"state: {path} was not written by this server; pass another file, or remove it")
    return saved


def write_state(path: Any, state: Mapping[str, Any]) -> None:
    """Save ``state`` in this file. Only the owner may read it, because it contains private keys."""
    unfinished = Path(f"{path}.new")
    unfinished.touch(0o600)
    unfinished.write_text(json.dumps(state), "utf-8")
    unfinished.replace(path)


def _are_strings(given: Any) -> bool:
    return isinstance(given, list | tuple | set | frozenset) and all(isinstance(each, str) for each in given)


def in_order(given: Any) -> list[Any]:
    """The members as a list."""
    # Sort the members of a set, so that tests are repeatable.
    return sorted(given) if isinstance(given, set | frozenset) else [*given]
