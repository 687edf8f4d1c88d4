"""The ASGI application: Django, for some URLs with a guard in front."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

from benchmarks.contenders import IN_FRONT

from .settings_names import AUTHORITY_VARIABLE


def make_application() -> Any:
    """Make the application. Requests for all URLs take the same path, so that none has an advantage."""
    plain = get_asgi_application()
    guarded: Any = plain
    if AUTHORITY_VARIABLE in os.environ:
        from .remote_views import in_front

        guarded = in_front(plain)
    chosen = {f"/{name}": guarded for name in IN_FRONT}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await chosen.get(scope["path"], plain)(scope, receive, send)

    return application
