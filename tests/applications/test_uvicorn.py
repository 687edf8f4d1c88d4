"""A guarded application in a uvicorn process."""

from collections.abc import Iterator

import pytest

from tests.answers import Answer, RawHeaders, bearer
from tests.conftest import Committed, database_variables
from tests.servers import Server, serve

pytestmark = pytest.mark.django_db

GOOD = "good-token-in-front"


@pytest.fixture(scope="module")
def server(committed: Committed) -> Iterator[Server]:
    committed.token(access_token=GOOD)
    committed.token(access_token="narrow-in-front", scope="")
    names = database_variables()
    application = "tests.applications.served.application"
    with serve("tests.applications.served", databases=names, OAUTH_GUARD_TEST_APPLICATION=application) as running:
        yield running


UNGUARDED = [(b"x-unguarded", b"1")]


@pytest.mark.parametrize(
    "headers", [[], bearer("unknown"), bearer("narrow-in-front"), bearer("a b"), bearer("x", "Basic")]
)
def test_same_bytes(headers: list[tuple[bytes, bytes]], server: Server) -> None:
    """The server sends the same for a refusal in front of Django as for that of a guarded view."""
    in_front, by_view = (server.send("/guarded/", [*headers, *extra]) for extra in ([], UNGUARDED))
    assert in_front.status in {400, 401, 403}
    assert without_date(in_front) == without_date(by_view)


def without_date(answer: Answer) -> str:
    return "\n".join(line for line in answer.text.splitlines() if not line.startswith("date:"))


@pytest.mark.parametrize("path", ["/guarded/", "/unguarded/"])
def test_let_in(path: str, server: Server) -> None:
    """A request with a valid token reaches the views, guarded or not."""
    answer = server.send(path, bearer(GOOD))
    assert (answer.status, answer.json) == (200, {"user": "alice"})
    assert answer.members("Vary") == {"authorization"}
    assert "Traceback" not in server.output


def handshake(headers: RawHeaders) -> bytes:
    """The bytes with which a client asks for a WebSocket."""
    own = [(b"host", b"127.0.0.1"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    own += [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in [*own, *headers])
    return b"GET /socket/ HTTP/1.1\r\n" + lines + b"\r\n"


@pytest.mark.parametrize("headers", [[], bearer("unknown"), bearer("narrow-in-front"), bearer("a b")])
def test_refused_websockets(headers: list[tuple[bytes, bytes]], server: Server) -> None:
    """A WebSocket is refused before the handshake, with the response to the same HTTP request."""
    refused, expected = server.exchange(handshake(headers)), server.send("/guarded/", headers)
    assert (refused.status, refused.body) == (expected.status, expected.body)
    assert refused.header("WWW-Authenticate") == expected.header("WWW-Authenticate")
    assert refused.header("Sec-WebSocket-Accept") is None


@pytest.mark.parametrize("headers", [bearer(GOOD), [(b"sec-websocket-protocol", f"bearer, {GOOD}".encode())]])
def test_accepted_websockets(headers: list[tuple[bytes, bytes]], server: Server) -> None:
    """A WebSocket with a valid token opens. The server chooses ``bearer``, never the token."""
    answer = server.exchange(handshake(headers))
    assert answer.status == 101
    assert answer.header("Sec-WebSocket-Protocol") == (None if headers == bearer(GOOD) else "bearer")
    assert GOOD not in answer.text
