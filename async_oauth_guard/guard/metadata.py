"""Serves protected resource metadata (RFC 9728): one public document about the API of a protector."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.db.transaction import non_atomic_requests
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.urls import URLPattern, URLResolver, get_resolver, re_path

from ..protocol.resource_metadata import build_document
from ..validators.remote import issuers_of
from .decorators import MAX_LAYERS
from .interface import Protector
from .ninja_operations import operations_of
from .rest_permissions import guards_named_by
from .view_guard import ViewGuard

__all__ = ["make_document", "metadata_patterns"]

_METHODS = ("GET", "HEAD", "OPTIONS")


def metadata_patterns(protector: Protector) -> list[URLPattern]:
    """The URL pattern of the document. It matches exactly one path."""
    url = protector.options.metadata_url
    if url is None:
        raise ImproperlyConfigured("metadata_urls() requires metadata=True, or OAUTH_GUARD['METADATA'] in the settings")
    parts = urlsplit(url)
    # Not `path`, which would take ``<`` for the start of a parameter.
    return [re_path(rf"^{re.escape(unquote(parts.path[1:]))}\Z", _make_view(protector, parts.query))]


def _make_view(protector: Protector, query: str) -> Callable[..., Any]:
    async def protected_resource_metadata(request: HttpRequest) -> HttpResponse:
        if request.META.get("QUERY_STRING", "") != query:
            # RFC 9728 §3.1: a resource identifier with another query is another resource.
            raise Http404
        response = _respond(protector, request)
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    view: Any = non_atomic_requests(protected_resource_metadata)
    view.csrf_exempt = True
    view.login_required = False
    # As `mark_reviewed` does, which is in a package above this one.
    view._oauth_review = (view, "public metadata (RFC 9728)")
    # For the system check that looks for a route to the document.
    view._oauth_metadata_of = protector
    return view  # type: ignore[no-any-return]


def _respond(protector: Protector, request: HttpRequest) -> HttpResponse:
    if request.method == "OPTIONS":
        response = HttpResponse(status=204)
        del response.headers["Content-Type"]
        response.headers["Access-Control-Allow-Methods"] = ", ".join(_METHODS)
        # MCP clients in a browser send this header.
        response.headers["Access-Control-Allow-Headers"] = "MCP-Protocol-Version"
        return response
    if request.method not in _METHODS:
        return HttpResponseNotAllowed(_METHODS)
    return JsonResponse(make_document(protector), headers={"Cache-Control": "public, max-age=300"})


def make_document(protector: Protector) -> dict[str, Any]:
    """The document, computed from the protector, its validators and the guards in the URL configuration."""
    options = protector.options
    issuers = [issuer for validator in protector.validators for issuer in sorted(issuers_of(validator))]
    requirements = [guard.requirements for guard in _guards_of_site(get_resolver()) if guard.protector is protector]
    scopes = {scope for required in requirements for scope in required.scopes.named}
    types = {str(detail["type"]) for required in requirements for detail in required.authorization_details}
    dpop = options.dpop
    computed = {
        "authorization_servers": list(dict.fromkeys(issuers)),
        # Clients request offline_access from the authorization server. It gives no access to a resource.
        "scopes_supported": sorted(scopes - {"offline_access"}),
        "bearer_methods_supported": ["header"],
        "authorization_details_types_supported": sorted(types),
        "dpop_signing_alg_values_supported": None if dpop is None else list(dpop.algorithms),
        "dpop_bound_access_tokens_required": True if dpop is not None and dpop.required else None,
        "tls_client_certificate_bound_access_tokens": True if options.mtls else None,
    }
    overrides = options.metadata if not isinstance(options.metadata, bool) else None
    return build_document(str(options.resource), computed, overrides or {})


@lru_cache(maxsize=1)
def _guards_of_site(resolver: URLResolver) -> tuple[ViewGuard, ...]:
    return tuple(guard for callback in _callbacks(resolver, ()) for guard in _guards_of(callback))


def _callbacks(resolver: URLResolver, within: tuple[Any, ...]) -> Iterator[Any]:
    if any(resolver.urlconf_module is each for each in within):
        # It includes itself.
        return
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _callbacks(pattern, (*within, resolver.urlconf_module))
        else:
            yield pattern.callback


def _guards_of(view: Any) -> Iterator[ViewGuard]:
    """The guards of a view and of the handlers of its class, from the marks that guards leave on views.

    A decorator may copy a mark without calling the guard. Here, that only adds the name of a scope.
    """
    for _ in range(MAX_LAYERS):
        yield from _guards_in_class(getattr(view, "view_class", type(view)), getattr(view, "view_initkwargs", {}))
        yield from guards_named_by(view)
        mark = getattr(view, "_oauth_guard", None)
        if isinstance(mark, ViewGuard):
            yield mark
        for operation in operations_of(view):
            for each in (operation.run, *operation.auth_callbacks):
                yield from _guards_of(each)
        view = view.func if isinstance(view, partial) else getattr(view, "__wrapped__", None)
        if view is None:
            return


def _guards_in_class(cls: type, given: dict[str, Any]) -> Iterator[ViewGuard]:
    make_guard = getattr(cls, "_make_guard", None)
    if make_guard is not None:
        yield make_guard(given)
    for name in ("__call__", *getattr(cls, "http_method_names", ())):
        handler = getattr(cls, name, None)
        if hasattr(handler, "_oauth_guard"):
            yield from _guards_of(handler)
