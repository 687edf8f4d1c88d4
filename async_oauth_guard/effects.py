"""What a flow may ask for: a closed set of requests, each a frozen value that performs nothing itself.

A flow is a generator. It yields one of these, and is sent the result or thrown the error; `runtime` performs them,
for threads and for event loops. So a rule that needs the outside world is still written once.
"""

import dataclasses
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from django.db import InterfaceError, OperationalError
from django.db.models import Model, QuerySet
from django.dispatch import Signal

from .credentials import Secret

__all__ = ["OUTAGES", "Call", "Effect", "Flow", "Notify", "ReadModel", "Row"]

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


T = TypeVar("T")
Effect: TypeAlias = Row | Call | ReadModel | Notify
Flow: TypeAlias = Generator[Effect, Any, T]
