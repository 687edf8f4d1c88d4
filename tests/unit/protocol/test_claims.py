"""The rules for claims of JWTs and introspection responses."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.claims import (
    check_audience,
    check_authorization_details,
    check_issuer,
    check_kind,
    check_required,
    check_times,
    check_token_type,
    check_type,
    check_use,
)
from async_oauth_guard.protocol.provider_profiles import FORBIDDEN_TYPES, PROFILES, get_profile
from tests.unit.characters import ANY_CHARACTER
from tests.unit.driving import check_unverified

NOW = 1_700_000_000.0
ISSUER = "https://as.example.com"
ME = "https://api.example.com"
RFC9068 = get_profile("rfc9068")
GENERIC = get_profile("generic")

CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "exp": NOW + 300,
    "aud": ME,
    "sub": "ada",
    "client_id": "console",
    "iat": NOW - 5,
    "jti": "0001",
}
NO_NUMBERS: list[Any] = [
    True,
    False,
    "1893456000",
    "",
    [1893456000],
    {"exp": 1893456000},
    float("nan"),
    float("inf"),
    float("-inf"),
    1e400,
    -1,
    -0.5,
    10**400,
    -(10**400),
]
NO_NAMES: list[Any] = ["", 5, True, ["ada"], {"id": "ada"}]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(ANY_CHARACTER, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(ANY_CHARACTER, max_size=5), inner, max_size=3),
    max_leaves=8,
)
claim_names = [
    *CLAIMS,
    "nbf",
    "cnf",
    "token_type",
    "token_use",
    "typ",
    "authorization_details",
    "azp",
    "scope",
    "events",
]


def early(claims: dict[str, Any], typ: Any = "at+jwt", **changed: Any) -> Reason | None:
    options = {"profile": RFC9068, "issuer": ISSUER, "audiences": {ME}, "now": NOW, "leeway": 10} | changed
    return check_unverified(typ, claims, **options)


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "at+JWT", "application/at+jwt", "APPLICATION/AT+JWT"])
def test_type_of_an_access_token(typ: str) -> None:
    """R35: the type is compared without regard to case, and its prefix is optional."""
    assert check_type(RFC9068, typ) is None


@pytest.mark.parametrize(
    "typ",
    [
        None,
        "",
        "JWT",
        "jwt",
        "id_token",
        "at",
        "at+jwt ",
        "at+jwt;v=1",
        "application/",
        "application/application/at+jwt",
        "text/at+jwt",
        "at+\u212awt",
        5,
        ["at+jwt"],
        *sorted(FORBIDDEN_TYPES),
    ],
)
def test_types_of_others(typ: Any) -> None:
    """R35, R60: any other type, and a missing one, are refused."""
    assert check_type(RFC9068, typ) is Reason.WRONG_TYPE


@pytest.mark.parametrize("prefix", ["", "application/"])
@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    "typ",
    [
        "dpop+jwt",
        "logout+jwt",
        "token-introspection+jwt",
        "secevent+jwt",
        "client-authentication+jwt",
        "oauth-authz-req+jwt",
    ],
)
def test_no_profile_accepts_forbidden_types(name: str, typ: str, prefix: str) -> None:
    """R35, R60: a JWT with the type of another kind is refused under every profile."""
    assert check_type(get_profile(name), prefix + typ.upper()) is Reason.WRONG_TYPE


@pytest.mark.parametrize("claim", ["at_hash", "c_hash", "s_hash", "events", "token_introspection", "htm", "htu"])
@pytest.mark.parametrize("name", sorted(set(PROFILES) - {"rfc9068"}))
def test_claims_of_other_kinds(name: str, claim: str) -> None:
    """R60: if the type does not distinguish the kinds, a claim of another kind of JWT is enough to refuse it."""
    assert check_kind(get_profile(name), {**CLAIMS, claim: "x"}) is Reason.WRONG_TYPE
    assert check_kind(get_profile(name), CLAIMS) is None


def test_kind_is_told_by_the_type() -> None:
    """A token whose type is that of an access token may have any claims."""
    assert check_kind(RFC9068, {**CLAIMS, "events": ["login"]}) is None


@pytest.mark.parametrize("name", CLAIMS)
def test_required_claims(name: str) -> None:
    """R36: each claim that RFC 9068 requires must be present and not null."""
    without = {other: value for other, value in CLAIMS.items() if other != name}
    assert check_required(RFC9068, CLAIMS) is None
    assert check_required(RFC9068, without) is Reason.MISSING_CLAIM
    assert check_required(RFC9068, {**CLAIMS, name: None}) is Reason.MISSING_CLAIM


@pytest.mark.parametrize("value", NO_NAMES, ids=repr)
@pytest.mark.parametrize("name", ["iss", "sub", "client_id", "jti"])
def test_names_are_strings(name: str, value: Any) -> None:
    """R36: a claim that names somebody or something is a string that is not empty."""
    assert check_required(RFC9068, {**CLAIMS, name: value}) is Reason.MALFORMED_CLAIM


@pytest.mark.parametrize("value", NO_NAMES, ids=repr)
@pytest.mark.parametrize("name", ["sub", "jti", "client_id", "azp"])
def test_names_are_strings_where_they_are_not_required(name: str, value: Any) -> None:
    """R36: the same applies to an optional claim that is present."""
    claims = {"iss": ISSUER, "exp": NOW, "scope": "read"}
    assert check_required(GENERIC, claims) is None
    assert check_required(GENERIC, {**claims, name: value}) is Reason.MALFORMED_CLAIM


@pytest.mark.parametrize("value", ["", [], [""], [ME, 5], [[ME]], {ME: 1}, 5, True], ids=repr)
def test_form_of_the_audience(value: Any) -> None:
    """R36, R38: the form of the audience is checked even if it is not compared."""
    assert early({**CLAIMS, "aud": value}, audiences=None) is Reason.MALFORMED_CLAIM


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["exp", "iat"])
def test_form_of_the_times(name: str, value: Any) -> None:
    """R36, R45: the form of the times is checked even if a hook checks the lifetime."""
    assert early({**CLAIMS, name: value}, checks_times=False) is Reason.MALFORMED_CLAIM


def test_one_of_a_group_is_required() -> None:
    """One claim of each group must be present."""
    profile = dataclasses.replace(GENERIC, required_any=(("a", "b"), ("c",)))
    assert check_required(profile, {**CLAIMS, "a": "1", "c": "1"}) is None
    assert check_required(profile, {**CLAIMS, "b": "1", "c": "1"}) is None
    assert check_required(profile, {**CLAIMS, "a": "1", "b": "1"}) is Reason.MISSING_CLAIM
    assert check_required(profile, {**CLAIMS, "b": None, "c": "1"}) is Reason.MISSING_CLAIM


@pytest.mark.parametrize("value", ["id", "ACCESS", "", None, True, ["access"]], ids=repr)
def test_fixed_claims(value: Any) -> None:
    """A claim that a profile fixes must have exactly this value."""
    profile = dataclasses.replace(GENERIC, fixed={"token_use": "access"})
    assert check_required(profile, {**CLAIMS, "token_use": "access"}) is None
    assert check_required(profile, {**CLAIMS, "token_use": value}) is Reason.WRONG_CLAIM
    assert check_required(profile, CLAIMS) is Reason.WRONG_CLAIM


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        ISSUER + "/",
        ISSUER + ":443",
        ISSUER.upper(),
        "https://AS.example.com",
        "http://as.example.com",
        ISSUER[:-1],
        ISSUER + ".evil.example",
        "https://\u0430s.example.com",
        [ISSUER],
        [ISSUER, "https://evil.example"],
        {"iss": ISSUER},
        True,
        5,
    ],
)
def test_issuers_of_others(issuer: Any) -> None:
    """R37: an issuer must match ours code point by code point. A list that contains ours is refused."""
    assert check_issuer({"iss": issuer}, ISSUER) is Reason.WRONG_ISSUER


def test_issuer() -> None:
    """R37: our issuer is accepted, and a missing one is refused."""
    assert check_issuer(CLAIMS, ISSUER) is None
    assert check_issuer({}, ISSUER) is Reason.MISSING_CLAIM
    assert check_issuer({"iss": None}, ISSUER) is Reason.MISSING_CLAIM


@pytest.mark.parametrize("audience", [ME, [ME], ["x", ME], [ME, ME], ["x", "https://other.example.com"]], ids=repr)
def test_audience(audience: Any) -> None:
    """R28, R38: one of our names, alone or among others, is accepted."""
    assert check_audience({"aud": audience}, (ME, "https://other.example.com")) is None


@pytest.mark.parametrize(
    "audience",
    [
        None,
        "",
        [],
        "x",
        ["x"],
        ME + "/",
        ME.upper(),
        "prefix-" + ME,
        ME[:-1],
        f"{ME} x",
        {ME: 1},
        [[ME]],
        [ME, 5],
        [ME, None],
        [{"aud": ME}],
        True,
        5,
        ISSUER,
    ],
    ids=repr,
)
def test_audiences_of_others(audience: Any) -> None:
    """R28, R38: other names, parts of the resource's name, and anything but an array of strings are refused."""
    assert check_audience({"aud": audience}, {ME}) is Reason.WRONG_AUDIENCE
    assert check_audience({"aud": audience}, [ME]) is Reason.WRONG_AUDIENCE
    assert check_audience({"aud": audience}, ()) is Reason.WRONG_AUDIENCE


