"""The measured sites. RESULTS.md has a section for each."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Final

from . import machine
from .budgets import DATABASES
from .contenders import Tokens
from .databases import DATABASES as MAKE_DATABASE
from .processes import Generator, Pins, Server, generating, listening, run_child
from .remote import Authority, running_authority

LIBRARIES: Final = ("joserfc", "cryptography", "httpx", "h11", "requests")


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A measured site. ``tokens`` is the kind of tokens that its clients present."""

    title: str
    pins: Pins
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    about: str = ""
    tokens: Tokens = "opaque"
    authority: Authority | None = None

    @contextlib.contextmanager
    def serve(self) -> Iterator[tuple[Server, Generator]]:
        """The site behind a new uvicorn worker, and a load generator for it."""
        jwts = None if self.authority is None else self.authority.remote.jwts_file
        upstream = None if self.authority is None else self.authority.server
        with (
            listening("serve", self.variables, self.pins.server) as server,
            generating(server, self.pins, jwts, upstream) as generator,
        ):
            yield server, generator


@contextlib.contextmanager
def database_site(name: str, pins: Pins) -> Iterator[Site]:
    with MAKE_DATABASE[name]() as database:
        run_child("seed", database.variables)
        about = f"{database.version} on the same machine, drivers {machine.versions(machine.DRIVERS)}"
        yield Site(f"orm on {name}", pins, database.variables, f"Database: {about}; database CPU time is not counted")


@contextlib.contextmanager
def remote_site(name: str, tokens: Tokens, pins: Pins) -> Iterator[Site]:
    with running_authority(pins) as authority:
        about = f"Libraries: {machine.versions(LIBRARIES)}; {pins.authority_text}"
        yield Site(name, pins, authority.variables, about, tokens, authority)


@contextlib.contextmanager
def no_site(pins: Pins) -> Iterator[Site]:
    yield Site("process", pins)


SITES: Final[Mapping[str, Callable[[Pins], AbstractContextManager[Site]]]] = {
    **{name: functools.partial(database_site, name) for name in DATABASES},
    "jwt": functools.partial(remote_site, "jwt", "jwt"),
    "introspection": functools.partial(remote_site, "introspection", "opaque"),
    "process": no_site,
}
