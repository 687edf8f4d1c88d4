"""The system checks of the setting, protectors and validators, for ``manage.py check``. Each message has a hint."""

import contextlib
import logging
import ssl
from collections.abc import Iterable, Iterator, Sequence
from traceback import walk_stack
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Tags
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from ..conf import SETTING, GuardSettings
from ..guard.protector import ALL_PROTECTORS
from ..protocol import logs
from ..protocol.challenges import UnfitParameterError
from ..validators.audience_option import FROM_PROTECTOR
from ..validators.client_certificates import MissingTrustedProxiesError
from ..validators.database import BearerTokenValidator
from ..validators.django_oauth_toolkit import ToolkitTokenValidator
from ..validators.introspection import IntrospectTokenValidator
from ..validators.jwt import JWTBearerTokenValidator
from ..validators.remote import RemoteTokenValidator, issuers_of
from ..validators.token_table import RowSource, is_indexed
from ..validators.users import compares_email
from .certificate_checks import certificate_messages
from .challenge_checks import challenge_messages
from .dpop_checks import dpop_messages
from .metadata_checks import metadata_messages
from .routes import import_urls
from .url_checks import check_site
from .validator_names import endpoint_of, name_of_validator

__all__ = ["check_guards", "check_settings", "check_toolkit_rows", "log_setting_errors", "register_checks"]

_logger = logging.getLogger("async_oauth_guard.settings")

_APP = "async_oauth_guard"

# Seconds. If a revoked token or a withdrawn key may be accepted for longer than this, a check warns.
_LONG_FOR_A_YES = 3_600
_LONG_FOR_KEYS = 86_400
_LONG_FOR_STALE_KEYS = 7 * 86_400


def register_checks() -> None:
    """Register all system checks of this app with Django."""
    checks.register(check_settings, Tags.security)
    checks.register(check_guards, Tags.security)
    checks.register(check_site, Tags.security)
    checks.register(check_toolkit_rows, Tags.database)


def log_setting_errors() -> None:
    """Log all errors in the setting in one record when a server starts, because servers run no system checks."""
    if _is_run_by_a_command():
        # Commands run the system checks, which report the same errors.
        return
    try:
        reasons = [message.msg for message in check_settings(None)]
    except Exception as error:
        # A bug in the site's own validator. The first request raises it again. Its message may contain a secret.
        reasons = [f"{type(error).__name__} was raised while reading the setting: `manage.py check` shows where."]
    if reasons:
        message = "OAUTH_GUARD has errors. Guarded views may respond with status 500 until you correct them:\n%s"
        logs.write(_logger, logging.ERROR, message, "\n".join(f"- {reason}" for reason in reasons))


def _is_run_by_a_command() -> bool:
    return any(frame.f_globals.get("__name__") == "django.core.management" for frame, _ in walk_stack(None))


def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the setting (E002, E004, E007).

    E002: it has an unknown key or an invalid value. E004: a value is not allowed in a challenge. E007: any client could
    send the header with its certificate.
    """
    if not hasattr(settings, SETTING):
        return []
    return [_setting_error(fault) for fault in GuardSettings().faults()]


def _setting_error(error: ImproperlyConfigured) -> CheckMessage:
    if isinstance(error.__cause__, UnfitParameterError):
        hint = (
            "Use printable ASCII, and none of the names realm, scope, error, error_description, error_uri, algs, "
            "acr_values, max_age, which the guard writes itself, or, with METADATA, resource_metadata."
        )
        return Error(str(error), hint=hint, id=f"{_APP}.E004")
    if isinstance(error.__cause__, MissingTrustedProxiesError):
        hint = "Name the addresses or networks of your proxies, or 'unix', after making sure that they overwrite it."
        return Error(str(error), hint=hint, id=f"{_APP}.E007")
    return Error(str(error), hint=f"Correct {SETTING} in the settings.", id=f"{_APP}.E002")


def check_guards(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check protectors (E001, W007, W009, W017, W023-W026) and validators.

    E001: a protector has no validator. W007: users of several issuers are compared by ``sub``. W009: workers do not
    share the cache. W017: a validator cannot use the shared cache. The functions below and in the modules of DPoP,
    certificates, metadata and challenges describe the other checks, and those of validators (E003, W001, W003, W005,
    W006, W008, W014-W016, W018).
    """
    # Views are guarded when their modules are imported.
    with contextlib.suppress(ImproperlyConfigured):
        # Django itself reports a URL configuration that cannot be loaded.
        import_urls()
    return [
        *_validator_errors(),
        *_cache_messages(),
        *dpop_messages(ALL_PROTECTORS),
        *map(_unnamed_message, _distinct(each for guard in ALL_PROTECTORS for each in _unshared(guard))),
        *(message for validator in _validators() for message in _validator_messages(validator)),
        *challenge_messages((protector, _validators_of(protector) or ()) for protector in ALL_PROTECTORS),
        *map(_subject_message, _distinct(each for guard in ALL_PROTECTORS for each in _trusting_subjects(guard))),
        *(message for protector in ALL_PROTECTORS for message in certificate_messages(protector)),
        *(message for protector in ALL_PROTECTORS for message in metadata_messages(protector)),
    ]


