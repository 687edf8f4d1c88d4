"""Connections that end with their token, on each of the servers that are supported."""

import asyncio
import os
import time
from collections.abc import Iterator

import pytest

from tests.lifetimes.servers import COMMANDS, PATIENCE, Server, WebSocket, is_installed, serve, settled

pytestmark = pytest.mark.slow

# How long tokens last. If a machine is so busy that a token expires before its connection is open, the next one is
# used.
SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SOCKETS = int(os.environ.get("OAUTH_GUARD_TEST_SOCKETS", "200"))
# At a time, because a machine that is busy accepts slowly.
AT_ONCE = 50
NOT_CUT = {"daphne"}


async def connect(server: Server, path: str) -> tuple[WebSocket, float]:
    """A WebSocket, and when its token expires."""
    for seconds in SECONDS:
        end = time.time() + seconds
        client = await server.connect(path, str(end))
        if client.status != 401:
            return client, end
        client.writer.close()
    raise RuntimeError("this machine is too busy")


async def stream(server: Server, path: str) -> bool:
    """Whether the response, of which the client got a part, is complete."""
    for seconds in SECONDS:
        _, body, is_complete = await server.get(path, str(time.time() + seconds))
        if b"data: tick" in body:
            return is_complete
    raise RuntimeError("this machine is too busy")


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if not is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    with serve(request.param) as running:
        yield running


@pytest.mark.parametrize("name", ["listening", "talking", "deaf", "raising"])
def test_socket_is_closed(name: str, server: Server) -> None:
    """A WebSocket is closed when the token expires, whatever its application does after that."""

    async def scenario() -> None:
        client, end = await connect(server, f"/{name}")
        assert client.status == 101
        code, closed_at = await client.wait_for_close()
        assert code == 3000
        # At once, but how long it takes depends on the machine.
        assert end <= closed_at < end + PATIENCE
        await client.leave()

    asyncio.run(scenario())


def test_socket_of_a_rejected_token(server: Server) -> None:
    """A recheck that rejects the token closes the WebSocket long before the token expires."""

    async def scenario() -> None:
        client = await server.connect("/rechecked", f"once-{time.time() + 3600}")
        assert (await client.wait_for_close())[0] == 3000
        await client.leave()

    asyncio.run(scenario())


def test_socket_that_is_not_accepted(server: Server) -> None:
    """A WebSocket that was not accepted when the token expires is refused."""

    async def scenario() -> None:
        client, _ = await connect(server, "/pending")
        assert client.status == 403
        client.writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/events", "/async/events", "/sync/events"])
def test_event_stream_is_completed(path: str, server: Server) -> None:
    """An event stream of an application or a view ends cleanly."""
    assert asyncio.run(stream(server, path)) is True


@pytest.mark.parametrize("path", ["/download", "/failing", "/async/download", "/sync/download"])
def test_download_is_cut_off(path: str, server: Server) -> None:
    """Any other response is cut off, so that no client takes it for complete. On daphne, it never ends."""
    if server.name in NOT_CUT:
        with pytest.raises(TimeoutError):
            asyncio.run(server.get(path, str(time.time() + SECONDS[0]), patience=2.0))
    else:
        assert asyncio.run(stream(server, path)) is False


def test_many_sockets(server: Server) -> None:
    """Many sockets, of which half leave before their tokens expire, leave no task, timer, thread or socket behind."""

    async def visit(number: int) -> None:
        client, _ = await connect(server, "/listening")
        assert client.status == 101
        if number % 2:
            client.write_close()
        else:
            assert (await client.wait_for_close())[0] == 3000
        await client.leave()

    async def scenario() -> dict[str, int]:
        for first in range(0, SOCKETS, AT_ONCE):
            await asyncio.gather(*(visit(number) for number in range(first, min(first + AT_ONCE, SOCKETS))))
        return await settled(server)

    after = asyncio.run(scenario())
    assert server.is_settled(after), (server.at_start, after)


def test_log(server: Server) -> None:
    """After all that, the log has no other errors than those of the applications that raise one."""
    assert server.process.poll() is None
    expected = server.output.count("ValueError: ")
    assert server.output.count("Traceback") == expected
    assert expected >= 1
