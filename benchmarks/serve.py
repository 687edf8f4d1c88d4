"""Child process: one uvicorn worker on a socket of its parent."""

import argparse
import socket

import uvicorn

from . import child
from .limits import allow_many_connections


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    arguments = child.parse(parser)
    allow_many_connections()
    config = uvicorn.Config(
        "benchmarks.project.application:make_application",
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
    server = uvicorn.Server(config)
    child.when_orphaned(lambda: setattr(server, "should_exit", True))
    server.run(sockets=[socket.socket(fileno=arguments.fd)])


if __name__ == "__main__":
    main()
