"""What the log says of refusals: why, once for each, and nothing that a client has written."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path

import async_oauth_guard
from async_oauth_guard import (
    GuardError,
    InsufficientScopeError,
    IntrospectTokenValidator,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
    token_rejected,
)
from async_oauth_guard.guard.signals import log_refusal_flow
from async_oauth_guard.runtime import event_loop
from async_oauth_guard.runtime.run import is_in_loop, run
from tests.answers import bearer
from tests.conftest import Send
from tests.made_up import Fixed, GoodToken
from tests.sites import MODES, Witness, serving

LOGGER = "async_oauth_guard.refusals"
TOKEN = "the-token-that-nobody-may-see"
sync_and_async = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """Everything that was said of refusals."""
    caplog.set_level(logging.DEBUG, LOGGER)
    return lambda: [record for record in caplog.records if record.name == LOGGER]


def guarded(mode: str, found: Any = None, **asked: Any) -> Any:
    """A guarded view of any URL."""

    def sync_view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return HttpResponse()

    async def async_view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return HttpResponse()

    return ResourceProtector(Fixed(found))(**asked)(sync_view if mode == "def" else async_view)


def extra(record: Any) -> tuple[Any, ...]:
    return record.reason, record.status, record.scheme, record.validator, record.route


REFUSALS: list[tuple[Any, Any, int, tuple[Any, ...]]] = [
    ([], None, logging.DEBUG, (Reason.MISSING_CREDENTIALS, 401, None, None)),
    ([(b"Authorization", b"Basic x")], None, logging.INFO, (Reason.UNSUPPORTED_SCHEME, 401, None, None)),
    (bearer("a b"), None, logging.INFO, (Reason.MALFORMED_CREDENTIALS, 400, "bearer", None)),
    (bearer(TOKEN), None, logging.INFO, (Reason.UNKNOWN_TOKEN, 401, "bearer", "Fixed")),
    (bearer(TOKEN), InsufficientScopeError(), logging.INFO, (Reason.INSUFFICIENT_SCOPE, 403, "bearer", "Fixed")),
    (bearer(TOKEN), OAuth2Error(), logging.INFO, (Reason.REFUSED_BY_HOOK, 400, "bearer", "Fixed")),
    (bearer(TOKEN), OperationalError("down"), logging.WARNING, (Reason.DATABASE_UNAVAILABLE, 503, "bearer", None)),
]


@sync_and_async
@pytest.mark.parametrize(("headers", "found", "level", "expected"), REFUSALS, ids=[str(row[3][0]) for row in REFUSALS])
def test_refusals(
    headers: Any, found: Any, level: int, expected: tuple[Any, ...], mode: str, send: Send, records: Any
) -> None:
    """Each refusal is one record, of a level by whose doing it is, with the reason and the rest as fields."""
    with serving([path("things/<int:number>/", guarded(mode, found))]):
        assert send("/things/7/", headers, query=b"secret=1").status == expected[1]
    (record,) = records()
    assert record.levelno == level
    assert record.getMessage() == f"Refused with status {expected[1]}: {expected[0]}"
    assert extra(record) == (*expected, "things/<int:number>/")


@sync_and_async
def test_handlers_run_off_the_loop(mode: str, send: Send, records: Any) -> None:
    """A handler may block, so none runs on the event loop that serves others meanwhile."""
    places = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            places.append(is_in_loop())

    handler = Handler()
    logging.getLogger(LOGGER).addHandler(handler)
    try:
        with serving(guarded(mode)):
            assert send("/", bearer(TOKEN)).status == 401
    finally:
        logging.getLogger(LOGGER).removeHandler(handler)
    assert places == [False]


def broken_factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """Gives every record a field that ours have too, which Python refuses."""
    record = logging.LogRecord(*args, **kwargs)
    record.route = "-"
    return record


def broken_filter(record: logging.LogRecord) -> bool:
    raise LookupError(record.name)


class Listening:
    """Hears of refusals while it lasts."""

    def __init__(self) -> None:
        self.reasons: list[Any] = []

    def hear(self, error: GuardError, **kwargs: Any) -> None:
        self.reasons.append(error.reason)

    def __enter__(self) -> "Listening":
        token_rejected.connect(self.hear)
        return self

    def __exit__(self, *exc_info: object) -> None:
        token_rejected.disconnect(self.hear)


@sync_and_async
@pytest.mark.parametrize("fault", ["factory", "filter"])
def test_log_that_fails(
    fault: str, mode: str, send: Send, records: Any, capsys: pytest.CaptureFixture[str], request: Any
) -> None:
    """Python reports a log that cannot be written in its usual way. The answer and the signals stay the same."""
    logger, factory = logging.getLogger(LOGGER), logging.getLogRecordFactory()
    request.addfinalizer(lambda: (logging.setLogRecordFactory(factory), logger.removeFilter(broken_filter)))
    if fault == "factory":
        logging.setLogRecordFactory(broken_factory)
    else:
        logger.addFilter(broken_filter)
    with serving(guarded(mode)), Listening() as listening:
        answer = send("/", bearer(TOKEN))
    assert (answer.status, listening.reasons) == (401, [Reason.UNKNOWN_TOKEN])
    told = capsys.readouterr().err
    assert "--- Logging error ---" in told
    assert TOKEN not in told


def test_every_line_may_fail() -> None:
    """No module of the guard writes to the log directly, because an error from the log would end a request."""
    package = Path(async_oauth_guard.__file__).parent
    lines = {
        path.name: re.findall(r"\b_?logger\.(?:log|debug|info|warning|error|exception|critical)\(", path.read_text())
        for path in package.rglob("*.py")
    }
    assert {name: found for name, found in lines.items() if found} == {"logs.py": ["logger.log("]}


@sync_and_async
def test_log_that_fails_in_an_outage(mode: str, send: Send, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that cannot be written does not turn an outage into a bug. The answer is 503."""
    validator = IntrospectTokenValidator(
        introspection_endpoint="http://127.0.0.1:9/introspect", client_id="a", client_secret="b", audience="c"
    )
    view = ResourceProtector(validator)(Witness().view(mode))
    logger = logging.getLogger("async_oauth_guard.outgoing")
    logger.addFilter(broken_filter)
    try:
        with serving(view):
            answer = send("/", bearer(TOKEN))
    finally:
        logger.removeFilter(broken_filter)
        event_loop.close()
    assert answer.status == 503
    assert "--- Logging error ---" in capsys.readouterr().err


