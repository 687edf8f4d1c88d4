"""Benchmarks: which budgets are met, which rows are chosen, and which responses are wrong in a soak."""

import pytest

from benchmarks.answers import read_status
from benchmarks.budgets import ROWS, Budget, Figure, Ratio, at_least, at_most, choose
from benchmarks.contenders import ANSWER_BODY, GUARD, PLAIN, SOAK_INTROSPECTION, SOAK_JWT
from benchmarks.figures import Spread, paired_ratios
from benchmarks.outages import AUTHORITY, DATABASE, Outage, wrong_responses
from benchmarks.report import budget_table
from benchmarks.slices import GroupResult

REFUSED = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="api"\r\nContent-Length: 2\r\n\r\n{}'


@pytest.mark.parametrize(
    ("budget", "seen", "is_met"),
    [
        (at_least(0.88), 0.88, True),
        (at_least(0.88), 0.87, False),
        (at_most(3), 3.0, True),
        (at_most(3), 3.01, False),
        (at_least(0.88), float("nan"), False),
        (at_most(3), float("nan"), False),
    ],
)
def test_met_budgets(budget: Budget, seen: float, is_met: bool) -> None:
    """The median of the rounds meets a budget if it is on the right side of the bound, or on the bound."""
    assert budget.is_met(Spread(seen, 0.0, 9.0)) is is_met


def test_table_of_budgets() -> None:
    """Each row says whether its budget is met, and nothing if it has none."""
    budgets = (at_least(0.9), at_least(0.95), None)
    rows = [Figure(f"row {number}", "jwt", "inside", "text", budget) for number, budget in enumerate(budgets)]
    seen = dict.fromkeys((row.name for row in rows), Spread(0.92, 0.9, 1.0))

    _, _, *lines = budget_table(rows, seen, {"row 0": Spread(1.1, 1.0, 1.2)})

    assert [line.split("|")[-2].strip() for line in lines] == ["met", "missed", ""]
    assert [line.split("|")[-3].strip() for line in lines] == ["1.10 (1.00–1.20)", "", ""]


def test_rows_have_different_names() -> None:
    """A name stands for one row."""
    names = [row.name for row in ROWS]
    assert sorted(set(names)) == sorted(names)


def test_ratios_compare_within_a_round() -> None:
    """What slows down a whole round does not change the ratio."""
    assert paired_ratios([90.0, 45.0], [100.0, 50.0]) == Spread(0.9, 0.9, 0.9)


def test_choosing_rows() -> None:
    """Names and patterns choose rows, in the order of the table."""
    assert [row.name for row in choose(["jwt-seen-sync", "jwt-seen"])] == ["jwt-seen", "jwt-seen-sync"]
    assert {row.site for row in choose(["postgres-pool-*"])} == {"postgres-pool"}
    assert choose(["*"]) == [*ROWS]


def test_choosing_an_unknown_row() -> None:
    """A name that no row has is an error, also next to names that rows have."""
    with pytest.raises(ValueError, match="no row is called jtw-seen"):
        choose(["jwt-seen", "jtw-seen"])


@pytest.mark.parametrize("site", ["sqlite", "postgres", "postgres-pool"])
def test_each_database_has_its_ratios(site: str) -> None:
    """Async and sync views are compared with the same view without a guard and with Authlib, on each database."""
    ratios = {
        (row.contender, row.base, row.clients)
        for row in ROWS
        if isinstance(row, Ratio) and row.site == site and row.budget is not None
    }
    assert ratios == {
        ("guard-async", "plain-async", 32),
        ("guard-async", "authlib-sync", 32),
        ("guard-sync", "plain-sync", 32),
        ("guard-sync", "authlib-sync", 32),
        ("guard-async", "plain-async", 8),
        ("guard-async", "plain-async", 1),
        ("guard-async", "aget", 1),
    }


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Len", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER_BODY), ANSWER_BODY[:-1]), None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER_BODY), ANSWER_BODY), 200),
        (REFUSED, 401),
        (b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", None),
        (b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 503),
    ],
)
def test_reading_responses(received: bytes, status: int | None) -> None:
    """The status is known once the whole response is there, sized or in chunks."""
    assert read_status(received) == status


@pytest.mark.parametrize(
    ("received", "wrong"),
    [
        (b"SSH-2.0\r\n\r\n", "no HTTP response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "unexpected body"),
        (REFUSED.replace(b"WWW-Authenticate", b"X-Other"), "401 without www-authenticate"),
        (b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", "503 without retry-after"),
    ],
)
def test_reading_wrong_responses(received: bytes, wrong: str) -> None:
    """A body that no view sends, a refusal without a challenge and a 503 without Retry-After are wrong."""
    with pytest.raises(ValueError, match=wrong):
        read_status(received)


@pytest.mark.parametrize(
    ("what", "contender", "times", "excused"),
    [
        (DATABASE, GUARD, (100.0, 101.0), True),
        (DATABASE, GUARD, (90.0, 99.9), False),
        (DATABASE, GUARD, (90.0, 115.0), True),
        (DATABASE, GUARD, (111.0, 111.5), True),
        (DATABASE, GUARD, (111.1, 111.2), False),
        (DATABASE, SOAK_INTROSPECTION, (100.0, 101.0), False),
        (DATABASE, PLAIN, (100.0, 101.0), False),
        # The longest wait after an outage of 10 s is 11 s, and a quarter more.
        (AUTHORITY, SOAK_INTROSPECTION, (124.7, 124.8), True),
        (AUTHORITY, SOAK_INTROSPECTION, (124.8, 124.9), False),
        (AUTHORITY, SOAK_JWT, (100.0, 101.0), False),
        (AUTHORITY, GUARD, (100.0, 101.0), False),
    ],
)
def test_excused_responses(what: str, contender: str, times: tuple[float, float], excused: bool) -> None:
    """A 503 is right during an outage, and only for tokens that need the server that is stopped."""
    group = GroupResult(contender, 1, 5, 1.0, 1.0, 1.0, {"503": 1}, [times])
    assert wrong_responses(group, [Outage(what, 100.0, 110.0)]) == ({} if excused else {"503": 1})


def test_other_wrong_responses_are_never_excused() -> None:
    """An outage excuses no 401, no 200 and no lost connection."""
    group = GroupResult(
        GUARD, 1, 5, 1.0, 1.0, 1.0, {"401": 1, "503": 2, "connection lost": 1}, [(1.0, 2.0), (9.0, 9.5)]
    )
    assert wrong_responses(group, [Outage(DATABASE, 0.0, 3.0)]) == {"401": 1, "503": 1, "connection lost": 1}


def test_a_long_back_off() -> None:
    """The guard never waits longer than 30 s, and a quarter more."""
    assert Outage(AUTHORITY, 0.0, 600.0).over == 600.0 + 37.5 + 1.0
