"""A server's answer, in the same form whichever way the request was sent."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.rfc9110 import Challenge, read_challenges

RawHeaders = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """Status, header lines as sent, and the body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def lines(self, name: str) -> list[str]:
        """The values of every line of that name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of the only line of that name, or ``None``."""
        lines = self.lines(name)
        assert len(lines) <= 1, f"{name} was sent {len(lines)} times"
        return lines[0] if lines else None

    def members(self, name: str) -> set[str]:
        """A list-valued header as a set of its members, in lower case."""
        return {member.strip().lower() for line in self.lines(name) for member in line.split(",")}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def challenges(self) -> list[Challenge]:
        """The challenges of every ``WWW-Authenticate`` line, read strictly."""
        return [challenge for line in self.lines("WWW-Authenticate") for challenge in read_challenges(line)]

    @property
    def text(self) -> str:
        """All of it, to look for what must not be there."""
        return "\n".join(f"{name}: {value}" for name, value in self.headers) + "\n\n" + self.body.decode("latin-1")


def bearer(token: str, scheme: str = "Bearer") -> list[tuple[bytes, bytes]]:
    """The header lines that present ``token``."""
    return [(b"authorization", f"{scheme} {token}".encode("latin-1"))]
