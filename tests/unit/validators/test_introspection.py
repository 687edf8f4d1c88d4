"""``IntrospectTokenValidator``: its options, and what views see of a response."""

import dataclasses
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from async_oauth_guard import AccessToken, IntrospectTokenValidator, InvalidTokenError, TemporarilyUnavailableError
from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime import event_loop
from async_oauth_guard.runtime.effects import CacheWrite, Call, OutboundRequest
from tests.ids import described
from tests.unit.driving import DOWN, ISSUER, SigningKey, World, authorization_context, key_set, ok
from tests.unit.validators.introspecting import (
    API,
    ENDPOINT,
    JWKS_URI,
    KEY,
    METADATA,
    OWN_KEY,
    PRIVATE_JWK,
    SECRET,
    TOKEN,
    claims,
    introspect,
    introspection,
)

# Options.

HTTPS = "must be an https:// URL; to use http:// in a private network, set allow_insecure_http=True"
NO_URL = "must be an absolute https:// URL"
SECONDS = [
    (-1, ValueError, "must be a number of seconds, 0 or more, got "),
    (float("nan"), ValueError, "must be a number of seconds, 0 or more, got "),
    ("5", TypeError, "must be a number of seconds, got str"),
    (None, TypeError, "must be a number of seconds, got NoneType"),
    (True, TypeError, "must be a number of seconds, got bool"),
]
METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt", "bearer", "none"]
SIGNED = {"signed_responses": "required", "issuer": ISSUER}
WRONG: list[Any] = [
    ({"introspection_endpoint": None}, ValueError, "introspection_endpoint or issuer must be given; "),
    ({"introspection_endpoint": "http://as.example.com/"}, ValueError, f"introspection_endpoint: {HTTPS}"),
    *(
        ({"introspection_endpoint": value}, ValueError, f"introspection_endpoint: {NO_URL}")
        for value in ("", 7, "introspect", "https://")
    ),
    ({"issuer": "http://as.example.com"}, ValueError, f"issuer: {HTTPS}"),
    ({"introspection_endpoint": None, "issuer": "http://as.example.com"}, ValueError, f"issuer: {HTTPS}"),
    ({"introspection_endpoint": None, "issuer": "urn:as"}, ValueError, f"issuer: {NO_URL}"),
    *(({"issuer": value}, (TypeError, ValueError), "issuer must ") for value in (7, "")),
    *(
        ({"client_id": None, "client_auth": method}, ValueError, f"client_id must be given for client_auth={method!r}")
        for method in METHODS[:3]
    ),
    *(({"client_id": value}, (TypeError, ValueError), "client_id must ") for value in (7, "")),
    *(
        (
            {"client_secret": value, "client_auth": method},
            ValueError,
            "client_secret must be given for",
        )
        for method in METHODS[:4]
        for value in (None, "")
    ),
    *(
        (
            {"client_secret": value, "client_auth": method},
            TypeError,
            "client_secret must be a string for ",
        )
        for method in ("client_secret_basic", "client_secret_post", "bearer")
        for value in (7, SECRET.encode(), {"k": SECRET})
    ),
    *(
        pytest.param(
            {"client_secret": value, "client_auth": "private_key_jwt"},
            ValueError,
            "client_secret must be a private key for client_auth='private_key_jwt': ",
        )
        for value in (SECRET, 7, {"kty": "oct", "k": SECRET}, OWN_KEY.as_dict(private=False))
    ),
    *(
        ({"client_auth": value}, ValueError, f"client_auth must be one of {', '.join(METHODS)}")
        for value in (None, "", "basic", "CLIENT_SECRET_BASIC", "tls_client_auth", [])
    ),
    *(
        ({name: value}, error, f"{name} {message}")
        for name in ("cache_ttl", "negative_ttl", "stale_if_error")
        for value, error, message in SECONDS
    ),
    *(
        ({"max_concurrency": value}, ValueError, "max_concurrency must be a whole number, 1 or more, got ")
        for value in (0, -1, 1.5, "5", None, True)
    ),
    ({"token_format": "("}, ValueError, "token_format must be a valid regular expression: "),
    ({"token_format": 7}, TypeError, "token_format must be a regular expression, got int"),
    ({"token_format": ""}, ValueError, "token_format must not be empty"),
    ({"introspection_endpoint": "r1"}, ValueError, f"introspection_endpoint: {NO_URL} (Authlib's first argument, the"),
    *(
        ({"client_auth": "bearer", "client_secret": f"{SECRET}{end}"}, ValueError, "client_secret must be printable")
        for end in ("\n", "\x00", "\u20ac", "\xe9")
    ),
    ({"client_id": "a\udc80"}, ValueError, "client_id must not contain half of a surrogate pair"),
    ({"client_secret": f"{SECRET}\udc80"}, ValueError, "client_secret must not contain half of a surrogate pair"),
    (
        {**SIGNED, "client_auth": "bearer", "client_id": None, "audience": None},
        ValueError,
        "client_id or audience must be given for signed_responses",
    ),
    *(({"scope_claim": value}, TypeError, "scope_claim must be ") for value in (7, None)),
    *(
        (
            {**SIGNED, "signed_responses": value},
            ValueError,
            "signed_responses must be 'accepted', 'required' or None",
        )
        for value in ("", True, "optional")
    ),
    ({"signed_responses": "required"}, ValueError, "issuer must be given for signed_responses"),
    *(
        (keys, ValueError, "signed_responses must be 'accepted' or 'required' if jwks or jwks_uri is given")
        for keys in ({"jwks": {"keys": []}}, {"jwks_uri": "https://as.example.com/keys"})
    ),
    ({**SIGNED, "jwks_uri": "http://as.example.com/keys"}, ValueError, f"jwks_uri: {HTTPS}"),
    ({**SIGNED, "jwks": {"keys": []}}, ValueError, "jwks must contain a key that can verify a signature"),
    ({**SIGNED, "jwks": 7}, TypeError, "jwks: "),
    ({**SIGNED, "issuer": "urn:as"}, ValueError, f"issuer: {NO_URL}"),
    *(({"allow_insecure_http": value}, TypeError, "allow_insecure_http must be ") for value in ("no", 1, None)),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda part: repr(part)[:60])
