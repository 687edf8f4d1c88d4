"""What goes wrong inside a guard is Django's to report, and no report shows the token."""

import asyncio
import html
import logging
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.core import signals
from django.db import DataError, InterfaceError, OperationalError, ProgrammingError
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.utils.log import AdminEmailHandler

from async_oauth_guard import (
    BearerTokenValidator,
    GuardError,
    InvalidTokenError,
    ResourceProtector,
    token_authenticated,
    token_rejected,
)
from tests.answers import bearer
from tests.conftest import Committed, Send
from tests.site.models import AnyTenantToken, OAuth2Token, TenantToken
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD = "gooood-4bF7"
TWICE = "twicee-4bF7"
BYSTANDER = "bystanderr-4bF7"


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD)
    committed.token(client_id=BYSTANDER)
    committed.token(TenantToken, access_token=TWICE, tenant="a")
    committed.token(TenantToken, access_token=TWICE, tenant="b")


class TroubleError(Exception):
    """Of a site's own making."""


def fail(*args: Any, **kwargs: Any) -> Any:
    raise TroubleError("something else")


async def afail(*args: Any, **kwargs: Any) -> Any:
    await asyncio.sleep(0)
    raise TroubleError("something else")


execute = CursorWrapper.execute


def refuse(cursor: Any, sql: str, params: Any = None) -> Any:
    """Fails the look-up alone, and in a message that has the token."""
    if GOOD in (params or ()):
        raise ProgrammingError(f"no such table: {sql} with {params}")
    return execute(cursor, sql, params)


def refuse_value(cursor: Any, sql: str, params: Any = None) -> Any:
    if GOOD in (params or ()):
        raise DataError(f"value too long: {params}")
    return execute(cursor, sql, params)


