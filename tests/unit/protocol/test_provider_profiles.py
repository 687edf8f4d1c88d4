"""The profiles, with tokens as each authorization server documents them."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.claims import check_type
from async_oauth_guard.protocol.provider_profiles import (
    PROFILES,
    get_profile,
    is_client_token,
    read_attribute_values,
    read_client,
    read_scope,
)
from async_oauth_guard.protocol.scopes import read_values
from tests.unit.characters import ANY_CHARACTER
from tests.unit.driving import check_unverified

NOW = 1_700_000_000
ME = "https://reports.example.com"
TIMES = {"iat": NOW - 5, "exp": NOW + 300}
TENANT = "11111111-2222-3333-4444-555555555555"
ENTRA_API = "99999999-aaaa-bbbb-cccc-dddddddddddd"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A token and the values to read from it. ``typ`` is in its header."""

    profile: str
    claims: dict[str, Any]
    typ: str | None = "JWT"
    audience: str = ME
    scopes: set[str] = field(default_factory=set)
    client: str | None = None
    groups: list[str] | None = None
    roles: list[str] | None = None
    entitlements: list[str] | None = None

    @property
    def reason(self) -> Reason | None:
        return check_unverified(
            self.typ,
            self.claims,
            profile=get_profile(self.profile),
            issuer=self.claims["iss"],
            audiences={self.audience},
            now=NOW,
            leeway=10,
        )


RFC9068 = {
    "iss": "https://as.example.com",
    "sub": "5ba552d67",
    "aud": ME,
    "client_id": "s6BhdRkqt3_",
    "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
    **TIMES,
}
KEYCLOAK = {
    "jti": "onrtac:2f8b1a5c",
    "iss": "https://sso.example.com/realms/acme",
    "aud": [ME, "account"],
    "typ": "Bearer",
    "azp": "console",
    "sid": "b8a1f5d0",
    "acr": "1",
    "scope": "email profile reports:read",
    **TIMES,
}
KEYCLOAK_USER = {
    **KEYCLOAK,
    "sub": "f4b9a5f0-6a0e-4d61-8f4c-0a5f1c5e3b7d",
    "allowed-origins": ["https://console.example.com"],
    "realm_access": {"roles": ["offline_access", "staff"]},
    "resource_access": {
        ME: {"roles": ["auditor"]},
        "account": {"roles": ["manage-account"]},
    },
    "groups": ["/finance"],
    "preferred_username": "ada",
}
AUTH0 = {
    "iss": "https://acme.eu.auth0.com/",
    "sub": "auth0|123456",
    "aud": [ME, "https://acme.eu.auth0.com/userinfo"],
    "scope": "openid profile read:reports",
    **TIMES,
}
OKTA = {
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "iss": "https://acme.okta.com/oauth2/default",
    "aud": ME,
    "cid": "0oa1k5d68qR2954hb0g4",
    "scp": ["openid", "reports.read"],
    **TIMES,
}
ENTRA_V2 = {
    "aud": ENTRA_API,
    "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "nbf": NOW - 5,
    "aio": "AXQAi/8TAAAAFm",
    "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "azpacr": "0",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "rh": "I",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": TENANT,
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
    "ver": "2.0",
    **TIMES,
}
ENTRA_V1 = {
    "aud": f"api://{ENTRA_API}",
    "iss": f"https://sts.windows.net/{TENANT}/",
    "nbf": NOW - 5,
    "acr": "1",
    "amr": ["pwd"],
    "appid": "75dbe77f-10a3-4e59-85fd-8c127544f17c",
    "appidacr": "0",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "sub": "pYTBn1QTQDBL0VR1hQRS4DE0Zs9ejnaKrRBFLbmz",
    "tid": TENANT,
    "ver": "1.0",
    **TIMES,
}
COGNITO = {
    "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
    "client_id": "57cbishk4j24pabc1234567890",
    "token_use": "access",
    "jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "auth_time": NOW - 5,
    **TIMES,
}
ZITADEL = {
    "iss": "https://acme.zitadel.cloud",
    "sub": "77776025198584418",
    "aud": ["69234237810729234", "69234237810729019"],
    "nbf": NOW - 5,
    "jti": "69234237813329048",
    **TIMES,
}
AUTHENTIK = {
    "iss": "https://auth.example.com/application/o/reports/",
    "sub": "60fed9f8d6a2b8e6",
    "aud": "bL7cZ0aXr9",
    "auth_time": NOW - 5,
    "acr": "goauthentik.io/providers/oauth2/default",
    **TIMES,
}
AUTHENTIK_ADDED = {"azp": "bL7cZ0aXr9", "uid": "p3Wm5Kc0Rz"}
GENERIC = {"iss": "https://as.example.com", "aud": [ME], "sub": "5ba552d67", **TIMES}

