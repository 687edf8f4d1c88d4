"""The system checks of protectors: of their caches, DPoP proofs, challenges, certificates and metadata."""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core import checks
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache
from django.core.checks import CheckMessage, Error
from django.urls import Resolver404, get_resolver
from django.utils.module_loading import import_string

from ..conf import SETTING, Options
from ..guard.metadata import make_document
from ..guard.protector import ResourceProtector
from ..protocol.challenges import misleading_parameters
from ..validators.hooks import attributes_of, realm_of
from ..validators.remote import RemoteTokenValidator, issuers_of
from ..validators.users import field_and_claim
from .validator_names import distinct, endpoint_of, is_readable, name_of_validator

__all__ = ["metadata_messages", "missing_validators", "protector_messages"]


def missing_validators(protectors: Iterable[ResourceProtector]) -> Iterator[CheckMessage]:
    """E001: a protector has no validator."""
    for protector in protectors:
        # If it cannot be read, `check_settings` reports that, or there is no setting, and so no validator.
        has_none = not protector.validators if is_readable(protector) else not hasattr(settings, SETTING)
        if protector.is_used and has_none:
            yield Error(
                "A ResourceProtector guards views but has no token validator, so no token can be valid.",
                hint=f"Pass a validator, call register_token_validator(), or set {SETTING}['VALIDATORS'].",
                id="async_oauth_guard.E001",
            )


def protector_messages(protectors: Sequence[ResourceProtector]) -> Iterator[CheckMessage]:
    """The messages for readable protectors, except for those about metadata."""
    yield from _cache_messages(protectors)
    yield from _once(message for protector in protectors for message in _proof_messages(protector))
    yield from _unnamed_messages(protectors)
    yield from _once(message for protector in protectors for message in _challenge_messages(protector))
    yield from _subject_messages(protectors)
    yield from (message for protector in protectors for message in _certificate_messages(protector))


def _once(messages: Iterable[CheckMessage]) -> Iterable[CheckMessage]:
    return {(message.id, message.msg): message for message in messages}.values()


def _remote_validators(protector: ResourceProtector) -> list[RemoteTokenValidator]:
    return [validator for validator in protector.validators if isinstance(validator, RemoteTokenValidator)]


# --- caches ---


def _cache_messages(protectors: Iterable[ResourceProtector]) -> Iterator[CheckMessage]:
    """W009: workers do not share the cache."""
    aliases = {
        protector.options.cache for protector in protectors if protector.is_used and _remote_validators(protector)
    }
    for alias in sorted(alias for alias in aliases if alias is not None):
        backend = _backend_of(alias)
        if not settings.DEBUG and issubclass(backend, LocMemCache | DummyCache):
            yield checks.Warning(
                f"The cache {alias!r} of a protector is a {backend.__name__}, which workers do not share. Each worker "
                "sends its own requests to the servers, and a token that you invalidate in one worker stays cached in "
                "the others.",
                hint="Use a cache that all workers reach, such as Redis; or no CACHE, if each worker should cache for "
                "itself.",
                id="async_oauth_guard.W009",
            )


def _backend_of(alias: str) -> type:
    try:
        backend = import_string(settings.CACHES[alias]["BACKEND"])
    except (ImportError, KeyError):
        # Django reports this when the cache is used.
        return object
    return backend if isinstance(backend, type) else object


def _unnamed_messages(protectors: Iterable[ResourceProtector]) -> Iterator[CheckMessage]:
    """W017: a validator cannot use the shared cache."""
    with_cache = [protector for protector in protectors if protector.options.cache is not None]
    for validator in distinct(each for protector in with_cache for each in _remote_validators(protector)):
        if validator.unnamed_options:
            yield checks.Warning(
                f"{name_of_validator(validator)} does not share its results through the cache, because other processes "
                f"cannot recognise: {', '.join(validator.unnamed_options)}.",
                hint="Instead of a closure, lambda, partial, object or ssl.SSLContext, use a class or function that is "
                "defined in a module, http_client= as a dotted path, or verify= as the path of a file; or define "
                "cache_identity() on the validator's class.",
                id="async_oauth_guard.W017",
            )


# --- DPoP proofs ---


def _proof_messages(protector: ResourceProtector) -> Iterator[CheckMessage]:
    """W020: workers do not share proofs. W021: the origin is not configured. W022: proofs may be forgotten."""
    options: Options = protector.options
    if not protector.is_used or options.dpop is None:
        return
    backend = LocMemCache if options.cache is None else _backend_of(options.cache)
    if not settings.DEBUG and issubclass(backend, LocMemCache):
        yield checks.Warning(
            "A protector checks DPoP proofs, but its workers share no cache, so each worker accepts a proof that "
            "another one has accepted.",
            hint=f"Set {SETTING}['CACHE'] or cache= to a cache that all workers reach, such as Redis. Silence this "
            "check if the site has only one process.",
            id="async_oauth_guard.W020",
        )
    if not settings.DEBUG and options.origin is None:
        yield checks.Warning(
            "A protector checks DPoP proofs, but does not know the address that clients see. It takes scheme and host "
            "from the request. Behind a proxy, these may differ, and then each proof is refused.",
            hint=f"Set {SETTING}['PUBLIC_ORIGIN'] or public_origin= to 'https://api.example.com', or set a resource.",
            id="async_oauth_guard.W021",
        )
    if issubclass(backend, DatabaseCache | BaseMemcachedCache):
        yield checks.Warning(
            f"The cache {options.cache!r} of a protector that checks DPoP proofs is a {backend.__name__}, which drops "
            "entries when it is full. A proof that it has dropped can be used again.",
            hint="Use Redis with the policy noeviction.",
            id="async_oauth_guard.W022",
        )


