"""``IntrospectTokenValidator``: its options, how it proves who it is, and from an answer to what views see."""

import base64
import dataclasses
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings
from joserfc.jwk import ECKey

from async_oauth_guard import (
    AccessToken,
    IntrospectTokenValidator,
    InvalidTokenError,
    TemporarilyUnavailableError,
    outgoing,
)
from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import CacheWrite, Call, HttpCall
from async_oauth_guard.errors import Reason
from async_oauth_guard.jose import parse_jwt
from tests.unit.driving import DOWN, ISSUER, SigningKey, World, inquire, key_set, ok

API = "https://api.example.com"
ENDPOINT = f"{ISSUER}/introspect"
JWKS_URI = f"{ISSUER}/keys"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
SECRET = "s3cret"
KEY = SigningKey("k")
OWN_KEY = ECKey.generate_key("P-256")
PRIVATE_JWK = {**OWN_KEY.as_dict(private=True), "kid": "ours"}
TOKEN = Secret("opaque")


def introspection(**options: Any) -> IntrospectTokenValidator:
    given = {"introspection_endpoint": ENDPOINT, "client_id": "api", "client_secret": SECRET, "audience": API}
    return IntrospectTokenValidator(**{**given, **options})


def claims(**values: Any) -> dict[str, Any]:
    usual = {"active": True, "aud": API, "sub": "alice", "client_id": "app", "scope": "a b", "exp": time.time() + 3600}
    return {**usual, **values}


def asked(validator: IntrospectTokenValidator, answer: Any, **requirements: Any) -> tuple[Any, World]:
    """What the validator finds when the server answers so."""
    world = World()
    world.answer(ENDPOINT, answer)
    return world.run(validator.authenticate_flow(TOKEN, inquire(**requirements))), world


# Options.

