"""Sets the caching headers of every response of a guarded view."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.http.response import HttpResponseBase, ResponseHeaders
from django.utils.cache import patch_cache_control, patch_vary_headers

__all__ = [
    "Marks",
    "StoringSuspended",
    "add_nonce",
    "complete_response",
    "mark_response",
]


def add_nonce(response: HttpResponseBase, nonce: str | None) -> None:
    """Send ``nonce``, if there is one, for the client's next DPoP proof. No cache may store it (RFC 9449 §8.2)."""
    if nonce is None:
        return
    response.headers["DPoP-Nonce"] = nonce
    if response.headers.get("Cache-Control") != "no-store":
        patch_cache_control(response, private=True, no_store=True)


def mark_response(response: object, *, private: bool, vary: Sequence[str] = ("Authorization",)) -> None:
    """Set ``Vary``, and with ``private`` also ``Cache-Control: private``, on the view's response."""
    if not isinstance(response, HttpResponseBase):
        # Django itself raises an error if this is not a response.
        return
    headers = response.headers
    if type(headers) is not ResponseHeaders:
        headers = response.headers = ResponseHeaders(headers)
    # Most views set neither header, and Django's functions take longer than the rest of the guard.
    lines = headers._store
    if "vary" in lines:
        patch_vary_headers(response, list(vary))
    else:
        lines["vary"] = ("Vary", ", ".join(vary))
    if private and "cache-control" not in lines:
        lines["cache-control"] = ("Cache-Control", "private")
    elif private and not _names_cacheability(headers["Cache-Control"]):
        patch_cache_control(response, private=True)


def _names_cacheability(cache_control: str) -> bool:
    directives = {part.partition("=")[0].strip().lower() for part in cache_control.split(",")}
    return not directives.isdisjoint({"public", "private", "no-store"})


class Marks(NamedTuple):
    """How to mark a response: whether it is private, the request headers that it depends on, and the next nonce."""

    private: bool
    vary: tuple[str, ...]
    nonce: str | None


def complete_response(response: HttpResponseBase, marks: Marks) -> None:
    """Prevent caches from sending the response to other clients, and send a new nonce if there is one."""
    mark_response(response, private=marks.private, vary=marks.vary)
    if isinstance(response, HttpResponseBase):
        add_nonce(response, marks.nonce)


class _Suspended:
    """A false value that differs from ``False``, which a view sets to prevent storing its response."""

    def __bool__(self) -> bool:
        return False


_SUSPENDED = _Suspended()
_ABSENT = object()


class StoringSuspended:
    """A context manager that stops Django's cache middleware from storing a response to ``request``.

    A response that a middleware makes from an exception has no ``Vary`` and is not ``private``. So `resume` allows
    storing again when there is a response; if the block raises, storing stays disabled.
    """

    __slots__ = ("_earlier", "_request")

    def __init__(self, request: Any) -> None:
        self._request = request

    def __enter__(self) -> "StoringSuspended":
        self._earlier = getattr(self._request, "_cache_update_cache", _ABSENT)
        self._request._cache_update_cache = _SUSPENDED
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            # A `cache_page` in the block may have enabled storing.
            self._request._cache_update_cache = _SUSPENDED

    def resume(self, response: object) -> None:
        """Allow storing ``response`` as without a guard: now, or when it is rendered."""
        when_rendered = getattr(response, "add_post_render_callback", None)
        if when_rendered is None:
            self._restore()
        else:
            when_rendered(self._restore)

    def _restore(self, rendered: object = None) -> None:
        if getattr(self._request, "_cache_update_cache", None) is not _SUSPENDED:
            # The view, or a `cache_page` around it, has changed the value.
            return
        if self._earlier is _ABSENT:
            del self._request._cache_update_cache
        else:
            self._request._cache_update_cache = self._earlier
