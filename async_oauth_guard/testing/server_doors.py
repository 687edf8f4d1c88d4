"""The two doors of that server: one in this process, without a socket, and one on a port."""

import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import httpx

from ..transport import STAND_INS
from .environment import is_test_environment
from .server_endpoints import Answer, Request
from .server_faults import NoAnswerError

__all__ = ["InProcess", "Port"]

_HOST = "127.0.0.1"
# Seconds for a client to say what it wants.
_PATIENCE = 10
# Bytes.
_LONGEST_BODY = 1_048_576

_Answering = Callable[[Request], Answer]


class InProcess:
    """Answers what guards of this process call out for; nothing leaves the process, and nobody waits."""

    def __init__(self, answer: _Answering) -> None:
        self._answer = answer
        self._origins: set[str] = set()

    def open(self, origins: set[str]) -> None:
        """Stand in for what is at ``origins``.

        Raises:
            RuntimeError: another does.
        """
        for origin in sorted(origins & STAND_INS.keys()):
            raise RuntimeError(
                f"another server stands in for {origin}: leave that one first, or give this one an issuer of its own"
            )
        self._origins = origins
        STAND_INS.update(dict.fromkeys(origins, self.make_client))

    def close(self) -> None:
        """Let calls go out again."""
        for origin in self._origins:
            del STAND_INS[origin]
        self._origins = set()

    def make_client(self) -> httpx.AsyncClient:
        """A client whose calls end up here."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._respond), trust_env=False)

    def _respond(self, sent: httpx.Request) -> httpx.Response:
        if not is_test_environment():
            # Whoever forgot to leave it must not have it trusted in earnest.
            raise httpx.ConnectError("this server answers within tests only", request=sent)
        headers = {name.lower(): value for name, value in sent.headers.items()}
        try:
            answer = self._answer(Request(sent.method, str(sent.url), headers, sent.content))
        except NoAnswerError as error:
            if error.fault.name == "slow":
                # As if all the time had passed.
                raise httpx.ReadTimeout("no answer in time", request=sent) from None
            raise httpx.ConnectError("connection refused", request=sent) from None
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)


class Port:
    """Listens on the loopback address, on threads of its own.

    Raises:
        OSError: ``port`` is in use, or not ours to have.
    """

    def __init__(self, answer: _Answering, port: int) -> None:
        self._server = _listen(answer, port)
        self.origin = self._server.origin
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.name = "fake authorization server"
        self._thread.start()

    def close(self) -> None:
        """Take no more connections. Those that wait for an answer are to be released first."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _listen(answer: _Answering, port: int) -> "_Server":
    try:
        return _Server((_HOST, port), _handler(answer))
    except OSError as error:
        because = f"{error.strerror}: nothing can listen on port {port} of {_HOST}; on_port() takes one that is free"
        raise OSError(error.errno, because) from None


class _Server(ThreadingHTTPServer):
    # A client that says nothing keeps nobody from leaving.
    daemon_threads = True
    origin = ""

    def server_bind(self) -> None:
        # Not the parent's, which looks up the name of this machine.
        socketserver.TCPServer.server_bind(self)
        self.origin = f"http://{_HOST}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


def _handler(answer: _Answering) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE

        def do_GET(self) -> None:
            origin = cast(_Server, self.server).origin
            asked = Request(self.command, origin + self.path, self._read_headers(), self._read_body())
            self.close_connection = True
            try:
                self._send(answer(asked))
            except NoAnswerError:
                # The connection is closed as it is.
                return

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def _read_headers(self) -> dict[str, str]:
            return {name.lower(): value for name, value in self.headers.items()}

        def _read_body(self) -> bytes:
            length = self.headers.get("Content-Length", "0")
            return self.rfile.read(min(int(length), _LONGEST_BODY)) if length.isdecimal() else b""

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else answer.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Leave the terminal to the tests."""

    return Handler
