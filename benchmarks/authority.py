"""Child process: the test kit's server on a port. Almost all tokens are active. It counts requests, and can be slow."""

import argparse
import asyncio
import collections
import contextlib
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

from async_oauth_guard.testing import FakeAuthorizationServer, ServerRequest, ServerResponse

from . import child
from .contenders import GRANTED_SCOPE, UNKNOWN
from .limits import allow_many_connections
from .remote_tokens import ALGORITHMS, AUDIENCE, CLIENT_ID, LIFETIME, Remote

INACTIVE: Final = ServerResponse.json({"active": False})


class RequestCounts:
    """Requests to each path since the last `take`."""

    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.in_flight: collections.Counter[str] = collections.Counter()
        self.most_in_flight: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def counting(self, path: str) -> Iterator[None]:
        self.calls[path] += 1
        self.in_flight[path] += 1
        self.most_in_flight[path] = max(self.most_in_flight[path], self.in_flight[path])
        try:
            yield
        finally:
            self.in_flight[path] -= 1

    def take(self) -> dict[str, Any]:
        taken = {path: {"calls": self.calls[path], "most_in_flight": self.most_in_flight[path]} for path in self.calls}
        self.calls.clear()
        self.most_in_flight.clear()
        return taken


class Authority:
    """The authorization server. The path of an introspection endpoint ends with its delay in milliseconds."""

    def __init__(self, port: int, state: pathlib.Path) -> None:
        self.counts = RequestCounts()
        self.active: ServerResponse | None = None
        self.server = FakeAuthorizationServer(
            audience=AUDIENCE, algorithm=ALGORITHMS, discovery="rfc8414", respond=self.respond
        ).on_port(port, state=state)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self.server as server:
            now = int(time.time())
            claims = {"active": True, "iss": server.issuer, "aud": AUDIENCE, "sub": "42", "client_id": CLIENT_ID}
            times = {"iat": now, "exp": now + LIFETIME}
            self.active = ServerResponse.json(claims | times | {"scope": GRANTED_SCOPE, "token_type": "Bearer"})
            yield

    async def respond(self, request: ServerRequest) -> ServerResponse | None:
        if self.active is None:
            # The port is open before the server can mint tokens.
            return ServerResponse(503)
        match request.path.split("/")[1:]:
            case ["counts"]:
                return ServerResponse.json(self.counts.take())
            case ["mint", algorithm, number, thumbprint]:
                claims = {"cnf": {"jkt": thumbprint}} if thumbprint else {}
                return ServerResponse.json([self.mint(algorithm, claims) for _ in range(int(number))])
            case ["introspect", _, milliseconds]:
                with self.counts.counting(request.path):
                    if milliseconds != "0":
                        await asyncio.sleep(int(milliseconds) / 1000)
                    return INACTIVE if request.form["token"].startswith(UNKNOWN) else self.active
            case _ if request.endpoint != "unknown":
                with self.counts.counting(request.path):
                    return None
            case _:
                return None

    def mint(self, algorithm: str, claims: dict[str, Any]) -> str:
        return self.server.jwt(
            GRANTED_SCOPE,
            subject="42",
            client_id=CLIENT_ID,
            expires_in=LIFETIME,
            algorithm=algorithm,
            claims=claims,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    arguments = child.parse(parser)
    allow_many_connections()
    with socket.socket(fileno=arguments.fd) as reserved:
        port = reserved.getsockname()[1]
    with Authority(port, Remote.from_environment().state_file).running():
        child.wait_for_parent()


if __name__ == "__main__":
    main()