def _validator_errors() -> Iterator[CheckMessage]:
    for protector in ALL_PROTECTORS:
        if protector.is_used and _validators_of(protector) == []:
            yield Error(
                "A ResourceProtector guards views but has no token validator, so no token can be valid.",
                hint=f"Pass a validator, call register_token_validator(), or set {SETTING}['VALIDATORS'].",
                id=f"{_APP}.E001",
            )


def _cache_messages() -> Iterator[CheckMessage]:
    aliases = {_cache_of(protector) for protector in ALL_PROTECTORS if protector.is_used}
    for alias in sorted(alias for alias in aliases if alias is not None):
        backend = _backend_of(alias)
        if not settings.DEBUG and issubclass(backend, LocMemCache | DummyCache):
            yield checks.Warning(
                f"The cache {alias!r} of a protector is a {backend.__name__}, which workers do not share. Each worker "
                "sends its own requests to the servers, and a token that you invalidate in one worker stays cached in "
                "the others.",
                hint="Use a cache that all workers reach, such as Redis; or no CACHE, if each worker should cache for "
                "itself.",
                id=f"{_APP}.W009",
            )


def _cache_of(protector: Any) -> str | None:
    """The alias of the protector's cache, or ``None`` if no validator uses a cache."""
    if not any(isinstance(validator, RemoteTokenValidator) for validator in _validators_of(protector) or ()):
        return None
    alias: str | None = protector.options.cache
    return alias


def _unshared(protector: Any) -> list[RemoteTokenValidator]:
    """The validators that cannot use the cache of their protector."""
    if _cache_of(protector) is None:
        return []
    validators = _validators_of(protector) or ()
    return [each for each in validators if isinstance(each, RemoteTokenValidator) and each.unnamed_options]


def _unnamed_message(validator: RemoteTokenValidator) -> CheckMessage:
    return checks.Warning(
        f"{name_of_validator(validator)} does not share its results through the cache, because other processes cannot "
        f"recognise: {', '.join(validator.unnamed_options)}.",
        hint="Instead of a closure, lambda, partial, object or ssl.SSLContext, use a class or function that is "
        "defined in a module, http_client= as a dotted path, or verify= as the path of a file; or define "
        "cache_identity() on the validator's class.",
        id=f"{_APP}.W017",
    )


def _backend_of(alias: str) -> type:
    try:
        backend = import_string(settings.CACHES[alias]["BACKEND"])
    except (ImportError, KeyError):
        # Django reports this when the cache is used.
        return object
    return backend if isinstance(backend, type) else object


def _validators_of(protector: Any) -> list[Any] | None:
    try:
        return list(protector.validators)
    except ImproperlyConfigured:
        # Either check_settings reports this, or there is no setting, so the ready-made protector has no validators.
        return None if hasattr(settings, SETTING) else []


def _validators() -> list[Any]:
    return _distinct(validator for protector in ALL_PROTECTORS for validator in _validators_of(protector) or ())


def _distinct(validators: Iterable[Any]) -> list[Any]:
    return list({id(validator): validator for validator in validators}.values())


