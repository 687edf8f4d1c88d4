"""Sends all requests to temporary servers, and compares the responses with the expected ones."""

import base64
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from .bound import REQUESTS as BOUND
from .processes import ServerStartError, exit_on_sigterm, running
from .remote import STEPS, ServerStep, Step
from .requests import AUTHORITY, BODY, DEMO, REQUESTS, DemoRequest
from .responses import RawResponse, ResponseSummary, summarize
from .table import Table

TIMEOUT = 30.0
"""Seconds for one response."""
PAUSE = 0.1
"""Seconds before a request is repeated."""


def run() -> int:
    """Return the exit status: 0 if every response is the expected one, else 1."""
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="demo_asgi-") as folder:
        authority = Authority(Path(folder) / "authority.json")
        try:
            with authority, running("demo_asgi", *_arguments(Path(folder), authority)) as origin:
                state = TourState({DEMO: origin, AUTHORITY: authority.origin}, authority)
                return send_all(state, (*REQUESTS, *BOUND, *STEPS))
        except ServerStartError as error:
            print(error, file=sys.stderr)
            return 1


def _arguments(folder: Path, authority: "Authority") -> tuple[str, ...]:
    return ("--port", "0", "--database", str(folder / "tour.sqlite3"), "--authority", authority.origin)


class Authority:
    """The authorization server, which can be stopped and started again."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.origin = ""
        self._process = ExitStack()

    def start(self) -> None:
        # The port must not change after the first start, because tokens contain the address of their issuer.
        port = urlsplit(self.origin).port or 0
        arguments = ("--port", str(port), "--state", str(self.state))
        self.origin = self._process.enter_context(running("demo_asgi.authority", *arguments))

    def stop(self) -> None:
        self._process.close()

    def __enter__(self) -> "Authority":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass
class TourState:
    """The servers of the tour, and the parts of responses that were kept: tokens, proofs, a nonce, certificates."""

    origins: Mapping[str, str]
    authority: Authority | None = None
    kept: dict[str, str] = field(default_factory=dict)


def send_all(state: TourState, steps: Iterable[Step]) -> int:
    """Send the requests and print a table. Return 1 if any response differs from the expected one."""
    table = Table(("", "request", "expected", "received"))
    results = [result for step in steps if (result := _run_step(state, step, table)) is not None]
    print(f"{len(results)} requests, {results.count(False)} with an unexpected response.")
    return 0 if all(results) else 1


def _run_step(state: TourState, step: Step, table: Table) -> bool | None:
    if isinstance(step, DemoRequest):
        return _compare(state, step, table)
    _control_server(state, step)
    table.add("", f"({step.shows})", "", "")
    return None


def _control_server(state: TourState, step: ServerStep) -> None:
    assert state.authority is not None
    if step.action == "stop":
        state.authority.stop()
    else:
        state.authority.start()


def _compare(state: TourState, request: DemoRequest, table: Table) -> bool:
    expected = request.expected
    try:
        received = _send_until_expected(state, request)
    except (OSError, http.client.HTTPException) as error:
        table.add("DIFFERENT", describe(request), str(expected), f"no response: {error!r}")
        return False
    if received == expected:
        # Header fields such as `Vary` were compared too, but are printed only if they differ.
        table.add("ok", describe(request), expected.brief(), received.brief())
        return True
    table.add("DIFFERENT", describe(request), str(expected), str(received))
    return False


def _send_until_expected(state: TourState, request: DemoRequest) -> ResponseSummary:
    deadline = time.monotonic() + request.within
    while True:
        response = send(state, request)
        received = summarize(response, request.expected)
        if received == request.expected and request.keeps is not None:
            state.kept[request.keeps] = _extract(response, request.part)
        if received == request.expected or time.monotonic() >= deadline:
            return received
        time.sleep(PAUSE)


def _extract(response: RawResponse, part: str | None) -> str:
    if part is None:
        return str(json.loads(response.body)["access_token"])
    return response.body.decode() if part == BODY else response.headers[part.lower()]


def send(state: TourState, request: DemoRequest) -> RawResponse:
    """Send one request over a new connection, with the headers unchanged."""
    connection = http.client.HTTPConnection(urlsplit(state.origins[request.at]).netloc, timeout=TIMEOUT)
    try:
        connection.putrequest(request.method, request.path)
        for name, value in (*_credentials(request), *request.headers):
            connection.putheader(name, _fill(value, state))
        body = _fill(request.form or "", state).encode()
        if request.form is not None:
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        headers = {name.lower(): ", ".join(response.headers.get_all(name, ())) for name in response.headers}
        return RawResponse(response.status, headers, response.read())
    finally:
        connection.close()


def describe(request: DemoRequest) -> str:
    """The request in one line."""
    headers = [f"{name}: {value}" for name, value in request.headers]
    client = [f"by {request.client.client_id}"] if request.client else []
    return ", ".join([f"{request.method} {request.path}", *client, *headers, *([request.form] if request.form else [])])


def _credentials(request: DemoRequest) -> list[tuple[str, str]]:
    if request.client is None:
        return []
    pair = f"{request.client.client_id}:{request.client.client_secret}"
    return [("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")]


def _fill(text: str, state: TourState) -> str:
    # If nothing was kept under a name, the name stays in the text, and the response will differ.
    return Template(text).safe_substitute(state.origins, **state.kept)
