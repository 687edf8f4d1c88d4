"""System checks: what ``manage.py check`` says of the guards, each with an id and a hint."""

import contextlib
import ssl
from collections.abc import Iterable, Iterator, Sequence
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

from .challenges import UnfitParameterError
from .conf import SETTING, GuardSettings
from .protector import ALL_PROTECTORS
from .routes import import_urls
from .site_checks import check_site
from .validators.introspection import IntrospectTokenValidator
from .validators.jwt import JWTBearerTokenValidator
from .validators.model import BearerTokenValidator
from .validators.naming import endpoint_of, issuers_of, name_of_validator
from .validators.remote import FROM_PROTECTOR, RemoteTokenValidator
from .validators.row_source import RowSource, is_indexed
from .validators.toolkit import ToolkitTokenValidator

__all__ = ["check_guards", "check_settings", "check_toolkit_rows", "register_checks"]

_APP = "async_oauth_guard"

# Seconds: for how long a token that was revoked, and keys that were withdrawn, may serve before somebody should know.
_LONG_FOR_A_YES = 3_600
_LONG_FOR_KEYS = 86_400
_LONG_FOR_STALE_KEYS = 7 * 86_400


def register_checks() -> None:
    """Make Django run the checks of this module."""
    checks.register(check_settings, Tags.security)
    checks.register(check_guards, Tags.security)
    checks.register(check_site, Tags.security)
    checks.register(check_toolkit_rows, Tags.database)


def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002: a key of the setting is unknown, or has a value that cannot work. E004: one that no challenge can carry."""
    if not hasattr(settings, SETTING):
        return []
    return list(_setting_errors(GuardSettings()))


def _setting_errors(values: GuardSettings) -> Iterator[CheckMessage]:
    try:
        values.check_keys()
    except ImproperlyConfigured as error:
        # Every key would say the same.
        yield _setting_error(error)
        return
    for name in (key.lower() for key in values.KEYS):
        try:
            getattr(values, name)
        except ImproperlyConfigured as error:
            yield _setting_error(error)


def _setting_error(error: ImproperlyConfigured) -> CheckMessage:
    if isinstance(error.__cause__, UnfitParameterError):
        hint = "Use printable ASCII, and names that RFC 6750 §3 does not define itself."
        return Error(str(error), hint=hint, id=f"{_APP}.E004")
    return Error(str(error), hint=f"Correct {SETTING} in the settings.", id=f"{_APP}.E002")


def check_guards(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001: a protector has no validator. W007: one ``sub`` may be two people. W009: a cache of each worker's own.

    And of each validator E003, W001, W003, W005, W006, W008, W014, W015, W016: see below.
    """
    # Views are guarded when their modules are imported.
    with contextlib.suppress(ImproperlyConfigured):
        # Of a broken one Django itself speaks.
        import_urls()
    return [
        *_validator_errors(),
        *_cache_messages(),
        *(message for validator in _validators() for message in _validator_messages(validator)),
        *map(_subject_message, _distinct(each for guard in ALL_PROTECTORS for each in _trusting_subjects(guard))),
    ]


def _validator_errors() -> Iterator[CheckMessage]:
    for protector in ALL_PROTECTORS:
        if protector.is_used and _validators_of(protector) == []:
            yield Error(
                "A ResourceProtector guards views, but has no token validator.",
                hint=f"Pass it a validator, call register_token_validator(), or fill {SETTING}['VALIDATORS'].",
                id=f"{_APP}.E001",
            )


def _cache_messages() -> Iterator[CheckMessage]:
    aliases = {_cache_of(protector) for protector in ALL_PROTECTORS if protector.is_used}
    for alias in sorted(alias for alias in aliases if alias is not None):
        backend = _backend_of(alias)
        if not settings.DEBUG and issubclass(backend, LocMemCache | DummyCache):
            yield checks.Warning(
                f"The guards' cache {alias!r} is a {backend.__name__}, by which workers share nothing.",
                hint="Name a cache that all workers reach, such as one in Redis; or leave CACHE out, if each is to "
                "learn for itself.",
                id=f"{_APP}.W009",
            )


