"""From an error to an answer."""

import json
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.cache import patch_cache_control, patch_vary_headers

from async_oauth_guard import render_json, render_problem
from async_oauth_guard.errors import (
    GuardError,
    InsufficientScopeError,
    InvalidTokenError,
    OAuth2Error,
    TemporarilyUnavailableError,
    adopt_error,
)
from async_oauth_guard.guard.responses import StoringSuspended, complete_refusal, mark_response

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


MARKS: list[tuple[str | None, bool, str | None]] = [
    (None, True, "private"),
    (None, False, None),
    ("max-age=60", True, "max-age=60, private"),
    ("max-age=60", False, "max-age=60"),
    ("public", True, "public"),
    ("Public, max-age=1", True, "Public, max-age=1"),
    ("private", True, "private"),
    ('private="X-Field"', True, 'private="X-Field"'),
    ("max-age=0, no-store", True, "max-age=0, no-store"),
    ("no-cache", True, "no-cache, private"),
    ("", True, "private"),
    ("s-maxage=9", True, "s-maxage=9, private"),
]


@pytest.mark.parametrize(("said", "private", "expected"), MARKS)
def test_marked(said: str | None, private: bool, expected: str | None) -> None:
    """R25, R131: shared caches are kept off, unless the view has spoken of that itself."""
    response = HttpResponse(headers={} if said is None else {"Cache-Control": said})
    mark_response(response, private=private)
    assert response.get("Cache-Control") == expected
    assert response["Vary"] == "Authorization"


def test_streams_are_marked() -> None:
    """A streamed answer is marked like any other, without being read."""

    def content() -> Any:
        raise AssertionError("read")
        yield b""

    response = StreamingHttpResponse(content())
    mark_response(response, private=True)
    assert (response["Vary"], response["Cache-Control"]) == ("Authorization", "private")


@pytest.mark.parametrize("response", [None, "text", {"Vary": "x"}, 7])
def test_what_is_no_response_is_left_alone(response: Any) -> None:
    """Of what is no response Django complains itself."""
    before = repr(response)
    mark_response(response, private=True)
    assert repr(response) == before


def test_storing_is_resumed_where_a_view_took_the_mark_away() -> None:
    """R131: a view may delete the mark that tells Django's cache what to store; the mark stays deleted afterwards."""
    request: Any = HttpRequest()
    request._cache_update_cache = True
    with StoringSuspended(request) as storing:
        del request._cache_update_cache
        storing.resume(HttpResponse())
    assert not hasattr(request, "_cache_update_cache")


@pytest.mark.parametrize("vary", [("Authorization",), ("Authorization", "DPoP")])
def test_marks_are_those_of_djangos_functions(vary: tuple[str, ...]) -> None:
    """The marks are set without Django's checks of names and values, and are the same."""
    marked, expected = HttpResponse(), HttpResponse()
    mark_response(marked, private=True, vary=vary)
    patch_cache_control(expected, private=True)
    patch_vary_headers(expected, vary)
    assert dict(marked.headers) == dict(expected.headers)
    assert sorted(marked.serialize_headers().splitlines()) == sorted(expected.serialize_headers().splitlines())
    del marked["vary"]
    assert "Vary" not in marked.headers


def test_headers_of_the_site() -> None:
    """A response may have another mapping as its headers."""
    response = HttpResponse()
    response.headers = {"content-type": "text/plain", "cache-control": "no-store"}  # type: ignore[assignment]
    mark_response(response, private=True)
    assert dict(response.headers) == {
        "content-type": "text/plain",
        "cache-control": "no-store",
        "Vary": "Authorization",
    }
