"""The expected and the observed part of a response, in the same form."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ANYTHING = "..."
"""Instead of a value of a header field: the field is present, with any value."""

_SCHEME = re.compile(r"(?:^|, )([\w-]+) (?=[\w-]+=)")
_AUTH_PARAM = re.compile(r'([\w-]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of a response that matters.

    Attributes:
        status: the status code.
        body: members of the JSON body, or text that another kind of body contains.
        challenge: parameters of the challenge that has an error, or of the first; ``None`` if there must be none. With
            ``scheme``, it is not the one for ``Bearer``.
        fields: header fields, each with a value that it must contain.
    """

    status: int
    body: Mapping[str, object] | str = ""
    challenge: Mapping[str, str] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join([self.brief(), *(f"{name}: {value}" for name, value in self.fields.items())])

    def brief(self) -> str:
        """Status, challenge and body."""
        return ", ".join([str(self.status), *self._challenge(), *self._body()])

    def _challenge(self) -> Iterator[str]:
        if self.challenge is not None:
            params = {"scheme": "Bearer", **self.challenge}
            yield f"{params.pop('scheme')} " + ", ".join(f'{name}="{value}"' for name, value in params.items())

    def _body(self) -> Iterator[str]:
        if self.body:
            yield self.body if isinstance(self.body, str) else json.dumps(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it was received: the names of its header fields in lower case, repeated ones joined with commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def observe(response: Response, expected: Answer) -> Answer:
    """The part of ``response`` that ``expected`` names. Both are equal if the response is as expected."""
    return Answer(
        status=response.status,
        body=_observe_body(response.body, expected.body),
        challenge=_observe_challenge(response.headers.get("www-authenticate"), expected.challenge or {}),
        fields={name: _observe_field(response.headers, name, value) for name, value in expected.fields.items()},
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
    challenges = [(scheme, dict(_AUTH_PARAM.findall(params))) for scheme, params in _split(challenge)]
    scheme, seen = next((each for each in challenges if "error" in each[1]), challenges[0])
    if scheme != "Bearer":
        seen = {"scheme": scheme, **seen}
    # An unexpected error counts too. Its description is for people and may change.
    named = [*expected, *(name for name in ("scheme", "error") if name not in expected)]
    return {name: seen[name] for name in named if name in seen}


def _split(challenge: str) -> Iterator[tuple[str, str]]:
    """The challenges in a field, each with its scheme and its parameters."""
    _, *parts = _SCHEME.split(challenge)
    return zip(parts[::2], parts[1::2], strict=True)


def _observe_field(headers: Mapping[str, str], name: str, expected: str) -> str:
    value = headers.get(name.lower(), "")
    if expected == ANYTHING:
        return expected if value else value
    items = [item.strip().lower() for item in value.split(",")]
    return expected if expected.lower() in items else value
