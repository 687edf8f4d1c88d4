"""``python -m demo_asgi.authority``: started by the demo, or by hand to look at it alone."""

import argparse
import os
import sys
from pathlib import Path

from demo_asgi import serve
from demo_asgi.processes import INTERRUPTED, STOP_AT_EOF


def main() -> int:
    options = _parse()
    try:
        return run(options.host, options.port, options.database.absolute(), stop_at_eof=options.stop_at_eof)
    except KeyboardInterrupt:
        return INTERRUPTED


def run(host: str, port: int, database: Path, *, stop_at_eof: bool = False) -> int:
    """Serve until interrupted; the exit status."""
    try:
        listener = serve.listen(host, port)
    except OSError as error:
        return serve.fail(serve.why_not_listening(host, port, error))
    with listener:
        origin = serve.origin_of(listener, host)
        os.environ["DEMO_AUTHORITY_ISSUER"] = origin
        os.environ["DEMO_AUTHORITY_DATABASE"] = str(database)
        problem = serve.prepare("demo_asgi.authority", database)
        if problem is not None:
            return serve.fail(problem)
        serve.serve(listener, "demo_asgi.authority", f"{serve.READY}{origin}", stop_at_eof=stop_at_eof)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo_asgi.authority", description="The authorization server of the demo, alone."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--database", type=Path, default=Path("demo_asgi.authority.sqlite3"))
    parser.add_argument(STOP_AT_EOF, action="store_true", help="stop at the end of standard input")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
