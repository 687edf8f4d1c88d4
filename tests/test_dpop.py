"""DPoP (RFC 9449), with requests through both servers' handlers to sync and async views.

The rules for a proof alone are tested in `tests/unit/protocol/test_dpop.py`. Each row here is about what clients get.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from django.views.decorators.cache import cache_control

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    DPoP,
    GuardError,
    InvalidDPoPProofError,
    InvalidTokenError,
    Reason,
    ResourceProtector,
    UseDPoPNonceError,
    require_oauth,
    token_rejected,
)
from async_oauth_guard.guard import proofs
from async_oauth_guard.runtime import replay_store
from async_oauth_guard.runtime.replay_store import REPLAYS
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from async_oauth_guard.validators.clock import CLOCK
from tests.answers import Answer, bearer
from tests.bound_tokens import SOURCES, SOURCES_OF_KEYS, commit_rows
from tests.conftest import Committed
from tests.frames import frames_of_package
from tests.kit.asking import answer_of
from tests.kit.guarded_sites import CLIENTS, SEND, introspecting, verifying
from tests.kit.urls import async_view, sync_view
from tests.own_tokens import Own
from tests.proofs import KEY, OTHER_KEY, dpop, forget_proofs, hash_of, make_key, make_proof, public, thumbprint
from tests.rfc9110 import Challenge
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

sync_and_async = pytest.mark.parametrize("mode", MODES)
BOUND = {"jkt": thumbprint()}
ALGORITHMS = "ES256 ES384 ES512 Ed25519 EdDSA PS256 RS256"
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "proofs"},
    "dummy": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "file": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "/nowhere"},
    "down": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"},
}


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    commit_rows(committed, [None, BOUND])


@pytest.fixture(autouse=True)
def _caches(settings: Any) -> Iterator[None]:
    settings.CACHES = CACHES
    yield
    forget_proofs()


@pytest.fixture
def server() -> Iterator[FakeAuthorizationServer]:
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running


class Site:
    """One view at ``/``, and why its requests were refused."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.witness = Witness()
        self.reasons: list[Any] = []

    def get(self, headers: Any, method: str = "GET", path: str = "/") -> Answer:
        return SEND[self.mode](path, headers, method=method)

    def outcome(self, headers: Any, **options: Any) -> tuple[int, Any]:
        """The status, and why it was refused, if it was."""
        self.reasons.clear()
        answer = self.get(headers, **options)
        return answer.status, self.reasons[0] if self.reasons else None


@contextmanager
def site(mode: str, *validators: Any, scopes: Any = "profile", **options: Any) -> Iterator[Site]:
    """A site whose protector has ``dpop=True``, unless told otherwise."""
    its = Site(mode)

    def hear(sender: Any, error: Any, **kwargs: Any) -> None:
        its.reasons.append(error.reason)

    token_rejected.connect(hear)
    protector = ResourceProtector(*validators, **{"dpop": True, **options})
    with serving(protector(scopes)(its.witness.view(mode))):
        yield its


class Counting(Own):
    """The site's own source, which counts how often it is asked. Its tokens have the given scope."""

    def __init__(self, confirmation: Any = BOUND) -> None:
        super().__init__(confirmation)
        self.asked = 0

    def authenticate_token(self, token_string: str) -> Any:
        self.asked += 1
        return super().authenticate_token(token_string)


# --- what is presented ---


@sync_and_async
@pytest.mark.parametrize("source", SOURCES_OF_KEYS)
def test_bound_tokens(source: str, mode: str, server: FakeAuthorizationServer) -> None:
    """R93 to R96: from every source, a bound token is let in with a new proof by its key, and with nothing else."""
    validator, token = SOURCES_OF_KEYS[source](server, BOUND)
    proof = make_proof(token)
    with site(mode, validator) as guarded:
        assert guarded.outcome(dpop(token, proof)) == (200, None)
        assert guarded.outcome(dpop(token, proof)) == (401, Reason.REPLAYED_PROOF)
        assert guarded.outcome(dpop(token, make_proof(token))) == (200, None)
        assert guarded.outcome(dpop(token, make_proof(token, key=OTHER_KEY))) == (401, Reason.WRONG_CONFIRMATION)
        assert guarded.outcome(dpop(token)) == (401, Reason.MISSING_PROOF)
        assert guarded.outcome(bearer(token)) == (401, Reason.SENDER_CONSTRAINED)
        with_proof = [*bearer(token), (b"dpop", make_proof(token).encode())]
        assert guarded.outcome(with_proof) == (401, Reason.SENDER_CONSTRAINED)
        assert guarded.witness.entered == 2


@sync_and_async
@pytest.mark.parametrize("source", SOURCES_OF_KEYS)
def test_unbound_tokens(source: str, mode: str, server: FakeAuthorizationServer) -> None:
    """R95: from every source, a bearer token is let in as ``Bearer``, and not as ``DPoP``."""
    validator, token = SOURCES_OF_KEYS[source](server, None)
    with site(mode, validator) as guarded:
        assert guarded.outcome(bearer(token)) == (200, None)
        # A proof that nobody asks for does no harm.
        assert guarded.outcome([*bearer(token), (b"dpop", b"garbage")]) == (200, None)
        assert guarded.outcome(dpop(token, make_proof(token))) == (401, Reason.UNBOUND_TOKEN)


@sync_and_async
@pytest.mark.parametrize("source", [source for source in SOURCES if source != "attribute"])
@pytest.mark.parametrize(
    ("confirmation", "reason"),
    [
        ({}, Reason.UNSUPPORTED_CONFIRMATION),
        ({"jkt": thumbprint(), "kid": "k"}, Reason.UNSUPPORTED_CONFIRMATION),
        ({"jkt": [thumbprint()]}, Reason.UNSUPPORTED_CONFIRMATION),
        ({"x5t#S256": thumbprint()}, Reason.UNBOUND_TOKEN),
        ({"jkt": thumbprint(), "x5t#S256": thumbprint()}, Reason.SENDER_CONSTRAINED),
    ],
    ids=str,
)
def test_other_confirmations(
    source: str, confirmation: Any, reason: Reason, mode: str, server: FakeAuthorizationServer
) -> None:
    """R104: a proof is not enough if the token is bound to something else too, or to nothing that can be checked."""
    validator, token = SOURCES[source](server, confirmation)
    with site(mode, validator) as guarded:
        assert guarded.outcome(dpop(token, make_proof(token))) == (401, reason)


