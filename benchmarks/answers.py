"""Reads HTTP responses, and checks whether they are as expected."""

from typing import Final

from .contenders import ANSWER_BODY

HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length:"
LAST_CHUNK: Final = b"0\r\n\r\n"
# The header fields that a refusal and a 503 must have.
FIELDS: Final = {401: b"\r\nwww-authenticate: bearer ", 503: b"\r\nretry-after: "}


def read_status(received: bytes) -> int | None:
    """Return the status of a complete response, or None for an incomplete one.

    Raises:
        ValueError: the response is wrong. The text says why.
    """
    head, end, body = received.partition(HEAD_END)
    if not end:
        return None
    if not head.startswith(b"HTTP/1.1 "):
        raise ValueError("no HTTP response")
    status, head = int(head[9:12]), head.lower()
    length = content_length(head)
    if len(body) < length if length is not None else not body.endswith(LAST_CHUNK):
        return None
    if status == 200 and body != ANSWER_BODY:
        raise ValueError("unexpected body")
    if status in FIELDS and FIELDS[status] not in head + b"\r\n":
        raise ValueError(f"{status} without {FIELDS[status].decode().strip()}")
    return status


def content_length(head: bytes) -> int | None:
    """The length of the body, or None if it is sent in chunks."""
    for line in head.split(b"\r\n"):
        if line.startswith(LENGTH):
            return int(line[len(LENGTH) :])
    return None
