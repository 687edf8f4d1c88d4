"""The requests as ``curl`` lines to paste, with what to expect."""

import shlex
from collections.abc import Iterator

from .requests import CHAPTERS, DemoRequest


def instructions(origin: str) -> Iterator[str]:
    """The lines of the whole list."""
    for title, requests in CHAPTERS.items():
        yield f"== {title} =="
        yield ""
        for request in requests:
            yield f"# {request.shows}: {request.answer}"
            yield curl_line(request, origin)
            yield ""


def curl_line(request: DemoRequest, origin: str) -> str:
    """The request as a command for a shell."""
    return shlex.join(["curl", *_method_options(request), *_header_options(request), origin + request.path])


def _method_options(request: DemoRequest) -> Iterator[str]:
    if request.method == "HEAD":
        yield "-I"
        return
    yield "-i"
    if request.form is not None:
        yield from ("-d", request.form)
    elif request.method != "GET":
        yield from ("-X", request.method)


def _header_options(request: DemoRequest) -> Iterator[str]:
    for name, value in request.headers:
        # To curl, `Name:` means "leave this header out"; `Name;` is how an empty one is sent.
        yield from ("-H", f"{name}: {value}" if value else f"{name};")
