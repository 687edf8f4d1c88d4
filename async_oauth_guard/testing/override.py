"""``override_oauth``: replaces the token of a request in tests."""

import copy
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from types import FunctionType, TracebackType
from typing import Any, Self, TypeVar

from ..errors import GuardError, InsufficientUserAuthenticationError, Reason, UnsupportedTokenTypeError
from ..guard.overrides import Layer, TokenOverride, begin_override
from ..protocol.credentials import Credentials
from ..protocol.secrets import PresentedToken, Secret
from ..protocol.step_up import StepUp
from ..runtime.run import is_async
from ..validators.authorization_context import AuthorizationContext
from ..validators.token_requirements import names_scope
from .environment import check_test_environment, is_test_environment
from .token_overrides import (
    OverrideValidator,
    check_token,
    copy_of,
    is_of_credentials,
    make_token_factory,
    read_error,
)

__all__ = ["PRESENTED", "override_oauth"]

T = TypeVar("T")

_STARTS_A_TEST = "test"
PRESENTED = Secret(PresentedToken("stand-in"))
"""The token that a request is treated as presenting. No table and no server knows it."""


class override_oauth:  # noqa: N801 - a decorator and context manager, named as Django's `override_settings` is
    """In tests, gives guarded views a token, or refuses their requests, whatever the requests present.

    Use it as a context manager (``with`` or ``async with``), or as a decorator of sync and async test functions and of
    test classes, where it decorates each method ``test…``. It applies to the same thread or task, and to threads and
    tasks that get a copy of its context, as in Django's clients, handlers and adapters. The innermost one counts.

    It also decorates ASGI applications, for clients that run them in a new context, as Channels' communicators do.

    The guard checks what the view requires as usual: its scopes, groups, user and checks, and the token's lifetime. The
    validators of its protector and their hooks are not used.

    Args:
        scopes: the scopes of the token, as ``"profile email"`` or as a list of strings. Default: no scopes.
        user: the Django user of the token, if any.
        claims: further claims.
        error: refuse the request with this error: a `Reason` or its name, or a `GuardError` class or instance.
        token: the whole token: an `AccessToken`, or an instance of a token model, which need not be saved. Its own
            methods decide whether it is valid.
        attributes: ``client_id``, ``subject``, ``expires_at`` (seconds since the epoch, or a datetime), ``issuer``,
            ``audience``, ``token_type`` and ``header``; ``acr`` and ``auth_time`` (like ``expires_at``) of the user's
            authentication; ``authorization_details`` (a mapping, or a list of mappings); ``confirmation``, the ``cnf``
            of a sender-constrained token. Requests need not prove possession. Any other keyword becomes a claim and an
            attribute of the token, unless it looks like a misspelt argument.

    Raises:
        TypeError, ValueError: an argument is unusable. The message says what to write.
        RuntimeError: on entering: no tests run, or this instance is in use already.
    """

    def __init__(
        self,
        scopes: str | Iterable[str] | None = None,
        *,
        user: Any = None,
        claims: Mapping[str, Any] | None = None,
        error: Reason | str | GuardError | type[GuardError] | None = None,
        token: Any = None,
        **attributes: Any,
    ) -> None:
        parts = {"scopes": scopes, "user": user, "claims": claims, **attributes}
        given = [name for name, value in parts.items() if value is not None]
        if error is not None:
            self._check_alone("error", [*given, *(["token"] if token is not None else [])])
            self._token_override = _refusing(read_error(error))
        elif token is not None:
            self._check_alone("token", given)
            check_token(token)
            self._token_override = _presenting(lambda: token)
        else:
            self._token_override = _presenting(make_token_factory(scopes, user, claims, attributes))
        self._layer: Layer | None = None

    @staticmethod
    def _check_alone(name: str, others: list[str]) -> None:
        if others:
            raise TypeError(f"{name}: it must be the only argument; leave out {', '.join(others)}")

    def __enter__(self) -> Self:
        if not is_test_environment():
            raise RuntimeError(
                "override_oauth() is for tests: run them with `manage.py test` or with pytest-django, or call "
                "django.test.utils.setup_test_environment() before"
            )
        if self._layer is not None:
            raise RuntimeError("this override_oauth() is in use already: call override_oauth(...) again for each use")
        self._layer = begin_override(self._token_override)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.end()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, test: T) -> T:
        """Decorate a test function, each test method of a class, or an ASGI application.

        Raises:
            TypeError: the argument is something else, a generator, or a class without test methods.
        """
        decorate: Callable[[Any], Any] = self._decorate_class if isinstance(test, type) else self._decorate_function
        return decorate(test)  # type: ignore[no-any-return]

    def anew(self) -> Self:
        """Return a copy that is not in use, because one instance serves one use at a time."""
        other = copy.copy(self)
        other._layer = None
        return other

    def _with_proofs(self) -> Self:
        """The same, but its requests present proofs, which the guard checks."""
        other = self.anew()
        other._token_override = replace(self._token_override, has_proof=True)
        return other

    def _decorate_function(self, test: Any) -> Any:
        # An ASGI application may be an object with an async `__call__`.
        if not isinstance(test, FunctionType) and not is_async(test):
            kind = type(test).__name__
            raise TypeError(f"override_oauth() decorates functions, classes and ASGI applications, not {kind}")
        if inspect.isgeneratorfunction(test) or inspect.isasyncgenfunction(test):
            raise TypeError(
                f"{test.__qualname__}() is a generator, which runs after the decorator has ended: write "
                "`with override_oauth(...):` around its yield"
            )
        return self._around_async(test) if is_async(test) else self._around_sync(test)

    def _around_sync(self, test: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(test)
        def overridden(*args: Any, **kwargs: Any) -> Any:
            with self.anew():
                return test(*args, **kwargs)

        return overridden

    def _around_async(self, test: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(test)
        async def overridden(*args: Any, **kwargs: Any) -> Any:
            with self.anew():
                return await test(*args, **kwargs)

        return overridden

    def _decorate_class(self, cls: type) -> type:
        # Inherited tests too. The class gets decorated copies, and its parents keep theirs.
        tests = {name: inspect.getattr_static(cls, name) for name in dir(cls) if name.startswith(_STARTS_A_TEST)}
        decorated = {name: made for name, test in tests.items() if (made := self._decorate_member(test)) is not None}
        if not decorated:
            raise TypeError(f"{cls.__name__} has no method test…(), so there is nothing to decorate")
        for name, test in decorated.items():
            setattr(cls, name, test)
        return cls

    def _decorate_member(self, member: Any) -> Any:
        """The decorated method of a class; ``None`` if ``member`` is not a method."""
        if isinstance(member, staticmethod | classmethod):
            return type(member)(self._decorate_function(member.__func__))
        return self._decorate_function(member) if isinstance(member, FunctionType) else None


def _presenting(make_token: Callable[[], Any]) -> TokenOverride:
    def credentials(schemes: Collection[str]) -> Credentials | GuardError:
        check_test_environment()
        scheme = _scheme_of(schemes)
        # A protector that accepts no scheme at all refuses everything in this way.
        return UnsupportedTokenTypeError() if scheme is None else Credentials(scheme, PRESENTED)

    return TokenOverride(credentials, (OverrideValidator(lambda context: make_token()),))


def _refusing(error: GuardError) -> TokenOverride:
    def refuse(context: AuthorizationContext | None) -> None:
        raise _with_requirements(copy_of(error), context)

    def credentials(schemes: Collection[str]) -> Credentials | GuardError:
        check_test_environment()
        refusal, scheme = copy_of(error), _scheme_of(schemes)
        if refusal.reason is Reason.MALFORMED_CREDENTIALS:
            refusal.scheme = refusal.scheme or scheme
        return refusal

    if is_of_credentials(error):
        return TokenOverride(credentials, (OverrideValidator(refuse),))
    return TokenOverride(_presenting(lambda: None).credentials, (OverrideValidator(refuse),))


def _scheme_of(schemes: Collection[str]) -> str | None:
    return "bearer" if "bearer" in schemes else next(iter(schemes), None)


def _with_requirements(error: GuardError, context: AuthorizationContext | None) -> GuardError:
    """The error with what the view requires, as a guard names it for a token that has nothing."""
    required = None if context is None else context.scopes
    if names_scope(error.reason) and required is not None:
        error.scope = error.scope or required.nearest_alternative()
    if context is not None and isinstance(error, InsufficientUserAuthenticationError):
        step_up = context.requirements.step_up or StepUp()
        error.acr_values = error.acr_values or step_up.acr_values
        error.max_age = step_up.max_age if error.max_age is None else error.max_age
    return error