def test_wrong_options(options: dict[str, Any], error: Any, message: str) -> None:
    """R134: an invalid option is refused when the validator is created, by name, and no secret is shown."""
    with pytest.raises(error) as caught:
        introspection(**options)
    assert str(caught.value).startswith(message)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None or SECRET not in repr(caught.value.__cause__)


def test_defaults() -> None:
    """The defaults are those in the documentation."""
    validator = introspection()
    lifetimes = validator._results._lifetimes
    assert (lifetimes.active, lifetimes.inactive, lifetimes.stale) == (30, 5, 0)
    assert (validator.client_auth, validator.scope_claim, validator.signed_responses) == (
        "client_secret_basic",
        "scope",
        None,
    )
    assert (validator.issuer, validator.jwks_uri) == (None, None)


GOOD: list[dict[str, Any]] = [
    {"introspection_endpoint": "http://localhost:9000/introspect"},
    {"introspection_endpoint": "http://127.0.0.1/introspect"},
    {"introspection_endpoint": "http://as:8080/introspect", "allow_insecure_http": True},
    {"introspection_endpoint": None, "issuer": ISSUER},
    {"issuer": "urn:as"},
    {"client_auth": "none", "client_secret": None},
    {"client_auth": "none", "client_secret": None, "client_id": None},
    {"client_auth": "bearer", "client_id": None},
    {"client_auth": "private_key_jwt", "client_secret": PRIVATE_JWK},
    {"client_auth": "private_key_jwt", "client_secret": OWN_KEY.as_pem(private=True).decode()},
    {"signed_responses": "accepted", "issuer": ISSUER},
    {"signed_responses": "required", "issuer": "urn:as", "jwks_uri": JWKS_URI},
    {"signed_responses": "required", "issuer": "urn:as", "jwks": key_set(KEY)},
    {"cache_ttl": 0, "negative_ttl": 0, "stale_if_error": 0, "max_concurrency": 1},
]