HTTPS = "https:// is wanted; in a private network, http:// with allow_insecure_http=True"
NO_URL = "an absolute https:// URL is wanted"
SECONDS = [
    (-1, ValueError, "a number of seconds is wanted, 0 or more"),
    (float("nan"), ValueError, "a number of seconds is wanted, 0 or more"),
    ("5", TypeError, "a number of seconds is wanted, not str"),
    (None, TypeError, "a number of seconds is wanted, not NoneType"),
    (True, TypeError, "a number of seconds is wanted, not bool"),
]
METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt", "bearer", "none"]
SIGNED = {"signed_responses": "required", "issuer": ISSUER}
WRONG: list[Any] = [
    ({"introspection_endpoint": None}, ValueError, "introspection_endpoint: give one, or an issuer by which it can be"),
    ({"introspection_endpoint": "http://as.example.com/"}, ValueError, f"introspection_endpoint: {HTTPS}"),
    *(
        ({"introspection_endpoint": value}, ValueError, f"introspection_endpoint: {NO_URL}")
        for value in ("", 7, "introspect", "https://")
    ),
    ({"issuer": "http://as.example.com"}, ValueError, f"issuer: {HTTPS}"),
    ({"introspection_endpoint": None, "issuer": "http://as.example.com"}, ValueError, f"issuer: {HTTPS}"),
    ({"introspection_endpoint": None, "issuer": "urn:as"}, ValueError, f"issuer: {NO_URL}"),
    *(({"issuer": value}, (TypeError, ValueError), "issuer: ") for value in (7, "")),
    *(
        ({"client_id": None, "client_auth": method}, ValueError, f"client_id: {method} needs one")
        for method in METHODS[:3]
    ),
    *(({"client_id": value}, (TypeError, ValueError), "client_id: ") for value in (7, "")),
    *(
        ({"client_secret": value, "client_auth": method}, ValueError, f"client_secret: {method} needs one")
        for method in METHODS[:4]
        for value in (None, "")
    ),
    *(
        ({"client_secret": value, "client_auth": method}, TypeError, f"client_secret: {method} needs a string")
        for method in ("client_secret_basic", "client_secret_post", "bearer")
        for value in (7, SECRET.encode(), {"k": SECRET})
    ),
    *(
        pytest.param(
            {"client_secret": value, "client_auth": "private_key_jwt"},
            ValueError,
            "client_secret: private_key_jwt needs a private key",
        )
        for value in (SECRET, 7, {"kty": "oct", "k": SECRET}, OWN_KEY.as_dict(private=False))
    ),
    *(
        ({"client_auth": value}, ValueError, f"client_auth: one of {', '.join(METHODS)} is wanted")
        for value in (None, "", "basic", "CLIENT_SECRET_BASIC", "tls_client_auth", [])
    ),
    *(
        ({name: value}, error, f"{name}: {message}")
        for name in ("cache_ttl", "negative_ttl", "stale_if_error")
        for value, error, message in SECONDS
    ),
    *(
        ({"max_concurrency": value}, ValueError, "max_concurrency: a number of calls is wanted, 1 at least")
        for value in (0, -1, 1.5, "5", None, True)
    ),
    ({"token_format": "("}, ValueError, "token_format: "),
    ({"token_format": 7}, TypeError, "token_format: "),
    ({"token_format": ""}, ValueError, "token_format: no token is empty"),
    ({"introspection_endpoint": "r1"}, ValueError, f"introspection_endpoint: {NO_URL} (Authlib's first argument, the"),
    *(
        ({"client_auth": "bearer", "client_secret": f"{SECRET}{end}"}, ValueError, "client_secret: bearer needs print")
        for end in ("\n", "\x00", "\u20ac", "\xe9")
    ),
    ({"client_id": "a\udc80"}, ValueError, "client_id: half a surrogate pair is in it, which cannot be sent"),
    ({"client_secret": f"{SECRET}\udc80"}, ValueError, "client_secret: half a surrogate pair is in it"),
    (
        {**SIGNED, "client_auth": "bearer", "client_id": None, "audience": None},
        ValueError,
        "signed_responses: client_id or audience is needed",
    ),
    *(({"scope_claim": value}, TypeError, "scope_claim: ") for value in (7, None)),
    *(
        (
            {**SIGNED, "signed_responses": value},
            ValueError,
            "signed_responses: 'accepted', 'required' or None is wanted",
        )
        for value in ("", True, "optional")
    ),
    ({"signed_responses": "required"}, ValueError, "signed_responses: an issuer is needed, whose signature it is"),
    *(
        (keys, ValueError, "signed_responses: the keys are for signed answers only; say 'required' or 'accepted'")
        for keys in ({"jwks": {"keys": []}}, {"jwks_uri": "https://as.example.com/keys"})
    ),
    ({**SIGNED, "jwks_uri": "http://as.example.com/keys"}, ValueError, f"jwks_uri: {HTTPS}"),
    ({**SIGNED, "jwks": {"keys": []}}, ValueError, "jwks: it has no key that can verify a signature"),
    ({**SIGNED, "jwks": 7}, TypeError, "jwks: "),
    ({**SIGNED, "issuer": "urn:as"}, ValueError, f"issuer: {NO_URL}"),
    *(({"allow_insecure_http": value}, TypeError, "allow_insecure_http: ") for value in ("no", 1, None)),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda part: repr(part)[:60])
def test_wrong_options(options: dict[str, Any], error: Any, message: str) -> None:
    """R134: an option that cannot work is refused when the validator is made, by name, and no secret is told."""
    with pytest.raises(error) as caught:
        introspection(**options)
    assert str(caught.value).startswith(message)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None or SECRET not in repr(caught.value.__cause__)


def test_defaults() -> None:
    """What is left out is what the documentation says."""
    validator = introspection()
    lifetimes = validator._verdicts._lifetimes
    assert (lifetimes.yes, lifetimes.no, lifetimes.stale) == (30, 5, 0)
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
    """What can work is taken, and no secret is shown."""
    validator = introspection(**options)
    shown = repr(validator) + "".join(map(repr, vars(validator).values()))
    assert SECRET not in shown
    assert PRIVATE_JWK["d"] not in shown


# How we prove who we are.


def call_of(**options: Any) -> HttpCall:
    """The call about a token."""
    _, world = asked(introspection(**options), ok(claims()))
    (call,) = world.calls
    return call


def revealed(fields: Any) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in (fields or {}).items()}


def test_request() -> None:
    """R66: the token is sent in a form, by POST, and is a secret on its way."""
    call = call_of()
    assert (call.method, call.url) == ("POST", ENDPOINT)
    assert revealed(call.form) == {"token": "opaque", "token_type_hint": "access_token"}
    assert "opaque" not in repr(call)
    assert SECRET not in repr(call)
    assert call.headers["Accept"] == "application/json"


