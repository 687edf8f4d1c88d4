"""Entering a server on a thread, for ``async with``."""

import threading
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["Entry"]


class Entry:
    """Entering on a thread, which cannot be cancelled. If the caller is cancelled meanwhile, it is undone."""

    def __init__(self, server: AbstractContextManager[Any]) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._has_entered = False

    def run(self) -> None:
        """Enter the server, unless the caller has been cancelled."""
        with self._lock:
            if not self._is_abandoned:
                self._server.__enter__()
                self._has_entered = True

    def abandon(self) -> None:
        """Undo the entry, because the caller was cancelled."""
        self._is_abandoned = True
        with self._lock:
            if self._has_entered:
                self._server.__exit__(None, None, None)