@pytest.mark.parametrize("options", GOOD, ids=lambda options: ", ".join(options))
def test_good_options(options: dict[str, Any]) -> None:
    """Valid options are accepted, and no secret is shown."""
    validator = introspection(**options)
    shown = repr(validator) + "".join(map(repr, vars(validator).values()))
    assert SECRET not in shown
    assert PRIVATE_JWK["d"] not in shown


# Responses.


def test_active() -> None:
    """Each request gets its own token with the claims from the server."""
    found, _ = introspect(introspection(), ok(claims(token_type="bearer")))
    assert isinstance(found, AccessToken)
    assert (found.subject, found.client_id, found.scopes, found.user) == ("alice", "app", {"a", "b"}, None)
    assert found.token_type == "Bearer"
    assert introspect(introspection(), ok(claims()))[0].token_type == "Bearer"


def test_scopes_of_another_name() -> None:
    """Scopes are read from the member that ``scope_claim`` names."""
    found, _ = introspect(introspection(scope_claim="scp"), ok(claims(scp=["c", "d"])))
    assert found.scopes == {"c", "d"}


def test_inactive_results_are_copied() -> None:
    """R33: a hook that calls ``super().authenticate_token(...)`` may change what it gets, for its own request only."""
    validator = introspection()
    found, _ = introspect(validator, ok({"active": False}))
    found["active"] = True
    again, world = introspect(validator, ok({"active": False}))
    assert again == {"active": False}
    assert world.calls == []


def test_inactive() -> None:
    """R69: an inactive token is found and then refused, whatever else the response says."""
    validator = introspection()
    found, _ = introspect(validator, ok({"active": False, "scope": "admin"}))
    assert not isinstance(found, AccessToken)
    assert validator.read_state(found, authorization_context()).reason == Reason.INACTIVE_TOKEN


WRONG_ANSWERS: list[tuple[dict[str, Any], dict[str, Any], Reason]] = [
    ({}, {"aud": "https://other.example.com"}, Reason.WRONG_AUDIENCE),
    ({"issuer": ISSUER}, {"iss": "https://other.example.com"}, Reason.WRONG_ISSUER),
    ({}, {"exp": 1}, Reason.EXPIRED),
    ({}, {"nbf": time.time() + 3600}, Reason.NOT_YET_VALID),
    ({}, {"token_use": "refresh_token"}, Reason.WRONG_TYPE),
    ({}, {"token_type": "refresh_token"}, Reason.WRONG_TYPE),
    ({}, {"typ": "Refresh", "token_type": "Bearer"}, Reason.WRONG_TYPE),
    ({}, {"token_type": "MAC"}, Reason.SENDER_CONSTRAINED),
    ({}, {"authorization_details": "x"}, Reason.MALFORMED_CLAIM),
]


@pytest.mark.parametrize(("options", "values", "reason"), WRONG_ANSWERS, ids=lambda part: repr(part)[:40])
def test_claims_of_active_tokens_are_checked(options: dict[str, Any], values: dict[str, Any], reason: Reason) -> None:
    """R71, R79: the claims of an active token are still checked."""
    with pytest.raises(InvalidTokenError) as caught:
        introspect(introspection(**options), ok(claims(**values)))
    assert caught.value.reason == reason


@pytest.mark.parametrize("values", [{}, {"iss": ISSUER}])
def test_issuer_is_optional_in_responses(values: dict[str, Any]) -> None:
    """R71: a response without an issuer is accepted as one from the configured server."""
    assert introspect(introspection(issuer=ISSUER), ok(claims(**values)))[0]["sub"] == "alice"


def test_outage() -> None:
    """A server that cannot be reached is an outage, not a refusal."""
    with pytest.raises(TemporarilyUnavailableError):
        introspect(introspection(), DOWN)


