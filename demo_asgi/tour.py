"""Send every request of both lists to servers of its own, and compare."""

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
from .processes import ServerStartError, exit_on_sigterm, running
from .remote import STEPS, ServerStep, Step
from .requests import AUTHORITY, DEMO, REQUESTS, DemoRequest
from .table import Table

TIMEOUT = 30.0
"""Seconds for one answer."""
PAUSE = 0.1
"""Seconds before an answer that may still change is asked for again."""


def run() -> int:
    """The exit status: 0 where every answer is the expected one, else 1."""
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="demo_asgi-") as folder:
        authority = Authority(Path(folder) / "authority.sqlite3")
        try:
            with authority, running("demo_asgi", *_arguments(Path(folder), authority)) as origin:
                return take(Stage({DEMO: origin, AUTHORITY: authority.origin}, authority), (*REQUESTS, *STEPS))
        except ServerStartError as error:
            print(error, file=sys.stderr)
            return 1


def _arguments(folder: Path, authority: "Authority") -> tuple[str, ...]:
    return ("--port", "0", "--database", str(folder / "tour.sqlite3"), "--authority", authority.origin)


class Authority:
    """The authorization server, which can be stopped and started again."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.origin = ""
        self._process = ExitStack()

    def start(self) -> None:
        # Any port at first, then the same one: its tokens and its clients know it by its address.
        port = urlsplit(self.origin).port or 0
        arguments = ("--port", str(port), "--database", str(self.database))
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
    """Where the tour takes place, and the tokens that were kept on the way."""

    origins: Mapping[str, str]
    authority: Authority | None = None
    tokens: dict[str, str] = field(default_factory=dict)


def take(stage: Stage, steps: Iterable[Step]) -> int:
    """Send the requests, print the table; 1 if any answer differs from what was expected."""
    table = Table(("", "request", "expected", "seen"))
    verdicts = [verdict for step in steps if (verdict := _take(stage, step, table)) is not None]
    print(f"{len(verdicts)} requests, {verdicts.count(False)} answered differently than expected.")
    return 0 if all(verdicts) else 1


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
        table.add("DIFFERENT", describe(request), str(expected), f"no answer: {error!r}")
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
            stage.tokens[request.keeps] = json.loads(response.body)["access_token"]
        if seen == request.answer or time.monotonic() >= deadline:
            return seen
        time.sleep(PAUSE)


def send(stage: Stage, request: DemoRequest) -> Response:
    """Send one request over a connection of its own, headers exactly as they are."""
    connection = http.client.HTTPConnection(urlsplit(stage.origins[request.at]).netloc, timeout=TIMEOUT)
    try:
        connection.putrequest(request.method, request.path)
        for name, value in (*_credentials(request), *request.headers):
            connection.putheader(name, _fill(value, stage.tokens))
        body = _fill(request.form or "", stage.tokens).encode()
        if request.form is not None:
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        headers = {name.lower(): ", ".join(answer.headers.get_all(name, ())) for name in answer.headers}
        return Response(answer.status, headers, answer.read())
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


def _fill(text: str, tokens: Mapping[str, str]) -> str:
    # A token that could not be fetched leaves its name: the answer will be another, and say so.
    return Template(text).safe_substitute(tokens)
