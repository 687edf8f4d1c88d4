"""The observer sees what happens, and cannot change a result."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from async_oauth_guard import InvalidTokenError, Reason, ResourceProtector, TemporarilyUnavailableError
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import (
    ClientOptions,
    ConcurrencyLimit,
    Flow,
    OutboundRequest,
    OutboundResponse,
    RequestFailedError,
)
from async_oauth_guard.runtime.observer import (
    End,
    enter_shared_run,
    place_here,
    set_observer,
    watch_call,
    watch_validation,
)
from tests.answers import bearer
from tests.conftest import Send
from tests.made_up import Fixed, GoodToken
from tests.sites import MODES, Witness, serving

CALL = OutboundRequest("GET", "https://as.example.com/", ClientOptions(), ConcurrencyLimit(1))
ANSWER = OutboundResponse(200, "application/json", Secret(b"{}"))
FAILURE = RequestFailedError(Reason.SERVER_UNREACHABLE, "ConnectError")
TOKEN = "the-token-that-nobody-may-see"
sync_and_async = pytest.mark.parametrize("mode", MODES)


class Witnessing:
    """An observer that remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.places = 0

    def place(self) -> Any:
        self.places += 1
        return f"place {self.places}"

    def begin_validation(self, scheme: str | None) -> End:
        self.seen.append(scheme)
        return self.seen.append

    def begin_call(self, call: OutboundRequest, place: Any) -> End:
        self.seen.append((call, place))
        return self.seen.append


class ObserverError(Exception):
    pass


class Failing:
    """An observer that fails at everything, or at the ends alone."""

    def __init__(self, *, at_end: bool = False) -> None:
        self.at_end = at_end

    def place(self) -> Any:
        raise ObserverError(TOKEN)

    def begin_validation(self, scheme: str | None) -> End:
        return self.begin()

    def begin_call(self, call: OutboundRequest, place: Any) -> End:
        return self.begin()

    def begin(self) -> End:
        if not self.at_end:
            raise ObserverError(TOKEN)
        return self.end

    def end(self, outcome: Any) -> None:
        raise ObserverError(TOKEN)


@pytest.fixture(autouse=True)
def _nobody_watches() -> Iterator[None]:
    yield
    set_observer(None)


@pytest.fixture
def observer() -> Witnessing:
    observer = Witnessing()
    set_observer(observer)
    return observer


@pytest.fixture(params=[False, True], ids=["begin", "end"])
def failing(request: pytest.FixtureRequest) -> None:
    set_observer(Failing(at_end=request.param))


def flow_of(outcome: Any) -> Flow[Any]:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
    yield


def run(flow: Flow[Any]) -> Any:
    with pytest.raises(StopIteration) as stopped:
        next(flow)
    return stopped.value.value


async def exchange(outcome: Any) -> Any:
    if isinstance(outcome, BaseException) and outcome is not FAILURE:
        raise outcome
    return outcome


def watched(outcome: Any) -> Coroutine[Any, Any, Any]:
    async def wait() -> Any:
        return await watch_call(CALL, exchange(outcome))

    return wait()


# Nobody watches


def test_nobody_watches() -> None:
    """Without an observer the flow and the exchange are left as they are, and no place is remembered."""
    flow, coroutine = flow_of("verdict"), exchange(ANSWER)
    assert watch_validation(flow, "bearer") is flow
    assert watch_call(CALL, coroutine) is coroutine
    coroutine.close()
    assert place_here() is None


# Validations


def test_validation(observer: Witnessing) -> None:
    """The observer gets the scheme, and no more if the token is active: the token stays with the caller."""
    assert run(watch_validation(flow_of("verdict"), "bearer")) == "verdict"
    assert observer.seen == ["bearer", None]


def test_refused_validation(observer: Witnessing) -> None:
    """The observer gets the error, which is raised unchanged."""
    error = InvalidTokenError()
    with pytest.raises(InvalidTokenError) as caught:
        next(watch_validation(flow_of(error), None))
    assert caught.value is error
    assert observer.seen == [None, error]


def test_abandoned_validation(observer: Witnessing) -> None:
    """The observer learns that nobody waits any more."""

    def waiting() -> Flow[Any]:
        yield CALL

    flow = watch_validation(waiting(), None)
    next(flow)
    flow.close()
    assert [type(outcome) for outcome in observer.seen] == [type(None), GeneratorExit]


