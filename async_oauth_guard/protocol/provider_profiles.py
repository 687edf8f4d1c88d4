"""Profiles: the form of each authorization server's JWT access tokens, for RFC 9068 and for servers that differ.

A profile is data. It says which claims make a JWT an access token, and which claims contain scopes, roles and so on.
A profile never changes how the signature, the issuer and the lifetime are checked. It cannot disable the audience check
either; it can only name the claim that contains the audience.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = [
    "ACCESS_TOKEN_USES",
    "AUDIENCE",
    "FORBIDDEN_TYPES",
    "KEYS",
    "OTHER_KINDS",
    "PROFILES",
    "Path",
    "Profile",
    "get_profile",
    "is_client_token",
    "read_attribute_values",
    "read_client",
    "read_scope",
]

Path: TypeAlias = tuple[str, ...]
"""The names of nested members, outermost first."""

AUDIENCE = "{audience}"
"""A placeholder in a path's name: our audience."""

KEYS = "{keys}"
"""As the last name of a path: the values are the names of the members that are not empty."""

# RFC 8725 §3.11: JWTs of other kinds have an explicit type. No profile accepts these types.
FORBIDDEN_TYPES = frozenset(
    {
        "client-authentication+jwt",
        "dpop+jwt",  # RFC 9449 §4.2
        "logout+jwt",  # OpenID Connect Back-Channel Logout §2.4
        "oauth-authz-req+jwt",  # RFC 9101 §10.8
        "secevent+jwt",  # RFC 8417 §2.3
        "token-introspection+jwt",  # RFC 9701 §5
    }
)

# Values of the claim `token_use` in access tokens: Cognito and Hydra.
ACCESS_TOKEN_USES = frozenset({"access", "access_token"})

# Values of the claim `token_type` or `typ` in tokens that are not access tokens, in lower case.
OTHER_KINDS = frozenset(
    {
        # Keycloak, `typ` (org.keycloak.util.TokenUtil, ClientRegistrationTokenUtils), also in introspection.
        "refresh",
        "offline",
        "id",
        "serialized-id",
        "logout",
        "initialaccesstoken",
        "registrationaccesstoken",
        # Okta and others, `token_type` in introspection.
        "refresh_token",
        "id_token",
        # RFC 8693 §2.2.1: "the issued token is not an access token or usable as an access token"
        "n_a",
    }
)

# RFC 8725 §3.12: if `typ` does not distinguish the kinds of JWT, claims must. These claims are in
# ID tokens (OpenID Connect Core §3.3.2.11), logout tokens and security events (RFC 8417 §2.2),
# introspection responses (RFC 9701 §5) and DPoP proofs (RFC 9449 §4.2).
_OF_OTHER_KINDS = frozenset({"at_hash", "c_hash", "s_hash", "events", "token_introspection", "htm", "htu"})

