"""Runs the rules for an authorization server, and records their requests and log messages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ...errors import Reason, TemporarilyUnavailableError
from ...protocol.clock import Clock
from ...runtime.drivers import interpose_flow
from ...runtime.effects import Effect, Flow, OutboundRequest, OutboundResponse, RequestFailedError, SingleFlight
from ...runtime.run import run
from .examination import captured_logs

__all__ = ["OF_CLIENT", "Exchange", "ProbeResult", "probe"]

T = TypeVar("T")

OF_CLIENT = "client"
"""The root of a failure of the HTTP client itself."""

_Record = Callable[["Exchange"], None]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, and its response or failure. ``began`` and ``ended`` are seconds since the epoch."""

    url: str
    response: OutboundResponse | None
    failure: RequestFailedError | None
    began: float
    ended: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The outcome of a flow.

    Attributes:
        value: what it returned, if it returned something.
        reason: why it returned nothing.
        logged: the messages that it logged.
        exchanges: the requests that it sent.
    """

    value: Any
    reason: Reason | None
    logged: Sequence[str]
    exchanges: Sequence[Exchange]

    @property
    def seconds(self) -> float:
        """Seconds for which a request to a view would have waited for these requests."""
        return sum(exchange.seconds for exchange in self.exchanges)


def probe(flow: Flow[Any], clock: Clock) -> ProbeResult:
    """Run ``flow`` on this thread, and record its requests and its log messages."""
    exchanges: list[Exchange] = []
    value, reason = None, None
    with captured_logs() as logged:
        try:
            value = run(_recording_flow(flow, exchanges.append, clock))
        except TemporarilyUnavailableError as error:
            reason = error.reason
    return ProbeResult(value, reason, logged, exchanges)


def _recording_flow(flow: Flow[T], record: _Record, clock: Clock) -> Flow[T]:
    """Record the requests of ``flow`` and of the flows that it waits for."""
    return interpose_flow(flow, lambda effect: _recorded_flow(effect, record, clock))


def _recorded_flow(effect: Effect, record: _Record, clock: Clock) -> Flow[Any]:
    if isinstance(effect, SingleFlight):
        inner = effect.flow
        return (yield replace(effect, flow=lambda: _recording_flow(inner(), record, clock)))
    if not isinstance(effect, OutboundRequest):
        return (yield effect)
    response, failure = None, None
    began, steady = clock.wall(), clock.steady()
    try:
        response = yield effect
        return response
    except RequestFailedError as error:
        failure = error
        raise
    except TemporarilyUnavailableError:
        raise
    except Exception as error:
        # The site's own HTTP client raised this. Its message may contain what was to be sent, such as a secret.
        failure = RequestFailedError(Reason.SERVER_UNREACHABLE, type(error).__name__, OF_CLIENT)
        raise failure from None
    finally:
        record(Exchange(effect.url, response, failure, began, clock.wall(), clock.steady() - steady))
