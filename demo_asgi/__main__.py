"""``python -m demo_asgi``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import site, tour
from .processes import INTERRUPTED, STOP_AT_EOF


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        if options.tour:
            return tour.run()
        return site.run(
            options.host,
            options.port,
            options.database.absolute(),
            authority=options.authority,
            stop_at_eof=options.stop_at_eof,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output, such as `head`, has stopped. At exit, Python would fail on the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo_asgi",
        description="A Django site whose views require OAuth 2 access tokens, and an authorization server that issues "
        "them. Creates and fills its database, prints curl lines with the expected responses, and serves.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=_port,
        default=8000,
        help="the authorization server takes the next one; 0 is any free one (default: %(default)s)",
    )
    parser.add_argument(
        "--database",
        type=Path,
        default=Path("demo_asgi.sqlite3"),
        metavar="PATH",
        help="SQLite file, created if it is missing (default: %(default)s in this folder); "
        "the authorization server's file is in the same folder",
    )
    parser.add_argument(
        "--authority",
        metavar="ISSUER",
        help="use this running authorization server instead of starting one",
    )
    parser.add_argument(STOP_AT_EOF, action="store_true", help="stop at the end of standard input")
    parser.add_argument(
        "--tour",
        action="store_true",
        help="start both servers on free ports with temporary databases, send all requests, and "
        "compare the responses: exit status 1 on any difference",
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
