"""The ``Authorization`` header becomes a scheme and a token, or an error."""

import string
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from async_oauth_guard.errors import (
    GuardError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    Reason,
    UnsupportedTokenTypeError,
)
from async_oauth_guard.protocol.credentials import (
    AUTHLIB_CREDENTIALS,
    CREDENTIALS,
    MAX_TOKEN_LENGTH,
    Credentials,
    read_authlib_credentials,
    read_credentials,
)
from async_oauth_guard.protocol.secrets import PresentedToken
from tests.unit.characters import ANY_CHARACTER

MISSING = (MissingAuthorizationError, Reason.MISSING_CREDENTIALS)
UNSUPPORTED = (UnsupportedTokenTypeError, Reason.UNSUPPORTED_SCHEME)
MALFORMED = (InvalidRequestError, Reason.MALFORMED_CREDENTIALS)
REPEATED = (InvalidRequestError, Reason.REPEATED_CREDENTIALS)
TOO_LONG = (InvalidTokenError, Reason.TOKEN_TOO_LONG)
BEARER = ["bearer"]


def outcome(read: Credentials | GuardError) -> Any:
    """Scheme and token, or the error's class and reason."""
    if isinstance(read, Credentials):
        return read.scheme, read.token.reveal()
    return type(read), read.reason


def longest(extra: int, scheme: str = "Bearer ") -> str:
    """A header with ``extra`` characters more than are allowed."""
    return scheme + "x" * (MAX_TOKEN_LENGTH - len(scheme) + extra)


HEADERS: list[tuple[str | None, Any]] = [
    (None, MISSING),
    ("", MISSING),
    ("   ", MISSING),
    ("\t", MISSING),
    ("Bearer T", ("bearer", "T")),
    ("bearer T", ("bearer", "T")),
    ("BEARER T", ("bearer", "T")),
    ("bEaReR T", ("bearer", "T")),
    ("Bearer  T", ("bearer", "T")),
    ("Bearer     T", ("bearer", "T")),
    (" Bearer T ", ("bearer", "T")),
    ("\tBearer T\t", ("bearer", "T")),
    ("Bearer abcXYZ019-._~+/", ("bearer", "abcXYZ019-._~+/")),
    ("Bearer T=", ("bearer", "T=")),
    ("Bearer T===", ("bearer", "T===")),
    ("Bearer Bearer", ("bearer", "Bearer")),
    ("Bearer", MALFORMED),
    ("Bearer ", MALFORMED),
    ("Bearer\tT", MALFORMED),
    ("Bearer \tT", MALFORMED),
    ("Bearer\nT", MALFORMED),
    ("Bearer T x", MALFORMED),
    ("Bearer T\x00", MALFORMED),
    ("Bearer T\n", MALFORMED),
    ("Bearer T\u00a0", MALFORMED),
    ('Bearer "T"', MALFORMED),
    ("Bearer=T", MALFORMED),
    ("Bearer T,U", MALFORMED),
    ("Bearer T, U", MALFORMED),
    ("Bearer T,", MALFORMED),
    ("Bearer ===", MALFORMED),
    ("Bearer T=x", MALFORMED),
    ("Bearer é", MALFORMED),
    ("Bearer T%20", MALFORMED),
    ("Bearer,T", MALFORMED),
    ("Bearer T,Basic Zm9v", MALFORMED),
    ("Basic Zm9vOmJhcg==", UNSUPPORTED),
    ("Negotiate x", UNSUPPORTED),
    ("BearerX T", UNSUPPORTED),
    ("Bear T", UNSUPPORTED),
    ("T", UNSUPPORTED),
    ("=", UNSUPPORTED),
    ("é", UNSUPPORTED),
    (",", UNSUPPORTED),
    ('"Bearer" T', UNSUPPORTED),
    ("Bearer\u00e9 T", MALFORMED),
    ("Bearer T,Bearer T", REPEATED),
    ("Bearer T,Bearer U", REPEATED),
    ("Bearer T, \tbearer U", REPEATED),
    ("Bearer T,BEARER", REPEATED),
    ("Bearer,Bearer", REPEATED),
    ("Basic Zm9v,Bearer T", REPEATED),
    ("Basic Zm9v, Digest x, Bearer T", REPEATED),
    (",Bearer T", REPEATED),
    ("Bearer T,,Bearer U", REPEATED),
    ("Bearer T,Bearer", REPEATED),
    ("Bearer T,Bearer,x", REPEATED),
    ("Bearer T,Bearer\tU", REPEATED),
    ("Bearer T,Bearer=U", MALFORMED),
    ('Digest x="y", bearer="z"', UNSUPPORTED),
    ("Bearer T,BearerX U", MALFORMED),
    ("Bearer T,X Bearer", MALFORMED),
    (longest(0), ("bearer", "x" * (MAX_TOKEN_LENGTH - 7))),
    (longest(1), TOO_LONG),
    (longest(1_000_000), TOO_LONG),
    (" " + longest(0) + " ", ("bearer", "x" * (MAX_TOKEN_LENGTH - 7))),
    (longest(1, "Basic "), UNSUPPORTED),
    (longest(1, "Bearer é"), TOO_LONG),
    (longest(0, "Bearer a,bearer "), REPEATED),
    (longest(1, "Bearer a,bearer "), REPEATED),
    (longest(0) + ",Bearer T", TOO_LONG),
]


