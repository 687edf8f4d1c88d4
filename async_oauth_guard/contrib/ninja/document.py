"""The OpenAPI document of an API of Django Ninja, with what guards require."""

from collections.abc import Iterable, Iterator
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from ...diagnostics.view_analysis import guarding_of_callback
from ...guard.openapi import ERROR_RESPONSES, ERROR_SCHEMA, Security, combine, find_urls, security_of, security_scheme
from ...guard.view_guard import ViewGuard
from .auth import OAuth

__all__ = ["Document"]


class Document(OpenAPISchema):
    """Ninja's document with an OAuth 2 security scheme for each protector, scopes, and shared error responses.

    Args:
        authorization_url, token_url: the endpoints of the authorization server. Without them, those in its metadata.
    """

    def __init__(self, api: NinjaAPI, prefix: str, authorization_url: str | None, token_url: str | None) -> None:
        self._urls = authorization_url, token_url
        self._schemes: list[tuple[Any, str]] = []
        self._scopes: dict[str, set[str]] = {}
        super().__init__(api, prefix)

    def methods(self, operations: list[Operation]) -> dict[str, Any]:
        """Ninja describes an operation once, but scopes may depend on the method."""
        result: dict[str, Any] = super().methods(operations)
        for operation in operations:
            extra = (operation.openapi_extra or {}).get("security", [])
            for method in operation.methods if operation.include_in_schema else ():
                security = [*self._security(operation, method), *extra]
                result[method.lower()] = {**result[method.lower()], **({"security": security} if security else {})}
        return result

    def operation_security(self, operation: Operation) -> None:
        """`methods` adds it."""

    def responses(self, operation: Operation) -> Any:
        """The responses of the operation, and those of its guards unless the operation declares its own."""
        result: Any = super().responses(operation)
        if _is_guarded(operation):
            for status in ERROR_RESPONSES:
                result.setdefault(status, {"$ref": f"#/components/responses/OAuth{status}"})
        return result

    def get_components(self) -> Any:
        """Ninja calls this after all operations were described."""
        result: Any = super().get_components()
        if not self._schemes:
            return result
        result.setdefault("securitySchemes", {}).update(self._security_schemes())
        result["responses"] = {f"OAuth{status}": response for status, response in ERROR_RESPONSES.items()}
        result["schemas"].setdefault("OAuthError", ERROR_SCHEMA)
        return result

    def _security_schemes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        given_authorization, given_token = self._urls
        for protector, name in self._schemes:
            found = (None, None) if given_authorization and given_token else find_urls(protector)
            urls = given_authorization or found[0], given_token or found[1]
            yield name, security_scheme(*urls, self._scopes[name])

    def _security(self, operation: Operation, method: str) -> list[Security]:
        # First, because a scheme gets the name of the first class.
        alternatives = [way for callback in operation.auth_callbacks for way in self._ways_of(callback, method)]
        ways = [self._ways(guard, method, OAuth.__name__) for guard in _decorators(operation)]
        return combine([*ways, alternatives])

    def _ways_of(self, callback: Any, method: str) -> list[Security]:
        if isinstance(callback, OAuth):
            return self._ways(callback._oauth_guard, method, type(callback).__name__)
        if not hasattr(callback, "openapi_security_schema"):
            return []
        name = type(callback).__name__
        self.securitySchemes[name] = callback.openapi_security_schema
        return [{name: []}]

    def _ways(self, guard: ViewGuard, method: str, wanted: str) -> list[Security]:
        name = self._name(guard.protector, wanted)
        self._scopes[name] |= guard.requirements.scopes.named
        return security_of(guard, method, name)

    def _name(self, protector: Any, wanted: str) -> str:
        for known, name in self._schemes:
            if known is protector:
                return name
        name = wanted if wanted not in self._scopes else f"{wanted}{len(self._schemes) + 1}"
        self._schemes.append((protector, name))
        self._scopes[name] = set()
        return name


def _decorators(operation: Operation) -> Iterable[ViewGuard]:
    """The guards in front of Ninja, and around the operation's function."""
    layers = (operation.run, operation.view_func)
    # One guard may be at both places.
    return {id(guard): guard for layer in layers for guard in guarding_of_callback(layer).guards}.values()


def _is_guarded(operation: Operation) -> bool:
    return any(_decorators(operation)) or any(isinstance(each, OAuth) for each in operation.auth_callbacks)