PROOFS: list[tuple[dict[str, Any], dict[str, str], dict[str, str]]] = [
    ({}, {"Authorization": "Basic YXBpOnMzY3JldA=="}, {}),
    ({"client_auth": "client_secret_post"}, {}, {"client_id": "api", "client_secret": SECRET}),
    ({"client_auth": "bearer"}, {"Authorization": f"Bearer {SECRET}"}, {}),
    ({"client_auth": "none"}, {}, {"client_id": "api"}),
    ({"client_auth": "none", "client_id": None}, {}, {}),
]


@pytest.mark.parametrize(("options", "headers", "form"), PROOFS, ids=lambda part: repr(part)[:40])
def test_client_authentication(options: dict[str, Any], headers: dict[str, str], form: dict[str, str]) -> None:
    """R66: the server learns who asks, in the way that was agreed on, and in no other."""
    call = call_of(**options)
    assert revealed(call.headers) == {"Accept": "application/json", **headers}
    assert revealed(call.form) == {"token": "opaque", "token_type_hint": "access_token", **form}


def test_basic_credentials_are_form_encoded_first() -> None:
    """R67: so that a colon or a letter beyond ASCII is what it was."""
    header = revealed(call_of(client_id="a:b", client_secret="p%+ \xe9").headers)["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")) == b"a%3Ab:p%25%2B+%C3%A9"


@pytest.mark.parametrize(("issuer", "audience"), [(None, ENDPOINT), (ISSUER, ISSUER)])
def test_private_key_jwt(issuer: str | None, audience: str) -> None:
    """An assertion names who we are and for whom it is, lasts a minute at most, and is never used twice."""
    options: dict[str, Any] = {"client_auth": "private_key_jwt", "client_secret": PRIVATE_JWK, "issuer": issuer}
    validator = introspection(**options)
    found = []
    for _ in range(2):
        _, world = asked(validator, ok(claims()), fresh=True)
        form = revealed(world.calls[0].form)
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["client_id"] == "api"
        found.append(parse_jwt(Secret(form["client_assertion"])))
    first, second = found
    assert not isinstance(first, Reason)
    assert not isinstance(second, Reason)
    assert {name: first.claims[name] for name in ("iss", "sub", "aud")} == {
        "iss": "api",
        "sub": "api",
        "aud": audience,
    }
    assert 0 < first.claims["exp"] - first.claims["iat"] <= 60
    assert (first.algorithm, first.kid) == ("ES256", "ours")
    assert first.claims["jti"] != second.claims["jti"]


# What the server says.


def test_yes() -> None:
    """An active token is a token of the request's own, with what the server said of it."""
    found, _ = asked(introspection(), ok(claims(token_type="bearer")))
    assert isinstance(found, AccessToken)
    assert (found.subject, found.client_id, found.scopes, found.user) == ("alice", "app", {"a", "b"}, None)
    assert found.token_type == "bearer"
    assert asked(introspection(), ok(claims()))[0].token_type == "Bearer"


def test_scopes_of_another_name() -> None:
    """Where the server keeps scopes under another name, they are found there."""
    found, _ = asked(introspection(scope_claim="scp"), ok(claims(scp=["c", "d"])))
    assert found.scopes == {"c", "d"}


def test_no() -> None:
    """R69: an inactive token is found, and is no good when it is judged, whatever else the server says."""
    validator = introspection()
    found, _ = asked(validator, ok({"active": False, "scope": "admin"}))
    assert not isinstance(found, AccessToken)
    assert validator.read_state(found, inquire()).reason == Reason.INACTIVE_TOKEN


WRONG_ANSWERS: list[tuple[dict[str, Any], dict[str, Any], Reason]] = [
    ({}, {"aud": "https://other.example.com"}, Reason.WRONG_AUDIENCE),
    ({"issuer": ISSUER}, {"iss": "https://other.example.com"}, Reason.WRONG_ISSUER),
    ({}, {"exp": 1}, Reason.EXPIRED),
    ({}, {"nbf": time.time() + 3600}, Reason.NOT_YET_VALID),
    ({}, {"cnf": {"jkt": "x"}}, Reason.SENDER_CONSTRAINED),
    ({}, {"authorization_details": "x"}, Reason.MALFORMED_CLAIM),
]


@pytest.mark.parametrize(("options", "values", "reason"), WRONG_ANSWERS, ids=lambda part: repr(part)[:40])
def test_answers_are_judged_here_too(options: dict[str, Any], values: dict[str, Any], reason: Reason) -> None:
    """R71, R79: a yes of the server's does not spare its members a look."""
    with pytest.raises(InvalidTokenError) as caught:
        asked(introspection(**options), ok(claims(**values)))
    assert caught.value.reason == reason


