"""Connections that end with their token."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from async_oauth_guard.errors import TemporarilyUnavailableError
from async_oauth_guard.guard.asgi.lifetime import GRACE, Lifetime, run_until_expiry
from async_oauth_guard.runtime.stream_expiry import LONGEST_SLEEP
from tests.virtual_time import EPOCH, run_virtually, virtual_loop

Message = dict[str, Any]
WEBSOCKET: Message = {"type": "websocket", "path": "/"}
HTTP: Message = {"type": "http", "path": "/"}
CLOSE = {"type": "websocket.close", "code": 3000}
GONE = {"type": "websocket.disconnect", "code": 3000}


@dataclass
class Connection:
    """The server's side: what the client sends, and each message to the client with the time when it was sent."""

    incoming: list[Message] = field(default_factory=list)
    sent: list[tuple[float, Message]] = field(default_factory=list)
    refuses: Callable[[Message], bool] = lambda message: False
    # What sending takes: seconds.
    takes: float = 0.0

    async def receive(self) -> Message:
        if not self.incoming:
            await asyncio.get_running_loop().create_future()
        return self.incoming.pop(0)

    async def send(self, message: Message) -> None:
        if self.refuses(message):
            raise RuntimeError("Unexpected ASGI message after the end")
        await asyncio.sleep(self.takes)
        self.sent.append((virtual_loop().now, message))

    @property
    def types(self) -> list[tuple[float, str]]:
        return [(time, message["type"]) for time, message in self.sent]