def test_no_audience_fails_closed() -> None:
    """R28: without an own audience nothing is accepted, and a string is not searched for parts."""
    assert check_audience({}, {ME}) is Reason.WRONG_AUDIENCE
    assert check_audience({"aud": "api"}, ME) is Reason.WRONG_AUDIENCE


def test_audience_in_another_claim() -> None:
    """Another claim may be compared instead of ``aud``, and then only that one."""
    claims = {"aud": "x", "client_id": "console"}
    assert check_audience(claims, {"console"}, "client_id") is None
    assert check_audience(claims, {"x"}, "client_id") is Reason.WRONG_AUDIENCE


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("exp", "leeway", "reason"),
    [
        (NOW, 0, Reason.EXPIRED),
        (NOW + 1, 0, None),
        (NOW + 0.5, 0, None),
        (NOW - 10, 10, Reason.EXPIRED),
        (NOW - 9, 10, None),
        (NOW - 9.5, 10, None),
        (0, 10, Reason.EXPIRED),
        (0.0, 10, Reason.EXPIRED),
        (int(NOW) + 1, 0, None),
        (1893456000.5, 0, None),
        (1.7e308, 0, None),
        (10**308, 0, None),
    ],
)
def test_expiry(exp: Any, leeway: float, reason: Reason | None, required: bool) -> None:
    """R26, R43: a token is valid until ``exp`` plus the leeway, and no longer."""
    assert check_times({"exp": exp}, NOW, leeway=leeway, required=required) is reason


