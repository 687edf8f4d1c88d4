"""Tokens in the site's own database."""

import hashlib
import re
from collections.abc import Hashable, Iterable
from typing import Any

from django.apps import apps
from django.core.exceptions import EmptyResultSet, FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Manager, Model, QuerySet
from django.utils.functional import cached_property

from ..credentials import Secret
from ..effects import Flow, Row
from ..flows.database import LookupColumn, find_row_flow
from .base import TokenValidator

__all__ = ["BearerTokenValidator"]

# By what a manager makes the querysets that are asked here.
_MAKERS = ("get_queryset", "all", "using")
# What the class statement writes into a class.
_EVERY_CLASS = frozenset(
    {
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__class_getitem__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__init_subclass__",
        "__module__",
        "__static_attributes__",
        "__weakref__",
    }
)


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
        self._lookup = lookup
        self._digest = digest
        self._select_related = (select_related,) if isinstance(select_related, str) else select_related
        self._queryset = queryset
        self._using = using
        self.coalesce = coalesce
        self._token_format = _compile(token_format)
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

    @cached_property
    def column(self) -> LookupColumn:
        """The column that tokens are looked up in.

        Raises:
            ImproperlyConfigured: the model has no such column.
        """
        try:
            field = self.token_model._meta.get_field(self._lookup)
        except FieldDoesNotExist as error:
            raise ImproperlyConfigured(
                f"lookup: {self.token_model._meta.label} has no field {self._lookup!r}"
            ) from error
        return LookupColumn(field, self._digest)  # type: ignore[arg-type]

    def _manager(self) -> "Manager[Any]":
        # Authlib asks ``objects``; a model may have named its manager otherwise.
        manager: Manager[Any] = getattr(self.token_model, "objects", self.token_model._default_manager)
        return manager

    @cached_property
    def coalesces(self) -> bool:
        """Whether lookups may share queries; a way of its own may answer for one request only."""
        if self.coalesce is not None:
            return self.coalesce
        return not self.is_its_own_way

    @cached_property
    def is_its_own_way(self) -> bool:
        """Whether the manager, or the querysets, are made or narrowed by code of the site's, which may ask who asks."""
        if self._queryset is not None:
            return _overrides(type(self._queryset), QuerySet)
        manager = self._manager()
        queryset_class: type[QuerySet[Any]] = manager._queryset_class  # type: ignore[attr-defined]
        made_elsewhere = any(getattr(type(manager), name) is not getattr(Manager, name) for name in _MAKERS)
        return made_elsewhere or _overrides(queryset_class, QuerySet)

    @cached_property
    def _related(self) -> tuple[str, ...]:
        if self._select_related is not None:
            return tuple(self._select_related)
        names = {field.name for field in self.token_model._meta.concrete_fields if field.is_relation}
        return ("user",) if "user" in names else ()

    def recognises(self, token: str) -> bool:
        """Whether ``token_format`` allows ``token``."""
        return self._token_format is None or self._token_format.fullmatch(token) is not None

    def authenticate_flow(self, token: Secret[str]) -> Flow[Any]:
        """Find the row that holds ``token``. Routers are asked, and managers, in the request's own context."""
        return (yield from find_row_flow(token, self.column, self._ask_for))

    def _ask_for(self, key: Secret[Any]) -> Row:
        queryset = self._build_queryset() if self._same_queryset is None else self._same_queryset
        return Row(queryset, self.column.field.attname, key, self._group(queryset))

    @cached_property
    def _same_queryset(self) -> QuerySet[Any] | None:
        """The queryset of all requests, where it is the same for all: it is cloned for each, and asks routers then."""
        return None if self.is_its_own_way else self._build_queryset()

    def _build_queryset(self) -> QuerySet[Any]:
        if self._queryset is not None:
            queryset = self._queryset.all()
        elif self._using is not None:
            queryset = self._manager().using(self._using)
        else:
            queryset = self._manager().all()
        return queryset.select_related(*self._related) if self._related else queryset

    def _group(self, queryset: QuerySet[Any]) -> Hashable | None:
        """What lookups must have in common to share a query: never more than one validator, nor one's filters."""
        if not self.coalesces:
            return None
        if self._same_queryset is not None:
            return self
        if queryset._prefetch_related_lookups or _overrides(type(queryset), QuerySet):  # type: ignore[attr-defined]
            # What else it asks, and how, its SQL does not tell.
            return None
        try:
            return (self, *queryset.query.sql_with_params())
        except EmptyResultSet:
            return None


def _overrides(cls: type, base: type) -> bool:
    """Whether ``cls`` has a method or property of its own where ``base`` has one; what it adds does not count."""
    own = {name for parent in cls.__mro__ if not issubclass(base, parent) for name in vars(parent)}
    return any(hasattr(base, name) for name in own - _EVERY_CLASS)


def _compile(token_format: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    try:
        return None if token_format is None else re.compile(token_format)
    except re.error as error:
        raise ValueError(f"token_format: {error}") from error


def _check_digest(digest: str | None) -> None:
    try:
        hashlib.new(digest or "sha256", b"").hexdigest()
    except (TypeError, ValueError) as error:
        raise ValueError(f"digest: hashlib makes no hexadecimal digest of {digest!r}") from error


def _check_model(model: Any) -> None:
    if not isinstance(model, str) and not (isinstance(model, type) and issubclass(model, Model)):
        raise TypeError(f"token_model: a model or its label is wanted, not {model!r}")
