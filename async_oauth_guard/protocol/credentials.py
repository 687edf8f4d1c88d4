"""Reads the ``Authorization`` header: returns a scheme and a token, or the error for the client.

Nothing here raises, because error reports show the local variables of every frame in a traceback, and these contain the
token.
"""

import re
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import GuardError, Reason, error_of
from .rules import Rule, Trace, first_failure
from .secrets import PresentedToken, Secret

__all__ = [
    "AUTHLIB_CREDENTIALS",
    "CREDENTIALS",
    "MAX_TOKEN_LENGTH",
    "TOKEN",
    "Credentials",
    "is_encodable",
    "is_token68",
    "read_authlib_credentials",
    "read_credentials",
]

MAX_TOKEN_LENGTH = 32_768
"""Maximum characters of a token, or of a header with its scheme. Longer ones are refused without being read."""


@dataclass(slots=True)
class Credentials:
    """What the client presented: the auth-scheme in lower case, and the token.

    If a test sets ``validators``, they are used instead of the validators for the scheme. Then ``has_proof`` says
    whether the request has a DPoP proof to check.
    """

    scheme: str
    token: Secret[PresentedToken]
    validators: Sequence[Any] = ()
    has_proof: bool = False


TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token in the sense of RFC 9110 §5.6.2, such as an auth-scheme."""

_LATER_SCHEME = re.compile(rf",[ \t]*(?P<scheme>{TOKEN.pattern})(?![^ \t,])")
_PARAMETERS = re.compile(r"[\x21-\x7E][\x20-\x7E]*")
_TOKEN68 = (string.ascii_letters + string.digits + "-._~+/").encode()


@dataclass(frozen=True, slots=True)
class _Field:
    """The value of the ``Authorization`` header, and the supported schemes in lower case."""

    value: str = field(repr=False)
    schemes: Collection[str]

    @property
    def scheme(self) -> str:
        match = TOKEN.match(self.value, 0, MAX_TOKEN_LENGTH)
        return match.group().lower() if match else ""


class _AuthlibField(_Field):
    __slots__ = ()

    @property
    def parts(self) -> list[str]:
        return self.value.split(None, 1)

    @property
    def scheme(self) -> str:
        return self.parts[0].lower()


def read_credentials(
    header: str | None, schemes: Collection[str], trace: Trace | None = None
) -> Credentials | GuardError:
    """The credentials in the value of the header, or the error for the client.

    They must be well formed (RFC 6750 §2.1) and use one of ``schemes``, which are in lower case.
    """
    # RFC 9110 §5.5: white space around a field's value is not part of the value.
    value = header.strip(" \t") if header is not None else ""
    # RFC 9110 §11.4: auth-scheme, 1*SP, then token68 or parameters.
    written, space, rest = value.partition(" ")
    scheme = written.lower() if written.isascii() else ""
    is_served = scheme in schemes and space != "" and len(value) <= MAX_TOKEN_LENGTH
    if not is_served or ("," in value and _repeats(value, schemes)):
        return _refuse(_Field(value, schemes), trace)
    token = PresentedToken(rest.lstrip(" "))
    # Schemes other than Bearer and DPoP may have parameters instead of a token. Their validators read these.
    if is_token68(token) or (scheme not in ("bearer", "dpop") and _PARAMETERS.fullmatch(token)):
        return Credentials(scheme, Secret(token))
    return _refuse(_Field(value, schemes), trace)


def is_token68(token: str) -> bool:
    """Whether ``token`` has the form of a bearer token (RFC 6750 §2.1).

    That is ``1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="``.
    """
    body = token.rstrip("=")
    # Ten times as fast as a regular expression.
    return body != "" and body.isascii() and not body.encode().translate(None, _TOKEN68)


def is_encodable(text: str) -> bool:
    """Whether ``text`` can be encoded as UTF-8. Half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _repeats(value: str, schemes: Collection[str]) -> bool:
    # Servers join the lines of a repeated header with a comma. RFC 6750 §3.1: a request that "uses more than one
    # method for including an access token" is an invalid_request.
    later = _LATER_SCHEME.finditer(value, 0, MAX_TOKEN_LENGTH)
    return any(match["scheme"].lower() in schemes for match in later)


def read_authlib_credentials(
    header: str | None, schemes: Collection[str], trace: Trace | None = None
) -> Credentials | GuardError:
    """The credentials as Authlib reads them: everything after the first white space is the token."""
    presented = _AuthlibField("" if header is None else header, schemes)
    reason = first_failure(AUTHLIB_CREDENTIALS, presented, trace)
    if reason is not None:
        return _error_of(reason, presented)
    return Credentials(presented.scheme, Secret(PresentedToken(presented.parts[1])))


# --- The tables ---


def _refuse(presented: _Field, trace: Trace | None) -> GuardError:
    return _error_of(first_failure(CREDENTIALS, presented, trace) or Reason.MALFORMED_CREDENTIALS, presented)


def _error_of(reason: Reason, presented: _Field) -> GuardError:
    error = error_of(reason)
    if reason in (Reason.TOKEN_TOO_LONG, Reason.MALFORMED_CREDENTIALS):
        # Only for these reasons is the scheme known to be supported.
        error.scheme = presented.scheme
    return error


def _check_presented(presented: _Field) -> Reason | None:
    return None if presented.value else Reason.MISSING_CREDENTIALS


def _check_once(presented: _Field) -> Reason | None:
    return Reason.REPEATED_CREDENTIALS if _repeats(presented.value, presented.schemes) else None


def _check_scheme(presented: _Field) -> Reason | None:
    return None if presented.scheme in presented.schemes else Reason.UNSUPPORTED_SCHEME


def _check_length(presented: _Field) -> Reason | None:
    return Reason.TOKEN_TOO_LONG if len(presented.value) > MAX_TOKEN_LENGTH else None


def _check_form(presented: _Field) -> Reason:
    # `read_credentials` has already accepted well-formed credentials. The rules only explain why others are refused.
    return Reason.MALFORMED_CREDENTIALS


def _check_authlib_scheme(presented: _AuthlibField) -> Reason | None:
    is_served = len(presented.parts) == 2 and presented.scheme in presented.schemes
    return None if is_served else Reason.UNSUPPORTED_SCHEME


def _check_authlib_length(presented: _AuthlibField) -> Reason | None:
    return Reason.TOKEN_TOO_LONG if len(presented.parts[1]) > MAX_TOKEN_LENGTH else None


CREDENTIALS: Sequence[Rule[_Field, None]] = (
    Rule("credentials are presented", _check_presented),
    Rule("presented once", _check_once),
    Rule("scheme is served", _check_scheme),
    Rule("length of the token", _check_length),
    Rule("form of the credentials", _check_form),
)
"""The rules for the header."""

AUTHLIB_CREDENTIALS: Sequence[Rule[Any, None]] = (
    CREDENTIALS[0],
    Rule("scheme is served", _check_authlib_scheme),
    Rule("length of the token", _check_authlib_length),
)
"""The rules for the header in compat mode."""
