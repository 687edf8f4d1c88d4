"""The doctor: runs every examination of a site, and examines its views, settings and versions."""

import importlib.metadata
import platform
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, registry
from django.core.checks.messages import ERROR, WARNING
from django.core.exceptions import ImproperlyConfigured

from ...conf import SETTING
from ...guard.protector import ALL_PROTECTORS, ResourceProtector
from ...protocol.uris import origin_of
from ...validators.database import BearerTokenValidator
from ...validators.remote import RemoteTokenValidator
from ..routes import import_urls
from ..validator_names import name_of_validator, readable, validators_of
from .cache import examine_cache, examine_replay_store
from .database import examine_rows
from .examination import SITE, Examination, Finding, Severity, examine, not_applicable, ok, problem, warning
from .guarded_url import GuardedUrl
from .public import PublicAddress
from .servers import ServerExaminer

__all__ = [
    "diagnose",
    "examine_checks",
    "examine_urls",
    "examine_validators",
    "examine_versions",
    "name_of",
    "protectors_of_site",
]

_PREFIX = "async_oauth_guard."
_PACKAGES = ("Django", "Authlib", "joserfc", "httpx", "async-oauth-guard")


def diagnose(timeout: float | None = None, url: str | None = None, *, is_local: bool = False) -> list[Examination]:
    """Examine everything that guards the site.

    This sends requests to servers. It writes only entries to each cache that live for a minute at most.

    Args:
        timeout: seconds for each request, instead of the validators' own timeout.
        url: the public URL of a guarded view, to examine it as clients see it.
        is_local: whether to send no requests to the site's own public addresses.

    Raises:
        ImproperlyConfigured: there is nothing to examine.
    """
    urls = examine("URLs", SITE, examine_urls)
    protectors = protectors_of_site()
    is_broken = urls[0].finding.severity is Severity.ERROR
    if not protectors and not is_broken:
        raise ImproperlyConfigured(f"There is nothing to examine: {SETTING} is not set, and nothing is guarded.")
    return [
        *examine("versions", SITE, examine_versions),
        *urls,
        *examine("settings", SITE, examine_checks),
        *examine("validators", SITE, lambda: examine_validators(protectors)),
        *_examine_caches(protectors),
        *([] if is_local else _examine_addresses(_in_use(protectors), timeout, url)),
        *(each for validator in _validators_of(protectors) for each in _examine_validator(validator, timeout)),
    ]


def _examine_validator(validator: object, timeout: float | None) -> list[Examination]:
    name = name_of(validator)
    if isinstance(validator, BearerTokenValidator):
        return examine("database", name, lambda: examine_rows(validator.rows, "tokens"))
    if not isinstance(validator, RemoteTokenValidator):
        return []
    examiner = ServerExaminer(validator, timeout)
    examinations = [
        *examine("discovery", name, examiner.discovery),
        *examine("keys", name, examiner.keys),
        *examine("introspection", name, examiner.introspection),
        # This must be last: it sends no requests, and uses the responses to the others.
        *examine("clock", name, examiner.clock),
    ]
    user_rows = validator.user_rows
    if user_rows is not None:
        examinations += examine("users", name, lambda: examine_rows(user_rows, "users"))
    return examinations


def _examine_caches(protectors: Iterable[ResourceProtector]) -> Iterator[Examination]:
    """Examine each cache that is used, once. ``None`` means no cache."""
    found = readable(protectors)
    for alias in _sorted(each.options.cache for each in found):
        using = [each for each in found if each.options.cache == alias]
        has_remote = any(isinstance(validator, RemoteTokenValidator) for validator in validators_of(using))
        yield from examine("cache", SITE, partial(examine_cache, alias, has_remote))
    for alias in _sorted(each.options.cache for each in _in_use(found) if each.options.dpop is not None):
        yield from examine("replay store", SITE, partial(examine_replay_store, alias))


def _sorted(aliases: Iterable[str | None]) -> list[str | None]:
    return sorted(set(aliases), key=lambda alias: alias or "")