def test_discovery() -> None:
    """R63: with an issuer alone, the endpoint is discovered from its metadata."""
    world, validator = World(), introspection(introspection_endpoint=None, issuer=ISSUER)
    world.answer(METADATA, ok({"issuer": ISSUER, "introspection_endpoint": ENDPOINT}))
    world.answer(ENDPOINT, ok(claims()))
    assert world.run(validator.authenticate_flow(TOKEN, authorization_context()))["sub"] == "alice"
    assert world.urls == [METADATA, ENDPOINT]


def signed(**values: Any) -> Any:
    now = time.time()
    outer = {"iss": ISSUER, "aud": "api", "iat": now, "token_introspection": claims(), **values}
    return ok(KEY.sign(outer, typ="token-introspection+jwt").reveal().encode(), "application/token-introspection+jwt")


@pytest.mark.parametrize("options", [{"jwks": key_set(KEY)}, {"jwks_uri": JWKS_URI}])
@pytest.mark.parametrize("aud", ["api", API])
def test_signed_responses(options: dict[str, Any], aud: str) -> None:
    """R76: a signed response must be for one of our identifiers, and is verified with the issuer's keys."""
    world, validator = World(), introspection(**SIGNED, **options)
    world.answer(ENDPOINT, signed(aud=aud))
    world.answer(JWKS_URI, ok(key_set(KEY)))
    assert world.run(validator.authenticate_flow(TOKEN, authorization_context()))["sub"] == "alice"
    assert world.calls[0].headers["Accept"] == "application/token-introspection+jwt"


def test_signed_responses_are_not_for_others() -> None:
    """R76: a response for another resource server is refused."""
    with pytest.raises(TemporarilyUnavailableError):
        introspect(introspection(**SIGNED, jwks=key_set(KEY)), signed(aud="other"))


def test_signed_responses_are_not_downgraded() -> None:
    """R78: with ``"required"``, an unsigned response is refused. With ``"accepted"``, it is accepted."""
    with pytest.raises(TemporarilyUnavailableError):
        introspect(introspection(**SIGNED, jwks=key_set(KEY)), ok(claims()))
    options = {**SIGNED, "signed_responses": "accepted"}
    assert introspect(introspection(**options, jwks=key_set(KEY)), ok(claims()))[0]["sub"] == "alice"


@pytest.mark.parametrize(
    ("options", "presented", "expected"),
    [
        ({}, "opaque", True),
        ({}, "a.b.c", True),
        ({"token_format": r"at_[a-z]+"}, "at_x", True),
        ({"token_format": r"at_[a-z]+"}, "at_x7", False),
        ({"issuer": ISSUER}, "opaque", True),
        ({"issuer": ISSUER}, KEY.sign({"iss": ISSUER}).reveal(), True),
        ({"issuer": ISSUER}, KEY.sign({"iss": "https://other.example.com"}).reveal(), False),
        ({}, KEY.sign({"iss": "https://other.example.com"}).reveal(), True),
    ],
)
def test_recognised_tokens(options: dict[str, Any], presented: str, expected: bool) -> None:
    """R12: tokens that cannot come from the server are not introspected."""
    assert introspection(**options).recognises(presented) is expected


@pytest.mark.parametrize("presented", ["opa que", "", "\xe9", "a=b"])
@pytest.mark.parametrize("options", [{}, {"token_format": r".*"}])
def test_other_text_is_not_sent(options: dict[str, Any], presented: str) -> None:
    """R12: the server is not asked about text that is not a bearer token. As Authlib reads headers, it may get here."""
    world = World()
    with pytest.raises(InvalidTokenError) as caught:
        world.run(introspection(**options).authenticate_flow(Secret(presented)))
    assert caught.value.reason == Reason.UNRECOGNISED_TOKEN
    assert world.calls == []


# Caching.


