"""The options of a protector, and the checks of their values."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from ..authorization_server.metadata import check_url
from ..errors import GuardError
from ..protocol.challenges import UnfitParameterError, check_parameters
from ..protocol.dpop import DPoP
from ..protocol.resource_metadata import PARAMETER, check_members, metadata_url
from ..protocol.scopes import ImpliedScopes, ImpliedScopesLike, parse_implied_scopes
from ..validators.client_certificates import MutualTLS
from ..validators.hooks import attributes_of, realm_of

__all__ = [
    "Options",
    "RenderError",
    "check_dpop",
    "check_option",
    "check_validator",
    "document_url",
    "has_metadata",
]

# RFC 6454 §6.2, with a host as RFC 3986 §3.2.2 writes it in ASCII
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


RenderError: TypeAlias = Callable[[HttpRequest, GuardError], HttpResponse | Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a protector. See `protector.ResourceProtector`.

    ``as_authlib``: responses equal Authlib's. ``vary``: the request headers on which responses depend. ``implied`` is
    the parsed ``implied_scopes``. ``metadata_url`` is the URL of the metadata, or ``None`` without metadata.

    Raises:
        TypeError, ValueError: an option has an invalid value.
        ImproperlyConfigured: ``metadata`` needs another ``resource``.
    """

    validators: Sequence[Any]
    realm: str | None
    resource: str | None
    public_origin: str | None
    compat: str | None
    set_user: bool
    cache: str | None
    render_error: RenderError | None
    dpop: DPoP | None = None
    mtls: MutualTLS | None = None
    implied_scopes: ImpliedScopesLike | None = None
    metadata: bool | Mapping[str, Any] | None = None
    as_authlib: bool = field(init=False)
    vary: tuple[str, ...] = field(init=False)
    implied: ImpliedScopes | None = field(init=False, repr=False)
    metadata_url: str | None = field(init=False)

    def __post_init__(self) -> None:
        for name in _CHECKS:
            check_option(name, getattr(self, name))
        check_dpop(self.dpop, self.compat, self.cache)
        object.__setattr__(self, "as_authlib", self.compat is not None)
        object.__setattr__(self, "vary", ("Authorization",) if self.dpop is None else ("Authorization", "DPoP"))
        object.__setattr__(
            self, "implied", None if self.implied_scopes is None else parse_implied_scopes(self.implied_scopes)
        )
        object.__setattr__(self, "metadata_url", document_url(self.metadata, self.resource))

    @property
    def origin(self) -> str | None:
        """The scheme and host that clients see; ``None`` if Django determines them from the ``Host`` header."""
        if self.public_origin is not None or self.resource is None:
            return self.public_origin
        parts = urlsplit(self.resource)
        # A resource may have another scheme, such as `api`. No request is sent there.
        return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else None


def check_option(name: str, value: Any) -> None:
    """Check the value of one option of `Options`.

    Raises:
        TypeError: the value has the wrong type.
        ValueError: the value is invalid.
    """
    wanted, description, check = _CHECKS[name]
    if value is None and wanted is not bool:
        return
    if not (callable(value) if wanted is callable else isinstance(value, wanted)):
        raise TypeError(f"{name} must be {description}, got {type(value).__name__}")
    if check is not None:
        check(value)


def check_dpop(dpop: DPoP | None, compat: str | None, cache: str | None) -> None:
    """Check that the other options of a protector allow it to check proofs.

    Raises:
        ValueError: its responses must equal Authlib's.
        ImproperlyConfigured: its cache cannot remember proofs.
    """
    if dpop is None:
        return
    if compat is not None:
        raise ValueError("dpop and compat must not both be given, because Authlib has no responses for DPoP")
    backend = import_string(settings.CACHES[cache]["BACKEND"]) if cache in list(settings.CACHES) else None
    if isinstance(backend, type) and issubclass(backend, DummyCache | FileBasedCache):
        # Django's file-based cache has no atomic `add()`.
        raise ImproperlyConfigured(
            f"cache must be able to remember DPoP proofs, so that none is used twice, but {cache!r} is a "
            f"{backend.__name__}; use Redis"
        )


