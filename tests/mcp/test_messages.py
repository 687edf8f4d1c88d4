"""What the demo's MCP servers make of messages that no good client sends."""

import http.client
from urllib.parse import urlsplit

import pytest

from demo_asgi.mcp.authority import Authority
from tests.answers import Answer
from tests.mcp.packages import require_packages

require_packages()

CALL = '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": %s}'
ADD = '{"name": "add_note", "arguments": {"text": "Never"}}'
LIST = '{"name": "list_notes", "arguments": {}}'

# By name: the body, and the status for a token that may only read.
MESSAGES: dict[str, tuple[str | bytes, int]] = {
    "a tool that reads": (CALL % LIST, 200),
    "a tool that writes": (CALL % ADD, 403),
    "an unknown tool": (CALL % '{"name": "drop_notes"}', 403),
    "no tool": (CALL % "{}", 403),
    "a tool with a name of another type": (CALL % '{"name": ["list_notes"]}', 403),
    "parameters of another type": (CALL % f"[{ADD}]", 400),
    # Python's parser takes the last one of two.
    "a tool that writes after one that reads": (CALL % f'{LIST}, "params": {ADD}', 403),
    "a tool that reads after one that writes": (CALL % f'{ADD}, "params": {LIST}', 200),
    "a method of another type": ('{"jsonrpc": "2.0", "id": 1, "method": ["tools/call"]}', 400),
    "a batch": (f"[{CALL % ADD}]", 400),
    "a response": ('{"jsonrpc": "2.0", "id": 1, "result": {}}', 400),
    "a notification": ('{"jsonrpc": "2.0", "method": "notifications/initialized"}', 202),
    "no JSON": ("tools/call", 400),
    "not UTF-8": (b'{"method": "\xff"}', 400),
    "nothing": ("", 400),
    "too deep": ("[" * 100_000, 400),
    "too long": (CALL % LIST + " " * 3_000_000, 400),
}

each_server = pytest.mark.parametrize("server", ["asgi", "django", "django-sync"])


def post(url: str, body: str | bytes, token: str | None) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("POST", parts.path, body.encode() if isinstance(body, str) else body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


@each_server
@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str, server: str, authority: Authority, origin: str) -> None:
    """A message that may do more than read needs the scope for writing. What is no message is refused."""
    body, status = MESSAGES[name]
    token = authority.server.jwt("notes:read", user="bob", audience=f"{origin}/mcp")
    assert post(f"{origin}/mcp/{server}", body, token).status == status
    assert "Never" not in post(f"{origin}/mcp/{server}", CALL % LIST, token).text


@each_server
@pytest.mark.parametrize("name", MESSAGES)
def test_without_a_token(name: str, server: str, origin: str) -> None:
    """Every message is refused with the same challenge."""
    answer = post(f"{origin}/mcp/{server}", MESSAGES[name][0], None)
    assert answer.status == 401
    (challenge,) = answer.challenges
    assert (challenge.scheme, challenge.parameters["scope"]) == ("bearer", "notes:read")


@each_server
def test_token_for_another_server(server: str, authority: Authority, origin: str) -> None:
    """A token whose audience is the MCP endpoint, not the resource of the document, is refused."""
    token = authority.server.jwt("notes:read", user="bob", audience=f"{origin}/mcp/{server}")
    assert post(f"{origin}/mcp/{server}", CALL % LIST, token).status == 401
