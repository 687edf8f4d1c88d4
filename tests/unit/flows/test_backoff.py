"""When a server that failed may be asked again."""

from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_oauth_guard.errors import InvalidTokenError, Reason, TemporarilyUnavailableError
from async_oauth_guard.flows.backoff import (
    LONGEST_PROBE,
    LONGEST_WAIT,
    LONGEST_WISH,
    SHORTEST_WAIT,
    Attempt,
    Backoff,
    read_retry_after,
)
from tests.unit.driving import Time

NOW = 1_800_000_000.0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def backoff(time: Time) -> Backoff:
    return Backoff(time.clock)


def outage(reason: Reason = Reason.SERVER_UNREACHABLE) -> TemporarilyUnavailableError:
    return TemporarilyUnavailableError(reason=reason)


def leave(backoff: Backoff, error: Exception, wish: float) -> None:
    with backoff.attempt() as attempt:
        attempt.wish = wish
        raise error


def fail(backoff: Backoff, wish: float = 0.0) -> TemporarilyUnavailableError:
    """One call that fails."""
    error = outage()
    with pytest.raises(TemporarilyUnavailableError) as caught:
        leave(backoff, error, wish)
    assert caught.value is error
    return error


def refusal(backoff: Backoff) -> TemporarilyUnavailableError:
    """Why no call may be made now."""
    with pytest.raises(TemporarilyUnavailableError) as caught, backoff.attempt():
        pytest.fail("the call was made")
    assert caught.value.reason == Reason.BACKING_OFF
    return caught.value


def succeed(backoff: Backoff) -> Attempt:
    with backoff.attempt() as attempt:
        pass
    return attempt


def test_numbers() -> None:
    """The first wait is a second, the longest that grows by itself thirty, a server's own at most 120."""
    assert (SHORTEST_WAIT, LONGEST_WAIT, LONGEST_WISH) == (1.0, 30.0, 120.0)
    assert LONGEST_PROBE == 60.0


def test_at_first(backoff: Backoff) -> None:
    """A server of which nothing is known may be asked, by any number of calls at once."""
    with backoff.attempt() as first, backoff.attempt() as second:
        assert not first.is_probe
        assert not second.is_probe
        backoff.check(first)
    assert not backoff.is_failing
    assert backoff.seconds_left() == 1
    backoff.check_open()


def test_waits_double(time: Time, backoff: Backoff) -> None:
    """E24: each failed probe doubles the wait, up to thirty seconds."""
    waits = []
    for _ in range(20):
        waits.append(fail(backoff).retry_after)
        assert waits[-1] is not None
        time.advance(waits[-1] - 0.001)
        assert refusal(backoff).retry_after == 1
        time.advance(0.001)
    assert waits == [1, 2, 4, 8, 16, *[30] * 15]


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 0.75), (0.25, 0.875), (0.5, 1.0), (0.999, 1.2495)])
def test_jitter(chance: float, wait: float, time: Time, backoff: Backoff) -> None:
    """A wait is a quarter shorter or longer by chance, so that workers do not probe together."""
    time.chance = chance
    fail(backoff)
    time.advance(wait - 0.0001)
    refusal(backoff)
    time.advance(0.0002)
    assert succeed(backoff).is_probe


@pytest.mark.parametrize(("wish", "wait"), [(0.0, 1), (0.5, 1), (1.5, 2), (60.0, 60), (120.0, 120)])
def test_wish_of_the_server(wish: float, wait: int, time: Time, backoff: Backoff) -> None:
    """The server's own wish counts where it is longer than our wait."""
    assert fail(backoff, wish).retry_after == wait
    time.advance(max(wish, 1.0) - 0.01)
    refusal(backoff)
    time.advance(0.01)
    succeed(backoff)


def test_retry_after_is_what_is_left(time: Time, backoff: Backoff) -> None:
    """Whoever is refused is told the whole seconds that are left, and 1 at least."""
    fail(backoff, 10.0)
    left = []
    for _ in range(4):
        left.append(refusal(backoff).retry_after)
        time.advance(3.0)
    assert left == [10, 7, 4, 1]
    assert backoff.seconds_left() == 1


