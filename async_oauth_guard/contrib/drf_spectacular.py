"""OpenAPI documents of drf-spectacular: security schemes, the scopes of each operation, and error responses.

Set ``REST_FRAMEWORK["DEFAULT_SCHEMA_CLASS"]`` to `AutoSchema`, or import this module and derive your own class from it.
"""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from drf_spectacular import openapi
from drf_spectacular.drainage import set_override
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.settings import spectacular_settings

from ..guard.openapi import ERROR_RESPONSES, ERROR_SCHEMA, Security, combine, find_urls, security_of, security_scheme
from ..guard.rest_permissions import alternatives, has_requirements, scopes_of_way
from .rest_framework import OAuthAuthentication

__all__ = ["AutoSchema", "OAuthScheme"]

_SETTINGS: Any = spectacular_settings

# Classes with the same protector share one security scheme.
set_override(OAuthAuthentication, "suppress_collision_warning", True)


class OAuthScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes `OAuthAuthentication` and its subclasses, with a security scheme for each protector."""

    target_class = "async_oauth_guard.contrib.rest_framework.OAuthAuthentication"
    match_subclasses = True
    name = "oauth2"

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """The scopes of each alternative of the view's permissions."""
        scheme = self._scheme(auto_schema)
        self.name = scheme.name
        permissions = [_as_class(permission) for permission in auto_schema.view.get_permissions()]
        ways = alternatives(permissions, has_requirements)
        found = [scopes for way in ways for scopes in scopes_of_way(way, auto_schema.method)]
        return [scheme.require(scopes) for scopes in dict.fromkeys(found)]

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The security scheme. It names more scopes with each operation."""
        return self._scheme(auto_schema).definition

    def _scheme(self, auto_schema: Any) -> "_Scheme":
        cls = type(self.target)
        name = "oauth2" if cls is OAuthAuthentication else cls.__name__
        return _Scheme.of(auto_schema.registry, name, self.target.protector)


class AutoSchema(openapi.AutoSchema):
    """Adds the guards of handlers and classes to the security of an operation, and the responses of refusals."""

    def get_auth(self) -> list[Any]:
        declared = super().get_auth()
        handler = getattr(self.view, getattr(self.view, "action", None) or self.method.lower(), None)
        guards = [getattr(each, "_oauth_guard", None) for each in (type(self.view).dispatch, handler)]
        around = [self._security_of(guard) for guard in guards if guard is not None]
        if not around:
            return declared
        # Credentials of other kinds do not satisfy a guard.
        ours = _Scheme.all_of(self.registry)
        return [dict(way) for way in combine([*around, [way for way in declared if not ours.keys().isdisjoint(way)]])]

    def _security_of(self, guard: Any) -> list[Security]:
        scheme = _Scheme.of(self.registry, "oauth2", guard.protector)
        self.registry.register_on_missing(scheme.component)
        ways = security_of(guard, self.method, scheme.name)
        return [scheme.require(way[scheme.name]) if way else way for way in ways]

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Any:
        operation = super().get_operation(path, path_regex, path_prefix, method, registry) or {}
        if any(name in _Scheme.all_of(registry) for way in operation.get("security", ()) for name in way):
            registry.register_on_missing(_component("OAuthError", ResolvedComponent.SCHEMA, ERROR_SCHEMA))
            for status, response in ERROR_RESPONSES.items():
                shared = _component(f"OAuth{status}", ResolvedComponent.RESPONSE, response)
                registry.register_on_missing(shared)
                operation["responses"].setdefault(str(status), shared.ref)
        # An operation that the view excludes has none.
        return operation or None


class _Scheme:
    """A security scheme of one document, for one protector."""

    def __init__(self, name: str, protector: Any) -> None:
        self.name, self.protector = name, protector
        authorization_url, token_url = (
            _SETTINGS.OAUTH2_AUTHORIZATION_URL,
            _SETTINGS.OAUTH2_TOKEN_URL,
        )
        if not token_url:
            found_authorization_url, token_url = find_urls(protector)
            authorization_url = authorization_url or found_authorization_url
        self.definition = security_scheme(authorization_url, token_url, ())
        self.component = _component(name, ResolvedComponent.SECURITY_SCHEMA, self.definition)

    @staticmethod
    def all_of(registry: Any) -> dict[str, "_Scheme"]:
        """The schemes of the document of ``registry``, by name."""
        schemes: dict[str, _Scheme] = vars(registry).setdefault("_oauth_schemes", {})
        return schemes

    @classmethod
    def of(cls, registry: Any, name: str, protector: Any) -> "_Scheme":
        """The scheme for ``protector``. It has this name, unless it has another one already, or the name is taken."""
        schemes = cls.all_of(registry)
        for scheme in schemes.values():
            if scheme.protector is protector:
                return scheme
        free = name if name not in schemes else f"{name}_{len(schemes) + 1}"
        return schemes.setdefault(free, cls(free, protector))

    def require(self, scopes: Iterable[str]) -> dict[str, list[Any]]:
        """The security requirement for ``scopes``."""
        named = list(scopes)
        flows, descriptions = self.definition.get("flows", {}), _SETTINGS.OAUTH2_SCOPES or {}
        for flow in flows.values():
            described = {**flow["scopes"], **{scope: descriptions.get(scope, "") for scope in named}}
            flow["scopes"] = {scope: described[scope] for scope in sorted(described)}
        # OpenAPI 3.0: "For other security scheme types, the array MUST be empty."
        return {self.name: named if flows else []}


def _component(name: str, kind: str, schema: Any) -> ResolvedComponent:
    # One of our classes distinguishes our components from others with the same names.
    return ResolvedComponent(name=name, type=kind, schema=schema, object=_Scheme)  # type: ignore[no-untyped-call]


def _as_class(permission: Any) -> Any:
    """The permission class of an instance; for composed ones, what the operators of the framework made it from."""
    if not hasattr(permission, "op1"):
        return type(permission)
    second = _as_class(permission.op2) if hasattr(permission, "op2") else None
    return SimpleNamespace(operator_class=type(permission), op1_class=_as_class(permission.op1), op2_class=second)
