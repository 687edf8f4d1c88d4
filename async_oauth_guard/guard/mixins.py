"""What views import: the ready-made decorator, the type of guarded requests, and a mixin for class-based views."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from django.http import HttpRequest
from django.views import View

from ..protocol.scopes import ScopesLike
from .csrf import ExemptByGuard
from .protector import ResourceProtector
from .view_guard import ViewGuard

__all__ = ["MIXIN_ATTRIBUTES", "AuthenticatedRequest", "ProtectedResourceMixin", "require_oauth"]

T = TypeVar("T")

require_oauth = ResourceProtector.from_settings()
"""The ready-made protector. The setting ``OAUTH_GUARD`` configures it."""


class AuthenticatedRequest(HttpRequest, Generic[T]):
    """For type annotations: the request of a guarded view, with the type of its token.

    Use ``AuthenticatedRequest[OAuth2Token]`` for rows of a model, ``AuthenticatedRequest[AccessToken]`` for other
    tokens, and ``AuthenticatedRequest[AccessToken | None]`` if the guard is optional. Requests are Django's own
    objects. They are never instances of this class.

    Attributes:
        oauth_token: the row of the token model, or an `AccessToken`, or what a hook of a subclass returned.
    """

    oauth_token: T


MIXIN_ATTRIBUTES = ("required_scopes", "oauth_optional", "protector")
"""`ProtectedResourceMixin` creates its guard from these attributes at each request."""


class ProtectedResourceMixin:
    """Guards a class-based view, sync or async. List it before ``View`` in the base classes.

    Attributes:
        required_scopes: see `ResourceProtector.__call__`. A list means *any* of its members.
        oauth_optional: whether requests without credentials are let in.
        protector: the protector that guards the view. The default is the ready-made one.
    """

    required_scopes: ScopesLike = None
    oauth_optional: bool = False
    protector: ResourceProtector = require_oauth

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if View in cls.__mro__[: cls.__mro__.index(ProtectedResourceMixin)]:
            raise TypeError(
                f"{cls.__name__} must list ProtectedResourceMixin before View in its base classes, or it has no guard"
            )
        _check_spelling(cls)
        # Wrong arguments must raise here, like those of a decorator, and not at the first request.
        cls._make_guard({})

    @classmethod
    def _make_guard(cls, given: Mapping[str, Any]) -> ViewGuard:
        """The guard of a view of this class. ``given`` are the arguments of ``as_view()``."""
        scopes, optional, protector = (given.get(name, getattr(cls, name)) for name in MIXIN_ATTRIBUTES)
        return protector(scopes, optional)(lambda request: None)._oauth_guard  # type: ignore[no-any-return]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Guard the request, then call the view's ``dispatch``."""
        guard = self.protector(self.required_scopes, self.oauth_optional)
        return guard(super().dispatch)(request, *args, **kwargs)  # type: ignore[misc]

    # All subclasses share this function, and their guards may run the checks.
    dispatch.csrf_exempt = ExemptByGuard(lambda: True)  # type: ignore[attr-defined]
    dispatch.login_required = False  # type: ignore[attr-defined]


def _check_spelling(cls: type) -> None:
    """Refuse a misspelt attribute. Python would ignore it, and more tokens would be let in."""
    for name in vars(cls).keys() - {*MIXIN_ATTRIBUTES}:
        for meant in get_close_matches(name, MIXIN_ATTRIBUTES, n=1, cutoff=0.9):
            raise TypeError(f"{cls.__name__}.{name} has no effect; did you mean {meant}?")