def _validator_messages(validator: Any) -> Iterator[CheckMessage]:
    if isinstance(validator, BearerTokenValidator):
        yield from _column_messages(validator.rows, "tokens", _TOKEN_COLUMN)
        yield from _confirmation_messages(validator)
        yield from _coalescing_messages(validator)
    if isinstance(validator, RemoteTokenValidator):
        yield from _remote_messages(validator)
        if validator.user_rows is not None:
            yield from _column_messages(validator.user_rows, "users", _USER_COLUMN)
            yield from _email_messages(validator, validator.user_rows)


_TOKEN_COLUMN = "Set token_model to an existing model, as 'app_label.Model', and lookup to one of its columns."
_USER_COLUMN = "Set user_lookup to a column of the user model, or to a callable."


def _column_messages(rows: RowSource, things: str, hint: str) -> Iterator[CheckMessage]:
    try:
        field, model = rows.column.field, rows.model
    except ImproperlyConfigured as error:
        yield Error(str(error), hint=hint, id=f"{_APP}.E003")
        return
    if not is_indexed(field, model):
        yield checks.Warning(
            f"{model._meta.label}.{field.name} has no index that covers the whole table, and every guarded request "
            f"looks up {things} by it.",
            hint="Set unique=True or db_index=True on the field.",
            obj=model,
            id=f"{_APP}.W001",
        )


def _confirmation_messages(validator: BearerTokenValidator) -> Iterator[CheckMessage]:
    field = validator._thumbprint_field
    try:
        is_missing = field is not None and not hasattr(validator.token_model, field)
    except ImproperlyConfigured:
        return  # There is no such model, which is reported already.
    if is_missing:
        what = f"confirmation must name a field of {validator.token_model._meta.label}, got {field!r}"
        yield Error(what, hint="Correct confirmation=, or remove it.", id=f"{_APP}.E003")


def _email_messages(validator: RemoteTokenValidator, rows: RowSource) -> Iterator[CheckMessage]:
    try:
        finds_by_email = compares_email(rows.column.field, validator.user_claim)
    except ImproperlyConfigured:
        # E003 reports this.
        return
    if finds_by_email:
        yield checks.Warning(
            f"{name_of_validator(validator)} finds users by an e-mail address, and accepts a token without "
            "email_verified. Anyone who registers another user's address at the server may be let in as that user.",
            hint="Use a claim that users cannot choose, such as sub; or set user_lookup= to a callable that requires "
            'claims.get("email_verified") is True. Silence this check if the server verifies every address.',
            id=f"{_APP}.W018",
        )


def _coalescing_messages(validator: BearerTokenValidator) -> Iterator[CheckMessage]:
    try:
        is_unasked = validator.coalesce is None and not validator.coalesces
    except ImproperlyConfigured:
        # E003 reports this.
        return
    if is_unasked:
        yield checks.Warning(
            f"Lookups of {validator.token_model._meta.label} are not coalesced, because its manager or querysets "
            "override Django's methods, so guarded async views are slower than they could be.",
            hint="Set coalesce=True if one request's queryset is correct for every other request; set coalesce=False "
            "if it is not.",
            obj=validator.token_model,
            id=f"{_APP}.W003",
        )


def _remote_messages(validator: RemoteTokenValidator) -> Iterator[CheckMessage]:
    name = name_of_validator(validator)
    if validator.audience is None:
        yield checks.Warning(
            f"{name} does not check the audience, so tokens for other APIs are let in.",
            hint="Set audience= or resource_server= to your identifier, or omit it and give the protector a resource.",
            id=f"{_APP}.W005",
        )
    if validator.audience is FROM_PROTECTOR and not validator.takes_audience_from_protector:
        yield checks.Warning(
            f"{name} overrides introspect_token(), so that method must check the audience itself.",
            hint="Set audience=, so that the audience is checked in any case; or silence this check if the method "
            "checks it.",
            id=f"{_APP}.W008",
        )
    if validator.allow_insecure_http and not settings.DEBUG:
        yield checks.Warning(
            f"{name} may use http, so anyone who can read the network traffic can steal tokens, and anyone who can "
            "change it can let any token in.",
            hint="Use https, with verify= for your own certificate authority, and remove allow_insecure_http.",
            id=f"{_APP}.W006",
        )
    yield from _trust_messages(validator, name)


