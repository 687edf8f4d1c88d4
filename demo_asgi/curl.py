"""The requests as ``curl`` lines to paste, with what to expect."""

import shlex
from collections.abc import Iterator, Mapping

from . import remote, requests
from .authority.clients import CLIENTS, RESOURCE
from .requests import AUTHORITY, DEMO, DemoRequest

_ACCESS_TOKEN = r"""sed 's/.*"access_token": *"\([^"]*\)".*/\1/'"""


def instructions(origins: Mapping[str, str]) -> Iterator[str]:
    """The lines of both lists."""
    yield f"The demo: {origins[DEMO]}"
    yield f"The authorization server: {origins[AUTHORITY]}"
    yield "Its clients, with secrets that are no secrets, since they stand in the source of this demo:"
    for client in CLIENTS:
        yield f"  {client.client_id}:{client.client_secret} ({client.name})"
    yield f"The audience of its tokens: {RESOURCE}"
    yield ""
    for title, chapter in {**requests.CHAPTERS, **remote.CHAPTERS}.items():
        yield f"== {title} =="
        yield ""
        for request in chapter:
            yield f"# {request.shows}{_patience(request)}: {request.answer}"
            yield curl_line(request, origins[request.at])
            yield ""


def curl_line(request: DemoRequest, origin: str) -> str:
    """The request as a command for a shell; what it keeps ends up in a variable of that name."""
    if request.keeps is None:
        return _curl(request, origin, *_method_options(request))
    return f"{request.keeps}=$({_curl(request, origin, '-s', '-d', request.form or '')} | {_ACCESS_TOKEN})"


def _curl(request: DemoRequest, origin: str, *options: str) -> str:
    words = ("curl", *options, *_client_options(request), *_header_options(request), origin + request.path)
    return " ".join(map(_quote, words))


def _quote(word: str) -> str:
    # The shell is to put a token there that was kept before.
    return f'"{word}"' if "$" in word else shlex.quote(word)


def _patience(request: DemoRequest) -> str:
    return f" (at most {request.within:.0f} s later)" if request.within else ""


def _client_options(request: DemoRequest) -> Iterator[str]:
    if request.client is not None:
        yield from ("-u", f"{request.client.client_id}:{request.client.client_secret}")


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