USERS = {
    "rfc9068": Sample(
        profile="rfc9068",
        typ="at+jwt",
        claims={
            **RFC9068,
            "scope": "openid reports:read",
            "groups": ["finance"],
            "roles": ["auditor"],
            "entitlements": ["export"],
        },
        scopes={"openid", "reports:read"},
        client="s6BhdRkqt3_",
        groups=["finance"],
        roles=["auditor"],
        entitlements=["export"],
    ),
    "keycloak": Sample(
        profile="keycloak",
        claims=KEYCLOAK_USER,
        scopes={"email", "profile", "reports:read"},
        client="console",
        groups=["/finance"],
        roles=["offline_access", "staff", "auditor"],
    ),
    "keycloak, RFC 9068's type": Sample(
        profile="keycloak",
        typ="at+jwt",
        claims={**KEYCLOAK, "sub": "f4b9a5f0", "aud": ME},
        scopes={"email", "profile", "reports:read"},
        client="console",
    ),
    "auth0": Sample(
        profile="auth0",
        claims={**AUTH0, "azp": "my_client_id"},
        scopes={"openid", "profile", "read:reports"},
        client="my_client_id",
    ),
    "auth0, with permissions": Sample(
        profile="auth0",
        claims={**AUTH0, "azp": "my_client_id", "permissions": ["read:reports", "write:reports"]},
        scopes={"openid", "profile", "read:reports", "write:reports"},
        client="my_client_id",
    ),
    "auth0, RFC 9068 profile": Sample(
        profile="auth0",
        typ="at+jwt",
        claims={**AUTH0, "client_id": "my_client_id", "jti": "73WakrfVbNJBaAmhQtEeDv"},
        scopes={"openid", "profile", "read:reports"},
        client="my_client_id",
    ),
    "okta": Sample(
        profile="okta",
        typ=None,
        claims={**OKTA, "sub": "ada@example.com", "uid": "00uid4BxXw6I6TV4m0g3", "groups": ["Finance"]},
        scopes={"openid", "reports.read"},
        client="0oa1k5d68qR2954hb0g4",
        groups=["Finance"],
    ),
    "okta, with a type": Sample(
        profile="okta",
        typ="application/okta-internal-at+jwt",
        claims={**OKTA, "sub": "ada@example.com", "uid": "00uid4BxXw6I6TV4m0g3"},
        scopes={"openid", "reports.read"},
        client="0oa1k5d68qR2954hb0g4",
    ),
    "entra, version 2.0": Sample(
        profile="entra",
        claims={**ENTRA_V2, "scp": "Reports.Read access_as_user", "roles": ["Auditor"], "groups": ["0f1e2d3c"]},
        audience=ENTRA_API,
        scopes={"Reports.Read", "access_as_user"},
        client="6e74172b-be56-4843-9ff4-e66a39bb12e3",
        groups=["0f1e2d3c"],
        roles=["Auditor"],
    ),
    "entra, version 2.0, user marked": Sample(
        profile="entra",
        claims={**ENTRA_V2, "scp": "Reports.Read", "idtyp": "user"},
        audience=ENTRA_API,
        scopes={"Reports.Read"},
        client="6e74172b-be56-4843-9ff4-e66a39bb12e3",
    ),
    "entra, version 1.0": Sample(
        profile="entra",
        claims={**ENTRA_V1, "scp": "user_impersonation", "unique_name": "ada@example.com"},
        audience=f"api://{ENTRA_API}",
        scopes={"user_impersonation"},
        client="75dbe77f-10a3-4e59-85fd-8c127544f17c",
    ),
    "cognito": Sample(
        profile="cognito",
        typ=None,
        claims={
            **COGNITO,
            "sub": "aaaaaaaa-1111-2222-3333-eeeeeeeeeeee",
            "cognito:groups": ["admin"],
            "scope": "openid reports/read",
            "username": "janedoe",
        },
        audience="57cbishk4j24pabc1234567890",
        scopes={"openid", "reports/read"},
        client="57cbishk4j24pabc1234567890",
        groups=["admin"],
    ),
    "zitadel": Sample(
        profile="zitadel",
        claims={
            **ZITADEL,
            "client_id": "69234237810729234",
            "urn:zitadel:iam:org:project:roles": {"staff": {"201982826478953724": "acme.zitadel.cloud"}},
            "urn:zitadel:iam:org:project:69234237810729019:roles": {
                "auditor": {"201982826478953724": "acme.zitadel.cloud"}
            },
            "urn:zitadel:iam:org:project:666:roles": {"admin": {"201982826478953724": "acme.zitadel.cloud"}},
        },
        audience="69234237810729019",
        client="69234237810729234",
        roles=["staff", "auditor"],
    ),
    "zitadel, without a client": Sample(
        profile="zitadel",
        claims={**ZITADEL, "scope": "openid reports:read"},
        audience="69234237810729019",
        scopes={"openid", "reports:read"},
    ),
    "authentik": Sample(
        profile="authentik",
        claims={
            **AUTHENTIK,
            **AUTHENTIK_ADDED,
            "nonce": "n-0S6_WzA2Mj",
            "scope": "openid reports:read",
            "preferred_username": "ada",
            "groups": ["Finance"],
            "entitlements": ["export"],
            "roles": ["export"],
        },
        audience="bL7cZ0aXr9",
        scopes={"openid", "reports:read"},
        client="bL7cZ0aXr9",
        groups=["Finance"],
        roles=["export"],
        entitlements=["export"],
    ),
    "generic": Sample(
        profile="generic",
        claims={
            **GENERIC,
            "azp": "console",
            "scope": "read write",
            "scp": ["write", "export"],
            "groups": ["a"],
            "roles": ["b"],
            "entitlements": ["c"],
        },
        scopes={"read", "write", "export"},
        client="console",
        groups=["a"],
        roles=["b"],
        entitlements=["c"],
    ),
    "generic, without a type": Sample(
        profile="generic",
        typ=None,
        claims={**GENERIC, "client_id": "console", "azp": "other"},
        client="console",
    ),
}