def _cache_of(protector: Any) -> str | None:
    """The alias of its cache, where it has a validator that uses one."""
    if not any(isinstance(validator, RemoteTokenValidator) for validator in _validators_of(protector) or ()):
        return None
    alias: str | None = protector.options.cache
    return alias


def _backend_of(alias: str) -> type:
    try:
        backend = import_string(settings.CACHES[alias]["BACKEND"])
    except (ImportError, KeyError):
        # Django says so as soon as the cache is used.
        return object
    return backend if isinstance(backend, type) else object


def _validators_of(protector: Any) -> list[Any] | None:
    try:
        return list(protector.validators)
    except ImproperlyConfigured:
        # Said by check_settings, or there is no setting, and the ready-made protector guards nothing.
        return None if hasattr(settings, SETTING) else []


def _validators() -> list[Any]:
    return _distinct(validator for protector in ALL_PROTECTORS for validator in _validators_of(protector) or ())


def _distinct(validators: Iterable[Any]) -> list[Any]:
    return list({id(validator): validator for validator in validators}.values())


def _validator_messages(validator: Any) -> Iterator[CheckMessage]:
    if isinstance(validator, BearerTokenValidator):
        yield from _column_messages(validator.rows, "tokens", _TOKEN_COLUMN)
        yield from _coalescing_messages(validator)
    if isinstance(validator, RemoteTokenValidator):
        yield from _remote_messages(validator)
        if validator.user_rows is not None:
            yield from _column_messages(validator.user_rows, "users", _USER_COLUMN)


_TOKEN_COLUMN = "Name a model as 'app_label.Model', and in lookup= one of its columns."
_USER_COLUMN = "Name in user_lookup= a column of the user model, or pass a callable."


def _column_messages(rows: RowSource, things: str, hint: str) -> Iterator[CheckMessage]:
    try:
        field, model = rows.column.field, rows.model
    except ImproperlyConfigured as error:
        yield Error(str(error), hint=hint, id=f"{_APP}.E003")
        return
    if not is_indexed(field, model):
        yield checks.Warning(
            f"{model._meta.label}.{field.name} has no index, and every guarded request looks {things} up in it.",
            hint="Give the field unique=True, or db_index=True.",
            obj=model,
            id=f"{_APP}.W001",
        )


def _coalescing_messages(validator: BearerTokenValidator) -> Iterator[CheckMessage]:
    try:
        is_unasked = validator.coalesce is None and not validator.coalesces
    except ImproperlyConfigured:
        # E003 says so.
        return
    if is_unasked:
        yield checks.Warning(
            f"Lookups of {validator.token_model._meta.label} are not coalesced, so guarded async views are slower than "
            "they could be.",
            hint="Its manager or queryset class has a way of its own, which may depend on the request. Pass "
            "coalesce=True if one request's queryset serves any other, coalesce=False if not.",
            obj=validator.token_model,
            id=f"{_APP}.W003",
        )


def _remote_messages(validator: RemoteTokenValidator) -> Iterator[CheckMessage]:
    name = name_of_validator(validator)
    if validator.audience is None:
        yield checks.Warning(
            f"{name} checks no audience, so tokens that were meant for others are let in.",
            hint="Say who you are in audience= or resource_server=, or leave it out and give the protector a resource.",
            id=f"{_APP}.W005",
        )
    if validator.audience is FROM_PROTECTOR and not validator.takes_audience_from_protector:
        yield checks.Warning(
            f"{name} has an introspect_token() of its own, which alone answers for the audience.",
            hint="Say who you are in audience=, so that it is checked here; or silence this if the method checks it.",
            id=f"{_APP}.W008",
        )
    if validator.allow_insecure_http and not settings.DEBUG:
        yield checks.Warning(
            f"{name} may use http, so whoever can listen has the tokens, and whoever can answer lets anybody in.",
            hint="Use https, with verify= for certificates of your own, and leave allow_insecure_http out.",
            id=f"{_APP}.W006",
        )
    yield from _trust_messages(validator, name)


