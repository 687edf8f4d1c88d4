"""Messages between the benchmark and the load generator: JSON, one line each."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from .contenders import INVALID, Tokens


class Message:
    """A dataclass that is sent as one line of JSON."""

    __slots__ = ()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(cast(Any, self)))

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        return cls(**json.loads(line))


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Clients that request the same contender.

    Attributes:
        disconnects: whether the clients disconnect at random moments.
        pause: the longest pause of a client between two requests, in seconds.
    """

    contender: str
    clients: int
    disconnects: bool = False
    tokens: Tokens = "opaque"
    pause: float = 0.0

    @property
    def expected(self) -> int:
        """The expected status, except during outages."""
        return 401 if self.tokens in INVALID else 200


@dataclasses.dataclass(frozen=True, slots=True)
class Slice(Message):
    """Groups that send requests at once: for ``settle`` seconds that are not counted, then for ``seconds``."""

    groups: tuple[Group, ...]
    seconds: float
    settle: float

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        raw = json.loads(line)
        return cls(**raw | {"groups": tuple(Group(**group) for group in raw["groups"])})


@dataclasses.dataclass(frozen=True, slots=True)
class GroupResult:
    """The result of one group.

    Attributes:
        responses: the number of responses. For clients that disconnect, the number of disconnections.
        median: the median latency in milliseconds.
        p99: the 99th percentile of the latency in milliseconds.
        wrong: the number of wrong responses, by fault.
        unavailable: the times of request and response of each 503. All processes share the clock of `time.monotonic`.
    """

    contender: str
    clients: int
    responses: int
    per_second: float
    median: float
    p99: float
    wrong: Mapping[str, int]
    unavailable: Sequence[tuple[float, float]] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class SliceResult(Message):
    """The results of a slice, with the CPU seconds of the processes."""

    groups: tuple[GroupResult, ...]
    seconds: float
    server_cpu: float
    generator_cpu: float
    authority_cpu: float = 0.0

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        raw = json.loads(line)
        return cls(**raw | {"groups": tuple(GroupResult(**group) for group in raw["groups"])})

    @property
    def responses(self) -> int:
        return sum(group.responses for group in self.groups)

    @property
    def cpu_per_response(self) -> float:
        """Microseconds of the server's CPU for each response."""
        return self.server_cpu / self.responses * 1e6 if self.responses else float("nan")

    @property
    def generator_share(self) -> float:
        return self.generator_cpu / self.seconds

    @property
    def authority_share(self) -> float:
        return self.authority_cpu / self.seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Burst(Message):
    """Many requests at once, each on a separate open connection.

    Attributes:
        distinct: whether each request has a new token, or all have the same new token.
        probed: the contender that the probes request meanwhile.
        probes: the number of clients that request it, with a pause after each response.
    """

    contender: str
    requests: int
    distinct: bool
    probed: str
    probes: int


@dataclasses.dataclass(frozen=True, slots=True)
class BurstResult(Message):
    """The seconds from the first request to the last response, and the probes' p95 in milliseconds."""

    seconds: float
    probes_p95: float
    wrong: Mapping[str, int]

    @property
    def wrong_count(self) -> int:
        return sum(self.wrong.values())