CLIENTS = {
    "rfc9068": Sample(
        profile="rfc9068",
        typ="application/at+jwt",
        claims={**RFC9068, "sub": "s6BhdRkqt3_", "scope": "reports:read"},
        scopes={"reports:read"},
        client="s6BhdRkqt3_",
    ),
    "keycloak": Sample(
        profile="keycloak",
        claims={
            **KEYCLOAK,
            "sub": "0d5b6f1e",
            "azp": "nightly",
            "client_id": "nightly",
            "preferred_username": "service-account-nightly",
        },
        scopes={"email", "profile", "reports:read"},
        client="nightly",
    ),
    "keycloak, without a profile": Sample(
        profile="keycloak",
        claims={**KEYCLOAK, "sub": "0d5b6f1e", "azp": "nightly", "clientHost": "192.0.2.7"},
        scopes={"email", "profile", "reports:read"},
        client="nightly",
    ),
    "keycloak, with an address": Sample(
        profile="keycloak",
        claims={**KEYCLOAK, "sub": "0d5b6f1e", "azp": "nightly", "clientAddress": "192.0.2.7"},
        scopes={"email", "profile", "reports:read"},
        client="nightly",
    ),
    "auth0": Sample(
        profile="auth0",
        claims={
            "iss": "https://acme.eu.auth0.com/",
            "sub": "OOZH6s5sgOORoVKB@clients",
            "aud": ME,
            "azp": "OOZH6s5sgOORoVKB",
            "scope": "read:reports",
            "gty": "client-credentials",
            **TIMES,
        },
        scopes={"read:reports"},
        client="OOZH6s5sgOORoVKB",
    ),
    "auth0, RFC 9068 profile": Sample(
        profile="auth0",
        typ="at+jwt",
        claims={**AUTH0, "sub": "OOZH6s5sgOORoVKB@clients", "client_id": "OOZH6s5sgOORoVKB", "jti": "73Wakrf"},
        scopes={"openid", "profile", "read:reports"},
        client="OOZH6s5sgOORoVKB",
    ),
    "auth0, marked by its grant alone": Sample(
        profile="auth0",
        claims={**AUTH0, "azp": "OOZH6s5sgOORoVKB", "gty": "client-credentials"},
        scopes={"openid", "profile", "read:reports"},
        client="OOZH6s5sgOORoVKB",
    ),
    "okta": Sample(
        profile="okta",
        typ=None,
        claims={**OKTA, "sub": "0oa1k5d68qR2954hb0g4", "scp": ["reports.read"]},
        scopes={"reports.read"},
        client="0oa1k5d68qR2954hb0g4",
    ),
    "okta, with a subject of its own": Sample(
        profile="okta",
        typ=None,
        claims={**OKTA, "sub": "nightly", "scp": ["reports.read"]},
        scopes={"reports.read"},
        client="0oa1k5d68qR2954hb0g4",
    ),
    "entra, version 2.0": Sample(
        profile="entra",
        claims={**ENTRA_V2, "azpacr": "1", "idtyp": "app", "roles": ["Reports.Read.All"]},
        audience=ENTRA_API,
        scopes={"Reports.Read.All"},
        client="6e74172b-be56-4843-9ff4-e66a39bb12e3",
        roles=["Reports.Read.All"],
    ),
    "entra, version 1.0": Sample(
        profile="entra",
        claims={**ENTRA_V1, "appidacr": "2", "roles": ["Reports.Read.All"]},
        audience=f"api://{ENTRA_API}",
        scopes={"Reports.Read.All"},
        client="75dbe77f-10a3-4e59-85fd-8c127544f17c",
        roles=["Reports.Read.All"],
    ),
    "cognito": Sample(
        profile="cognito",
        typ=None,
        claims={**COGNITO, "sub": "57cbishk4j24pabc1234567890", "scope": "reports/read"},
        audience="57cbishk4j24pabc1234567890",
        scopes={"reports/read"},
        client="57cbishk4j24pabc1234567890",
    ),
    "zitadel": Sample(
        profile="zitadel",
        claims={**ZITADEL, "client_id": "77776025198584418"},
        audience="69234237810729019",
        client="77776025198584418",
    ),
    "authentik": Sample(
        profile="authentik",
        claims={**AUTHENTIK, **AUTHENTIK_ADDED, "preferred_username": "ak-Reports-client_credentials"},
        audience="bL7cZ0aXr9",
        client="bL7cZ0aXr9",
    ),
    "generic": Sample(
        profile="generic",
        claims={**GENERIC, "sub": "console", "client_id": "other", "azp": "console"},
        client="other",
    ),
    "generic, without a subject": Sample(
        profile="generic",
        claims={"iss": "https://as.example.com", "aud": ME, "client_id": "console", "scope": "read", **TIMES},
        scopes={"read"},
        client="console",
    ),
    "generic, as Keycloak marks it": Sample(
        profile="generic",
        claims={**GENERIC, "azp": "console", "preferred_username": "service-account-console"},
        client="console",
    ),
}

