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
"""The beginning of the line that is printed when the server accepts requests."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that clients can connect to from now on, served or not."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family)


def origin_of(listener: socket.socket, host: str) -> str:
    """What a client on this machine calls the server."""
    name = LOOPBACK.get(host, host)
    port = listener.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def prepare(package: str, database: Path) -> str | None:
    """Set Django up for one of the two sites, make its tables and fill them. What went wrong, if anything did."""
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{package}.settings"
    django.setup()

    # Models and whatever imports them have to wait for `setup`.
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
    """Prints a line when it accepts requests, and handles signals."""

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
        # The guard trusts headers with certificates because of the peer's address, so no other header may change it.
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
    # Not `sys.stdin.read`: Python could not leave while another thread holds that file's lock.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


def why_not_listening(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is already in use. Choose another with --port, or --port 0 for any that is free."
    return f"Cannot listen on {host}, port {port}: {error.strerror}."


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
