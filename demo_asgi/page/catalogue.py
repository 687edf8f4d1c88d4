"""The views that the page asks, in words, and the steps of a decision about one of them."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from async_oauth_guard import ResourceProtector
from async_oauth_guard.explanation import aexplain
from async_oauth_guard.routes import Route, route_of

from .calls import BadCallError


@dataclass(frozen=True, slots=True)
class Shown:
    """A view of the page; ``in_grid`` where it is asked with every token."""

    path: str
    method: str = "GET"
    in_grid: bool = False


SHOWN = (
    Shown("/profile", in_grid=True),
    Shown("/contact", in_grid=True),
    Shown("/me", in_grid=True),
    Shown("/timeline", in_grid=True),
    Shown("/jwt/async", in_grid=True),
    Shown("/introspection/async", in_grid=True),
    Shown("/introspection/fresh", in_grid=True),
    Shown("/any/sync", in_grid=True),
    Shown("/token"),
    Shown("/users/alice/diary"),
    Shown("/users/bob/diary"),
    Shown("/account"),
    Shown("/notes"),
    Shown("/notes", "POST"),
    Shown("/drafts"),
    Shown("/messages", "POST"),
    Shown("/jwt/sync"),
    Shown("/introspection/sync"),
    Shown("/any/async"),
    Shown("/reports/daily"),
    Shown("/reports/2024"),
    Shown("/health"),
)


@functools.cache
def catalogue() -> Sequence[Mapping[str, object]]:
    """The views, each with what it asks for."""
    return [_described(shown) for shown in SHOWN]


def _described(shown: Shown) -> Mapping[str, object]:
    route = _route(shown.path)
    return {
        "path": shown.path,
        "method": shown.method,
        "in_grid": shown.in_grid,
        "colour": route.colour,
        "guarded": route.is_guarded,
        "requirement": route.requirement,
        "validators": route.validators,
    }


async def explanation_of(method: str, path: str, authorization: str | None) -> dict[str, Any]:
    """What each guard of a view would decide, step by step.

    Raises:
        BadCallError: no view answers there.
    """
    try:
        route = _route(path)
    except LookupError:
        raise BadCallError("path: no view answers there.") from None
    explanations = [
        await aexplain(cast("ResourceProtector", guard.protector), authorization, guard=guard, method=method, uri=path)
        for guard in route.guards_for(method)
    ]
    return {"guards": [explanation.as_json() for explanation in explanations]}


# The URLs of the demo stay what they are.
@functools.lru_cache(maxsize=64)
def _route(path: str) -> Route:
    return route_of(path)