# --- challenges ---


def _challenge_messages(protector: ResourceProtector) -> Iterator[CheckMessage]:
    """W025: clients may misread a realm or an attribute of a challenge."""
    for owner, name in _misleading(protector):
        yield checks.Warning(
            f"{owner}: {name} contains scope=, error= or resource_metadata=. Clients that parse challenges with "
            "regular expressions take it for that parameter.",
            hint="Choose a realm or an attribute without these words. The guard writes the parameters itself.",
            id="async_oauth_guard.W025",
        )


def _misleading(protector: ResourceProtector) -> Iterator[tuple[str, str]]:
    if protector.validators:
        for name in misleading_parameters(protector.options.realm, {}):
            yield type(protector).__name__, name
    for validator in protector.validators:
        for name in misleading_parameters(realm_of(validator), attributes_of(validator)):
            yield name_of_validator(validator), name


# --- users ---


def _subject_messages(protectors: Iterable[ResourceProtector]) -> Iterator[CheckMessage]:
    """W007: users of several issuers are compared by ``sub``."""
    for validator in distinct(each for protector in protectors for each in _trusting_subjects(protector)):
        yield checks.Warning(
            f"{name_of_validator(validator)} finds users only by sub, but its protector accepts tokens of several "
            "issuers, and sub is unique only within one issuer. Anyone who can choose their sub at one issuer can act "
            "as a user of another.",
            hint="Set user_lookup= to a pair (field, claim) with a claim that is unique across the issuers, or to a "
            "callable that also checks iss. If two validators use the same server, give both its issuer.",
            id="async_oauth_guard.W007",
        )


def _trusting_subjects(protector: ResourceProtector) -> list[RemoteTokenValidator]:
    """The validators that find users only by ``sub``, although the protector also finds users of another issuer."""
    with_users = [each for each in _remote_validators(protector) if each.user_lookup is not None]
    if len(_servers(with_users)) < 2:
        return []
    return [each for each in with_users if isinstance(each.user_lookup, str) or _shares_field(each, with_users)]


def _shares_field(validator: RemoteTokenValidator, validators: Iterable[RemoteTokenValidator]) -> bool:
    """Whether tokens of another issuer find users by ``sub`` and the same field."""
    field = _field_for_subject(validator)
    return field is not None and len(_servers(each for each in validators if _field_for_subject(each) == field)) > 1


def _field_for_subject(validator: RemoteTokenValidator) -> str | None:
    """The field that must equal ``sub``, if the user is found by that."""
    field, claim = field_and_claim(validator.user_lookup)
    return str(field) if validator.user_rows is not None and claim == "sub" else None


def _servers(validators: Iterable[RemoteTokenValidator]) -> set[str]:
    """The issuers of the validators, and the hosts of the validators that have no ``issuer``."""
    issuers = {issuer for validator in validators for issuer in issuers_of(validator)}
    hosts = {urlsplit(endpoint_of(validator) or "").netloc for validator in validators if validator.issuer is None}
    return issuers | (hosts - {urlsplit(issuer).netloc for issuer in issuers} - {""})


# --- client certificates (RFC 8705) and metadata (RFC 9728) ---


def _certificate_messages(protector: ResourceProtector) -> Iterator[CheckMessage]:
    """W023: a protector trusts every client to send the header with its certificate."""
    mtls = protector.options.mtls
    if mtls is not None and mtls.trusts_everyone and protector.is_used and not settings.DEBUG:
        yield checks.Warning(
            f"trusted_proxies contains all addresses, so any client that reaches the server can send {mtls.header} "
            "itself, and use a stolen token that is bound to a certificate.",
            hint="Name only the addresses or networks of your proxies. Silence this check if nothing else can connect.",
            id="async_oauth_guard.W023",
        )


def metadata_messages(protector: ResourceProtector) -> Iterator[CheckMessage]:
    """W024: the document of a protector is not routed. W026: it names no authorization server."""
    url = protector.options.metadata_url
    if url is None or not protector.is_used:
        return
    if not _is_routed(protector, url):
        yield checks.Warning(
            f"Challenges name {url}, but the site does not serve this protector's metadata there, so clients cannot "
            "discover the authorization server.",
            hint="Add the patterns of metadata_urls() to the root URL configuration, before patterns that match more.",
            id="async_oauth_guard.W024",
        )
    if "authorization_servers" not in make_document(protector):
        yield checks.Warning(
            f"The metadata at {url} names no authorization server, because no validator has an issuer. Clients that "
            "rely on discovery, such as those of MCP, cannot get a token.",
            hint="Give the validator its issuer, or set authorization_servers in metadata.",
            id="async_oauth_guard.W026",
        )


def _is_routed(protector: ResourceProtector, url: str) -> bool:
    try:
        match = get_resolver().resolve(unquote(urlsplit(url).path))
    except Resolver404:
        return False
    return getattr(match.func, "_oauth_metadata_of", None) is protector
