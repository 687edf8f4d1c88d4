"""The requests as ``curl`` lines to paste, with the expected responses."""

import shlex
from collections.abc import Iterator, Mapping
from string import Template

from . import bound, remote, requests
from .authority.clients import CLIENTS, RESOURCE
from .requests import AUTHORITY, BODY, DEMO, DemoRequest

_ACCESS_TOKEN = r"""sed 's/.*"access_token": *"\([^"]*\)".*/\1/'"""


def instructions(origins: Mapping[str, str]) -> Iterator[str]:
    """The text that the demo prints when it starts."""
    yield f"The demo: {origins[DEMO]}"
    yield f"The authorization server: {origins[AUTHORITY]}"
    yield "Its clients, with their secrets. These are not secret, because they are in the source of this demo:"
    for client in CLIENTS:
        yield f"  {client.client_id}:{client.client_secret} ({client.name})"
    yield f"The audience of its tokens: {RESOURCE}"
    yield ""
    for title, chapter in {**requests.CHAPTERS, **remote.CHAPTERS, **bound.CHAPTERS}.items():
        yield f"== {title} =="
        yield ""
        for request in chapter:
            yield f"# {request.shows}{_delay(request)}: {request.expected}"
            yield curl_line(request, origins)
            yield ""


def curl_line(request: DemoRequest, origins: Mapping[str, str]) -> str:
    """The request as a shell command. A part that it keeps is saved in a shell variable."""
    if request.keeps is None:
        command = _curl(request, origins[request.at], *_method_options(request))
    else:
        command = f"{request.keeps}=$({_extract(request, origins[request.at])})"
    return Template(command).safe_substitute(origins)


def _extract(request: DemoRequest, origin: str) -> str:
    """A command that prints the part of the response to keep."""
    form = () if request.form is None else ("-d", request.form)
    if request.part is None:
        return f"{_curl(request, origin, '-s', *form)} | {_ACCESS_TOKEN}"
    header = () if request.part == BODY else ("-o", "/dev/null", "-w", f"%header{{{request.part.lower()}}}")
    return _curl(request, origin, "-s", *header, *form)


def _curl(request: DemoRequest, origin: str, *options: str) -> str:
    arguments = ("curl", *options, *_client_options(request), *_header_options(request), origin + request.path)
    return " ".join(map(_quote, arguments))


def _quote(argument: str) -> str:
    # In double quotes, the shell inserts what an earlier request saved.
    return f'"{argument}"' if "$" in argument else shlex.quote(argument)


def _delay(request: DemoRequest) -> str:
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
        # curl omits the header for `Name:`, and sends an empty one for `Name;`.
        yield from ("-H", f"{name}: {value}" if value else f"{name};")