def _examine_addresses(
    protectors: list[ResourceProtector], timeout: float | None, url: str | None
) -> Iterator[Examination]:
    """Examine each public address from which clients get metadata, or for which they make proofs."""
    metadata_urls = [each.options.metadata_url for each in protectors]
    origins = [each.options.origin for each in protectors if each.options.dpop is not None]
    named = [*(origin_of(each) for each in (*metadata_urls, url) if each is not None), *filter(None, origins)]
    for origin in sorted({*named}):
        name, address = f"{SITE} at {origin}", PublicAddress(origin, protectors, timeout)
        yield from examine("metadata", name, address.metadata)
        if url is not None and origin_of(url) == origin:
            guarded = GuardedUrl(url, protectors, address)
            yield from examine("challenge", name, guarded.challenge)
            yield from examine("proofs", name, guarded.proofs)
        if address.needs_clock:
            # This must be last: it uses the responses to the others.
            yield from examine("clock", name, address.clock)


# --- the site ---


def examine_urls() -> Iterator[Finding]:
    """Import every view, so that its guards are known."""
    if not getattr(settings, "ROOT_URLCONF", None):
        yield not_applicable("There is no ROOT_URLCONF.")
        return
    try:
        number = import_urls()
    except ImproperlyConfigured as error:
        yield problem(
            f"The views cannot be imported: {error}.",
            "Run `manage.py check`: its traceback shows the line. The rest of this report leaves out the views that "
            "were not imported.",
            fault="urlconf",
        )
    else:
        yield ok(f"Imported views: {number}.", views=number)


def examine_checks() -> Iterator[Finding]:
    """Report the messages of this library's system checks. If one check fails, the others still run."""
    ours = [check for check in registry.registry.get_checks() if check.__module__.startswith(_PREFIX)]
    messages: list[CheckMessage] = []
    failures: list[Finding] = []
    for check in ours:
        try:
            messages += check(app_configs=None, databases=None)
        except Exception as error:
            # The checks call the site's own code. If one fails, the findings of the others still matter.
            failures.append(
                problem(
                    f"A system check could not run: {type(error).__name__} was raised.",
                    "Run `manage.py check`: its traceback shows the place. The check calls your own code.",
                    fault="checks",
                )
            )
    yield from failures
    reported = [message for message in messages if message.level >= WARNING and not message.is_silenced()]
    for message in reported:
        make = problem if message.level >= ERROR else warning
        yield make(f"{message.msg} ({message.id})", message.hint or "See the page on system checks.", fault=message.id)
    if not reported and not failures:
        yield ok(f"The system checks of {_PREFIX[:-1]} found no issues.", checks=len(ours))


def protectors_of_site() -> list[ResourceProtector]:
    """The protectors that guard a view, or that the setting configures."""
    has_setting = hasattr(settings, SETTING)
    return [each for each in ALL_PROTECTORS if each.is_used or (each._reads_settings and has_setting)]


def _in_use(protectors: Iterable[ResourceProtector]) -> list[ResourceProtector]:
    return [each for each in readable(protectors) if each.is_used and each.validators]


def _validators_of(protectors: Iterable[ResourceProtector]) -> list[Any]:
    """The validators of ``protectors``, each once, in a stable order."""
    return sorted(validators_of(readable(protectors)), key=name_of)


def examine_validators(protectors: Iterable[ResourceProtector]) -> Iterator[Finding]:
    """Report whether there is a validator at all."""
    names = [name_of(validator) for validator in _validators_of(protectors)]
    if names:
        yield ok(f"{', '.join(names)}.", validators=names)
    else:
        yield problem(
            "There is no token validator, or none could be built, so no token is accepted.",
            f'Set {SETTING}["VALIDATORS"], or pass validators to the ResourceProtector.',
            fault="no-validator",
        )


def name_of(validator: Any) -> str:
    """The class of a validator, and the source of its tokens."""
    if not isinstance(validator, BearerTokenValidator):
        return name_of_validator(validator)
    model = validator._model
    return f"{type(validator).__name__} of {model if isinstance(model, str) else model._meta.label}"


def examine_versions() -> Iterator[Finding]:
    """Report the versions of Python and of the packages involved."""
    versions = {"Python": platform.python_version(), **{name: _version_of(name) for name in _PACKAGES}}
    yield ok(f"{', '.join(f'{name} {version}' for name, version in versions.items())}.", **versions)


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # The package runs from a copy that was not installed.
        return "not installed"
