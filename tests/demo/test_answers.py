"""The tour would notice."""

import dataclasses
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from demo_asgi.answers import ANYTHING, Answer, Response, observe
from demo_asgi.bound import REQUESTS as BOUND
from demo_asgi.remote import STEPS
from demo_asgi.requests import AUTHORITY, DEMO, REQUESTS, DemoRequest
from demo_asgi.tour import Stage, take

REMOTE = [step for step in (*BOUND, *STEPS) if isinstance(step, DemoRequest)]
EXPECTED = Answer(
    status=401,
    body={"error": "missing_authorization"},
    challenge={"realm": "demo", "scope": "profile"},
    fields={"Cache-Control": "no-store", "Vary": "Authorization"},
)
HEADERS = {
    "www-authenticate": 'Bearer realm="demo", scope="profile", error_description="Words, that may change"',
    "cache-control": "no-store",
    "vary": "Cookie, authorization",
}
AS_EXPECTED = Response(401, HEADERS, b'{"error": "missing_authorization", "error_description": "Words"}')


def test_what_matters_is_compared_and_words_are_not() -> None:
    """Descriptions, the case of field values and further members may change."""
    assert observe(AS_EXPECTED, EXPECTED) == EXPECTED


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 403},
        {"body": b'{"error": "invalid_token"}'},
        {"body": b"{}"},
        {"body": b"[]"},
        {"body": b"<h1>Server Error (500)</h1>"},
        {"headers": HEADERS | {"www-authenticate": 'Bearer realm="other", scope="profile"'}},
        {"headers": HEADERS | {"www-authenticate": 'Bearer realm="demo"'}},
        {"headers": HEADERS | {"www-authenticate": 'Bearer realm="demo", scope="profile", error="invalid_token"'}},
        {"headers": HEADERS | {"www-authenticate": 'Basic realm="demo", scope="profile"'}},
        {"headers": HEADERS | {"vary": "Cookie"}},
        {"headers": HEADERS | {"cache-control": "private"}},
        {"headers": {}},
    ],
)
def test_every_part_that_matters_is_noticed(changes: dict[str, Any]) -> None:
    """A response that differs in one part is not the expected one."""
    response = dataclasses.replace(AS_EXPECTED, **changes)
    assert observe(response, EXPECTED) != EXPECTED


def test_a_challenge_that_nobody_expected_is_noticed() -> None:
    """Where no challenge is expected, there is to be none."""
    expected = Answer(200, {"username": "alice"})
    granted = Response(200, {}, b'{"username": "alice"}')
    assert observe(granted, expected) == expected
    challenged = dataclasses.replace(granted, headers={"www-authenticate": 'Bearer realm="demo"'})
    assert observe(challenged, expected) != expected


TWO_SCHEMES = (
    'Bearer realm="demo", scope="profile"{bearer}, '
    'DPoP realm="demo", scope="profile", algs="ES256 RS256"{dpop}, error_description="Words, Bearer of news"'
)


@pytest.mark.parametrize(
    ("errors", "challenge"),
    [
        ({}, {"realm": "demo", "scope": "profile"}),
        ({"bearer": "invalid_token"}, {"realm": "demo", "scope": "profile", "error": "invalid_token"}),
        (
            {"dpop": "use_dpop_nonce"},
            {"scheme": "DPoP", "realm": "demo", "scope": "profile", "error": "use_dpop_nonce"},
        ),
    ],
)
def test_the_challenge_with_the_error_is_compared(errors: dict[str, str], challenge: dict[str, str]) -> None:
    """Of challenges for several schemes, the one of the scheme that was used counts, and its scheme is named."""
    params = {scheme: f', error="{errors[scheme]}"' if scheme in errors else "" for scheme in ("bearer", "dpop")}
    response = Response(401, {"www-authenticate": TWO_SCHEMES.format(**params)}, b"")
    assert observe(response, Answer(401, challenge=challenge)) == Answer(401, challenge=challenge)
    assert observe(response, Answer(401, challenge=challenge | {"error": "other"})).challenge == challenge


class Teapot(http.server.BaseHTTPRequestHandler):
    """Answers 418 to everything."""

    def answer(self) -> None:
        self.send_response(418)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_OPTIONS = do_DELETE = answer  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


def serve(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def teapot() -> Iterator[str]:
    yield from serve(Teapot)


def test_tour_of_a_wrong_server_fails(teapot: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Against a server that answers everything otherwise, every request counts and the exit status is 1."""
    # Without waiting for what may still come.
    requests = [dataclasses.replace(request, within=0) for request in (*REQUESTS, *REMOTE)]
    assert take(Stage({DEMO: teapot, AUTHORITY: teapot}), requests) == 1
    output = capsys.readouterr().out
    assert output.count("DIFFERENT") == len(requests)
    assert f"{len(requests)} requests, {len(requests)} with an unexpected response." in output


def test_tour_of_a_server_that_is_gone_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer is a difference like others, and no traceback."""
    monkeypatch.setenv("COLUMNS", "1000")
    # Bound, so that nobody else gets the port, and not listening.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        assert take(Stage({DEMO: f"http://127.0.0.1:{deaf.getsockname()[1]}"}), REQUESTS[:1]) == 1
    assert "no response: ConnectionRefusedError" in capsys.readouterr().out


def test_requests_are_distinct() -> None:
    """No request is sent twice, and each says what it shows."""
    sent = [(request.line, request.headers, request.form) for request in REQUESTS]
    assert len(set(sent)) == len(sent)
    assert all(step.shows for step in (*REQUESTS, *BOUND, *STEPS))


class Slow(Teapot):
    """Answers 418 twice, then 200 with a token, and remembers the credentials that it saw."""

    seen: list[str | None] = []

    def answer(self) -> None:
        self.seen.append(self.headers["Authorization"])
        body = b'{"access_token": "t0ken"}'
        self.send_response(200 if len(self.seen) > 2 else 418)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = answer  # noqa: N815


@pytest.fixture
def slow() -> Iterator[str]:
    Slow.seen.clear()
    yield from serve(Slow)


def test_what_may_take_a_while_is_asked_for_again(slow: str) -> None:
    """A request with patience counts once, whenever its answer comes; a token that it keeps is sent with the next."""
    requests = (
        DemoRequest("It comes", "GET /", Answer(200, fields={"Retry-After": ANYTHING}), within=10, keeps="TOKEN"),
        DemoRequest("It is used", "GET /", Answer(200), headers=(("Authorization", "Bearer ${TOKEN}"),)),
    )
    assert take(Stage({DEMO: slow}), requests) == 0
    assert Slow.seen == [None, None, None, "Bearer t0ken"]


def test_patience_ends(teapot: str) -> None:
    """An answer that does not come in time is a difference."""
    request = DemoRequest("It does not come", "GET /", Answer(200), within=0.2)
    assert take(Stage({DEMO: teapot}), [request]) == 1


def test_a_field_that_is_not_there_is_noticed() -> None:
    """Where any value will do, there has to be one."""
    expected = Answer(503, fields={"Retry-After": ANYTHING})
    assert observe(Response(503, {"retry-after": "7"}, b""), expected) == expected
    assert observe(Response(503, {}, b""), expected) != expected
