"""What the JWT access tokens of authorization servers look like: as RFC 9068 says, or otherwise.

A profile is data. It says what a token must have to be an access token at all, and where it keeps what views ask about.
None of them touches the signature, the issuer or the lifetime: these are judged alike for all. Nor does one let a token
off the audience: at most it names the claim that holds it.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = [
    "AUDIENCE",
    "FORBIDDEN_TYPES",
    "KEYS",
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
"""The names of members, from the claims inwards."""

AUDIENCE = "{audience}"
"""Within a name of a path: who we are."""

KEYS = "{keys}"
"""As the last name of a path: the values are the names of the members that hold something."""

# RFC 8725 §3.11: other kinds of JWT say what they are. No profile accepts these, whatever else it accepts.
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

# RFC 8725 §3.12: where `typ` does not tell the kinds of JWT apart, claims must. These stand in
# ID tokens (OpenID Connect Core §3.3.2.11), logout tokens and security events (RFC 8417 §2.2),
# introspection answers (RFC 9701 §5) and DPoP proofs (RFC 9449 §4.2).
_OF_OTHER_KINDS = frozenset({"at_hash", "c_hash", "s_hash", "events", "token_introspection", "htm", "htu"})

# RFC 9068 §2.2.3.1
_ATTRIBUTES: Mapping[str, tuple[Path, ...]] = {
    "groups": (("groups",),),
    "roles": (("roles",),),
    "entitlements": (("entitlements",),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What an authorization server's JWT access tokens look like. Data, not code.

    Attributes:
        name: how settings name it.
        types: the `typ` that are accepted, in lower case and without ``application/``.
        accepts_no_type: whether `typ` may be left out.
        any_type: whether any `typ` is accepted but the forbidden ones.
        forbidden: claims that another kind of JWT has, and no access token.
        required: claims that must be there.
        required_any: groups of claims; of each at least one must be there.
        fixed: claims that must hold exactly this.
        audience: the claim that is compared with our audience.
        scopes: the claims that hold scopes; all are joined.
        client_scopes: those that hold scopes besides, in a client's own token.
        client: the claims that name the client; the first that is there counts.
        attributes: where groups, roles and entitlements are; all that is found is joined.
        attribute_strings: whether a string counts as several of them, separated by spaces.
        client_marks: claims that mark a client's own token, by what they hold.
        user_marks: claims that every token of a user has, so that one without them is a client's own.
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
    # Claims that have a form of their own, or are the name of somebody or something.
    formed: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        formed = dict.fromkeys((*self.required, *self.client, "sub", "jti"))
        object.__setattr__(self, "formed", tuple(formed))


# `aud` is required where RFC 9068 requires it. Elsewhere its absence is for the check of the audience to judge.
_PROFILES = (
    Profile(
        name="rfc9068",
        types=frozenset({"at+jwt"}),
        # The type tells it all.
        forbidden=frozenset(),
        # RFC 9068 §2.2
        required=("iss", "exp", "aud", "sub", "client_id", "iat", "jti"),
        # As Authlib reads them.
        attribute_strings=True,
    ),
    Profile(
        name="keycloak",
        types=frozenset({"jwt", "at+jwt"}),
        required=("iss", "exp", "iat", "jti", "sub", "azp"),
        # ID tokens say `ID`, refresh tokens `Refresh`, logout tokens `Logout`.
        fixed={"typ": "Bearer"},
        client=("azp",),
        attributes={
            "groups": (("groups",),),
            "roles": (("realm_access", "roles"), ("resource_access", AUDIENCE, "roles")),
        },
        # The user of a service account, and where its client called from.
        client_marks={
            "preferred_username": re.compile(r"service-account-.+"),
            "clientHost": re.compile(r".+"),
            "clientAddress": re.compile(r".+"),
        },
    ),
    Profile(
        name="auth0",
        types=frozenset({"jwt", "at+jwt"}),
        # ID tokens have the nonce of their request, and no `azp`.
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
        # How the client was authenticated: in access tokens of version 2.0 and of version 1.0, in no ID token.
        required_any=(("azpacr", "appidacr"),),
        scopes=("scp",),
        # Application permissions are given as roles.
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
        # ID tokens say `id`.
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
        # An access token is the ID token with `azp` and `uid` added.
        required=("iss", "exp", "iat", "sub", "azp"),
        client=("azp",),
        client_marks={"preferred_username": re.compile(r"ak-.+-client_credentials")},
    ),
    Profile(
        name="generic",
        types=frozenset({"jwt", "at+jwt"}),
        accepts_no_type=True,
        forbidden=_OF_OTHER_KINDS | {"nonce"},
        # Of these, most ID tokens have none.
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
    """The profile of that name.

    Raises:
        ValueError: there is none.
    """
    profile = PROFILES.get(name) if isinstance(name, str) else None
    if profile is not None:
        return profile
    near = difflib.get_close_matches(str(name).lower(), PROFILES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"profile: {name!r} is none of {', '.join(map(repr, PROFILES))}.{hint}")


def read_scope(profile: Profile, claims: Mapping[str, Any]) -> Any:
    """What the claims say of scopes: a string, a list, or ``None``.

    The types are not checked: what is malformed is handed on as it is, for `scopes.read_values` to refuse.
    """
    names = profile.scopes
    if profile.client_scopes and is_client_token(profile, claims):
        names += profile.client_scopes
    found = [claims[name] for name in names if claims.get(name) is not None]
    if not found:
        return None
    # A malformed one first, so that its neighbours do not hide it.
    found.sort(key=lambda value: isinstance(value, str | list))
    if len(found) == 1 or not isinstance(found[0], str | list):
        return found[0]
    return [scope for value in found for scope in _listed(value)]


def _listed(value: Any) -> Any:
    return filter(None, value.split(" ")) if isinstance(value, str) else value


def read_client(profile: Profile, claims: Mapping[str, Any]) -> str | None:
    """The client to which the token was issued, as far as the claims name one."""
    return next(_clients(profile, claims), None)


def _clients(profile: Profile, claims: Mapping[str, Any]) -> Iterator[str]:
    values = (claims.get(name) for name in profile.client)
    return (value for value in values if isinstance(value, str) and value)


def read_attribute_values(
    profile: Profile, claims: Mapping[str, Any], name: str, audiences: Collection[str]
) -> list[str] | None:
    """The groups, roles or entitlements that the claims hold; ``None`` where they say nothing of them.

    What is not of the form that the profile expects counts as absent: nobody can tell what it grants.
    ``audiences`` is who we are.
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
    """Whether the token speaks for a client itself, and for no user.

    RFC 9068 §5: a client must not be taken for the user whose identifier happens to be the same.
    """
    subject = claims.get("sub")
    if subject is None:
        # RFC 7662 §2.2: an answer may name the resource owner by `username` alone.
        subject = claims.get("username")
    if subject is None or subject in _clients(profile, claims):
        return True
    if any(claims.get(name) is None for name in profile.user_marks):
        return True
    return any(_is_marked(mark, claims.get(name)) for name, mark in profile.client_marks.items())


def _is_marked(mark: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and mark.fullmatch(value) is not None
