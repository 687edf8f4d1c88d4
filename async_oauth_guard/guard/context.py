"""Makes the context in which a token is validated, from a protector's options and the request."""

import re
from collections.abc import Callable
from urllib.parse import quote

from authlib.integrations.django_oauth2.requests import DjangoJsonRequest
from django.http import HttpRequest
from django.utils.encoding import escape_uri_path
from django.utils.functional import SimpleLazyObject

from ..conf import Options
from ..protocol.confirmation import NO_POSSESSION, Possession
from ..protocol.requirements import Requirements
from ..runtime.effects import Flow
from ..validators.authorization_context import TRACE, AuthorizationContext, ValidationTrace
from ..validators.client_certificates import MutualTLS, client_certificate_flow
from ..validators.hooks import CompatRequest

__all__ = ["make_context", "target_uri"]

_BEFORE_PATH = re.compile(rb"\A[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
# A `#` does not begin a fragment here: servers take it for a part of the path (RFC 9112 §3.2.1 does not allow it).
_KEPT = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")


def make_context(
    options: Options,
    requirements: Requirements,
    request: HttpRequest | None,
    uri: Callable[[], str | None] | None = None,
) -> AuthorizationContext:
    """The context in which to validate the token of ``request``, or, without one, a token that is used for ``uri``."""
    make_lazy = CompatRequest if options.as_authlib else SimpleLazyObject
    trace: ValidationTrace | None = getattr(request, TRACE, None)
    return AuthorizationContext(
        requirements=requirements,
        request=request,
        # Created at first access, because this fails if Django does not allow the `Host` header.
        hook_request=lambda: None if request is None else make_lazy(lambda: DjangoJsonRequest(request)),
        uri=uri or (lambda: None if request is None else _uri(options, request)),
        resource=options.resource,
        cache=options.cache,
        as_authlib=options.as_authlib,
        implied_scopes=options.implied,
        trace=trace,
        possession=_possession(options.mtls, request, None if trace is None else trace.certificate),
    )


def _possession(mtls: MutualTLS | None, request: HttpRequest | None, certificate: bytes | None) -> Possession:
    if mtls is None or request is None:
        return NO_POSSESSION
    if certificate is not None:
        return Possession(certificate_flow=lambda: _known_flow(certificate))
    return Possession(certificate_flow=lambda: client_certificate_flow(mtls, request))


def _known_flow(certificate: bytes) -> Flow[bytes]:
    yield from ()
    return certificate


def _uri(options: Options, request: HttpRequest) -> str:
    origin = options.origin
    return request.build_absolute_uri() if origin is None else origin + request.get_full_path()


def target_uri(options: Options, request: HttpRequest) -> str:
    """The URI of ``request`` as the client wrote it, without the query, for the ``htu`` of its proof."""
    origin = options.origin
    return (f"{request.scheme}://{request.get_host()}" if origin is None else origin) + _raw_path(request)


def _raw_path(request: HttpRequest) -> str:
    """The path as it was sent, before anything was decoded. With the prefix that a proxy removed, if it is known."""
    path = _sent_path(request) or escape_uri_path(request.path)
    # Without a slash, it would continue the host.
    path = "/" + path.removeprefix("/")
    prefix = escape_uri_path(request.META.get("SCRIPT_NAME", "")).rstrip("/")
    return path if path == prefix or path.startswith(f"{prefix}/") else prefix + path


def _sent_path(request: HttpRequest) -> str:
    scope = getattr(request, "scope", None)
    # Servers have their own names for what the CGI and WSGI specifications leave out. Clients cannot set these.
    sent = request.META.get("RAW_URI") or request.META.get("REQUEST_URI") if scope is None else scope.get("raw_path")
    if not sent:
        return ""
    octets = sent if isinstance(sent, bytes) else sent.encode("latin-1", "replace")
    # A request for a proxy names the whole URI (RFC 9112 §3.2.2).
    path = _BEFORE_PATH.sub(b"", octets.partition(b"?")[0])
    return quote(path, safe=_KEPT)
