"""Completes the headers of an ASGI application's response as those of a guarded view's response."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from django.http.response import HttpResponseBase, ResponseHeaders

from .responses import Marks, complete_response

__all__ = ["COMPLETED", "Lines", "complete_lines"]

Lines: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Names and values."""

COMPLETED = frozenset({b"vary", b"cache-control", b"dpop-nonce"})
"""The headers that a guard changes, in lower case."""


# An application sends only few different ones.
@lru_cache(maxsize=256)
def complete_lines(lines: Lines, marks: Marks) -> Sequence[tuple[bytes, bytes]]:
    """What to send instead of ``lines``, which are those of `COMPLETED`."""
    response = _Headers(lines)
    complete_response(response, marks)
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]


class _Headers(HttpResponseBase):
    """Some headers of a response, in the form in which Django's functions change them."""

    def __init__(self, lines: Lines) -> None:
        # Not the constructor of the base class, which adds a Content-Type.
        self.headers = ResponseHeaders({})
        for raw_name, raw_value in lines:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            # RFC 9110 §5.3: lines with the same name are combined with commas.
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