@pytest.mark.parametrize("values", [{}, {"iss": ISSUER}])
def test_issuer_is_compared_where_it_is_named(values: dict[str, Any]) -> None:
    """R71: an answer without an issuer is the server's that was asked."""
    assert asked(introspection(issuer=ISSUER), ok(claims(**values)))[0]["sub"] == "alice"


def test_outage() -> None:
    """A server that cannot be asked refuses nobody."""
    with pytest.raises(TemporarilyUnavailableError):
        asked(introspection(), DOWN)


def test_discovery() -> None:
    """R63: with an issuer alone, its metadata says where it is asked."""
    world, validator = World(), introspection(introspection_endpoint=None, issuer=ISSUER)
    world.answer(METADATA, ok({"issuer": ISSUER, "introspection_endpoint": ENDPOINT}))
    world.answer(ENDPOINT, ok(claims()))
    assert world.run(validator.authenticate_flow(TOKEN, inquire()))["sub"] == "alice"
    assert world.urls == [METADATA, ENDPOINT]


def signed(**values: Any) -> Any:
    now = time.time()
    outer = {"iss": ISSUER, "aud": "api", "iat": now, "token_introspection": claims(), **values}
    return ok(KEY.sign(outer, typ="token-introspection+jwt").reveal().encode(), "application/token-introspection+jwt")


@pytest.mark.parametrize("options", [{"jwks": key_set(KEY)}, {"jwks_uri": JWKS_URI}])
@pytest.mark.parametrize("aud", ["api", API])
def test_signed_responses(options: dict[str, Any], aud: str) -> None:
    """R76: a signed answer is for us, by either of our names, and verified with the issuer's keys."""
    world, validator = World(), introspection(**SIGNED, **options)
    world.answer(ENDPOINT, signed(aud=aud))
    world.answer(JWKS_URI, ok(key_set(KEY)))
    assert world.run(validator.authenticate_flow(TOKEN, inquire()))["sub"] == "alice"
    assert world.calls[0].headers["Accept"] == "application/token-introspection+jwt"


def test_signed_responses_are_not_for_others() -> None:
    """R76: an answer for another resource server is none."""
    with pytest.raises(TemporarilyUnavailableError):
        asked(introspection(**SIGNED, jwks=key_set(KEY)), signed(aud="other"))


def test_signed_responses_are_not_downgraded() -> None:
    """R78: where a signature is required, a plain answer is none; where it is accepted, it is one."""
    with pytest.raises(TemporarilyUnavailableError):
        asked(introspection(**SIGNED, jwks=key_set(KEY)), ok(claims()))
    options = {**SIGNED, "signed_responses": "accepted"}
    assert asked(introspection(**options, jwks=key_set(KEY)), ok(claims()))[0]["sub"] == "alice"


@pytest.mark.parametrize(
    ("options", "presented", "expected"),
    [
        ({}, "opaque", True),
        ({}, "a.b.c", True),
        ({}, "opa que", False),
        ({}, "", False),
        ({}, "\xe9", False),
        ({"token_format": r"at_[a-z]+"}, "at_x", True),
        ({"token_format": r"at_[a-z]+"}, "at_x7", False),
        ({"token_format": r".*"}, "opa que", False),
        ({"issuer": ISSUER}, "opaque", True),
        ({"issuer": ISSUER}, KEY.sign({"iss": ISSUER}).reveal(), True),
        ({"issuer": ISSUER}, KEY.sign({"iss": "https://other.example.com"}).reveal(), False),
        ({}, KEY.sign({"iss": "https://other.example.com"}).reveal(), True),
    ],
)
def test_recognised_tokens(options: dict[str, Any], presented: str, expected: bool) -> None:
    """R12: nobody is asked about what cannot be a token of the server's."""
    assert introspection(**options).recognises(presented) is expected


# What is kept.


def test_verdicts_are_kept() -> None:
    """A verdict serves until it is forgotten; a view may ask for a fresh one."""
    world, validator = World(), introspection()
    world.answer(ENDPOINT, ok(claims()))
    inquiry = dataclasses.replace(inquire(), cache="default")
    for _ in range(2):
        assert world.run(validator.authenticate_flow(TOKEN, inquiry))["sub"] == "alice"
    assert len(world.calls) == len(world.asked(CacheWrite)) == 1
    world.run(validator.authenticate_flow(TOKEN, dataclasses.replace(inquire(fresh=True), cache="default")))
    assert len(world.calls) == 2
    world.run(validator.invalidate_flow(TOKEN, "default"))
    assert world.cache == {}
    world.run(validator.authenticate_flow(TOKEN, inquiry))
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
    """What decides a verdict keeps what is kept apart, and so does the secret, by which tenants may be told apart."""
    plain = introspection()
    assert introspection(cache_ttl=1, negative_ttl=1).fingerprint() == plain.fingerprint()
    assert introspection(**options).fingerprint() != plain.fingerprint()


