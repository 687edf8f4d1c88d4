"""Which responses end with the tokens of their request. `tests/unit/runtime/test_stream_expiry.py` tests how."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from async_oauth_guard import AccessToken, ResourceProtector
from async_oauth_guard.guard.handover import Handover, leave_handover, presented_by
from async_oauth_guard.guard.streaming import end_with_token
from async_oauth_guard.protocol.access_token import TokenState
from async_oauth_guard.protocol.confirmation import NO_POSSESSION
from async_oauth_guard.runtime.stream_expiry import ResponseCutOff
from async_oauth_guard.validators.clock import CLOCK
from tests.virtual_time import EPOCH, VirtualLoop, run_virtually, wall


@pytest.fixture(autouse=True)
def _virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VirtualLoop, "last", None)
    monkeypatch.setattr(CLOCK, "wall", wall)


async def seconds() -> AsyncIterator[bytes]:
    """Yields each second, and ends after a minute."""
    for second in range(60):
        await asyncio.sleep(1)
        yield b"%d" % second


def let_in(request: Any, *lifetimes: float) -> Any:
    """The request, after a guard let it in for each token with one of these lifetimes."""
    for lifetime in lifetimes:
        token, presented = AccessToken({"exp": EPOCH + lifetime}), presented_by(request)
        leave_handover(
            request, Handover(ResourceProtector(), token, TokenState(), presented, None, NO_POSSESSION, False, EPOCH)
        )
    return request


async def sent(content_type: str, *lifetimes: float) -> list[bytes]:
    """What is sent of a response before it ends or is cut off."""
    response = StreamingHttpResponse(seconds(), content_type=content_type)
    end_with_token(let_in(AsyncRequestFactory().get("/"), *lifetimes), response)
    parts = list[bytes]()
    try:
        async for part in response:
            parts.append(part)
    except ResponseCutOff:
        parts.append(b"cut off")
    return parts


@pytest.mark.parametrize("lifetimes", [(2.5,), (2.5, 9.5), (9.5, 2.5)])
def test_first_token_that_expires(lifetimes: Any) -> None:
    """A response ends with the first of the tokens. Only an event stream may look complete then."""
    assert run_virtually(sent("text/event-stream", *lifetimes)) == [b"0", b"1"]
    assert run_virtually(sent("application/octet-stream", *lifetimes)) == [b"0", b"1", b"cut off"]


def test_no_token() -> None:
    """The content of a response to a request without a token, as an optional guard lets in, stays as it is."""
    response: Any = StreamingHttpResponse(seconds())
    before = response._iterator
    end_with_token(AsyncRequestFactory().get("/"), response)
    assert response._iterator is before


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (RequestFactory().get("/"), StreamingHttpResponse(seconds())),
        (AsyncRequestFactory().get("/"), StreamingHttpResponse(iter([b"x"]))),
    ],
    ids=["WSGI", "sync content"],
)
def test_other_streams(request_: Any, response: Any) -> None:
    """Under WSGI, and if Django reads the content before it sends anything, the content stays as it is."""
    before = response._iterator
    end_with_token(let_in(request_, 2.5), response)
    assert response._iterator is before


def test_response_that_is_no_stream() -> None:
    """The content of another response stays as it is."""
    response = HttpResponse("x")
    end_with_token(let_in(AsyncRequestFactory().get("/"), 2.5), response)
    assert response.content == b"x"
