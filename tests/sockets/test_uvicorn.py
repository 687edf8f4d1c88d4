"""A uvicorn process and raw bytes."""

import http.client
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection

from tests import reference
from tests.answers import Answer, bearer
from tests.conftest import Committed, database_variables
from tests.reference import Presented
from tests.servers import ANSWER_WITHIN, Server, raw_request, read_answer, serve
from tests.site.models import OAuth2Token

pytestmark = pytest.mark.django_db

GOOD = "good-token"
USERS = {f"token-{name}-4bF7": name for name in ("ann", "ben", "cid", "dot")}
VIEWS = ["/async/", "/sync/"]
STATUS = {Presented.NOTHING: 401, Presented.ANOTHER_SCHEME: 401, Presented.MALFORMED: 400}
INVALID_REQUEST = b"Invalid HTTP request received."


@pytest.fixture(scope="module")
def fickle(committed: Committed) -> OAuth2Token:
    row: OAuth2Token = committed.token(access_token="fickle")
    return row


@pytest.fixture(scope="module")
def server(committed: Committed, fickle: OAuth2Token) -> Iterator[Server]:
    committed.token(access_token=GOOD)
    committed.token(access_token="narrow", scope="")
    for token, name in USERS.items():
        committed.user(name)
        committed.token(access_token=token, user=name)
    with serve("tests.sockets.urls", databases=database_variables()) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_trouble(server: Server) -> Iterator[None]:
    """Whatever a test did, the server lives, has seen no exception, and has written down no token."""
    yield
    assert server.process.poll() is None
    assert server.send("/async/", bearer(GOOD)).status == 200
    assert server.send("/state/").status == 200
    assert not [word for word in ("Traceback", "Warning", GOOD, *USERS) if word in server.output]


def presenting(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", value)]


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "alone": lambda byte: byte,
    "within the token": lambda byte: b"Bearer good" + byte + b"token",
    "before the token": lambda byte: b"Bearer " + byte + GOOD.encode(),
    "after the token": lambda byte: b"Bearer " + GOOD.encode() + byte,
    "after the scheme": lambda byte: b"Bearer" + byte + GOOD.encode(),
    "before the scheme": lambda byte: byte + b"Bearer " + GOOD.encode(),
}
BYTES = [bytes([number]) for number in range(1, 256) if number not in (0x0A, 0x0D)]


@pytest.mark.parametrize("form", FORMS)
def test_any_byte(form: str, server: Server) -> None:
    """R3: whatever byte the header contains, the answer is the expected one, and never a server error.

    One view gets every other byte, and the other view the rest. In the next form, they swap.
    """
    values = [FORMS[form](byte) for byte in BYTES]
    views = [VIEWS[(byte[0] + list(FORMS).index(form)) % 2] for byte in BYTES]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda view, value: server.send(view, presenting(value)), views, values))
    wrong = [(value, answer) for value, answer in zip(values, answers, strict=True) if not is_right(value, answer)]
    assert wrong == []


def is_right(value: bytes, answer: Answer) -> bool:
    if answer.body == INVALID_REQUEST:
        # uvicorn's own refusal: control characters do not reach the application.
        return answer.status == 400 and any(byte < 0x20 or byte == 0x7F for byte in value)
    presented, token = reference.read(value.decode("latin-1"))
    expected = STATUS.get(presented, 200 if token == GOOD else 401)
    return answer.status == expected and bool(answer.challenges) == (answer.status != 200)


@pytest.mark.parametrize("view", VIEWS)
def test_repeated_header(view: str, server: Server) -> None:
    """R7: two ``Authorization`` lines are a bad request, whatever they hold, when one of them is ours."""
    good = bearer(GOOD)
    for headers in (good + good, good + presenting(b"Basic x"), presenting(b"Basic x") + good, good + bearer("other")):
        answer = server.send(view, headers)
        assert answer.status == 400
        assert answer.challenges[0].parameters["error"] == "invalid_request"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("length", [255, 256, 32_700, 40_000, 60_000])
def test_long_tokens(length: int, view: str, server: Server) -> None:
    """R12: a long token is an invalid one."""
    answer = server.send(view, bearer("x" * length))
    assert answer.status == 401
    assert answer.challenges[0].parameters["error"] == "invalid_token"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("length", [70_000, 1_048_576])
def test_longer_than_the_server_wants(length: int, view: str, server: Server) -> None:
    """R12: a header that the server itself may cut off is refused, by whomever, and hurts nobody else."""
    with suppress(ConnectionError, http.client.HTTPException):
        assert server.send(view, bearer("x" * length)).status in {400, 401, 431}


