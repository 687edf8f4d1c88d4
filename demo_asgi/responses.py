"""Summaries of expected and received responses, for comparison."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ANYTHING = "..."
"""A header field with this expected value may have any value, but must be present."""

_SCHEME = re.compile(r"(?:^|, )([\w-]+) (?=[\w-]+=)")
_AUTH_PARAM = re.compile(r'([\w-]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class ResponseSummary:
    """The parts of a response that are compared.

    Attributes:
        status: the status code.
        body: some members of the JSON body, or a text that the body contains.
        challenge: parameters of the challenge with an error, or of the first challenge; ``None`` without a
            challenge. ``scheme`` is the authentication scheme, if it is not ``Bearer``.
        fields: header fields, each with one of its values.
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
class RawResponse:
    """A response as received. Names of header fields are in lower case. Repeated fields are joined with commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def summarize(response: RawResponse, expected: ResponseSummary) -> ResponseSummary:
    """Return the parts of ``response`` that ``expected`` names. Both are equal if the response is as expected."""
    return ResponseSummary(
        status=response.status,
        body=_summarize_body(response.body, expected.body),
        challenge=_summarize_challenge(response.headers.get("www-authenticate"), expected.challenge or {}),
        fields={name: _summarize_field(response.headers, name, value) for name, value in expected.fields.items()},
    )


def _summarize_body(body: bytes, expected: Mapping[str, object] | str) -> Mapping[str, object] | str:
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


def _summarize_challenge(challenge: str | None, expected: Mapping[str, str]) -> Mapping[str, str] | None:
    if challenge is None:
        return None
    challenges = [(scheme, dict(_AUTH_PARAM.findall(text))) for scheme, text in _split(challenge)]
    scheme, params = next((each for each in challenges if "error" in each[1]), challenges[0])
    if scheme != "Bearer":
        params = {"scheme": scheme, **params}
    # Compare an unexpected error too. Its description may change, so it is not compared.
    named = [*expected, *(name for name in ("scheme", "error") if name not in expected)]
    return {name: params[name] for name in named if name in params}


def _split(challenge: str) -> Iterator[tuple[str, str]]:
    """The scheme and the parameters of each challenge."""
    _, *parts = _SCHEME.split(challenge)
    return zip(parts[::2], parts[1::2], strict=True)


def _summarize_field(headers: Mapping[str, str], name: str, expected: str) -> str:
    value = headers.get(name.lower(), "")
    if expected == ANYTHING:
        return expected if value else value
    items = [item.strip().lower() for item in value.split(",")]
    return expected if expected.lower() in items else value