# Tokens that are presented by mistake or malice: signed by the same key, but of another kind or for somebody else.
ID_TOKENS: dict[str, tuple[Sample, Reason]] = {
    "rfc9068": (Sample(profile="rfc9068", claims={**RFC9068, "nonce": "n-0S6_WzA2Mj"}), Reason.WRONG_TYPE),
    "keycloak": (Sample(profile="keycloak", claims={**KEYCLOAK_USER, "typ": "ID"}), Reason.WRONG_CLAIM),
    "keycloak, with its hash": (
        Sample(profile="keycloak", claims={**KEYCLOAK_USER, "typ": "ID", "at_hash": "x"}),
        Reason.WRONG_TYPE,
    ),
    "keycloak, refresh token": (
        Sample(profile="keycloak", claims={**KEYCLOAK_USER, "typ": "Refresh"}),
        Reason.WRONG_CLAIM,
    ),
    "auth0": (
        Sample(profile="auth0", claims={**AUTH0, "aud": ME, "sid": "x", "email": "ada@example.com"}),
        Reason.MISSING_CLAIM,
    ),
    "auth0, with a nonce": (
        Sample(profile="auth0", claims={**AUTH0, "azp": "my_client_id", "nonce": "n-0S6_WzA2Mj"}),
        Reason.WRONG_TYPE,
    ),
    "okta": (
        Sample(
            profile="okta",
            typ=None,
            claims={
                "ver": 1,
                "sub": "00uid4BxXw6I6TV4m0g3",
                "iss": "https://acme.okta.com/oauth2/default",
                "aud": ME,
                "jti": "ID.4eAWJOCMB3SX8XewDfVR",
                "amr": ["pwd"],
                "idp": "00ok1u7AsAkrwdZL3z0g3",
                **TIMES,
            },
        ),
        Reason.MISSING_CLAIM,
    ),
    "entra, version 2.0": (
        Sample(
            profile="entra",
            audience=ENTRA_API,
            claims={
                "ver": "2.0",
                "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
                "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
                "aud": ENTRA_API,
                "name": "Ada",
                "preferred_username": "ada@example.com",
                "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
                "tid": TENANT,
                "nonce": "123523",
                "aio": "Df2UVXL1ix!lMCWMSOJBcFatzcGf",
                **TIMES,
            },
        ),
        Reason.MISSING_CLAIM,
    ),
    "entra, version 1.0": (
        Sample(
            profile="entra",
            audience=ENTRA_API,
            claims={
                "aud": ENTRA_API,
                "iss": f"https://sts.windows.net/{TENANT}/",
                "amr": ["pwd"],
                "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
                "sub": "pYTBn1QTQDBL0VR1hQRS4DE0Zs9ejnaKrRBFLbmz",
                "tid": TENANT,
                "unique_name": "ada@example.com",
                "ver": "1.0",
                **TIMES,
            },
        ),
        Reason.MISSING_CLAIM,
    ),
    "cognito": (
        Sample(
            profile="cognito",
            typ=None,
            audience="57cbishk4j24pabc1234567890",
            claims={
                "sub": "aaaaaaaa-1111-2222-3333-eeeeeeeeeeee",
                "cognito:groups": ["admin"],
                "iss": COGNITO["iss"],
                "cognito:username": "janedoe",
                "aud": "57cbishk4j24pabc1234567890",
                "client_id": "57cbishk4j24pabc1234567890",
                "token_use": "id",
                "jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
                **TIMES,
            },
        ),
        Reason.WRONG_CLAIM,
    ),
    "zitadel": (
        Sample(
            profile="zitadel",
            audience="69234237810729019",
            claims={
                **{name: value for name, value in ZITADEL.items() if name != "jti"},
                "azp": "69234237810729234",
                "amr": ["pwd"],
                "client_id": "69234237810729234",
            },
        ),
        Reason.MISSING_CLAIM,
    ),
    "authentik": (
        Sample(profile="authentik", claims={**AUTHENTIK, "preferred_username": "ada"}, audience="bL7cZ0aXr9"),
        Reason.MISSING_CLAIM,
    ),
    "generic": (Sample(profile="generic", claims={**GENERIC, "email": "ada@example.com"}), Reason.MISSING_CLAIM),
    "generic, with a nonce": (
        Sample(profile="generic", claims={**GENERIC, "azp": "console", "nonce": "n-0S6_WzA2Mj"}),
        Reason.WRONG_TYPE,
    ),
    "generic, logout token": (
        Sample(
            profile="generic",
            claims={
                **GENERIC,
                "client_id": "console",
                "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            },
        ),
        Reason.WRONG_TYPE,
    ),
    "generic, introspection answer": (
        Sample(profile="generic", claims={**GENERIC, "scope": "read", "token_introspection": {"active": True}}),
        Reason.WRONG_TYPE,
    ),
    "generic, DPoP proof": (
        Sample(profile="generic", claims={**GENERIC, "scope": "read", "htm": "GET", "htu": ME}),
        Reason.WRONG_TYPE,
    ),
}


def each(samples: dict[str, Sample]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sample", [pytest.param(sample, id=name) for name, sample in samples.items()])


@pytest.mark.parametrize("samples", [USERS, CLIENTS, ID_TOKENS], ids=["users", "clients", "ID tokens"])
def test_every_profile_is_sampled(samples: dict[str, Any]) -> None:
    """Every profile has a token of each kind."""
    assert {name.partition(",")[0] for name in samples} == set(PROFILES)


@each({f"{name} ({kind})": one for kind, all_ in (("user", USERS), ("client", CLIENTS)) for name, one in all_.items()})
def test_access_tokens(sample: Sample) -> None:
    """R35, R36, R121: an access token is accepted, and its values are read from the right claims."""
    profile, claims = get_profile(sample.profile), sample.claims
    assert sample.reason is None
    assert read_values(read_scope(profile, claims)) == sample.scopes
    assert read_client(profile, claims) == sample.client
    for name in ("groups", "roles", "entitlements"):
        assert read_attribute_values(profile, claims, name, [sample.audience]) == getattr(sample, name)


@each(USERS)
def test_tokens_of_users(sample: Sample) -> None:
    """R34: a user's token is not mistaken for a client's."""
    assert not is_client_token(get_profile(sample.profile), sample.claims)


@each(CLIENTS)
def test_tokens_of_clients(sample: Sample) -> None:
    """R34: a client's token is recognised."""
    assert is_client_token(get_profile(sample.profile), sample.claims)


@pytest.mark.parametrize(("sample", "reason"), ID_TOKENS.values(), ids=ID_TOKENS)
def test_tokens_of_other_kinds(sample: Sample, reason: Reason) -> None:
    """R60: ID tokens and other JWTs that the same key signed are refused."""
    assert sample.reason is reason


@each({**USERS, **{f"{name} (client)": sample for name, sample in CLIENTS.items()}})
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": NOW - 10}, Reason.EXPIRED),
        ({"exp": None}, Reason.MISSING_CLAIM),
        ({"exp": "1893456000"}, Reason.MALFORMED_CLAIM),
        ({"iss": None}, Reason.MISSING_CLAIM),
        ({"iat": NOW + 3600}, Reason.ISSUED_IN_FUTURE),
        ({"nbf": NOW + 120}, Reason.NOT_YET_VALID),
        ({"token_type": "MAC"}, Reason.SENDER_CONSTRAINED),
        ({"authorization_details": {"type": "x"}}, Reason.MALFORMED_CLAIM),
    ],
)
def test_no_profile_switches_rules_off(sample: Sample, changed: dict[str, Any], reason: Reason) -> None:
    """R43, R44, R45, R72, R79: the rules for all tokens apply under every profile."""
    claims = {**sample.claims, **changed}
    profile = get_profile(sample.profile)
    options: dict[str, Any] = {"profile": profile, "now": NOW, "leeway": 10}
    actual = check_unverified(sample.typ, claims, issuer=sample.claims["iss"], audiences=None, **options)
    assert actual is reason


