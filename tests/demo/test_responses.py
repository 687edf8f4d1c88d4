"""The tour notices every difference between the expected and the received response."""

import dataclasses
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from demo_asgi.bound import REQUESTS as BOUND
from demo_asgi.remote import STEPS
from demo_asgi.requests import AUTHORITY, DEMO, REQUESTS, DemoRequest
from demo_asgi.responses import ANYTHING, RawResponse, ResponseSummary, summarize
from demo_asgi.tour import TourState, send_all

REMOTE = [step for step in (*BOUND, *STEPS) if isinstance(step, DemoRequest)]
EXPECTED = ResponseSummary(
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
AS_EXPECTED = RawResponse(401, HEADERS, b'{"error": "missing_authorization", "error_description": "Words"}')


def test_descriptions_are_not_compared() -> None:
    """Descriptions, the case of field values and further members may change."""
    assert summarize(AS_EXPECTED, EXPECTED) == EXPECTED


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
def test_every_difference_is_noticed(changes: dict[str, Any]) -> None:
    """A response that differs in one part is not the expected one."""
    response = dataclasses.replace(AS_EXPECTED, **changes)
    assert summarize(response, EXPECTED) != EXPECTED


def test_an_unexpected_challenge_is_noticed() -> None:
    """If no challenge is expected, a challenge is a difference."""
    expected = ResponseSummary(200, {"username": "alice"})
    granted = RawResponse(200, {}, b'{"username": "alice"}')
    assert summarize(granted, expected) == expected
    challenged = dataclasses.replace(granted, headers={"www-authenticate": 'Bearer realm="demo"'})
    assert summarize(challenged, expected) != expected


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
    """If a response has several challenges, the one with the error is compared, including its scheme."""
    params = {scheme: f', error="{errors[scheme]}"' if scheme in errors else "" for scheme in ("bearer", "dpop")}
    response = RawResponse(401, {"www-authenticate": TWO_SCHEMES.format(**params)}, b"")
    assert summarize(response, ResponseSummary(401, challenge=challenge)) == ResponseSummary(401, challenge=challenge)
    assert summarize(response, ResponseSummary(401, challenge=challenge | {"error": "other"})).challenge == challenge


class Teapot(http.server.BaseHTTPRequestHandler):
    """Responds with 418 to every request."""

    def respond(self) -> None:
        self.send_response(418)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_OPTIONS = do_DELETE = respond  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


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
    """If all responses are unexpected, every request counts, and the exit status is 1."""
    # Do not repeat requests.
    requests = [dataclasses.replace(request, within=0) for request in (*REQUESTS, *REMOTE)]
    assert send_all(TourState({DEMO: teapot, AUTHORITY: teapot}), requests) == 1
    output = capsys.readouterr().out
    assert output.count("DIFFERENT") == len(requests)
    assert f"{len(requests)} requests, {len(requests)} with an unexpected response." in output


def test_tour_without_a_server_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing response is a difference, without a traceback."""
    monkeypatch.setenv("COLUMNS", "1000")
    # The socket is bound but does not listen, so no other process can use the port.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        assert send_all(TourState({DEMO: f"http://127.0.0.1:{deaf.getsockname()[1]}"}), REQUESTS[:1]) == 1
    assert "no response: ConnectionRefusedError" in capsys.readouterr().out


def test_requests_are_distinct() -> None:
    """All requests differ, and each has a description."""
    sent = [(request.line, request.headers, request.form) for request in REQUESTS]
    assert len(set(sent)) == len(sent)
    assert all(step.shows for step in (*REQUESTS, *BOUND, *STEPS))


class Slow(Teapot):
    """Responds with 418 twice, then with 200 and a token. It records the credentials of the requests."""

    seen: list[str | None] = []

    def respond(self) -> None:
        self.seen.append(self.headers["Authorization"])
        body = b'{"access_token": "t0ken"}'
        self.send_response(200 if len(self.seen) > 2 else 418)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = respond  # noqa: N815


@pytest.fixture
def slow() -> Iterator[str]:
    Slow.seen.clear()
    yield from serve(Slow)


def test_a_request_is_repeated_until_it_succeeds(slow: str) -> None:
    """A repeated request counts once. The next request uses the token of its response."""
    requests = (
        DemoRequest(
            "It comes", "GET /", ResponseSummary(200, fields={"Retry-After": ANYTHING}), within=10, keeps="TOKEN"
        ),
        DemoRequest("It is used", "GET /", ResponseSummary(200), headers=(("Authorization", "Bearer ${TOKEN}"),)),
    )
    assert send_all(TourState({DEMO: slow}), requests) == 0
    assert Slow.seen == [None, None, None, "Bearer t0ken"]


def test_a_request_is_repeated_for_a_limited_time(teapot: str) -> None:
    """A response that does not arrive in time is a difference."""
    request = DemoRequest("It does not come", "GET /", ResponseSummary(200), within=0.2)
    assert send_all(TourState({DEMO: teapot}), [request]) == 1


def test_a_missing_field_is_noticed() -> None:
    """A field that may have any value must be present."""
    expected = ResponseSummary(503, fields={"Retry-After": ANYTHING})
    assert summarize(RawResponse(503, {"retry-after": "7"}, b""), expected) == expected
    assert summarize(RawResponse(503, {}, b""), expected) != expected
