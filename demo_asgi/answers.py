"""What a request is to be answered with, and what it was answered with, in the same words."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ANYTHING = "..."
"""In place of a word that a header field has to name: the field is there."""

_AUTH_PARAM = re.compile(r'([\w-]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of a response that matters.

    Attributes:
        status: the status code.
        body: members of the JSON body, or words of a body that is none.
        challenge: parameters of ``WWW-Authenticate: Bearer``; ``None`` where there is to be no such field.
        fields: header fields, each with a word that it has to name.
    """

    status: int
    body: Mapping[str, object] | str = ""
    challenge: Mapping[str, str] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join([self.brief(), *(f"{name}: {word}" for name, word in self.fields.items())])

    def brief(self) -> str:
        """Status, challenge and body."""
        return ", ".join([str(self.status), *self._challenge(), *self._body()])

    def _challenge(self) -> Iterator[str]:
        if self.challenge is not None:
            yield "Bearer " + ", ".join(f'{name}="{value}"' for name, value in self.challenge.items())

    def _body(self) -> Iterator[str]:
        if self.body:
            yield self.body if isinstance(self.body, str) else json.dumps(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it came: the names of its header fields in lower case, repeated ones joined with commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def observe(response: Response, expected: Answer) -> Answer:
    """``response`` as far as ``expected`` speaks of it: equal to ``expected`` where all is well."""
    return Answer(
        status=response.status,
        body=_observe_body(response.body, expected.body),
        challenge=_observe_challenge(response.headers.get("www-authenticate"), expected.challenge or {}),
        fields={name: _observe_field(response.headers, name, word) for name, word in expected.fields.items()},
    )


def _observe_body(body: bytes, expected: Mapping[str, object] | str) -> Mapping[str, object] | str:
    text = body.decode(errors="replace")
    if isinstance(expected, str):
        return expected if expected in text else text
    try:
        members = json.loads(text)
    except ValueError:
        return text
    if not isinstance(members, dict):
        return text
    return {name: members[name] for name in expected if name in members}


def _observe_challenge(challenge: str | None, expected: Mapping[str, str]) -> Mapping[str, str] | None:
    if challenge is None:
        return None
    scheme, _, params = challenge.partition(" ")
    seen = dict(_AUTH_PARAM.findall(params)) if scheme == "Bearer" else {"scheme": scheme}
    # An error that nobody expected counts as well; its description is for people and may change.
    named = [*expected, *(name for name in ("scheme", "error") if name not in expected)]
    return {name: seen[name] for name in named if name in seen}


def _observe_field(headers: Mapping[str, str], name: str, word: str) -> str:
    value = headers.get(name.lower(), "")
    if word == ANYTHING:
        return word if value else value
    words = [item.strip().lower() for item in value.split(",")]
    return word if word.lower() in words else value
