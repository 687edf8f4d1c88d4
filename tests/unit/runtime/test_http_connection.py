"""A response that is read without h11: only if h11 would read the same."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_oauth_guard.runtime.http_connection import MAX_HEAD, read_whole_response

USUAL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def read_with_h11(received: bytes) -> tuple[int, dict[str, str], bytes]:
    """What h11 reads, if it is a complete response after which the connection may be used again."""
    http = h11.Connection(h11.CLIENT, MAX_HEAD)
    fields = [("Host", "as.example.com"), ("Content-Length", "0"), ("Connection", "keep-alive")]
    http.send(h11.Request(method="POST", target="/", headers=fields))
    http.send(h11.EndOfMessage())
    http.receive_data(received)
    response, body = http.next_event(), b""
    assert isinstance(response, h11.Response)
    while isinstance(event := http.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert http.trailing_data == (b"", False)
    http.start_next_cycle()
    names = [name for name, _ in response.headers]
    assert len(set(names)) == len(names)
    return response.status_code, {name.decode(): value.decode() for name, value in response.headers}, body


def changed(old: bytes, new: bytes) -> bytes:
    assert old in USUAL
    return USUAL.replace(old, new)


@pytest.mark.parametrize(
    "received",
    [
        USUAL,
        changed(b" OK", b""),
        changed(b" OK", b" "),
        changed(b" OK", b" all is well"),
        changed(b"Content-Type: ", b"Content-Type:"),
        changed(b"application/json", b"  application/json; charset=utf-8  "),
        changed(b"Content-Length", b"CONTENT-LENGTH"),
        changed(b"\r\n\r\n", b"\r\nConnection: Keep-Alive\r\nX-Empty:\r\n\r\n"),
        changed(b"2\r\n\r\n{}", b"0\r\n\r\n"),
    ],
)
def test_usual_responses(received: bytes) -> None:
    """Their status, header fields and body are those that h11 reads."""
    whole = read_whole_response(received)
    assert whole is not None
    assert (200, whole.fields, whole.body) == read_with_h11(received)


@pytest.mark.parametrize(
    "received",
    [
        b"",
        USUAL[:-1],
        USUAL + b"}",
        USUAL + USUAL,
        changed(b"HTTP/1.1", b"HTTP/1.0"),
        changed(b"200", b"404"),
        changed(b"200", b"204"),
        changed(b"200", b"2000"),
        changed(b"OK", "é".encode()),
        changed(b"\r\n", b"\n"),
        changed(b"\r\n\r\n", b"\r\n Folded: 1\r\n\r\n"),
        changed(b"Content-Type:", b"Content-Type :"),
        changed(b"Content-Type:", b"Content-Type"),
        changed(b"Content-Type", b""),
        changed(b"json", b"js\0on"),
        changed(b"json", b"js\ton"),
        changed(b"json", b"js\ron"),
        changed(b"json", "é".encode()),
        changed(b"Content-Length: 2\r\n", b""),
        changed(b"Length: 2", b"Length: +2"),
        changed(b"Length: 2", b"Length: 02"),
        changed(b"Length: 2", b"Length: 2, 2"),
        changed(b"Length: 2\r\n", b"Length: 2\r\nContent-Length: 2\r\n"),
        changed(b"Length: 2\r\n", b"Length: 2\r\ncontent-length: 3\r\n"),
        changed(b"Length: 2\r\n", b"Length: 2\r\nTransfer-Encoding: chunked\r\n"),
        changed(b"Length: 2\r\n", b"Length: 2\r\nTransfer-Encoding: identity\r\n"),
        changed(b"Length: 2\r\n", b"Length: 2\r\nConnection: close\r\n"),
        changed(b"Length: 2\r\n", b"Length: 2\r\nConnection: keep-alive, close\r\n"),
        changed(b"Content-Type", b"X: " + b"x" * MAX_HEAD + b"\r\nContent-Type"),
    ],
)
def test_others_are_left_to_h11(received: bytes) -> None:
    """Also those that h11 would accept: what is unusual has one reader."""
    assert read_whole_response(received) is None


PIECES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 103 Early Hints", b"\r\n"),
        *(b"Content-Length: 2", b"content-length:2", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"\n", b" "),
        *(
            b"Connection: close",
            b"Connection: keep-alive",
            b"Content-Type: application/json",
            b"\t",
            b"\0",
            b":",
            b"\r",
        ),
        *(b"{}", b"2\r\n{}\r\n0\r\n\r\n", b"Upgrade: h2c", b"X: y", b",", b"\xff"),
    ]
)


@given(st.lists(PIECES, max_size=6), st.lists(PIECES, max_size=3), st.lists(PIECES, max_size=2))
def test_what_is_read_is_what_h11_reads(fields: list[bytes], ends: list[bytes], rest: list[bytes]) -> None:
    """Whatever the response is made of: it is read as h11 reads it, or left to h11."""
    received = b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"Content-Length: 2"]) + b"".join(ends)
    received += b"\r\n\r\n{}" + b"".join(rest)
    whole = read_whole_response(received)
    if whole is not None:
        assert (200, whole.fields, whole.body) == read_with_h11(received)
