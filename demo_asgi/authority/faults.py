"""What is wrong with the server, because somebody wants to see what the guard makes of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware

DELAY = 6.0
"""Seconds by which a slow answer is late: more than the demo's guards wait for."""

SWITCHES = ("/faults", "/rotate")
"""What answers in spite of every fault."""


@dataclass(slots=True)
class Faults:
    """Of this process; it starts without."""

    down: bool = False
    slow: bool = False


FAULTS = Faults()


@async_only_middleware
def fault_middleware(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Answers late, or as a proxy does that has no server behind it."""

    async def respond(request: HttpRequest) -> HttpResponseBase:
        if request.path in SWITCHES:
            return await get_response(request)
        if FAULTS.slow:
            await asyncio.sleep(DELAY)
        if FAULTS.down:
            return HttpResponse("Nobody is there.", status=503, content_type="text/plain")
        return await get_response(request)

    return respond
