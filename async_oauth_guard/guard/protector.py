"""`ResourceProtector`, the configured object that authorizes requests."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

from django.core.signals import setting_changed
from django.http import HttpRequest
from django.urls import URLPattern

from ..conf import SETTING, GuardSettings, Options, RenderError, check_validator
from ..errors import GuardError, OAuth2Error, errors_of_hooks
from ..protocol.credentials import Credentials, read_authlib_credentials, read_credentials
from ..protocol.dpop import DPoP, read_dpop
from ..protocol.requirements import Requirements, parse_requirements
from ..protocol.scopes import ImpliedScopesLike, ScopesLike
from ..runtime.effects import Flow
from ..runtime.observer import watch_validation
from ..runtime.run import arun, run_outside_loop
from ..validators.authorization import authorize_flow
from ..validators.authorization_context import TRACE, Authorization
from ..validators.client_certificates import MutualTLS
from ..validators.hooks import overridden
from .application_guard import Application, ApplicationGuard, GuardedApplication
from .asgi.options import ApplicationOptions
from .asgi.request import read_header
from .context import make_context
from .decorators import django_request, guard_view
from .handover import reuse_handover
from .keywords import check_acquire_token, check_flags, check_requirements
from .memo import Memo
from .metadata import metadata_patterns
from .overrides import current_override
from .proofs import hide_proof, possession_of
from .refusals import refuse_flow
from .schemes import sort_by_scheme
from .signals import notify_flow, token_authenticated
from .token_checks import TokenChecks
from .urls import Included, guard_urls
from .view_guard import ViewGuard

__all__ = ["ALL_PROTECTORS", "ResourceProtector"]

V = TypeVar("V", bound=Callable[..., Any])

# Authlib's class calls the first three; this class has rules instead. A guarded view never calls the last.
_NEVER_CALLED = ("get_token_validator", "parse_request_authorization", "validate_request", "aacquire_token")

ALL_PROTECTORS: "weakref.WeakSet[ResourceProtector]" = weakref.WeakSet()
"""All protectors of the process, for the system checks."""


class ResourceProtector(TokenChecks):
    """Guards views with access tokens. It replaces Authlib's class of the same name.

    Args:
        validators: the token validators. A token is passed to them in this order; the first that accepts it wins.
        realm: the realm in challenges (RFC 9110 §11.5), for validators without a realm.
        resource: the identifier of this API: a URI with a host (RFC 8707 §2).
        public_origin: the scheme and host that clients see. The default is the origin of ``resource``. Without either,
            Django determines it from the ``Host`` header, which ``ALLOWED_HOSTS`` restricts.
        compat: ``"authlib"`` for the same status, body and headers as Authlib, byte for byte.
        set_user: whether ``request.user`` and ``request.auser()`` return the token's user.
        cache: the alias of the Django cache in which workers share what they know about tokens and keys. Without it,
            each process has its own cache.
        render_error: a callable ``(request, error)`` that renders error responses. The default is `render_json`.
        dpop: ``True`` or a `DPoP`, to accept tokens that are bound to a key, with the scheme ``DPoP`` (RFC 9449).
        mtls: where client certificates come from, for tokens that are bound to one (RFC 8705).
        implied_scopes: the scopes that a scope of a token implies: ``{"admin": ["read", "write"]}``. Transitive.
        metadata: ``True`` for protected resource metadata (RFC 9728), or a mapping of members that override the
            computed ones. See `metadata_urls`.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.
        ImproperlyConfigured: ``cache`` cannot remember DPoP proofs; or ``metadata`` needs a ``resource`` with
            ``https``, or with ``http`` on a loopback address.

    Attributes:
        csrf_exempt: whether to skip Django's CSRF check on requests that a browser may send automatically. These are
            requests with the schemes Basic, Digest, Negotiate and NTLM. If ``acquire_token`` is overridden, it may read
            a cookie, so they also include requests without credentials of a scheme that the guard supports.
    """

    csrf_exempt: bool = False
    _options: Options | None = None

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
        dpop: DPoP | bool | None = None,
        mtls: MutualTLS | None = None,
        implied_scopes: ImpliedScopesLike | None = None,
        metadata: bool | Mapping[str, Any] | None = None,
    ) -> None:
        self._options = Options(
            (),
            realm,
            resource,
            public_origin,
            compat,
            set_user,
            cache,
            render_error,
            read_dpop(dpop),
            mtls,
            implied_scopes,
            metadata,
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
        """Return a protector that reads ``OAUTH_GUARD`` at first use, and again after the setting has changed."""
        protector = cls()
        protector._reads_settings = True
        protector.forget_settings()
        return protector

    def forget_settings(self) -> None:
        """Read the setting again at the next use, if this protector is configured by it."""
        if self._reads_settings:
            vars(self).pop("_options", None)
            self._schemes = None

    def register_token_validator(self, validator: Any) -> None:
        """Add a validator. Several validators may support the same scheme.

        Raises:
            TypeError: ``validator`` is a class, or has no ``authenticate_token`` or ``TOKEN_TYPE``.
            ValueError: its realm or attributes are not allowed in a challenge.
            ImproperlyConfigured: neither the validator nor the protector says which audience tokens must have.
        """
        check_validator(validator, lambda: self.options.resource, lambda: self.options.metadata_url is not None)
        self._registered.append(validator)
        self._schemes = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in (name for name in _NEVER_CALLED if overridden(cls, name)):
            # Fail closed: the method's author relies on it being called.
            raise TypeError(
                f"{cls.__name__}.{name}() would never be called: override a validator's hook or acquire_token() instead"
            )
        if not isinstance(cls.csrf_exempt, bool):
            raise TypeError(f"{cls.__name__}.csrf_exempt must be True or False, got {type(cls.csrf_exempt).__name__}")

    @property
    def options(self) -> Options:
        """The options of this protector.

        Raises:
            ImproperlyConfigured: a key of ``OAUTH_GUARD`` has an invalid value.
        """
        # Several threads may read the setting at once. All must use the same validators: `invalidate` must reach them.
        return self._options or vars(self).setdefault("_options", GuardSettings().options())

    @property
    def validators(self) -> Sequence[Any]:
        """All validators, in the order in which a token is passed to them."""
        return [*self.options.validators, *self._registered]

    @property
    def is_used(self) -> bool:
        """Whether it guards any view."""
        return self._used

    @overload
    def __call__(self, scopes: V, /) -> V: ...
    @overload
    def __call__(
        self, scopes: ScopesLike = None, optional: bool = False, *, until_expiry: bool = True, **requirements: Any
    ) -> Callable[[V], V]: ...
    def __call__(
        self, scopes: Any = None, optional: bool = False, *, until_expiry: bool = True, **requirements: Any
    ) -> Any:
        """Guard a view: ``@require_oauth``, ``@require_oauth("profile")``, ``require_oauth(...)(view)``.

        Args:
            scopes: ``None`` lets in any valid token. ``"a b"`` means a AND b. A list means *any* of its members, so
                ``["a b", "c"]`` means (a AND b) OR c. A mapping has one requirement for each HTTP method, and ``"*"``
                for all others.
            optional: whether a request without credentials is let in, with ``request.oauth_token = None``.
            until_expiry: whether an async streaming response of the view ends when the token expires, under ASGI.
            requirements: ``groups``, ``roles`` and ``entitlements`` (with the same grammar), ``require_user``,
                ``check`` and ``fresh``; ``acr_values`` and ``max_age`` (RFC 9470); ``authorization_details`` (RFC
                9396); ``sender_constrained``. Other keywords are passed to the ``validate_token`` hooks.

        Raises:
            TypeError: an argument has the wrong type, or a validator does not accept a keyword.
            ValueError: an argument has an invalid value, such as a blank alternative.
            ImproperlyConfigured: ``sender_constrained`` without ``dpop`` and ``mtls``.
        """
        if callable(scopes):
            if optional is not False or until_expiry is not True or requirements:
                raise TypeError("a view must be the only argument; write require_oauth(...)(view) to pass others")
            return guard_view(scopes, self._view_guard({}, False))
        guard = self._view_guard({"scopes": scopes, **requirements}, optional, until_expiry=until_expiry)
        return lambda view: guard_view(view, guard)

    def protect_urls(
        self, urls: Any, scopes: ScopesLike = None, optional: bool = False, **requirements: Any
    ) -> Included:
        """Guard every view in ``urls``, which is what ``include()`` accepts or returns. Returns the same as it does.

        The given patterns are not changed. See `__call__` for the other arguments.
        """
        return guard_urls(urls, self(scopes, optional, **requirements))

    def asgi(
        self,
        app: Application,
        scopes: ScopesLike = None,
        optional: bool = False,
        *,
        subprotocol: Literal["bearer"] | None = None,
        until_expiry: bool = True,
        recheck: float | None = None,
        close_code: int = 3000,
        **requirements: Any,
    ) -> Application:
        """Guard a whole ASGI application, such as ``get_asgi_application()``. Returns an ASGI application.

        Requests are refused before ``app`` is called. ``app`` finds the token in its scope as ``oauth_token``. A view
        behind it that this protector guards too uses the result again.

        Args:
            app: the application. ``lifespan`` is passed on to it.
            subprotocol: ``"bearer"`` to accept a token in ``Sec-WebSocket-Protocol``.
            until_expiry: whether a connection ends when its token expires.
            recheck: the seconds after which the token of an open connection is validated again, without cached results.
            close_code: the code with which a WebSocket is closed then: 1000, or 3000 to 4999.

        See `__call__` for the other arguments, and for what is raised.
        """
        options = ApplicationOptions(
            subprotocol=subprotocol, until_expiry=until_expiry, recheck=recheck, close_code=close_code
        )
        guard = self._view_guard({"scopes": scopes, **requirements}, optional, in_front=True)
        return GuardedApplication(app, ApplicationGuard(guard, rechecks=recheck is not None), options)

    def metadata_urls(self) -> list[URLPattern]:
        """The URL pattern of the protected resource metadata (RFC 9728), for the root URL configuration.

        Raises:
            ImproperlyConfigured: ``metadata`` is not set.
        """
        return metadata_patterns(self)

    def acquire_token(self, request: HttpRequest, scopes: ScopesLike = None, **requirements: Any) -> Any:
        """Check ``request`` as the decorator does, and return its token.

        Raises:
            MissingAuthorizationError, UnsupportedTokenTypeError: the request presents no token.
            InvalidRequestError: the credentials are malformed.
            InvalidTokenError, InsufficientScopeError: the token is refused.
            TemporarilyUnavailableError: the token could not be validated.
            SynchronousOnlyOperation: an event loop is running in this thread.
        """
        flow = self._acquire_flow(request, parse_requirements(scopes, **requirements))
        with errors_of_hooks():
            return run_outside_loop(flow, "await aacquire_token()").token

    async def aacquire_token(self, request: HttpRequest, scopes: ScopesLike = None, **requirements: Any) -> Any:
        """See `acquire_token`."""
        with errors_of_hooks():
            return (await arun(self._acquire_flow(request, parse_requirements(scopes, **requirements)))).token

    def _view_guard(
        self, keywords: Mapping[str, Any], optional: bool, *, in_front: bool = False, until_expiry: bool = True
    ) -> ViewGuard:
        check_flags(optional=optional, until_expiry=until_expiry)
        requirements = parse_requirements(**keywords)
        if not self._reads_settings:
            self.check_keywords(requirements)
        if (acquire_token := overridden(self, "acquire_token")) is not None:
            check_acquire_token(acquire_token, type(self).__name__, requirements)
        if "scope" in keywords:
            # An overridden acquire_token() has only the other spelling.
            scope = keywords["scope"]
            keywords = {name: value for name, value in keywords.items() if name != "scope"}
            keywords["scopes"] = keywords["scopes"] if scope is None else scope
        self._used = True
        memo = Memo() if type(self) is ResourceProtector else None
        return ViewGuard(self, keywords, requirements, optional, memo, in_front, until_expiry=until_expiry)

    def check_keywords(self, requirements: Requirements) -> None:
        """Check that the keywords can be enforced, by this protector or by each validator's ``validate_token`` hook.

        Raises: see `__call__`. Also ImproperlyConfigured if the setting has no validators, or invalid ones.
        """
        check_requirements(self, requirements)

    def by_scheme(self) -> Mapping[str, Sequence[Any]]:
        """The validators for each scheme, in lower case.

        Raises:
            ImproperlyConfigured: there is no validator.
        """
        schemes = self._schemes
        if schemes is None:
            schemes = self._schemes = sort_by_scheme(self.validators, self.options)
        return schemes

    def read_credentials(self, request: HttpRequest) -> Credentials | GuardError:
        """Read the ``Authorization`` header. Credentials anywhere else are ignored (RFC 6750 §2.1, §5.3)."""
        override = current_override()
        # A trace explains the credentials of the request, so it ignores a test's override.
        if override is not None and getattr(request, TRACE, None) is None:
            return override.present(self.by_scheme())
        read = read_authlib_credentials if self.options.as_authlib else read_credentials
        return read(read_header(request, "HTTP_AUTHORIZATION"), self.by_scheme())

    def _acquire_flow(self, request: HttpRequest, requirements: Requirements) -> Flow[Authorization]:
        # A handler of Django REST framework has the framework's request.
        request = django_request(request) or request
        return self.authorize_flow(request, requirements, self.read_credentials(request))

    def authorize_flow(
        self, request: HttpRequest, requirements: Requirements, credentials: Credentials | GuardError
    ) -> Flow[Authorization]:
        """Authorize a request with these credentials, and send the signals, unless the request is traced.

        Raises: what `acquire_token` raises. The error has its challenge.
        """
        flow = self._authorize_flow(request, requirements, credentials)
        is_traced = getattr(request, TRACE, None) is not None
        return flow if is_traced else watch_validation(flow, credentials.scheme)

    def _authorize_flow(
        self, request: HttpRequest, requirements: Requirements, credentials: Credentials | GuardError
    ) -> Flow[Authorization]:
        try:
            return (yield from self.judge_flow(request, requirements, credentials))
        except OAuth2Error as caught:
            refusal = caught
        # Outside the handler: an exception of a receiver must not have the refusal as its context, because the frames
        # of the refusal contain the token.
        error = yield from refuse_flow(self, refusal, request, requirements, credentials)
        raise error from error.__cause__

    def judge_flow(
        self, request: HttpRequest, requirements: Requirements, credentials: Credentials | GuardError
    ) -> Flow[Authorization]:
        """Authorize a request. The error has no challenge, and is not logged."""
        if requirements.extra or requirements.sender_constrained:
            self.check_keywords(requirements)
        if isinstance(credentials, GuardError):
            raise credentials
        context = make_context(self.options, requirements, request)
        validators = credentials.validators or self.by_scheme()[credentials.scheme]
        if context.trace is None and reuse_handover(request, self, context):
            # A guard before this one has checked the proof, and may have hidden it on another object for this request.
            hide_proof(request)
        elif credentials.scheme != "bearer" or credentials.validators:
            context.possession = possession_of(request, credentials, self.options, context)
        authorization = yield from authorize_flow(validators, credentials.token, context)
        # A receiver may refuse the request, as with Authlib.
        if token_authenticated.receivers and context.trace is None:
            yield from notify_flow(token_authenticated, type(self), token=authorization.token)
        return authorization


def _reload_settings(*, setting: str, **kwargs: Any) -> None:
    if setting != SETTING:
        return
    for protector in list(ALL_PROTECTORS):
        protector.forget_settings()


setting_changed.connect(_reload_settings, dispatch_uid="async_oauth_guard.reload_settings")
