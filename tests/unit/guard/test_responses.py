"""Headers of a guarded view's response."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.cache import patch_cache_control, patch_vary_headers

from async_oauth_guard.guard.responses import StoringSuspended, mark_response

REQUEST = HttpRequest()


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


def test_suspended_storing_is_neither_allowed_nor_forbidden() -> None:
    """R131: until there is a response, Django's cache stores none. A view's ``False`` differs, and stays."""
    request: Any = HttpRequest()
    request._cache_update_cache = True
    with StoringSuspended(request) as storing:
        assert not request._cache_update_cache
        assert request._cache_update_cache is not False
        storing.resume(HttpResponse())
    assert request._cache_update_cache is True
    with StoringSuspended(request) as storing:
        request._cache_update_cache = False
        storing.resume(HttpResponse())
    assert request._cache_update_cache is False