@each(USERS)
def test_no_profile_leaves_issuer_or_audience_out(sample: Sample) -> None:
    """R37, R38: a token of another issuer or for another audience is refused under every profile."""
    profile = get_profile(sample.profile)
    options: dict[str, Any] = {"profile": profile, "now": NOW, "leeway": 10}
    here = {"issuer": sample.claims["iss"], "audiences": {"someone-else"}}
    assert check_unverified(sample.typ, sample.claims, **here, **options) is Reason.WRONG_AUDIENCE
    there = {"issuer": sample.claims["iss"] + "x", "audiences": {sample.audience}}
    assert check_unverified(sample.typ, sample.claims, **there, **options) is Reason.WRONG_ISSUER


@pytest.mark.parametrize(
    ("name", "claims", "scopes"),
    [
        ("rfc9068", {}, set()),
        ("rfc9068", {"scope": None}, set()),
        ("rfc9068", {"scope": ""}, set()),
        ("rfc9068", {"scope": "readwrite"}, {"readwrite"}),
        ("rfc9068", {"scope": ["read", "write all"]}, {"read", "write all"}),
        ("rfc9068", {"scope": "read", "permissions": ["write"], "scp": "x"}, {"read"}),
        ("auth0", {"permissions": ["write"]}, {"write"}),
        ("auth0", {"scope": "", "permissions": ["write"]}, {"write"}),
        ("auth0", {"scope": " read  all ", "permissions": []}, {"read", "all"}),
        ("entra", {"sub": "ada", "scp": "read", "roles": ["write"]}, {"read"}),
        ("entra", {"sub": "ada", "roles": ["write"]}, {"write"}),
        ("entra", {"sub": "ada", "roles": ["write"], "idtyp": "user", "scp": ""}, set()),
    ],
)
def test_scopes(name: str, claims: dict[str, Any], scopes: set[str]) -> None:
    """R121: scopes are read from a string, a list, or several of these, and never from part of a string."""
    assert read_values(read_scope(get_profile(name), claims)) == scopes


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("rfc9068", {"scope": {"read": 1}}),
        ("rfc9068", {"scope": 5}),
        ("rfc9068", {"scope": True}),
        ("rfc9068", {"scope": ["read", 5]}),
        ("rfc9068", {"scope": [["read"]]}),
        ("auth0", {"scope": "read", "permissions": {"write": 1}}),
        ("auth0", {"scope": "read", "permissions": ["write", None]}),
        ("auth0", {"scope": {"read": 1}, "permissions": ["write"]}),
        ("auth0", {"scope": 0, "permissions": ["write"]}),
        ("generic", {"scope": False, "scp": "read"}),
        ("entra", {"roles": {"write": 1}}),
    ],
)
def test_malformed_scopes(name: str, claims: dict[str, Any]) -> None:
    """R121: scopes of another type are returned as malformed, even next to well-formed ones."""
    with pytest.raises(ValueError, match="neither a string nor a list"):
        read_values(read_scope(get_profile(name), claims))


