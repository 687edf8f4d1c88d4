"""What a flow may ask for: a closed set of requests, each a frozen value that performs nothing itself.

A flow is a generator. It yields one of these, and is sent the result or thrown the error; `runtime` performs them,
for threads and for event loops. So a rule that needs the outside world is still written once.
"""

import dataclasses
import ssl
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from django.db import InterfaceError, OperationalError
from django.db.models import Model, QuerySet
from django.dispatch import Signal

from .credentials import Secret
from .errors import Reason

__all__ = [
    "OUTAGES",
    "CacheDelete",
    "CacheRead",
    "CacheWrite",
    "Call",
    "CallFailedError",
    "ClientOptions",
    "Effect",
    "Flow",
    "Gate",
    "HttpAnswer",
    "HttpCall",
    "Notify",
    "Once",
    "Purpose",
    "ReadModel",
    "Row",
    "Start",
]

OUTAGES = (OperationalError, InterfaceError)
"""Of the database's own errors, those that say that it could not answer; the others are bugs."""


@dataclass(frozen=True, slots=True)
class Row:
    """The rows whose ``field`` holds exactly ``key``: at most two, since one more than one is refused anyway.

    Lookups with equal ``group`` may share a query; ``None`` shares with nobody.
    """

    # Error pages print it, and the repr of a queryset is what it finds.
    queryset: QuerySet[Model] = dataclasses.field(repr=False)
    field: str
    key: Secret[Any]
    group: Hashable | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of users' code, which may query, block or be a coroutine function. Secrets are revealed to it."""

    function: Callable[..., Any]
    # Not in the repr, which error pages print: a model's ``__str__`` may show the token.
    arguments: tuple[Any, ...] = dataclasses.field(repr=False)
    keywords: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A read of a model instance's own methods, made where we stand while it does not touch the database.

    That it does is remembered of its class; ``blocking`` says so beforehand.
    """

    read: Callable[[Any], Any]
    instance: Any = dataclasses.field(repr=False)
    blocking: bool


@dataclass(frozen=True, slots=True)
class Notify:
    """A Django signal to send, with its receivers' own colours respected."""

    signal: Signal
    sender: type
    arguments: Mapping[str, Any] = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How the HTTP client of a call is made; calls with equal options share one.

    ``factory`` makes an ``httpx.AsyncClient``, in place of ours; ``verify`` is a file of CA certificates, or a context.
    """

    factory: Callable[[], Any] | None = None
    verify: str | ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """Lets ``limit`` calls out at a time; the others queue within their deadline."""

    limit: int


Purpose: TypeAlias = Literal["metadata", "keys", "introspection"]
"""What an authorization server is called for."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One exchange with an authorization server: no redirect, no cookie, no content coding, ``max_body`` bytes at most.

    ``purpose`` says what for. ``ready`` is called when the gate has let the call through, and raises where it is not to
    be sent any more.
    """

    method: Literal["GET", "POST"]
    url: str
    client: ClientOptions
    gate: Gate
    headers: Mapping[str, str | Secret[str]] = dataclasses.field(default_factory=dict)
    form: Mapping[str, str | Secret[str]] | None = None
    max_body: int = 1_048_576
    purpose: Purpose = "metadata"
    ready: Callable[[], None] = dataclasses.field(default=lambda: None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answered. ``media_type`` is without parameters and in lower case.

    ``body`` is empty unless the status is 200; ``retry_after`` is the field's value as it was sent, and so are those of
    ``fields``, which tell its time: ``Date``, ``Age`` and ``Cache-Control``, where they were sent.
    """

    status: int
    media_type: str
    # It may hold whatever the server knows of a person.
    body: Secret[bytes]
    retry_after: str | None = None
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)


class CallFailedError(Exception):
    """An exchange that gave no answer. Without a cause: the frames of one hold what was sent.

    ``root`` is the name of the operating system's own error, where there was one.
    """

    def __init__(self, reason: Reason, detail: str, root: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.root = root


@dataclass(frozen=True, slots=True)
class CacheRead:
    """The text under ``key`` of the Django cache ``alias``; ``None`` where there is none, or no answer in time."""

    alias: str
    key: str


@dataclass(frozen=True, slots=True)
class CacheWrite:
    """Text to be kept under ``key`` for so many seconds; lost where the cache does not answer in time."""

    alias: str
    key: str
    text: str = dataclasses.field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class CacheDelete:
    """A ``key`` to be forgotten."""

    alias: str
    key: str


@dataclass(frozen=True, slots=True)
class Once:
    """The result of a flow that runs once for all who ask under ``key`` meanwhile, on the loop for what goes out.

    ``flow`` makes it. It survives whoever asked first, and ends within ``timeout`` seconds of its start. Rows and
    users' code are refused there. What it raises is raised to each who asked, as an exception of their own.
    """

    key: Hashable
    flow: Callable[[], "Flow[Any]"] = dataclasses.field(repr=False)
    timeout: float


@dataclass(frozen=True, slots=True)
class Start:
    """A flow to be started, and not waited for: see `Once`."""

    once: Once


T = TypeVar("T")
Effect: TypeAlias = Row | Call | ReadModel | Notify | HttpCall | CacheRead | CacheWrite | CacheDelete | Once | Start
Flow: TypeAlias = Generator[Effect, Any, T]
