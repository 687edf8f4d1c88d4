"""Records the rules and calls of a validation, and the claims that may be shown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from ...authorization_server.introspection_cache import IntrospectionResult
from ...authorization_server.responses import shown
from ...errors import GuardError, OAuth2Error, adopt_error
from ...protocol.access_token import AccessToken, TokenState
from ...protocol.rules import Rule
from ...runtime.drivers import interpose_flow
from ...runtime.effects import (
    Call,
    Effect,
    Flow,
    OutboundRequest,
    OutboundResponse,
    ReadModel,
    RequestFailedError,
    Row,
    SingleFlight,
)

__all__ = ["Notes", "Trace", "row_claims_flow", "shown_claims"]

T = TypeVar("T")

# Nothing else of a token is shown: nothing that names a person, and nothing from which the token could be rebuilt.
_SHOWN = ("iss", "aud", "exp", "nbf", "iat", "scope", "scp", "acr", "auth_time")
_SHOWN_OF_HEADER = ("typ", "alg", "kid")
_TIMES = ("exp", "nbf", "iat", "auth_time")
_LONGEST = 200
_MOST = 50


class Notes:
    """The record of one validator, without anything that was presented.

    Attributes:
        validator: the validator that was tried.
        is_asked: whether the guard tried it, and not only `oauth_explain`.
        rule: the last rule that was reached.
        outcome: the authorization, or the error.
        calls: a line for each request, lookup and hook.
        claims: what a server or the site's own code said about the token, if it did.
        row: the row that was found, if any.
    """

    def __init__(self, validator: Any, is_asked: bool) -> None:
        self.validator = validator
        self.is_asked = is_asked
        self.rule: Rule[Any, Any] | None = None
        self.outcome: Any = None
        self.calls: list[str] = []
        self.claims: Mapping[str, Any] | None = None
        self.row: Any = None

    def watch_flow(self, flow: Flow[T]) -> Flow[T]:
        """Run ``flow``, and record its effects."""
        return interpose_flow(flow, self._recorded_flow)

    def _recorded_flow(self, effect: Effect) -> Flow[Any]:
        watched = effect
        if isinstance(effect, SingleFlight):
            # If another request already runs the same flow, this one has nothing to record.
            make = effect.flow
            watched = replace(effect, flow=lambda: self.watch_flow(make()))
        try:
            result = yield watched
        except Exception as error:
            self._note(effect, error)
            raise
        self._note(effect, result)
        return result

    def _note(self, effect: Effect, result: Any) -> None:
        match effect:
            case OutboundRequest():
                outcome = str(result.status) if isinstance(result, OutboundResponse) else _outcome(result)
                self.calls.append(f"{effect.method} {shown(effect.url)} ({effect.purpose}): {outcome}")
            case Row():
                self._note_row(effect, result)
            case Call():
                name = getattr(effect.function, "__qualname__", type(effect.function).__qualname__)
                self.calls.append(f"call of {name}(): {_outcome(result)}")
                self.claims = result if isinstance(result, Mapping) and "active" in result else self.claims
            case SingleFlight() if isinstance(result, IntrospectionResult):
                self.claims = result.claims
            case _:
                # Methods of models, and the shared cache: nothing to show.
                pass

    def _note_row(self, effect: Row, result: Any) -> None:
        where = f"lookup in {effect.queryset.model._meta.label}.{effect.field}"
        if isinstance(result, Exception):
            self.calls.append(f"{where}: {_outcome(result)}")
            return
        self.calls.append(f"{where}: {len(result)} found")
        self.row = result[0] if result else None


class Trace:
    """Receives the rules and flows of the validation of one token: see `ValidationTrace`.

    Attributes:
        rule: the last rule that was reached before a validator was tried.
        notes: the record of each validator, in the order in which they were tried.
        is_guard: whether the guard tries the validators now.
        is_over: whether no further validator may be tried.
        certificate: see `ValidationTrace`.
    """

    def __init__(self, certificate: bytes | None = None) -> None:
        self.certificate = certificate
        self.rule: Rule[Any, Any] | None = None
        self.notes: list[Notes] = []
        self.is_guard = True
        self.is_over = False

    def reach(self, rule: Rule[Any, Any]) -> None:
        (self.notes[-1] if self.notes else self).rule = rule

    def watch_flow(self, flow: Flow[T], validator: Any = None) -> Flow[T]:
        if validator is not None:
            self.notes.append(Notes(validator, self.is_guard))
        notes = self.notes[-1]
        try:
            result = yield from notes.watch_flow(flow)
        except OAuth2Error as error:
            notes.outcome = adopt_error(error)
            raise
        if validator is not None:
            notes.outcome = result
        return result

    def of(self, validator: Any) -> Notes | None:
        """The record of a validator. If an overridden ``acquire_token`` tries it repeatedly, the last counts."""
        return next((notes for notes in reversed(self.notes) if notes.validator is validator), None)


def _outcome(result: Any) -> str:
    if isinstance(result, RequestFailedError | GuardError):
        return str(result.reason)
    # Only the class: the message may contain the token.
    return f"raised {type(result).__name__}" if isinstance(result, Exception) else "returned"


def row_claims_flow(row: Any) -> Flow[Mapping[str, Any]]:
    """The claims of a row that may be shown: none that needs another query, and none if the model raises."""
    claims: Mapping[str, Any] = yield ReadModel(_claims_of_row, row, blocking=False)
    return claims


def _claims_of_row(row: Any) -> Mapping[str, Any]:
    state = TokenState(scope=getattr(row, "scope", None))
    try:
        token = AccessToken.of(SimpleNamespace(oauth_token=row, _oauth_token_state=state))  # type: ignore[arg-type]
    except Exception:
        # The outcome does not depend on it.
        return {}
    return token or {}


def shown_claims(
    claims: Mapping[str, Any], header: Mapping[str, Any], names: Sequence[str] = _SHOWN
) -> Mapping[str, Any]:
    """The claims and header parameters that may be shown: issuer, audience, times, scope and signature algorithm.

    A time such as ``exp`` is followed by its date, ``exp_date``. A value of an unexpected type is shown as the name of
    that type.
    """
    result: dict[str, Any] = {}
    for source, shown_names in ((claims, names), (header, _SHOWN_OF_HEADER)):
        for name in shown_names:
            if source.get(name) is None:
                continue
            result[name] = _shortened(source[name])
            if name in _TIMES and (date := _date_of(source[name])) is not None:
                result[f"{name}_date"] = date
    return result


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
    if isinstance(value, list | tuple | set | frozenset):
        parts = list(value)[:_MOST]
        return [_shortened(part) if isinstance(part, str) else f"<{type(part).__name__}>" for part in parts]
    if isinstance(value, int | float):
        return value if abs(value) < 1e18 else "<a very large number>"
    return f"<{type(value).__name__}>"


def _date_of(value: Any) -> str | None:
    try:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError, OverflowError, OSError):
        return None