@pytest.mark.parametrize(
    ("name", "claims", "client"),
    [
        ("rfc9068", {}, None),
        ("rfc9068", {"azp": "other"}, None),
        ("auth0", {"azp": "a", "client_id": "b"}, "a"),
        ("auth0", {"azp": "", "client_id": "b"}, "b"),
        ("auth0", {"azp": None, "client_id": "b"}, "b"),
        ("auth0", {"azp": ["a"], "client_id": 5}, None),
        ("entra", {"appid": "b"}, "b"),
    ],
)
def test_clients(name: str, claims: dict[str, Any], client: str | None) -> None:
    """The client is in the first of its claims that is present."""
    assert read_client(get_profile(name), claims) == client


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("rfc9068", {}),
        ("rfc9068", {"roles": None}),
        ("rfc9068", {"roles": 5}),
        ("generic", {"roles": "admin"}),
        ("entra", {"roles": "src1"}),
        ("rfc9068", {"roles": {"admin": True}}),
        ("rfc9068", {"roles": ["admin", 5]}),
        ("rfc9068", {"roles": [["admin"]]}),
        ("rfc9068", {"realm_access": {"roles": ["admin"]}}),
        ("keycloak", {"roles": ["admin"]}),
        ("keycloak", {"realm_access": ["roles"]}),
        ("keycloak", {"realm_access": {"roles": {"admin": True}}}),
        ("keycloak", {"realm_access": "roles"}),
        ("keycloak", {"resource_access": {"account": {"roles": ["admin"]}}}),
        ("keycloak", {"resource_access": {ME: ["admin"]}}),
        ("keycloak", {"resource_access": {"{audience}": {"roles": ["admin"]}}}),
        ("cognito", {"roles": ["admin"]}),
        ("zitadel", {"urn:zitadel:iam:org:project:roles": ["admin"]}),
        ("zitadel", {"urn:zitadel:iam:org:project:roles": "admin"}),
        ("zitadel", {"urn:zitadel:iam:org:project:666:roles": {"admin": {"1": "acme"}}}),
        ("zitadel", {"roles": ["admin"]}),
    ],
)
def test_attributes_of_another_form(name: str, claims: dict[str, Any]) -> None:
    """Malformed or misplaced values grant nothing."""
    assert not read_attribute_values(get_profile(name), claims, "roles", [ME])


