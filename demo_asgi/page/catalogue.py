"""The views that the page calls, and the steps of a decision about one of them."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from async_oauth_guard import ResourceProtector
from async_oauth_guard.diagnostics.explain import aexplain
from async_oauth_guard.diagnostics.routes import Route, route_of

from .calls import BadCallError


@dataclass(frozen=True, slots=True)
class Shown:
    """A view of the page.

    Attributes:
        takes: the kinds of tokens that it takes; see `tokens.KINDS`.
        grid: the table in which the page shows it.
    """

    path: str
    method: str = "GET"
    takes: tuple[str, ...] = ("row",)
    grid: Literal["tokens", "bound"] | None = None


_JWT = ("jwt", "login")
_INTROSPECTED = ("opaque", *_JWT)
_ANY = ("row", *_INTROSPECTED)
_KEY, _CERTIFICATE, _LOGIN = ("key",), ("certificate",), ("login",)

SHOWN = (
    Shown("/profile", grid="tokens"),
    Shown("/contact", grid="tokens"),
    Shown("/me", grid="tokens"),
    Shown("/timeline", grid="tokens"),
    Shown("/jwt/async", takes=_JWT, grid="tokens"),
    Shown("/introspection/async", takes=_INTROSPECTED, grid="tokens"),
    Shown("/introspection/fresh", takes=_INTROSPECTED, grid="tokens"),
    Shown("/any/sync", takes=_ANY, grid="tokens"),
    Shown("/dpop/async", takes=_KEY, grid="bound"),
    Shown("/nonce/sync", takes=_KEY, grid="bound"),
    Shown("/mtls/async", takes=_CERTIFICATE, grid="bound"),
    Shown("/payment/sync", takes=_LOGIN, grid="bound"),
    Shown("/token"),
    Shown("/users/alice/diary"),
    Shown("/users/bob/diary"),
    Shown("/account"),
    Shown("/notes"),
    Shown("/notes", "POST"),
    Shown("/drafts"),
    Shown("/messages", "POST"),
    Shown("/jwt/sync", takes=_JWT),
    Shown("/introspection/sync", takes=_INTROSPECTED),
    Shown("/any/async", takes=_ANY),
    Shown("/dpop/sync", takes=_KEY),
    Shown("/nonce/async", takes=_KEY),
    Shown("/mtls/sync", takes=_CERTIFICATE),
    Shown("/payment/async", takes=_LOGIN),
    Shown("/reports/daily"),
    Shown("/reports/2024"),
    Shown("/health"),
)


@functools.cache
def catalogue() -> Sequence[Mapping[str, object]]:
    """The views, each with its requirement."""
    return [_described(shown) for shown in SHOWN]


def _described(shown: Shown) -> Mapping[str, object]:
    route = _route(shown.path)
    return {
        "path": shown.path,
        "method": shown.method,
        "takes": shown.takes,
        "grid": shown.grid,
        "is_async": route.is_async,
        "guarded": route.is_guarded,
        "requirement": route.requirement,
        "validators": route.validators,
    }


async def explanation_of(
    method: str, path: str, authorization: str | None, proof: str | None = None, certificate: bytes | None = None
) -> dict[str, Any]:
    """What each guard of a view would decide, step by step.

    Raises:
        BadCallError: there is no view at this path.
    """
    try:
        route = _route(path)
    except LookupError:
        raise BadCallError("path: there is no view at this path.") from None
    explanations = [
        await aexplain(
            cast("ResourceProtector", guard.protector),
            authorization,
            guard=guard,
            method=method,
            uri=path,
            proof=proof,
            certificate=certificate,
        )
        for guard in route.guards_for(method)
    ]
    return {"guards": [explanation.as_json() for explanation in explanations]}


# The URLs of the demo stay what they are.
@functools.lru_cache(maxsize=64)
def _route(path: str) -> Route:
    return route_of(path)
