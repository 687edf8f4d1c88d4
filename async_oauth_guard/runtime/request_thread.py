"""The thread on which sync code of one request runs, for a guard in front of an ASGI application."""

from types import TracebackType

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import connections

__all__ = ["RequestThread"]


class RequestThread(ThreadSensitiveContext):
    """A context manager that gives a request a thread of its own, as Django's ASGI handler does.

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