@pytest.mark.parametrize(
    ("held", "roles"), [("admin", ["admin"]), (" staff  admin ", ["staff", "admin"]), ("super-admin", ["super-admin"])]
)
def test_attributes_in_a_string(held: str, roles: list[str]) -> None:
    """If the profile says so, a string is split at spaces."""
    for name in ("groups", "roles", "entitlements"):
        assert read_attribute_values(get_profile("rfc9068"), {name: held}, name, [ME]) == roles


@pytest.mark.parametrize("profile", PROFILES)
def test_a_claim_source_is_no_group(profile: str) -> None:
    """If a user has too many groups, Entra's token names only their source, which is not a group."""
    claims = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example"}}}
    assert read_attribute_values(get_profile(profile), claims, "groups", [ME]) is None
    if profile != "rfc9068":
        assert read_attribute_values(get_profile(profile), {"groups": "src1"}, "groups", [ME]) is None


@pytest.mark.parametrize("held", [{}, None, False, 0, ""], ids=repr)
def test_role_that_holds_nothing(held: Any) -> None:
    """A role without an organization is not held."""
    claims = {"urn:zitadel:iam:org:project:roles": {"admin": held, "staff": {"1": "acme"}}}
    assert read_attribute_values(get_profile("zitadel"), claims, "roles", [ME]) == ["staff"]


def test_attributes_of_several_audiences() -> None:
    """The roles of each of our names count, and of no other name. There may be no name."""
    claims = {"resource_access": {name: {"roles": [f"of {name}"]} for name in ("a", "b", "c")}}
    profile = get_profile("keycloak")
    assert read_attribute_values(profile, claims, "roles", ("a", "c")) == ["of a", "of c"]
    assert read_attribute_values(profile, claims, "roles", ()) is None
    assert read_attribute_values(profile, claims, "titles", ("a", "c")) is None


@pytest.mark.parametrize(
    ("name", "claims", "is_client"),
    [
        ("rfc9068", {"sub": "ada", "client_id": "console"}, False),
        ("rfc9068", {"sub": "console", "client_id": "console"}, True),
        ("rfc9068", {"sub": None, "client_id": "console"}, True),
        ("rfc9068", {"client_id": "console", "username": "ada"}, False),
        ("rfc9068", {"client_id": "console", "username": "console"}, True),
        ("rfc9068", {"sub": "ada", "client_id": "console", "gty": "client-credentials"}, False),
        ("auth0", {"sub": "ada@clients.example", "azp": "console"}, False),
        ("auth0", {"sub": "ada", "azp": "console", "gty": ["client-credentials"]}, False),
        ("auth0", {"sub": "ada", "azp": "console", "gty": "password"}, False),
        ("keycloak", {"sub": "ada", "azp": "console", "preferred_username": "service-account"}, False),
        ("entra", {"sub": "ada", "azp": "console", "scp": "read", "idtyp": "device"}, True),
        ("okta", {"sub": "ada", "cid": "console", "uid": None}, True),
        ("generic", {"sub": ["console"], "client_id": "console"}, False),
    ],
)
def test_marks(name: str, claims: dict[str, Any], is_client: bool) -> None:
    """R34: a client is recognised by its subject and by the profile's marks, and by nothing similar."""
    assert is_client_token(get_profile(name), claims) is is_client


