"""Child process: the test kit's server on a port. Almost every token is active, at once or later. It counts calls."""

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

NO: Final = ServerResponse.json({"active": False})


class Books:
    """The number of requests since the last look, by path."""

    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.in_flight: collections.Counter[str] = collections.Counter()
        self.most_in_flight: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def entry(self, path: str) -> Iterator[None]:
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
    """The path of an introspection endpoint ends in the milliseconds that its answers take."""

    def __init__(self, port: int, state: pathlib.Path) -> None:
        self.books = Books()
        self.yes: ServerResponse | None = None
        self.server = FakeAuthorizationServer(
            audience=AUDIENCE, algorithm=ALGORITHMS, discovery="rfc8414", respond=self.respond
        ).on_port(port, state=state)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self.server as server:
            now = int(time.time())
            verdict = {"active": True, "iss": server.issuer, "aud": AUDIENCE, "sub": "42", "client_id": CLIENT_ID}
            times = {"iat": now, "exp": now + LIFETIME}
            self.yes = ServerResponse.json(verdict | times | {"scope": GRANTED_SCOPE, "token_type": "Bearer"})
            yield

    async def respond(self, request: ServerRequest) -> ServerResponse | None:
        if self.yes is None:
            # The port is open before the server is ready to mint.
            return ServerResponse(503)
        match request.path.split("/")[1:]:
            case ["books"]:
                return ServerResponse.json(self.books.take())
            case ["mint", algorithm, number, thumbprint]:
                claims = {"cnf": {"jkt": thumbprint}} if thumbprint else {}
                return ServerResponse.json([self.mint(algorithm, claims) for _ in range(int(number))])
            case ["introspect", _, milliseconds]:
                with self.books.entry(request.path):
                    if milliseconds != "0":
                        await asyncio.sleep(int(milliseconds) / 1000)
                    return NO if request.form["token"].startswith(UNKNOWN) else self.yes
            case _ if request.endpoint != "unknown":
                with self.books.entry(request.path):
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
