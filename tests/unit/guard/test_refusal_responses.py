"""From an error to an answer."""

import json

import pytest
from django.http import HttpRequest, HttpResponse

from async_oauth_guard import render_json, render_problem
from async_oauth_guard.errors import (
    GuardError,
    InsufficientScopeError,
    InvalidTokenError,
    OAuth2Error,
    TemporarilyUnavailableError,
    adopt_error,
)
from async_oauth_guard.guard.refusal_responses import complete_refusal

REQUEST = HttpRequest()


def challenged(error: GuardError) -> GuardError:
    error.challenge = 'Bearer realm="api"'
    return error


ERRORS = [challenged(InvalidTokenError()), challenged(InsufficientScopeError("why")), TemporarilyUnavailableError()]


@pytest.mark.parametrize("error", ERRORS)
def test_json(error: GuardError) -> None:
    """R25: status, body and header fields are the error's."""
    response = render_json(REQUEST, error)
    assert response.status_code == error.status_code
    assert json.loads(response.content) == {"error": error.error, "error_description": error.description}
    assert dict(response.items()) == {**dict(error.get_headers()), "Vary": "Authorization"}


TITLES = {401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}


@pytest.mark.parametrize("error", ERRORS)
def test_problem(error: GuardError) -> None:
    """RFC 9457: problem details, with the OAuth code as a member."""
    response = render_problem(REQUEST, error)
    assert response.status_code == error.status_code
    assert json.loads(response.content) == {
        "type": "about:blank",
        "title": TITLES[error.status_code],
        "status": error.status_code,
        "detail": error.description,
        "error": error.error,
    }
    assert dict(response.items()) == {
        **dict(error.get_headers()),
        "Content-Type": "application/problem+json",
        "Vary": "Authorization",
    }


def test_problem_of_an_unknown_status() -> None:
    """A hook's error may have a status that nobody has named."""
    response = render_problem(REQUEST, adopt_error(OAuth2Error(error="made_up", status_code=499)))
    assert response.status_code == 499
    assert json.loads(response.content)["status"] == 499


def test_rendered_elsewhere() -> None:
    """R13, R25: a refusal that a site renders gets challenge, ``no-store`` and ``Vary``, and keeps its own type."""
    response = complete_refusal(HttpResponse("no", "text/plain"), challenged(InvalidTokenError()))
    assert dict(response.items()) == {
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "WWW-Authenticate": 'Bearer realm="api"',
        "Vary": "Authorization",
    }


def test_rendered_elsewhere_with_headers_of_its_own() -> None:
    """What a site's rendering has said itself stands."""
    own = {"Cache-Control": "max-age=1", "WWW-Authenticate": "Own", "Retry-After": "9", "Vary": "Cookie"}
    error = challenged(TemporarilyUnavailableError())
    response = complete_refusal(HttpResponse(headers=own), error)
    assert {name: response[name] for name in own} == {**own, "Vary": "Cookie, Authorization"}


def test_completion_returns_the_response() -> None:
    """The response that was given is completed, not another."""
    response = HttpResponse()
    assert complete_refusal(response, InvalidTokenError()) is response
