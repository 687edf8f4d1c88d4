"""What a test may tell that server, and what it is told to write where it wrote something else."""

import difflib
import json
import math
from collections.abc import Collection, Mapping
from typing import Any

__all__ = [
    "check_name",
    "choose",
    "kind_of",
    "read_audience",
    "read_lifetime",
    "read_members",
    "read_port",
    "read_scope",
    "read_username",
]

_LAST_PORT = 65_535


def kind_of(given: Any) -> str:
    """What was given, in an error's words: its value may be a secret."""
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__


def choose(argument: str, name: Any, names: Collection[str]) -> None:
    """Refuse a name that is none of ``names``, and say which was meant.

    Raises:
        ValueError: it is none of them.
    """
    if name in names:
        return
    in_small_letters = {each.lower(): each for each in names}
    near = difflib.get_close_matches(str(name).lower(), in_small_letters, n=1)
    hint = f"; did you mean {in_small_letters[near[0]]!r}?" if near else ""
    raise ValueError(f"{argument}: {name!r} is none of {', '.join(names)}{hint}")


def check_name(argument: str, name: Any, example: str) -> None:
    """Refuse what is no string; ``None`` leaves it out.

    Raises:
        TypeError: it is neither.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{argument}: write a string, such as {example}, not {kind_of(name)}; others go into claims=")


def read_members(argument: str, given: Any) -> dict[str, Any]:
    """The members of a JSON object; none of ``None``.

    Raises:
        TypeError: it is no mapping, or JSON has nothing like its values.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{argument}: a mapping is wanted, such as {{'name': 'value'}}, not {kind_of(given)}")
    members = dict(given)
    try:
        # Before it is issued: what cannot be answered would be a mistake of the guard's, to all appearances.
        json.dumps(members)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{argument}: values are wanted that JSON has: {error}") from None
    return members


def read_audience(audience: Any) -> str | list[str]:
    """One audience as it is, several as a list.

    Raises:
        TypeError: it is neither a string nor several.
    """
    if isinstance(audience, str):
        return audience
    if not _are_strings(audience):
        raise TypeError(f"audience: a string is wanted, or a list of strings, not {kind_of(audience)}")
    return _in_order(audience)


def read_scope(scopes: Any) -> str | None:
    """``scopes`` as a token names them; ``None`` for none at all.

    Raises:
        TypeError: it is neither a string nor several.
    """
    if scopes is None or isinstance(scopes, str):
        return scopes
    if not _are_strings(scopes):
        raise TypeError(f"scopes: write 'profile email' or ['profile', 'email'], not {kind_of(scopes)}")
    return " ".join(_in_order(scopes))


def read_lifetime(expires_in: Any) -> int:
    """Whole seconds, of the past too.

    Raises:
        TypeError: it is no number.
        ValueError: it is not finite.
    """
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        raise TypeError(f"expires_in: write seconds, or None, not {kind_of(expires_in)}")
    if not math.isfinite(expires_in):
        raise ValueError(f"expires_in: write seconds, or None, not {expires_in}")
    return int(expires_in)


def read_port(port: Any) -> int:
    """The number of a port; ``0`` is any that is free.

    Raises:
        TypeError: it is no whole number.
        ValueError: no port has it.
    """
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port: write a number such as 8001, or 0 for any that is free, not {kind_of(port)}")
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"port: write a number up to {_LAST_PORT}, or 0 for any that is free, not {port}")
    return port


def read_username(user: Any) -> str | None:
    """The name of a user of the site, or the name itself; ``None`` for nobody.

    Raises:
        TypeError: it is neither, or nobody is logged in there.
    """
    if user is None or isinstance(user, str):
        return user
    # A class has no answer, but a property.
    if isinstance(user, type) or not getattr(user, "is_authenticated", False):
        raise TypeError(f"user: write a user of the site or a user name, not {kind_of(user)}; leave it out for nobody")
    return str(user.get_username())


def _are_strings(given: Any) -> bool:
    return isinstance(given, list | tuple | set | frozenset) and all(isinstance(each, str) for each in given)


def _in_order(given: Any) -> list[str]:
    # The members of a set have no order, and what a test sees must not depend on chance.
    return sorted(given) if isinstance(given, set | frozenset) else [*given]