@pytest.mark.parametrize(("header", "expected"), HEADERS, ids=lambda part: repr(part)[:40])
def test_headers(header: str | None, expected: Any) -> None:
    """R1 to R5, R7, R12: each header has the result that the error map defines."""
    assert outcome(read_credentials(header, BEARER)) == expected


SCHEMES: list[tuple[str, list[str], Any]] = [
    ("Bearer T", [], UNSUPPORTED),
    ("Bearer T,Bearer U", [], UNSUPPORTED),
    ("Bearer T", ["dpop"], UNSUPPORTED),
    ("DPoP T", ["bearer", "dpop"], ("dpop", "T")),
    ("DPoP T,Bearer T", ["bearer", "dpop"], REPEATED),
    ("Bearer T,DPoP T", ["bearer", "dpop"], REPEATED),
    ("Bearer T,DPoP T", ["bearer"], MALFORMED),
    ('Digest name="x", nonce=y', ["bearer", "digest"], ("digest", 'name="x", nonce=y')),
    ("digest  x ", ["bearer", "digest"], ("digest", "x")),
    ("Digest x\ty", ["bearer", "digest"], MALFORMED),
    ("Digest é", ["bearer", "digest"], MALFORMED),
    ("Digest", ["bearer", "digest"], MALFORMED),
    ("Digest\tx", ["bearer", "digest"], MALFORMED),
    ("Digest x, Bearer y", ["bearer", "digest"], REPEATED),
    ("Digest x, Bearer y", ["digest"], ("digest", "x, Bearer y")),
    ("Digest x, digest y", ["digest"], REPEATED),
    ("BEARER T x", ["bearer", "digest"], MALFORMED),
    ("Bearerx T x", ["bearerx"], ("bearerx", "T x")),
    ("Digest " + "x" * MAX_TOKEN_LENGTH, ["digest"], TOO_LONG),
    ("x-y!z T", ["x-y!z"], ("x-y!z", "T")),
]


@pytest.mark.parametrize(("header", "schemes", "expected"), SCHEMES)
def test_schemes(header: str, schemes: list[str], expected: Any) -> None:
    """R5, R7: the supported schemes are those of the validators."""
    assert outcome(read_credentials(header, schemes)) == expected


ABOUT: list[tuple[str | None, str | None]] = [
    (None, None),
    ("Basic T", None),
    ("Bearer T,Bearer U", None),
    ("DPoP T,Bearer U", None),
    ("BEARER", "bearer"),
    ("DPoP é", "dpop"),
    (longest(1), "bearer"),
]


@pytest.mark.parametrize(("header", "scheme"), ABOUT, ids=lambda part: repr(part)[:40])
def test_errors_name_the_scheme(header: str | None, scheme: str | None) -> None:
    """R20: an error concerns the scheme that was used, or all schemes if this is unknown."""
    error = read_credentials(header, ["bearer", "dpop"])
    assert isinstance(error, GuardError)
    assert error.scheme == scheme


@pytest.mark.parametrize(
    ("header", "scheme"), [(None, None), ("Basic x", None), ("BEARER " + "x" * (MAX_TOKEN_LENGTH + 1), "bearer")]
)
def test_errors_name_the_scheme_as_authlib_reads_it(header: str | None, scheme: str | None) -> None:
    """R20: the same applies in compat mode."""
    error = read_authlib_credentials(header, ["bearer"])
    assert isinstance(error, GuardError)
    assert error.scheme == scheme


TCHARS = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
TOKEN_CHARACTERS = string.ascii_letters + string.digits + "-._~+/"


