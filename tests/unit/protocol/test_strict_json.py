"""JSON that all parsers read alike."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_oauth_guard.protocol.strict_json import read_json
from tests.unit.characters import ANY_CHARACTER

GOOD: list[tuple[bytes, Any]] = [
    (b"{}", {}),
    (b"[]", []),
    (b" \t\r\n1 ", 1),
    (b"true", True),
    (b'"x"', "x"),
    (b"-0", 0),
    (b"1.5e3", 1500.0),
    (b"5e-400", 0.0),
    (b'{"a": {"a": 1}, "b": {"a": 2}}', {"a": {"a": 1}, "b": {"a": 2}}),
    ('{"a": "é\U0001f600"}'.encode(), {"a": "é\U0001f600"}),
    (rb'"\ud83d\ude00"', "\U0001f600"),
    (rb'"\u0000\u00e9"', "\0é"),
    (rb'"\\ud800"', "\\ud800"),
    (b"9" * 100, int("9" * 100)),
    (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
    (b'["' + b"[{" * 50 + b'"]', ["[{" * 50]),
    (rb'["\"' + b"[" * 50 + b'"]', ['"' + "[" * 50]),
    (b"[" + b"[]," * 50 + b"[]]", [[]] * 51),
]


@pytest.mark.parametrize(("text", "value"), GOOD, ids=repr)
def test_good(text: bytes, value: Any) -> None:
    """Valid JSON is read."""
    assert read_json(text) == value


BAD: dict[str, bytes] = {
    "nothing": b"",
    "white space": b"  ",
    "not JSON": b"active",
    "half": b'{"a": 1',
    "two values": b"{}{}",
    "comma": b"[1,]",
    "quotes": b"{'a': 1}",
    "control character": b'"a\nb"',
    "NaN": b"NaN",
    "Infinity": b'{"exp": Infinity}',
    "-Infinity": b"-Infinity",
    "infinite": b'{"exp": 1e400}',
    "-infinite": b"-1e400",
    "too many digits": b"9" * 101,
    "far too many digits": b"9" * 100_000,
    "a level too many": b"[" * 33 + b"]" * 33,
    "a level too many, of both kinds": b'{"a":[' * 16 + b"[]" + b"]}" * 16,
    "a level too many, beside a string": b'["' + b"]" * 50 + b'",' + b"[" * 33 + b"]" * 34,
    "a level too many, beside a string without end": b"[" * 33 + b"]" * 33 + b'"',
    "member twice": b'{"active": false, "active": true}',
    "member twice, escaped": rb'{"active": false, "\u0061ctive": true}',
    "member twice, deep": b'{"a": [{"b": 1, "b": 1}]}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16-le"),
    "UTF-16 with mark": '{"a": 1}'.encode("utf-16"),
    "UTF-32": '{"a": 1}'.encode("utf-32-le"),
    "Latin-1": '"é"'.encode("latin-1"),
    "overlong": b'"\xc0\xaf"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "half a pair": rb'"\ud800"',
    "the other half": rb'{"a": "\uDFFF"}',
    "halves the wrong way round": rb'["\ude00\ud83d"]',
    "half a pair as a name": rb'{"\ud800": 1}',
    "nested too deeply": b"[" * 1_000_000,
    "nested too deeply, closed": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad(text: bytes) -> None:
    """R45, R48, R49, R68: JSON that two parsers might read differently is refused."""
    assert read_json(text) is None


def test_null() -> None:
    """``null`` gives ``None`` as well."""
    assert read_json(b"null") is None


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(ANY_CHARACTER),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(ANY_CHARACTER), parts),
    max_leaves=10,
)


@given(values)
def test_what_others_wrote(value: Any) -> None:
    """Any value that Python writes is read as that value."""
    assert read_json(json.dumps(value).encode()) == value


@given(st.binary() | st.text('{}[]",:0123456789eE+-.\\uadtrfnls ').map(str.encode))
def test_never_an_error(text: bytes) -> None:
    """Any input is read or refused without an error, and a value that is read can be written again."""
    json.dumps(read_json(text), allow_nan=False).encode()
