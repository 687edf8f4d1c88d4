"""WebSockets of a guarded application."""

import asyncio
import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.http import HttpRequest

from async_oauth_guard import BearerTokenValidator, DPoP, ResourceProtector
from async_oauth_guard.protocol.subprotocols import split_subprotocols
from async_oauth_guard.testing import FakeAuthorizationServer, override_oauth
from tests import asgi
from tests.answers import Answer, bearer
from tests.conftest import Committed
from tests.kit.guarded_sites import verifying
from tests.proofs import dpop, make_proof, thumbprint
from tests.site.models import OAuth2Token

pytestmark = pytest.mark.django_db

DENIAL = {"websocket.http.response": {}}
ROWS = ResourceProtector(BearerTokenValidator(OAuth2Token))


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    committed.token(access_token="row")
    committed.token(access_token="row+/with=")
    committed.token(access_token="bearer.row")


@dataclass
class Consumer:
    """An application that accepts WebSockets with the given message, and what it got."""

    accept: Mapping[str, Any] = field(default_factory=dict)
    scopes: list[Any] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", **self.accept})

    @property
    def scope(self) -> Any:
        (scope,) = self.scopes
        return scope


def connect(
    application: Any,
    headers: Any = (),
    subprotocols: Any = (),
    *,
    first: str = "websocket.connect",
    **changes: Any,
) -> list[dict[str, Any]]:
    """What the server is told when a client asks for a WebSocket."""
    offered = [(b"sec-websocket-protocol", ", ".join(map(str, subprotocols)).encode())] if subprotocols else []
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/ws/",
        "raw_path": b"/ws/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver"), *headers, *offered],
        "client": ("127.0.0.1", 40000),
        "server": ("testserver", 80),
        "subprotocols": [*subprotocols],
        "extensions": DENIAL,
        **changes,
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": first}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent


def denial(sent: list[dict[str, Any]]) -> Answer:
    """The response that refuses a WebSocket."""
    start, *parts = sent
    assert start["type"] == "websocket.http.response.start"
    assert {part["type"] for part in parts} == {"websocket.http.response.body"}
    lines = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return Answer(start["status"], lines, b"".join(part["body"] for part in parts))


def encoded(token: bytes) -> str:
    return "bearer." + base64.urlsafe_b64encode(token).decode().rstrip("=")


def test_token_in_header() -> None:
    """The application gets the token, and its response to the handshake the headers of a guarded view's."""
    consumer = Consumer({"headers": [(b"x-own", b"1")]})
    (accept,) = connect(ROWS.asgi(consumer), bearer("row"))
    assert consumer.scope["oauth_token"].access_token == "row"
    assert consumer.scope["type"] == "websocket"
    assert consumer.scope["scheme"] == "ws"
    assert accept["headers"] == [(b"x-own", b"1"), (b"Vary", b"Authorization"), (b"Cache-Control", b"private")]


REFUSED: dict[str, tuple[Any, int]] = {
    "nothing": ([], 401),
    "another scheme": ([(b"authorization", b"Basic x")], 401),
    "malformed": (bearer("a b"), 400),
    "repeated": (bearer("row") + bearer("row"), 400),
    "unknown": (bearer("unknown"), 401),
}


@pytest.mark.parametrize(("headers", "status"), REFUSED.values(), ids=REFUSED)
def test_refusals(headers: Any, status: int, reasons: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """The refusal is the response to the same HTTP request. It is logged and signalled in the same way."""
    consumer = Consumer()
    application = ROWS.asgi(consumer)
    records = []
    for refuse in (
        lambda: denial(connect(application, headers)),
        lambda: asgi.send("/", headers, application=application),
    ):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "async_oauth_guard.refusals"):
            answer = refuse()
        assert answer.status == status
        records.append((answer, reasons.pop(), [(each.levelname, each.getMessage()) for each in caplog.records]))
    assert records[0] == records[1]
    assert consumer.scopes == []


@pytest.mark.parametrize("extensions", [{}, None, {"tls": {}}])
def test_servers_without_denial_responses(extensions: Any, reasons: list[Any]) -> None:
    """They are told to close the WebSocket, which refuses the handshake."""
    consumer = Consumer()
    assert connect(ROWS.asgi(consumer), extensions=extensions) == [{"type": "websocket.close"}]
    assert consumer.scopes == []
    assert len(reasons) == 1