def has_metadata(metadata: Any) -> bool:
    """Whether a protector with this option has a document. An empty mapping overrides nothing, but there is one."""
    return metadata is not None and metadata is not False


def document_url(metadata: Any, resource: str | None) -> str | None:
    """The URL of the document, or ``None`` without metadata.

    Raises:
        ImproperlyConfigured: ``resource`` cannot have a document.
    """
    if not has_metadata(metadata):
        return None
    if resource is None:
        raise ImproperlyConfigured("metadata requires resource, because the document describes it")
    try:
        # RFC 9728 §1.2: the resource identifier uses the https scheme.
        check_url(resource, allow_insecure_http=False)
    except ValueError:
        raise ImproperlyConfigured(
            f"metadata requires a resource with https, or with http on a loopback address, got {resource!r}"
        ) from None
    return metadata_url(resource)


def check_validator(validator: Any, get_resource: Callable[[], str | None], has_document: Callable[[], bool]) -> None:
    """Check that ``validator`` can be a protector's token validator.

    ``get_resource`` returns the protector's resource. ``has_document`` returns whether it has metadata.

    Raises:
        TypeError: ``validator`` is a class, has no ``authenticate_token`` or ``TOKEN_TYPE``, or did not call
            ``super().__init__()``.
        ValueError: its realm or attributes are not allowed in a challenge.
        ImproperlyConfigured: no audience is configured, so tokens for other APIs would be let in.
    """
    if isinstance(validator, type) or not callable(getattr(validator, "authenticate_token", None)):
        raise TypeError(f"a token validator must be an object with authenticate_token(), got {validator!r}")
    if not isinstance(getattr(validator, "TOKEN_TYPE", None), str):
        raise TypeError(f"{type(validator).__name__} must have a TOKEN_TYPE, such as 'bearer'")
    if getattr(validator, "_needs_init", False) is True and not hasattr(validator, "realm"):
        raise TypeError(f"{type(validator).__name__}.__init__() must call super().__init__()")
    attributes = attributes_of(validator)
    check_parameters(realm_of(validator), attributes)
    if PARAMETER in map(str.lower, attributes) and has_document():
        raise UnfitParameterError(f"{PARAMETER!r} would appear in the challenge twice, because metadata is configured")
    join_protector = getattr(validator, "join_protector", None)
    if join_protector is not None:
        join_protector(get_resource)


def _check_metadata(value: bool | Mapping[Any, Any]) -> None:
    if not isinstance(value, bool):
        check_members(value)


def _check_compat(value: str) -> None:
    if value != "authlib":
        raise ValueError(f"compat must be 'authlib' or None, got {value!r}")


def _check_resource(value: str) -> None:
    parts = urlsplit(value)
    # RFC 8707 §2: an absolute URI without a fragment. We also require a host, because it is compared with requests.
    if not parts.scheme or not parts.netloc or "#" in value:
        raise ValueError(f"resource must be a URI with a host and without a fragment, got {value!r}")
    if parts.scheme in ("http", "https"):
        _check_port("resource", value)


def _check_alias(value: str) -> None:
    if value not in settings.CACHES:
        raise ValueError(f"cache must be an alias in CACHES, got {value!r}")


def _check_origin(value: str) -> None:
    if not _ORIGIN.fullmatch(value):
        raise ValueError(f"public_origin must be a scheme and a host, such as 'https://api.example.com', got {value!r}")
    _check_port("public_origin", value)


def _check_port(name: str, url: str) -> None:
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{name} must have a port from 1 to 65535, or none, got {url!r}")


_CHECKS: Mapping[str, tuple[Any, str, Callable[[Any], Any] | None]] = {
    "realm": (str, "a string", lambda value: check_parameters(value, {})),
    "resource": (str, "a string", _check_resource),
    "public_origin": (str, "a string", _check_origin),
    "compat": (str, "a string", _check_compat),
    "set_user": (bool, "True or False", None),
    "cache": (str, "the alias of a Django cache", _check_alias),
    "render_error": (callable, "a callable (request, error)", None),
    "mtls": (MutualTLS, "a MutualTLS", None),
    "metadata": ((bool, Mapping), "True, or a mapping of members", _check_metadata),
    "implied_scopes": (Mapping, "a mapping of scopes", parse_implied_scopes),
}
