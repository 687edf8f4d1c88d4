"""When a server that failed may get requests again."""

from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_oauth_guard.authorization_server.backoff import (
    LONGEST_PROBE,
    LONGEST_RETRY_AFTER,
    LONGEST_WAIT,
    SHORTEST_WAIT,
    Attempt,
    Backoff,
    read_retry_after,
)
from async_oauth_guard.errors import InvalidTokenError, Reason, TemporarilyUnavailableError
from tests.unit.characters import ANY_CHARACTER
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


@pytest.fixture
def tolerant(time: Time) -> Backoff:
    """The back-off of an introspection endpoint."""
    return Backoff(time.clock, threshold=5)


def leave(backoff: Backoff, error: Exception, retry_after: float, *, is_connected: bool = False) -> None:
    with backoff.attempt() as attempt:
        attempt.retry_after, attempt.is_connected = retry_after, is_connected
        raise error


def fail(
    backoff: Backoff, retry_after: float = 0.0, reason: Reason = Reason.SERVER_UNREACHABLE
) -> TemporarilyUnavailableError:
    """Make one request that fails."""
    error = outage(reason)
    with pytest.raises(TemporarilyUnavailableError) as caught:
        leave(backoff, error, retry_after)
    assert caught.value is error
    return error


def refusal(backoff: Backoff) -> TemporarilyUnavailableError:
    """Why no request may be sent now."""
    with pytest.raises(TemporarilyUnavailableError) as caught, backoff.attempt():
        pytest.fail("the call was made")
    assert caught.value.reason == Reason.BACKING_OFF
    return caught.value


def succeed(backoff: Backoff) -> Attempt:
    with backoff.attempt() as attempt:
        pass
    return attempt


def test_numbers() -> None:
    """The first wait is 1 second, the longest 30, and the server's ``Retry-After`` counts up to 120."""
    assert (SHORTEST_WAIT, LONGEST_WAIT, LONGEST_RETRY_AFTER) == (1.0, 30.0, 120.0)
    assert LONGEST_PROBE == 60.0


def test_at_first(backoff: Backoff) -> None:
    """A server without failures may get any number of requests at once."""
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
    """Jitter changes a wait by up to a quarter, so that workers do not probe at the same time."""
    time.chance = chance
    fail(backoff)
    time.advance(wait - 0.0001)
    refusal(backoff)
    time.advance(0.0002)
    assert succeed(backoff).is_probe


@pytest.mark.parametrize(("retry_after", "wait"), [(0.0, 1), (0.5, 1), (1.5, 2), (60.0, 60), (120.0, 120)])
def test_wish_of_the_server(retry_after: float, wait: int, time: Time, backoff: Backoff) -> None:
    """The server's ``Retry-After`` counts if it is longer than our wait."""
    assert fail(backoff, retry_after).retry_after == wait
    time.advance(max(retry_after, 1.0) - 0.01)
    refusal(backoff)
    time.advance(0.01)
    succeed(backoff)


def test_retry_after_is_what_is_left(time: Time, backoff: Backoff) -> None:
    """A refused request gets the remaining whole seconds, at least 1."""
    fail(backoff, 10.0)
    left = []
    for _ in range(4):
        left.append(refusal(backoff).retry_after)
        time.advance(3.0)
    assert left == [10, 7, 4, 1]
    assert backoff.seconds_left() == 1


def test_one_probe(time: Time, backoff: Backoff) -> None:
    """When the wait is over, one request is sent, and the others are refused until it has a response."""
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
    """One outage fails many requests, but counts as one failure."""
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
    """A request that was sent before the last failure was known does not count, however late it fails."""
    late = backoff.attempt()
    late.__enter__()
    fail(backoff)
    time.advance(1.0)
    succeed(backoff)
    error = outage()
    late.__exit__(type(error), error, None)
    assert not backoff.is_failing


def test_a_call_that_queued_is_refused(time: Time, backoff: Backoff) -> None:
    """A queued request is not sent if the server begins to fail, and does not count as a failure."""
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
    """A queued request is sent if the server has recovered."""
    with backoff.attempt() as queued:
        fail(backoff)
        time.advance(1.0)
        succeed(backoff)
        backoff.check(queued)


def test_any_success_ends_it(time: Time, backoff: Backoff) -> None:
    """Any response resets the failures, so that the next wait is one second."""
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
    """A request that was not sent says nothing about the server. If it was the probe, another may be one."""
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
    """A bad response about one token counts as a success, so that nobody can cause a wait with a token."""
    odd = outage(Reason.TOKEN_ANSWER_UNUSABLE)
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailableError):
            leave(backoff, odd, 0.0)
        assert odd.retry_after == 1
        assert not backoff.is_failing
        fail(backoff)
        time.advance(1.0)


BAD_RESPONSES = [Reason.SERVER_ANSWER_UNUSABLE, Reason.SERVER_REFUSES_US, Reason.SERVER_TOO_SLOW]


@pytest.mark.parametrize("reason", BAD_RESPONSES)
def test_bad_responses_in_a_row(reason: Reason, time: Time, tolerant: Backoff) -> None:
    """The fifth bad response in a row starts a wait, and each failed probe doubles it."""
    for _ in range(4):
        assert fail(tolerant, reason=reason).retry_after == 1
        assert not tolerant.is_failing
        time.advance(1.0)
    fail(tolerant, reason=reason)
    assert refusal(tolerant).retry_after == 1
    time.advance(1.0)
    assert fail(tolerant, reason=reason).retry_after == 2
    time.advance(2.0)
    assert succeed(tolerant).is_probe
    assert not tolerant.is_failing