def test_client_that_has_gone() -> None:
    """Nobody is told anything."""
    assert connect(ROWS.asgi(Consumer()), first="websocket.disconnect") == []


LET_IN: dict[str, tuple[list[Any], list[str]]] = {
    "plain": (["bearer", "row"], ["bearer"]),
    "next to others": (["chat", "bearer", "row", "more"], ["chat", "bearer", "more"]),
    "one item": (["chat, bearer,row , more"], ["chat", "bearer", "more"]),
    "encoded": (["bearer", encoded(b"row+/with=")], ["bearer"]),
    "encoded twice": (["bearer", encoded(b"bearer.row")], ["bearer"]),
}


@pytest.mark.parametrize(("offered", "left"), LET_IN.values(), ids=LET_IN)
def test_token_in_subprotocols(offered: list[Any], left: list[str]) -> None:
    """A token after ``bearer`` lets in. The application does not see it, neither in the list nor in the header."""
    consumer = Consumer()
    (accept,) = connect(ROWS.asgi(consumer, subprotocol="bearer"), subprotocols=offered)
    assert accept["subprotocol"] == "bearer"
    assert consumer.scope["oauth_token"].user.username == "alice"
    assert consumer.scope["subprotocols"] == left
    assert consumer.scope["headers"][1:] == [(b"sec-websocket-protocol", ", ".join(left).encode())]


def test_choice_of_the_application() -> None:
    """An application may choose another subprotocol."""
    consumer = Consumer({"subprotocol": "chat"})
    (accept,) = connect(ROWS.asgi(consumer, subprotocol="bearer"), subprotocols=["bearer", "row", "chat"])
    assert accept["subprotocol"] == "chat"


NOT_LET_IN: dict[str, tuple[list[Any], int]] = {
    "no token": (["bearer"], 401),
    "no token after it": (["row", "bearer"], 401),
    "only others": (["chat", "row"], 401),
    "none": ([], 401),
    "other case": (["Bearer", "row"], 401),
    "unknown": (["bearer", "unknown"], 401),
    "two tokens": (["bearer", "row", "bearer", "row"], 400),
    "odd characters": (["bearer", "a!b"], 400),
    "not Latin-1": (["bearer", "€"], 400),
    "empty": (["bearer", ""], 400),
    "not base64url": (["bearer", "bearer.a"], 400),
    "encoded nothing": (["bearer", "bearer."], 400),
    "encoded list": (["bearer", encoded(b"row, Bearer row")], 400),
    "encoded line": (["bearer", encoded(b"row\r\nx: y")], 400),
    "encoded bytes": (["bearer", encoded(b"\xff\x00")], 400),
    "too long": (["bearer", "x" * 40_000], 401),
    "too long, encoded": (["bearer", "bearer." + "A" * 40_000], 401),
    "too many": (["chat"] * 10_000, 401),
    "odd items": ([None, 3, b"bearer", "row"], 401),
}


@pytest.mark.parametrize(("offered", "status"), NOT_LET_IN.values(), ids=NOT_LET_IN)
def test_bad_subprotocols(offered: list[Any], status: int) -> None:
    """Anything else is refused, as in the header."""
    consumer = Consumer()
    assert denial(connect(ROWS.asgi(consumer, subprotocol="bearer"), subprotocols=offered)).status == status
    assert consumer.scopes == []


@pytest.mark.parametrize("header", [b"Bearer row", b"Bearer other", b"Basic x"])
def test_token_in_both_places(header: bytes) -> None:
    """A token in both places is a malformed request."""
    application = ROWS.asgi(Consumer(), subprotocol="bearer")
    answer = denial(connect(application, [(b"authorization", header)], ["bearer", "row"]))
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


def test_subprotocols_are_not_read_by_default() -> None:
    """Without ``subprotocol``, a token there does not count, and the application sees what the client offered."""
    consumer = Consumer()
    assert denial(connect(ROWS.asgi(consumer), subprotocols=["bearer", "row"])).status == 401
    (accept,) = connect(ROWS.asgi(consumer), bearer("row"), ["bearer", "x"])
    assert consumer.scope["subprotocols"] == ["bearer", "x"]
    assert "subprotocol" not in accept


