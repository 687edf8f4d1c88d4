"""The demo's WebSocket: it counts down, and ends with its token."""

import contextlib
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.demo.page import PageClient

LIFETIME = 6
WITHIN = 30
"""Seconds, as protection from a test that hangs."""


@pytest.fixture(scope="module")
def client(demo: str) -> Iterator[PageClient]:
    client = PageClient(demo)
    yield client
    client.close()


def opened(origin: str, *protocols: str, path: str = "/countdown") -> ClientConnection:
    url = origin.replace("http:", "ws:") + path
    return connect(url, subprotocols=[Subprotocol(each) for each in protocols] or None, proxy=None, open_timeout=WITHIN)


def test_it_counts_down_and_ends_with_its_token(demo: str, client: PageClient) -> None:
    """Each second, one message; at the end, the code with which the guard closes."""
    token = client.post("short")["token"]
    with opened(demo, "bearer", token) as socket:
        assert socket.subprotocol == "bearer"
        received = read_to_the_end(socket)
    assert socket.close_code == 3000
    assert received == sorted(set(received), reverse=True)
    assert 0 <= received[-1] < received[0] <= LIFETIME
    # The row is still there, but the token is no longer let in.
    assert refused(demo, "bearer", token) == (401, "invalid_token")


def read_to_the_end(socket: ClientConnection) -> list[int]:
    received: list[int] = []
    with contextlib.suppress(ConnectionClosed):
        # Read at most one message more than expected.
        while len(received) <= LIFETIME + 1:
            received.append(int(socket.recv(WITHIN)))
    return received


def test_clients_may_close(demo: str, client: PageClient) -> None:
    """The client closes a WebSocket and opens the next one."""
    for _ in range(2):
        with opened(demo, "bearer", client.post("short")["token"]) as socket:
            assert int(socket.recv(WITHIN)) > 0


def refused(origin: str, *protocols: str, path: str = "/countdown") -> tuple[int, str | None]:
    """The status, and the error of the challenge."""
    with pytest.raises(InvalidStatus) as refusal:
        opened(origin, *protocols, path=path)
    response = refusal.value.response
    challenge = response.headers.get("WWW-Authenticate", "")
    error = challenge.partition('error="')[2].partition('"')[0]
    return response.status_code, error or None


@pytest.mark.parametrize(
    ("protocols", "refusal"),
    [
        ((), (401, None)),
        (("bearer", "nobody-issued-this"), (401, "invalid_token")),
        (("bearer", "demo-alice-expired"), (401, "invalid_token")),
        (("bearer", "demo-bob-user"), (403, "insufficient_scope")),
    ],
)
def test_others_are_refused_before_the_handshake(demo: str, protocols: tuple[str, ...], refusal: object) -> None:
    """The status and the challenge are those of a view."""
    assert refused(demo, *protocols) == refusal


def test_no_other_path_is_a_websocket(demo: str) -> None:
    """A valid token opens no WebSocket at another path."""
    assert refused(demo, "bearer", "demo-alice-profile", path="/profile") == (403, None)