@pytest.mark.parametrize("reason", BAD_RESPONSES)
def test_success_between_bad_responses(reason: Reason, tolerant: Backoff) -> None:
    """After a successful request, five further bad responses are needed to start a wait."""
    for _ in range(3):
        for _ in range(4):
            fail(tolerant, reason=reason)
        succeed(tolerant)
    for _ in range(4):
        fail(tolerant, reason=reason)
    assert not tolerant.is_failing
    fail(tolerant, reason=reason)
    assert tolerant.is_failing


def test_no_connection_starts_a_wait_at_once(time: Time, tolerant: Backoff) -> None:
    """One request without a connection starts a wait, because others would get no connection either."""
    fail(tolerant)
    assert refusal(tolerant).retry_after == 1
    time.advance(1.0)
    succeed(tolerant)
    fail(tolerant, reason=Reason.SERVER_TOO_SLOW)
    assert not tolerant.is_failing


def test_lost_connection_is_a_bad_response(tolerant: Backoff) -> None:
    """A server that closes the connection without a response counts as one bad response."""
    for number in range(5):
        assert tolerant.is_failing is False, number
        with pytest.raises(TemporarilyUnavailableError):
            leave(tolerant, outage(), 0.0, is_connected=True)
    assert tolerant.is_failing


def test_bad_responses_at_once(time: Time, tolerant: Backoff) -> None:
    """If many concurrent requests fail, the fifth starts a wait, and the rest do not prolong it."""
    attempts = [tolerant.attempt() for _ in range(12)]
    for attempt in attempts:
        attempt.__enter__()
    for number, attempt in enumerate(attempts):
        assert tolerant.is_failing is (number >= 5)
        error = outage(Reason.SERVER_TOO_SLOW)
        attempt.__exit__(type(error), error, None)
        assert error.retry_after == 1
    time.advance(1.0)
    assert fail(tolerant, reason=Reason.SERVER_TOO_SLOW).retry_after == 2


def test_bad_response_to_a_call_older_than_a_success(tolerant: Backoff) -> None:
    """Requests that time out while the server responds to others do not count, however many there are."""
    hung = [tolerant.attempt() for _ in range(10)]
    for attempt in hung:
        attempt.__enter__()
    succeed(tolerant)
    for attempt in hung:
        error = outage(Reason.SERVER_TOO_SLOW)
        attempt.__exit__(type(error), error, None)
    assert not tolerant.is_failing


def test_wish_before_the_wait(time: Time, tolerant: Backoff) -> None:
    """The client gets the server's ``Retry-After`` at once. It is honoured when bad responses start a wait."""
    for _ in range(4):
        assert fail(tolerant, 60.0, Reason.SERVER_ANSWER_UNUSABLE).retry_after == 60
        assert not tolerant.is_failing
    assert fail(tolerant, 60.0, Reason.SERVER_ANSWER_UNUSABLE).retry_after == 60
    time.advance(59.0)
    assert refusal(tolerant).retry_after == 1


def test_poisoned_tokens_beside_good_ones(time: Time, tolerant: Backoff) -> None:
    """Three bad responses per second, some of them slow, do not stop good tokens from being introspected."""
    hung: list[tuple[float, Any]] = []
    for step in range(600):
        time.advance(1 / 6)
        while hung and hung[0][0] <= time.steady:
            error = outage(Reason.SERVER_TOO_SLOW)
            hung.pop(0)[1].__exit__(type(error), error, None)
        match step % 6:
            case 0:
                fail(tolerant, reason=Reason.SERVER_ANSWER_UNUSABLE)
            case 2:
                fail(tolerant, reason=Reason.SERVER_REFUSES_US)
            case 4:
                attempt = tolerant.attempt()
                attempt.__enter__()
                hung.append((time.steady + 5.0, attempt))
            case _:
                assert not succeed(tolerant).is_probe
        assert not tolerant.is_failing


def test_a_probe_that_never_ends(time: Time, backoff: Backoff) -> None:
    """A probe whose end is lost, as in a forked process, is given up after a minute."""
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
    """A bug or the end of the process does not count as a failure, and the next request may be a probe."""
    fail(backoff)
    time.advance(1.0)
    with pytest.raises(type(error)), backoff.attempt():
        raise error
    assert backoff.is_failing
    assert succeed(backoff).is_probe


def test_one_probe_while_an_older_one_is_out(time: Time, backoff: Backoff) -> None:
    """A probe that outlasts its outage does not allow two probes in the next one, nor count as its failure."""
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
    """Seconds or a date are read as 1 to 120 seconds. A value that cannot be read counts as 0."""
    assert read_retry_after(value, NOW) == seconds


@given(st.text(ANY_CHARACTER, max_size=60) | st.text("0123456789 :,-+GMTFriJan", max_size=40))
@example("Fri, 15 Jan 2027")
def test_retry_after_of_any_kind(value: str) -> None:
    """Any value is read or ignored without an error, and never causes a wait of more than 120 seconds."""
    seconds = read_retry_after(value, NOW)
    assert seconds == 0.0 or 1.0 <= seconds <= 120.0


def test_no_wish(time: Time, backoff: Backoff) -> None:
    """Without ``Retry-After`` only our own wait counts, which may be shorter than a second."""
    time.chance = 0.0
    with pytest.raises(TemporarilyUnavailableError), backoff.attempt():
        raise outage()
    time.advance(0.75)
    assert succeed(backoff).is_probe
