"""An event loop whose clock a test moves: its timers fire at once, in their order, without waiting."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_800_000_000.0
"""Seconds since the epoch when a virtual loop starts."""


class _Skipping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """A selector that moves the time of its loop instead of waiting."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.loop.on_threads:
            # A thread will wake the loop.
            return super().select(10)
        self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """``now`` is the time of the loop, in seconds. ``wall`` is the time of the wall clock, which a test may set.

    No time passes while there is work on threads.
    """

    last: "VirtualLoop | None" = None

    def __init__(self) -> None:
        VirtualLoop.last = self
        self.now = 0.0
        self.wall_offset = EPOCH
        self.on_threads = 0
        selector = _Skipping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.wall_offset

    def run_in_executor(self, *arguments: Any) -> Any:
        self.on_threads += 1
        future = super().run_in_executor(*arguments)
        future.add_done_callback(self._leave_thread)
        return future

    async def shutdown_default_executor(self, *arguments: Any) -> None:
        self.on_threads += 1
        try:
            await super().shutdown_default_executor(*arguments)
        finally:
            self.on_threads -= 1

    def _leave_thread(self, future: Any) -> None:
        self.on_threads -= 1


def wall() -> float:
    """The time of the wall clock, on any thread: that of the last loop, or `EPOCH` before there is one."""
    return VirtualLoop.last.wall() if VirtualLoop.last is not None else EPOCH


def virtual_loop() -> VirtualLoop:
    """The running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def run_virtually(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on a virtual loop. No task and no timer may be left."""

    async def main() -> T:
        result = await coroutine
        loop = virtual_loop()
        # What was garbage collected may still be closing.
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
