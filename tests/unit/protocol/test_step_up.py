"""Step-up authentication: what a view requires, and whether a token meets it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from async_oauth_guard.protocol.step_up import StepUp, parse_step_up

NOW = 1_000_000.75

PARSED: list[tuple[Any, Any, StepUp | None]] = [
    (None, None, None),
    ("gold", None, StepUp(("gold",))),
    (["gold", "urn:x:1", "gold"], None, StepUp(("gold", "urn:x:1"))),
    (("b", "a"), 0, StepUp(("b", "a"), 0)),
    (None, 3600, StepUp((), 3600)),
]


@pytest.mark.parametrize(("acr_values", "max_age", "expected"), PARSED)
def test_parse(acr_values: Any, max_age: Any, expected: StepUp | None) -> None:
    """R105: values keep their order of preference."""
    assert parse_step_up(acr_values, max_age) == expected


WRONG: list[tuple[Any, Any, type[Exception], str]] = [
    (7, None, TypeError, "^acr_values must be a string or a list of strings, got int"),
    ({"gold"}, None, TypeError, "^acr_values must be a string or a list of strings, got set"),
    (["gold", 7], None, TypeError, "^acr_values must contain only strings, got int"),
    ([["gold"]], None, TypeError, "^acr_values must contain only strings, got list"),
    ([], None, ValueError, "^acr_values must have at least one value"),
    ("", None, ValueError, "^acr_values: '' must be one value"),
    ("gold silver", None, ValueError, "^acr_values: 'gold silver' must be one value"),
    (["é"], None, ValueError, "^acr_values: 'é' must be one value"),
    (['a"b'], None, ValueError, "must be one value"),
    (["a\n"], None, ValueError, "must be one value"),
    (None, "60", TypeError, "^max_age must be a whole number of seconds, got str"),
    (None, 60.0, TypeError, "^max_age must be a whole number of seconds, got float"),
    (None, True, TypeError, "^max_age must be a whole number of seconds, got bool"),
    (None, -1, ValueError, "^max_age must not be negative, got -1"),
]


@pytest.mark.parametrize(("acr_values", "max_age", "error", "message"), WRONG)
def test_wrong_arguments(acr_values: Any, max_age: Any, error: type[Exception], message: str) -> None:
    """R105: a requirement that no challenge could name is refused when the view is guarded."""
    with pytest.raises(error, match=message):
        parse_step_up(acr_values, max_age)


@pytest.mark.parametrize(
    ("acr", "expected"),
    [("gold", True), ("silver", True), ("Gold", False), ("", False), (None, False), (["gold"], False)],
)
def test_acr(acr: Any, expected: bool) -> None:
    """R105: ``acr`` must be exactly one of the values. Without values, anything is accepted."""
    assert StepUp(("gold", "silver")).accepts_acr(acr) == expected
    assert StepUp(max_age=1).accepts_acr(acr)


TIMES: list[tuple[int, Any, bool]] = [
    (0, NOW, True),
    (0, 1_000_000, True),
    (0, 1_000_000.0, True),
    (0, 999_999.99, False),
    (0, 999_999, False),
    (10, 999_990, True),
    (10, 999_990.5, True),
    (10, 999_989.99, False),
    (10, 999_989, False),
    (10, NOW + 60, True),
    (10, NOW + 61, False),
    (10, 10**400, False),
    (10**400, 0, True),
    (10, None, False),
    (10, True, False),
    (10**9, True, False),
    (10, "1000000", False),
    (10, [1_000_000], False),
    (10, float("nan"), False),
    (10, float("inf"), False),
    (10, float("-inf"), False),
    (10, datetime.fromtimestamp(NOW, UTC), True),
    (10, datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=11), False),
    (10, datetime.min, False),
    (10, datetime.max, False),
]


@pytest.mark.parametrize(("max_age", "auth_time", "expected"), TIMES, ids=lambda part: repr(part)[:30])
def test_auth_time(max_age: int, auth_time: Any, expected: bool) -> None:
    """R105: whole seconds count; a time that is missing, of another type, or too far ahead is not recent."""
    assert StepUp((), max_age).accepts_auth_time(auth_time, NOW) == expected
    assert StepUp(("gold",)).accepts_auth_time(auth_time, NOW)


@pytest.mark.parametrize(
    ("acr", "auth_time", "unmet"),
    [
        ("gold", NOW, StepUp()),
        ("x", NOW, StepUp(("gold",))),
        ("gold", 0, StepUp((), 60)),
        (None, None, StepUp(("gold",), 60)),
    ],
)
def test_unmet(acr: Any, auth_time: Any, unmet: StepUp) -> None:
    """R105: a challenge names only what is not met."""
    assert StepUp(("gold",), 60).unmet(acr, auth_time, NOW) == unmet
