"""Child process: an authorization server that publishes its keys, and says yes to every token, at once or later."""

import argparse
import asyncio
import collections
import dataclasses
import json
import os
import socket
import sys
import threading
import time
from typing import Any, Final, cast

import uvloop

from .contenders import GRANTED_SCOPE
from .limits import allow_many_connections
from .remote_tokens import AUDIENCE, CLIENT_ID, LIFETIME, Remote

HEAD_END: Final = b"\r\n\r\n"


class Books:
    """What was asked for since the last look, by path."""

    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.in_flight: collections.Counter[str] = collections.Counter()
        self.most_in_flight: collections.Counter[str] = collections.Counter()

    def begin(self, path: str) -> None:
        self.calls[path] += 1
        self.in_flight[path] += 1
        self.most_in_flight[path] = max(self.most_in_flight[path], self.in_flight[path])

    def end(self, path: str) -> None:
        self.in_flight[path] -= 1

    def take(self) -> dict[str, Any]:
        taken = {path: {"calls": self.calls[path], "most_in_flight": self.most_in_flight[path]} for path in self.calls}
        self.calls.clear()
        self.most_in_flight.clear()
        return taken


class Documents:
    """The answers by path; the path of an introspection endpoint ends in the milliseconds that its answers take."""

    def __init__(self, port: int) -> None:
        # Which port it is was not known to who made the environment.
        remote = dataclasses.replace(Remote.from_environment(), issuer=f"http://127.0.0.1:{port}")
        issuer = remote.issuer
        metadata = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/keys",
            "introspection_endpoint": f"{issuer}/introspect/found/0",
        }
        self.documents = {
            "/.well-known/oauth-authorization-server": json.dumps(metadata).encode(),
            "/keys": json.dumps(remote.public_keys.as_dict(private=False)).encode(),
        }
        now = int(time.time())
        self.verdict = json.dumps(
            {
                "active": True,
                "iss": issuer,
                "aud": AUDIENCE,
                "sub": "42",
                "client_id": CLIENT_ID,
                "scope": GRANTED_SCOPE,
                "token_type": "Bearer",
                "iat": now,
                "exp": now + LIFETIME,
            }
        ).encode()

    def find(self, path: str) -> tuple[float, bytes] | None:
        """After how many seconds which document is sent."""
        if path.startswith("/introspect/"):
            return int(path.rpartition("/")[2]) / 1000, self.verdict
        document = self.documents.get(path)
        return None if document is None else (0.0, document)


class Connection(asyncio.Protocol):
    """One kept-alive connection; its requests are answered one by one."""

    def __init__(self, documents: Documents, books: Books) -> None:
        self.documents = documents
        self.books = books
        self.received = b""
        self.waiting: tuple[str, asyncio.TimerHandle] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(HEAD_END)
        if end and len(body) >= content_length(head):
            self.received = b""
            self.answer(head.split(b" ", 2)[1].decode("latin-1"))

    def answer(self, path: str) -> None:
        if path == "/books":
            self.send(b"200 OK", json.dumps(self.books.take()).encode())
            return
        found = self.documents.find(path)
        if found is None:
            self.send(b"404 Not Found", b"{}")
            return
        self.books.begin(path)
        seconds, document = found
        if seconds:
            self.waiting = path, asyncio.get_running_loop().call_later(seconds, self.finish, path, document)
        else:
            self.finish(path, document)

    def finish(self, path: str, document: bytes) -> None:
        self.waiting = None
        self.books.end(path)
        self.send(b"200 OK", document)

    def send(self, status: bytes, document: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(document), document)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None:
            path, handle = self.waiting
            handle.cancel()
            self.books.end(path)


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(listener: socket.socket) -> None:
    documents, books = Documents(listener.getsockname()[1]), Books()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(documents, books), sock=listener, backlog=2048)
    await server.serve_forever()


def end_when_orphaned() -> None:
    """The parent holds the other end of stdin: it closes also when the parent is killed."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, name="parent watch", daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--cpu", type=int)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    allow_many_connections()
    end_when_orphaned()
    uvloop.run(serve(socket.socket(fileno=arguments.fd)))


if __name__ == "__main__":
    main()
