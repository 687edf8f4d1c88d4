"""``python -m demo_asgi.mcp``: a client signs in to an MCP server, and prints each request."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from demo_asgi.processes import INTERRUPTED, ServerStartError, exit_on_sigterm, running
from demo_asgi.serve import fail

from .authority import Authority
from .clients import CLIENTS, Exchange

SERVERS = {
    "asgi": "an ASGI application of the SDK, behind require_oauth.asgi",
    "django": "an async view with @require_oauth",
    "django-sync": "a sync view with @require_oauth",
}
CALLS = {"list_notes": {}, "add_note": {"text": "Call Bob"}}

# By the last part of the path of the request.
MEANINGS = {
    "oauth-protected-resource": "discovery: the MCP server names its authorization server",
    "oauth-authorization-server": "discovery: the authorization server names its endpoints",
    "register": "token: the client registers itself",
    "authorize": "token: the user agrees to {scope}",
    "token": "token: the client exchanges the code for a token",
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    exit_on_sigterm()
    try:
        with Authority() as authority, running("demo_asgi.mcp.server", authority.issuer) as origin:
            print(f"Authorization server: {authority.issuer}\nMCP server: {SERVERS[options.server]}, at {origin}")
            return asyncio.run(run_client(options.client, f"{origin}/mcp/{options.server}"))
    except KeyboardInterrupt:
        return INTERRUPTED
    except ServerStartError as error:
        return fail(str(error))


async def run_client(client: str, url: str) -> int:
    """Call both tools. Return 0 if the second tool required step-up, and the client did it."""
    exchanges: list[Exchange] = []
    print(f"\nThe client {client} connects to {url}:")
    async with CLIENTS[client](url, exchanges) as connection:
        _print(exchanges)
        for name, values in CALLS.items():
            earlier = len(exchanges)
            print(f"\nIt calls the tool {name}:")
            result = await connection.call_tool(name, values)
            _print(exchanges[earlier:])
            print(f"  Result: {result.content[0].text}")
    has_stepped_up = [each.status for each in exchanges if each.challenge] == [401, 403]
    return 0 if has_stepped_up and not result.is_error else 1


def _print(exchanges: Sequence[Exchange]) -> None:
    for each in exchanges:
        address = each.url.partition("?")[0]
        print(f"  {each.method:4} {address} {each.status}  {_explain(each)}")


def _explain(exchange: Exchange) -> str:
    if exchange.status == 401:
        where = exchange.parameter("resource_metadata")
        return f"no token: read {where}, and ask for the scope {exchange.parameter('scope')}"
    if exchange.status == 403:
        return f"step-up: the token lacks the scope {exchange.parameter('scope')}"
    query = parse_qs(urlsplit(exchange.url).query)
    place = exchange.path.removeprefix("/.well-known/").removeprefix("/").partition("/")[0]
    return MEANINGS.get(place, "call: the token is accepted").format(scope=query.get("scope", [""])[0])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo_asgi.mcp",
        description="Starts an MCP server, an authorization server and a client on free ports, and prints each request "
        "of the client: discovery, token, call and step-up.",
    )
    parser.add_argument("--client", choices=CLIENTS, default="sdk", help="default: %(default)s")
    parser.add_argument("--server", choices=SERVERS, default="asgi", help="default: %(default)s")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
