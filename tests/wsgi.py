"""Sends a request through Django's WSGI handler, in this process."""

import io
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.validate import validator

from django.core.handlers.wsgi import WSGIHandler

from tests.answers import Answer, RawHeaders

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def send(
    path: str,
    headers: RawHeaders = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    query: bytes = b"",
    application: Application | None = None,
) -> Answer:
    """The answer of ``application``. Without one, the answer of the site that the current settings describe.

    The request has a separate thread, as on a server, with a separate database connection. It sees committed rows only.
    """
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **_variables(headers),
    }
    with ThreadPoolExecutor(1) as server:
        return server.submit(_call, application or WSGIHandler(), environ).result()


def _call(application: Application, environ: dict[str, Any]) -> Answer:
    started: list[Any] = []

    def start_response(status: str, lines: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        started.extend((int(status.split(" ")[0]), lines))
        return lambda data: None

    response = validator(application)(environ, start_response)  # type: ignore[arg-type]
    try:
        content = b"".join(response)
    finally:
        response.close()  # type: ignore[attr-defined]
    return Answer(started[0], started[1], content)


def _variables(headers: RawHeaders) -> dict[str, str]:
    # Servers join the lines of a repeated header with a comma, and decode as Latin-1.
    variables: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
        text = value.decode("latin-1")
        variables[key] = f"{variables[key]},{text}" if key in variables else text
    return variables
