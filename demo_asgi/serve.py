"""Make the database, say what can be asked, serve."""

import errno
import os
import socket
import sys
from pathlib import Path

import django
import uvicorn

from .curl import instructions

EVERYWHERE = {"0.0.0.0", "::"}
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
READY = "Serving on "
"""What the line begins with that is printed once requests are taken."""


def run(host: str, port: int, database: Path) -> int:
    """Serve until interrupted; the exit status."""
    try:
        listener = listen(host, port)
    except OSError as error:
        return _fail(_why_not(host, port, error))
    with listener:
        # The port comes first: where it is taken, no database is left behind.
        problem = prepare(host, database)
        if problem is not None:
            return _fail(problem)
        print(f"Database: {database}\n")
        origin = origin_of(listener, host)
        print("\n".join(instructions(origin)))
        serve(listener, f"{READY}{origin} (Ctrl-C stops it)")
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that clients can connect to from now on, served or not."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family)


def origin_of(listener: socket.socket, host: str) -> str:
    """What a client on this machine calls the server."""
    name = LOOPBACK.get(host, host)
    port = listener.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def prepare(host: str, database: Path) -> str | None:
    """Set Django up, make the tables and fill them. What went wrong, if anything did."""
    os.environ["DEMO_ASGI_DATABASE"] = str(database)
    os.environ.setdefault("DEMO_ASGI_ALLOWED_HOSTS", allowed_hosts(host))
    os.environ["DJANGO_SETTINGS_MODULE"] = "demo_asgi.settings"
    django.setup()

    # Models and whatever imports them have to wait for `setup`.
    from django.core.management import call_command
    from django.db import DatabaseError, connections

    from .seed import seed

    try:
        call_command("migrate", verbosity=0)
        seed()
    except DatabaseError as error:
        return f"Cannot use {database} as the database: {error}."
    finally:
        connections.close_all()
    return None


def allowed_hosts(host: str) -> str:
    """What a client may call the server: `ALLOWED_HOSTS`, separated by spaces."""
    if host in EVERYWHERE:
        return "*"
    return f"localhost 127.0.0.1 [::1] {f'[{host}]' if ':' in host else host}"


class AnnouncedServer(uvicorn.Server):
    """Says so when it takes requests, and signals."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self.announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.announcement, flush=True)


def serve(listener: socket.socket, announcement: str) -> None:
    """Answer requests until a signal comes."""
    config = uvicorn.Config(
        "demo_asgi.asgi:application",
        lifespan="off",
        ws="none",
        log_level="warning",
        # A token that somebody put into a query string would stand in the access log.
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    AnnouncedServer(config, announcement).run(sockets=[listener])


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is already in use. Choose another with --port, or --port 0 for any that is free."
    return f"Cannot listen on {host}, port {port}: {error.strerror}."


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
