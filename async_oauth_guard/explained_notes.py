"""What is noted while a verdict is reached: what was asked of the outside world, and the claims that may be shown."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from .drivers import interpose_flow
from .effects import Call, CallFailedError, Effect, Flow, HttpAnswer, HttpCall, Once, ReadModel, Row
from .errors import GuardError
from .flows.answers import shown
from .flows.introspection import Word
from .tokens import AccessToken, TokenState

__all__ = ["Notes", "row_claims_flow", "tell_claims"]

T = TypeVar("T")

# All that is shown of a token. Nothing that names a person, and nothing that a token could be made from.
_SHOWN = ("iss", "aud", "exp", "nbf", "iat", "scope", "scp")
_SHOWN_OF_HEADER = ("typ", "alg", "kid")
_TIMES = ("exp", "nbf", "iat")
_LONGEST = 200
_MOST = 50


class Notes:
    """What a flow asked for and was answered, in words, without anything that was presented.

    Attributes:
        calls: a line for each call, lookup and hook.
        claims: what a server, or code of the site's, said of the token, where somebody did.
        row: the row that was found, if one was.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.claims: Mapping[str, Any] | None = None
        self.row: Any = None

    def watch_flow(self, flow: Flow[T]) -> Flow[T]:
        """``flow``, with what it asks for noted."""
        return interpose_flow(flow, self._noted_flow)

    def _noted_flow(self, effect: Effect) -> Flow[Any]:
        asked = effect
        if isinstance(effect, Once):
            # Runs elsewhere; where the same is under way already for somebody else, there is nothing to note.
            make = effect.flow
            asked = replace(effect, flow=lambda: self.watch_flow(make()))
        try:
            result = yield asked
        except Exception as error:
            self._note(effect, error)
            raise
        self._note(effect, result)
        return result

    def _note(self, effect: Effect, result: Any) -> None:
        match effect:
            case HttpCall():
                self.calls.append(f"{effect.method} {shown(effect.url)} ({effect.purpose}): {_answer(result)}")
            case Row():
                self._note_row(effect, result)
            case Call():
                name = getattr(effect.function, "__qualname__", type(effect.function).__qualname__)
                self.calls.append(f"call of {name}(): {_outcome(result)}")
                self.claims = result if isinstance(result, Mapping) and "active" in result else self.claims
            case Once() if isinstance(result, Word):
                self.claims = result.claims
            case _:
                # A model's own methods, and the shared cache: nothing to tell.
                pass

    def _note_row(self, effect: Row, result: Any) -> None:
        where = f"lookup in {effect.queryset.model._meta.label}.{effect.field}"
        if isinstance(result, Exception):
            self.calls.append(f"{where}: {_outcome(result)}")
            return
        self.calls.append(f"{where}: {len(result)} found")
        self.row = result[0] if result else None


def _answer(result: Any) -> str:
    return str(result.status) if isinstance(result, HttpAnswer) else _outcome(result)


def _outcome(result: Any) -> str:
    if isinstance(result, CallFailedError | GuardError):
        return str(result.reason)
    # By its class alone: its message may hold what was handed over.
    return f"raised {type(result).__name__}" if isinstance(result, Exception) else "returned"


def row_claims_flow(row: Any) -> Flow[Mapping[str, Any]]:
    """What may be shown of a row: nothing that takes another query, and nothing where its model fails."""
    claims: Mapping[str, Any] = yield ReadModel(_claims_of_row, row, blocking=False)
    return claims


def _claims_of_row(row: Any) -> Mapping[str, Any]:
    state = TokenState(scope=getattr(row, "scope", None))
    try:
        token = AccessToken.of(SimpleNamespace(oauth_token=row, _oauth_token_state=state))  # type: ignore[arg-type]
    except Exception:
        # The verdict was reached without it.
        return {}
    return token or {}


def tell_claims(claims: Mapping[str, Any], header: Mapping[str, Any]) -> Mapping[str, Any]:
    """What may be shown of a token: who issued it, for whom, until when, for what, and how it was signed.

    A time ``exp`` has its date beside it, as ``exp_date``. A value of a type that no such claim has is told by
    the name of its type.
    """
    told: dict[str, Any] = {}
    for source, names in ((claims, _SHOWN), (header, _SHOWN_OF_HEADER)):
        for name in names:
            if source.get(name) is None:
                continue
            told[name] = _shortened(source[name])
            if name in _TIMES and (date := _date_of(source[name])) is not None:
                told[f"{name}_date"] = date
    return told


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