@sync_and_async
def test_types_of_tokens(mode: str, server: FakeAuthorizationServer) -> None:
    """R72: ``token_type: Bearer`` contradicts ``cnf.jkt``, and ``token_type: DPoP`` alone binds a token to nothing."""
    with site(mode, introspecting()) as guarded:
        for claims, reason in (
            ({"cnf": BOUND, "token_type": "DPoP"}, None),
            ({"cnf": BOUND, "token_type": "Bearer"}, Reason.UNBOUND_TOKEN),
            ({"token_type": "DPoP"}, Reason.UNBOUND_TOKEN),
            ({"token_type": "MAC"}, Reason.SENDER_CONSTRAINED),
        ):
            token = server.opaque("profile", claims=claims)
            assert guarded.outcome(dpop(token, make_proof(token))) == (401 if reason else 200, reason)


@sync_and_async
@pytest.mark.parametrize("algorithm", DPoP().algorithms)
def test_keys_of_clients(algorithm: str, mode: str) -> None:
    """R84, R93: a token may be bound to a key for each algorithm that challenges name."""
    key = make_key(algorithm)
    with site(mode, Own({"jkt": thumbprint(key)})) as guarded:
        assert guarded.outcome(dpop("t", make_proof("t", key=key, algorithm=algorithm))) == (200, None)


@sync_and_async
@pytest.mark.parametrize("name", [b"dpop", b"DPoP", b"DPOP"])
def test_names_of_the_header(name: bytes, mode: str) -> None:
    """R98: the name of the header is compared without regard to case; so is the scheme (R2)."""
    with site(mode, Own(BOUND)) as guarded:
        for scheme in ("DPoP", "dpop", "DPOP"):
            headers = [*bearer("t", scheme), (name, make_proof("t").encode())]
            assert guarded.outcome(headers) == (200, None)


@sync_and_async
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_methods(method: str, mode: str) -> None:
    """R87: the proof is for the method of the request."""
    with site(mode, Own(BOUND)) as guarded:
        assert guarded.outcome(dpop("t", make_proof("t", method=method)), method=method) == (200, None)
        assert guarded.outcome(dpop("t", make_proof("t", method="PUT")), method=method) == (
            401,
            Reason.WRONG_PROOF_METHOD,
        )


BROKEN: dict[str, tuple[Callable[[str], list[str]], Reason]] = {
    "R80 twice": (lambda token: [make_proof(token)] * 2, Reason.REPEATED_PROOF),
    "R80 two": (lambda token: [make_proof(token), make_proof(token)], Reason.REPEATED_PROOF),
    "R80 one is empty": (lambda token: [make_proof(token), ""], Reason.REPEATED_PROOF),
    "R81 garbage": (lambda token: ["garbage"], Reason.MALFORMED_PROOF),
    "R81 two parts": (lambda token: ["a.b"], Reason.MALFORMED_PROOF),
    "R81 four parts": (lambda token: [f"{make_proof(token)}.x"], Reason.MALFORMED_PROOF),
    "R81 JSON": (lambda token: ['{"payload":""}'], Reason.MALFORMED_PROOF),
    "R81 trailing comma": (lambda token: [f"{make_proof(token)},"], Reason.REPEATED_PROOF),
    "R82 no jti": (lambda token: [make_proof(token, claims={"jti": ...})], Reason.MALFORMED_PROOF),
    "R82 jti is null": (lambda token: [make_proof(token, claims={"jti": None})], Reason.MALFORMED_PROOF),
    "R82 no htm": (lambda token: [make_proof(token, claims={"htm": ...})], Reason.MALFORMED_PROOF),
    "R82 htm is a list": (lambda token: [make_proof(token, claims={"htm": ["GET"]})], Reason.MALFORMED_PROOF),
    "R82 no htu": (lambda token: [make_proof(token, claims={"htu": ...})], Reason.MALFORMED_PROOF),
    "R82 no iat": (lambda token: [make_proof(token, claims={"iat": ...})], Reason.MALFORMED_PROOF),
    "R82 no jwk": (lambda token: [make_proof(token, header={"jwk": ...})], Reason.UNUSABLE_PROOF_KEY),
    "R83 no typ": (lambda token: [make_proof(token, header={"typ": ...})], Reason.WRONG_PROOF_TYPE),
    "R83 at+jwt": (lambda token: [make_proof(token, header={"typ": "at+jwt"})], Reason.WRONG_PROOF_TYPE),
    "R84 none": (lambda token: [make_proof(token, header={"alg": "none"})], Reason.UNSUPPORTED_PROOF_ALGORITHM),
    "R84 HS256": (
        lambda token: [make_proof(token, header={"alg": "HS256"}, algorithm="HS256", signed_with="secret")],
        Reason.UNSUPPORTED_PROOF_ALGORITHM,
    ),
    "R85 signature": (lambda token: [make_proof(token, signed_with=OTHER_KEY)], Reason.BAD_PROOF_SIGNATURE),
    "R85 swapped key": (
        lambda token: [make_proof(token, key=OTHER_KEY, header={"jwk": public(KEY)})],
        Reason.BAD_PROOF_SIGNATURE,
    ),
    "R86 private key": (
        lambda token: [make_proof(token, header={"jwk": KEY.as_dict(private=True)})],
        Reason.UNUSABLE_PROOF_KEY,
    ),
    "R87 get": (lambda token: [make_proof(token, method="get")], Reason.WRONG_PROOF_METHOD),
    "R87 POST": (lambda token: [make_proof(token, method="POST")], Reason.WRONG_PROOF_METHOD),
    "R88 path": (lambda token: [make_proof(token, uri="http://testserver/other")], Reason.WRONG_PROOF_URI),
    "R88 host": (lambda token: [make_proof(token, uri="http://evil.example/")], Reason.WRONG_PROOF_URI),
    "R88 scheme": (lambda token: [make_proof(token, uri="https://testserver/")], Reason.WRONG_PROOF_URI),
    "R88 port": (lambda token: [make_proof(token, uri="http://testserver:8000/")], Reason.WRONG_PROOF_URI),
    "R88 userinfo": (lambda token: [make_proof(token, uri="http://u@testserver/")], Reason.WRONG_PROOF_URI),
    "R88 no URI": (lambda token: [make_proof(token, uri="http://[")], Reason.WRONG_PROOF_URI),
    "R91 an hour ago": (
        lambda token: [make_proof(token, claims={"iat": time.time() - 3600})],
        Reason.EXPIRED_PROOF,
    ),
    "R91 in an hour": (
        lambda token: [make_proof(token, claims={"iat": time.time() + 3600})],
        Reason.PROOF_ISSUED_IN_FUTURE,
    ),
    "R91 true": (lambda token: [make_proof(token, claims={"iat": True})], Reason.MALFORMED_PROOF),
    "R91 text": (lambda token: [make_proof(token, claims={"iat": "1"})], Reason.MALFORMED_PROOF),
    "R91 NaN": (lambda token: [make_proof(token, claims={"iat": float("nan")})], Reason.MALFORMED_PROOF),
    "R91 infinite": (lambda token: [make_proof(token, claims={"iat": float("inf")})], Reason.MALFORMED_PROOF),
    "R92 no ath": (lambda token: [make_proof(token, claims={"ath": ...})], Reason.MALFORMED_PROOF),
    "R92 another token": (lambda token: [make_proof("another")], Reason.PROOF_FOR_ANOTHER_TOKEN),
    "R92 padded": (
        lambda token: [make_proof(token, claims={"ath": hash_of(token) + "="})],
        Reason.PROOF_FOR_ANOTHER_TOKEN,
    ),
    "R95 no proof": (lambda token: [], Reason.MISSING_PROOF),
    "R95 empty proof": (lambda token: [""], Reason.MISSING_PROOF),
    "R96 huge jti": (lambda token: [make_proof(token, claims={"jti": "x" * 10_000})], Reason.MALFORMED_PROOF),
    "R96 long jti": (lambda token: [make_proof(token, claims={"jti": "x" * 600})], Reason.MALFORMED_PROOF),
}