# RFC 9068 §2.2.3.1
_ATTRIBUTES: Mapping[str, tuple[Path, ...]] = {
    "groups": (("groups",),),
    "roles": (("roles",),),
    "entitlements": (("entitlements",),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The form of an authorization server's JWT access tokens. Data, not code.

    Attributes:
        name: the profile's name in settings.
        types: the accepted values of `typ`, in lower case and without ``application/``.
        accepts_no_type: whether `typ` may be missing.
        any_type: whether every `typ` is accepted, except the forbidden ones.
        forbidden: claims that other kinds of JWT have and access tokens never have.
        required: claims that must be present.
        required_any: groups of claims. At least one claim of each group must be present.
        fixed: claims that must have exactly this value.
        audience: the claim that is compared with our audience.
        scopes: the claims that contain scopes. The values of all of them are joined.
        client_scopes: additional claims that contain scopes if the token was issued to a client without a user.
        client: the claims that name the client. The first that is present counts.
        attributes: where groups, roles and entitlements are. All values that are found are joined.
        attribute_strings: whether a string is split at spaces into several values.
        client_marks: claims, with a pattern each. A match shows that the token was issued to a client without a user.
        user_marks: claims that every user's token has. A token that lacks one was issued to a client without a user.
    """

    name: str
    types: frozenset[str]
    accepts_no_type: bool = False
    any_type: bool = False
    forbidden: frozenset[str] = _OF_OTHER_KINDS
    required: tuple[str, ...] = ("iss", "exp")
    required_any: tuple[tuple[str, ...], ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    audience: str = "aud"
    scopes: tuple[str, ...] = ("scope",)
    client_scopes: tuple[str, ...] = ()
    client: tuple[str, ...] = ("client_id",)
    attributes: Mapping[str, tuple[Path, ...]] = field(default_factory=lambda: _ATTRIBUTES)
    attribute_strings: bool = False
    client_marks: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    user_marks: tuple[str, ...] = ()
    # Claims whose type is checked: each must be a string that is not empty, unless `claims._FORMS` has another rule.
    formed: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        formed = dict.fromkeys((*self.required, *self.client, "sub", "jti"))
        object.__setattr__(self, "formed", tuple(formed))


# Only the profile for RFC 9068 requires `aud`. For the others, the audience check decides if `aud` is missing.
_PROFILES = (
    Profile(
        name="rfc9068",
        types=frozenset({"at+jwt"}),
        # The required `typ` already distinguishes access tokens.
        forbidden=frozenset(),
        # RFC 9068 §2.2
        required=("iss", "exp", "aud", "sub", "client_id", "iat", "jti"),
        # As in Authlib.
        attribute_strings=True,
    ),
    Profile(
        name="keycloak",
        types=frozenset({"jwt", "at+jwt"}),
        required=("iss", "exp", "iat", "jti", "sub", "azp"),
        # `typ` is `ID` in ID tokens, `Refresh` in refresh tokens, and `Logout` in logout tokens.
        fixed={"typ": "Bearer"},
        client=("azp",),
        attributes={
            "groups": (("groups",),),
            "roles": (("realm_access", "roles"), ("resource_access", AUDIENCE, "roles")),
        },
        # The user name of a service account, and the host and address of its client.
        client_marks={
            "preferred_username": re.compile(r"service-account-.+"),
            "clientHost": re.compile(r".+"),
            "clientAddress": re.compile(r".+"),
        },
    ),
    Profile(
        name="auth0",
        types=frozenset({"jwt", "at+jwt"}),
        # ID tokens have a `nonce`, and no `azp`.
        forbidden=_OF_OTHER_KINDS | {"nonce"},
        required=("iss", "exp", "iat", "sub"),
        required_any=(("azp", "client_id"),),
        scopes=("scope", "permissions"),
        client=("azp", "client_id"),
        client_marks={"gty": re.compile(r"client-credentials"), "sub": re.compile(r".+@clients")},
    ),
    Profile(
        name="okta",
        types=frozenset({"jwt", "at+jwt"}),
        accepts_no_type=True,
        any_type=True,
        # ID tokens have no `cid`.
        required=("iss", "exp", "iat", "jti", "sub", "cid"),
        scopes=("scp",),
        client=("cid",),
        user_marks=("uid",),
    ),
    Profile(
        name="entra",
        types=frozenset({"jwt"}),
        required=("iss", "exp", "iat", "sub"),
        # How the client authenticated: `azpacr` in access tokens of version 2.0, `appidacr` in version 1.0. ID tokens
        # have neither.
        required_any=(("azpacr", "appidacr"),),
        scopes=("scp",),
        # Application permissions are roles.
        client_scopes=("roles",),
        client=("azp", "appid"),
        attributes={"groups": (("groups",),), "roles": (("roles",),)},
        client_marks={"idtyp": re.compile(r"app|device")},
        user_marks=("scp",),
    ),
    Profile(
        name="cognito",
        types=frozenset(),
        accepts_no_type=True,
        required=("iss", "exp", "iat", "jti", "sub", "client_id"),
        # `token_use` is `id` in ID tokens.
        fixed={"token_use": "access"},
        audience="client_id",
        attributes={"groups": (("cognito:groups",),)},
        user_marks=("username",),
    ),
    Profile(
        name="zitadel",
        types=frozenset({"jwt", "at+jwt"}),
        # ID tokens have no `jti`.
        required=("iss", "exp", "iat", "sub", "jti"),
        client=("client_id", "azp"),
        attributes={
            "roles": (
                ("urn:zitadel:iam:org:project:roles", KEYS),
                (f"urn:zitadel:iam:org:project:{AUDIENCE}:roles", KEYS),
            ),
        },
    ),
    Profile(
        name="authentik",
        types=frozenset({"jwt", "at+jwt"}),
        # An access token is an ID token with `azp` and `uid` added.
        required=("iss", "exp", "iat", "sub", "azp"),
        client=("azp",),
        client_marks={"preferred_username": re.compile(r"ak-.+-client_credentials")},
    ),
    Profile(
        name="generic",
        types=frozenset({"jwt", "at+jwt"}),
        accepts_no_type=True,
        forbidden=_OF_OTHER_KINDS | {"nonce"},
        # Most ID tokens have none of these claims.
        required_any=(("client_id", "azp", "scope", "scp"),),
        scopes=("scope", "scp"),
        client=("client_id", "azp"),
        client_marks={
            "gty": re.compile(r"client-credentials"),
            "idtyp": re.compile(r"app|device"),
            "preferred_username": re.compile(r"service-account-.+"),
        },
    ),
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _PROFILES}


def get_profile(name: Any) -> Profile:
    """The profile with this name.

    Raises:
        ValueError: no profile has this name.
    """
    profile = PROFILES.get(name) if isinstance(name, str) else None
    if profile is not None:
        return profile
    near = difflib.get_close_matches(str(name).lower(), PROFILES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"profile must be one of {', '.join(map(repr, PROFILES))}, got {name!r}.{hint}")


def read_scope(profile: Profile, claims: Mapping[str, Any]) -> Any:
    """The scopes in the claims: a string, a list, or ``None``.

    The type is not checked. A malformed value is returned unchanged, and `scopes.read_values` refuses it.
    """
    names = profile.scopes
    if profile.client_scopes and is_client_token(profile, claims):
        names += profile.client_scopes
    found = [claims[name] for name in names if claims.get(name) is not None]
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    # Put malformed values first, so that valid ones do not hide them.
    found.sort(key=lambda value: isinstance(value, str | list))
    if not isinstance(found[0], str | list):
        return found[0]
    return [scope for value in found for scope in _listed(value)]


def _listed(value: Any) -> Any:
    return filter(None, value.split(" ")) if isinstance(value, str) else value


def read_client(profile: Profile, claims: Mapping[str, Any]) -> str | None:
    """The client to which the token was issued, or ``None`` if the claims name none."""
    return next(_clients(profile, claims), None)


def _clients(profile: Profile, claims: Mapping[str, Any]) -> Iterator[str]:
    for name in profile.client:
        value = claims.get(name)
        if isinstance(value, str) and value:
            yield value


def read_attribute_values(
    profile: Profile, claims: Mapping[str, Any], name: str, audiences: Collection[str]
) -> list[str] | None:
    """The groups, roles or entitlements in the claims, or ``None`` if the claims have none.

    A value of another type than the profile expects counts as absent, because it is unclear what it grants.
    ``audiences`` is our audience.
    """
    found = [
        values
        for pattern in profile.attributes.get(name, ())
        for path in _paths(pattern, audiences)
        if (values := _values_at(path, claims, profile.attribute_strings)) is not None
    ]
    return [value for values in found for value in values] if found else None


def _paths(pattern: Path, audiences: Collection[str]) -> Iterator[Path]:
    if not any(AUDIENCE in part for part in pattern):
        yield pattern
        return
    for audience in audiences:
        yield tuple(part.replace(AUDIENCE, audience) for part in pattern)


def _values_at(path: Path, claims: Mapping[str, Any], strings: bool) -> list[str] | None:
    value: Any = claims
    for part in path:
        if not isinstance(value, Mapping):
            return None
        value = [name for name, held in value.items() if held] if part == KEYS else value.get(part)
    if strings and isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return value
    return None


def is_client_token(profile: Profile, claims: Mapping[str, Any]) -> bool:
    """Whether the token was issued to a client without a user.

    RFC 9068 §5: a client must not be mistaken for a user who has the same identifier.
    """
    subject = claims.get("sub")
    if subject is None:
        # RFC 7662 §2.2: an introspection response may name the resource owner only by `username`.
        subject = claims.get("username")
    if subject is None or subject in _clients(profile, claims):
        return True
    if any(claims.get(name) is None for name in profile.user_marks):
        return True
    return any(_is_marked(mark, claims.get(name)) for name, mark in profile.client_marks.items())


def _is_marked(mark: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and mark.fullmatch(value) is not None
