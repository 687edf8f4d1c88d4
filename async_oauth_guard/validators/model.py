"""Tokens in the site's own database."""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from django.utils.functional import cached_property

from ..credentials import Secret
from ..effects import Flow
from ..flows.authorization import Inquiry
from ..flows.database import LookupColumn, find_row_flow
from .base import TokenValidator
from .row_source import RowSource

__all__ = ["BearerTokenValidator", "compile_format"]


class BearerTokenValidator(TokenValidator):
    """Validates tokens that are rows of a Django model with Authlib's token protocol.

    That is ``is_expired()``, ``is_revoked()`` and ``get_scope()``. Each request asks the database, so a revoked token
    is refused at once.

    Args:
        token_model: the model, or its label (``"accounts.OAuth2Token"``).
        realm: see `TokenValidator`.
        lookup: the column that is compared with the token, exactly, whatever the database's collation.
        digest: a ``hashlib`` name, where that column holds the lower-case hexadecimal digest of the token.
        select_related: what is loaded with the row: ``user``, where the model has it, unless given.
        queryset: where to look, with its filters and its database, in place of the model's ``objects``.
        using: the database alias, in place of the routers' answer.
        require_active_user: whether a token of a user who is not active is refused (Authlib does not ask).
        token_format: a regular expression that the whole token must match; others cost no query.
        coalesce: whether lookups of concurrent requests share queries. Left out: unless the manager makes querysets
            in a way of its own, or their class overrides a method, which may depend on the request. ``False``: each
            on its request's connection.
        blocking_methods: whether the model's methods do I/O other than queries; they then run on a thread.
        extra_attributes: see `TokenValidator`.

    Raises:
        ValueError: an option has a value that cannot work.
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
        **extra_attributes: Any,
    ) -> None:
        super().__init__(realm, **extra_attributes)
        _check_model(token_model)
        _check_digest(digest)
        if queryset is not None and using is not None:
            raise ValueError("using: the queryset has a database already; give queryset.using(...)")
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

    @classmethod
    def for_django_oauth_toolkit(cls, realm: str | None = None, **options: Any) -> "BearerTokenValidator":
        """A validator for django-oauth-toolkit's access tokens, swapped models included.

        Looked up by ``token_checksum``; judged by ``expires``, ``scope`` and, where it is not empty, ``resource``,
        of which one must be a prefix of the URI that was called, as the toolkit compares them; and by ``is_valid()`` of
        a swapped model and ``is_usable()`` of a swapped client. The rows are only read.
        """
        from .toolkit import ToolkitTokenValidator

        return ToolkitTokenValidator(realm, **options)

    @cached_property
    def token_model(self) -> type[Model]:
        """The model.

        Raises:
            ImproperlyConfigured: there is none of that label.
        """
        if not isinstance(self._model, str):
            return self._model
        try:
            return apps.get_model(self._model)
        except (LookupError, ValueError) as error:
            raise ImproperlyConfigured(f"token_model: there is no model {self._model!r}") from error

    @property
    def column(self) -> LookupColumn:
        """The column that tokens are looked up in.

        Raises:
            ImproperlyConfigured: the model has no such column.
        """
        return self.rows.column

    @property
    def coalesces(self) -> bool:
        """Whether lookups may share queries."""
        return self.rows.coalesces

    def recognises(self, token: str) -> bool:
        """Whether ``token_format`` allows ``token``."""
        return self._token_format is None or self._token_format.fullmatch(token) is not None

    def authenticate_flow(self, token: Secret[str], inquiry: Inquiry | None = None) -> Flow[Any]:
        """Find the row that holds ``token``."""
        return (yield from find_row_flow(token, self.rows.column, self.rows.ask_for))


def compile_format(token_format: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    """The pattern that the whole of a token must match, if any."""
    try:
        return None if token_format is None else re.compile(token_format)
    except re.error as error:
        raise ValueError(f"token_format: {error}") from error
    except TypeError:
        raise TypeError(f"token_format: a regular expression is wanted, not {type(token_format).__name__}") from None


def _check_digest(digest: str | None) -> None:
    try:
        hashlib.new(digest or "sha256", b"").hexdigest()
    except (TypeError, ValueError) as error:
        raise ValueError(f"digest: hashlib makes no hexadecimal digest of {digest!r}") from error


def _check_model(model: Any) -> None:
    if not isinstance(model, str) and not (isinstance(model, type) and issubclass(model, Model)):
        raise TypeError(f"token_model: a model or its label is wanted, not {model!r}")