def test_get_profile() -> None:
    """A profile is found by its name."""
    for name in (
        "rfc9068",
        "keycloak",
        "auth0",
        "okta",
        "entra",
        "cognito",
        "zitadel",
        "authentik",
        "generic",
    ):
        assert get_profile(name).name == name
    assert len(PROFILES) == 9


@pytest.mark.parametrize(
    ("name", "hint"),
    [("keyclock", "Did you mean 'keycloak'?"), ("Auth0", "Did you mean 'auth0'?"), ("RFC9068", "'rfc9068'?")],
)
def test_misspelt_profile(name: str, hint: str) -> None:
    """The error for a misspelt name suggests the right one."""
    with pytest.raises(ValueError, match="must be one of 'rfc9068', 'keycloak'") as caught:
        get_profile(name)
    assert str(caught.value).endswith(hint)


@pytest.mark.parametrize("name", ["", "none", "https://as.example.com", None])
def test_unknown_profile(name: Any) -> None:
    """The error for any other name lists all names."""
    with pytest.raises(ValueError, match=r"'authentik', 'generic', got .*[^?]$"):
        get_profile(name)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(ANY_CHARACTER, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(ANY_CHARACTER, max_size=5), inner, max_size=3),
    max_leaves=8,
)
claim_names = sorted(
    {
        "sub",
        "gty",
        "idtyp",
        "preferred_username",
        "realm_access",
        "resource_access",
        "urn:zitadel:iam:org:project:roles",
    }
    | {name for profile in PROFILES.values() for name in (*profile.scopes, *profile.client, *profile.user_marks)}
)


@settings(deadline=None)
@given(name=st.sampled_from(sorted(PROFILES)), claims=st.dictionaries(st.sampled_from(claim_names), values))
def test_nothing_raises(name: str, claims: dict[str, Any]) -> None:
    """Whatever a token contains, reading it raises no error and gives only strings."""
    profile = get_profile(name)
    read_scope(profile, claims)
    assert isinstance(read_client(profile, claims), str | None)
    assert isinstance(is_client_token(profile, claims), bool)
    for attribute in ("groups", "roles", "entitlements"):
        found = read_attribute_values(profile, claims, attribute, [ME])
        assert found is None or all(isinstance(value, str) for value in found)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("rfc9068", {"at+jwt"}),
        ("keycloak", {"jwt", "at+jwt"}),
        ("auth0", {"jwt", "at+jwt"}),
        ("okta", {None, "jwt", "at+jwt", "okta-internal-at+jwt"}),
        ("entra", {"jwt"}),
        ("cognito", {None}),
        ("zitadel", {"jwt", "at+jwt"}),
        ("authentik", {"jwt", "at+jwt"}),
        ("generic", {None, "jwt", "at+jwt"}),
    ],
)
def test_types(name: str, types: set[str | None]) -> None:
    """R35: each profile accepts the types of its server's access tokens, and no others."""
    profile = get_profile(name)
    assert {typ for typ in (None, "jwt", "at+jwt", "okta-internal-at+jwt") if check_type(profile, typ) is None} == types


@pytest.mark.parametrize("audiences", [(), ("a",), ("a", "b")], ids=repr)
def test_attributes_that_are_for_everybody(audiences: tuple[str, ...]) -> None:
    """Values that do not depend on our names count once, however many names we have."""
    profile, claims = get_profile("keycloak"), {"groups": ["/finance"], "realm_access": {"roles": ["staff"]}}
    assert read_attribute_values(profile, claims, "groups", audiences) == ["/finance"]
    assert read_attribute_values(profile, claims, "roles", audiences) == ["staff"]


@pytest.mark.parametrize("scope", ["read", " read  all ", "read\tall", ["read all", "read"]], ids=repr)
def test_scopes_of_one_claim(scope: Any) -> None:
    """R121: if only one claim has scopes, its value is returned unchanged."""
    for claims in ({"scope": scope}, {"scope": None, "permissions": scope}):
        assert read_scope(get_profile("auth0"), claims) is scope
