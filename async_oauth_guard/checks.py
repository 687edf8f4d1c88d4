"""System checks: what ``manage.py check`` says of the guards, each with an id and a hint."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models import Field, Model
from django.urls import URLResolver, get_resolver
from django.views.decorators.csrf import csrf_exempt

from .challenges import UnfitParameterError
from .conf import SETTING, GuardSettings
from .protector import ALL_PROTECTORS
from .session_checks import EXEMPT_WHILE_CHECKED
from .validators.model import BearerTokenValidator
from .validators.toolkit import ToolkitTokenValidator

__all__ = ["check_guards", "check_settings", "check_toolkit_rows", "register_checks"]

_APP = "async_oauth_guard"


def register_checks() -> None:
    """Make Django run the checks of this module."""
    checks.register(check_settings, Tags.security)
    checks.register(check_guards, Tags.security)
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
    """E001: a protector has no validator. W004: an exemption without effect. E003, W001, W003: see below."""
    # Views are guarded when their modules are imported.
    patterns = get_resolver().url_patterns if getattr(settings, "ROOT_URLCONF", None) else []
    return [
        *_validator_errors(),
        *(message for callback in _callbacks(patterns) for message in _exemption_messages(callback)),
        *(message for validator in _model_validators() for message in _model_messages(validator)),
    ]


def _validator_errors() -> Iterator[CheckMessage]:
    for protector in ALL_PROTECTORS:
        if protector.is_used and _validators_of(protector) == []:
            yield Error(
                "A ResourceProtector guards views, but has no token validator.",
                hint=f"Pass it a validator, call register_token_validator(), or fill {SETTING}['VALIDATORS'].",
                id=f"{_APP}.E001",
            )


def _callbacks(patterns: Iterable[Any]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _callbacks(pattern.url_patterns)
        else:
            yield pattern.callback


def _exemption_messages(callback: Any) -> Iterator[CheckMessage]:
    layers = [callback]
    while hasattr(layers[-1], "__wrapped__"):
        layers.append(layers[-1].__wrapped__)
    # Below the guard, an exemption takes the place of the guard's mark.
    is_marked = any(getattr(layer, "csrf_exempt", None) is EXEMPT_WHILE_CHECKED for layer in layers)
    if is_marked and any(_exempts(layer) for layer in layers):
        view = getattr(callback, "view_class", layers[-1])
        yield checks.Warning(
            f"csrf_exempt has no effect above the optional guard of {view.__module__}.{view.__qualname__}.",
            hint="Write @csrf_exempt below the guard, next to the view, if requests without a token are to be exempt.",
            id=f"{_APP}.W004",
        )


def _exempts(layer: Any) -> bool:
    # Django's decorator copies the guard's mark over its own ``True``, so it is known by its code.
    code = getattr(layer, "__code__", None)
    is_decorated = code is not None and code.co_qualname.startswith(f"{csrf_exempt.__name__}.")
    return getattr(layer, "csrf_exempt", False) is True or is_decorated


def _validators_of(protector: Any) -> list[Any] | None:
    try:
        return list(protector.validators)
    except ImproperlyConfigured:
        # Said by check_settings, or there is no setting, and the ready-made protector guards nothing.
        return None if hasattr(settings, SETTING) else []


def _model_validators() -> Iterator[BearerTokenValidator]:
    seen: list[BearerTokenValidator] = []
    for protector in ALL_PROTECTORS:
        for validator in _validators_of(protector) or ():
            if isinstance(validator, BearerTokenValidator) and validator not in seen:
                seen.append(validator)
    return iter(seen)


def _model_messages(validator: BearerTokenValidator) -> Iterator[CheckMessage]:
    try:
        field, model = validator.column.field, validator.token_model
    except ImproperlyConfigured as error:
        hint = "Name a model as 'app_label.Model', and in lookup= one of its columns."
        yield Error(str(error), hint=hint, id=f"{_APP}.E003")
        return
    if not _is_indexed(field, model):
        yield checks.Warning(
            f"{model._meta.label}.{field.name} has no index, and every guarded request looks tokens up in it.",
            hint="Give the field unique=True, or db_index=True.",
            obj=model,
            id=f"{_APP}.W001",
        )
    if validator.coalesce is None and not validator.coalesces:
        yield checks.Warning(
            f"Lookups of {model._meta.label} are not coalesced, so guarded async views are slower than they could be.",
            hint="Its manager or queryset class has a way of its own, which may depend on the request. Pass "
            "coalesce=True if one request's queryset serves any other, coalesce=False if not.",
            obj=model,
            id=f"{_APP}.W003",
        )


def _is_indexed(field: "Field[Any, Any]", model: type[Model]) -> bool:
    leading: list[tuple[str, ...]] = [(name,) for index in model._meta.indexes for name, _ in index.fields_orders[:1]]
    leading += [tuple(fields[:1]) for fields in _unique_together(model)]
    return field.primary_key or field.unique or getattr(field, "db_index", False) or (field.name,) in leading


def _unique_together(model: type[Model]) -> Iterable[Sequence[str]]:
    constraints = (getattr(constraint, "fields", ()) for constraint in model._meta.constraints)
    return [*model._meta.unique_together, *constraints]


def check_toolkit_rows(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W002: rows without a checksum, which no token will ever match. Run by ``check --database``."""
    return [
        _empty_checksums(validator, count)
        for validator in _model_validators()
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