def test_results_are_cached() -> None:
    """A result is cached until it is invalidated, unless a view requires a fresh one."""
    world, validator = World(), introspection()
    world.answer(ENDPOINT, ok(claims()))
    context = dataclasses.replace(authorization_context(), cache="default")
    for _ in range(2):
        assert world.run(validator.authenticate_flow(TOKEN, context))["sub"] == "alice"
    assert len(world.calls) == len(world.asked(CacheWrite)) == 1
    world.run(
        validator.authenticate_flow(TOKEN, dataclasses.replace(authorization_context(fresh=True), cache="default"))
    )
    assert len(world.calls) == 2
    world.run(validator.invalidate_flow(TOKEN, "default"))
    assert world.cache == {}
    world.run(validator.authenticate_flow(TOKEN, context))
    assert len(world.calls) == 3


DIFFERENCES: list[dict[str, Any]] = [
    {"introspection_endpoint": f"{ENDPOINT}/2"},
    {"client_id": "other"},
    {"client_auth": "client_secret_post"},
    {"scope_claim": "scp"},
    {"signed_responses": "accepted", "issuer": ISSUER},
    {"client_secret": "other"},
]


@pytest.mark.parametrize("options", DIFFERENCES, ids=repr)
def test_fingerprints(options: dict[str, Any]) -> None:
    """Options that can change a result separate cached results. So does the secret, which may identify a tenant."""
    plain = introspection()
    assert introspection(cache_ttl=1, negative_ttl=1).fingerprint() == plain.fingerprint()
    assert introspection(**options).fingerprint() != plain.fingerprint()


def test_fingerprints_of_signed_responses() -> None:
    """Options for signatures separate cached results."""
    signing = [
        {**SIGNED, **options}
        for options in ({}, {"jwks_uri": JWKS_URI}, {"jwks": key_set(KEY)}, {"jwks": key_set(SigningKey("other"))})
    ]
    assert len({repr(introspection(**options).fingerprint()) for options in signing}) == 4


@pytest.mark.parametrize("django_key", ["a" * 50, b"b" * 100])
def test_secrets_in_fingerprints(django_key: Any) -> None:
    """R133: the fingerprint contains a digest of the secret that needs ``SECRET_KEY``."""
    pairs = [introspection(), introspection(client_auth="private_key_jwt", client_secret=PRIVATE_JWK)]
    before = [each.fingerprint()["client_secret"] for each in pairs]
    turned = dict(reversed(PRIVATE_JWK.items()))
    again = introspection(client_secret=turned, client_auth="private_key_jwt")
    assert again.fingerprint()["client_secret"] == before[1]
    with override_settings(SECRET_KEY=django_key):
        after = [each.fingerprint()["client_secret"] for each in pairs]
    assert len({*before, *after}) == 4
    assert SECRET not in "".join(before + after)
    assert PRIVATE_JWK["d"] not in "".join(before + after)


def test_tenants_share_no_results() -> None:
    """R133: tenants that share a cache do not share results."""
    world = World()
    of_a, of_b = (introspection(client_auth="bearer", client_secret=f"tenant-{name}") for name in "ab")
    context = dataclasses.replace(authorization_context(), cache="default")
    world.answer(ENDPOINT, ok(claims()))
    assert world.run(of_a.authenticate_flow(TOKEN, context))["sub"] == "alice"
    world.answer(ENDPOINT, ok({"active": False}))
    assert world.run(of_b.authenticate_flow(TOKEN, context)) == {"active": False}


def test_made_at_once() -> None:
    """Threads that start at the same time use one server and one single flight."""
    assert {"_introspection", "_metadata", "_own_keys"} <= set(vars(introspection()))


# State.


def test_state() -> None:
    """The lifetime is checked each time."""
    validator = introspection()
    state = validator.read_state(AccessToken(claims(groups=["g"]), user="u"), authorization_context(groups="g"))
    assert (state.reason, state.scope, state.user, state.attributes) == (None, "a b", "u", {"groups": ["g"]})
    assert validator.read_state(claims(), authorization_context()).user is None
    assert validator.read_state(claims(exp=1), authorization_context()).reason == Reason.EXPIRED


