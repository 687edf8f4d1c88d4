"""The rules for claims of JWTs and of introspection answers."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_oauth_guard.claims import (
    check_audience,
    check_authorization_details,
    check_early,
    check_issuer,
    check_kind,
    check_required,
    check_times,
    check_type,
    check_unbound,
)
from async_oauth_guard.errors import Reason
from async_oauth_guard.profiles import FORBIDDEN_TYPES, PROFILES, get_profile

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
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
claim_names = [*CLAIMS, "nbf", "cnf", "token_type", "authorization_details", "azp", "scope", "events"]


def early(claims: dict[str, Any], typ: Any = "at+jwt", **changed: Any) -> Reason | None:
    options = {"issuer": ISSUER, "audiences": {ME}, "now": NOW, "leeway": 10, "judges_times": True} | changed
    return check_early(options.pop("profile", RFC9068), typ, claims, **options)


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "at+JWT", "application/at+jwt", "APPLICATION/AT+JWT"])
def test_type_of_an_access_token(typ: str) -> None:
    """R35: the type is compared without regard to case, and its prefix may be left out."""
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
    """R35, R60: any other type is refused, and so is none at all."""
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
    """R35, R60: a JWT that says it is of another kind is refused, whatever the profile."""
    assert check_type(get_profile(name), prefix + typ.upper()) is Reason.WRONG_TYPE


@pytest.mark.parametrize("claim", ["at_hash", "c_hash", "s_hash", "events", "token_introspection", "htm", "htu"])
@pytest.mark.parametrize("name", sorted(set(PROFILES) - {"rfc9068"}))
def test_claims_of_other_kinds(name: str, claim: str) -> None:
    """R60: where the type does not tell, a claim that only another kind of JWT has is enough to refuse it."""
    assert check_kind(get_profile(name), {**CLAIMS, claim: "x"}) is Reason.WRONG_TYPE
    assert check_kind(get_profile(name), CLAIMS) is None


def test_kind_is_told_by_the_type() -> None:
    """A token whose type says that it is an access token may have any claims besides."""
    assert check_kind(RFC9068, {**CLAIMS, "events": ["login"]}) is None


@pytest.mark.parametrize("name", CLAIMS)
def test_required_claims(name: str) -> None:
    """R36: each claim that RFC 9068 requires must be there, and null is as good as nothing."""
    without = {other: value for other, value in CLAIMS.items() if other != name}
    assert check_required(RFC9068, CLAIMS) is None
    assert check_required(RFC9068, without) is Reason.MISSING_CLAIM
    assert check_required(RFC9068, {**CLAIMS, name: None}) is Reason.MISSING_CLAIM


@pytest.mark.parametrize("value", NO_NAMES, ids=repr)
@pytest.mark.parametrize("name", ["iss", "sub", "client_id", "jti"])
def test_names_are_strings(name: str, value: Any) -> None:
    """R36: what names somebody or something is a string, and not an empty one."""
    assert check_required(RFC9068, {**CLAIMS, name: value}) is Reason.MALFORMED_CLAIM


@pytest.mark.parametrize("value", NO_NAMES, ids=repr)
@pytest.mark.parametrize("name", ["sub", "jti", "client_id", "azp"])
def test_names_are_strings_where_they_are_not_required(name: str, value: Any) -> None:
    """R36: this holds for a claim that may be left out, if it is there."""
    claims = {"iss": ISSUER, "exp": NOW, "scope": "read"}
    assert check_required(GENERIC, claims) is None
    assert check_required(GENERIC, {**claims, name: value}) is Reason.MALFORMED_CLAIM


@pytest.mark.parametrize("value", ["", [], [""], [ME, 5], [[ME]], {ME: 1}, 5, True], ids=repr)
def test_form_of_the_audience(value: Any) -> None:
    """R36, R38: the audience has its form even where nobody compares it."""
    assert early({**CLAIMS, "aud": value}, audiences=None) is Reason.MALFORMED_CLAIM


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["exp", "iat"])
def test_form_of_the_times(name: str, value: Any) -> None:
    """R36, R45: the times have their form even where another judges them."""
    assert early({**CLAIMS, name: value}, judges_times=False) is Reason.MALFORMED_CLAIM


def test_one_of_a_group_is_required() -> None:
    """Of each group one claim must be there, and any of them will do."""
    profile = dataclasses.replace(GENERIC, required_any=(("a", "b"), ("c",)))
    assert check_required(profile, {**CLAIMS, "a": "1", "c": "1"}) is None
    assert check_required(profile, {**CLAIMS, "b": "1", "c": "1"}) is None
    assert check_required(profile, {**CLAIMS, "a": "1", "b": "1"}) is Reason.MISSING_CLAIM
    assert check_required(profile, {**CLAIMS, "b": None, "c": "1"}) is Reason.MISSING_CLAIM


@pytest.mark.parametrize("value", ["id", "ACCESS", "", None, True, ["access"]], ids=repr)
def test_fixed_claims(value: Any) -> None:
    """A claim that a profile fixes holds exactly that."""
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
    """R37: an issuer that is not ours, code point by code point, is refused; so is a list with ours in it."""
    assert check_issuer({"iss": issuer}, ISSUER) is Reason.WRONG_ISSUER


def test_issuer() -> None:
    """R37: our issuer is accepted, none is not."""
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
    """R28, R38: anything else is refused: other names, parts of ours, and whatever is not an array of strings."""
    assert check_audience({"aud": audience}, {ME}) is Reason.WRONG_AUDIENCE
    assert check_audience({"aud": audience}, [ME]) is Reason.WRONG_AUDIENCE
    assert check_audience({"aud": audience}, ()) is Reason.WRONG_AUDIENCE


def test_no_audience_fails_closed() -> None:
    """R28: no audience is no yes, and a string in place of our names is not searched for parts."""
    assert check_audience({}, {ME}) is Reason.WRONG_AUDIENCE
    assert check_audience({"aud": "api"}, ME) is Reason.WRONG_AUDIENCE


def test_audience_in_another_claim() -> None:
    """The claim that is compared may be another, and then it is that alone."""
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
    """R26, R43: a token is good until ``exp``, and then for as long as the leeway lasts, but not a moment longer."""
    assert check_times({"exp": exp}, NOW, leeway=leeway, required=required) is reason


def test_expiry_is_required_where_it_is() -> None:
    """R36: a token without ``exp`` is refused where it is required, and lasts where it is not."""
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
    """R44: a token is no good before ``nbf``, give or take the leeway."""
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
    """R44: a token that was issued more than a minute from now is refused, whatever the leeway."""
    assert check_times({"iat": iat}, NOW, leeway=leeway, required=False) is reason


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_times_are_numbers(name: str, value: Any) -> None:
    """R45: a time is a finite number that is not negative, and nothing else, and no arithmetic fails over it."""
    assert check_times({name: value}, NOW, leeway=10, required=False) is Reason.MALFORMED_CLAIM


@pytest.mark.parametrize("claims", [{}, {"cnf": None}, {"token_type": None}, {"token_type": "Bearer"}])
def test_bearer_tokens(claims: dict[str, Any]) -> None:
    """A token that is bound to nothing is a bearer token, whether it says so or not."""
    assert check_unbound(claims) is None
    assert check_unbound({"token_type": "BEARER"}) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
        {"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}},
        {"cnf": {"jkt": "x"}, "token_type": "Bearer"},
        {"cnf": {}},
        {"cnf": ""},
        {"cnf": False},
        {"token_type": "DPoP"},
        {"token_type": "N_A"},
        {"token_type": ""},
        {"token_type": " Bearer"},
        {"token_type": ["Bearer"]},
        {"token_type": True},
    ],
)
def test_sender_constrained_tokens(claims: dict[str, Any]) -> None:
    """R72, R73: a token that is bound to a key or a certificate is no bearer token, in whatever form it says so."""
    assert check_unbound(claims) is Reason.SENDER_CONSTRAINED


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
    """R79: authorization details are an array of objects, each with a type."""
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
        ({"cnf": {"jkt": "x"}}, Reason.SENDER_CONSTRAINED),
        ({"authorization_details": {}}, Reason.MALFORMED_CLAIM),
    ],
)
def test_early_has_every_rule(changed: dict[str, Any], reason: Reason | None) -> None:
    """R26, R28, R36, R37, R38, R44, R72, R79: each rule has its say before a key is asked for."""
    assert early({**CLAIMS, **changed}) is reason


def test_early_looks_at_the_kind() -> None:
    """R35, R60: the type is among them, and so are the claims of other kinds."""
    assert early(CLAIMS, "JWT") is Reason.WRONG_TYPE
    assert early(CLAIMS, "JWT", profile=GENERIC) is None
    assert early({**CLAIMS, "at_hash": "x"}, "JWT", profile=GENERIC) is Reason.WRONG_TYPE


def test_early_leaves_out_what_another_judges() -> None:
    """Without an issuer, an audience or the times to judge, these rules and no others are left out."""
    assert early({**CLAIMS, "iss": "https://other.example"}, issuer=None) is None
    assert early({**CLAIMS, "aud": "x"}, audiences=None) is None
    assert early({**CLAIMS, "exp": NOW - 999, "nbf": NOW + 999}, judges_times=False) is None
    assert early({**CLAIMS, "iss": None}, issuer=None) is Reason.MISSING_CLAIM
    assert early({**CLAIMS, "aud": "x"}, audiences=()) is Reason.WRONG_AUDIENCE


def test_early_always_asks_for_an_expiry() -> None:
    """R36: no profile lets a token last for ever."""
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
    """R45: whatever a token holds, the rules answer."""
    profile = get_profile(name)
    assert early({**CLAIMS, **claims}, typ, profile=profile) in {None, *Reason}
    for result in (
        check_required(profile, claims),
        check_issuer(claims, ISSUER),
        check_audience(claims, {ME}),
        check_times(claims, NOW, leeway=0, required=True),
        check_unbound(claims),
        check_authorization_details(claims),
    ):
        assert result in {None, *Reason}


def test_audience_is_a_list_or_a_string() -> None:
    """R36, R38: an array of names is as good a form of the audience as one name is, whether it is compared or not."""
    assert early({**CLAIMS, "aud": ["x", ME]}) is None
    assert early({**CLAIMS, "aud": ["x"]}, audiences=None) is None


def test_expiry_is_asked_for_by_the_rule_itself() -> None:
    """R36: a profile that left ``exp`` out of what it requires would let no token last for ever."""
    profile = dataclasses.replace(GENERIC, required=("iss",))
    lasting = {name: value for name, value in CLAIMS.items() if name != "exp"}
    assert check_required(profile, lasting) is None
    assert early(lasting, "JWT", profile=profile) is Reason.MISSING_CLAIM
