"""Sends every request of both lists to temporary servers, and compares the responses."""

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

from .answers import Answer, Response, observe
from .bound import REQUESTS as BOUND
from .processes import ServerStartError, exit_on_sigterm, running
from .remote import STEPS, ServerStep, Step
from .requests import AUTHORITY, BODY, DEMO, REQUESTS, DemoRequest
from .table import Table

TIMEOUT = 30.0
"""Seconds for one response."""
PAUSE = 0.1
"""Seconds before a request is repeated whose response may still change."""


def run() -> int:
    """The exit status: 0 if every response is the expected one, else 1."""
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="demo_asgi-") as folder:
        authority = Authority(Path(folder) / "authority.json")
        try:
            with authority, running("demo_asgi", *_arguments(Path(folder), authority)) as origin:
                stage = Stage({DEMO: origin, AUTHORITY: authority.origin}, authority)
                return take(stage, (*REQUESTS, *BOUND, *STEPS))
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
        # Any free port at first, then the same one, because its tokens and clients contain its address.
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
class Stage:
    """The servers of the tour, and what was kept: tokens, proofs, a nonce, certificates."""

    origins: Mapping[str, str]
    authority: Authority | None = None
    tokens: dict[str, str] = field(default_factory=dict)


def take(stage: Stage, steps: Iterable[Step]) -> int:
    """Send the requests, print the table; 1 if any response differs from the expected one."""
    table = Table(("", "request", "expected", "seen"))
    results = [result for step in steps if (result := _take(stage, step, table)) is not None]
    print(f"{len(results)} requests, {results.count(False)} with an unexpected response.")
    return 0 if all(results) else 1


def _take(stage: Stage, step: Step, table: Table) -> bool | None:
    if isinstance(step, DemoRequest):
        return _compare(stage, step, table)
    _act(stage, step)
    table.add("", f"({step.shows})", "", "")
    return None


def _act(stage: Stage, step: ServerStep) -> None:
    assert stage.authority is not None
    if step.does == "stop":
        stage.authority.stop()
    else:
        stage.authority.start()


def _compare(stage: Stage, request: DemoRequest, table: Table) -> bool:
    expected = request.answer
    try:
        seen = _observe_in_time(stage, request)
    except (OSError, http.client.HTTPException) as error:
        table.add("DIFFERENT", describe(request), str(expected), f"no response: {error!r}")
        return False
    if seen == expected:
        # Fields like `Vary` were compared too; they are printed where they matter.
        table.add("ok", describe(request), expected.brief(), seen.brief())
        return True
    table.add("DIFFERENT", describe(request), str(expected), str(seen))
    return False


def _observe_in_time(stage: Stage, request: DemoRequest) -> Answer:
    deadline = time.monotonic() + request.within
    while True:
        response = send(stage, request)
        seen = observe(response, request.answer)
        if seen == request.answer and request.keeps is not None:
            stage.tokens[request.keeps] = _part(response, request.part)
        if seen == request.answer or time.monotonic() >= deadline:
            return seen
        time.sleep(PAUSE)


def _part(response: Response, part: str | None) -> str:
    if part is None:
        return str(json.loads(response.body)["access_token"])
    return response.body.decode() if part == BODY else response.headers[part.lower()]


def send(stage: Stage, request: DemoRequest) -> Response:
    """Send one request over a new connection, with the headers unchanged."""
    connection = http.client.HTTPConnection(urlsplit(stage.origins[request.at]).netloc, timeout=TIMEOUT)
    try:
        connection.putrequest(request.method, request.path)
        for name, value in (*_credentials(request), *request.headers):
            connection.putheader(name, _fill(value, stage))
        body = _fill(request.form or "", stage).encode()
        if request.form is not None:
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        headers = {name.lower(): ", ".join(response.headers.get_all(name, ())) for name in response.headers}
        return Response(response.status, headers, response.read())
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


def _fill(text: str, stage: Stage) -> str:
    # If a token could not be fetched, its name stays in the header, and the response will differ.
    return Template(text).safe_substitute(stage.origins, **stage.tokens)
