"""What an answer has to be before anybody reads it."""

import logging
import traceback
from typing import Any

import pytest

from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import CallFailedError, ClientOptions, Gate, HttpAnswer, HttpCall
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.flows.answers import call_flow, check_answer, read_json_object, unusable
from async_oauth_guard.flows.backoff import Attempt
from tests.unit.driving import drive, ok, status

URL = "https://as.example.com/introspect"
CALL = HttpCall("POST", URL, ClientOptions(), Gate(1), {"Authorization": Secret("Basic se-cret")})
NOW = 1_800_000_000.0


def attempt() -> Attempt:
    return Attempt(0.0, is_probe=False)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {(record.name, record.levelno) for record in caplog.records} <= {
        ("async_oauth_guard.outgoing", logging.WARNING)
    }
    return [record.getMessage() for record in caplog.records]


def test_unusable(caplog: pytest.LogCaptureFixture) -> None:
    """E15: what cannot be used is a warning in the log, and says nothing of the token."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        unusable("the answer is 100 %s nonsense")
    assert caught.value.reason == Reason.SERVER_ANSWER_UNUSABLE
    assert warnings(caplog) == ["the answer is 100 %s nonsense"]
    assert vars(caplog.records[0])["reason"] is Reason.SERVER_ANSWER_UNUSABLE


@pytest.mark.parametrize(
    ("answer", "wish"),
    [
        (status(429, "7"), 7.0),
        (status(503, "7"), 7.0),
        (status(503, None), 0.0),
        (status(503, "soon"), 0.0),
        (status(500, "7"), 0.0),
        (status(301, "7"), 0.0),
        (HttpAnswer(200, "application/json", Secret(b"{}"), "7"), 0.0),
    ],
    ids=repr,
)
def test_wish(answer: HttpAnswer, wish: float) -> None:
    """The wish of a server that is overloaded is noted; with another status it is none."""
    noted = attempt()
    assert drive(call_flow(CALL, noted, NOW), answer) == (answer, [CALL])
    assert noted.wish == wish


@pytest.mark.parametrize("reason", [Reason.SERVER_UNREACHABLE, Reason.SERVER_TOO_SLOW, Reason.TOO_MANY_CALLS])
def test_no_answer(reason: Reason, caplog: pytest.LogCaptureFixture) -> None:
    """E15: without an answer nobody can tell; the log says where, and neither it nor the error what was sent."""
    with pytest.raises(TemporarilyUnavailableError) as caught:
        drive(call_flow(CALL, attempt(), NOW), CallFailedError(reason, "ConnectError"))
    assert caught.value.reason == reason
    # That there are too many is said of none of them.
    told = [] if reason is Reason.TOO_MANY_CALLS else [f"{URL} could not be asked: ConnectError"]
    assert warnings(caplog) == told
    assert caught.value.__context__ is None
    assert "se-cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("error", [TemporarilyUnavailableError(reason=Reason.BACKING_OFF), KeyError("a bug")])
def test_other_errors_go_through(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """What keeps a call from being sent, and a bug, are as they are."""
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
    """R65, E15: only 200 is an answer, and a redirect is none."""
    assert fault(lambda: check_answer(status(code), URL)) == Reason.SERVER_ANSWER_UNUSABLE
    assert warnings(caplog) == [f"{URL} answered with status {code}"]


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
    """E15: an answer of another kind than was asked for is none."""
    expected = None if is_good else Reason.SERVER_ANSWER_UNUSABLE
    assert fault(lambda: check_answer(ok({}, media_type), URL, accepted)) == expected
    assert warnings(caplog) == (
        [] if is_good else [f"{URL} answered with another content type than {' or '.join(accepted)}"]
    )


def test_json_unless_said_otherwise() -> None:
    """JSON is what is wanted where nobody says more."""
    check_answer(ok({}), URL)
    assert fault(lambda: check_answer(ok({}, "text/plain"), URL)) == Reason.SERVER_ANSWER_UNUSABLE


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
    """E15: what is no JSON object, read in one way only, is no answer, and what it is stays out of the log."""
    assert fault(lambda: read_json_object(ok(body), URL)) == Reason.SERVER_ANSWER_UNUSABLE
    assert warnings(caplog) == [f"{URL} answered with something else than a JSON object"]


def test_no_object_of_one_token() -> None:
    """Who knows better what an unreadable answer means says so."""
    reason = Reason.TOKEN_ANSWER_UNUSABLE
    assert fault(lambda: read_json_object(ok([]), URL, reason)) == reason


def test_object() -> None:
    """A JSON object is an answer."""
    assert read_json_object(ok({"a": [1]}), URL) == {"a": [1]}
