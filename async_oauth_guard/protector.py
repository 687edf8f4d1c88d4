"""The configured object that authorizes requests: ``ResourceProtector``."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, overload
from urllib.parse import urlsplit

from authlib.integrations.django_oauth2.requests import DjangoJsonRequest
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from .challenges import Protection, write_challenges
from .compat import answer_as_authlib
from .conf import SETTING, GuardSettings, Options, RenderError, check_validator
from .credentials import (
    MAX_TOKEN_LENGTH,
    Credentials,
    PresentedToken,
    Secret,
    read_authlib_credentials,
    read_credentials,
)
from .decorators import guard_view
from .effects import Flow
from .errors import (
    GuardError,
    InvalidTokenError,
    MissingAuthorizationError,
    OAuth2Error,
    Reason,
    UnsupportedTokenTypeError,
    adopt_error,
    errors_of_hooks,
)
from .flows.authorization import Inquiry, Verdict, authorize_flow
from .hooks import attributes_of, door, hook, keywords_taken, realm_of
from .observation import watch_validation
from .requirements import Requirements, parse_requirements
from .runtime import arun, run_outside_loop
from .scopes import Requirement, ScopesLike
from .signals import log_refusal_flow, notify_flow, token_authenticated, token_rejected
from .stand_ins import STAND_IN
from .urls import Included, guard_urls
from .view_guard import ViewGuard

__all__ = ["ALL_PROTECTORS", "ResourceProtector"]

V = TypeVar("V", bound=Callable[..., Any])

# Methods of Authlib's class that ours has not: what they decide is decided by rules here.
_NOT_ASKED = frozenset({"get_token_validator", "parse_request_authorization", "validate_request"})

ALL_PROTECTORS: "weakref.WeakSet[ResourceProtector]" = weakref.WeakSet()
"""Every protector there is, for the system checks."""


class ResourceProtector:
    """Guards views with access tokens; a drop-in for Authlib's class of the same name.

    Args:
        validators: where tokens come from, in the order in which they are asked.
        realm: the protection space for validators without one of their own (RFC 9110 §11.5).
        resource: who we are: a URI with a host (RFC 8707 §2).
        public_origin: the scheme and host that clients see; left out, the origin of ``resource``, and without that
            what Django makes of ``Host`` within ``ALLOWED_HOSTS``.
        compat: ``"authlib"`` for Authlib's status, body and header fields, byte for byte.
        set_user: whether ``request.user`` and ``request.auser()`` give the token's user.
        cache: the alias of the Django cache by which workers share what they learn of tokens and keys; without it each
            learns for itself.
        render_error: a callable ``(request, error)`` that renders refusals, in place of `render_json`.

    Raises:
        ValueError, TypeError: an argument has a value that cannot work.
    """

    def __init__(
        self,
        *validators: Any,
        realm: str | None = None,
        resource: str | None = None,
        public_origin: str | None = None,
        compat: Literal["authlib"] | None = None,
        set_user: bool = False,
        cache: str | None = None,
        render_error: RenderError | None = None,
    ) -> None:
        self._options: Options | None = Options(
            (), realm, resource, public_origin, compat, set_user, cache, render_error
        )
        self._reads_settings = False
        self._registered: list[Any] = []
        self._schemes: Mapping[str, Sequence[Any]] | None = None
        self._used = False
        for validator in validators:
            self.register_token_validator(validator)
        ALL_PROTECTORS.add(self)

    @classmethod
    def from_settings(cls) -> "ResourceProtector":
        """A protector that reads ``OAUTH_GUARD`` at first use, and again when the setting has changed."""
        protector = cls()
        protector._options = None
        protector._reads_settings = True
        return protector

    def forget_settings(self) -> None:
        """Read the setting anew at the next use, if this protector reads it at all."""
        if self._reads_settings:
            self._options = self._schemes = None

    def register_token_validator(self, validator: Any) -> None:
        """Add a validator; several may serve one scheme, and are asked in order.

        Raises:
            TypeError: it is a class, or has no ``authenticate_token`` or ``TOKEN_TYPE``.
            ValueError: its realm or attributes cannot stand in a challenge.
            ImproperlyConfigured: neither it nor the protector says for which audience tokens have to be.
        """
        check_validator(validator, lambda: self.options.resource)
        self._registered.append(validator)
        self._schemes = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        overridden = {"aacquire_token"} if cls.aacquire_token is not ResourceProtector.aacquire_token else set()
        for name in overridden | {name for name in _NOT_ASKED if hasattr(cls, name)}:
            # Fail closed: Authlib's class would ask it, or a reader would expect it, and its author counts on that.
            raise TypeError(
                f"{cls.__name__}.{name}() would never be called: write a validator's hook, or acquire_token()"
            )

    @property
    def options(self) -> Options:
        """What this protector is configured with.

        Raises:
            ImproperlyConfigured: a key of ``OAUTH_GUARD`` has a value that cannot work.
        """
        options = self._options
        if options is None:
            options = self._options = GuardSettings().options()
        return options

    @property
    def validators(self) -> Sequence[Any]:
        """All validators, in the order in which they are asked."""
        return [*self.options.validators, *self._registered]

    @property
    def is_used(self) -> bool:
        """Whether anything was guarded with it."""
        return self._used

    @overload
    def __call__(self, scopes: V, /) -> V: ...
    @overload
    def __call__(self, scopes: ScopesLike = None, optional: bool = False, **requirements: Any) -> Callable[[V], V]: ...
    def __call__(self, scopes: Any = None, optional: bool = False, **requirements: Any) -> Any:
        """Guard a view: ``@require_oauth``, ``@require_oauth("profile")``, ``require_oauth(...)(view)``.

        Args:
            scopes: ``None`` any valid token; ``"a b"`` a AND b; ``["a b", "c"]`` (a AND b) OR c: a list means *any*
                of its members; a mapping gives a requirement for each HTTP method, ``"*"`` for all others.
            optional: whether a request without credentials is let in, with ``request.oauth_token = None``.
            requirements: ``groups``, ``roles``, ``entitlements`` (the same grammar), ``require_user``, ``check``,
                ``fresh``; others are handed to the validators' own ``validate_token``.

        Raises:
            TypeError: an argument has a value of the wrong type, or no validator takes a keyword.
            ValueError: an alternative is blank.
        """
        if callable(scopes):
            if optional is not False or requirements:
                raise TypeError("arguments beside a view would be lost: write require_oauth(...)(view)")
            return self._guard({}, False)(scopes)
        if not isinstance(optional, bool):
            raise TypeError(f"optional: True or False is wanted, not {type(optional).__name__}")
        return self._guard({"scopes": scopes, **requirements}, optional)

    def protect_urls(
        self, urls: Any, scopes: ScopesLike = None, optional: bool = False, **requirements: Any
    ) -> Included:
        """Guard every view of what ``include()`` takes or returns; returns what ``include()`` returns.

        The patterns that were given stay as they were. See `__call__` for the other arguments.
        """
        return guard_urls(urls, self(scopes, optional, **requirements))

    @door
    def acquire_token(self, request: HttpRequest, scopes: ScopesLike = None, **requirements: Any) -> Any:
        """The check without the decorator: the token of ``request``.

        Raises:
            MissingAuthorizationError, UnsupportedTokenTypeError: the request presents no token.
            InvalidRequestError: what it presents is malformed.
            InvalidTokenError, InsufficientScopeError: its token is refused.
            TemporarilyUnavailableError: its token could not be judged.
            SynchronousOnlyOperation: an event loop runs in this thread.
        """
        flow = self._request_flow(request, parse_requirements(scopes, **requirements))
        with errors_of_hooks():
            return run_outside_loop(flow, "await aacquire_token()").token

    async def aacquire_token(self, request: HttpRequest, scopes: ScopesLike = None, **requirements: Any) -> Any:
        """See `acquire_token`."""
        with errors_of_hooks():
            return (await arun(self._request_flow(request, parse_requirements(scopes, **requirements)))).token

    def validate_token(
        self, token: str, scopes: ScopesLike = None, *, uri: str | None = None, **requirements: Any
    ) -> Any:
        """The whole verdict on a token without a request, as for a WebSocket or a job. Sends no signal.

        Args:
            token: the token alone, without a scheme.
            scopes: see `__call__`; a mapping by method counts with its ``"*"``.
            uri: the URI that the token is used for; a token that names resources is refused without.
            requirements: see `__call__`.

        Raises:
            InvalidTokenError, InsufficientScopeError: it is refused.
            TemporarilyUnavailableError: it could not be judged.
            SynchronousOnlyOperation: an event loop runs in this thread.
        """
        # From here on no frame of ours shows it.
        token = _presented(token)
        flow = self._token_flow(token, parse_requirements(scopes, **requirements), uri)
        with errors_of_hooks():
            return run_outside_loop(flow, "await avalidate_token()").token

    async def avalidate_token(
        self, token: str, scopes: ScopesLike = None, *, uri: str | None = None, **requirements: Any
    ) -> Any:
        """See `validate_token`."""
        token = _presented(token)
        with errors_of_hooks():
            return (await arun(self._token_flow(token, parse_requirements(scopes, **requirements), uri))).token

    def invalidate(self, token: str) -> None:
        """Forget whatever any cache holds of a token: in this process, and in the cache that workers share.

        For a token that was revoked. Database tokens need none of this: they are looked up for each request.

        Raises:
            SynchronousOnlyOperation: an event loop runs in this thread.
        """
        token = _presented(token)
        run_outside_loop(self._invalidate_flow(Secret(token)), "await ainvalidate()")

    async def ainvalidate(self, token: str) -> None:
        """See `invalidate`."""
        token = _presented(token)
        await arun(self._invalidate_flow(Secret(token)))

    def _invalidate_flow(self, token: Secret[str]) -> Flow[None]:
        for validator in self.validators:
            invalidate_flow = getattr(validator, "invalidate_flow", None)
            if invalidate_flow is not None:
                yield from invalidate_flow(token, self.options.cache)

    def _guard(self, keywords: Mapping[str, Any], optional: bool) -> Callable[[Any], Any]:
        requirements = parse_requirements(**keywords)
        if not self._reads_settings:
            self.check_keywords(requirements)
        self._used = True
        guard = ViewGuard(self, keywords, requirements, optional)
        return lambda view: guard_view(view, guard)

    def check_keywords(self, requirements: Requirements) -> None:
        """Whether each validator's own ``validate_token`` takes the keywords that only it can judge.

        Raises:
            TypeError: one does not, or has none.
            ImproperlyConfigured: the setting has no validators, or wrong ones.
        """
        for validator in self.validators if requirements.extra else ():
            validate_token = hook(validator, "validate_token")
            taken = keywords_taken(validate_token, requirements.extra) if validate_token else ()
            for name in requirements.extra:
                if name not in taken:
                    raise TypeError(f"{name}: {type(validator).__name__}.validate_token() takes no such keyword")

    def _by_scheme(self) -> Mapping[str, Sequence[Any]]:
        schemes = self._schemes
        if schemes is None:
            schemes = self._schemes = self._sort_by_scheme()
        return schemes

    def _sort_by_scheme(self) -> Mapping[str, Sequence[Any]]:
        schemes: dict[str, list[Any]] = {}
        for validator in self.validators:
            serving = schemes.setdefault(validator.TOKEN_TYPE.lower(), [])
            # Authlib keeps the first of a scheme and forgets the others.
            if not self.options.as_authlib or not serving:
                serving.append(validator)
        if not schemes and not self.options.as_authlib:
            raise ImproperlyConfigured("this ResourceProtector has no token validator, so no token can be valid")
        return schemes

    def read_credentials(self, request: HttpRequest) -> Credentials | GuardError:
        """What the request presents in its ``Authorization`` header, and nowhere else (RFC 6750 §2.1, §5.3)."""
        stand_in = STAND_IN.get()
        if stand_in is not None:
            return stand_in.credentials(self._by_scheme())
        read = read_authlib_credentials if self.options.as_authlib else read_credentials
        presented = request.META.get("HTTP_AUTHORIZATION")
        return read(None if presented is None else Secret(presented), self._by_scheme())

    def _request_flow(self, request: HttpRequest, requirements: Requirements) -> Flow[Verdict]:
        return (yield from self.authorize_request_flow(request, requirements, self.read_credentials(request)))

    def authorize_request_flow(
        self, request: HttpRequest, requirements: Requirements, credentials: Credentials | GuardError
    ) -> Flow[Verdict]:
        """Judge what a request presents, and tell the signals' receivers.

        Raises: as `acquire_token` does; the error has its challenge.
        """
        return watch_validation(self._authorize_flow(request, requirements, credentials), credentials.scheme)

    def _authorize_flow(
        self, request: HttpRequest, requirements: Requirements, credentials: Credentials | GuardError
    ) -> Flow[Verdict]:
        if requirements.extra:
            self.check_keywords(requirements)
        inquiry = self._inquiry(request, requirements)
        try:
            if isinstance(credentials, GuardError):
                raise credentials
            validators = _asked(self._by_scheme()[credentials.scheme])
            verdict = yield from authorize_flow(validators, credentials.token, inquiry)
            # Within: a receiver may refuse, as it may with Authlib.
            if token_authenticated.receivers:
                yield from notify_flow(token_authenticated, type(self), token=verdict.token)
            return verdict
        except OAuth2Error as caught:
            refusal = caught
        # Outside: what a receiver raises is not to have the refusal, whose frames hold the token, as its context.
        error = yield from self.reject_flow(refusal, request, requirements, credentials)
        raise error from error.__cause__

    def reject_flow(
        self,
        refusal: OAuth2Error,
        request: HttpRequest,
        requirements: Requirements,
        credentials: Credentials | GuardError,
    ) -> Flow[GuardError]:
        """The error to answer with: one of ours, with its challenge, of which receivers have been told."""
        earlier = getattr(request, "_oauth_rejection", None)
        if earlier is not None and refusal in (earlier, earlier.__cause__):
            # An overridden acquire_token() passes on what ours has raised.
            return cast("GuardError", earlier)
        error = self._adopt(refusal, request, requirements, credentials)
        request._oauth_rejection = error  # type: ignore[attr-defined]
        yield from log_refusal_flow(request, error)
        yield from notify_flow(token_rejected, type(self), request=request, error=error)
        return error

    def _token_flow(self, presented: PresentedToken, requirements: Requirements, uri: str | None) -> Flow[Verdict]:
        return watch_validation(self._judge_flow(presented, requirements, uri), None)

    def _judge_flow(self, presented: PresentedToken, requirements: Requirements, uri: str | None) -> Flow[Verdict]:
        self.check_keywords(requirements)
        if len(presented) > MAX_TOKEN_LENGTH:
            raise InvalidTokenError(reason=Reason.TOKEN_TOO_LONG)
        validators = [validator for serving in self._by_scheme().values() for validator in serving]
        inquiry = Inquiry(
            requirements=requirements,
            request=None,
            hook_request=lambda: None,
            uri=lambda: uri,
            resource=self.options.resource,
            cache=self.options.cache,
        )
        return (yield from authorize_flow(_asked(validators), Secret(presented), inquiry))

    def _inquiry(self, request: HttpRequest, requirements: Requirements) -> Inquiry:
        options = self.options
        return Inquiry(
            requirements=requirements,
            request=request,
            # Made when first touched: to make one may fail on a Host that Django does not allow.
            hook_request=lambda: SimpleLazyObject(lambda: DjangoJsonRequest(request)),
            uri=lambda: self._uri(request),
            resource=options.resource,
            cache=options.cache,
        )

    def _adopt(
        self,
        refusal: OAuth2Error,
        request: HttpRequest,
        requirements: Requirements,
        credentials: Credentials | GuardError,
    ) -> GuardError:
        """One of our errors for anybody's, with its challenge."""
        error = adopt_error(refusal)
        if isinstance(credentials, Credentials):
            error.scheme = credentials.scheme
        return self._complete(error, requirements.scopes.for_method(request.method))

    def _complete(self, error: GuardError, scopes: Requirement | None) -> GuardError:
        """The error with its challenge, or as Authlib has it."""
        if isinstance(error, MissingAuthorizationError | UnsupportedTokenTypeError) and scopes is not None:
            error.scope = scopes.nearest_alternative()
        protections = list(self._protections(error.validator))
        if self.options.as_authlib:
            return answer_as_authlib(error, protections[0] if protections else None)
        error.challenge = write_challenges(protections, error)
        return error

    def _protections(self, refusing: Any) -> Iterator[Protection]:
        for scheme, serving in self._by_scheme().items():
            validator = refusing if refusing in serving else serving[0]
            yield Protection(scheme, realm_of(validator) or self.options.realm, attributes_of(validator))

    def _uri(self, request: HttpRequest) -> str:
        origin = self.options.public_origin
        if origin is None and self.options.resource is not None:
            parts = urlsplit(self.options.resource)
            origin = f"{parts.scheme}://{parts.netloc}"
        return request.build_absolute_uri() if origin is None else origin + request.get_full_path()


def _asked(validators: Sequence[Any]) -> Sequence[Any]:
    """``validators``, or what stands in for them in a test."""
    stand_in = STAND_IN.get()
    return validators if stand_in is None else stand_in.validators


def _presented(token: Any) -> PresentedToken:
    if not isinstance(token, str):
        raise TypeError(f"token: a string is wanted, not {type(token).__name__}")
    return PresentedToken(token)


def _reload_settings(*, setting: str, **kwargs: Any) -> None:
    if setting != SETTING:
        return
    for protector in list(ALL_PROTECTORS):
        protector.forget_settings()


setting_changed.connect(_reload_settings, dispatch_uid="async_oauth_guard.reload_settings")
