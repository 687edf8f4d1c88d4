"""What stands between a site and its guards: settings, servers, cache, database. Each is looked at, and judged."""

from functools import partial

from django.core.exceptions import ImproperlyConfigured

from ..conf import SETTING
from ..protector import ResourceProtector
from ..validators.model import BearerTokenValidator
from ..validators.remote import RemoteTokenValidator
from .examination import SITE, Examination, Finding, Verdict, examine
from .servers import ServerExaminer
from .site import (
    examine_checks,
    examine_urls,
    examine_validators,
    examine_versions,
    name_of,
    protectors_of_site,
    validators_of,
)
from .storage import examine_cache, examine_rows

__all__ = ["SITE", "Examination", "Finding", "Verdict", "diagnose"]


def diagnose(timeout: float | None = None) -> list[Examination]:
    """Examine all that guards the site. Calls servers; writes nothing but one entry of a minute to each cache.

    Args:
        timeout: seconds for each call to an authorization server, in place of the validators' own.

    Raises:
        ImproperlyConfigured: there is nothing to look at.
    """
    urls = examine("URLs", SITE, examine_urls)
    protectors = protectors_of_site()
    is_broken = urls[0].finding.verdict is Verdict.TROUBLE
    if not protectors and not is_broken:
        raise ImproperlyConfigured(f"There is nothing to examine: {SETTING} is not set, and nothing is guarded.")
    return [
        *examine("versions", SITE, examine_versions),
        *urls,
        *examine("settings", SITE, examine_checks),
        *examine("validators", SITE, lambda: examine_validators(protectors)),
        *_examine_caches(protectors),
        *(each for validator in validators_of(protectors) for each in _examine_validator(validator, timeout)),
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
        # Last, since it calls nobody: it looks at the answers that the others got.
        *examine("clock", name, examiner.clock),
    ]
    user_rows = validator.user_rows
    if user_rows is not None:
        examinations += examine("users", name, lambda: examine_rows(user_rows, "users"))
    return examinations


def _examine_caches(protectors: list[ResourceProtector]) -> list[Examination]:
    """One look at each cache that is used. ``None`` stands for no cache."""
    aliases: dict[str | None, bool] = {}
    for protector in protectors:
        try:
            alias, validators = protector.options.cache, protector.validators
        except ImproperlyConfigured:
            # The checks say so.
            continue
        has_remote = any(isinstance(validator, RemoteTokenValidator) for validator in validators)
        aliases[alias] = aliases.get(alias, False) or has_remote
    return [
        each
        for alias, has_remote in sorted(aliases.items(), key=lambda item: item[0] or "")
        for each in examine("cache", SITE, partial(examine_cache, alias, has_remote))
    ]
