"""Traces and metrics by OpenTelemetry; the only module that imports it.

Nothing that a client or a server has written becomes an attribute: no token, claim, user, key or path, and of URLs no
more than what the site or its server's metadata say, without a query. No attribute has unbounded values.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from .effects import CallFailedError, HttpAnswer, HttpCall
from .errors import GuardError, TemporarilyUnavailableError
from .observation import End, Origin, set_observer
from .signals import reason_of

try:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode
except ImportError as error:
    raise ImportError("OpenTelemetry's API is not installed: pip install async-oauth-guard[otel]") from error

__all__ = ["SCOPE", "instrument", "uninstrument"]

SCOPE = "async_oauth_guard"
"""The name of the tracer and of the meter: their instrumentation scope."""

# Seconds. Those that the semantic conventions give for HTTP, and shorter ones: most validations are over by then.
_CALL_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_VALIDATION_BOUNDARIES = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, *_CALL_BOUNDARIES)

_PORTS = {"https": 443, "http": 80}

_Attributes = dict[str, str | bool | int]

# Set together with OpenTelemetry's own, which does not tell whether it could be reset.
_ENTERED: ContextVar[bool] = ContextVar("async_oauth_guard.span", default=False)


def instrument(
    *, tracer_provider: "trace.TracerProvider | None" = None, meter_provider: "metrics.MeterProvider | None" = None
) -> None:
    """Make a span of each validation and of each call to an authorization server, and measure both.

    Called once for each process, as in the ``ready()`` of an ``AppConfig``; called again, it replaces what was set.
    Providers that are left out are the global ones, which may be set later.
    """
    tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
    meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
    set_observer(_Telemetry(tracer, meter))


def uninstrument() -> None:
    """Make no more of them. What has begun is ended."""
    set_observer(None)


class _Telemetry:
    """The observer."""

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
        # No more than that: baggage is the request's own, and the flight is not.
        return trace.get_current_span().get_span_context()

    def begin_validation(self, scheme: str | None) -> End:
        known: _Attributes = {} if scheme is None else {"oauth.scheme": scheme}
        span = self._tracer.start_span("oauth.validate_token", kind=SpanKind.INTERNAL, attributes=known)
        current = _Current(span)

        def end(outcome: BaseException | None) -> None:
            attributes = known | _outcome_attributes(outcome)
            seconds = current.seconds()
            self._validations.add(1, attributes)
            self._validation_duration.record(seconds, attributes)
            current.end(attributes)

        return current.ended_by(end)

    def begin_call(self, call: HttpCall, origin: Origin | None) -> End:
        known: _Attributes = {"http.request.method": call.method, "oauth.call.purpose": call.purpose}
        known |= _server_attributes(call.url)
        parent, links = _ancestry(origin)
        span = self._tracer.start_span(
            call.method,
            context=parent,
            kind=SpanKind.CLIENT,
            links=links,
            attributes=known | {"url.full": _shown(call.url)},
        )
        current = _Current(span)

        def end(outcome: Any) -> None:
            attributes = known | _answer_attributes(outcome)
            self._call_duration.record(current.seconds(), attributes)
            current.end(attributes | {"oauth.call.shared": origin is not None and origin.is_shared})

        return current.ended_by(end)


class _Current:
    """A span that is the current one of this context until it ends."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._began = time.perf_counter()
        self._entered = _ENTERED.set(True)
        self._attached = contexts.attach(trace.set_span_in_context(span))

    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def end(self, attributes: _Attributes) -> None:
        self._span.set_attributes(attributes)
        if "error.type" in attributes:
            # Without a description, and without the exception: both may hold what was sent.
            self._span.set_status(StatusCode.ERROR)

    def ended_by(self, end: Callable[[Any], None]) -> End:
        """``end``, and whatever becomes of it, an end to the span and a context as it was."""

        def end_and_leave(outcome: Any) -> None:
            try:
                end(outcome)
            finally:
                self._leave()
                self._span.end()

        return end_and_leave

    def _leave(self) -> None:
        try:
            _ENTERED.reset(self._entered)
        except ValueError:
            # A task that its loop forgot is collected anywhere: in a context that is not ours to change.
            return
        contexts.detach(self._attached)


def _ancestry(origin: Origin | None) -> tuple[Context, list[Link]]:
    """The context for the span of a call, and its links.

    A call is part of the trace of the request that began it. What was begun in the background goes on beyond that one's
    end, and is a trace of its own.
    """
    if origin is None or origin.place is None:
        return Context(), []
    if origin.is_background:
        return Context(), [Link(origin.place)]
    return trace.set_span_in_context(NonRecordingSpan(origin.place), Context()), []


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
    # As with a status of 4xx, which is no error of a server's: no `error.type`.
    return attributes | {"oauth.validation.outcome": "refused"}


def _answer_attributes(outcome: Any) -> _Attributes:
    if isinstance(outcome, HttpAnswer):
        attributes: _Attributes = {"http.response.status_code": outcome.status}
        return attributes if outcome.status < 400 else attributes | {"error.type": str(outcome.status)}
    if isinstance(outcome, CallFailedError):
        return {"error.type": str(outcome.reason)}
    return {"error.type": _name_of(type(outcome))}


def _server_attributes(url: str) -> _Attributes:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        # Nobody can be asked there, and nobody is.
        return {}
    return {"server.address": parts.hostname or "", "server.port": port}


def _shown(url: str) -> str:
    """``url`` without user name, password, query and fragment."""
    scheme, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _name_of(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