def test_expiry_is_required_where_it_is() -> None:
    """R36: a token without ``exp`` is refused if it is required, and does not expire otherwise."""
    for claims in ({}, {"exp": None}):
        assert check_times(claims, NOW, leeway=0, required=True) is Reason.MISSING_CLAIM
        assert check_times(claims, NOW, leeway=0, required=False) is None


@pytest.mark.parametrize(
    ("nbf", "leeway", "reason"),
    [
        (NOW, 0, None),
        (NOW + 1, 0, Reason.NOT_YET_VALID),
        (NOW + 10, 10, None),
        (NOW + 10.5, 10, Reason.NOT_YET_VALID),
        (NOW + 120, 10, Reason.NOT_YET_VALID),
        (0, 0, None),
        (None, 0, None),
    ],
)
def test_not_before(nbf: Any, leeway: float, reason: Reason | None) -> None:
    """R44: a token is refused before ``nbf`` minus the leeway."""
    assert check_times({"nbf": nbf}, NOW, leeway=leeway, required=False) is reason


@pytest.mark.parametrize("leeway", [0, 300])
@pytest.mark.parametrize(
    ("iat", "reason"),
    [
        (NOW, None),
        (NOW + 5, None),
        (NOW + 60, None),
        (NOW + 61, Reason.ISSUED_IN_FUTURE),
        (NOW + 3600, Reason.ISSUED_IN_FUTURE),
        (0, None),
        (None, None),
    ],
)
def test_issued_at(iat: Any, reason: Reason | None, leeway: float) -> None:
    """R44: a token that was issued more than a minute in the future is refused, whatever the leeway is."""
    assert check_times({"iat": iat}, NOW, leeway=leeway, required=False) is reason


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_times_are_numbers(name: str, value: Any) -> None:
    """R45: a time must be a finite number that is not negative. Other values cause no error."""
    assert check_times({name: value}, NOW, leeway=10, required=False) is Reason.MALFORMED_CLAIM