def test_one_probe(time: Time, backoff: Backoff) -> None:
    """When the wait is over, one call is let through, and the others are refused until it has an answer."""
    fail(backoff)
    time.advance(1.0)
    with backoff.attempt() as probe:
        assert probe.is_probe
        backoff.check(probe)
        assert refusal(backoff).retry_after == 1
        with pytest.raises(TemporarilyUnavailableError):
            backoff.check_open()
    assert not backoff.is_failing
    assert not succeed(backoff).is_probe


def test_failures_at_once_count_once(time: Time, backoff: Backoff) -> None:
    """One outage takes many calls with it, and the wait is that of one failure."""
    attempts = [backoff.attempt() for _ in range(5)]
    for attempt in attempts:
        attempt.__enter__()
    for attempt in attempts:
        error = outage()
        assert attempt.__exit__(type(error), error, None) is False
        assert error.retry_after == 1
    time.advance(1.0)
    assert fail(backoff).retry_after == 2


def test_a_failure_that_comes_after_the_wait_counts_no_more(time: Time, backoff: Backoff) -> None:
    """What was sent before the server was known to fail says nothing new, however late it fails."""
    late = backoff.attempt()
    late.__enter__()
    fail(backoff)
    time.advance(1.0)
    succeed(backoff)
    error = outage()
    late.__exit__(type(error), error, None)
    assert not backoff.is_failing


def test_a_call_that_queued_is_refused(time: Time, backoff: Backoff) -> None:
    """A call that waits to be sent while the server begins to fail is not sent, and counts as no failure."""
    queue = backoff.attempt()
    queued = queue.__enter__()
    time.advance(0.5)
    fail(backoff)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        backoff.check(queued)
    assert queue.__exit__(type(caught.value), caught.value, None) is False
    assert (caught.value.reason, caught.value.retry_after) == (Reason.BACKING_OFF, 1)
    time.advance(1.0)
    assert fail(backoff).retry_after == 2


def test_a_call_that_queued_is_sent_after_all(time: Time, backoff: Backoff) -> None:
    """A call that waits to be sent until the server is well again is sent."""
    with backoff.attempt() as queued:
        fail(backoff)
        time.advance(1.0)
        succeed(backoff)
        backoff.check(queued)


def test_any_success_ends_it(time: Time, backoff: Backoff) -> None:
    """That the server answered is what counts, whichever call it was: the next failure begins at one second."""
    with backoff.attempt():
        for wait in (1, 2, 4):
            assert fail(backoff).retry_after == wait
            time.advance(wait)
        fail(backoff)
        assert backoff.is_failing
    assert not backoff.is_failing
    assert not succeed(backoff).is_probe
    time.advance(1.0)
    assert fail(backoff).retry_after == 1


@pytest.mark.parametrize("reason", [Reason.BACKING_OFF, Reason.TOO_MANY_CALLS])
def test_what_was_not_sent_is_no_failure(reason: Reason, time: Time, backoff: Backoff) -> None:
    """A call that found no place, or was refused, says nothing of the server; as a probe it makes room for another."""
    with pytest.raises(TemporarilyUnavailableError), backoff.attempt():
        raise outage(reason)
    assert not backoff.is_failing
    fail(backoff)
    time.advance(1.0)
    with pytest.raises(TemporarilyUnavailableError), backoff.attempt() as probe:
        raise outage(reason)
    assert probe.is_probe
    assert fail(backoff).retry_after == 2


def test_odd_answer_is_no_failure(time: Time, backoff: Backoff) -> None:
    """An answer about one token, however odd, is no failure, and ends one: nobody can keep others out with a token."""
    odd = outage(Reason.TOKEN_ANSWER_UNUSABLE)
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailableError):
            leave(backoff, odd, 0.0)
        assert odd.retry_after == 1
        assert not backoff.is_failing
        fail(backoff)
        time.advance(1.0)


