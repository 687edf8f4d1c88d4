"""The benchmark's own authorization server, in a process beside the measured one."""

import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

from . import machine
from .processes import Pins, Server, listening
from .project.settings_names import AUTHORITY_VARIABLE, DATABASE_VARIABLE
from .remote_tokens import KNOWN_TOKENS, Remote, make_keys, opaque_tokens

# Nothing is read from it; were anything, it would be counted.
DATABASE: Final = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
LIBRARIES: Final = ("joserfc", "cryptography", "httpx", "requests")


@dataclasses.dataclass(frozen=True, slots=True)
class RemoteSite:
    """A site whose tokens ``remote`` vouches for."""

    remote: Remote

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            DATABASE_VARIABLE: json.dumps(DATABASE),
            AUTHORITY_VARIABLE: json.dumps([self.remote.issuer, str(self.remote.folder)]),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    server: Server
    remote: Remote

    @property
    def site(self) -> RemoteSite:
        return RemoteSite(self.remote)

    def take_books(self) -> dict[str, dict[str, Any]]:
        """The calls to each path, and the most at once, since the last look."""
        books: dict[str, dict[str, Any]] = json.loads(self.server.get("/books"))
        return books


@contextlib.contextmanager
def jwt_authority(pins: Pins) -> Iterator[Authority]:
    with running(pins) as authority:
        remote = authority.remote
        remote.tokens_file.write_text("\n".join(remote.mint("RS256", range(KNOWN_TOKENS))))
        yield authority


@contextlib.contextmanager
def introspection_authority(pins: Pins) -> Iterator[Authority]:
    with running(pins) as authority:
        authority.remote.tokens_file.write_text("\n".join(opaque_tokens()))
        yield authority


@contextlib.contextmanager
def running(pins: Pins) -> Iterator[Authority]:
    with tempfile.TemporaryDirectory(prefix="oauth_guard_bench_") as folder:
        unknown = Remote("", pathlib.Path(folder))
        make_keys(unknown.keys_file)
        with listening("authority", RemoteSite(unknown), pins.authority) as server:
            yield Authority(server, dataclasses.replace(unknown, issuer=f"http://127.0.0.1:{server.port}"))


def headline(about: list[str], pins: Pins) -> list[str]:
    beside = "" if pins.authority is None else f", authorization server to core {pins.authority}"
    return [
        *(f"- {line}" for line in about),
        f"- Libraries: {machine.versions(LIBRARIES)}",
        f"- One uvicorn worker (uvloop, httptools, no access log); {pins}{beside}",
    ]