@pytest.fixture(autouse=True)
def _no_late_errors(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """An assertion that fails in an application after the end is only logged. Tests with errors look at the log."""
    yield
    if "caplog" not in inspect.signature(request.function).parameters:
        assert [record.exc_info for record in caplog.get_records("call")] == []


def lasting(seconds: float | None, **options: Any) -> Lifetime:
    expires_at = None if seconds is None else EPOCH + seconds
    usual = {"recheck": None, "still_valid": Rechecks(True), "close_code": 3000, "chance": lambda: 0.5}
    return Lifetime(expires_at, virtual_loop().wall, **{**usual, **options})


def run(
    app: Callable[[Any, Any, Any], Awaitable[None]],
    scope: Message,
    connection: Connection,
    seconds: float | None,
    **options: Any,
) -> float:
    """Run ``app`` until its connection is over, and return how long that took."""

    async def scenario() -> float:
        await run_until_expiry(app, scope, connection.receive, connection.send, lasting(seconds, **options))
        return virtual_loop().now

    return run_virtually(scenario())


async def accept_and_listen(scope: Any, receive: Any, send: Any) -> list[Message]:
    """A WebSocket application that stops when the client has gone."""
    seen = []
    while not seen or seen[-1]["type"] != "websocket.disconnect":
        seen.append(await receive())
        if seen[-1]["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
    return seen


def connecting(*more: Message, **options: Any) -> Connection:
    return Connection([{"type": "websocket.connect"}, *more], **options)


# --- WebSockets ---


def test_websocket_is_closed() -> None:
    """At the expiry, the client gets the close, and the application the disconnect."""
    connection, seen = connecting(), list[Message]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(await accept_and_listen(scope, receive, send))

    assert run(app, WEBSOCKET, connection, 30, close_code=3999) == 30.0
    assert connection.sent == [(0.0, {"type": "websocket.accept"}), (30.0, {**CLOSE, "code": 3999})]
    assert seen == [{"type": "websocket.connect"}, {**GONE, "code": 3999}]


def test_websocket_that_is_not_accepted() -> None:
    """A WebSocket that was not accepted when the token expires is refused."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()

    connection = connecting()
    assert run(app, WEBSOCKET, connection, 5) == 5.0
    assert connection.sent == [(5.0, CLOSE)]


def test_messages_pass() -> None:
    """Until the expiry, all messages pass unchanged, and the application's own end stays."""
    message = {"type": "websocket.receive", "text": "hello"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope is WEBSOCKET
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept", "subprotocol": "bearer"})
        assert await receive() == message
        await send({"type": "websocket.send", "text": "bye"})
        await send({"type": "websocket.close", "code": 1000})

    connection = connecting(message)
    assert run(app, WEBSOCKET, connection, 30) == 0.0
    assert [kind for _, kind in connection.types] == ["websocket.accept", "websocket.send", "websocket.close"]


@pytest.mark.parametrize("last", ["websocket.close", "websocket.http.response.start"])
def test_websocket_that_the_application_ended(last: str) -> None:
    """After the application's own close or denial, nothing is sent, and the application may take its time."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": last})
        await asyncio.sleep(100)

    connection = connecting()
    assert run(app, WEBSOCKET, connection, 30) == 100.0
    assert connection.types == [(0.0, last)]


@pytest.mark.parametrize("last", ["websocket.close", "websocket.http.response.start"])
def test_websocket_that_the_application_failed_to_end(last: str) -> None:
    """If the server refuses the message that would end the WebSocket, it is still open, and ends with its token."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with pytest.raises(RuntimeError):
            await send({"type": last})
        assert await asyncio.wait_for(receive(), 100) == GONE

    connection = connecting(refuses=lambda message: message == {"type": last})
    assert run(app, WEBSOCKET, connection, 30) == 30.0
    assert connection.types == [(0.0, "websocket.accept"), (30.0, "websocket.close")]


def test_sends_after_the_end_are_dropped() -> None:
    """What the application sends after the close is dropped, and it gets the disconnect as often as it asks."""
    connection = connecting()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept_and_listen(scope, receive, send)
        await send({"type": "websocket.send", "text": "late"})
        await send({"type": "websocket.close"})
        first, second = await receive(), await receive()
        assert first == second == GONE
        assert first is not second

    run(app, WEBSOCKET, connection, 30)
    assert connection.types == [(0.0, "websocket.accept"), (30.0, "websocket.close")]


def test_send_that_the_end_overtakes() -> None:
    """A message that waits in the server when the close is sent may be refused there. The application sees no error."""
    connection = connecting(takes=0.0)

    async def slow_send(message: Message) -> None:
        if message["type"] == "websocket.send":
            await asyncio.sleep(10)
            raise RuntimeError("Unexpected ASGI message 'websocket.send', after sending 'websocket.close'")
        await connection.send(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.send", "text": "slow"})

    async def scenario() -> None:
        await run_until_expiry(app, WEBSOCKET, connection.receive, slow_send, lasting(5))
        assert virtual_loop().now == 10.0

    run_virtually(scenario())
    assert connection.sent == [(5.0, CLOSE)]


def test_errors_of_the_server_before_the_end() -> None:
    """If the server refuses a message while the token is valid, the application gets the error."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.send"})

    with pytest.raises(RuntimeError):
        run(app, WEBSOCKET, connecting(refuses=lambda message: True), 30)


def test_client_that_does_not_take_the_close() -> None:
    """If the close cannot be sent, the application gets the disconnect all the same, after a second."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        assert await receive() == GONE

    assert run(app, WEBSOCKET, connecting(takes=1e6), 5) == 6.0
    assert run(app, WEBSOCKET, connecting(refuses=lambda message: True), 5) == 5.0


def test_messages_while_the_close_is_sent() -> None:
    """While the close is being sent, the application still gets what the client sent before."""
    connection, seen = connecting(takes=0.5), list[Message]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(5.2)
        seen.extend(await accept_and_listen(scope, receive, send))

    run(app, WEBSOCKET, connection, 5)
    assert seen == [{"type": "websocket.connect"}, GONE]


# --- Responses ---


def start(content_type: str = "text/plain", **headers: str) -> Message:
    fields = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
    return {"type": "http.response.start", "status": 200, "headers": pairs}


def part(more_body: bool = True) -> Message:
    return {"type": "http.response.body", "body": b"x", "more_body": more_body}


def streaming(content_type: str, seen: list[Message]) -> Any:
    """An application that sends a part each second, and stops when the client has gone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def stream() -> None:
            await send(start(content_type))
            while True:
                await asyncio.sleep(1)
                await send(part())

        sending = asyncio.create_task(stream())
        seen.append(await receive())
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    return app


FINAL = {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize(
    ("content_type", "end"), [("text/event-stream", [(2.5, FINAL)]), ("application/octet-stream", [])]
)
def test_stream_ends(content_type: str, end: list[Any]) -> None:
    """At the expiry, an event stream is completed. Nothing completes any other response."""
    connection, seen = Connection(), list[Message]()
    assert run(streaming(content_type, seen), HTTP, connection, 2.5) == 2.5
    assert connection.sent == [(0.0, start(content_type)), (1.0, part()), (2.0, part()), *end]
    assert seen == [{"type": "http.disconnect"}]


def test_event_stream_is_completed_once() -> None:
    """An application that goes on sending parts after the expiry does not complete the response again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start("text/event-stream"))
        for _ in range(5):
            await asyncio.sleep(1)
            await send(part())

    connection = Connection()
    run(app, HTTP, connection, 2.5)
    assert [message for _, message in connection.sent] == [start("text/event-stream"), part(), part(), FINAL]


@pytest.mark.parametrize("content_type", ["text/event-stream", "text/plain"])
def test_response_that_is_complete(content_type: str) -> None:
    """What an application does after a complete response is left alone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(content_type))
        await send(part(more_body=False))
        await asyncio.sleep(100)

    connection = Connection()
    assert run(app, HTTP, connection, 30) == 100.0
    assert len(connection.sent) == 2


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        # It has a length, so it ends soon.
        ([start(Content_Length="2"), part(), part(False)], 3),
        ([start(), part(False)], 2),
        ([start(), part(), part()], 1),
        ([start("text/event-stream"), part(), part()], 2),
        ([start("text/event-stream", Content_Length="2"), part(), part(False)], 3),
    ],
)
def test_response_that_starts_late(messages: list[Message], expected: int) -> None:
    """A response that starts after the expiry is sent if it has a length or one part. Streams are ended."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(10)
        for message in messages:
            await send(message)
        if expected < len(messages):
            assert await receive() == {"type": "http.disconnect"}

    connection = Connection()
    run(app, HTTP, connection, 5)
    sent = [message for _, message in connection.sent]
    assert (
        sent == [*messages, FINAL][:expected] if expected != 2 or messages[1] == part(False) else [messages[0], FINAL]
    )


def test_files_that_the_server_sends() -> None:
    """A server that sends files by itself could not be stopped, so the application does not see that it can."""
    scope = {**HTTP, "extensions": {"http.response.pathsend": {}, "tls": {"version": 1}}}
    seen = list[Any]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    run(app, scope, Connection(), 5)
    run(app, {**HTTP, "extensions": None}, Connection(), 5)
    run(app, scope, Connection(), None)
    assert seen == [{**HTTP, "extensions": {"tls": {"version": 1}}}, {**HTTP, "extensions": None}, scope]


# --- Applications that misbehave ---


@pytest.mark.parametrize("scope", [WEBSOCKET, HTTP])
def test_application_that_never_returns(scope: Message) -> None:
    """An application that ignores the disconnect is cancelled after a while. That is no error."""
    ended = list[float]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope is HTTP:
            await send(start())
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append(virtual_loop().now)

    run(app, scope, Connection(), 30)
    assert ended == [30 + GRACE]


def test_application_that_only_sends() -> None:
    """An application that sends without end does not block the event loop after the expiry."""
    sends = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sends
        await send(start())
        while True:
            await send(part())
            sends += 1

    connection = Connection(takes=1.0)
    assert run(app, HTTP, connection, 5) == 5 + GRACE
    assert connection.sent[-1][0] <= 6.0
    assert sends < 500


def raising(error: type[Exception], *, listens: bool, pause: float) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if listens:
            await receive()
        try:
            await asyncio.sleep(pause)
        finally:
            raise error

    return app


def late_errors(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The classes of the errors that were logged."""
    records = [record for record in caplog.records if record.name == "async_oauth_guard.expiry"]
    assert {record.levelno for record in records} <= {logging.ERROR}
    return [record.exc_info and record.exc_info[0] for record in records]


@pytest.mark.parametrize("error", [ValueError, TimeoutError])
def test_application_that_raises(error: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    """An error of the application reaches the server."""
    with pytest.raises(error):
        run(raising(error, listens=False, pause=1.0), WEBSOCKET, Connection(), 30)
    assert late_errors(caplog) == []


@pytest.mark.parametrize("scope", [WEBSOCKET, HTTP])
@pytest.mark.parametrize("error", [ValueError, TimeoutError])
@pytest.mark.parametrize("pause", [0.0, 2.0])
def test_application_that_raises_late(
    pause: float, error: type[Exception], scope: Message, caplog: pytest.LogCaptureFixture
) -> None:
    """An error after the disconnect is logged. Some servers would not expect it, because the client has not left."""
    app = raising(error, listens=True, pause=pause)

    async def started(scope: Any, receive: Any, send: Any) -> None:
        if scope is HTTP:
            await send(start())
        await app(scope, receive, send)

    assert run(started, scope, Connection(), 30) == 30.0 + pause
    assert late_errors(caplog) == [error]


def test_application_that_raises_when_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """So is an error of an application that is cancelled."""
    assert run(raising(ValueError, listens=True, pause=1e6), WEBSOCKET, Connection(), 30) == 30.0 + GRACE
    assert late_errors(caplog) == [ValueError]


def test_cancelled_by_the_server() -> None:
    """If the server cancels the request, the application is cancelled, and nothing is left."""

    async def scenario() -> None:
        ended = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await receive()
            finally:
                ended.set()

        connection = Connection()
        task = asyncio.create_task(
            run_until_expiry(app, WEBSOCKET, connection.receive, connection.send, lasting(30, recheck=7.0))
        )
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    run_virtually(scenario())


def test_errors_while_receiving() -> None:
    """A timeout that the server raises is not taken for the end."""

    async def receive() -> Message:
        raise TimeoutError

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(TimeoutError):
            await receive()

    async def scenario() -> None:
        await run_until_expiry(app, WEBSOCKET, receive, Connection().send, lasting(30))

    run_virtually(scenario())


# --- When ---


def test_no_known_expiry() -> None:
    """Without a known expiry, the application gets the server's own functions, and there is no timer or task."""
    connection = Connection()

    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert (receive, send) == (connection.receive, connection.send)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await asyncio.sleep(1e6)

        await run_until_expiry(app, WEBSOCKET, connection.receive, connection.send, lasting(None))

    run_virtually(scenario())


@pytest.mark.parametrize(("jump", "end"), [(900.0, 160.0), (-500.0, 1_500.0)])
def test_clock_that_is_set(jump: float, end: float) -> None:
    """If the wall clock is set, the connection ends by the new time, at most a minute late."""
    connection = connecting()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(100)
        virtual_loop().wall_offset += jump
        await accept_and_listen(scope, receive, send)

    assert end - LONGEST_SLEEP <= run(app, WEBSOCKET, connection, 1_000) <= end


# --- Rechecks ---


class Rechecks:
    """What rechecks find, and when they run. The last result repeats."""

    def __init__(self, *results: bool | BaseException, takes: float = 0.0) -> None:
        self.results, self.takes, self.times = list(results), takes, list[float]()

    async def __call__(self) -> bool:
        self.times.append(virtual_loop().now)
        await asyncio.sleep(self.takes)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, BaseException):
            raise result
        return result


def test_rechecks_are_spread() -> None:
    """The first recheck comes at a random part of the interval, and the others one interval after another."""
    rechecks = Rechecks(True)
    assert run(accept_and_listen, WEBSOCKET, connecting(), 50, recheck=20.0, still_valid=rechecks) == 50.0
    assert rechecks.times == [10.0, 30.0]
    rechecks = Rechecks(True)
    run(accept_and_listen, WEBSOCKET, connecting(), 50, recheck=20.0, still_valid=rechecks, chance=lambda: 0.0)
    assert rechecks.times == [0.0, 20.0, 40.0]


@pytest.mark.parametrize("seconds", [None, 1e6])
def test_recheck_that_rejects(seconds: float | None) -> None:
    """A definite rejection ends the connection like the expiry."""
    connection, rechecks = connecting(), Rechecks(True, False)
    assert run(accept_and_listen, WEBSOCKET, connection, seconds, recheck=20.0, still_valid=rechecks) == 30.0
    assert connection.sent[-1] == (30.0, CLOSE)


@pytest.mark.parametrize("outage", [TemporarilyUnavailableError(), TimeoutError()])
def test_outages(outage: BaseException) -> None:
    """An outage does not end the connection. The next recheck decides."""
    rechecks = Rechecks(outage, outage, False)
    assert run(accept_and_listen, WEBSOCKET, connecting(), None, recheck=20.0, still_valid=rechecks) == 50.0


def test_recheck_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a recheck ends the connection, and is logged."""
    rechecks = Rechecks(ZeroDivisionError("a bug"))
    assert run(accept_and_listen, WEBSOCKET, connecting(), None, recheck=20.0, still_valid=rechecks) == 10.0
    assert late_errors(caplog) == [ZeroDivisionError]


def test_recheck_that_cancels_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Code that awaits a cancelled task gets its `CancelledError`. This must not end the timer instead."""

    async def app(*connection: Any) -> None:
        await asyncio.wait_for(accept_and_listen(*connection), 100)

    rechecks = Rechecks(asyncio.CancelledError())
    assert run(app, WEBSOCKET, connecting(), 50, recheck=20.0, still_valid=rechecks) == 10.0
    assert late_errors(caplog) == [asyncio.CancelledError]


def test_application_that_ends_between_rechecks() -> None:
    """The timer of the next recheck ends with the application, and nothing is logged."""

    async def app(*connection: Any) -> None:
        await asyncio.sleep(15)

    assert run(app, WEBSOCKET, connecting(), 50, recheck=20.0, still_valid=Rechecks(True)) == 15.0


def test_slow_rechecks() -> None:
    """A slow recheck delays the next one, which keeps to the chosen times. They never overlap."""
    rechecks = Rechecks(True, takes=25.0)
    run(accept_and_listen, WEBSOCKET, connecting(), 100, recheck=20.0, still_valid=rechecks)
    assert rechecks.times == [10.0, 50.0, 90.0]


def test_expiry_during_a_recheck() -> None:
    """A recheck that is still running does not delay the expiry."""
    rechecks = Rechecks(True, takes=1e6)
    assert run(accept_and_listen, WEBSOCKET, connecting(), 15, recheck=20.0, still_valid=rechecks) == 15.0


def test_recheck_that_never_ends() -> None:
    """A recheck that takes longer than a minute counts as an outage."""
    rechecks = Rechecks(True, takes=1e6)
    assert run(accept_and_listen, WEBSOCKET, connecting(), 500, recheck=100.0, still_valid=rechecks) == 500.0
    assert rechecks.times == [50.0, 150.0, 250.0, 350.0, 450.0]


def test_interval_without_a_check() -> None:
    """An interval without anything to check changes nothing."""
    assert run(accept_and_listen, WEBSOCKET, connecting(), 50, recheck=20.0) == 50.0


def test_recheck_of_a_stream() -> None:
    """A rejected token ends an event stream cleanly."""
    connection, seen = Connection(), list[Message]()
    run(streaming("text/event-stream", seen), HTTP, connection, None, recheck=5.0, still_valid=Rechecks(False))
    assert connection.sent[-1] == (2.5, FINAL)


def test_many_idle_sockets() -> None:
    """Many idle sockets end when their tokens expire, and are rechecked one after the other."""
    number, closed, times = 600, list[float](), list[float]()

    async def still_valid() -> bool:
        times.append(virtual_loop().now)
        return True

    async def hold(place: int) -> None:
        connection = connecting()
        lifetime = lasting(20 + place % 10, recheck=10.0, still_valid=still_valid, chance=lambda: place / number)
        await run_until_expiry(accept_and_listen, WEBSOCKET, connection.receive, connection.send, lifetime)
        closed.append(round(connection.sent[-1][0], 3))

    async def scenario() -> None:
        await asyncio.gather(*(hold(place) for place in range(number)))

    run_virtually(scenario())
    assert sorted(closed) == sorted(20.0 + place % 10 for place in range(number))
    assert max(sum(1 for time in times if second <= time < second + 1) for second in range(30)) <= number / 10 + 1