class FailingLookup(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        raise TroubleError("no such thing")


class FailingAsyncLookup(BearerTokenValidator):
    async def authenticate_token(self, token_string: str) -> Any:
        await asyncio.sleep(0)
        raise TroubleError("no such thing")


class FailingVerdict(BearerTokenValidator):
    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        raise TroubleError(f"with {scopes}")


class FailingRequest(BearerTokenValidator):
    def validate_request(self, request: Any) -> None:
        raise TroubleError(f"with {request.method}")


class ForgetfulVerdict(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return super().authenticate_token(token_string).nothing


Patch = tuple[Any, str, Any] | None

# Where the trouble is: a validator class, keywords of the guard, something to replace, and the error that Django sees.
TROUBLES: dict[str, tuple[Any, dict[str, Any], Patch, type[Exception]]] = {
    "authenticate_token": (FailingLookup, {}, None, TroubleError),
    "async authenticate_token": (FailingAsyncLookup, {}, None, TroubleError),
    "authenticate_token after super()": (ForgetfulVerdict, {}, None, AttributeError),
    "validate_token": (FailingVerdict, {"scopes": "profile"}, None, TroubleError),
    "validate_request": (FailingRequest, {}, None, TroubleError),
    "check": (BearerTokenValidator, {"check": fail}, None, TroubleError),
    "async check": (BearerTokenValidator, {"check": afail}, None, TroubleError),
    "check is None": (BearerTokenValidator, {"check": lambda request, token: None}, None, TypeError),
    "check is 1": (BearerTokenValidator, {"check": lambda request, token: 1}, None, TypeError),
    "check is a string": (BearerTokenValidator, {"check": lambda request, token: "yes"}, None, TypeError),
    "check is the token": (BearerTokenValidator, {"check": lambda request, token: token}, None, TypeError),
    "check takes one argument": (BearerTokenValidator, {"check": lambda request: True}, None, TypeError),
    "is_expired": (BearerTokenValidator, {}, (OAuth2Token, "is_expired", fail), TroubleError),
    "is_revoked": (BearerTokenValidator, {}, (OAuth2Token, "is_revoked", fail), TroubleError),
    "get_scope": (BearerTokenValidator, {"scopes": "profile"}, (OAuth2Token, "get_scope", fail), TroubleError),
    "from_db": (BearerTokenValidator, {}, (OAuth2Token, "from_db", classmethod(fail)), TroubleError),
    "query": (BearerTokenValidator, {}, (CursorWrapper, "execute", refuse), ProgrammingError),
    "value": (BearerTokenValidator, {}, (CursorWrapper, "execute", refuse_value), DataError),
}
everywhere = pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
sync_and_async = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def caught() -> Iterator[list[Any]]:
    """The exceptions that Django's handler was left with."""
    errors: list[Any] = []

    def receive(**kwargs: Any) -> None:
        errors.append(sys.exception())

    signals.got_request_exception.connect(receive)
    yield errors
    signals.got_request_exception.disconnect(receive)


class Reports(AdminEmailHandler):
    """Keeps what Django would mail to the site's administrators, in every form of it."""

    def __init__(self) -> None:
        super().__init__(include_html=True)
        self.text = ""

    def send_mail(self, subject: str, message: str, *args: Any, html_message: str | None = None, **kwargs: Any) -> None:
        self.text += f"{subject}\n{message}\n{html_message}"


@pytest.fixture
def reports() -> Iterator[Reports]:
    handler = Reports()
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def ask(trouble: Any, mode: str, send: Send) -> tuple[Any, Witness]:
    cls, asked, patch, _ = trouble
    witness = Witness()
    with pytest.MonkeyPatch.context() as monkeypatch:
        if patch:
            monkeypatch.setattr(*patch)
        with serving(ResourceProtector(cls(OAuth2Token))(**asked)(witness.view(mode))):
            return send("/", bearer(GOOD)), witness


@sync_and_async
@everywhere
def test_fails_closed(trouble: Any, mode: str, send: Send, caught: list[Any]) -> None:
    """R124: whatever fails inside the guard is a 500 of Django's, with the error as it was; the view is not entered."""
    answer, witness = ask(trouble, mode, send)
    assert (answer.status, witness.entered) == (500, 0)
    assert [type(error) for error in caught] == [trouble[3]]
    assert answer.lines("WWW-Authenticate") == []


@sync_and_async
@everywhere
def test_debug_page_shows_no_token(trouble: Any, mode: str, send: Send) -> None:
    """R31, R133: Django's technical page, which prints the locals of every frame, does not show the token."""
    with override_settings(DEBUG=True):
        answer, _ = ask(trouble, mode, send)
    assert answer.status == 500
    assert b"Traceback" in answer.body
    assert GOOD not in answer.text


@sync_and_async
@everywhere
def test_mailed_report_shows_no_token(
    trouble: Any, mode: str, send: Send, reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    """R31, R133: neither the report that Django mails, text and HTML, nor the log shows the token."""
    ask(trouble, mode, send)
    assert "Traceback" in reports.text
    assert GOOD not in reports.text
    assert GOOD not in caplog.text


@sync_and_async
@everywhere
def test_reports_do_not_query(
    trouble: Any, mode: str, send: Send, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R31, R133: no report evaluates a queryset among our locals, which would print whatever rows it holds."""
    monkeypatch.setattr(OAuth2Token, "__str__", lambda row: f"<<{row.client_id}>>")
    # With DEBUG, the mailed report shows all that it shows without, and the locals that Django hides there.
    with override_settings(DEBUG=True):
        answer, _ = ask(trouble, mode, send)
    assert "Traceback" in reports.text
    for text in (html.unescape(reports.text), html.unescape(answer.text)):
        assert BYSTANDER not in text


@sync_and_async
def test_report_of_the_views_own_error_shows_no_token(mode: str, send: Send, reports: Reports) -> None:
    """R31, R133: when the view fails the guard's frames are in the report too, and show no token."""

    def sync_view(request: HttpRequest) -> HttpResponse:
        raise TroubleError("of the view")

    async def async_view(request: HttpRequest) -> HttpResponse:
        raise TroubleError("of the view")

    view = ResourceProtector(BearerTokenValidator(OAuth2Token))(sync_view if mode == "def" else async_view)
    with serving(view), override_settings(DEBUG=True):
        answer = send("/", bearer(GOOD))
    assert answer.status == 500
    assert b"guarded" in answer.body
    assert GOOD not in answer.text
    with serving(view):
        send("/", bearer(GOOD))
    assert "guarded" in reports.text
    assert GOOD not in reports.text


@sync_and_async
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_outage(error: type[Exception], mode: str, send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """E21: when the database cannot answer it is 503, the next request after that is 200, and the log says nothing."""
    caplog.set_level("DEBUG")
    witness = Witness()
    with serving(ResourceProtector(BearerTokenValidator(OAuth2Token))(witness.view(mode))):
        with mock.patch.object(CursorWrapper, "execute", side_effect=error(f"lost while asking for {GOOD}")):
            answers = [send("/", bearer(GOOD)) for _ in range(3)]
        assert [answer.status for answer in answers] == [503] * 3
        assert witness.entered == 0
        assert send("/", bearer(GOOD)).status == 200
    assert GOOD not in caplog.text + answers[0].text


@sync_and_async
def test_two_rows(mode: str, send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """Two rows for one token are a refusal, and an error in the log that does not show the token."""
    with serving(ResourceProtector(BearerTokenValidator(AnyTenantToken))(Witness().view(mode))):
        answer = send("/", bearer(TWICE))
    assert answer.status == 401
    assert answer.challenges[0].parameters["error"] == "invalid_token"
    assert "ERROR" in [record.levelname for record in caplog.records if "async_oauth_guard" in record.name]
    assert TWICE not in caplog.text


@sync_and_async
def test_signals(mode: str, send: Send) -> None:
    """``token_rejected`` gives sync and async receivers the reason. ``token_authenticated`` gives them the token."""
    heard: list[Any] = []

    def on_yes(sender: Any, token: Any, **kwargs: Any) -> None:
        heard.append((sender, token.access_token))

    async def on_no(sender: Any, request: Any, error: GuardError, **kwargs: Any) -> None:
        heard.append((sender, request.path, str(error.reason), GOOD in repr(error) + str(error)))

    token_authenticated.connect(on_yes)
    token_rejected.connect(on_no)
    try:
        with serving(ResourceProtector(BearerTokenValidator(OAuth2Token))("email")(Witness().view(mode))):
            for headers in ([], bearer("unknown"), bearer("a b"), bearer(GOOD)):
                send("/", headers)
        with serving(ResourceProtector(BearerTokenValidator(OAuth2Token))(Witness().view(mode))):
            send("/", bearer(GOOD))
    finally:
        token_authenticated.disconnect(on_yes)
        token_rejected.disconnect(on_no)
    reasons = ["missing_credentials", "unknown_token", "malformed_credentials", "insufficient_scope"]
    refused = [(ResourceProtector, "/", reason, False) for reason in reasons]
    assert heard == [*refused, (ResourceProtector, GOOD)]


@sync_and_async
def test_failing_receiver(mode: str, send: Send, caught: list[Any]) -> None:
    """R124: a receiver that raises is a bug of the site's, and the view is not entered."""
    witness = Witness()
    token_authenticated.connect(fail)
    try:
        with serving(ResourceProtector(BearerTokenValidator(OAuth2Token))(witness.view(mode))):
            assert send("/", bearer(GOOD)).status == 500
    finally:
        token_authenticated.disconnect(fail)
    assert [type(error) for error in caught] == [TroubleError]
    assert witness.entered == 0


class Asking(ResourceProtector):
    def acquire_token(self, request: Any, scopes: Any = None, **requirements: Any) -> Any:
        raise InvalidTokenError


@sync_and_async
@pytest.mark.parametrize("cls", [ResourceProtector, Asking])
def test_failing_receiver_of_refusals(cls: type[ResourceProtector], mode: str, send: Send, caught: list[Any]) -> None:
    """What a receiver of ``token_rejected`` raises does not bring the refusal along, whose frames hold the token."""
    token_rejected.connect(fail)
    try:
        with serving(cls(BearerTokenValidator(OAuth2Token))("email")(Witness().view(mode))):
            assert send("/", bearer(GOOD)).status == 500
    finally:
        token_rejected.disconnect(fail)
    (error,) = caught
    assert isinstance(error, TroubleError)
    assert error.__context__ is None


def test_errors_show_no_token() -> None:
    """R31: no error, and none of its causes, has the token in its text or among its arguments."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    with pytest.raises(InvalidTokenError) as caught:
        protector.validate_token("unknown-4bF7")
    error: BaseException | None = caught.value
    while error is not None:
        assert "unknown-4bF7" not in f"{error!r} {error} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__