def test_fingerprints_of_signed_answers() -> None:
    """Whose signature counts keeps what is kept apart."""
    signing = [
        {**SIGNED, **options}
        for options in ({}, {"jwks_uri": JWKS_URI}, {"jwks": key_set(KEY)}, {"jwks": key_set(SigningKey("other"))})
    ]
    assert len({repr(introspection(**options).fingerprint()) for options in signing}) == 4


@pytest.mark.parametrize("django_key", ["a" * 50, b"b" * 100])
def test_secrets_in_fingerprints(django_key: Any) -> None:
    """R133: a secret stands there by a digest that takes Django's own secret to make."""
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


def test_no_verdict_crosses_tenants() -> None:
    """R133: what a server says to one tenant is not what it says to another, who shares its cache."""
    world = World()
    of_a, of_b = (introspection(client_auth="bearer", client_secret=f"tenant-{name}") for name in "ab")
    inquiry = dataclasses.replace(inquire(), cache="default")
    world.answer(ENDPOINT, ok(claims()))
    assert world.run(of_a.authenticate_flow(TOKEN, inquiry))["sub"] == "alice"
    world.answer(ENDPOINT, ok({"active": False}))
    assert world.run(of_b.authenticate_flow(TOKEN, inquiry)) == {"active": False}


def test_made_at_once() -> None:
    """Threads that come first at one time find one server, and one flight."""
    assert {"_introspection", "_metadata", "_own_keys"} <= set(vars(introspection()))


# What the claims say.


def test_state() -> None:
    """Lifetime is read at each look."""
    validator = introspection()
    state = validator.read_state(AccessToken(claims(groups=["g"]), user="u"), inquire(groups="g"))
    assert (state.reason, state.scope, state.user, state.attributes) == (None, "a b", "u", {"groups": ["g"]})
    assert validator.read_state(claims(), inquire()).user is None
    assert validator.read_state(claims(exp=1), inquire()).reason == Reason.EXPIRED


def test_state_of_what_is_no_answer() -> None:
    """A token of another kind, which a subclass found, is asked what Authlib asks; what is none says no."""
    found = SimpleNamespace(is_expired=lambda: False, is_revoked=lambda: True, get_scope=lambda: "")
    assert introspection().read_state(found, inquire()).reason == Reason.REVOKED
    for nothing in ("text", 7, None):
        assert introspection().read_state(nothing, inquire()).reason == Reason.INACTIVE_TOKEN


@pytest.mark.parametrize("active", ["true", 1, None, [True], "False"])
def test_only_a_boolean_is_a_yes(active: Any) -> None:
    """R68: what is not ``true`` says no."""
    assert introspection().read_state(claims(active=active), inquire()).reason == Reason.INACTIVE_TOKEN


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
    """R34: a token is the client's own where it names nobody, or nobody but the client."""
    assert introspection()._is_client_token(claims(**values)) is expected


# Doors.


class Answering:
    """A transport that says yes."""

    async def exchange(self, call: HttpCall, deadline: float) -> Any:
        return ok(claims())

    async def aclose(self) -> None: ...


@pytest.fixture
def _answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    outgoing.close()
    monkeypatch.setattr(outgoing, "Transport", Answering)
    yield
    outgoing.close()


@pytest.mark.usefixtures("_answering")
def test_introspect_token() -> None:
    """Called directly it gives what the server says, in a dictionary of one's own."""
    validator = introspection()
    validator.introspect_token("opaque").clear()
    assert validator.introspect_token("opaque")["sub"] == "alice"
    assert validator.authenticate_token("opaque")["sub"] == "alice"


@pytest.mark.usefixtures("_answering")
async def test_aintrospect_token() -> None:
    """So does its twin."""
    validator = introspection()
    assert type(await validator.aintrospect_token("opaque")) is dict
    assert (await validator.aauthenticate_token("opaque"))["sub"] == "alice"


# Subclasses.


