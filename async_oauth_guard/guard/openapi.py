"""What an OpenAPI document says about guards: security schemes, the scopes of each operation, and error responses."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Final
from weakref import WeakKeyDictionary

from ..authorization_server.metadata import METADATA_TTL, Metadata, Server, check_url
from ..errors import TemporarilyUnavailableError
from ..runtime.effects import Flow, SingleFlight
from ..runtime.run import run
from ..validators.remote import RemoteTokenValidator
from .interface import Protector
from .view_guard import ViewGuard

__all__ = [
    "ERROR_RESPONSES",
    "ERROR_SCHEMA",
    "Security",
    "combine",
    "find_urls",
    "security_of",
    "security_scheme",
]

Security = Mapping[str, Sequence[str]]
"""One way to be let in: by the name of a security scheme, the scopes that are necessary."""

ERROR_SCHEMA: Final = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    "required": ["error", "error_description"],
}
"""The body of an error response (RFC 6749 §5.2)."""


def _response(description: str, header: str, kind: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
    return {"description": description, "headers": {header: {"schema": {"type": kind}}}, "content": content}


ERROR_RESPONSES: Final[Mapping[int, Mapping[str, Any]]] = {
    401: _response("The access token is missing or invalid.", "WWW-Authenticate", "string"),
    403: _response("The access token does not allow this request.", "WWW-Authenticate", "string"),
    503: _response("The access token cannot be checked at the moment.", "Retry-After", "integer"),
}
"""By status: the shared error responses. They refer to `ERROR_SCHEMA` as ``OAuthError``."""


_METADATA: "WeakKeyDictionary[RemoteTokenValidator, Metadata]" = WeakKeyDictionary()


def find_urls(protector: Protector) -> tuple[str | None, str | None]:
    """The URLs of the authorization and token endpoints, from the metadata of the first validator with an issuer.

    They are ``None`` if the metadata is not available or does not name them.

    Raises:
        SynchronousOnlyOperation: an event loop is running in this thread.
    """
    for validator in protector.validators:
        if isinstance(validator, RemoteTokenValidator) and _has_metadata(validator._server):
            metadata = _METADATA.setdefault(validator, Metadata(validator._server, METADATA_TTL))
            flow = _urls_flow(metadata, validator._server)
            return run(flow)
    return None, None


def _has_metadata(server: Server) -> bool:
    try:
        check_url(server.issuer, server.allow_insecure_http)
    except ValueError:
        return False
    return True


def _urls_flow(metadata: Metadata, server: Server) -> Flow[tuple[str | None, str | None]]:
    authorization_url = yield from _url_flow(metadata, server, "authorization_endpoint")
    token_url = yield from _url_flow(metadata, server, "token_endpoint")
    return authorization_url, token_url


def _url_flow(metadata: Metadata, server: Server, name: str) -> Flow[str | None]:
    try:
        url: str = yield SingleFlight((metadata, name), lambda: metadata.address_flow(name), server.timeout)
    except TemporarilyUnavailableError:
        return None
    return url


def security_scheme(authorization_url: str | None, token_url: str | None, scopes: Collection[str]) -> dict[str, Any]:
    """A security scheme with as many of the URLs as are known. Without a token URL, clients need a token already."""
    if token_url is None:
        return {"type": "http", "scheme": "bearer"}
    flow: dict[str, Any] = {"tokenUrl": token_url, "scopes": dict.fromkeys(sorted(scopes), "")}
    if authorization_url is None:
        return {"type": "oauth2", "flows": {"clientCredentials": flow}}
    return {"type": "oauth2", "flows": {"authorizationCode": {"authorizationUrl": authorization_url, **flow}}}


def security_of(guard: ViewGuard, method: str, scheme: str) -> list[Security]:
    """The ways past a guard, for requests with this HTTP method."""
    requirement = guard.requirements.scopes.for_method(method)
    alternatives = () if requirement is None else requirement.alternatives
    ways: list[Security] = [{scheme: list(alternative)} for alternative in alternatives or ((),)]
    return [*ways, {}] if guard.optional else ways


def combine(ways: Iterable[Sequence[Security]]) -> list[Security]:
    """The ways past several guards, of which each lets in by any of its own ways. Empty without guards."""
    parts = [each for each in ways if each]
    return [_merge(each) for each in product(*parts)] if parts else []


def _merge(securities: Iterable[Security]) -> Security:
    merged: dict[str, list[str]] = {}
    for security in securities:
        for name, scopes in security.items():
            merged[name] = list(dict.fromkeys([*merged.get(name, []), *scopes]))
    return merged
