"""The official SDK's client and fastmcp's sign in to MCP servers behind the guard: an ASGI application, and a view."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from demo_asgi.mcp.authority import EXPIRES_IN, USER, Authority, Client
from tests.mcp.packages import require_packages

require_packages()

from demo_asgi.mcp.clients import CLIENTS, REDIRECT_URI, Exchange  # noqa: E402

READ, WRITE = "notes:read", "notes:write"
DOCUMENT = "/.well-known/oauth-protected-resource/mcp"

each_client = pytest.mark.parametrize("client", CLIENTS)
each_server = pytest.mark.parametrize("server", ["asgi", "django", "django-sync"])


class Visit:
    """One client at one server, and what it sent."""

    def __init__(self, client: str, url: str) -> None:
        self.client, self.url = client, url
        self.exchanges: list[Exchange] = []

    def connect(self, **options: Any) -> AbstractAsyncContextManager[Any]:
        connection: AbstractAsyncContextManager[Any] = CLIENTS[self.client](self.url, self.exchanges, **options)
        return connection

    @property
    def paths(self) -> list[str]:
        """The paths of the requests to other places than the MCP server, in order."""
        return [each.path for each in self.exchanges if not each.url.startswith(self.url)]

    def refusals(self) -> list[Exchange]:
        return [each for each in self.exchanges if each.challenge]


@pytest.fixture
def visit(client: str, server: str, origin: str) -> Visit:
    return Visit(client, f"{origin}/mcp/{server}")


def text_of(result: Any) -> str:
    assert not result.is_error, result
    return str(result.content[0].text)


@each_client
@each_server
async def test_discovery_token_and_call(visit: Visit, authority: Authority, origin: str) -> None:
    """The client finds the metadata where the challenge says, gets a token with the challenge's scope, and calls."""
    async with visit.connect() as connection:
        assert text_of(await connection.call_tool("list_notes", {})).startswith("Buy milk")
    (refusal,) = visit.refusals()
    assert refusal is visit.exchanges[0]
    assert (refusal.status, refusal.parameter("scope"), refusal.parameter("error")) == (401, READ, None)
    assert refusal.parameter("resource_metadata") == origin + DOCUMENT
    well_known = "/.well-known/oauth-authorization-server"
    assert visit.paths == [DOCUMENT, well_known, "/register", "/authorize", "/token"]
    assert [(each["scope"], each["resource"]) for each in authority.grants] == [(READ, f"{origin}/mcp")]


@each_client
@each_server
async def test_step_up(visit: Visit, authority: Authority) -> None:
    """A tool that needs one more scope is refused with 403. The client adds the scope, and its call succeeds."""
    async with visit.connect() as connection:
        await connection.call_tool("list_notes", {})
        assert text_of(await connection.call_tool("add_note", {"text": "Call Bob"})) == f"{USER} added a note"
        assert "Call Bob" in str((await connection.call_tool("list_notes", {})).content)
    _, refusal = visit.refusals()
    assert (refusal.status, refusal.parameter("scope")) == (403, WRITE)
    assert refusal.parameter("error") == "insufficient_scope"
    assert [each["scope"] for each in authority.grants] == [READ, f"{READ} {WRITE}"]
    assert visit.paths[-2:] == ["/authorize", "/token"]


@each_client
@each_server
async def test_scopes_after_a_401(visit: Visit, authority: Authority) -> None:
    """For a token that has expired, the client gets one with the scope of the new challenge only."""
    async with visit.connect() as connection:
        authority.expires_in = -EXPIRES_IN
        with pytest.raises(Exception, match="error"):
            await connection.call_tool("add_note", {"text": "Never"})
        authority.expires_in = EXPIRES_IN
        await connection.call_tool("list_notes", {})
    *_, refusal = visit.refusals()
    assert (refusal.status, refusal.parameter("error"), refusal.parameter("scope")) == (401, "invalid_token", READ)
    assert [each["scope"] for each in authority.grants] == [READ, f"{READ} {WRITE}", READ]


@each_client
@each_server
async def test_step_up_with_pinned_scopes(visit: Visit, authority: Authority) -> None:
    """Where a client that registered itself cannot get more scopes, its call fails after one more try."""
    authority.pins_scopes = True
    async with visit.connect() as connection:
        # Its type is that of the client's version.
        with pytest.raises(Exception, match="error"):
            await connection.call_tool("add_note", {"text": "Never"})
    assert [each.status for each in visit.refusals()] == [401, 403, 403]
    assert [each["scope"] for each in authority.grants] == [READ, READ]


@each_client
@each_server
async def test_step_up_of_a_client_that_is_known(visit: Visit, authority: Authority) -> None:
    """A client that was registered by hand may get all scopes, also where the others' are pinned."""
    authority.pins_scopes = True
    authority.clients["known"] = Client([REDIRECT_URI])
    async with visit.connect(client_id="known") as connection:
        assert text_of(await connection.call_tool("add_note", {"text": "Pay"})) == f"{USER} added a note"
    assert "/register" not in visit.paths
    assert [each["client_id"] for each in authority.grants] == ["known", "known"]
