"""What a token is bound to, and whether a request proves to possess it."""

from types import SimpleNamespace
from typing import Any

import pytest

from async_oauth_guard.errors import Reason
from async_oauth_guard.protocol.attributes import read_confirmation
from async_oauth_guard.protocol.confirmation import (
    NO_POSSESSION,
    Binding,
    Possession,
    check_confirmation,
    check_possession,
    check_presentation,
)

JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
X5T = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
PROOF = Possession({"jkt": JKT}, proof=object())
CERTIFICATE = Possession({"x5t#S256": X5T})
BOTH = Possession({"jkt": JKT, "x5t#S256": X5T}, proof=object())


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ({}, None),
        ({"cnf": {"jkt": JKT}}, {"jkt": JKT}),
        ({"cnf": ""}, ""),
        (SimpleNamespace(), None),
        (SimpleNamespace(cnf=None), None),
        (SimpleNamespace(cnf=""), None),
        (SimpleNamespace(cnf="null"), None),
        (SimpleNamespace(cnf={"jkt": JKT}), {"jkt": JKT}),
        (SimpleNamespace(cnf=f'{{"jkt":"{JKT}"}}'), {"jkt": JKT}),
        (SimpleNamespace(cnf="{}"), "{}"),
        (SimpleNamespace(cnf="not JSON"), "not JSON"),
        (SimpleNamespace(cnf="\ud800"), "\ud800"),
        (SimpleNamespace(cnf=0), 0),
    ],
)
def test_read_confirmation(token: Any, expected: Any) -> None:
    """``cnf: null``, or empty text in a row, means unbound. Text in claims is not parsed."""
    assert read_confirmation(token) == expected


@pytest.mark.parametrize(
    "confirmation", [None, {"jkt": JKT}, {"x5t#S256": X5T}, {"jkt": JKT, "x5t#S256": X5T}], ids=str
)
def test_confirmations_that_can_be_checked(confirmation: Any) -> None:
    """R104: thumbprints of keys and certificates can be checked, also together."""
    assert check_confirmation(Binding(confirmation, None, NO_POSSESSION)) is None


@pytest.mark.parametrize(
    "confirmation",
    [
        {}, "", "x", "{}", 0, False, True, [], [JKT], {"jwk": {}}, {"kid": "k"}, {"jkt": JKT, "kid": "k"}, {"jkt": ""},
        {"jkt": None}, {"jkt": [JKT]}, {"x5t#S256": 1}, {"JKT": JKT},
    ],
    ids=repr,
)  # fmt: skip
def test_confirmations_that_cannot_be_checked(confirmation: Any) -> None:
    """R104: a ``cnf`` that is empty, malformed, or has a member that cannot be checked is refused."""
    assert check_confirmation(Binding(confirmation, None, NO_POSSESSION)) is Reason.UNSUPPORTED_CONFIRMATION


PRESENTATIONS: list[tuple[Any, Any, Possession, Reason | None]] = [
    (None, None, NO_POSSESSION, None),
    (None, "Bearer", NO_POSSESSION, None),
    (None, "", NO_POSSESSION, None),
    (None, 1, NO_POSSESSION, None),
    (None, "DPoP", NO_POSSESSION, Reason.SENDER_CONSTRAINED),
    (None, "dpop", CERTIFICATE, Reason.SENDER_CONSTRAINED),
    ({"jkt": JKT}, None, NO_POSSESSION, Reason.SENDER_CONSTRAINED),
    ({"jkt": JKT}, "Bearer", NO_POSSESSION, Reason.SENDER_CONSTRAINED),
    ({"x5t#S256": X5T}, "Bearer", CERTIFICATE, None),
    ({"x5t#S256": X5T}, None, NO_POSSESSION, None),
    ({"jkt": JKT}, None, PROOF, None),
    ({"jkt": JKT}, "DPoP", PROOF, None),
    ({"jkt": JKT}, "bearer", PROOF, Reason.UNBOUND_TOKEN),
    (None, None, PROOF, Reason.UNBOUND_TOKEN),
    (None, "DPoP", PROOF, Reason.UNBOUND_TOKEN),
    ({"x5t#S256": X5T}, None, BOTH, Reason.UNBOUND_TOKEN),
]


@pytest.mark.parametrize(("confirmation", "token_type", "possession", "reason"), PRESENTATIONS)
def test_check_presentation(confirmation: Any, token_type: Any, possession: Possession, reason: Reason | None) -> None:
    """R72, R94, R95: a token that is bound to a key is presented as ``DPoP``, and no other token is."""
    assert check_presentation(Binding(confirmation, token_type, possession)) is reason


POSSESSIONS: list[tuple[Any, Possession, Reason | None]] = [
    (None, NO_POSSESSION, None),
    (None, BOTH, None),
    ({"jkt": JKT}, PROOF, None),
    ({"jkt": JKT}, BOTH, None),
    ({"jkt": X5T}, PROOF, Reason.WRONG_CONFIRMATION),
    ({"jkt": f"{JKT}="}, PROOF, Reason.WRONG_CONFIRMATION),
    ({"jkt": JKT}, CERTIFICATE, Reason.SENDER_CONSTRAINED),
    ({"x5t#S256": X5T}, CERTIFICATE, None),
    ({"x5t#S256": X5T}, NO_POSSESSION, Reason.SENDER_CONSTRAINED),
    ({"x5t#S256": JKT}, CERTIFICATE, Reason.WRONG_CONFIRMATION),
    ({"jkt": JKT, "x5t#S256": X5T}, BOTH, None),
    ({"jkt": JKT, "x5t#S256": X5T}, PROOF, Reason.SENDER_CONSTRAINED),
    ({"jkt": JKT, "x5t#S256": JKT}, BOTH, Reason.WRONG_CONFIRMATION),
]


@pytest.mark.parametrize(("confirmation", "possession", "reason"), POSSESSIONS)
def test_check_possession(confirmation: Any, possession: Possession, reason: Reason | None) -> None:
    """R93, R101, R104: the request proves possession of everything that ``cnf`` names."""
    assert check_possession(Binding(confirmation, None, possession)) is reason
