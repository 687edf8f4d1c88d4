"""Validates tokens in the site's database."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from django.utils.functional import cached_property
from django.utils.module_loading import import_string

from ..protocol.rules import Rule
from ..protocol.secrets import Secret
from ..runtime.effects import Flow
from .authorization_context import AuthorizationContext
from .base import USER_IS_ACTIVE, TokenValidator
from .options import check_attributes, check_text, compile_format, known_options
from .routing import RECOGNISED
from .token_lookup import LOOKUP, LookupColumn, find_row_flow
from .token_table import RowSource

__all__ = ["BearerTokenValidator"]


@known_options
class BearerTokenValidator(TokenValidator):
    """Validates tokens that are rows of a Django model with the methods of Authlib's ``TokenMixin``.

    The methods are ``is_expired()``, ``is_revoked()`` and ``get_scope()``. Each request queries the database, so a
    revoked token is refused at once.

    Args:
        token_model: the model, or its label (``"accounts.OAuth2Token"``).
        realm: see `TokenValidator`.
        lookup: the column that is compared with the token. The comparison is exact with every database collation.
        digest: a ``hashlib`` name, if the column contains the lower-case hexadecimal digest of the token.
        select_related: what to load with the row. By default ``user``, if the model has it.
        queryset: the rows to search, with their filters and database. By default the model's ``objects``.
        using: the database alias. By default, the database routers choose.
        require_active_user: whether to refuse tokens of users who are not active. Authlib does not check this.
        token_format: a regular expression that the whole token must match. Other tokens cause no query.
        coalesce: whether lookups of concurrent requests share queries. By default they do, unless the manager or its
            querysets override Django's methods, because these may depend on the request. With ``False``, each lookup
            uses its request's connection.
        blocking_methods: whether the model's methods do I/O other than queries. If so, they run on a thread.
        confirmation: the field with the thumbprint of the key that the token is bound to (``jkt``, RFC 9449 §6). It is
            empty for bearer tokens. By default, the model's attribute ``cnf`` says what the token is bound to, as a
            mapping or its JSON text.
        extra_attributes: see `TokenValidator`.

    Raises:
        ValueError: an option has an invalid value.
        TypeError: an option has a value of the wrong type.
    """

    _needs_init = True

    def __init__(
        self,
        token_model: type[Model] | str,
        realm: str | None = None,
        *,
        lookup: str = "access_token",
        digest: str | None = None,
        select_related: str | Iterable[str] | None = None,
        queryset: QuerySet[Any] | None = None,
        using: str | None = None,
        require_active_user: bool = True,
        token_format: str | re.Pattern[str] | None = None,
        coalesce: bool | None = None,
        blocking_methods: bool = False,
        confirmation: str | None = None,
        **extra_attributes: Any,
    ) -> None:
        check_attributes(extra_attributes, "BearerTokenValidator")
        super().__init__(realm, **extra_attributes)
        _check_model(token_model)
        _check_digest(digest)
        if queryset is not None and using is not None:
            raise ValueError("using and queryset must not both be given; pass queryset=queryset.using(...)")
        self._model = token_model
        self.rows = RowSource(
            lambda: self.token_model,
            lookup,
            digest=digest,
            select_related=select_related,
            queryset=queryset,
            using=using,
            coalesce=coalesce,
        )
        self.coalesce = coalesce
        self._token_format = compile_format(token_format)
        self.require_active_user = require_active_user
        self.blocking_methods = blocking_methods
        if confirmation is not None:
            check_text(confirmation=confirmation)
        self._thumbprint_field = confirmation

    @classmethod
    def for_django_oauth_toolkit(cls, realm: str | None = None, **options: Any) -> "BearerTokenValidator":
        """A validator for django-oauth-toolkit's access tokens, including those of swapped models.

        It finds the row by ``token_checksum``, and checks ``expires`` and ``scope``. If ``resource`` is not empty, one
        of its values must be a prefix of the requested URI, as in the toolkit. It also calls ``is_valid()`` of a
        swapped model and ``is_usable()`` of a swapped client. It never writes to the rows.
        """
        # By its name, because that module imports this one.
        toolkit_validator = import_string(f"{__package__}.django_oauth_toolkit.ToolkitTokenValidator")
        validator: BearerTokenValidator = toolkit_validator(realm, **options)
        return validator

    @cached_property
    def token_model(self) -> type[Model]:
        """The model.

        Raises:
            ImproperlyConfigured: no model has this label.
        """
        if not isinstance(self._model, str):
            return self._model
        try:
            return apps.get_model(self._model)
        except (LookupError, ValueError) as error:
            raise ImproperlyConfigured(f"token_model must be the label of a model, got {self._model!r}") from error

    @property
    def column(self) -> LookupColumn:
        """The column that is compared with the token.

        Raises:
            ImproperlyConfigured: the model has no such column.
        """
        return self.rows.column

    @property
    def coalesces(self) -> bool:
        """Whether lookups may share queries."""
        return self.rows.coalesces

    def authenticate_flow(self, token: Secret[str], context: AuthorizationContext | None = None) -> Flow[Any]:
        """Find the row that has ``token``."""
        trace = None if context is None else context.trace
        return (yield from find_row_flow(token, self.rows.column, self.rows.ask_for, trace))

    def _tables(self, context: AuthorizationContext) -> Iterator[tuple[Sequence[Rule[Any, Any]], Any]]:
        yield (RECOGNISED,), None
        yield LOOKUP, self.rows.column
        yield self._state_rules, context
        yield (USER_IS_ACTIVE,), None


def _check_digest(digest: str | None) -> None:
    try:
        hashlib.new(digest or "sha256", b"").hexdigest()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"digest must be the name of a hashlib algorithm with a hexadecimal digest, got {digest!r}"
        ) from error


def _check_model(model: Any) -> None:
    if not isinstance(model, str) and not (isinstance(model, type) and issubclass(model, Model)):
        raise TypeError(f"token_model must be a model or its label, got {model!r}")
