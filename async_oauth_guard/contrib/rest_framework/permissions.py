"""Permissions by the scopes of the access token."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.permissions import BasePermission, BasePermissionMetaclass

from ...errors import AccessDeniedError, GuardError, OAuth2Error, Reason, adopt_error
from ...guard.handover import Handover, handover_of, handovers_of
from ...guard.protector import ResourceProtector
from ...guard.refusals import refuse_flow
from ...guard.rest_permissions import naming, required_scopes
from ...protocol.requirements import NOTHING, Requirements, parse_requirements
from ...protocol.scopes import RequirementByMethod
from ...runtime.run import run_outside_loop
from .authentication import IN_A_THREAD, OAuthAuthentication, any_token_guard, refuse
from .responses import complete_response_of

__all__ = ["HasScopes"]


class _PermissionType(BasePermissionMetaclass):  # type: ignore[misc]
    """Lets ``HasScopes("a b")`` return a class. Without arguments, the framework makes an instance."""

    def __call__(cls: Any, *args: Any, **keywords: Any) -> Any:  # noqa: N805 - a metaclass
        if not args and not keywords:
            return super().__call__()
        if cls.oauth_keywords:
            raise TypeError(f"{cls.__name__} has its requirements already; combine two with &")
        requirements = parse_requirements(*args, **keywords)
        given = {"scopes": args[0], **keywords} if args else keywords
        return _PermissionType(cls.__name__, (cls,), {"oauth_keywords": given, "oauth_requirements": requirements})


class HasScopes(BasePermission, metaclass=_PermissionType):  # type: ignore[misc]
    """``HasScopes("a b")`` is a permission class for requests whose token has the scopes a AND b.

    A list means *any* of its members: ``HasScopes(["a b", "c"])``. All arguments of `ResourceProtector.__call__` except
    ``optional`` are accepted, with the same meaning. ``HasScopes`` alone requires a valid token.

    The classes compose with ``&``, ``|`` and ``~``. ``~HasScopes("a")`` also lets in requests without a token.
    """

    oauth_keywords: Mapping[str, Any] = MappingProxyType({})
    oauth_requirements: Requirements = NOTHING

    def __init__(self) -> None:
        self._refuse: Any = None

    def has_permission(self, request: Any, view: Any) -> Any:
        """Whether the token that the request was authenticated with meets the requirements.

        Raises:
            RefusalError: the requirements could not be checked (503), or a hook responds with a server error.
            ImproperlyConfigured: neither an `OAuthAuthentication` of the view nor a guard validates tokens.
        """
        http: HttpRequest = request._request
        protector = _protector_of(request, view, http)
        guard = any_token_guard(protector)
        complete_response_of(view, http, guard)
        refusal = self._decide(request, http, protector)
        if refusal is None:
            return True

        def refuse_now() -> Exception:
            # All that the view requires, unless its get_permissions() has chosen other classes.
            permissions = view.permission_classes if type(self) in view.permission_classes else [type(self)]
            to_name = naming(required_scopes(permissions, request.method))
            flow = refuse_flow(protector, refusal, http, to_name, protector.read_credentials(http))
            return refuse(request, run_outside_loop(flow, IN_A_THREAD), guard)

        if adopt_error(refusal).status_code >= 500:
            # This is no decision, so the framework must not ask another class instead.
            raise refuse_now()
        self._refuse = refuse_now
        return False

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> Any:
        """The same as `has_permission`."""
        return self.has_permission(request, view)

    @property
    def message(self) -> None:
        """Raises the refusal. The framework reads this of a permission that is not composed, after it was refused."""
        if self._refuse is not None:
            raise self._refuse()

    def _decide(self, request: Any, http: HttpRequest, protector: ResourceProtector) -> OAuth2Error | None:
        """Why the request is refused, or ``None``. Decided once for each request."""
        handover = handover_of(http, protector)
        decisions: dict[Any, Any] = vars(http).setdefault("_oauth_decisions", {})
        key = type(self), request.method
        decided = decisions.get(key)
        if decided is None or decided[0] is not handover:
            refusal = self._refusal_of(request, http, protector, handover)
            decided = decisions[key] = (handover, refusal)
        return decided[1]

    def _refusal_of(
        self, request: Any, http: HttpRequest, protector: ResourceProtector, handover: Handover | None
    ) -> OAuth2Error | None:
        credentials = protector.read_credentials(http)
        if handover is None:
            # With a token, another class has authenticated the request.
            return credentials if isinstance(credentials, GuardError) else _authenticated_otherwise()
        required = self.oauth_requirements
        if request.method != http.method:
            # The framework asks what other methods would be allowed to do.
            scopes = required.scopes.for_method(request.method)
            required = replace(required, scopes=RequirementByMethod({"*": scopes} if scopes else {}))
        try:
            run_outside_loop(protector.judge_flow(http, required, credentials), IN_A_THREAD)
        except OAuth2Error as error:
            return error.with_traceback(None)
        return None


def _authenticated_otherwise() -> GuardError:
    return AccessDeniedError(
        description="The request was authenticated in another way than with its access token.",
        reason=Reason.AUTHENTICATED_OTHERWISE,
    )


def _protector_of(request: Any, view: Any, http: HttpRequest) -> ResourceProtector:
    authentication = request.successful_authenticator
    if not isinstance(authentication, OAuthAuthentication):
        others = view.get_authenticators()
        authentication = next((each for each in others if isinstance(each, OAuthAuthentication)), None)
    if authentication is not None:
        protector: ResourceProtector = authentication.protector
        return protector
    # A protector whose own acquire_token() found the token cannot check it again.
    protectors = [handover.protector for handover in handovers_of(http) if handover.found is not None]
    if not protectors:
        raise ImproperlyConfigured(
            f"{type(view).__name__} must have OAuthAuthentication in its authentication_classes, or a guard around it, "
            "because its permissions have HasScopes"
        )
    return protectors[0]  # type: ignore[no-any-return]
