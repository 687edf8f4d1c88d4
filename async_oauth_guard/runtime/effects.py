"""The effects that a flow may yield: a closed set of frozen values that describe I/O and do not perform it.

A flow is a generator. It yields an effect, and then receives its result or error. `runtime` performs effects on threads
and on event loops, so a rule that needs I/O is written only once.
"""

import dataclasses
import ssl
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from django.db import InterfaceError, OperationalError
from django.db.models import Model, QuerySet
from django.dispatch import Signal

from ..errors import Reason
from ..protocol.secrets import Secret

__all__ = [
    "OUTAGES",
    "CacheAdd",
    "CacheDelete",
    "CacheRead",
    "CacheWrite",
    "Call",
    "ClientOptions",
    "Compute",
    "ConcurrencyLimit",
    "Effect",
    "Flow",
    "Notify",
    "OutboundRequest",
    "OutboundResponse",
    "Purpose",
    "ReadModel",
    "RequestFailedError",
    "Row",
    "SingleFlight",
    "StartBackground",
]

OUTAGES = (OperationalError, InterfaceError)
"""The database errors that mean that the database could not respond. All others are bugs."""


@dataclass(frozen=True, slots=True)
class Row:
    """Read the rows whose ``field`` is exactly ``key``: at most two, which suffice to see that a key is ambiguous.

    Lookups with an equal ``group`` may share a query. With ``None``, a lookup shares no query.
    """

    # Not in the repr, which error pages show: the repr of a queryset contains the rows that it finds.
    queryset: QuerySet[Model] = dataclasses.field(repr=False)
    field: str
    key: Secret[Any]
    group: Hashable | None


@dataclass(frozen=True, slots=True)
class Call:
    """Call site code, which may query, block or be a coroutine function. It gets the plain values of secrets."""

    function: Callable[..., Any]
    # Not in the repr, which error pages show: a model's ``__str__`` may contain the token.
    arguments: tuple[Any, ...] = dataclasses.field(repr=False)
    keywords: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ReadModel:
    """Read from a model instance by calling its methods, on the current thread unless they query the database.

    If they do, the read moves to the request's thread, and so do all later reads of that model class. With
    ``blocking``, the read always runs there.
    """

    read: Callable[[Any], Any]
    instance: Any = dataclasses.field(repr=False)
    blocking: bool


@dataclass(frozen=True, slots=True)
class Notify:
    """Send a Django signal. Sync and async receivers both work."""

    signal: Signal
    sender: type
    arguments: Mapping[str, Any] = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How to create the HTTP client for a request. Requests with equal options share a client.

    ``factory`` returns an ``httpx.AsyncClient`` that replaces the default client. ``verify`` is the path of a file with
    CA certificates, or an ``ssl.SSLContext``.
    """

    factory: Callable[[], Any] | None = None
    verify: str | ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ConcurrencyLimit:
    """Limits concurrent requests to ``limit``. Further requests wait, but not beyond their deadline."""

    limit: int


Purpose: TypeAlias = Literal["metadata", "keys", "introspection"]
"""What a request to an authorization server is for."""


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """Send one request to an authorization server: no redirects, cookies or compression, at most ``max_body`` bytes.

    ``ready`` is called after the wait for ``concurrency_limit``. It raises an exception if the request must no longer
    be sent.
    """

    method: Literal["GET", "POST"]
    url: str
    client: ClientOptions
    concurrency_limit: ConcurrencyLimit
    headers: Mapping[str, str | Secret[str]] = dataclasses.field(default_factory=dict)
    form: Mapping[str, str | Secret[str]] | None = None
    max_body: int = 1_048_576
    purpose: Purpose = "metadata"
    ready: Callable[[], None] = dataclasses.field(default=lambda: None, repr=False)


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """The response of a server. ``media_type`` is in lower case and has no parameters.

    ``body`` is empty unless the status is 200. ``retry_after`` is the raw value of the header field. ``fields`` has the
    raw values of ``Date``, ``Age``, ``Cache-Control``, ``WWW-Authenticate`` and ``Access-Control-Allow-Origin``, if the
    server sent them.
    """

    status: int
    media_type: str
    # It may contain personal data.
    body: Secret[bytes]
    retry_after: str | None = None
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)


class RequestFailedError(Exception):
    """A request got no usable response. It has no cause, whose frames would contain what was sent.

    ``root`` is the name of the operating system's error, if there was one. ``is_connected`` says whether there was a
    connection.
    """

    def __init__(self, reason: Reason, detail: str, root: str | None = None, *, is_connected: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.root = root
        self.is_connected = is_connected


@dataclass(frozen=True, slots=True)
class CacheRead:
    """Read the text under ``key`` of the Django cache ``alias``. The result is ``None`` for a miss or if it is late."""

    alias: str
    key: str


@dataclass(frozen=True, slots=True)
class CacheWrite:
    """Store text under ``key`` for ``seconds``. It may be lost if the cache does not respond in time."""

    alias: str
    key: str
    text: str = dataclasses.field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class CacheDelete:
    """Delete ``key``. The entry may remain if the cache does not respond in time."""

    alias: str
    key: str


@dataclass(frozen=True, slots=True)
class CacheAdd:
    """Store ``key`` for ``seconds`` if it is not there, in one atomic step.

    The result is whether it was stored; ``None`` if the cache did not say so in time.
    """

    alias: str
    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Compute:
    """Do CPU work that takes milliseconds, such as verifying a signature. It runs next to the outbound loop."""

    # Not in the repr: the arguments of the function may contain a key.
    function: Callable[[], Any] = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True)
class SingleFlight:
    """Run a flow on the outbound loop as a single flight: concurrent callers with an equal ``key`` share its result.

    ``flow`` creates the flow. It continues if the first caller is cancelled, and ends within ``timeout`` seconds of its
    start. It must not yield lookups or calls of site code. If it raises an error, each caller gets a new exception.
    """

    key: Hashable
    flow: Callable[[], "Flow[Any]"] = dataclasses.field(repr=False)
    timeout: float


@dataclass(frozen=True, slots=True)
class StartBackground:
    """Start a flow without waiting for it. See `SingleFlight`."""

    single_flight: SingleFlight


T = TypeVar("T")
Effect: TypeAlias = (
    Row
    | Call
    | ReadModel
    | Notify
    | OutboundRequest
    | CacheRead
    | CacheWrite
    | CacheDelete
    | CacheAdd
    | Compute
    | SingleFlight
    | StartBackground
)
Flow: TypeAlias = Generator[Effect, Any, T]