class Own(IntrospectTokenValidator):
    answers: Any = None
    calls = 0

    def introspect_token(self, token_string: str) -> Any:
        self.calls += 1
        return self.answers


def test_own_introspection() -> None:
    """A hook needs no server; what it gives is passed on as it is, and asked for in each request."""
    world, validator = World(), Own()
    validator.answers = claims(aud="https://other.example.com")
    for number in (1, 2):
        assert world.run(validator.authenticate_flow(TOKEN, inquire())) is validator.answers
        assert validator.calls == number
    assert not validator.takes_audience_from_protector
    assert not validator.shares
    assert len(world.asked(Call)) == 2
    assert validator.recognises("opa que")


def test_own_introspection_and_an_audience() -> None:
    """R28: with an audience of its own it is checked all the same."""
    validator = Own(audience=API)
    validator.answers = claims(aud="https://other.example.com")
    with pytest.raises(InvalidTokenError) as caught:
        World().run(validator.authenticate_flow(TOKEN, inquire()))
    assert caught.value.reason == Reason.WRONG_AUDIENCE


def test_own_introspection_and_an_endpoint() -> None:
    """R134: an endpoint that is given beside, for ``super()``, has to be a URL: with Authlib a realm stood there."""
    with pytest.raises(ValueError, match=rf"^introspection_endpoint: {NO_URL}"):
        Own("realm")
    assert Own(ENDPOINT).introspection_endpoint == ENDPOINT


def test_own_introspection_and_users() -> None:
    """With a user lookup the answer becomes a token that has the user."""
    validator = Own(user_lookup=lambda found: found["sub"])
    validator.answers = claims()
    found = World().run(validator.authenticate_flow(TOKEN, inquire()))
    assert (type(found), found.user) == (AccessToken, "alice")


@pytest.mark.parametrize("answer", [None, {"active": False}, {"sub": "x"}, "text", 7])
def test_own_introspection_that_says_no(answer: Any) -> None:
    """R68: what a hook gives and is no yes is passed on, to be refused."""
    validator = Own()
    validator.answers = answer
    assert World().run(validator.authenticate_flow(TOKEN, inquire())) is answer


class Tenant(Own):
    name = "a"

    def cache_identity(self) -> str:
        return self.name


@pytest.mark.parametrize(
    ("answer", "calls"),
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
def test_own_introspection_with_an_identity(answer: Any, calls: int) -> None:
    """R70: where the class says what its answers depend on, good ones are kept for a while, apart for each."""
    validator = Tenant(client_id="x")
    validator.answers = answer
    for _ in range(2):
        flow = validator._claims_flow(TOKEN, inquire())
        assert World().run(flow) == answer
    assert validator.calls == calls
    validator.name = "b"
    World().run(validator._claims_flow(TOKEN, inquire()))
    assert validator.calls == calls + 1
    World().run(validator._claims_flow(TOKEN, inquire(fresh=True)))
    assert validator.calls == calls + 2


def test_own_introspection_is_forgotten() -> None:
    """What is kept of a hook's answers can be forgotten too."""
    validator = Tenant()
    validator.answers = claims()
    World().run(validator.authenticate_flow(TOKEN, inquire()))
    World().run(validator.invalidate_flow(TOKEN, None))
    World().run(validator.authenticate_flow(TOKEN, inquire()))
    assert validator.calls == 2


def test_kept_answers_are_nobodys() -> None:
    """R33: what one request does to its answer reaches no other."""
    validator = Tenant()
    validator.answers = claims(groups=["g"])
    World().run(validator._claims_flow(TOKEN, inquire()))["groups"].append("admin")
    assert World().run(validator._claims_flow(TOKEN, inquire()))["groups"] == ["g"]


def test_of_a_no_nothing_else_is_kept() -> None:
    """R69: whatever stands beside it."""
    validator = Tenant()
    validator.answers = {"active": False, "exp": 1, "scope": "admin"}
    World().run(validator._claims_flow(TOKEN, inquire()))
    assert World().run(validator._claims_flow(TOKEN, inquire())) == {"active": False}


@pytest.mark.parametrize("name", ["aintrospect_token", "aauthenticate_token", "avalidate_token"])
def test_twins_are_not_to_be_written(name: str) -> None:
    """R124: an override of a twin would never be called, so the class is refused."""
    with pytest.raises(TypeError, match=rf"Own.{name}\(\) would never be called: write async def {name[1:]}\(\)"):
        type("Own", (IntrospectTokenValidator,), {name: lambda self: None})