def test_state_of_custom_tokens() -> None:
    """A custom token is checked with Authlib's methods. Other values are inactive."""
    found = SimpleNamespace(is_expired=lambda: False, is_revoked=lambda: True, get_scope=lambda: "")
    assert introspection().read_state(found, authorization_context()).reason == Reason.REVOKED
    for nothing in ("text", 7, None):
        assert introspection().read_state(nothing, authorization_context()).reason == Reason.INACTIVE_TOKEN


@pytest.mark.parametrize("active", ["true", 1, None, [True], "False"])
def test_only_true_is_active(active: Any) -> None:
    """R68: only ``true`` means active."""
    assert introspection().read_state(claims(active=active), authorization_context()).reason == Reason.INACTIVE_TOKEN


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"sub": "alice"}, False),
        ({"sub": "alice", "username": "alice"}, False),
        ({"sub": "app"}, True),
        ({"sub": "7", "username": "app"}, True),
        ({"sub": None}, True),
        ({"sub": None, "username": "alice"}, False),
        ({"client_id": None}, False),
    ],
)
def test_tokens_of_clients(values: dict[str, Any], expected: bool) -> None:
    """R34: a token is the client's own if it names no user, or only the client."""
    assert introspection()._is_client_token(claims(**values)) is expected


# Public methods.


class Answering:
    """A transport that responds with an active token."""

    async def exchange(self, call: OutboundRequest, deadline: float) -> Any:
        return ok(claims())

    async def aclose(self) -> None: ...


@pytest.fixture
def _answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    event_loop.close()
    monkeypatch.setattr(event_loop, "Transport", Answering)
    yield
    event_loop.close()


@pytest.mark.usefixtures("_answering")
def test_introspect_token() -> None:
    """`introspect_token` returns the response as a new dictionary."""
    validator = introspection()
    validator.introspect_token("opaque").clear()
    assert validator.introspect_token("opaque")["sub"] == "alice"
    assert validator.authenticate_token("opaque")["sub"] == "alice"


@pytest.mark.usefixtures("_answering")
async def test_aintrospect_token() -> None:
    """`aintrospect_token` does the same."""
    validator = introspection()
    assert type(await validator.aintrospect_token("opaque")) is dict
    assert (await validator.aauthenticate_token("opaque"))["sub"] == "alice"


# Subclasses.


class Own(IntrospectTokenValidator):
    response: Any = None
    calls = 0

    def introspect_token(self, token_string: str) -> Any:
        self.calls += 1
        return self.response


def test_own_introspection() -> None:
    """A hook needs no server. It is called on each request, and its result is returned unchanged."""
    world, validator = World(), Own()
    validator.response = claims(aud="https://other.example.com")
    for number in (1, 2):
        assert world.run(validator.authenticate_flow(TOKEN, authorization_context())) is validator.response
        assert validator.calls == number
    assert not validator.takes_audience_from_protector
    assert not validator.shares
    assert len(world.asked(Call)) == 2
    assert validator.recognises("opa que")


def test_own_introspection_and_an_audience() -> None:
    """R28: if ``audience`` is given, it is checked for a hook's result too."""
    validator = Own(audience=API)
    validator.response = claims(aud="https://other.example.com")
    with pytest.raises(InvalidTokenError) as caught:
        World().run(validator.authenticate_flow(TOKEN, authorization_context()))
    assert caught.value.reason == Reason.WRONG_AUDIENCE


def test_own_introspection_and_an_endpoint() -> None:
    """R134: an endpoint that is given for ``super()`` must be a URL. In Authlib, the realm is at this position."""
    with pytest.raises(ValueError, match=rf"^introspection_endpoint: {NO_URL}"):
        Own("realm")
    assert Own(ENDPOINT).introspection_endpoint == ENDPOINT


def test_own_introspection_and_users() -> None:
    """With a user lookup, the result becomes a token with the user."""
    validator = Own(user_lookup=lambda found: User(username=found["sub"]))
    validator.response = claims()
    found = World().run(validator.authenticate_flow(TOKEN, authorization_context()))
    assert (type(found), found.user.username) == (AccessToken, "alice")


