"""What views import: the ready-made guard, the type of what it lets in, and the same by inheritance."""

from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from django.http import HttpRequest
from django.views import View

from .protector import ResourceProtector
from .scopes import ScopesLike
from .session_checks import EXEMPT_WHILE_CHECKED

__all__ = ["MIXIN_ATTRIBUTES", "AuthenticatedRequest", "ProtectedResourceMixin", "require_oauth"]

T = TypeVar("T")

require_oauth = ResourceProtector.from_settings()
"""The ready-made protector, configured by the setting ``OAUTH_GUARD``."""


class AuthenticatedRequest(HttpRequest, Generic[T]):
    """For annotations: the request that a guarded view is given, with the type of its token.

    ``AuthenticatedRequest[OAuth2Token]`` for rows of a model, ``AuthenticatedRequest[AccessToken]`` for other tokens,
    ``AuthenticatedRequest[AccessToken | None]`` where the guard is optional. Requests are Django's own: none is an
    instance of this class.

    Attributes:
        oauth_token: the row of the token model, or an `AccessToken`; or what a hook of a subclass returned.
    """

    oauth_token: T


MIXIN_ATTRIBUTES = ("required_scopes", "oauth_optional", "protector")
"""From these `ProtectedResourceMixin` makes its guard, at each request."""


class ProtectedResourceMixin:
    """Guards a class-based view, sync or async; to be named before ``View`` among the bases.

    Attributes:
        required_scopes: see `ResourceProtector.__call__`; a list means *any* of its members.
        oauth_optional: whether requests without credentials are let in.
        protector: by what the view is guarded; the ready-made one unless given.
    """

    required_scopes: ScopesLike = None
    oauth_optional: bool = False
    protector: ResourceProtector = require_oauth

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if View in cls.__mro__[: cls.__mro__.index(ProtectedResourceMixin)]:
            raise TypeError(f"{cls.__name__} names View before ProtectedResourceMixin, which then guards nothing")
        _check_spelling(cls)
        # Wrong arguments are to fail here, as a decorator's do, and not at the first request.
        cls.protector(cls.required_scopes, cls.oauth_optional)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Let the request in, or refuse it."""
        guard = self.protector(self.required_scopes, self.oauth_optional)
        return guard(super().dispatch)(request, *args, **kwargs)  # type: ignore[misc]

    dispatch.csrf_exempt = EXEMPT_WHILE_CHECKED  # type: ignore[attr-defined]
    dispatch.login_required = False  # type: ignore[attr-defined]


def _check_spelling(cls: type) -> None:
    """A misspelt attribute would be no error of Python's, and would let more tokens in."""
    for name in vars(cls).keys() - {*MIXIN_ATTRIBUTES}:
        for meant in get_close_matches(name, MIXIN_ATTRIBUTES, n=1, cutoff=0.9):
            raise TypeError(f"{cls.__name__}.{name} guards nothing: {meant} is meant")
