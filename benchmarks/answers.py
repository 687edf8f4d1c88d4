"""Reading one HTTP answer, just enough to know that it is the expected one."""

from .contenders import ANSWER_BODY

HEAD_END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 "
LENGTH = b"content-length:"


def read_answer(received: bytes) -> bytes | None:
    """The body once it is complete, or None while more is to come.

    Raises:
        ValueError: this is not the expected answer; the text says what it is.
    """
    head, end, body = received.partition(HEAD_END)
    if not end:
        return None
    if not head.startswith(OK):
        raise ValueError(head[:12].decode("latin-1").removeprefix("HTTP/1.1 "))
    if len(body) < content_length(head):
        return None
    if body != ANSWER_BODY:
        raise ValueError("unexpected body")
    return body


def content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(LENGTH):
            return int(line[len(LENGTH) :])
    raise ValueError("no Content-Length")
