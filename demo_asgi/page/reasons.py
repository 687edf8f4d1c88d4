"""The reasons of refusals. A receiver of the guard's signal records them by the name of the request."""

import re
from collections import OrderedDict
from typing import Any

from django.dispatch import receiver
from django.http import HttpRequest

from async_oauth_guard import GuardError, token_rejected

NAME_HEADER = "X-Demo-Request"
"""The header in which the page names each request. Requests without a name are not recorded."""

MAX_REASONS = 2000
"""How many reasons are kept."""

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_reasons: OrderedDict[str, str] = OrderedDict()


@receiver(token_rejected, dispatch_uid="demo_asgi.page")
def record(sender: Any, request: HttpRequest, error: GuardError, **_: Any) -> None:
    """Record why the guard refuses ``request``."""
    name = request.headers.get(NAME_HEADER, "")
    if not _NAME.fullmatch(name):
        return
    _reasons[name] = str(error.reason)
    while len(_reasons) > MAX_REASONS:
        _reasons.popitem(last=False)


def reason_of(name: str) -> str | None:
    """Why the request of this name was refused. ``None`` if it was not refused, or if the reason is no longer kept."""
    return _reasons.get(name)
