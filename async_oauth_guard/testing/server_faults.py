"""The faults of that server, by name."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Final, Self

from .server_arguments import choose

__all__ = ["ENDPOINTS", "FAULTS", "Fault", "Faults", "NoAnswerError"]

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
    """A fault that has begun. ``with`` ends it, and so does `end`, or ``server.recover()``.

    Attributes:
        name: of the fault.
        endpoints: where the server fails.
    """

    def __init__(self, name: str, endpoints: Collection[str], end: Callable[["Fault"], None]) -> None:
        self.name = name
        self.endpoints = endpoints
        self._end = end
        self._is_over = threading.Event()

    def __repr__(self) -> str:
        return f"<Fault {self.name!r}>"

    def end(self) -> None:
        """Let the server be well again, as far as this fault goes. A fault that has ended stays ended."""
        self._end(self)

    def _release(self) -> None:
        """Let go what waits for the end of this fault."""
        self._is_over.set()

    def _wait(self) -> None:
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

    ``effects`` has what some do to the server when they begin; each gives what takes it back, which happens when no
    other fault of that name is left.
    """

    def __init__(self, effects: Mapping[str, Callable[[], Callable[[], None]]]) -> None:
        self._effects = effects
        self._begun: list[Fault] = []
        # By the names of faults, in the order in which these began.
        self._undoing: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

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
        if (effect := self._effects.get(name)) is not None:
            self._undoing[name].append(effect())
        fault = Fault(name, everywhere if at is None else {at}, self.end)
        self._begun.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """End one, unless it has ended."""
        if fault not in self._begun:
            return
        self._begun.remove(fault)
        if all(other.name != fault.name for other in self._begun):
            for undo in reversed(self._undoing.pop(fault.name, [])):
                undo()
        fault._release()

    def end_all(self) -> None:
        """End all of them."""
        for fault in [*self._begun]:
            self.end(fault)

    def find(self, name: str, endpoint: str) -> Fault | None:
        """The fault of this name at that endpoint."""
        # A copy: others may end on other threads meanwhile, and none that has not is to be passed over.
        begun = [*self._begun]
        return next((fault for fault in begun if fault.name == name and endpoint in fault.endpoints), None)