@sync_and_async
@pytest.mark.parametrize(("make", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_proofs(
    make: Callable[[str], list[str]],
    reason: Reason,
    mode: str,
    server: FakeAuthorizationServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R80 to R88, R91, R92, R95, R96, R99: 401 `invalid_dpop_proof`, without a query or call. Nothing is disclosed."""
    caplog.set_level(logging.DEBUG)
    own = Counting()
    rows = BearerTokenValidator("site.BoundToken")
    with site(mode, own, rows, introspecting(), verifying()) as guarded:
        for token in (server.jwt("profile", claims={"cnf": BOUND}), server.opaque("profile", claims={"cnf": BOUND})):
            given = make(token)
            with mock.patch.object(CursorWrapper, "execute", side_effect=AssertionError("a query")):
                answer = guarded.get(dpop(token, *given))
            assert guarded.reasons == [reason]
            guarded.reasons.clear()
            check_invalid_proof(answer)
            for secret in [token, *(segment for proof in given for segment in proof.split(".") if len(segment) > 20)]:
                assert secret not in answer.text
                assert secret not in caplog.text
        assert (own.asked, server.calls, guarded.witness.entered) == (0, [], 0)


def check_invalid_proof(answer: Answer) -> None:
    """The answer of E11: 401P."""
    assert answer.status == 401
    assert answer.json["error"] == "invalid_dpop_proof"
    assert answer.header("Cache-Control") == "no-store"
    assert answer.members("Vary") >= {"authorization", "dpop"}
    assert answer.header("DPoP-Nonce") is None
    plain, named = answer.challenges
    assert plain == Challenge("bearer", None, {"realm": "api", "scope": named.parameters["scope"]})
    assert named.scheme == "dpop"
    assert named.parameters["algs"] == ALGORITHMS
    assert named.parameters["error"] == "invalid_dpop_proof"
    assert "invalid_dpop_proof" not in named.parameters["error_description"]


@sync_and_async
@pytest.mark.parametrize(
    "value",
    [
        bytes(range(0x80, 0x100)),
        b"\x01\x02",
        b"\x7f",
        b"=" * 100,
        b"a" * 60_000,
        b"." * 60_000,
        b"\xff.\xff.\xff",
        b"{}",
    ],
    ids=lambda value: value[:8].hex(),
)
def test_any_bytes(value: bytes, mode: str) -> None:
    """R81: whatever bytes the header has, the answer is 401."""
    with site(mode, Own(BOUND)) as guarded:
        status, reason = guarded.outcome([*bearer("t", "DPoP"), (b"dpop", value)])
        assert (status, reason in {Reason.MALFORMED_PROOF, Reason.REPEATED_PROOF}) == (401, True)


@sync_and_async
def test_extra_members(mode: str) -> None:
    """R97: members of header and claims that nobody knows are ignored."""
    now = int(time.time())
    extra = make_proof("t", header={"tx_id": "x"}, claims={"tx_id": "x", "nbf": now, "exp": now + 300})
    with site(mode, Own(BOUND)) as guarded:
        assert guarded.outcome(dpop("t", extra)) == (200, None)


@sync_and_async
@pytest.mark.parametrize("age", [-9, 0, 9, 65])
def test_clocks(age: int, mode: str) -> None:
    """R91: clocks that differ by a few seconds do not matter."""
    with site(mode, Own(BOUND)) as guarded:
        assert guarded.outcome(dpop("t", make_proof("t", claims={"iat": int(time.time()) - age}))) == (200, None)


# --- challenges and headers ---


def shapes(answer: Answer) -> list[tuple[str, str | None]]:
    """The scheme and the error of each challenge."""
    return [(challenge.scheme, challenge.parameters.get("error")) for challenge in answer.challenges]


@sync_and_async
def test_challenges(mode: str) -> None:
    """R14, R18 to R20, E1 to E3, E13: one challenge for each scheme; the error is in that of the one that was used."""
    with site(mode, Own(BOUND)) as guarded:
        none = guarded.get([])
        assert (none.status, shapes(none)) == (401, [("bearer", None), ("dpop", None)])
        assert len(none.lines("WWW-Authenticate")) == 1
        assert none.challenges[1].parameters == {"realm": "api", "algs": ALGORITHMS, "scope": "profile"}
        basic = guarded.get(bearer("eDp5", "Basic"))
        assert (basic.status, shapes(basic)) == (401, [("bearer", None), ("dpop", None)])
        bad = guarded.get(bearer("t"))
        assert (bad.status, shapes(bad)) == (401, [("bearer", "invalid_token"), ("dpop", None)])
        other = guarded.get(dpop("t", make_proof("t", key=OTHER_KEY)))
        assert (other.status, shapes(other)) == (401, [("bearer", None), ("dpop", "invalid_token")])
        both = guarded.get([*bearer("t"), *dpop("t", make_proof("t"))])
        assert (both.status, shapes(both)) == (400, [("bearer", "invalid_request"), ("dpop", "invalid_request")])
        for malformed in ("", "t x", 'a="b"', "t,u"):
            answer = guarded.get([*bearer(malformed, "DPoP"), (b"dpop", make_proof("t").encode())])
            assert (answer.status, shapes(answer)) == (400, [("bearer", None), ("dpop", "invalid_request")])
        long = guarded.get(dpop("t" * 40_000))
        assert (long.status, shapes(long)) == (401, [("bearer", None), ("dpop", "invalid_token")])


@sync_and_async
def test_challenges_have_the_attributes_of_validators(mode: str) -> None:
    """The realm and the attributes of the validator are in both challenges."""
    with site(mode, verifying(realm="r", server="s"), dpop=DPoP(["ES256"])) as guarded:
        assert guarded.get([]).header("WWW-Authenticate") == (
            'Bearer realm="r", server="s", scope="profile", DPoP realm="r", server="s", algs="ES256", scope="profile"'
        )


@sync_and_async
def test_required(mode: str, server: FakeAuthorizationServer) -> None:
    """With ``required=True``, ``Bearer`` is an unsupported scheme and has no challenge."""
    with site(mode, verifying(), dpop=DPoP(required=True)) as guarded:
        unbound, bound = server.jwt("profile"), server.jwt("profile", claims={"cnf": BOUND})
        assert guarded.outcome(bearer(unbound)) == (401, Reason.UNSUPPORTED_SCHEME)
        assert guarded.outcome(bearer(bound)) == (401, Reason.UNSUPPORTED_SCHEME)
        assert guarded.outcome(dpop(bound, make_proof(bound))) == (200, None)
        for answer in (guarded.get([]), guarded.get(bearer(bound)), guarded.get(dpop(bound))):
            assert [challenge.scheme for challenge in answer.challenges] == ["dpop"]


@sync_and_async
def test_other_schemes_are_kept(mode: str) -> None:
    """Validators for other schemes serve these as before. One for ``DPoP`` serves it besides those for ``Bearer``."""

    class Pop(Own):
        TOKEN_TYPE = "pop"

    class OwnDPoP(Own):
        TOKEN_TYPE = "DPoP"

    with site(mode, Pop(None), OwnDPoP(BOUND)) as guarded:
        assert guarded.outcome(bearer("t", "PoP")) == (200, None)
        assert guarded.outcome(dpop("t", make_proof("t"))) == (200, None)
        assert [challenge.scheme for challenge in guarded.get([]).challenges] == ["pop", "dpop"]


@sync_and_async
def test_vary(mode: str) -> None:
    """R25: every response varies on both headers, if the protector checks proofs; otherwise on one, as before."""
    with site(mode, Own(BOUND)) as guarded:
        for headers in ([], dpop("t"), dpop("t", make_proof("t")), bearer("t", "Basic")):
            assert guarded.get(headers).header("Vary") == "Authorization, DPoP"
    with site(mode, Own(None), dpop=None) as guarded:
        for headers in ([], bearer("t"), dpop("t", make_proof("t"))):
            assert guarded.get(headers).header("Vary") == "Authorization"
        assert guarded.outcome(dpop("t", make_proof("t"))) == (401, Reason.UNSUPPORTED_SCHEME)


@sync_and_async
def test_optional(mode: str) -> None:
    """A proof alone is no credentials."""
    protector = ResourceProtector(Own(BOUND), dpop=True)
    with serving(protector(optional=True)(Witness().view(mode))):
        answer = SEND[mode]("/", [(b"dpop", make_proof("t").encode())])
        assert (answer.status, answer.json["token"]) == (200, False)
        assert answer.members("Vary") >= {"authorization", "dpop"}
        assert SEND[mode]("/", dpop("t")).status == 401
        assert SEND[mode]("/", dpop("t", make_proof("t"))).json["token"] is True


# --- the URI ---


@sync_and_async
@pytest.mark.parametrize(
    ("options", "origin"),
    [
        ({}, "http://testserver"),
        ({"public_origin": "https://api.example.com"}, "https://api.example.com"),
        ({"resource": "https://api.example.com/v1"}, "https://api.example.com"),
        ({"resource": "https://id.example.com", "public_origin": "https://api.example.com"}, "https://api.example.com"),
        ({"resource": "api://6a1b"}, "http://testserver"),
    ],
    ids=str,
)
def test_origins(options: dict[str, str], origin: str, mode: str) -> None:
    """R88: ``htu`` has the origin that clients see, which is configured, or else that of the request."""
    with site(mode, Own(BOUND), **options) as guarded:
        assert guarded.outcome(dpop("t", make_proof("t", uri=f"{origin}/"))) == (200, None)
        for other in {"http://testserver", "https://api.example.com", "https://id.example.com"} - {origin}:
            assert guarded.outcome(dpop("t", make_proof("t", uri=f"{other}/"))) == (401, Reason.WRONG_PROOF_URI)


@sync_and_async
def test_hosts_that_are_not_allowed(mode: str) -> None:
    """R88: a host that the site does not have gets Django's 400, and nothing is compared with it."""
    with site(mode, Own(BOUND)) as guarded, override_settings(ALLOWED_HOSTS=["elsewhere.example"]):
        assert guarded.get(dpop("t", make_proof("t"))).status == 400
        assert guarded.witness.entered == 0


@sync_and_async
@pytest.mark.parametrize("query", [b"", b"a=1&b=2", b"x=%23"])
def test_query_does_not_matter(query: bytes, mode: str) -> None:
    """R88: neither the query of the request nor that of ``htu`` is compared."""
    with site(mode, Own(BOUND)):
        for uri in ("http://testserver/", "http://testserver", "http://testserver/?other#fragment"):
            assert SEND[mode]("/", dpop("t", make_proof("t", uri=uri)), query=query).status == 200


@sync_and_async
def test_prefixes_that_a_proxy_removes(mode: str) -> None:
    """R88: the site does not see the prefix of its path, but knows it from its settings."""
    with site(mode, Own(BOUND)) as guarded, override_settings(FORCE_SCRIPT_NAME="/api"):
        assert guarded.outcome(dpop("t", make_proof("t"))) == (401, Reason.WRONG_PROOF_URI)
        assert guarded.outcome(dpop("t", make_proof("t", uri="http://testserver/api/"))) == (200, None)


# --- nonces ---


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the site, which a test changes."""
    seconds = [1_800_000_000.0]
    monkeypatch.setattr(CLOCK, "wall", lambda: seconds[0])
    return seconds


@sync_and_async
def test_replay_when_the_proof_expires(mode: str, now: list[float]) -> None:
    """R96: a replay that was checked just in time is refused, although the proof has expired when it is used.

    Meanwhile, another request has made the store forget what expired. The replay at a worker whose clock is late is
    the same.
    """
    with site(mode, Own(BOUND)) as guarded:
        proof, another = make_proof("t", claims={"iat": now[0]}), make_proof("t", claims={"iat": now[0] + 70})
        assert guarded.outcome(dpop("t", proof)) == (200, None)
        now[0] += 71
        assert guarded.outcome(dpop("t", proof)) == (401, Reason.EXPIRED_PROOF)
        assert guarded.outcome(dpop("t", another)) == (200, None)
        now[0] -= 2
        assert guarded.outcome(dpop("t", proof)) == (401, Reason.REPLAYED_PROOF)


class SlowlyFound(Own):
    """Takes this many seconds to find a token. Meanwhile, another request makes the store forget what has expired."""

    def __init__(self, confirmation: Any, now: list[float]) -> None:
        super().__init__(confirmation)
        self.seconds, self.now = 0.0, now

    def authenticate_token(self, token_string: str) -> Any:
        if self.seconds:
            self.now[0] += self.seconds
            REPLAYS.remember("another", b"", expires_at=self.now[0] + 1, now=self.now[0])
        return super().authenticate_token(token_string)


@sync_and_async
def test_replay_with_a_token_that_is_validated_slowly(mode: str, now: list[float]) -> None:
    """R96: a replay whose validation takes longer than the time for which proofs are remembered is refused."""
    validator = SlowlyFound(BOUND, now)
    with site(mode, validator) as guarded:
        proof = make_proof("t", claims={"iat": now[0]})
        assert guarded.outcome(dpop("t", proof)) == (200, None)
        now[0] += 69
        validator.seconds = 32
        assert guarded.outcome(dpop("t", proof)) == (401, Reason.EXPIRED_PROOF)


def nonce_proof(now: list[float], nonce: Any = ..., **claims: Any) -> str:
    return make_proof("t", claims={"iat": now[0], "nonce": nonce, **claims})


@sync_and_async
def test_nonces(mode: str, now: list[float]) -> None:
    """R89, R90, E12: without a nonce, 401 with one; with it, 200. The header appears once, and is not cached."""
    with site(mode, Own(BOUND), dpop=DPoP(nonce=True)) as guarded:
        answer = guarded.get(dpop("t", nonce_proof(now)))
        assert guarded.reasons == [Reason.MISSING_NONCE]
        assert (answer.status, answer.json["error"]) == (401, "use_dpop_nonce")
        assert shapes(answer) == [("bearer", None), ("dpop", "use_dpop_nonce")]
        assert answer.challenges[1].parameters["algs"] == ALGORITHMS
        assert answer.header("Cache-Control") == "no-store"
        nonce = answer.header("DPoP-Nonce")
        assert nonce is not None
        assert re.fullmatch(r"[\x21\x23-\x5B\x5D-\x7E]+", nonce)
        retry = guarded.get(dpop("t", nonce_proof(now, nonce)))
        assert (retry.status, retry.header("DPoP-Nonce"), retry.header("Cache-Control")) == (200, None, "private")
        assert guarded.outcome(dpop("t", nonce_proof(now, nonce))) == (200, None)


@sync_and_async
def test_old_nonces(mode: str, now: list[float]) -> None:
    """R89, R90: past half of its lifetime, a nonce is accepted and replaced, in any response. Then it is stale."""
    with site(mode, Own(BOUND), scopes="other", dpop=DPoP(nonce=True)) as refusing:
        nonce = refusing.get(dpop("t", nonce_proof(now))).header("DPoP-Nonce")
        now[0] += 200
        answer = refusing.get(dpop("t", nonce_proof(now, nonce)))
        assert (answer.status, answer.header("Cache-Control")) == (403, "no-store")
        assert answer.header("DPoP-Nonce") not in (None, nonce)
    with site(mode, Own(BOUND), dpop=DPoP(nonce=True)) as guarded:
        answer = guarded.get(dpop("t", nonce_proof(now, nonce)))
        assert (answer.status, answer.header("Cache-Control")) == (200, "private, no-store")
        newer = answer.header("DPoP-Nonce")
        assert newer not in (None, nonce)
        now[0] += 120
        answer = guarded.get(dpop("t", nonce_proof(now, nonce)))
        assert (answer.status, answer.json["error"]) == (401, "use_dpop_nonce")
        assert guarded.reasons == [Reason.INVALID_NONCE]
        assert guarded.outcome(dpop("t", nonce_proof(now, newer))) == (200, None)


@sync_and_async
def test_foreign_nonces(mode: str, now: list[float], settings: Any) -> None:
    """R89: nonces of other sites, and forged ones, get a new one. The keys before the current one are accepted."""
    with site(mode, Own(BOUND), dpop=DPoP(nonce=True)) as guarded:
        nonce = guarded.get(dpop("t", nonce_proof(now))).header("DPoP-Nonce")
        old, settings.SECRET_KEY = settings.SECRET_KEY, "another key that is long enough for Django"
        for foreign in (nonce, "forged", "", 1, None):
            answer = guarded.get(dpop("t", nonce_proof(now, foreign)))
            assert (answer.status, answer.json["error"]) == (401, "use_dpop_nonce")
            assert len(answer.lines("DPoP-Nonce")) == 1
        settings.SECRET_KEY_FALLBACKS = [old]
        assert guarded.outcome(dpop("t", nonce_proof(now, nonce))) == (200, None)
        newest = guarded.get(dpop("t", nonce_proof(now))).header("DPoP-Nonce")
        settings.SECRET_KEY_FALLBACKS = []
        assert guarded.outcome(dpop("t", nonce_proof(now, newest))) == (200, None)


@sync_and_async
def test_nonces_and_other_mistakes(mode: str, now: list[float]) -> None:
    """R89: if nonce and signature are both wrong, the proof is invalid, and there is no nonce for it."""
    with site(mode, Own(BOUND), dpop=DPoP(nonce=True)) as guarded:
        wrong = make_proof("t", claims={"iat": now[0]}, signed_with=OTHER_KEY)
        check_invalid_proof(guarded.get(dpop("t", wrong)))
        check_invalid_proof(guarded.get(dpop("t")))
    with site(mode, Own(BOUND)) as guarded:
        assert guarded.outcome(dpop("t", nonce_proof(now, "ignored"))) == (200, None)
        assert guarded.outcome(dpop("t", nonce_proof(now, 1))) == (200, None)


@sync_and_async
def test_nonces_override_what_the_view_says_about_caches(mode: str, now: list[float]) -> None:
    """R90: a response with a nonce is not stored, even if the view wants that. Nested guards send one nonce."""
    protector = ResourceProtector(Own(BOUND), dpop=DPoP(nonce=True))
    view = protector()(cache_control(public=True, max_age=60)(protector()(Witness().view(mode))))
    with serving(view):
        nonce = SEND[mode]("/", dpop("t", nonce_proof(now))).header("DPoP-Nonce")
        fresh = SEND[mode]("/", dpop("t", nonce_proof(now, nonce)))
        assert fresh.members("Cache-Control") == {"public", "max-age=60"}
        now[0] += 200
        answer = SEND[mode]("/", dpop("t", nonce_proof(now, nonce)))
        assert answer.status == 200
        assert {"no-store", "private"} <= answer.members("Cache-Control")
        assert "public" not in answer.members("Cache-Control")
        assert answer.header("DPoP-Nonce") is not None


@sync_and_async
def test_rendered_errors_have_nonces(mode: str, now: list[float]) -> None:
    """R90: also if the site renders errors itself, and would allow caches to store them."""

    def render(request: HttpRequest, error: Any) -> HttpResponse:
        return HttpResponse(str(error.error), status=error.status_code, headers={"Cache-Control": "max-age=60"})

    with site(mode, Own(BOUND), dpop=DPoP(nonce=True), render_error=render) as guarded:
        answer = guarded.get(dpop("t", nonce_proof(now)))
        assert (answer.status, answer.body) == (401, b"use_dpop_nonce")
        assert answer.header("DPoP-Nonce") is not None
        assert "no-store" in answer.members("Cache-Control")


# --- replay ---


@sync_and_async
@pytest.mark.parametrize("cache", [None, "default"])
def test_replay_after_a_refusal(mode: str, cache: str | None) -> None:
    """R96, R123: a proof is used up even if the scopes are not sufficient."""
    with site(mode, Own(BOUND), scopes="other", cache=cache) as guarded:
        proof = make_proof("t")
        assert guarded.outcome(dpop("t", proof)) == (403, Reason.INSUFFICIENT_SCOPE)
        answer = guarded.get(dpop("t", proof))
        assert guarded.reasons[-1] is Reason.REPLAYED_PROOF
        check_invalid_proof(answer)


@sync_and_async
@pytest.mark.parametrize("source", ["own checks", "own checks alone"])
def test_replay_after_a_refusal_by_a_hook(source: str, mode: str) -> None:
    """R96: also if the site's own code compares the scopes."""
    validator, token = SOURCES[source](None, BOUND)  # type: ignore[arg-type]
    with site(mode, validator, scopes="other") as guarded:
        proof = make_proof(token)
        assert guarded.get(dpop(token, proof)).status == 403
        assert guarded.outcome(dpop(token, proof)) == (401, Reason.REPLAYED_PROOF)


@sync_and_async
def test_invalid_tokens_use_up_no_proof(mode: str, server: FakeAuthorizationServer) -> None:
    """R96: a proof is stored only if everything else about proof and token is right."""
    with site(mode, verifying()) as guarded:
        expired = server.jwt("profile", expires_in=-60, claims={"cnf": BOUND})
        bound_to_another = server.jwt("profile", claims={"cnf": {"jkt": thumbprint(OTHER_KEY)}})
        for token, reason in ((expired, Reason.EXPIRED), (bound_to_another, Reason.WRONG_CONFIRMATION)):
            proof = make_proof(token)
            assert guarded.outcome(dpop(token, proof)) == (401, reason)
            assert guarded.outcome(dpop(token, proof)) == (401, reason)
        assert len(REPLAYS._expiries) == 0


@sync_and_async
def test_other_workers(mode: str) -> None:
    """R96: a proof that another worker has accepted is refused, if both have the same cache."""
    proof = make_proof("t")
    with site(mode, Own(BOUND), cache="default") as guarded:
        assert guarded.outcome(dpop("t", proof)) == (200, None)
        # As in another worker, which has not seen it.
        forget_proofs()
        assert guarded.outcome(dpop("t", proof)) == (401, Reason.REPLAYED_PROOF)
        assert guarded.outcome(dpop("t", make_proof("t"))) == (200, None)


@sync_and_async
def test_store_is_down(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """E23: if the cache does not respond, the answer is 503, and never success. Bearer tokens do not need it."""
    with site(mode, Own(BOUND), cache="down") as guarded:
        for _ in range(2):
            answer = guarded.get(dpop("t", make_proof("t")))
            assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
            assert answer.header("Retry-After") == "1"
            assert answer.header("Cache-Control") == "no-store"
            assert answer.challenges == []
        assert set(guarded.reasons) == {Reason.REPLAY_STORE_UNAVAILABLE}
        assert guarded.witness.entered == 0
    assert "Refused with status 503: replay_store_unavailable" in caplog.text
    with site(mode, Own(None), cache="down") as guarded:
        assert guarded.outcome(bearer("t")) == (200, None)


@sync_and_async
def test_store_is_full(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R100, E23: a key with too many proofs gets 503. Others are not affected, and no replay gets through."""
    monkeypatch.setattr(replay_store, "MAX_PER_KEY", 3)
    with site(mode, Own({"jkt": thumbprint(OTHER_KEY)})) as other, site(mode, Own(BOUND)) as guarded:
        mine = make_proof("t")
        assert guarded.outcome(dpop("t", mine)) == (200, None)
        for _ in range(2):
            assert guarded.outcome(dpop("t", make_proof("t"))) == (200, None)
        assert guarded.outcome(dpop("t", make_proof("t"))) == (503, Reason.REPLAY_STORE_FULL)
        assert guarded.outcome(dpop("t", mine)) == (401, Reason.REPLAYED_PROOF)
    with site(mode, Own({"jkt": thumbprint(OTHER_KEY)})) as other:
        assert other.outcome(dpop("t", make_proof("t", key=OTHER_KEY))) == (200, None)


@sync_and_async
def test_one_request(mode: str) -> None:
    """A proof is used once for each request: inner guards, of any protector, accept it too."""
    witness = Witness()
    inner = ResourceProtector(Own(BOUND), dpop=True, cache="default")
    outer = ResourceProtector(Own(BOUND), dpop=DPoP(["ES256"]))
    strict = ResourceProtector(Own(BOUND), dpop=DPoP(["RS256"]))
    with serving(
        [
            path("", outer()(inner()(inner("profile")(witness.view(mode))))),
            path("x/", outer()(strict()(witness.view(mode)))),
        ]
    ):
        proof = make_proof("t")
        assert SEND[mode]("/", dpop("t", proof)).status == 200
        assert SEND[mode]("/", dpop("t", proof)).status == 401
        # Everything else about the proof is checked again.
        assert SEND[mode]("/x/", dpop("t", make_proof("t", uri="http://testserver/x/"))).status == 401
    assert witness.entered == 1


class OwnTokens(ResourceProtector):
    """Finds tokens with our method."""

    def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return super().acquire_token(request, scopes, **requirements)


class OwnAsyncTokens(ResourceProtector):
    """The same, without blocking."""

    async def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
        return await super().aacquire_token(request, scopes, **requirements)


@sync_and_async
@pytest.mark.parametrize("cls", [OwnTokens, OwnAsyncTokens])
def test_acquired_tokens(cls: Any, mode: str) -> None:
    """A protector's own method gets bound tokens from ours, which checks the proof once."""
    with serving(cls(Own(BOUND), dpop=True)("profile")(Witness().view(mode))):
        proof = make_proof("t")
        assert SEND[mode]("/", dpop("t", proof)).status == 200
        assert SEND[mode]("/", dpop("t", proof)).status == 401
        assert SEND[mode]("/", dpop("t")).status == 401
        assert SEND[mode]("/", bearer("t")).status == 401


def test_explanations_use_up_no_proof() -> None:
    """A request that is only explained uses up nothing."""
    from async_oauth_guard.diagnostics.explain.explanation import explain

    explanation = explain(ResourceProtector(Own(BOUND), dpop=True), "DPoP t", uri="http://testserver/")
    assert (explanation.status, explanation.reason) == (401, Reason.MISSING_PROOF)
    assert "DPoP " in str(explanation.challenge)


# --- without a request ---


VALIDATE = {
    "def": ResourceProtector.validate_token,
    "async def": async_to_sync(ResourceProtector.avalidate_token),
}


@sync_and_async
def test_validate_token(mode: str) -> None:
    """Without a request, a bound token needs a proof for a method and a URI. It can be used once."""
    validate = VALIDATE[mode]
    protector = ResourceProtector(Own(BOUND), dpop=True)
    uri = "https://api.example.com/socket"
    proof = make_proof("t", uri=uri)
    for presented in (
        {"proof": proof, "method": "POST", "uri": uri},
        {"proof": proof, "method": "GET", "uri": "https://api.example.com/"},
        {"proof": "garbage", "method": "GET", "uri": uri},
        {"proof": "", "method": "GET", "uri": uri},
    ):
        with pytest.raises(InvalidDPoPProofError):
            validate(protector, "t", **presented)
    assert validate(protector, "t", "profile", proof=proof, method="GET", uri=uri.replace("https", "wss")).cnf == BOUND
    with pytest.raises(InvalidDPoPProofError) as caught:
        validate(protector, "t", proof=proof, method="GET", uri=uri)
    assert caught.value.reason is Reason.REPLAYED_PROOF
    with pytest.raises(InvalidTokenError) as refused:
        validate(protector, "t", uri=uri)
    assert refused.value.reason is Reason.SENDER_CONSTRAINED  # type: ignore[attr-defined]
    with pytest.raises(InvalidTokenError):
        validate(
            ResourceProtector(Own(None), dpop=True), "t", proof=make_proof("t"), method="GET", uri="http://testserver/"
        )
    assert validate(ResourceProtector(Own(None), dpop=True), "t").cnf is None


@sync_and_async
@pytest.mark.parametrize("scopes", ["profile", "email"])
def test_errors_without_a_request_show_no_proof(scopes: str, mode: str) -> None:
    """No frame of the guard has the proof or the token in a local variable, which error reports show."""
    protector = ResourceProtector(Own(BOUND), dpop=True)
    uri = "http://testserver/"
    secrets = "the-token", make_proof("the-token", uri=uri if scopes == "email" else "http://elsewhere/")
    with pytest.raises(GuardError) as caught:
        VALIDATE[mode](protector, secrets[0], scopes, proof=secrets[1], method="GET", uri=uri)
    frames = frames_of_package(caught.value)
    shown = repr([[value for value in frame.f_locals.values() if value is not protector] for frame in frames])
    assert len(frames) > 1
    assert not [secret for secret in secrets if secret in shown]


@sync_and_async
def test_validate_token_with_other_options(mode: str) -> None:
    """``required=True`` needs a proof; ``nonce=True`` gives a nonce with the error."""
    validate = VALIDATE[mode]
    with pytest.raises(InvalidDPoPProofError) as missing:
        validate(ResourceProtector(Own(None), dpop=DPoP(required=True)), "t")
    assert missing.value.reason is Reason.MISSING_PROOF
    presented = {"method": "GET", "uri": "http://testserver/"}
    with pytest.raises(UseDPoPNonceError) as caught:
        validate(ResourceProtector(Own(BOUND), dpop=DPoP(nonce=True)), "t", proof=make_proof("t"), **presented)
    nonce = caught.value.dpop_nonce
    again = make_proof("t", claims={"nonce": nonce})
    assert validate(ResourceProtector(Own(BOUND), dpop=DPoP(nonce=True)), "t", proof=again, **presented).cnf == BOUND


@sync_and_async
@pytest.mark.parametrize(
    ("presented", "error", "message"),
    [
        ({"proof": "p"}, TypeError, "method and uri must be given with proof"),
        ({"proof": "p", "uri": "u"}, TypeError, "method and uri must be given with proof"),
        ({"proof": "p", "method": "GET"}, TypeError, "method and uri must be given with proof"),
        ({"proof": b"p", "method": "GET", "uri": "u"}, TypeError, "proof must be a string, got bytes"),
        ({"uri": 1}, TypeError, "uri must be a string, got int"),
        ({"proof": "p", "method": "GET", "uri": "u"}, ImproperlyConfigured, "must have dpop= to check a proof"),
    ],
)
def test_wrong_arguments(presented: Any, error: Any, message: str, mode: str) -> None:
    """A proof that could not be checked is a mistake of the caller's."""
    with pytest.raises(error, match=message):
        VALIDATE[mode](ResourceProtector(Own(BOUND)), "t", **presented)


def test_presentation_shows_no_proof() -> None:
    """The repr of what is presented has no proof."""
    assert "secret" not in repr(proofs.Presentation("secret", "GET", "http://testserver/"))


# --- configuration ---


def test_settings(settings: Any) -> None:
    """``DPOP`` is ``True`` or a dictionary of options."""
    for value, expected in (
        (True, DPoP()),
        ({"nonce": True, "max_age": 30}, DPoP(nonce=True, max_age=30)),
        (None, None),
    ):
        settings.OAUTH_GUARD = {"DPOP": value, "VALIDATORS": []}
        assert require_oauth.options.dpop == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"DPOP": "yes"}, r"OAUTH_GUARD\['DPOP'\]: dpop must be True or a DPoP, got str"),
        ({"DPOP": {"maxage": 1}}, r"OAUTH_GUARD\['DPOP'\]: dpop has an unknown option 'maxage'"),
        ({"DPOP": {"max_age": -1}}, r"OAUTH_GUARD\['DPOP'\]: max_age must be"),
        ({"DPOP": True, "COMPAT": "authlib"}, r"OAUTH_GUARD\['DPOP'\]: dpop and compat must not both be given"),
        ({"DPOP": True, "CACHE": "dummy"}, r"OAUTH_GUARD\['DPOP'\]: cache must be able .* 'dummy' is a DummyCache"),
        ({"DPOP": True, "CACHE": "file"}, r"OAUTH_GUARD\['DPOP'\]: cache must be able .* 'file' is a FileBasedCache"),
    ],
)
def test_wrong_settings(values: Any, message: str, settings: Any) -> None:
    """A wrong value is refused at first use, with its key."""
    settings.OAUTH_GUARD = {"VALIDATORS": [], **values}
    with pytest.raises(ImproperlyConfigured, match=message):
        _ = require_oauth.options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dpop": "yes"}, TypeError),
        ({"dpop": True, "compat": "authlib"}, ValueError),
        ({"dpop": True, "cache": "dummy"}, ImproperlyConfigured),
        ({"dpop": True, "cache": "file"}, ImproperlyConfigured),
    ],
)
def test_wrong_options(options: Any, error: type[Exception]) -> None:
    """The same for a protector in code."""
    with pytest.raises(error):
        ResourceProtector(**options)
    without = {name: value for name, value in options.items() if name != "dpop"}
    ResourceProtector(**without)