def test_a_probe_that_never_ends(time: Time, backoff: Backoff) -> None:
    """A probe whose end nobody hears of, as in a process that was forked meanwhile, is given up after a minute."""
    fail(backoff)
    time.advance(1.0)
    lost = backoff.attempt()
    lost.__enter__()
    time.advance(LONGEST_PROBE - 0.1)
    refusal(backoff)
    time.advance(0.1)
    assert succeed(backoff).is_probe
    lost.__exit__(None, None, None)


@pytest.mark.parametrize("error", [KeyError("a bug"), InvalidTokenError(), GeneratorExit()])
def test_a_probe_that_ends_otherwise(error: BaseException, time: Time, backoff: Backoff) -> None:
    """A bug of ours, or an end of the process, is no verdict on the server, and the next call may probe."""
    fail(backoff)
    time.advance(1.0)
    with pytest.raises(type(error)), backoff.attempt():
        raise error
    assert backoff.is_failing
    assert succeed(backoff).is_probe


def test_one_probe_while_an_older_one_is_out(time: Time, backoff: Backoff) -> None:
    """A probe that outlives its outage makes no room for two in the next one, and its failure is no second one."""
    with backoff.attempt():
        fail(backoff)
        time.advance(1.0)
        older = backoff.attempt()
        assert older.__enter__().is_probe
    assert not backoff.is_failing
    fail(backoff)
    time.advance(1.0)
    refusal(backoff)
    error = outage()
    older.__exit__(type(error), error, None)
    with backoff.attempt() as probe:
        assert probe.is_probe
        refusal(backoff)


WISHES: list[tuple[str | None, float]] = [
    (None, 0.0),
    ("", 0.0),
    ("soon", 0.0),
    ("-5", 0.0),
    ("1.5", 0.0),
    ("1e3", 0.0),
    ("٣", 0.0),
    ("²", 0.0),
    (" 7", 0.0),
    ("0", 1.0),
    ("00", 1.0),
    ("1", 1.0),
    ("7", 7.0),
    ("120", 120.0),
    ("121", 120.0),
    ("9" * 5000, 120.0),
    (formatdate(NOW + 30, usegmt=True), 30.0),
    (formatdate(NOW - 30, usegmt=True), 1.0),
    (formatdate(NOW + 9000, usegmt=True), 120.0),
    ("Fri, 15 Jan 2027 08:00:20 GMT", 20.0),
    ("Friday, 15-Jan-27 08:00:20 GMT", 20.0),
    ("Fri, 15 Jan 2027 25:00:20 GMT", 0.0),
    ("Fri, 15 Jan 99999 08:00:20 GMT", 0.0),
    ("Mon, 01 Jan 0001 00:00:00 +2359", 1.0),
]


@pytest.mark.parametrize(("value", "seconds"), WISHES, ids=lambda part: repr(part)[:30])
def test_retry_after(value: str | None, seconds: float) -> None:
    """Seconds or a date are read, between 1 and 120; what cannot be read is no wish."""
    assert read_retry_after(value, NOW) == seconds


@given(st.text(max_size=60) | st.text("0123456789 :,-+GMTFriJan", max_size=40))
@example("Fri, 15 Jan 2027")
def test_retry_after_of_any_kind(value: str) -> None:
    """Whatever a server sends is read or passed over, without an error, and nobody waits for longer than 120 s."""
    seconds = read_retry_after(value, NOW)
    assert seconds == 0.0 or 1.0 <= seconds <= 120.0


def test_no_wish(time: Time, backoff: Backoff) -> None:
    """A server that wishes for nothing is left alone for our own wait, which may be shorter than a second."""
    time.chance = 0.0
    with pytest.raises(TemporarilyUnavailableError), backoff.attempt():
        raise outage()
    time.advance(0.75)
    assert succeed(backoff).is_probe
