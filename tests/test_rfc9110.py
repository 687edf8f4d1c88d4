"""The reader of challenges reads what RFC 9110 allows, and nothing else."""

import pytest

from tests.rfc9110 import Challenge, read_challenges

GOOD = [
    ('Bearer realm="api"', [Challenge("bearer", None, {"realm": "api"})]),
    ("Bearer realm=api", [Challenge("bearer", None, {"realm": "api"})]),
    ('Bearer REALM="a\\"b\\\\c"', [Challenge("bearer", None, {"realm": 'a"b\\c'})]),
    ('Bearer realm="a, b=\\"c\\""', [Challenge("bearer", None, {"realm": 'a, b="c"'})]),
    ('Bearer realm=""', [Challenge("bearer", None, {"realm": ""})]),
    ('Bearer realm="x",error="y" , scope="z"', [Challenge("bearer", None, {"realm": "x", "error": "y", "scope": "z"})]),
    ("Negotiate", [Challenge("negotiate")]),
    ("Bearer realm=", [Challenge("bearer", "realm=")]),
    ("Negotiate YWJj==", [Challenge("negotiate", "YWJj==")]),
    ("Negotiate YWJj, Basic", [Challenge("negotiate", "YWJj"), Challenge("basic")]),
    (
        'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
        [
            Challenge("newauth", None, {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
            Challenge("basic", None, {"realm": "simple"}),
        ],
    ),
    (
        'Bearer realm="x", DPoP algs="ES256"',
        [Challenge("bearer", None, {"realm": "x"}), Challenge("dpop", None, {"algs": "ES256"})],
    ),
]

BAD = [
    "",
    " ",
    ",",
    'Bearer realm="x",',
    ', Bearer realm="x"',
    'Bearer realm="x",, error="y"',
    'Bearer realm="x" error="y"',
    'Bearer realm="x"; error="y"',
    'Bearer realm = "x"',
    'Bearer realm="x',
    'Bearer realm="a"b"',
    'Bearer realm="é"',
    'Bearer realm="a\x07b"',
    'Bearer realm="a\\"',
    "Bearer realm=a b",
    'Bearer "x"',
    "Bearer ",
    'realm="x"',
    'Bearer realm="x", realm="y"',
    'Bearer realm="x", REALM="x"',
    'Negotiate YWJj, realm="x"',
    "Bearer=x",
    'Bearer\trealm="x"',
    '=?utf-8?b?QmVhcmVy?= realm="x"',
]


@pytest.mark.parametrize(("value", "expected"), GOOD)
def test_reads(value: str, expected: list[Challenge]) -> None:
    """R15: a well-formed field value is read in full."""
    assert read_challenges(value) == expected


@pytest.mark.parametrize("value", BAD)
def test_refuses(value: str) -> None:
    """R15: a field value that no server may send is refused, repeated parameters included."""
    with pytest.raises(ValueError):
        read_challenges(value)