@pytest.mark.parametrize("view", [sync_view, async_view], ids=MODES)
@pytest.mark.parametrize("required", [False, True])
def test_overrides(required: bool, view: Any) -> None:
    """A test's override needs no proof."""
    protector = ResourceProtector(Own(BOUND), dpop=DPoP(required=required))
    with override_oauth("profile"):
        assert answer_of(protector("profile"), view).status_code == 200
        assert protector.validate_token("any").get_scope() == "profile"


def test_reports_do_not_show_the_proof() -> None:
    """R133: Django's error reports print the values of META."""
    proof = make_proof("t")
    request = RequestFactory().get("/", headers={"Authorization": "DPoP t", "DPoP": proof})
    token = ResourceProtector(Own(BOUND), dpop=True).acquire_token(request)
    assert token.cnf == BOUND
    assert request.META["HTTP_DPOP"] == proof
    assert proof not in repr(request.META["HTTP_DPOP"])
    assert proof not in repr(request.META)


async def _tell(request: HttpRequest) -> JsonResponse:
    token = AccessToken.of(request)
    assert token is not None
    return JsonResponse({"type": token.token_type, "confirmation": token.confirmation})


@pytest.mark.parametrize("source", ["JWT", "introspection", "attribute", "field"])
def test_views_know_the_confirmation(source: str, server: FakeAuthorizationServer) -> None:
    """`AccessToken.of` tells what a token of any source is bound to."""
    validator, token = SOURCES_OF_KEYS[source](server, BOUND)
    with serving(ResourceProtector(validator, dpop=True)()(_tell)):
        assert SEND["async def"]("/", dpop(token, make_proof(token))).json == {"type": "DPoP", "confirmation": BOUND}