def leading(text: str, characters: str) -> str:
    """The longest beginning of ``text`` made of ``characters``."""
    return text[: next((index for index, character in enumerate(text) if character not in characters), len(text))]


def naive(header: str) -> Any:
    """The grammar of RFC 6750 §2.1 and RFC 9110 §11.4, read one character after the other."""
    value = header.strip(" \t")
    if not value:
        return MISSING
    scheme = leading(value, TCHARS)
    for part in value.split(",")[1:]:
        element = part.lstrip(" \t")
        name = leading(element, TCHARS)
        if name.lower() == "bearer" and element[len(name) :][:1] in ("", " ", "\t"):
            return REPEATED
    if scheme.lower() != "bearer":
        return UNSUPPORTED
    rest = value[len(scheme) :]
    token = rest.lstrip(" ")
    body = token.rstrip("=")
    if token == rest or not body or leading(body, TOKEN_CHARACTERS) != body:
        return MALFORMED
    return "bearer", token


pieces = st.sampled_from(
    ["Bearer", "bearer", "BEARER", "Basic", " ", "  ", "\t", ",", "=", "==", "T", "a.b-c", '"', "é"]
)
headers = st.one_of(
    st.text(ANY_CHARACTER, max_size=20),
    st.lists(pieces, max_size=8).map("".join),
    st.tuples(st.sampled_from(["Bearer ", "bearer  ", "Bearer\t"]), st.text(ANY_CHARACTER, max_size=12)).map("".join),
    st.tuples(st.just("Bearer "), st.text(TOKEN_CHARACTERS, min_size=1, max_size=30)).map("".join),
)


@settings(deadline=None, max_examples=400)
@given(headers)
@example("Bearer T=,=")
def test_any_header(header: str) -> None:
    """R3: any string gives the same result as a naive parser of the grammar, and nothing is raised."""
    assert outcome(read_credentials(header, BEARER)) == naive(header)


@settings(deadline=None)
@given(
    scheme=st.sampled_from(["Bearer", "bearer", "BEARER", "bEARER"]),
    spaces=st.integers(1, 5),
    token=st.text(TOKEN_CHARACTERS, min_size=1, max_size=200),
    padding=st.integers(0, 3),
)
def test_every_token_is_read(scheme: str, spaces: int, token: str, padding: int) -> None:
    """R1 to R3: any token68 after any number of spaces is read unchanged, including ``=``."""
    token += "=" * padding
    assert outcome(read_credentials(scheme + " " * spaces + token, BEARER)) == ("bearer", token)


AUTHLIB: list[tuple[str | None, Any]] = [
    (None, MISSING),
    ("", MISSING),
    (" ", UNSUPPORTED),
    ("Bearer", UNSUPPORTED),
    ("Bearer ", UNSUPPORTED),
    ("Basic x", UNSUPPORTED),
    ("Bearer T", ("bearer", "T")),
    ("BEARER\tT", ("bearer", "T")),
    ("  Bearer   T  ", ("bearer", "T  ")),
    ("Bearer T x", ("bearer", "T x")),
    ("Bearer T,Bearer U", ("bearer", "T,Bearer U")),
    ('Bearer "é"', ("bearer", '"é"')),
    ("Bearer " + "x" * MAX_TOKEN_LENGTH, ("bearer", "x" * MAX_TOKEN_LENGTH)),
    ("Bearer " + "x" * (MAX_TOKEN_LENGTH + 1), TOO_LONG),
    ("Basic " + "x" * (MAX_TOKEN_LENGTH + 1), UNSUPPORTED),
]


@pytest.mark.parametrize(("header", "expected"), AUTHLIB, ids=lambda part: repr(part)[:40])
def test_headers_as_authlib_reads_them(header: str | None, expected: Any) -> None:
    """In compat mode the header is split at any white space, and everything after the scheme is the token."""
    assert outcome(read_authlib_credentials(header, BEARER)) == expected


def test_names_of_rules() -> None:
    """A rule has the same name in compat mode, because `oauth_explain` shows it."""
    assert {rule.name for rule in AUTHLIB_CREDENTIALS} <= {rule.name for rule in CREDENTIALS}


@pytest.mark.parametrize("read", [read_credentials, read_authlib_credentials])
def test_tokens_are_presented_ones(read: Any) -> None:
    """R31: the token's type hides it when an error page shows a hook's local variables."""
    assert type(read("Bearer T", BEARER).token.reveal()) is PresentedToken


def test_limit() -> None:
    """R12: the limit for tokens is the documented one."""
    assert MAX_TOKEN_LENGTH == 32 * 1024
