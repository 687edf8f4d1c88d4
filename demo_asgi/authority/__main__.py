"""``python -m demo_asgi.authority``. The demo runs this command; you can also run it alone."""

import argparse
import os
import sys
import threading
from pathlib import Path

from demo_asgi import serve
from demo_asgi.authority.server import DemoServer
from demo_asgi.processes import INTERRUPTED, STOP_AT_EOF, exit_on_sigterm


def main() -> int:
    options = _parse()
    exit_on_sigterm()
    try:
        return run(options.port, options.state.absolute(), stop_at_eof=options.stop_at_eof)
    except KeyboardInterrupt:
        return INTERRUPTED


def run(port: int, state: Path, *, stop_at_eof: bool = False) -> int:
    """Serve until interrupted, and return the exit status."""
    try:
        with DemoServer(port, state) as server:
            print(f"{serve.READY}{server.issuer}", flush=True)
            _wait(stop_at_eof=stop_at_eof)
    except OSError as error:
        # An error without a file is about the port.
        if error.filename is None:
            return serve.fail(serve.listen_error("127.0.0.1", port, error))
        return serve.fail(f"Cannot use {state}: {error.strerror}.")
    except ValueError as error:
        return serve.fail(f"Cannot use {state}: {error}.")
    return 0


def _wait(*, stop_at_eof: bool) -> None:
    if not stop_at_eof:
        threading.Event().wait()
    while os.read(sys.stdin.fileno(), 4096):
        pass


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo_asgi.authority", description="The authorization server of the demo, alone."
    )
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument(
        "--state", type=Path, default=Path("demo_asgi.authority.json"), help="a file for its keys and tokens"
    )
    parser.add_argument(STOP_AT_EOF, action="store_true", help="stop at the end of standard input")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