def test_effects_go_through(observer: Witnessing) -> None:
    """A watched flow's effects are passed on, and the flow gets the answers and the errors."""

    def asking() -> Flow[Any]:
        answer = yield CALL
        try:
            yield CALL
        except RequestFailedError as error:
            return answer, error

    flow = watch_validation(asking(), None)
    assert next(flow) is CALL
    assert flow.send("answer") is CALL
    with pytest.raises(StopIteration) as stopped:
        flow.throw(FAILURE)
    assert stopped.value.value == ("answer", FAILURE)


# Calls


@pytest.mark.parametrize("outcome", [ANSWER, FAILURE])
def test_call(outcome: Any, observer: Witnessing) -> None:
    """The observer gets the call, and the answer or the error."""
    assert asyncio.run(watched(outcome)) is outcome
    assert observer.seen == [(CALL, None), outcome]


def test_call_that_raises(observer: Witnessing) -> None:
    """The observer gets bugs and cancellations too, and they are raised unchanged."""
    for error in (KeyError(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            asyncio.run(watched(error))
        assert type(observer.seen.pop()) is type(error)


def test_places(observer: Witnessing) -> None:
    """A flight that begins in another one has the other's place."""

    async def shared_run(place: Any) -> Any:
        enter_shared_run(place)
        return place_here()

    assert asyncio.run(shared_run(place_here())) == "place 1"
    # One that began before anybody watched.
    assert asyncio.run(shared_run(None)) == "place 2"


def test_call_of_a_flight(observer: Witnessing) -> None:
    """The observer gets the place where the call's flight began."""

    async def shared_run() -> Any:
        enter_shared_run("place")
        return await watched(ANSWER)

    assert asyncio.run(shared_run()) is ANSWER
    assert observer.seen[0] == (CALL, "place")


# An observer that fails


@sync_and_async
@pytest.mark.parametrize(
    ("found", "status"),
    [(GoodToken(), 200), (None, 401), (TemporarilyUnavailableError(), 503)],
    ids=["yes", "no", "outage"],
)
@pytest.mark.usefixtures("failing")
def test_failing_observer_changes_no_verdict(found: Any, status: int, mode: str, send: Send) -> None:
    """A failing observer does not change whether a request is let in, and the view is entered only then."""
    witness = Witness()
    with serving(ResourceProtector(Fixed(found))(witness.view(mode))):
        assert send("/", bearer(TOKEN)).status == status
    assert witness.entered == (status == 200)


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("outcome", [ANSWER, FAILURE])
def test_failing_observer_changes_no_answer(outcome: Any) -> None:
    """A call keeps its answer, and a flight still begins."""
    assert asyncio.run(watched(outcome)) is outcome
    assert place_here() is None


def test_failing_observer_hides_no_error() -> None:
    """The flow's error is raised even if the observer raises at the end."""
    set_observer(Failing(at_end=True))
    error = KeyError("of the flow")
    with pytest.raises(KeyError) as caught:
        next(watch_validation(flow_of(error), None))
    assert caught.value is error


def test_failures_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The log has one error for each observer that fails, by class and place, and without its message."""
    for _ in range(2):
        set_observer(Failing())
        for _ in range(3):
            run(watch_validation(flow_of(None), None))
            place_here()
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("async_oauth_guard.observation", logging.ERROR)
    ] * 2
    assert "ObserverError" in caplog.text
    assert "in begin_validation" in caplog.text
    assert TOKEN not in caplog.text


def test_process_that_ends() -> None:
    """What ends the process is not the observer's failure."""

    class Ending(Witnessing):
        def begin_validation(self, scheme: str | None) -> End:
            raise SystemExit

    set_observer(Ending())
    with pytest.raises(SystemExit):
        next(watch_validation(flow_of(None), None))


def test_observers_that_change_meanwhile(observer: Witnessing) -> None:
    """What one has begun to watch it sees to the end."""

    def waiting() -> Flow[Any]:
        yield CALL

    flow = watch_validation(waiting(), "bearer")
    next(flow)
    later = Witnessing()
    set_observer(later)
    with pytest.raises(StopIteration):
        flow.send(None)
    assert (observer.seen, later.seen) == (["bearer", None], [])
