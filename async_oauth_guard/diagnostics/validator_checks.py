"""The system checks of validators: of their tables, servers and users."""

import ssl
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from ..validators.audience_option import FROM_PROTECTOR
from ..validators.database import BearerTokenValidator
from ..validators.django_oauth_toolkit import ToolkitTokenValidator
from ..validators.introspection import IntrospectTokenValidator
from ..validators.jwt import JWTBearerTokenValidator
from ..validators.remote import RemoteTokenValidator
from ..validators.token_table import RowSource, is_indexed
from ..validators.users import compares_email
from .validator_names import name_of_validator

__all__ = ["checksum_messages", "validator_messages"]

# Seconds. If a revoked token or a withdrawn key may be accepted for longer than this, a check warns.
_LONG_FOR_A_YES = 3_600
_LONG_FOR_KEYS = 86_400
_LONG_FOR_STALE_KEYS = 7 * 86_400


def validator_messages(validator: Any) -> Iterator[CheckMessage]:
    """The messages for one validator."""
    if isinstance(validator, BearerTokenValidator):
        yield from _table_messages(validator)
    if isinstance(validator, RemoteTokenValidator):
        yield from _remote_messages(validator, name_of_validator(validator))
        if validator.user_rows is not None:
            yield from _user_messages(validator, validator.user_rows)


# --- tables ---


def _table_messages(validator: BearerTokenValidator) -> Iterator[CheckMessage]:
    """Those about the columns. E003: ``confirmation`` names no field. W003: lookups are not coalesced."""
    hint = "Set token_model to an existing model, as 'app_label.Model', and lookup to one of its columns."
    yield from _column_messages(validator.rows, "tokens", hint)
    if not _has_column(validator.rows):
        return
    model, field = validator.token_model, validator._thumbprint_field
    if field is not None and not hasattr(model, field):
        what = f"confirmation must name a field of {model._meta.label}, got {field!r}"
        yield Error(what, hint="Correct confirmation=, or remove it.", id="async_oauth_guard.E003")
    if validator.coalesce is None and not validator.coalesces:
        yield checks.Warning(
            f"Lookups of {model._meta.label} are not coalesced, because its manager or querysets override Django's "
            "methods, so guarded async views are slower than they could be.",
            hint="Set coalesce=True if one request's queryset is correct for every other request; set coalesce=False "
            "if it is not.",
            obj=model,
            id="async_oauth_guard.W003",
        )


def _user_messages(validator: RemoteTokenValidator, rows: RowSource) -> Iterator[CheckMessage]:
    """Those about the column. W018: anyone may register the e-mail address that a user is found by."""
    yield from _column_messages(rows, "users", "Set user_lookup to a column of the user model, or to a callable.")
    if _has_column(rows) and compares_email(rows.column.field, validator.user_claim):
        yield checks.Warning(
            f"{name_of_validator(validator)} finds users by an e-mail address, and accepts a token without "
            "email_verified. Anyone who registers another user's address at the server may be let in as that user.",
            hint="Use a claim that users cannot choose, such as sub; or set user_lookup= to a callable that requires "
            'claims.get("email_verified") is True. Silence this check if the server verifies every address.',
            id="async_oauth_guard.W018",
        )


def _column_messages(rows: RowSource, things: str, hint: str) -> Iterator[CheckMessage]:
    """E003: there is no such model or column. W001: it has no index."""
    try:
        field, model = rows.column.field, rows.model
    except ImproperlyConfigured as error:
        yield Error(str(error), hint=hint, id="async_oauth_guard.E003")
        return
    if not is_indexed(field, model):
        yield checks.Warning(
            f"{model._meta.label}.{field.name} has no index that covers the whole table, and every guarded request "
            f"looks up {things} by it.",
            hint="Set unique=True or db_index=True on the field.",
            obj=model,
            id="async_oauth_guard.W001",
        )


def _has_column(rows: RowSource) -> bool:
    try:
        return bool(rows.column)
    except ImproperlyConfigured:
        return False


def checksum_messages(validator: ToolkitTokenValidator, alias: str) -> Iterator[CheckMessage]:
    """W002: rows with an empty checksum, which no token matches."""
    model, column = validator.token_model, validator.column.field.name
    if model._meta.db_table not in connections[alias].introspection.table_names():
        # ``migrate`` runs this check before it creates the table.
        return
    if count := model._default_manager.using(alias).filter(**{column: ""}).count():
        yield checks.Warning(
            f"{count} rows of {model._meta.label} have an empty checksum, so their tokens are refused.",
            hint="Save these rows again, or delete them. The toolkit's migration fills the column only for its own "
            "model.",
            obj=model,
            id="async_oauth_guard.W002",
        )


# --- servers ---


def _remote_messages(validator: RemoteTokenValidator, name: str) -> Iterator[CheckMessage]:
    """W005, W008: the audience is not checked. W006: the server may use http."""
    if validator.audience is None:
        yield checks.Warning(
            f"{name} does not check the audience, so tokens for other APIs are let in.",
            hint="Set audience= or resource_server= to your identifier, or omit it and give the protector a resource. "
            "If the server sends no aud, silence this check.",
            id="async_oauth_guard.W005",
        )
    if validator.audience is FROM_PROTECTOR and not validator.takes_audience_from_protector:
        yield checks.Warning(
            f"{name} overrides introspect_token(), so that method must check the audience itself.",
            hint="Set audience=, so that the audience is checked in any case; or silence this check if the method "
            "checks it.",
            id="async_oauth_guard.W008",
        )
    if validator.allow_insecure_http and not settings.DEBUG:
        yield checks.Warning(
            f"{name} may use http, so anyone who can read the network traffic can steal tokens, and anyone who can "
            "change it can let any token in.",
            hint="Use https, with verify= for your own certificate authority, and remove allow_insecure_http.",
            id="async_oauth_guard.W006",
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
            id="async_oauth_guard.W014",
        )
    if isinstance(validator, IntrospectTokenValidator):
        seconds = validator._lifetimes.active + validator._lifetimes.stale
        if seconds > _LONG_FOR_A_YES:
            yield checks.Warning(
                f"{name} may let in a revoked token for {seconds:.0f} seconds.",
                hint="Lower cache_ttl and stale_if_error. Together they should not exceed an hour.",
                id="async_oauth_guard.W015",
            )
    if isinstance(validator, JWTBearerTokenValidator) and (validator.jwks is None or callable(validator.jwks)):
        lifetimes = validator._lifetimes
        if lifetimes.ttl > _LONG_FOR_KEYS or lifetimes.max_stale > _LONG_FOR_STALE_KEYS:
            yield checks.Warning(
                f"{name} may accept signatures by keys that its server has withdrawn for {lifetimes.max_stale:.0f} "
                "seconds.",
                hint="Lower jwks_ttl to at most a day, and max_stale to at most a week.",
                id="async_oauth_guard.W016",
            )


def _is_strict(context: ssl.SSLContext) -> bool:
    return context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
