"""Runs the benchmark's authorization server in a separate process."""

import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .contenders import KNOWN_TOKENS
from .processes import Pins, Server, listening
from .project.settings_names import AUTHORITY_VARIABLE, DATABASE_VARIABLE
from .remote_tokens import Remote

# No view uses this database. If the guard did, the queries would be counted.
NO_DATABASE: Final = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


class Authority:
    """The authorization server. It can be stopped, and started again on the same port with the same keys."""

    def __init__(self, folder: pathlib.Path, pins: Pins) -> None:
        self.remote = Remote("", folder)
        self.pins = pins
        self.stack = contextlib.ExitStack()
        self.port = 0

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment of a site with remote tokens only."""
        return {
            DATABASE_VARIABLE: json.dumps(NO_DATABASE),
            AUTHORITY_VARIABLE: json.dumps([self.remote.issuer, str(self.remote.folder)]),
        }

    def start(self) -> None:
        serving = listening("authority", self.variables, self.pins.authority, self.port)
        self.server: Server = self.stack.enter_context(serving)
        self.port = self.server.port
        self.remote = dataclasses.replace(self.remote, issuer=f"http://127.0.0.1:{self.port}")

    def stop(self) -> None:
        self.stack.close()

    def take_counts(self) -> dict[str, dict[str, Any]]:
        """Requests to each path since the last `take_counts`, and the most at once."""
        counts: dict[str, dict[str, Any]] = json.loads(self.server.get("/counts"))
        return counts


@contextlib.contextmanager
def running_authority(pins: Pins) -> Iterator[Authority]:
    with tempfile.TemporaryDirectory(prefix="oauth_guard_bench_") as folder:
        authority = Authority(pathlib.Path(folder), pins)
        authority.start()
        try:
            remote = authority.remote
            remote.jwts_file.write_text("\n".join(remote.mint("RS256", KNOWN_TOKENS)))
            yield authority
        finally:
            authority.stop()
