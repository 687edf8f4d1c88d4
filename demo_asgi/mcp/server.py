"""``python -m demo_asgi.mcp.server ISSUER``: both MCP servers, on a free port."""

import argparse
import os
import sys

from demo_asgi.processes import INTERRUPTED, STOP_AT_EOF, exit_on_sigterm
from demo_asgi.serve import READY, listen, origin_of, serve

HOST = "127.0.0.1"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo_asgi.mcp.server", description="The MCP servers of the demo.")
    parser.add_argument("issuer", help="the authorization server")
    parser.add_argument(STOP_AT_EOF, action="store_true", help="stop at the end of standard input")
    options = parser.parse_args()
    exit_on_sigterm()
    with listen(HOST, 0) as listener:
        origin = origin_of(listener, HOST)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "demo_asgi.mcp.settings",
            "DEMO_MCP_ISSUER": options.issuer,
            "DEMO_MCP_ORIGIN": origin,
        }
        try:
            # The SDK's application starts its sessions when the server starts.
            serve(listener, "demo_asgi.mcp", f"{READY}{origin}", lifespan="on", stop_at_eof=options.stop_at_eof)
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
