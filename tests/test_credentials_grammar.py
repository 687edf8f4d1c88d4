"""The reader of ``Authorization`` agrees with a naive reference on whatever a client sends."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from async_oauth_guard.errors import (
    GuardError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    UnsupportedTokenTypeError,
)
from async_oauth_guard.protocol.credentials import MAX_TOKEN_LENGTH, Credentials, read_credentials
from tests import reference
from tests.reference import Presented

# Servers decode header fields as Latin-1.
anything = st.text(st.characters(max_codepoint=0xFF), max_size=40)
token68 = st.from_regex(r"[A-Za-z0-9._~+/-]{1,20}={0,3}", fullmatch=True)
scheme = st.sampled_from(["Bearer", "bearer", "BEARER", "bEaReR", "BearerX", "Basic", "DPoP", "B", ""])
space = st.sampled_from(["", " ", "  ", "\t", " \t", "\x0b", "\xa0", "\n", "\x85", "\x1c"])
comma = st.sampled_from(["", ",", ", ", " ,", ",\t", ",,", ";"])
# Words put together at random are mostly garbage of one kind; these are nearly right.
likely = st.lists(st.one_of(scheme, space, comma, token68, anything), max_size=8).map("".join)
nearly = st.tuples(space, scheme, space, token68, st.one_of(space, comma, anything), space).map("".join)

EXPECTED = {
    Presented.NOTHING: MissingAuthorizationError,
    Presented.ANOTHER_SCHEME: UnsupportedTokenTypeError,
    Presented.MALFORMED: InvalidRequestError,
}


@given(st.one_of(anything, likely, nearly))
@example("Bearer a")
@example("Bearer a,Bearer b")
@example("Basic x, Bearer y")
@example("Bearer  a==")
@example("Bearer ==")
@example("Bearer\ta")
@example("Bearer a\n")
@example("bearer")
@settings(max_examples=1000, deadline=None)
def test_agrees_with_the_reference(value: str) -> None:
    """R2 to R5, R7: any string is read as RFC 9110 and RFC 6750 have it."""
    presented, token = reference.read(value)
    actual = read_credentials(value, {"bearer"})
    if presented is Presented.TOKEN:
        assert isinstance(actual, Credentials)
        assert (actual.scheme, actual.token.reveal()) == ("bearer", token)
    else:
        assert type(actual) is EXPECTED[presented]


@given(st.sampled_from(["Bearer", "bearer"]), st.integers(1, 3), token68)
def test_tokens_come_out_as_they_went_in(scheme: str, spaces: int, token: str) -> None:
    """R1 to R3: a well-formed header gives its token, to the character."""
    actual = read_credentials(scheme + " " * spaces + token, {"bearer"})
    assert isinstance(actual, Credentials)
    assert actual.token.reveal() == token


@given(st.integers(-20, 20))
def test_length(surplus: int) -> None:
    """R12: the whole value may have so many characters, and not one more."""
    value = "Bearer " + "x" * (MAX_TOKEN_LENGTH - len("Bearer ") + surplus)
    actual = read_credentials(value, {"bearer"})
    assert isinstance(actual, InvalidTokenError if surplus > 0 else Credentials)


@given(st.text(max_size=40))
def test_any_text_at_all(value: str) -> None:
    """R3: text that no server could have decoded is refused as well, and nothing raises."""
    actual = read_credentials("Bearer " + value, {"bearer"})
    assert isinstance(actual, Credentials | GuardError)
    assert value == "" or not isinstance(actual, Credentials) or value.isascii()


def test_no_header() -> None:
    """R4: no header at all is nothing presented."""
    assert type(read_credentials(None, {"bearer"})) is MissingAuthorizationError


@given(token68)
def test_nothing_shows_the_token(token: str) -> None:
    """R31: neither credentials nor errors show what was presented."""
    marked = "m4rk" + token
    for value in (f"Bearer {marked}", f"Bearer {marked} x", f"Basic {marked}", f"Bearer {marked},Bearer {marked}"):
        actual = read_credentials(value, {"bearer"})
        shown = f"{actual!r} {actual}"
        if isinstance(actual, GuardError):
            shown += f"{actual.get_body()} {actual.get_headers()} {vars(actual)}"
        assert marked not in shown
