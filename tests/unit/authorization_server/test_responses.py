"""Checks of responses before their contents are read."""

import logging
import traceback
from typing import Any

import pytest

from async_oauth_guard.authorization_server.backoff import Attempt
from async_oauth_guard.authorization_server.responses import call_flow, check_response, read_json_object, unusable
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import (
    ClientOptions,
    ConcurrencyLimit,
    OutboundRequest,
    OutboundResponse,
    RequestFailedError,
)
from tests.unit.driving import drive, ok, status

URL = "https://as.example.com/introspect"
CALL = OutboundRequest("POST", URL, ClientOptions(), ConcurrencyLimit(1), {"Authorization": Secret("Basic se-cret")})
NOW = 1_800_000_000.0


def attempt() -> Attempt:
    return Attempt(0.0, is_probe=False)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {(record.name, record.levelno) for record in caplog.records} <= {
        ("async_oauth_guard.outgoing", logging.WARNING)
    }
    return [record.getMessage() for record in caplog.records]


def test_unusable(caplog: pytest.LogCaptureFixture) -> None:
    """E15: an unusable response is logged as a warning, and the token is not refused."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        unusable("the answer is 100 %s nonsense")
    assert caught.value.reason == Reason.SERVER_ANSWER_UNUSABLE
    assert warnings(caplog) == ["the answer is 100 %s nonsense"]
    assert vars(caplog.records[0])["reason"] is Reason.SERVER_ANSWER_UNUSABLE


@pytest.mark.parametrize(
    ("answer", "retry_after"),
    [
        (status(429, "7"), 7.0),
        (status(503, "7"), 7.0),
        (status(503, None), 0.0),
        (status(503, "soon"), 0.0),
        (status(500, "7"), 0.0),
        (status(301, "7"), 0.0),
        (OutboundResponse(200, "application/json", Secret(b"{}"), "7"), 0.0),
    ],
    ids=repr,
)
def test_wish(answer: OutboundResponse, retry_after: float) -> None:
    """``Retry-After`` is noted for the status of an overloaded server, and ignored for others."""
    noted = attempt()
    assert drive(call_flow(CALL, noted, NOW), answer) == (answer, [CALL])
    assert noted.retry_after == retry_after


@pytest.mark.parametrize("reason", [Reason.SERVER_UNREACHABLE, Reason.SERVER_TOO_SLOW, Reason.TOO_MANY_CALLS])
def test_no_answer(reason: Reason, caplog: pytest.LogCaptureFixture) -> None:
    """E15: a failed request is an outage. The log names the URL, and neither log nor error has the content."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        drive(call_flow(CALL, attempt(), NOW), RequestFailedError(reason, "ConnectError"))
    assert caught.value.reason == reason
    # Refusals because of too many requests are not logged.
    told = [] if reason is Reason.TOO_MANY_CALLS else [f"Request to {URL} failed: ConnectError"]
    assert warnings(caplog) == told
    assert caught.value.__context__ is None
    assert "se-cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("error", [TemporarilyUnavailableError(reason=Reason.BACKING_OFF), KeyError("a bug")])
def test_other_errors_go_through(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Errors of requests that were not sent, and bugs, are raised unchanged."""
    with pytest.raises(type(error)) as caught:
        drive(call_flow(CALL, attempt(), NOW), error)
    assert caught.value is error
    assert not caplog.records


def fault(check: Any) -> Reason | None:
    try:
        check()
    except TemporarilyUnavailableError as error:
        return error.reason
    return None


@pytest.mark.parametrize("code", [201, 204, 206, 301, 302, 307, 400, 404, 429, 500, 503])
def test_status(code: int, caplog: pytest.LogCaptureFixture) -> None:
    """R65, E15: only status 200 is accepted. A redirect is not."""
    assert fault(lambda: check_response(status(code), URL)) == Reason.SERVER_ANSWER_UNUSABLE
    assert warnings(caplog) == [f"{URL} responded with status {code}"]


@pytest.mark.parametrize(
    ("media_type", "accepted", "is_good"),
    [
        ("application/json", ["application/json"], True),
        ("application/jwk-set+json", ["application/json", "application/jwk-set+json"], True),
        ("application/jwk-set+json", ["application/json"], False),
        ("text/json", ["application/json"], False),
        ("text/html", ["application/json", "application/jwk-set+json"], False),
        ("", ["application/json"], False),
    ],
)
def test_media_type(media_type: str, accepted: list[str], is_good: bool, caplog: pytest.LogCaptureFixture) -> None:
    """E15: a response with another content type than requested is refused."""
    expected = None if is_good else Reason.SERVER_ANSWER_UNUSABLE
    assert fault(lambda: check_response(ok({}, media_type), URL, accepted)) == expected
    assert warnings(caplog) == (
        [] if is_good else [f"{URL} must respond with content type {' or '.join(accepted)}, got another"]
    )


def test_json_unless_said_otherwise() -> None:
    """By default JSON is required."""
    check_response(ok({}), URL)
    assert fault(lambda: check_response(ok({}, "text/plain"), URL)) == Reason.SERVER_ANSWER_UNUSABLE


BODIES = [
    b"",
    b"null",
    b"[]",
    b"[{}]",
    b'"x"',
    b"1",
    b"true",
    b"{",
    b'{"a": 1, "a": 2}',
    b'{"a": NaN}',
    b"\xff",
    b"<html>",
]


@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_no_object(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """E15: a body that is not an unambiguous JSON object is refused, and does not appear in the log."""
    assert fault(lambda: read_json_object(ok(body), URL)) == Reason.SERVER_ANSWER_UNUSABLE
    assert warnings(caplog) == [f"{URL} must respond with a JSON object, got something else"]


def test_object() -> None:
    """A JSON object is accepted."""
    assert read_json_object(ok({"a": [1]}), URL) == {"a": [1]}
