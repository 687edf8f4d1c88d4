"""The thread on which sync code of one request runs."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import connections

__all__ = ["RequestThread", "in_request_thread"]


async def in_request_thread(perform: Callable[[Any], Any], effect: Any) -> Any:
    """Call ``perform(effect)`` on the thread of the current request."""
    return await sync_to_async(_perform_safely, thread_sensitive=True)(perform, effect)


def _perform_safely(perform: Callable[[Any], Any], effect: Any) -> Any:
    try:
        return perform(effect)
    except StopIteration as error:
        # A future cannot hold a StopIteration: under Python 3.11 and early 3.12 the request would wait forever.
        raise RuntimeError("StopIteration was raised outside a generator") from error


class RequestThread(ThreadSensitiveContext):
    """A context manager that gives a request a thread of its own, as Django's ASGI handler does, for an ASGI guard.

    At the end, it closes the database connections that code on this thread has opened. Inside another such context,
    for example Django's own, the thread is that of the outer one, which closes them.
    """

    async def __aexit__(
        self, exc: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            # Most requests need no thread, so none is started to close nothing.
            if self in SyncToAsync.context_to_thread_executor:
                await sync_to_async(connections.close_all)()
        finally:
            await super().__aexit__(exc, value, tb)  # type: ignore[no-untyped-call]
