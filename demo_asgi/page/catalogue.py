"""The views that the page shows, and the steps of a decision about one of them."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from async_oauth_guard import ResourceProtector
from async_oauth_guard.diagnostics.explain import aexplain
from async_oauth_guard.diagnostics.routes import Route, route_of

from .endpoints import InvalidRequestError


@dataclass(frozen=True, slots=True)
class ShownView:
    """A view of the page.

    Attributes:
        accepts: the kinds of tokens that it accepts; see `tokens.KINDS`.
        grid: the table in which the page shows it.
    """

    path: str
    method: str = "GET"
    accepts: tuple[str, ...] = ("row",)
    grid: Literal["tokens", "bound"] | None = None


_JWT = ("jwt", "login")
_INTROSPECTED = ("opaque", *_JWT)
_ANY = ("row", *_INTROSPECTED)
_KEY, _CERTIFICATE, _LOGIN = ("key",), ("certificate",), ("login",)

SHOWN_VIEWS = (
    ShownView("/profile", grid="tokens"),
    ShownView("/contact", grid="tokens"),
    ShownView("/me", grid="tokens"),
    ShownView("/timeline", grid="tokens"),
    ShownView("/jwt/async", accepts=_JWT, grid="tokens"),
    ShownView("/introspection/async", accepts=_INTROSPECTED, grid="tokens"),
    ShownView("/introspection/fresh", accepts=_INTROSPECTED, grid="tokens"),
    ShownView("/any/sync", accepts=_ANY, grid="tokens"),
    ShownView("/dpop/async", accepts=_KEY, grid="bound"),
    ShownView("/nonce/sync", accepts=_KEY, grid="bound"),
    ShownView("/mtls/async", accepts=_CERTIFICATE, grid="bound"),
    ShownView("/payment/sync", accepts=_LOGIN, grid="bound"),
    ShownView("/token"),
    ShownView("/users/alice/diary"),
    ShownView("/users/bob/diary"),
    ShownView("/account"),
    ShownView("/notes"),
    ShownView("/notes", "POST"),
    ShownView("/drafts"),
    ShownView("/messages", "POST"),
    ShownView("/jwt/sync", accepts=_JWT),
    ShownView("/introspection/sync", accepts=_INTROSPECTED),
    ShownView("/any/async", accepts=_ANY),
    ShownView("/dpop/sync", accepts=_KEY),
    ShownView("/nonce/async", accepts=_KEY),
    ShownView("/mtls/sync", accepts=_CERTIFICATE),
    ShownView("/payment/async", accepts=_LOGIN),
    ShownView("/reports/daily"),
    ShownView("/reports/2024"),
    ShownView("/health"),
)


@functools.cache
def catalogue() -> Sequence[Mapping[str, object]]:
    """The views, each with its requirement."""
    return [_describe(view) for view in SHOWN_VIEWS]


def _describe(view: ShownView) -> Mapping[str, object]:
    route = _route(view.path)
    return {
        "path": view.path,
        "method": view.method,
        "accepts": view.accepts,
        "grid": view.grid,
        "is_async": route.is_async,
        "guarded": route.is_guarded,
        "requirement": route.requirement,
        "validators": route.validators,
    }


async def explanation_of(
    method: str, path: str, authorization: str | None, proof: str | None = None, certificate: bytes | None = None
) -> dict[str, Any]:
    """The decision of each guard of a view, step by step.

    Raises:
        InvalidRequestError: there is no view at this path.
    """
    try:
        route = _route(path)
    except LookupError:
        raise InvalidRequestError("path: there is no view at this path.") from None
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


# The URLs of the demo never change.
@functools.lru_cache(maxsize=64)
def _route(path: str) -> Route:
    return route_of(path)
