"""Flows driven by hand: no database, no thread, no loop."""

from collections.abc import Mapping
from typing import Any

from django.test import RequestFactory

from async_oauth_guard.credentials import Secret
from async_oauth_guard.effects import Call, Effect, Flow, ReadModel
from async_oauth_guard.flows.authorization import Inquiry
from async_oauth_guard.requirements import parse_requirements

PERFORM = object()
"""A reply: whatever the effect's own function gives."""


def perform(effect: Effect) -> Any:
    """Do at once what a call or a read asks for."""
    if isinstance(effect, ReadModel):
        return effect.read(effect.instance)
    assert isinstance(effect, Call)
    arguments = [part.reveal() if isinstance(part, Secret) else part for part in effect.arguments]
    return effect.function(*arguments, **(effect.keywords or {}))


def drive(flow: Flow[Any], *replies: Any) -> tuple[Any, list[Effect]]:
    """The flow's result and what it asked for; each effect gets the next of ``replies``, an exception is thrown in."""
    effects: list[Effect] = []
    waiting = list(replies)
    try:
        effect = next(flow)
        while True:
            effects.append(effect)
            assert waiting, f"no reply to {effect}"
            effect = _answer(flow, effect, waiting.pop(0))
    except StopIteration as stop:
        assert not waiting, f"nobody asked for {waiting}"
        return stop.value, effects


def _answer(flow: Flow[Any], effect: Effect, reply: Any) -> Effect:
    if reply is PERFORM:
        try:
            reply = perform(effect)
        except Exception as error:
            reply = error
    return flow.throw(reply) if isinstance(reply, BaseException) else flow.send(reply)


def inquire(
    scopes: Any = None,
    *,
    method: str | None = "GET",
    uri: str | None = None,
    hook_request: Any = None,
    headers: Mapping[str, str] | None = None,
    **requirements: Any,
) -> Inquiry:
    """What a guard asks about a token; ``method=None`` where there is no request."""
    request = None if method is None else RequestFactory().generic(method, "/", headers=dict(headers or {}))
    return Inquiry(
        requirements=parse_requirements(scopes, **requirements),
        request=request,
        hook_request=lambda: hook_request,
        uri=lambda: uri,
    )