@sync_and_async
def test_success_says_nothing(mode: str, send: Send, records: Any) -> None:
    """A request that is let in, and one that is let in without a token, leave no record."""
    with serving(guarded(mode, GoodToken())):
        assert send("/", bearer(TOKEN)).status == 200
    with serving(guarded(mode, optional=True)):
        assert send("/").status == 200
    assert records() == []


@sync_and_async
def test_nothing_of_the_client(mode: str, send: Send, records: Any) -> None:
    """Neither the token, nor the path, nor the query is repeated: nothing can be injected."""
    with serving([path("<path:anything>", guarded(mode))]):
        send("/path-of-theirs/", bearer(TOKEN), query=b"query-of-theirs")
    (record,) = records()
    for theirs in (TOKEN, "path-of-theirs", "query-of-theirs"):
        assert theirs not in record.getMessage() + repr(vars(record))


@sync_and_async
def test_passed_on_refusals_are_logged_once(mode: str, send: Send, records: Any) -> None:
    """An overridden ``acquire_token()`` that passes on what ours has raised makes no second record."""

    class Passing(ResourceProtector):
        def acquire_token(self, request: HttpRequest, scopes: Any = None, **requirements: Any) -> Any:
            return super().acquire_token(request, scopes, **requirements)

    with serving(Passing(Fixed())(Witness().view(mode))):
        assert send("/", bearer(TOKEN)).status == 401
    assert [record.reason for record in records()] == [Reason.UNKNOWN_TOKEN]


def test_tokens_without_requests(records: Any) -> None:
    """Who judges a token without a request gets the error, and the log says nothing."""
    with pytest.raises(InvalidTokenError):
        ResourceProtector(Fixed()).validate_token(TOKEN)
    assert records() == []


TOLD_ELSEWHERE = {
    Reason.SERVER_UNREACHABLE,
    Reason.SERVER_TOO_SLOW,
    Reason.SERVER_ANSWER_UNUSABLE,
    Reason.TOKEN_ANSWER_UNUSABLE,
    Reason.SERVER_REFUSES_US,
    Reason.METADATA_UNUSABLE,
    Reason.KEYS_UNAVAILABLE,
    Reason.BACKING_OFF,
}


@pytest.mark.parametrize("reason", Reason)
def test_outages(reason: Reason, records: Any) -> None:
    """An outage is a warning, unless another logger of the guard warns of it once for all affected requests."""
    run(log_refusal_flow(RequestFactory().get("/"), TemporarilyUnavailableError(reason=reason)))
    (record,) = records()
    assert (record.levelno == logging.WARNING) == (reason not in TOLD_ELSEWHERE)
    assert (record.levelno == logging.INFO) == (reason in TOLD_ELSEWHERE)


@pytest.mark.parametrize(
    "error", [MissingAuthorizationError(), UnsupportedTokenTypeError(), InvalidRequestError(), InvalidTokenError()]
)
def test_requests_of_no_route(error: GuardError, records: Any) -> None:
    """A request that Django has not resolved, as in a middleware, has no route."""
    run(log_refusal_flow(RequestFactory().get("/"), error))
    (record,) = records()
    assert record.route is None


def test_reasons_of_hooks(records: Any) -> None:
    """A reason that a hook has made up is not logged, because it may contain anything."""
    error = InvalidTokenError(reason=f"no such token: {TOKEN}")  # type: ignore[arg-type]
    run(log_refusal_flow(RequestFactory().get("/"), error))
    (record,) = records()
    assert record.reason is Reason.REFUSED_BY_HOOK
    assert TOKEN not in record.getMessage()


def test_reasons_in_json(records: Any) -> None:
    """The fields can be written as JSON, the reason as its word."""
    run(log_refusal_flow(RequestFactory().get("/"), InvalidTokenError(reason=Reason.EXPIRED)))
    (record,) = records()
    assert json.dumps(extra(record)) == '["expired", 401, null, null, null]'


@pytest.mark.parametrize(
    ("level", "error"),
    [
        (logging.INFO, MissingAuthorizationError()),
        (logging.WARNING, InvalidTokenError()),
        (logging.ERROR, TemporarilyUnavailableError()),
    ],
)
def test_what_nobody_reads_is_not_made(level: int, error: GuardError, caplog: pytest.LogCaptureFixture) -> None:
    """At a level that is not enabled nothing is looked at: no request that is refused costs more for it."""

    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            pytest.fail(f"{name} was looked at")

    caplog.set_level(level, LOGGER)
    run(log_refusal_flow(Untouchable(), error))  # type: ignore[arg-type]
    assert caplog.records == []
