"""Wrappers that keep tokens and secrets out of logs and error reports."""

from typing import Any, Generic, NoReturn, TypeVar

__all__ = ["PresentedToken", "Secret", "present_token"]

T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """A value that no ``repr``, log or error page shows. Only code that needs the value calls `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: T_co) -> None:
        self._value = value

    def reveal(self) -> T_co:
        """Return the value itself. Keep it out of local variables, messages and cache keys."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret must not be pickled or copied")


class PresentedToken(str):
    """A token as hooks receive it: a string, except that its ``repr``, which error pages show, hides the token.

    Within one process, different tokens have different ``repr``.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        # Python's hash of a string uses a random key in each process.
        return f"<token {hash(str(self)) & 0xFFFF_FFFF_FFFF_FFFF:016x}>"


def present_token(token: Any) -> PresentedToken:
    """``token`` with a ``repr`` that hides it.

    Raises:
        TypeError: it is not a string.
    """
    if not isinstance(token, str):
        raise TypeError(f"token must be a string, got {type(token).__name__}")
    return PresentedToken(token)
