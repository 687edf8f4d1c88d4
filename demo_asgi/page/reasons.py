"""Why requests of the page were refused: recorded from the guard's signal, and looked up by the request's name."""

import re
from collections import OrderedDict
from typing import Any

from django.dispatch import receiver
from django.http import HttpRequest

from async_oauth_guard import GuardError, token_rejected

NAME_HEADER = "X-Demo-Request"
"""The header in which the page names each request. Requests without a name are not recorded."""

MOST = 2000
"""Refusals that are remembered."""

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_noted: OrderedDict[str, str] = OrderedDict()


@receiver(token_rejected, dispatch_uid="demo_asgi.page")
def note(sender: Any, request: HttpRequest, error: GuardError, **_: Any) -> None:
    """The guard refuses ``request``."""
    name = request.headers.get(NAME_HEADER, "")
    if not _NAME.fullmatch(name):
        return
    _noted[name] = str(error.reason)
    while len(_noted) > MOST:
        _noted.popitem(last=False)


def reason_of(name: str) -> str | None:
    """Why the request of that name was refused; ``None`` if it was not, or long ago."""
    return _noted.get(name)
