"""The benchmark's orders to the load generator, and the results that it gets: JSON, one line each."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .contenders import INVALID, Tokens


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Clients that ask for the same contender; rude ones disconnect in the middle of it.

    ``pause``: seconds, at most, until a client asks again.
    """

    contender: str
    clients: int
    rude: bool = False
    tokens: Tokens = "opaque"
    pause: float = 0.0

    @property
    def expected(self) -> int:
        """The status of every right response, outages aside."""
        return 401 if self.tokens in INVALID else 200


@dataclasses.dataclass(frozen=True, slots=True)
class Slice:
    """Some groups at once, for `seconds` after `settle` seconds that are not counted."""

    groups: tuple[Group, ...]
    seconds: float
    settle: float

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> "Slice":
        raw = json.loads(line)
        return cls(tuple(Group(**group) for group in raw["groups"]), raw["seconds"], raw["settle"])


@dataclasses.dataclass(frozen=True, slots=True)
class GroupResult:
    """What one group saw; latencies in milliseconds. Of a rude group, `answers` counts the times that a client left.

    ``unavailable``: the 503 among the wrong responses, each with the times of the request and of the response, on the
    clock of `time.monotonic`, which all processes of a machine share.
    """

    contender: str
    clients: int
    answers: int
    per_second: float
    median: float
    p99: float
    wrong: Mapping[str, int]
    unavailable: Sequence[tuple[float, float]] = ()

    @property
    def wrong_answers(self) -> int:
        return sum(self.wrong.values())


@dataclasses.dataclass(frozen=True, slots=True)
class SliceResult:
    """What a slice saw; CPU seconds of the processes over the counted time."""

    groups: tuple[GroupResult, ...]
    seconds: float
    server_cpu: float
    generator_cpu: float
    authority_cpu: float = 0.0

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> "SliceResult":
        raw: dict[str, Any] = json.loads(line)
        return cls(
            tuple(GroupResult(**group) for group in raw["groups"]),
            raw["seconds"],
            raw["server_cpu"],
            raw["generator_cpu"],
            raw["authority_cpu"],
        )

    @property
    def answers(self) -> int:
        return sum(group.answers for group in self.groups)

    @property
    def cpu_per_answer(self) -> float:
        """Microseconds of the server's CPU for each answer."""
        return self.server_cpu / self.answers * 1e6 if self.answers else float("nan")

    @property
    def generator_share(self) -> float:
        return self.generator_cpu / self.seconds

    @property
    def authority_share(self) -> float:
        return self.authority_cpu / self.seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Burst:
    """Many requests at once, each on a separate open connection, with one new token for all or for each.

    Meanwhile ``probes`` clients call the contender ``beside``, with a pause after each answer.
    """

    contender: str
    requests: int
    distinct: bool
    beside: str
    probes: int

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> "Burst":
        return cls(**json.loads(line))


@dataclasses.dataclass(frozen=True, slots=True)
class BurstResult:
    """What a burst saw: seconds from the first request to the last answer, and the probes' p95 in milliseconds."""

    contender: str
    answers: int
    seconds: float
    beside: int
    beside_p95: float
    wrong: Mapping[str, int]

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> "BurstResult":
        return cls(**json.loads(line))

    @property
    def wrong_answers(self) -> int:
        return sum(self.wrong.values())
