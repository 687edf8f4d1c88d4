"""Child process: one uvicorn worker on a socket that it was handed."""

import argparse
import os
import socket
import sys
import threading

import uvicorn

from .limits import allow_many_connections


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--cpu", type=int)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    allow_many_connections()
    config = uvicorn.Config(
        "django.core.asgi:get_asgi_application",
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
    server = uvicorn.Server(config)
    stop_when_orphaned(server)
    server.run(sockets=[socket.socket(fileno=arguments.fd)])


def stop_when_orphaned(server: uvicorn.Server) -> None:
    """The parent holds the other end of stdin: it closes also when the parent is killed."""

    def wait() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=wait, name="parent watch", daemon=True).start()


if __name__ == "__main__":
    main()
