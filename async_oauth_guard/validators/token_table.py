"""Looks up rows by one column: chooses the queryset, and decides which lookups may share a query."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet, FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Field, Manager, Model, QuerySet, UniqueConstraint
from django.utils.functional import cached_property

from ..protocol.secrets import Secret
from ..runtime.effects import Row
from .token_lookup import LookupColumn

__all__ = ["RowSource", "is_indexed"]

# The methods of a manager that create the querysets for lookups.
_MAKERS = ("get_queryset", "all", "using")
# The names that a class statement itself defines.
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


class RowSource:
    """The rows of a model, found by one column. It does not use Django's app registry before the first lookup.

    Args:
        get_model: returns the model.
        lookup: the name of the column.
        argument: the option that names the column, for messages.
        digest, select_related, queryset, using, coalesce: see `BearerTokenValidator`.
    """

    def __init__(
        self,
        get_model: Callable[[], type[Model]],
        lookup: str,
        *,
        argument: str = "lookup",
        digest: str | None = None,
        select_related: str | Iterable[str] | None = None,
        queryset: QuerySet[Any] | None = None,
        using: str | None = None,
        coalesce: bool | None = None,
    ) -> None:
        self._get_model = get_model
        self._lookup = lookup
        self._argument = argument
        self._digest = digest
        self._select_related = (select_related,) if isinstance(select_related, str) else select_related
        self._queryset = queryset
        self._using = using
        self.coalesce = coalesce

    @cached_property
    def model(self) -> type[Model]:
        return self._get_model()

    @cached_property
    def column(self) -> LookupColumn:
        """The column that is compared with the key.

        Raises:
            ImproperlyConfigured: the model has no such column.
        """
        try:
            field = self.model._meta.get_field(self._lookup)
        except FieldDoesNotExist as error:
            raise ImproperlyConfigured(
                f"{self._argument} must name a field of {self.model._meta.label}, got {self._lookup!r}"
            ) from error
        if not field.concrete or field.many_to_many:
            raise ImproperlyConfigured(
                f"{self._argument} must name a column, but {self.model._meta.label}.{self._lookup} has none"
            )
        return LookupColumn(field, self._digest)

    def _manager(self) -> "Manager[Any]":
        # Authlib uses ``objects``, but a model's manager may have another name.
        manager: Manager[Any] = getattr(self.model, "objects", self.model._default_manager)
        return manager

    @cached_property
    def coalesces(self) -> bool:
        """Whether lookups may share queries. By default not if the site overrides Django's methods."""
        if self.coalesce is not None:
            return self.coalesce
        return not self.has_custom_querysets

    @cached_property
    def has_custom_querysets(self) -> bool:
        """Whether the site's code creates or filters the querysets. Such code may depend on the request."""
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
        names = {field.name for field in self.model._meta.concrete_fields if field.is_relation}
        return ("user",) if "user" in names else ()

    def ask_for(self, key: Secret[Any]) -> Row:
        """The lookup for one key. Database routers and managers run in the context of the request."""
        queryset = self._build_queryset() if self._same_queryset is None else self._same_queryset
        return Row(queryset, self.column.field.attname, key, self._group(queryset))

    @cached_property
    def _same_queryset(self) -> QuerySet[Any] | None:
        """The queryset, if it is the same for all requests. Each request clones it, and routers run then."""
        return None if self.has_custom_querysets else self._build_queryset()

    def _build_queryset(self) -> QuerySet[Any]:
        if self._queryset is not None:
            queryset = self._queryset.all()
        elif self._using is not None:
            queryset = self._manager().using(self._using)
        else:
            queryset = self._manager().all()
        return queryset.select_related(*self._related) if self._related else queryset

    def _group(self, queryset: QuerySet[Any]) -> Hashable | None:
        """The key that lookups must have in common to share a query: the same source and the same filters."""
        if not self.coalesces:
            return None
        if self._same_queryset is not None:
            return self
        if queryset._prefetch_related_lookups or _overrides(type(queryset), QuerySet):  # type: ignore[attr-defined]
            # Its SQL does not show its other queries or overridden methods.
            return None
        try:
            return (self, *queryset.query.sql_with_params())
        except EmptyResultSet:
            return None


def _overrides(cls: type, base: type) -> bool:
    """Whether ``cls`` overrides a method or property of ``base``. New methods do not count."""
    own = {name for parent in cls.__mro__ if not issubclass(base, parent) for name in vars(parent)}
    return any(hasattr(base, name) for name in own - _EVERY_CLASS)


def is_indexed(field: "Field[Any, Any]", model: type[Model]) -> bool:
    """Whether an index that covers the whole table starts with this column."""
    # If the model inherits the field, the column is in the parent's table.
    options = getattr(field, "model", model)._meta
    leading = [tuple(fields[:1]) for fields in (*_indexes(options), *options.unique_together)]
    return field.primary_key or field.unique or getattr(field, "db_index", False) or (field.name,) in leading


def _indexes(options: Any) -> Iterator[Sequence[str]]:
    """The fields of each index that covers the whole table. An index with a condition does not."""
    for index in options.indexes:
        if index.condition is None:
            yield [name for name, _ in index.fields_orders]
    for constraint in options.constraints:
        if isinstance(constraint, UniqueConstraint) and constraint.condition is None:
            yield constraint.fields
