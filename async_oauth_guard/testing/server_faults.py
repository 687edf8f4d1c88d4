"""The faults of that server, by name."""

import difflib
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Self

__all__ = ["ENDPOINTS", "FAULTS", "Fault", "Faults", "NoAnswerError", "choose"]

FAULTS: Final[Mapping[str, str]] = {
    "down": "connections are refused; on a port, closed without an answer",
    "slow": "no answer comes in time",
    "rotate": "the keys are replaced at a stroke: no older one is published any more",
    "unknown_kid": "JWTs name keys that the key set does not have",
    "wrong_issuer": "the server calls itself by another name, in its metadata, answers and tokens",
    "garbage": "answers are no JSON",
    "refuses_us": "whoever has to say who they are is refused",
}
"""What each does."""

ENDPOINTS: Final = ("metadata", "keys", "introspection", "revocation", "token")
"""What can be asked, by the names that a record of calls has for it."""

# Those that may be the fault of one endpoint alone.
_OF_ANSWERS = frozenset({"down", "slow", "garbage", "refuses_us"})
# RFC 7662 §2.1, RFC 7009 §2.1, RFC 6749 §3.2.1: these ask who it is; what the others tell, they tell everybody.
_AUTHENTICATING = frozenset({"introspection", "revocation", "token"})


class NoAnswerError(Exception):
    """There is none, for this ``fault``."""

    def __init__(self, fault: "Fault") -> None:
        super().__init__(fault.name)
        self.fault = fault


class Fault:
    """A fault that has begun. ``with`` ends it, and so does `end`, or ``server.recover()``."""

    def __init__(
        self, name: str, endpoints: Collection[str], end: Callable[["Fault"], None], undo: Callable[[], None]
    ) -> None:
        self.name = name
        self.endpoints = endpoints
        self.undo = undo
        self._end = end
        self._is_over = threading.Event()

    def __repr__(self) -> str:
        return f"<Fault {self.name!r}>"

    def end(self) -> None:
        """Let the server be well again, as far as this fault goes."""
        self._end(self)

    def release(self) -> None:
        """Let go what waits for the end of this fault."""
        self._is_over.set()

    def wait(self) -> None:
        """Wait for the end, on a thread that has nothing better to do."""
        self._is_over.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.end()


class Faults:
    """The faults of one server that have begun, and not ended.

    ``effects`` has what some do to the server when they begin; each gives what takes it back.
    """

    def __init__(self, effects: Mapping[str, Callable[[], Callable[[], None]]]) -> None:
        self._effects = effects
        self._begun: list[Fault] = []

    def begin(self, name: str, at: str | None) -> Fault:
        """Begin a fault; at one endpoint only, if one is named.

        Raises:
            ValueError: there is no such fault, or no such endpoint, or the fault is none of an endpoint.
        """
        choose("fault", name, FAULTS)
        if at is not None:
            choose("at", at, ENDPOINTS)
            if name not in _OF_ANSWERS:
                raise ValueError(f"at: {name} is a fault of the whole server; leave it out")
        everywhere = _AUTHENTICATING if name == "refuses_us" else frozenset(ENDPOINTS)
        undo = self._effects.get(name, lambda: _nothing)()
        fault = Fault(name, everywhere if at is None else {at}, self.end, undo)
        self._begun.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """End one, unless it has ended."""
        if fault in self._begun:
            self._begun.remove(fault)
            fault.undo()
            fault.release()

    def end_all(self) -> None:
        """End all of them."""
        for fault in reversed(self._begun):
            self.end(fault)

    def find(self, name: str, endpoint: str) -> Fault | None:
        """The fault of this name at that endpoint."""
        return next((fault for fault in self._begun if fault.name == name and endpoint in fault.endpoints), None)


def choose(argument: str, name: Any, names: Collection[str]) -> None:
    """Refuse a name that is none of ``names``, and say which was meant.

    Raises:
        ValueError: it is none of them.
    """
    if name in names:
        return
    near = difflib.get_close_matches(str(name).lower(), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}: {name!r} is none of {', '.join(names)}{hint}")


def _nothing() -> None:
    """What takes back a fault that changes nothing but answers."""