@pytest.mark.parametrize("response", [None, {"active": False}, {"sub": "x"}, "text", 7])
def test_own_introspection_of_inactive_tokens(response: Any) -> None:
    """R68: a hook's result that is not active is returned and then refused."""
    validator = Own()
    validator.response = response
    assert World().run(validator.authenticate_flow(TOKEN, authorization_context())) is response


class Tenant(Own):
    name = "a"

    def cache_identity(self) -> str:
        return self.name


def ask_hook(validator: Tenant, **requirements: Any) -> Any:
    """The claims from the hook, or from the cache."""
    _, _, signer, cache, fresh = validator._surroundings(authorization_context(**requirements))
    return World().run(validator._result_flow(TOKEN, signer, cache, fresh))


@pytest.mark.parametrize(
    ("response", "calls"),
    [
        (claims(), 1),
        ({"active": False}, 1),
        (claims(exp=1), 2),
        (claims(active="true"), 2),
        (claims(exp=None), 2),
        (None, 2),
        ("text", 2),
    ],
    ids=repr,
)
def test_own_introspection_with_an_identity(response: Any, calls: int) -> None:
    """R70: with ``cache_identity()``, valid results of a hook are cached, separately for each identity."""
    validator = Tenant(client_id="x")
    validator.response = response
    for _ in range(2):
        assert ask_hook(validator) == response
    assert validator.calls == calls
    validator.name = "b"
    ask_hook(validator)
    assert validator.calls == calls + 1
    ask_hook(validator, fresh=True)
    assert validator.calls == calls + 2


def test_own_introspection_is_invalidated() -> None:
    """Cached results of a hook can be invalidated."""
    validator = Tenant()
    validator.response = claims()
    World().run(validator.authenticate_flow(TOKEN, authorization_context()))
    World().run(validator.invalidate_flow(TOKEN, None))
    World().run(validator.authenticate_flow(TOKEN, authorization_context()))
    assert validator.calls == 2


def test_cached_results_are_copied() -> None:
    """R33: changes that one request makes to its result do not reach another request."""
    validator = Tenant()
    validator.response = claims(groups=["g"])
    ask_hook(validator)["groups"].append("admin")
    assert ask_hook(validator)["groups"] == ["g"]


def test_cached_inactive_results() -> None:
    """R69: of an inactive response, no other member is cached."""
    validator = Tenant()
    validator.response = {"active": False, "exp": 1, "scope": "admin"}
    ask_hook(validator)
    assert ask_hook(validator) == {"active": False}


@pytest.mark.parametrize("name", ["aintrospect_token", "aauthenticate_token", "avalidate_token"])
def test_overridden_async_variants(name: str) -> None:
    """R124: a class that overrides an async variant is refused, because it would never be called."""
    with pytest.raises(TypeError, match=rf"Own.{name}\(\) would never be called: write async def {name[1:]}\(\)"):
        type("Own", (IntrospectTokenValidator,), {name: lambda self: None})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"active": True}, None),
        ({"active": "true"}, Reason.INACTIVE_TOKEN),
        ({}, Reason.INACTIVE_TOKEN),
        (None, None),
        ("text", Reason.INACTIVE_TOKEN),
        (SimpleNamespace(is_expired=bool), None),
    ],
    ids=described,
)
def test_before_a_hook(found: Any, reason: Reason | None) -> None:
    """R68: a custom ``validate_token`` gets only active tokens, and what has its own rules. It sees ``None`` itself."""
    assert introspection()._check_before_hook(found) == reason


@pytest.mark.parametrize(
    ("found", "reason"), [({"active": False}, Reason.INACTIVE_TOKEN), ({"active": True}, None), ("text", None)]
)
def test_before_a_hook_of_own_tokens(found: Any, reason: Reason | None) -> None:
    """A custom ``authenticate_token`` may return any object, and only a mapping of it is a response."""

    class Finding(IntrospectTokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            return found

    validator = Finding(ENDPOINT, client_id="api", client_secret=SECRET, audience=API)
    assert validator._check_before_hook(found) == reason