@pytest.mark.parametrize("view", VIEWS)
def test_one_connection(view: str, server: Server) -> None:
    """Requests that follow one another on a connection, sent all at once, each get the answer of their own token."""
    asked = [*USERS, "unknown", *USERS, "narrow"]
    requests = [raw_request(view, bearer(token)).replace(b"connection: close\r\n", b"") for token in asked]
    with server.connect() as client:
        client.sendall(b"".join(requests[:-1]) + raw_request(view, bearer(asked[-1])))
        received = read_all(client)
    answers = split_answers(received)
    assert [answer.status for answer in answers] == [200] * 4 + [401] + [200] * 4 + [403]
    assert [a.json["user"] for a in answers if a.status == 200] == list(USERS.values()) * 2


def read_all(client: socket.socket) -> bytes:
    received = b""
    while part := client.recv(65536):
        received += part
    return received


def split_answers(received: bytes) -> list[Answer]:
    """The answers that came one after the other."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(received)
        left.shutdown(socket.SHUT_WR)
        answers = []
        stream = right.makefile("rb")
        while stream.peek(1):  # type: ignore[attr-defined]
            answers.append(read_answer(_Stream(stream)))  # type: ignore[arg-type]
        stream.close()
    return answers


class _Stream:
    """A socket of which `http.client` reads no more than the answer that it is at."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def makefile(self, mode: str) -> Any:
        return _Open(self.stream)


class _Open:
    def __init__(self, stream: Any) -> None:
        self.read, self.readline, self.readinto = stream.read, stream.readline, stream.readinto
        self.flush = self.close = lambda: None


def test_many_clients(server: Server) -> None:
    """Many clients at once, of several users, with good and bad tokens: each gets the answer that is its own."""
    chance = random.Random(20)
    expected: dict[str | None, tuple[int, str | None]] = {token: (200, name) for token, name in USERS.items()}
    expected |= {"unknown": (401, None), "narrow": (403, None), None: (401, None)}
    asked = [(chance.choice(list(expected)), chance.choice(VIEWS)) for _ in range(300)]

    def ask(token: str | None, view: str) -> tuple[int, str | None]:
        answer = server.send(view, bearer(token) if token else [])
        return answer.status, answer.json.get("user")

    with ThreadPoolExecutor(32) as pool:
        seen = list(pool.map(lambda row: ask(*row), asked))
    assert seen == [expected[token] for token, _ in asked]


def test_revocation_is_immediate(server: Server, fickle: OAuth2Token) -> None:
    """R26: a token that was revoked and committed before the request is refused by it, and works again after."""

    def commit(revoked: bool) -> None:
        OAuth2Token.objects.filter(pk=fickle.pk).update(revoked=revoked)
        connection.close()

    for revoked in (False, True, False, True):
        with ThreadPoolExecutor(1) as other_connection:
            other_connection.submit(commit, revoked).result()
        for view in VIEWS:
            assert server.send(view, bearer("fickle")).status == (401 if revoked else 200)


def test_disconnects(server: Server) -> None:
    """R127: clients that go away, in the middle of a request or of an answer, leave nothing and disturb nobody."""
    before = server.send("/state/").json
    whole = raw_request("/endless/", bearer(GOOD))
    ordinary = raw_request("/async/", bearer(GOOD))
    cut = [whole[:length] for length in (1, 10, 40, len(whole) - 3)]

    def leave(data: bytes) -> None:
        with server.connect() as client:
            client.sendall(data)
            # Reset, so that what the server still writes fails.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def stay(data: bytes) -> int:
        return server.exchange(data).status

    with ThreadPoolExecutor(16) as pool:
        leaving = [pool.submit(leave, data) for _ in range(20) for data in (*cut, whole, ordinary)]
        staying = [pool.submit(stay, ordinary) for _ in range(100)]
        assert {future.result() for future in staying} == {200}
        assert [future.result() for future in leaving] == [None] * len(leaving)
    after = wait_for(lambda: server.send("/state/").json, lambda state: is_quiet(state, before))
    assert is_quiet(after, before)


def is_quiet(state: dict[str, int], before: dict[str, int]) -> bool:
    # One more thread than before the first look-up: the one that reads tokens.
    return (
        state["tasks"] <= before["tasks"]
        and state["threads"] <= before["threads"] + 1
        and state["started"] == state["ended"]
    )


def wait_for(read: Callable[[], Any], is_enough: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + ANSWER_WITHIN
    value = read()
    while not is_enough(value) and time.monotonic() < deadline:
        value = read()
    return value


def test_stops_cleanly() -> None:
    """A server that has served sync and async views stops on request, and reports nothing that it left open."""
    with serve("tests.sockets.urls", databases=database_variables()) as running:
        for view in VIEWS:
            assert running.send(view, bearer("narrow")).status == 403
        running.process.terminate()
        running.process.wait(timeout=10)
        assert "Finished server process" in running.output
        assert not [word for word in ("Traceback", "Warning", "ignored") if word in running.output]