@pytest.mark.parametrize("token_type", [None, "Bearer", "BEARER", "DPoP", "dpop"])
def test_types_of_access_tokens(token_type: Any) -> None:
    """R72: a token may say that it is a bearer token or a DPoP-bound one, in upper or lower case."""
    assert check_token_type({"token_type": token_type}) is None
    assert check_token_type({}) is None


@pytest.mark.parametrize("token_type", ["N_A", "MAC", "", " Bearer", ["Bearer"], True])
def test_other_types_of_tokens(token_type: Any) -> None:
    """R72: a token of a type that needs another proof of possession is refused."""
    assert check_token_type({"token_type": token_type}) is Reason.SENDER_CONSTRAINED


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"token_use": None, "token_type": None, "typ": None},
        # Cognito, Hydra
        {"token_use": "access"},
        {"token_use": "access_token", "token_type": "Bearer"},
        {"token_use": "ACCESS_TOKEN"},
        # Keycloak
        {"typ": "Bearer", "token_type": "Bearer"},
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"typ": "application/at+JWT"},
    ],
)
def test_uses_of_an_access_token(claims: dict[str, Any]) -> None:
    """A token that its server calls an access token, or does not name, is accepted."""
    assert check_use(claims) is None


@pytest.mark.parametrize("value", ["refresh", "refresh_token", "id", "id_token", "", "x", ["access"], True, 5])
def test_other_uses(value: Any) -> None:
    """`token_use` must name an access token."""
    assert check_use({"token_use": value}) is Reason.WRONG_TYPE


@pytest.mark.parametrize("name", ["token_type", "typ"])
@pytest.mark.parametrize(
    "value",
    [
        # Keycloak
        *("Refresh", "Offline", "ID", "Serialized-ID", "Logout", "InitialAccessToken", "RegistrationAccessToken"),
        # Okta, Hydra, RFC 8693
        *("refresh_token", "id_token", "N_A", "REFRESH", "Id_Token"),
        *("refresh+jwt", "logout+jwt", "dpop+jwt", "id_token+jwt", "application/secevent+jwt", "Refresh+JWT"),
        *(["Refresh"], {"typ": "Refresh"}, True, 5),
    ],
)
def test_names_of_other_kinds(name: str, value: Any) -> None:
    """A token that its server names as another kind is refused."""
    assert check_use({name: value}) is Reason.WRONG_TYPE


