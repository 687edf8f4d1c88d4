"""What ``Authorization`` says, read slowly and without a regular expression, from RFC 9110 §11 and RFC 6750."""

from enum import Enum, auto

ALPHANUMERIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
TCHAR = ALPHANUMERIC | frozenset("!#$%&'*+-.^_`|~")
TOKEN68 = ALPHANUMERIC | frozenset("-._~+/")


class Presented(Enum):
    """What kind of thing a client presents."""

    NOTHING = auto()
    ANOTHER_SCHEME = auto()
    MALFORMED = auto()
    TOKEN = auto()


def read(value: str, scheme: str = "bearer") -> tuple[Presented, str]:
    """What ``value`` presents, and the token, if it is one."""
    value = value.strip(" \t")
    if not value:
        return Presented.NOTHING, ""
    word = leading(value, TCHAR)
    if any(begins_with(part.lstrip(" \t"), scheme) for part in value.split(",")[1:]):
        # Several field lines, joined on the way: more than one method, or one repeated.
        return Presented.MALFORMED, ""
    if word.lower() != scheme:
        return Presented.ANOTHER_SCHEME, ""
    rest = value[len(word) :]
    token = rest.lstrip(" ")
    if token == rest or not is_token68(token):
        return Presented.MALFORMED, ""
    return Presented.TOKEN, token


def begins_with(part: str, scheme: str) -> bool:
    """Whether a part of the value begins with ``scheme``, and not with a parameter of that name."""
    word = leading(part, TCHAR)
    return word.lower() == scheme and part[len(word) :][:1] in ("", " ", "\t")


def is_token68(text: str) -> bool:
    """``1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="``."""
    start = leading(text, TOKEN68)
    return bool(start) and set(text[len(start) :]) <= {"="}


def leading(text: str, allowed: frozenset[str]) -> str:
    """The longest beginning of ``text`` that consists of ``allowed`` characters."""
    length = 0
    while length < len(text) and text[length] in allowed:
        length += 1
    return text[:length]
