"""Runs the demo's server and its authorization server."""

import os
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from .curl import instructions
from .processes import ServerStartError, exit_on_sigterm, running
from .requests import AUTHORITY, DEMO
from .serve import EVERYWHERE, READY, fail, listen, listen_error, origin_of, prepare, serve


def run(host: str, port: int, database: Path, *, authority: str | None = None, stop_at_eof: bool = False) -> int:
    """Serve until interrupted, and return the exit status. Without ``authority``, start an authorization server."""
    try:
        listener = listen(host, port)
    except OSError as error:
        return fail(listen_error(host, port, error))
    exit_on_sigterm()
    with listener:
        # Open the ports first: if one is in use, no database is created.
        try:
            with nullcontext(authority) if authority else _authority(port, database) as issuer:
                return _serve(listener, host, database, issuer, stop_at_eof=stop_at_eof)
        except ServerStartError:
            # The other process has printed the error.
            return 1


def allowed_hosts(host: str) -> str:
    """The value of `ALLOWED_HOSTS`, separated by spaces."""
    if host in EVERYWHERE:
        return "*"
    return f"localhost 127.0.0.1 [::1] {f'[{host}]' if ':' in host else host}"


def _authority(port: int, database: Path) -> AbstractContextManager[str]:
    next_port = port + 1 if 0 < port < 65535 else 0
    state = database.with_name(f"{database.stem}.authority.json")
    return running("demo_asgi.authority", "--port", str(next_port), "--state", str(state))


def _serve(listener: socket.socket, host: str, database: Path, issuer: str, *, stop_at_eof: bool) -> int:
    os.environ["DEMO_ASGI_DATABASE"] = str(database)
    os.environ["DEMO_ASGI_ISSUER"] = issuer
    origin = os.environ["DEMO_ASGI_ORIGIN"] = origin_of(listener, host)
    os.environ.setdefault("DEMO_ASGI_ALLOWED_HOSTS", allowed_hosts(host))
    error = prepare("demo_asgi", database)
    if error is not None:
        return fail(error)
    print(f"Database: {database}\n")
    print("\n".join(instructions({DEMO: origin, AUTHORITY: issuer})))
    announcement = f"{READY}{origin} (Ctrl-C stops it)"
    serve(listener, "demo_asgi", announcement, ws="websockets-sansio", stop_at_eof=stop_at_eof)
    return 0