@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize("claims", [{"token_use": "refresh_token"}, {"typ": "Refresh"}, {"typ": "ID"}])
def test_no_profile_accepts_other_kinds(name: str, claims: dict[str, Any]) -> None:
    """R60: a claim that names another kind of token is enough to refuse it, under every profile of JWTs."""
    profile = get_profile(name)
    good = {
        **{each: CLAIMS.get(each, "x") for each in (*CLAIMS, *profile.required)},
        **{group[0]: "x" for group in profile.required_any},
        **profile.fixed,
        profile.audience: ME,
    }
    typ = next(iter(profile.types), None)
    assert early(good, typ, profile=profile) is None
    assert early({**good, **claims}, typ, profile=profile) in (Reason.WRONG_TYPE, Reason.WRONG_CLAIM)


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        (None, None),
        ([], None),
        ([{"type": "payment"}], None),
        ([{"type": "payment", "amount": 5}, {"type": "account"}], None),
        ({"type": "payment"}, Reason.MALFORMED_CLAIM),
        ("payment", Reason.MALFORMED_CLAIM),
        (5, Reason.MALFORMED_CLAIM),
        (False, Reason.MALFORMED_CLAIM),
        (["payment"], Reason.MALFORMED_CLAIM),
        ([{}], Reason.MALFORMED_CLAIM),
        ([{"type": ""}], Reason.MALFORMED_CLAIM),
        ([{"type": 5}], Reason.MALFORMED_CLAIM),
        ([{"type": "payment"}, {"type": None}], Reason.MALFORMED_CLAIM),
        ([[{"type": "payment"}]], Reason.MALFORMED_CLAIM),
    ],
)
def test_authorization_details(details: Any, reason: Reason | None) -> None:
    """R79: authorization details must be an array of objects, each with a type."""
    assert check_authorization_details({"authorization_details": details}) is reason
    assert check_authorization_details({}) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"jti": None}, Reason.MISSING_CLAIM),
        ({"iss": "https://evil.example"}, Reason.WRONG_ISSUER),
        ({"aud": "x"}, Reason.WRONG_AUDIENCE),
        ({"exp": NOW - 10}, Reason.EXPIRED),
        ({"exp": NOW - 9}, None),
        ({"nbf": NOW + 11}, Reason.NOT_YET_VALID),
        ({"token_use": "id"}, Reason.WRONG_TYPE),
        ({"token_type": "MAC"}, Reason.SENDER_CONSTRAINED),
        ({"authorization_details": {}}, Reason.MALFORMED_CLAIM),
    ],
)
def test_early_has_every_rule(changed: dict[str, Any], reason: Reason | None) -> None:
    """R26, R28, R36, R37, R38, R44, R72, R79: all rules are checked before a key is requested."""
    assert early({**CLAIMS, **changed}) is reason


def test_early_looks_at_the_kind() -> None:
    """R35, R60: this includes the type and the claims of other kinds."""
    assert early(CLAIMS, "JWT") is Reason.WRONG_TYPE
    assert early(CLAIMS, "JWT", profile=GENERIC) is None
    assert early({**CLAIMS, "at_hash": "x"}, "JWT", profile=GENERIC) is Reason.WRONG_TYPE


def test_early_leaves_out_what_another_judges() -> None:
    """Without issuer, audience or checks of times, exactly these rules are left out."""
    assert early({**CLAIMS, "iss": "https://other.example"}, issuer=None) is None
    assert early({**CLAIMS, "aud": "x"}, audiences=None) is None
    assert early({**CLAIMS, "exp": NOW - 999, "nbf": NOW + 999}, checks_times=False) is None
    assert early({**CLAIMS, "iss": None}, issuer=None) is Reason.MISSING_CLAIM
    assert early({**CLAIMS, "aud": "x"}, audiences=()) is Reason.WRONG_AUDIENCE


def test_early_always_asks_for_an_expiry() -> None:
    """R36: under no profile is a token without ``exp`` accepted."""
    for profile in PROFILES.values():
        assert "exp" in profile.required
        assert "iss" in profile.required


@settings(deadline=None)
@given(
    name=st.sampled_from(sorted(PROFILES)),
    typ=anything,
    claims=st.dictionaries(st.sampled_from(claim_names), anything, max_size=len(claim_names)),
)
def test_nothing_raises(name: str, typ: Any, claims: dict[str, Any]) -> None:
    """R45: the rules raise no error, whatever a token contains."""
    profile = get_profile(name)
    assert early({**CLAIMS, **claims}, typ, profile=profile) in {None, *Reason}
    for result in (
        check_required(profile, claims),
        check_issuer(claims, ISSUER),
        check_audience(claims, {ME}),
        check_times(claims, NOW, leeway=0, required=True),
        check_token_type(claims),
        check_use(claims),
        check_authorization_details(claims),
    ):
        assert result in {None, *Reason}


def test_audience_is_a_list_or_a_string() -> None:
    """R36, R38: both an array of names and a single name are well-formed audiences, compared or not."""
    assert early({**CLAIMS, "aud": ["x", ME]}) is None
    assert early({**CLAIMS, "aud": ["x"]}, audiences=None) is None


def test_expiry_is_asked_for_by_the_rule_itself() -> None:
    """R36: even a profile that does not require ``exp`` accepts no token without it."""
    profile = dataclasses.replace(GENERIC, required=("iss",))
    lasting = {name: value for name, value in CLAIMS.items() if name != "exp"}
    assert check_required(profile, lasting) is None
    assert early(lasting, "JWT", profile=profile) is Reason.MISSING_CLAIM
