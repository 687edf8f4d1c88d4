"""What is examined of the site itself: its URLs, its settings, who guards it, and which versions it runs."""

import importlib.metadata
import platform
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, registry
from django.core.checks.messages import ERROR, WARNING
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver

from ..conf import SETTING
from ..protector import ALL_PROTECTORS, ResourceProtector
from ..validators.model import BearerTokenValidator
from ..validators.naming import name_of_validator
from .examination import Finding, not_applicable, ok, trouble, warning

__all__ = [
    "examine_checks",
    "examine_urls",
    "examine_validators",
    "examine_versions",
    "name_of",
    "protectors_of_site",
    "validators_of",
]

_PREFIX = "async_oauth_guard."
_PACKAGES = ("Django", "Authlib", "joserfc", "httpx", "async-oauth-guard")


def examine_urls() -> Iterator[Finding]:
    """Import every view, so that what guards it is known."""
    name = getattr(settings, "ROOT_URLCONF", None)
    if not name:
        yield not_applicable("There is no ROOT_URLCONF.")
        return
    try:
        number = _count_views(get_resolver().url_patterns)
    except Exception as error:
        # Importing the views runs whatever the site has in their modules. Only of these are the messages no secret.
        told = f": {error}" if isinstance(error, ImportError | SyntaxError) else ""
        yield trouble(
            f"The URL configuration cannot be imported: {type(error).__name__}{told}.",
            "Run `manage.py check`, whose traceback names the line. What is said below leaves out the views that were "
            "not imported.",
            fault="urlconf",
        )
    else:
        yield ok(f"Imported views: {number}.", views=number)


def _count_views(patterns: Iterable[Any]) -> int:
    return sum(_count_views(pattern.url_patterns) if hasattr(pattern, "url_patterns") else 1 for pattern in patterns)


def examine_checks() -> Iterator[Finding]:
    """What the system checks of this library say, each by itself: one that fails leaves the others their say."""
    ours = [check for check in registry.registry.get_checks() if check.__module__.startswith(_PREFIX)]
    told: list[CheckMessage] = []
    failures: list[Finding] = []
    for check in ours:
        try:
            told += check(app_configs=None, databases=None)
        except Exception as error:
            # They ask code of the site's. What one cannot say is no reason to keep from the others' findings.
            failures.append(_failed_check(error))
    yield from failures
    told = [message for message in told if message.level >= WARNING and not message.is_silenced()]
    for message in told:
        make = trouble if message.level >= ERROR else warning
        yield make(f"{message.msg} ({message.id})", message.hint or "See the page on system checks.", fault=message.id)
    if not told and not failures:
        yield ok(f"No system check of {_PREFIX[:-1]} has anything to say.", checks=len(ours))


def _failed_check(error: Exception) -> Finding:
    return trouble(
        f"A system check could not run: {type(error).__name__} was raised.",
        "Run `manage.py check`, whose traceback shows the place: the check asks code of the site's.",
        fault="checks",
    )


def protectors_of_site() -> list[ResourceProtector]:
    """Those that guard something, or would by the setting."""
    has_setting = hasattr(settings, SETTING)
    return [each for each in ALL_PROTECTORS if each.is_used or (each._reads_settings and has_setting)]


def validators_of(protectors: Iterable[ResourceProtector]) -> list[Any]:
    """All their validators, each once, in an order that stays the same."""
    found: dict[int, Any] = {}
    for protector in protectors:
        try:
            found |= {id(validator): validator for validator in protector.validators}
        except ImproperlyConfigured:
            # The checks say so.
            continue
    return sorted(found.values(), key=name_of)


def examine_validators(protectors: Iterable[ResourceProtector]) -> Iterator[Finding]:
    """Whether there is one at all."""
    names = [name_of(validator) for validator in validators_of(protectors)]
    if names:
        yield ok(f"{', '.join(names)}.", validators=names)
    else:
        yield trouble(
            "There is no token validator that could be made, so no token can be valid.",
            f'Fill {SETTING}["VALIDATORS"], or pass validators to the ResourceProtector.',
            fault="no-validator",
        )


def name_of(validator: Any) -> str:
    """The class of a validator, and where its tokens come from."""
    if not isinstance(validator, BearerTokenValidator):
        return name_of_validator(validator)
    model = validator._model
    return f"{type(validator).__name__} of {model if isinstance(model, str) else model._meta.label}"


def examine_versions() -> Iterator[Finding]:
    """Which versions of what matters here are installed."""
    versions = {"Python": platform.python_version(), **{name: _version_of(name) for name in _PACKAGES}}
    yield ok(f"{', '.join(f'{name} {version}' for name, version in versions.items())}.", **versions)


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # A copy that nobody installed.
        return "not installed"
