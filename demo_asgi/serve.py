"""Creates a database, and serves a site."""

import errno
import os
import socket
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Literal

import django
import uvicorn

EVERYWHERE = {"0.0.0.0", "::"}
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
READY = "Serving on "
"""How the line begins that a server prints when it accepts requests."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Clients can connect before the server runs."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family)


def origin_of(listener: socket.socket, host: str) -> str:
    """The origin of the server for clients on this machine."""
    name = LOOPBACK.get(host, host)
    port = listener.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def prepare(package: str, database: Path) -> str | None:
    """Set up Django for a site, create its tables and fill them. Return an error message, or ``None``."""
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{package}.settings"
    django.setup()

    # Models can be imported only after `setup`.
    from django.core.management import call_command
    from django.db import DatabaseError, connections

    try:
        call_command("migrate", verbosity=0)
        import_module(f"{package}.seed").seed()
    except DatabaseError as error:
        return f"Cannot use {database} as the database: {error}."
    finally:
        connections.close_all()
    return None


class AnnouncedServer(uvicorn.Server):
    """Prints a line when it accepts requests."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self.announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.announcement, flush=True)


def serve(
    listener: socket.socket,
    package: str,
    announcement: str,
    *,
    lifespan: Literal["on", "off"] = "off",
    ws: Literal["websockets-sansio", "none"] = "none",
    stop_at_eof: bool = False,
) -> None:
    """Serve requests until a signal arrives."""
    config = uvicorn.Config(
        f"{package}.asgi:application",
        lifespan=lifespan,
        ws=ws,
        # The guard trusts certificate headers by the peer's address, so no header may change that address.
        proxy_headers=False,
        log_level="warning",
        # The access log would contain tokens from query strings.
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = AnnouncedServer(config, announcement)
    if stop_at_eof:
        threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _stop_at_end_of_input(server: uvicorn.Server) -> None:
    # `sys.stdin.read` would hold a lock that Python needs to exit.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


def listen_error(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is already in use. Choose another with --port, or --port 0 for any free port."
    return f"Cannot listen on {host}, port {port}: {error.strerror}."


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
