"""``override_oauth``: what stands in for the token of a request."""

import copy
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from types import FunctionType, TracebackType
from typing import Any, Self, TypeVar

from ..credentials import Credentials, PresentedToken, Secret
from ..errors import GuardError, Reason, UnsupportedTokenTypeError
from ..flows.authorization import Inquiry
from ..runtime import is_async
from ..stand_ins import STAND_IN, Layer, StandIn
from .environment import check_test_environment, is_test_environment
from .stand_in_error import copy_of, is_of_credentials, read_error
from .stand_in_token import StandInValidator, check_token, make_token_factory

__all__ = ["override_oauth"]

T = TypeVar("T")

_STARTS_A_TEST = "test"
# What a request is taken to present. It is in no table and no server's memory.
_PRESENTED = Secret(PresentedToken("stand-in"))


class override_oauth:  # noqa: N801 - a decorator and context manager, named as Django's `override_settings` is
    """Lets guarded views see a token, or refuses their requests, whatever these present; for tests.

    A context manager (``with`` or ``async with``), and a decorator of test functions, sync and async, and of classes,
    of which it decorates each ``test…`` method. It counts for what runs in the same thread or task and in what these
    start with a copy of their context, as Django's clients, handlers and adapters do. The innermost counts.

    What a view asks for is judged as ever: its scopes, groups, user, checks, and the token's lifetime. The validators
    of its protector are not asked, nor are their hooks.

    Args:
        scopes: the scopes of the token, as ``"profile email"`` or as a list of strings; none, unless given.
        user: the Django user for whom it speaks, if any.
        claims: further claims.
        error: what to refuse with, in place of a token: a `Reason` or its name, or a `GuardError`, class or instance.
        token: the whole token, in place of its parts: an `AccessToken`, or an instance of a token model, which need
            not be saved. It is judged by its own methods.
        attributes: ``client_id``, ``subject``, ``expires_at`` (seconds since the epoch, or a datetime), ``issuer``,
            ``audience``, ``token_type``, ``header``; each other is a claim, and an attribute of the token as well, but
            none whose name is nearly one of these.

    Raises:
        TypeError, ValueError: an argument cannot be used as it is; the message says what to write.
        RuntimeError: on entering: this is no test, or this very instance has been entered already.
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
            self._stand_in = _refusing(read_error(error))
        elif token is not None:
            self._check_alone("token", given)
            check_token(token)
            self._stand_in = _presenting(lambda: token)
        else:
            self._stand_in = _presenting(make_token_factory(scopes, user, claims, attributes))
        self._layer: Layer | None = None

    @staticmethod
    def _check_alone(name: str, others: list[str]) -> None:
        if others:
            raise TypeError(f"{name}: nothing else can be given beside it: leave out {', '.join(others)}")

    def __enter__(self) -> Self:
        if not is_test_environment():
            raise RuntimeError(
                "override_oauth() is for tests: run them with `manage.py test` or with pytest-django, or call "
                "django.test.utils.setup_test_environment() before"
            )
        if self._layer is not None:
            raise RuntimeError("this override_oauth() is in force already: write override_oauth(...) anew for each use")
        self._layer = STAND_IN.put(self._stand_in)
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
        """Decorate a test function, or each test of a class.

        Raises:
            TypeError: it is neither, or a generator, or a class without tests.
        """
        decorate: Callable[[Any], Any] = self._decorate_class if isinstance(test, type) else self._decorate_function
        return decorate(test)  # type: ignore[no-any-return]

    def anew(self) -> Self:
        """The same, not in force: one instance is for one use at a time."""
        other = copy.copy(self)
        other._layer = None
        return other

    def _decorate_function(self, test: Any) -> Any:
        if not isinstance(test, FunctionType):
            raise TypeError(f"override_oauth() decorates functions and classes, not {type(test).__name__}")
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
        # Inherited ones too, which become this class's own: those of its parents stay as they are.
        tests = {name: inspect.getattr_static(cls, name) for name in dir(cls) if name.startswith(_STARTS_A_TEST)}
        decorated = {name: made for name, test in tests.items() if (made := self._decorate_member(test)) is not None}
        if not decorated:
            raise TypeError(f"{cls.__name__} has no method test…(), so there is nothing to decorate")
        for name, test in decorated.items():
            setattr(cls, name, test)
        return cls

    def _decorate_member(self, member: Any) -> Any:
        """A method of a class, decorated; ``None`` where it is none."""
        if isinstance(member, staticmethod | classmethod):
            return type(member)(self._decorate_function(member.__func__))
        return self._decorate_function(member) if isinstance(member, FunctionType) else None


def _presenting(make_token: Callable[[], Any]) -> StandIn:
    def credentials(schemes: Collection[str]) -> Credentials | GuardError:
        check_test_environment()
        scheme = _scheme_of(schemes)
        # As whatever is presented, where a protector serves no scheme at all.
        return UnsupportedTokenTypeError() if scheme is None else Credentials(scheme, _PRESENTED)

    return StandIn(credentials, (StandInValidator(lambda inquiry: make_token()),))


def _refusing(error: GuardError) -> StandIn:
    def refuse(inquiry: Inquiry | None) -> None:
        raise _with_scope(copy_of(error), inquiry)

    def credentials(schemes: Collection[str]) -> Credentials | GuardError:
        check_test_environment()
        refusal, scheme = copy_of(error), _scheme_of(schemes)
        if refusal.reason is Reason.MALFORMED_CREDENTIALS:
            refusal.scheme = refusal.scheme or scheme
        return refusal

    if is_of_credentials(error):
        return StandIn(credentials, (StandInValidator(refuse),))
    return StandIn(_presenting(lambda: None).credentials, (StandInValidator(refuse),))


def _scheme_of(schemes: Collection[str]) -> str | None:
    return "bearer" if "bearer" in schemes else next(iter(schemes), None)


def _with_scope(error: GuardError, inquiry: Inquiry | None) -> GuardError:
    """The error with the scopes that the view asks for, as a guard names them for a token that has none of them."""
    required = None if inquiry is None else inquiry.scopes
    if error.reason is Reason.INSUFFICIENT_SCOPE and required is not None:
        error.scope = error.scope or required.nearest_alternative()
    return error
