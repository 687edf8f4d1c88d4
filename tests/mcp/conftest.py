"""The demo's authorization server in this process, and its MCP servers in another one."""

from collections.abc import Iterator

import pytest

from demo_asgi.mcp.authority import EXPIRES_IN, Authority
from demo_asgi.processes import running


@pytest.fixture(scope="package")
def authority() -> Iterator[Authority]:
    with Authority() as running_authority:
        yield running_authority


@pytest.fixture(scope="package")
def origin(authority: Authority) -> Iterator[str]:
    with running("demo_asgi.mcp.server", authority.issuer) as its_origin:
        yield its_origin


@pytest.fixture(autouse=True)
def _as_at_first(authority: Authority) -> None:
    """Each test finds a server that knows no client."""
    authority.pins_scopes, authority.expires_in = False, EXPIRES_IN
    authority.clients.clear()
    authority.grants.clear()
