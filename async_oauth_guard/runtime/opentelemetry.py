"""Traces and metrics with OpenTelemetry. This is the only module that imports it.

Attributes contain nothing that a client or a server wrote: no token, claim, user, key or path. The only URLs are those
from the settings or from a server's metadata, without the query. No attribute has an unbounded number of values.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any
from urllib.parse import urlsplit

from ..errors import GuardError, TemporarilyUnavailableError, reason_of
from .effects import OutboundRequest, OutboundResponse, RequestFailedError
from .observer import End, set_observer

try:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode
except ImportError as error:
    raise ImportError("OpenTelemetry's API is not installed: pip install async-oauth-guard[otel]") from error

__all__ = ["SCOPE", "instrument", "uninstrument"]

SCOPE = "async_oauth_guard"
"""The instrumentation scope: the name of the tracer and of the meter."""

# Seconds. The semantic conventions define the boundaries for HTTP. Most validations are faster, so these get more.
_CALL_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_VALIDATION_BOUNDARIES = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, *_CALL_BOUNDARIES)

_PORTS = {"https": 443, "http": 80}

_Attributes = dict[str, str | bool | int]

# Set together with OpenTelemetry's context variable, because `detach` does not report whether it could reset that.
_ENTERED: ContextVar[bool] = ContextVar("async_oauth_guard.span", default=False)


def instrument(
    *, tracer_provider: "trace.TracerProvider | None" = None, meter_provider: "metrics.MeterProvider | None" = None
) -> None:
    """Create spans and metrics for each validation and for each request to an authorization server.

    Call it once in each process, for example in the ``ready()`` method of an ``AppConfig``. A second call replaces the
    first. Without a provider argument, the global provider is used, which you may set later.
    """
    tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
    meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
    set_observer(_Telemetry(tracer, meter))


def uninstrument() -> None:
    """Create no more spans and metrics. Spans that have started still end."""
    set_observer(None)


class _Telemetry:
    """The observer that creates spans and metrics."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self._tracer = tracer
        self._validations = meter.create_counter(
            "oauth.validations", unit="{validation}", description="Validations of access tokens."
        )
        self._validation_duration = meter.create_histogram(
            "oauth.validation.duration",
            unit="s",
            description="Duration of validations of access tokens.",
            explicit_bucket_boundaries_advisory=_VALIDATION_BOUNDARIES,
        )
        self._call_duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_CALL_BOUNDARIES,
        )

    def place(self) -> SpanContext:
        # Only the span context: baggage belongs to the request, but other requests share the run.
        return trace.get_current_span().get_span_context()

    def begin_validation(self, scheme: str | None) -> End:
        known: _Attributes = {} if scheme is None else {"oauth.scheme": scheme}
        span = self._tracer.start_span("oauth.validate_token", kind=SpanKind.INTERNAL, attributes=known)

        def record(seconds: float, attributes: _Attributes) -> None:
            self._validations.add(1, attributes)
            self._validation_duration.record(seconds, attributes)

        return _enter(span, lambda outcome: known | _outcome_attributes(outcome), record)

    def begin_call(self, call: OutboundRequest, place: SpanContext | None) -> End:
        known: _Attributes = {"http.request.method": call.method, "oauth.call.purpose": call.purpose}
        known |= _server_attributes(call.url)
        # The outbound loop does not have the context of the request that started the shared run.
        parent = Context() if place is None else trace.set_span_in_context(NonRecordingSpan(place), Context())
        span = self._tracer.start_span(
            call.method,
            context=parent,
            kind=SpanKind.CLIENT,
            # These URLs have no user name, password or fragment. The query may contain a secret.
            attributes=known | {"url.full": call.url.partition("?")[0]},
        )
        return _enter(span, lambda outcome: known | _response_attributes(outcome), self._call_duration.record)


def _enter(
    span: Span, attributes_of: Callable[[Any], _Attributes], record: Callable[[float, _Attributes], None]
) -> End:
    """Make ``span`` the current span of this context until the returned function is called with the outcome."""
    began = time.perf_counter()
    entered = _ENTERED.set(True)
    attached = contexts.attach(trace.set_span_in_context(span))

    def end(outcome: Any) -> None:
        try:
            attributes = attributes_of(outcome)
            record(time.perf_counter() - began, attributes)
            span.set_attributes(attributes)
            if "error.type" in attributes:
                # Neither description nor exception: both may contain what was sent.
                span.set_status(StatusCode.ERROR)
        finally:
            _leave(entered, attached)
            span.end()

    return end


def _leave(entered: Token[bool], attached: Token[Context]) -> None:
    try:
        _ENTERED.reset(entered)
    except ValueError:
        # A task that was dropped by its loop is collected in an unrelated context, which must not change.
        return
    contexts.detach(attached)


def _outcome_attributes(outcome: BaseException | None) -> _Attributes:
    if outcome is None:
        return {"oauth.validation.outcome": "accepted"}
    if isinstance(outcome, GuardError):
        return _refusal_attributes(outcome)
    if isinstance(outcome, Exception):
        return {"oauth.validation.outcome": "failed", "error.type": _name_of(type(outcome))}
    return {"oauth.validation.outcome": "cancelled"}


def _refusal_attributes(error: GuardError) -> _Attributes:
    reason = str(reason_of(error))
    attributes: _Attributes = {"oauth.reason": reason}
    if error.validator is not None:
        attributes["oauth.validator"] = type(error.validator).__name__
    if isinstance(error, TemporarilyUnavailableError):
        return attributes | {"oauth.validation.outcome": "unavailable", "error.type": reason}
    # No `error.type`: like a 4xx status, a refusal is not an error of the server.
    return attributes | {"oauth.validation.outcome": "refused"}


def _response_attributes(outcome: Any) -> _Attributes:
    if isinstance(outcome, OutboundResponse):
        attributes: _Attributes = {"http.response.status_code": outcome.status}
        return attributes if outcome.status < 400 else attributes | {"error.type": str(outcome.status)}
    if isinstance(outcome, RequestFailedError):
        return {"error.type": str(outcome.reason)}
    return {"error.type": _name_of(type(outcome))}


def _server_attributes(url: str) -> _Attributes:
    parts = urlsplit(url)
    return {"server.address": parts.hostname or "", "server.port": parts.port or _PORTS.get(parts.scheme, 0)}


def _name_of(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
