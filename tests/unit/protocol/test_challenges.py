"""``WWW-Authenticate``, read by a parser that is independent of the writer."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from async_oauth_guard.errors import (
    AccessDeniedError,
    GuardError,
    HookError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    OAuth2Error,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
)
from async_oauth_guard.protocol.challenges import (
    DEFAULT_REALM,
    Protection,
    check_parameters,
    misleading_parameters,
    quoted,
    write_challenges,
)
from tests.rfc9110 import Challenge, read_challenges
from tests.unit.characters import ANY_CHARACTER

OWN = {"realm", "scope", "error", "error_description", "error_uri", "algs", "acr_values", "max_age"}
BEARER = Protection("bearer", None, {})
DPOP = Protection("DPoP", "other", {"algs": "ES256"})

values = st.one_of(
    st.text(ANY_CHARACTER, max_size=20),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    st.text('"\\,= ', max_size=8),
)
names = st.one_of(
    st.text(ANY_CHARACTER, max_size=8), st.sampled_from([*OWN, "Realm", "SCOPE", "a", "A", "b-c", "x y", "x=", "é"])
)
parameters = st.dictionaries(names, st.one_of(values, st.integers(), st.booleans(), st.none()), max_size=4)


def about(error: GuardError, scheme: str | None) -> GuardError:
    """The error of a request that used ``scheme``."""
    error.scheme = scheme
    return error


def is_accepted(realm: str | None, attributes: dict[str, Any]) -> bool:
    try:
        check_parameters(realm, attributes)
    except ValueError:
        return False
    return True


def could_be_read(name: str, value: str) -> bool:
    """Whether a strict parser reads this parameter. A tab is refused, because some recipients drop it."""
    text = f'Bearer {name}="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        read = read_challenges(text)
    except ValueError:
        return False
    return read == [Challenge("bearer", None, {name.lower(): value})] and "\t" not in value


@settings(deadline=None, max_examples=400)
@given(realm=st.one_of(st.none(), values), attributes=parameters)
@example(realm=None, attributes={"a": 1, "A": 2})
@example(realm="a\tb", attributes={})
def test_what_is_accepted_is_read_back(realm: str | None, attributes: dict[str, Any]) -> None:
    """R15 to R17: every accepted realm and attribute reaches the client unchanged."""
    if not is_accepted(realm, attributes):
        return
    field = write_challenges([Protection("bearer", realm, attributes)], MissingAuthorizationError())
    assert field is not None
    expected = {"realm": realm or DEFAULT_REALM, **{name.lower(): str(value) for name, value in attributes.items()}}
    assert read_challenges(field) == [Challenge("bearer", None, expected)]


@settings(deadline=None, max_examples=400)
@given(value=values)
@example("")
@example("~ ")
@example("\x7f")
@example("\x1f")
def test_refused_realms_could_not_be_read(value: str) -> None:
    """R16, R17: a realm is refused exactly if no challenge can contain it."""
    assert is_accepted(value, {}) == could_be_read("realm", value)


@settings(deadline=None, max_examples=400)
@given(name=names, value=values)
@example("Error_URI", "x")
@example("", "x")
def test_refused_attributes_could_not_be_read(name: str, value: str) -> None:
    """R15, R16: an attribute is refused exactly if a challenge cannot contain it or already has one of this name."""
    expected = could_be_read(name, value) and name.lower() not in OWN
    assert is_accepted(None, {name: value}) == expected


REFUSED: list[tuple[str | None, dict[str, Any], str]] = [
    ("é", {}, "realm must be printable ASCII"),
    ("a\nb", {}, "realm must be printable ASCII"),
    ("a\n", {}, "realm must be printable ASCII"),
    ("a\tb", {}, "realm must be printable ASCII"),
    (None, {"server": "€"}, "server must be printable ASCII"),
    (None, {"server": "a\rb"}, "server must be printable ASCII"),
    (None, {"two words": "x"}, "'two words' is not a valid parameter name for a challenge"),
    (None, {"": "x"}, "'' is not a valid parameter name for a challenge"),
    (None, {"a\n": "x"}, "is not a valid parameter name for a challenge"),
    (None, {"é": "x"}, "'é' is not a valid parameter name for a challenge"),
    (None, {"scope": "x"}, "'scope' would appear in the challenge twice"),
    (None, {"Error": "x"}, "'Error' would appear in the challenge twice"),
    (None, {"error_description": "x"}, "'error_description' would appear in the challenge twice"),
    (None, {"ERROR_URI": "x"}, "'ERROR_URI' would appear in the challenge twice"),
    (None, {"realm": "x"}, "'realm' would appear in the challenge twice"),
    (None, {"algs": "x"}, "'algs' would appear in the challenge twice"),
    (None, {"ACR_values": "x"}, "'ACR_values' would appear in the challenge twice"),
    (None, {"max_age": "x"}, "'max_age' would appear in the challenge twice"),
    (None, {"a": "x", "A": "y"}, "'A' would appear in the challenge twice"),
]


@pytest.mark.parametrize(("realm", "attributes", "message"), REFUSED, ids=repr)
def test_refused_parameters(realm: str | None, attributes: dict[str, Any], message: str) -> None:
    """R15, R16: a value that a challenge cannot contain raises a ``ValueError`` that names it."""
    with pytest.raises(ValueError, match=re.escape(message)):
        check_parameters(realm, attributes)


@pytest.mark.parametrize(
    ("realm", "attributes"),
    [(None, {}), ("", {}), (" ", {}), ('a"b\\c', {}), ("~", {"number": 7, "flag": True, "x-y!": ""})],
)
def test_accepted_parameters(realm: str | None, attributes: dict[str, Any]) -> None:
    """Any printable ASCII is accepted."""
    check_parameters(realm, attributes)


@pytest.mark.parametrize(
    ("realm", "attributes", "expected"),
    [
        (None, {}, []),
        ("scope", {"hint": "error"}, []),
        ("x scope=a", {"hint": "a"}, ["realm"]),
        ("a", {"hint": "ERROR=x", "other": "resource_metadata=x"}, ["hint", "other"]),
    ],
)
def test_misleading_parameters(realm: str | None, attributes: dict[str, str], expected: list[str]) -> None:
    """A realm or an attribute that contains a parameter is named."""
    assert misleading_parameters(realm, attributes) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("", '""'), ("a", '"a"'), ('a"b\\c', '"a\\"b\\\\c"'), (7, '"7"'), ('"', '"\\""')]
)
def test_quoted(value: object, expected: str) -> None:
    """R17: quotes and backslashes are escaped."""
    assert quoted(value) == expected


DESCRIBED = {"realm": "api", "error": "invalid_token", "error_description": str(InvalidTokenError.description)}
MALFORMED = {"error": "invalid_request", "error_description": str(InvalidRequestError.description)}

CHALLENGES: list[tuple[list[Protection], GuardError, str | None, list[Challenge]]] = [
    ([BEARER], MissingAuthorizationError(), None, [Challenge("bearer", None, {"realm": "api"})]),
    (
        [BEARER],
        MissingAuthorizationError(scope=("a", "b")),
        None,
        [Challenge("bearer", None, {"realm": "api", "scope": "a b"})],
    ),
    (
        [BEARER],
        UnsupportedTokenTypeError(scope=("a",)),
        None,
        [Challenge("bearer", None, {"realm": "api", "scope": "a"})],
    ),
    ([BEARER], InvalidTokenError(), "bearer", [Challenge("bearer", None, DESCRIBED)]),
    (
        [BEARER],
        InsufficientScopeError(scope=("a",)),
        "bearer",
        [
            Challenge(
                "bearer",
                None,
                {
                    "realm": "api",
                    "scope": "a",
                    "error": "insufficient_scope",
                    "error_description": str(InsufficientScopeError.description),
                },
            )
        ],
    ),
    (
        [BEARER, DPOP],
        InvalidTokenError(),
        "bearer",
        [Challenge("bearer", None, DESCRIBED), Challenge("dpop", None, {"realm": "other", "algs": "ES256"})],
    ),
    (
        [BEARER, DPOP],
        InvalidTokenError(scope=("a",)),
        "DPoP",
        [
            Challenge("bearer", None, {"realm": "api", "scope": "a"}),
            Challenge("dpop", None, {**DESCRIBED, "realm": "other", "algs": "ES256", "scope": "a"}),
        ],
    ),
    (
        [BEARER, DPOP],
        InvalidRequestError(),
        None,
        [
            Challenge("bearer", None, {"realm": "api", **MALFORMED}),
            Challenge("dpop", None, {"realm": "other", "algs": "ES256", **MALFORMED}),
        ],
    ),
    (
        [BEARER, DPOP],
        MissingAuthorizationError(scope=("a",)),
        None,
        [
            Challenge("bearer", None, {"realm": "api", "scope": "a"}),
            Challenge("dpop", None, {"realm": "other", "algs": "ES256", "scope": "a"}),
        ],
    ),
    (
        [Protection("bearer", "", {})],
        MissingAuthorizationError(),
        None,
        [Challenge("bearer", None, {"realm": "api"})],
    ),
]


STEP_UP = {
    "error": "insufficient_user_authentication",
    "error_description": str(InsufficientUserAuthenticationError.description),
}
CHALLENGES += [
    (
        [DPOP, BEARER],
        InsufficientUserAuthenticationError(acr_values=("gold", "silver"), max_age=0, scope=("a",)),
        "bearer",
        [
            Challenge(
                "bearer", None, {"realm": "api", "scope": "a", **STEP_UP, "acr_values": "gold silver", "max_age": "0"}
            ),
            Challenge("dpop", None, {"realm": "other", "algs": "ES256", "scope": "a"}),
        ],
    ),
    ([BEARER], InsufficientUserAuthenticationError(), None, [Challenge("bearer", None, {"realm": "api", **STEP_UP})]),
]


@pytest.mark.parametrize(("protections", "error", "scheme", "expected"), CHALLENGES)
def test_challenges(
    protections: list[Protection], error: GuardError, scheme: str | None, expected: list[Challenge]
) -> None:
    """R13, R14, R18, R20, R23: each scheme has a challenge, and the scheme that was used has the error."""
    field = write_challenges(protections, about(error, scheme))
    assert field is not None
    assert read_challenges(field) == expected


@pytest.mark.parametrize(
    ("protections", "error"),
    [
        ([BEARER], TemporarilyUnavailableError()),
        ([BEARER], AccessDeniedError(scope=("a",))),
        ([], InvalidTokenError()),
    ],
)
def test_no_challenge(protections: list[Protection], error: GuardError) -> None:
    """An outage and what no scope can fix have no challenge, because no other credentials would help."""
    assert write_challenges(protections, about(error, "bearer")) is None


def test_spelling_and_order() -> None:
    """R14: the scheme is spelled as in RFC 6750; ``Bearer`` and the realm come first."""
    protection = Protection("bearer", "r", {"server": "s"})
    assert write_challenges([protection], InvalidTokenError("why", scope=("x",))) == (
        'Bearer realm="r", server="s", scope="x", error="invalid_token", error_description="why"'
    )
    for protections in [protection, DPOP], [DPOP, protection]:
        assert write_challenges(protections, MissingAuthorizationError()) == (
            'Bearer realm="r", server="s", DPoP realm="other", algs="ES256"'
        )


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("plain, with spaces!", "plain, with spaces!"),
        ('a "quote"', "a ?quote?"),
        ("back\\slash", "back?slash"),
        ("line\r\nbreak", "line??break"),
        ("é€\x7f\t~", "????~"),
        ("", ""),
        (None, ""),
    ],
)
def test_descriptions(description: str | None, expected: str) -> None:
    """R16: characters that RFC 6750 §3 forbids in a description are replaced."""
    error = InvalidTokenError()
    error.description = description
    field = write_challenges([BEARER], error)
    assert field is not None
    assert read_challenges(field)[0].parameters["error_description"] == expected


def test_codes_of_hooks_stand_in_the_challenge() -> None:
    """An error code of a hook is written like any other."""
    field = write_challenges([BEARER], HookError(OAuth2Error(error="made_up")))
    assert field is not None
    assert read_challenges(field)[0].parameters == {"realm": "api", "error": "made_up", "error_description": ""}
