"""A strict reader of ``WWW-Authenticate`` field values (RFC 9110 §11.6.1), written apart from what writes them.

::

    WWW-Authenticate = #challenge
    challenge        = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
    auth-param       = token BWS "=" BWS ( token / quoted-string )

What a sender must not send is refused although a recipient could live with it: empty list elements (§5.6.1.1), bad
whitespace (§5.6.3), text outside ASCII in quoted strings (§5.5), a parameter that is repeated (§11.2).
"""

import re
from dataclasses import dataclass, field

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
TOKEN68 = r"[0-9A-Za-z._~+/-]+=*"
QUOTED_STRING = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"'

_SCHEME = re.compile(rf"(?P<scheme>{TOKEN})(?P<spaces> +)?")
_PARAMETER = re.compile(rf"(?P<name>{TOKEN})=(?:(?P<token>{TOKEN})|(?P<quoted>{QUOTED_STRING}))(?=[ \t]*(?:,|\Z))")
_TOKEN68 = re.compile(rf"(?P<token68>{TOKEN68})(?=[ \t]*(?:,|\Z))")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


@dataclass
class Challenge:
    """One challenge. Scheme and parameter names are case-insensitive and given in lower case."""

    scheme: str
    token68: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)


def read_challenges(value: str) -> list[Challenge]:
    """The challenges of one field value.

    Raises:
        ValueError: it is not one that a server may send.
    """
    challenges: list[Challenge] = []
    position = 0
    while True:
        position = _read_element(value, position, challenges)
        if position == len(value):
            return challenges
        comma = _COMMA.match(value, position)
        if not comma:
            raise ValueError(f"no comma where one belongs, at {position} of {value!r}")
        position = comma.end()


def _read_element(value: str, position: int, challenges: list[Challenge]) -> int:
    # After a comma, `name=value` goes on with the challenge before; anything else begins a new one.
    parameter = _PARAMETER.match(value, position)
    if parameter and challenges:
        return _add_parameter(parameter, challenges[-1])
    scheme = _SCHEME.match(value, position)
    if not scheme:
        raise ValueError(f"no challenge where one belongs, at {position} of {value!r}")
    challenge = Challenge(scheme["scheme"].lower())
    challenges.append(challenge)
    if not scheme["spaces"]:
        return scheme.end()
    if parameter := _PARAMETER.match(value, scheme.end()):
        return _add_parameter(parameter, challenge)
    token68 = _TOKEN68.match(value, scheme.end())
    if not token68:
        raise ValueError(f"nothing that may follow a scheme, at {scheme.end()} of {value!r}")
    challenge.token68 = token68["token68"]
    return token68.end()


def _add_parameter(match: re.Match[str], challenge: Challenge) -> int:
    name = match["name"].lower()
    if challenge.token68 is not None:
        raise ValueError(f"a parameter {name} after a token68")
    if name in challenge.parameters:
        raise ValueError(f"the parameter {name} is repeated")
    quoted = match["quoted"]
    challenge.parameters[name] = match["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1:-1])
    return match.end()