def _trust_messages(validator: RemoteTokenValidator, name: str) -> Iterator[CheckMessage]:
    """W014: the server's certificate is not checked. W015, W016: results or keys are trusted for too long."""
    context = validator._server.client.verify
    if isinstance(context, ssl.SSLContext) and not _is_strict(context) and not settings.DEBUG:
        yield checks.Warning(
            f"{name} does not check the certificate or host name of its server, so anyone who can impersonate the "
            "server can let anybody in.",
            hint="Set verify= to the file of your certificate authority, or to a context that checks certificates and "
            "host names.",
            id=f"{_APP}.W014",
        )
    if isinstance(validator, IntrospectTokenValidator):
        seconds = validator._lifetimes.active + validator._lifetimes.stale
        if seconds > _LONG_FOR_A_YES:
            yield checks.Warning(
                f"{name} may let in a revoked token for {seconds:.0f} seconds.",
                hint="Lower cache_ttl and stale_if_error. Together they should not exceed an hour.",
                id=f"{_APP}.W015",
            )
    if isinstance(validator, JWTBearerTokenValidator) and (validator.jwks is None or callable(validator.jwks)):
        lifetimes = validator._lifetimes
        if lifetimes.ttl > _LONG_FOR_KEYS or lifetimes.max_stale > _LONG_FOR_STALE_KEYS:
            yield checks.Warning(
                f"{name} may accept signatures by keys that its server has withdrawn for {lifetimes.max_stale:.0f} "
                "seconds.",
                hint="Lower jwks_ttl to at most a day, and max_stale to at most a week.",
                id=f"{_APP}.W016",
            )


def _is_strict(context: ssl.SSLContext) -> bool:
    return context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED


def _trusting_subjects(protector: Any) -> list[RemoteTokenValidator]:
    """The validators that find users only by ``sub``, although the protector also finds users of another issuer."""
    with_users = [
        validator
        for validator in _validators_of(protector) or ()
        if isinstance(validator, RemoteTokenValidator) and validator.user_lookup is not None
    ]
    if len(_servers(with_users)) < 2:
        return []
    return [validator for validator in with_users if isinstance(validator.user_lookup, str)]


def _servers(validators: Iterable[RemoteTokenValidator]) -> set[str]:
    """The issuers of the validators, and the hosts of the validators that have no ``issuer``."""
    issuers = {issuer for validator in validators for issuer in issuers_of(validator)}
    hosts = {urlsplit(endpoint_of(validator) or "").netloc for validator in validators if validator.issuer is None}
    return issuers | (hosts - {urlsplit(issuer).netloc for issuer in issuers} - {""})


def _subject_message(validator: RemoteTokenValidator) -> CheckMessage:
    return checks.Warning(
        f"{name_of_validator(validator)} finds users only by sub, but its protector accepts tokens of several issuers, "
        "and sub is unique only within one issuer. Anyone who can choose their sub at one issuer can act as a user of "
        "another.",
        hint="Set user_lookup= to a pair (field, claim) with a claim that is unique across the issuers, or to a "
        "callable that also checks iss. If two validators use the same server, give both its issuer.",
        id=f"{_APP}.W007",
    )


def check_toolkit_rows(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W002: rows with an empty checksum, which no token matches. ``check --database`` and ``migrate`` run this."""
    return [
        _empty_checksums(validator, count)
        for validator in _validators()
        if isinstance(validator, ToolkitTokenValidator)
        for alias in databases or ()
        if (count := _count_empty(validator, alias))
    ]


def _count_empty(validator: ToolkitTokenValidator, alias: str) -> int:
    column = validator.column.field.name
    if validator.token_model._meta.db_table not in connections[alias].introspection.table_names():
        # ``migrate`` runs this check before it creates the table.
        return 0
    return validator.token_model._default_manager.using(alias).filter(**{column: ""}).count()


def _empty_checksums(validator: ToolkitTokenValidator, count: int) -> CheckMessage:
    label = validator.token_model._meta.label
    return checks.Warning(
        f"{count} rows of {label} have an empty checksum, so their tokens are refused.",
        hint="Save these rows again, or delete them. The toolkit's migration fills the column only for its own model.",
        obj=validator.token_model,
        id=f"{_APP}.W002",
    )
