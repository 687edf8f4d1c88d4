"""The ``Authorization`` header: from a string to a scheme and a token, or to the error that it deserves.

Nothing here raises: an exception's traceback shows the locals of every frame it passed, and these hold the token.
"""

import re
import string
from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from .errors import (
    GuardError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    Reason,
    UnsupportedTokenTypeError,
)

__all__ = [
    "MAX_TOKEN_LENGTH",
    "TOKEN",
    "Credentials",
    "PresentedToken",
    "Secret",
    "is_encodable",
    "is_token68",
    "read_authlib_credentials",
    "read_credentials",
]

MAX_TOKEN_LENGTH = 32_768
"""Characters of a token, with its scheme where a header has both; what is longer is refused unread."""

T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """A value that no ``repr``, log or error page shows; only what performs an effect reveals it."""

    __slots__ = ("_value",)

    def __init__(self, value: T_co) -> None:
        self._value = value

    def reveal(self) -> T_co:
        """The value itself. Keep it out of locals, messages and keys."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not to be pickled or copied")


class PresentedToken(str):
    """A token as users' hooks get it: a string like any other, but for its ``repr``, which error pages print.

    The ``repr`` tells one token from another within this process, and tells nobody the token.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        # Python's hash of a string has a random key of its own in each process.
        return f"<token {hash(str(self)) & 0xFFFF_FFFF_FFFF_FFFF:016x}>"


@dataclass(slots=True)
class Credentials:
    """What the client presented: the auth-scheme in lower case, and the token."""

    scheme: str
    token: Secret[PresentedToken]


TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 §5.6.2; a scheme is one."""

_LATER_SCHEME = re.compile(rf",[ \t]*(?P<scheme>{TOKEN.pattern})(?![^ \t,])")
# RFC 9110 §11.4: auth-scheme 1*SP, and then token68 or parameters
_SCHEME = re.compile(rf"({TOKEN.pattern}) +")
_PARAMETERS = re.compile(r"[\x21-\x7E][\x20-\x7E]*")
_TOKEN68 = (string.ascii_letters + string.digits + "-._~+/").encode()


def read_credentials(header: Secret[str] | None, schemes: Collection[str]) -> Credentials | GuardError:
    """The credentials in ``header``, if they are of one of ``schemes`` (lower case) and well formed (RFC 6750 §2.1)."""
    # RFC 9110 §5.5: white space around a field's value is not part of it.
    value = header.reveal().strip(" \t") if header is not None else ""
    match = _SCHEME.match(value) if len(value) <= MAX_TOKEN_LENGTH else None
    scheme = match[1].lower() if match is not None else ""
    if match is None or scheme not in schemes or ("," in value and _repeats(value, schemes)):
        return _refuse(value, schemes)
    token = Secret(PresentedToken(value[match.end() :]))
    # Other schemes than Bearer may have parameters in place of a token, which their validators read.
    if is_token68(token) or (scheme != "bearer" and _PARAMETERS.fullmatch(token.reveal())):
        return Credentials(scheme, token)
    return _refuse(value, schemes)


def is_token68(token: Secret[PresentedToken] | Secret[str]) -> bool:
    """Whether ``token`` has the form of a bearer token (RFC 6750 §2.1).

    That is ``1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="``.
    """
    body = token.reveal().rstrip("=")
    # A long regular expression's work, in a tenth of its time.
    return body != "" and body.isascii() and not body.encode().translate(None, _TOKEN68)


def is_encodable(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(value: str, schemes: Collection[str]) -> GuardError:
    if not value:
        return MissingAuthorizationError()
    if _repeats(value, schemes):
        return InvalidRequestError(reason=Reason.REPEATED_CREDENTIALS)
    match = TOKEN.match(value, 0, MAX_TOKEN_LENGTH)
    scheme = match.group().lower() if match else ""
    if scheme not in schemes:
        return UnsupportedTokenTypeError()
    if len(value) > MAX_TOKEN_LENGTH:
        return InvalidTokenError(reason=Reason.TOKEN_TOO_LONG, scheme=scheme)
    return InvalidRequestError(scheme=scheme)


def _repeats(value: str, schemes: Collection[str]) -> bool:
    # Servers join the lines of a repeated header with a comma. RFC 6750 §3.1: a request that "uses more than one
    # method for including an access token" is an invalid_request.
    later = _LATER_SCHEME.finditer(value, 0, MAX_TOKEN_LENGTH)
    return any(match["scheme"].lower() in schemes for match in later)


def read_authlib_credentials(header: Secret[str] | None, schemes: Collection[str]) -> Credentials | GuardError:
    """The credentials in ``header`` as Authlib reads them: any white space, and then whatever is there."""
    if header is None or not header.reveal():
        return MissingAuthorizationError()
    parts = header.reveal().split(None, 1)
    if len(parts) != 2 or parts[0].lower() not in schemes:
        return UnsupportedTokenTypeError()
    if len(parts[1]) > MAX_TOKEN_LENGTH:
        return InvalidTokenError(reason=Reason.TOKEN_TOO_LONG, scheme=parts[0].lower())
    return Credentials(parts[0].lower(), Secret(PresentedToken(parts[1])))
