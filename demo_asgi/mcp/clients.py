"""The clients of the official SDK and of fastmcp. They record their requests, and need no real browser."""

import re
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import fastmcp
import httpx2
import mcp
from fastmcp.client.auth import OAuth
from fastmcp.client.transports import StreamableHttpTransport
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

# Nothing listens on this port: `Browser` takes the code from the redirect.
CALLBACK_PORT = 8765
REDIRECT_URI = f"http://localhost:{CALLBACK_PORT}/callback"


@dataclass(frozen=True)
class Exchange:
    """A request of a client, and its response."""

    method: str
    url: str
    status: int
    challenge: str | None = None

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def parameter(self, name: str) -> str | None:
        """A parameter of the challenge."""
        match = re.search(rf'\b{name}="([^"]*)"', self.challenge or "")
        return match and match[1]


@dataclass
class Browser:
    """Sends the authorization request of a client, and takes the code from the response."""

    exchanges: list[Exchange]
    location: str = ""

    async def open(self, url: str) -> None:
        async with httpx2.AsyncClient() as client:
            response = await client.get(url)
        self.exchanges.append(Exchange("GET", url, response.status_code))
        self.location = response.headers["location"]

    async def wait(self) -> AuthorizationCodeResult:
        params = {name: values[0] for name, values in parse_qs(urlsplit(self.location).query).items()}
        return AuthorizationCodeResult(code=params["code"], state=params["state"], iss=params["iss"])


class Storage:
    """Keeps the tokens of a client in memory."""

    def __init__(self, client: OAuthClientInformationFull | None) -> None:
        self.client = client
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class McpClient(Protocol):
    """The methods that both clients have."""

    async def list_tools(self) -> Any: ...
    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any: ...


@dataclass
class Recorder:
    """Makes HTTP clients that record their exchanges."""

    exchanges: list[Exchange] = field(default_factory=list)

    def make_client(self, **options: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(event_hooks={"response": [self._record]}, **options)

    async def _record(self, response: httpx2.Response) -> None:
        challenge = response.headers.get("www-authenticate")
        request = response.request
        self.exchanges.append(Exchange(request.method, str(request.url), response.status_code, challenge))


@asynccontextmanager
async def sdk_client(url: str, exchanges: list[Exchange], client_id: str | None = None) -> AsyncIterator[McpClient]:
    """The SDK's client. With ``client_id``, it does not register itself."""
    browser = Browser(exchanges)
    metadata = OAuthClientMetadata(redirect_uris=[REDIRECT_URI], client_name="The SDK's client")
    known = client_id and OAuthClientInformationFull(client_id=client_id, redirect_uris=[REDIRECT_URI])
    auth = OAuthClientProvider(url, metadata, Storage(known or None), browser.open, browser.wait)
    async with (
        Recorder(exchanges).make_client(auth=auth) as http_client,
        mcp.Client(streamable_http_client(url, http_client=http_client)) as client,
    ):
        yield client


class HeadlessOAuth(OAuth):
    """The OAuth client of fastmcp, with `Browser` as its browser."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        super().__init__(**options)
        self.browser = browser

    async def redirect_handler(self, authorization_url: str) -> None:
        await self.browser.open(authorization_url)

    async def callback_handler(self) -> AuthorizationCodeResult:
        return await self.browser.wait()


@asynccontextmanager
async def fastmcp_client(url: str, exchanges: list[Exchange], client_id: str | None = None) -> AsyncIterator[McpClient]:
    """The client of fastmcp. With ``client_id``, it does not register itself."""
    with warnings.catch_warnings():
        # fastmcp warns that it keeps tokens in memory only.
        warnings.simplefilter("ignore", UserWarning)
        auth = HeadlessOAuth(Browser(exchanges), mcp_url=url, client_id=client_id, callback_port=CALLBACK_PORT)
    transport = StreamableHttpTransport(url, auth=auth, httpx_client_factory=Recorder(exchanges).make_client)
    async with fastmcp.Client(transport) as client:
        yield client


CLIENTS: dict[str, Callable[..., Any]] = {"sdk": sdk_client, "fastmcp": fastmcp_client}