def _trust_messages(validator: RemoteTokenValidator, name: str) -> Iterator[CheckMessage]:
    """Of what a validator believes for longer, or of whom, than is wise."""
    context = validator._server.client.verify
    if isinstance(context, ssl.SSLContext) and not _is_strict(context) and not settings.DEBUG:
        yield checks.Warning(
            f"{name} does not check its server's certificate, so whoever can answer in its place lets anybody in.",
            hint="Give in verify= the file of your certificate authority, or a context that checks names and "
            "certificates.",
            id=f"{_APP}.W014",
        )
    if isinstance(validator, IntrospectTokenValidator):
        seconds = validator._lifetimes.yes + validator._lifetimes.stale
        if seconds > _LONG_FOR_A_YES:
            yield checks.Warning(
                f"{name} may let in a revoked token for {seconds:.0f} seconds.",
                hint="Lower cache_ttl and stale_if_error: together an hour at most.",
                id=f"{_APP}.W015",
            )
    if isinstance(validator, JWTBearerTokenValidator) and (validator.jwks is None or callable(validator.jwks)):
        lifetimes = validator._lifetimes
        if lifetimes.ttl > _LONG_FOR_KEYS or lifetimes.max_stale > _LONG_FOR_STALE_KEYS:
            yield checks.Warning(
                f"{name} may take keys that its server has withdrawn for {lifetimes.max_stale:.0f} seconds.",
                hint="Lower jwks_ttl to a day at most, and max_stale to a week.",
                id=f"{_APP}.W016",
            )


def _is_strict(context: ssl.SSLContext) -> bool:
    return context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED


def _trusting_subjects(protector: Any) -> list[RemoteTokenValidator]:
    """The validators that find users by ``sub`` alone, although tokens of another issuer give users as well."""
    with_users = [
        validator
        for validator in _validators_of(protector) or ()
        if isinstance(validator, RemoteTokenValidator) and validator.user_lookup is not None
    ]
    if len(_servers(with_users)) < 2:
        return []
    return [validator for validator in with_users if isinstance(validator.user_lookup, str)]


def _servers(validators: Iterable[RemoteTokenValidator]) -> set[str]:
    """The issuers that validators name, and the other hosts that are asked where none is named."""
    issuers = {issuer for validator in validators for issuer in issuers_of(validator)}
    hosts = {urlsplit(endpoint_of(validator) or "").netloc for validator in validators if validator.issuer is None}
    return issuers | (hosts - {urlsplit(issuer).netloc for issuer in issuers} - {""})


def _subject_message(validator: RemoteTokenValidator) -> CheckMessage:
    return checks.Warning(
        f"{name_of_validator(validator)} finds users by sub alone, but its protector takes tokens of several issuers, "
        "of which each may use one sub for somebody else.",
        hint="Pass as user_lookup= a pair (field, claim) with a claim that is unique among the issuers, or a callable "
        "that looks at iss too.",
        id=f"{_APP}.W007",
    )


def check_toolkit_rows(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W002: rows without a checksum, which no token will ever match. Run by ``check --database``."""
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
        # ``migrate`` runs the check before it makes the table.
        return 0
    return validator.token_model._default_manager.using(alias).filter(**{column: ""}).count()


def _empty_checksums(validator: ToolkitTokenValidator, count: int) -> CheckMessage:
    label = validator.token_model._meta.label
    return checks.Warning(
        f"{count} rows of {label} have an empty checksum, so their tokens are refused.",
        hint="The toolkit's migration fills the column for its own model only: save these rows again, or delete them.",
        obj=validator.token_model,
        id=f"{_APP}.W002",
    )
