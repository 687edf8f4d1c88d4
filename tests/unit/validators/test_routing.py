"""Which validators are called for a token."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from async_oauth_guard import TokenValidator
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.validators.routing import route
from tests.unit.driving import ISSUER
from tests.unit.validators.introspecting import introspection

OURS = "https://as.example.com"
OTHERS = "https://other.example.com"


def encode(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt_of(issuer: Any, **header: Any) -> str:
    """An unsigned JWT."""
    return f"{encode({'alg': 'RS256', **header})}.{encode({'iss': issuer})}.AAAA"


class Plain(TokenValidator):
    """Names no issuer of JWTs."""


class Issuer(TokenValidator):
    """Names an issuer, as validators of JWTs do."""

    def __init__(self, issuer: str) -> None:
        super().__init__()
        self.issuer = issuer

    def owns(self, issuer: str | None) -> bool | None:
        return issuer == self.issuer


class Offered(TokenValidator):
    """Is a candidate for every JWT, and for nothing else."""

    def owns(self, issuer: str | None) -> bool | None:
        return None if issuer is not None else False


class Picky(Plain):
    """Recognises tokens by their prefix."""

    def recognises(self, token: str) -> bool:
        return token.startswith("picky")


class Foreign:
    """A class like Authlib's, without our methods."""


DATABASE, INTROSPECTION, PICKY = Plain(), Plain(), Picky()
JWT, OTHER_JWT, SAME_JWT = Issuer(OURS), Issuer(OTHERS), Issuer(OURS)
OFFERED, FOREIGN = Offered(), Foreign()

ROUTES: dict[str, tuple[Sequence[Any], str, Sequence[Any]]] = {
    "none registered": ([], "opaque", []),
    "the only one": ([DATABASE], "opaque", [DATABASE]),
    "the only one, foreign JWT": ([JWT], jwt_of(OTHERS), [JWT]),
    "the only one does not recognise it": ([PICKY], "opaque", []),
    "the only one is of Authlib's kind": ([FOREIGN], "opaque", [FOREIGN]),
    "opaque, in order": ([DATABASE, JWT, INTROSPECTION], "opaque", [DATABASE, INTROSPECTION]),
    "opaque, other order": ([INTROSPECTION, JWT, DATABASE], "opaque", [INTROSPECTION, DATABASE]),
    "the owner alone": ([DATABASE, JWT, INTROSPECTION], jwt_of(OURS), [JWT]),
    "the owner among owners of others": ([JWT, OTHER_JWT, DATABASE], jwt_of(OTHERS), [OTHER_JWT]),
    "two owners, in order": ([SAME_JWT, DATABASE, JWT], jwt_of(OURS), [SAME_JWT, JWT]),
    "a forged header is the owner's": ([DATABASE, JWT], jwt_of(OURS, alg="none"), [JWT]),
    "a foreign issuer": ([DATABASE, JWT, INTROSPECTION], jwt_of(OTHERS), [DATABASE, INTROSPECTION]),
    "a foreign issuer and nobody else": ([JWT, OTHER_JWT], jwt_of("https://evil.example.com"), []),
    "opaque and nobody else": ([JWT, OTHER_JWT], "opaque", []),
    "an issuer that is none": ([DATABASE, JWT], jwt_of([OURS]), [DATABASE]),
    "almost our issuer": ([DATABASE, JWT], jwt_of(OURS + "/"), [DATABASE]),
    "almost a JWT": ([DATABASE, JWT], jwt_of(OURS) + ".AAAA.AAAA", [DATABASE]),
    "offered any JWT": ([DATABASE, OFFERED], jwt_of(OTHERS), [DATABASE, OFFERED]),
    "not offered what is none": ([DATABASE, OFFERED], "opaque", [DATABASE]),
    "the owner before who is offered all": ([OFFERED, JWT], jwt_of(OURS), [JWT]),
    "Authlib's kind, opaque": ([FOREIGN, JWT], "opaque", [FOREIGN]),
    "Authlib's kind, foreign issuer": ([FOREIGN, JWT], jwt_of(OTHERS), [FOREIGN]),
    "Authlib's kind, owned": ([FOREIGN, JWT], jwt_of(OURS), [JWT]),
    "not recognised": ([PICKY, DATABASE, INTROSPECTION], "opaque", [DATABASE, INTROSPECTION]),
    "recognised": ([PICKY, DATABASE], "picky", [PICKY, DATABASE]),
    "one is left": ([PICKY, DATABASE], "opaque", [DATABASE]),
    "none is left": ([PICKY, Picky()], "opaque", []),
}


@pytest.mark.parametrize(("validators", "token", "expected"), ROUTES.values(), ids=ROUTES)
def test_routes(validators: Sequence[Any], token: str, expected: Sequence[Any]) -> None:
    """R59: a JWT with a known issuer goes to its validator. Other tokens go to those without an issuer, in order."""
    assert list(route(validators, Secret(token))) == list(expected)


@pytest.mark.parametrize(
    ("token", "is_sent"), [(jwt_of(ISSUER), True), (jwt_of(OTHERS), False), (jwt_of(None), True), ("opaque", True)]
)
def test_issuer_of_introspected_tokens(token: str, is_sent: bool) -> None:
    """R59: a JWT that names another issuer is not sent to the server that introspects."""
    validator = introspection(issuer=ISSUER)
    assert list(route([validator], Secret(token))) == [validator] * is_sent


def test_recognised_with_a_plain_string() -> None:
    """`recognises` is called once with a plain string."""
    seen: list[Any] = []

    class Noting(Plain):
        def recognises(self, token: str) -> bool:
            seen.append(token)
            return True

    assert len(route([Noting(), Noting()], Secret("opaque"))) == 2
    assert seen == ["opaque", "opaque"]