def test_query_is_not_read() -> None:
    """A token in the query string does not count."""
    application = ROWS.asgi(Consumer(), subprotocol="bearer")
    assert denial(connect(application, query_string=b"access_token=row&token=row")).status == 401


@pytest.mark.parametrize("offered", [[], ["bearer"], ["chat"]])
def test_optional(offered: list[str]) -> None:
    """Without a token, an optional guard lets in."""
    consumer = Consumer()
    (accept,) = connect(ROWS.asgi(consumer, optional=True, subprotocol="bearer"), subprotocols=offered)
    assert consumer.scope["oauth_token"] is None
    assert accept.get("subprotocol") == ("bearer" if "bearer" in offered else None)


@pytest.mark.parametrize("uri", ["wss://testserver/ws/", "https://testserver/ws/"])
def test_proofs(uri: str, authority: FakeAuthorizationServer) -> None:
    """A proof is for GET. Both schemes name the same URI."""
    protector = ResourceProtector(verifying(), dpop=True)
    token = authority.jwt("profile", claims={"cnf": {"jkt": thumbprint()}})
    headers = dpop(token, make_proof(token, uri=uri))
    consumer = Consumer()
    assert len(connect(protector.asgi(consumer), headers, scheme="wss")) == 1
    assert denial(connect(protector.asgi(consumer), headers, scheme="wss")).json["error"] == "invalid_dpop_proof"
    for wrong in (make_proof(token, uri="http://testserver/ws/"), make_proof(token, uri=uri, method="CONNECT")):
        assert denial(connect(protector.asgi(consumer), dpop(token, wrong), scheme="wss")).status == 401
    assert len(consumer.scopes) == 1


def test_nonces(authority: FakeAuthorizationServer) -> None:
    """A refused handshake has a nonce."""
    protector = ResourceProtector(verifying(), dpop=DPoP(nonce=True))
    token = authority.jwt("profile", claims={"cnf": {"jkt": thumbprint()}})
    uri = "http://testserver/ws/"
    answer = denial(connect(protector.asgi(Consumer()), dpop(token, make_proof(token, uri=uri))))
    assert answer.json["error"] == "use_dpop_nonce"
    proof = make_proof(token, uri=uri, claims={"nonce": answer.header("DPoP-Nonce")})
    assert len(connect(protector.asgi(Consumer()), dpop(token, proof))) == 1


def test_request_of_hooks() -> None:
    """For hooks, the handshake is a GET request."""
    seen: list[Any] = []

    def check(request: HttpRequest, token: Any) -> bool:
        seen.append((request.method, request.scheme, request.is_secure(), request.build_absolute_uri()))
        return True

    connect(ROWS.asgi(Consumer(), {"GET": None}, check=check), bearer("row"), scheme="wss", query_string=b"q=1")
    assert seen == [("GET", "https", True, "https://testserver/ws/?q=1")]


def test_missing_parts() -> None:
    """A scope without optional parts is served."""
    sent = connect(ROWS.asgi(Consumer(), subprotocol="bearer"), subprotocols=None or [], headers=None or [], scheme="")
    assert denial(sent).status == 401
    assert denial(connect(ROWS.asgi(Consumer(), subprotocol="bearer"), extensions=DENIAL)).status == 401


def test_overrides() -> None:
    """A test's override lets in WebSockets."""
    consumer = Consumer()
    with override_oauth(scopes="profile"):
        assert len(connect(ROWS.asgi(consumer, "profile"))) == 1
    assert consumer.scope["oauth_token"].scopes == {"profile"}


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (["bearer", "bearer"], ([b"Bearer bearer"], ["bearer"])),
        (["bearer", "a", "b"], ([b"Bearer a"], ["bearer", "b"])),
        (["bearer", encoded(b"x")], ([b"Bearer x"], ["bearer"])),
        (["bearer"], ([], ["bearer"])),
        (["bearer, a"], ([b"Bearer a"], ["bearer"])),
        (["bearer,a", "bearer\t,\tb"], ([b"Bearer a", b"Bearer b"], ["bearer", "bearer"])),
        (["bearer", "a, b"], ([b"Bearer a"], ["bearer", "b"])),
        (["bearer,"], ([b"Bearer "], ["bearer"])),
    ],
)
def test_splitting(offered: list[str], expected: Any) -> None:
    """The item after ``bearer`` is the token, whatever it is."""
    assert split_subprotocols(offered) == expected
