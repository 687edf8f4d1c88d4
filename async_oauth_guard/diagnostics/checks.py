"""The system checks of the setting, protectors and validators, for ``manage.py check``. Each message has a hint."""

import logging
from collections.abc import Iterable, Sequence
from traceback import walk_stack
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags
from django.core.exceptions import ImproperlyConfigured

from ..conf import SETTING, GuardSettings
from ..guard.protector import ALL_PROTECTORS
from ..protocol import logs
from ..protocol.challenges import UnfitParameterError
from ..validators.client_certificates import MissingTrustedProxiesError
from ..validators.django_oauth_toolkit import ToolkitTokenValidator
from .protector_checks import metadata_messages, missing_validators, protector_messages
from .routes import import_urls
from .url_checks import check_site
from .validator_checks import checksum_messages, validator_messages
from .validator_names import readable, validators_of

__all__ = ["check_guards", "check_settings", "check_toolkit_rows", "log_setting_errors", "register_checks"]

_logger = logging.getLogger("async_oauth_guard.settings")


def register_checks() -> None:
    """Register all system checks of this app with Django."""
    checks.register(check_settings, Tags.security)
    checks.register(check_guards, Tags.security)
    checks.register(check_site, Tags.security)
    checks.register(check_toolkit_rows, Tags.database)


def log_setting_errors() -> None:
    """Log all errors in the setting in one record when a server starts, because servers run no system checks."""
    if _is_run_by_a_command():
        # Commands run the system checks, which report the same errors.
        return
    try:
        reasons = [message.msg for message in check_settings(None)]
    except Exception as error:
        # A bug in the site's own validator. The first request raises it again. Its message may contain a secret.
        reasons = [f"{type(error).__name__} was raised while reading the setting: `manage.py check` shows where."]
    if reasons:
        message = "OAUTH_GUARD has errors. Guarded views may respond with status 500 until you correct them:\n%s"
        logs.write(_logger, logging.ERROR, message, "\n".join(f"- {reason}" for reason in reasons))


def _is_run_by_a_command() -> bool:
    return any(frame.f_globals.get("__name__") == "django.core.management" for frame, _ in walk_stack(None))


def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the setting (E002, E004, E007).

    E002: it has an unknown key or an invalid value. E004: a value is not allowed in a challenge. E007: any client could
    send the header with its certificate.
    """
    if not hasattr(settings, SETTING):
        return []
    return [_setting_error(fault) for fault in GuardSettings().faults()]


def _setting_error(error: ImproperlyConfigured) -> CheckMessage:
    if isinstance(error.__cause__, UnfitParameterError):
        hint = (
            "Use printable ASCII, and none of the names realm, scope, error, error_description, error_uri, algs, "
            "acr_values, max_age, which the guard writes itself, or, with METADATA, resource_metadata."
        )
        return Error(str(error), hint=hint, id="async_oauth_guard.E004")
    if isinstance(error.__cause__, MissingTrustedProxiesError):
        hint = "Name the addresses or networks of your proxies, or 'unix', after making sure that they overwrite it."
        return Error(str(error), hint=hint, id="async_oauth_guard.E007")
    return Error(str(error), hint=f"Correct {SETTING} in the settings.", id="async_oauth_guard.E002")


def check_guards(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check protectors and validators. See `protector_checks` and `validator_checks`."""
    has_urls = _import_views()
    protectors = readable(ALL_PROTECTORS)
    return [
        *missing_validators(ALL_PROTECTORS),
        *protector_messages(protectors),
        *(message for validator in validators_of(protectors) for message in validator_messages(validator)),
        *(message for protector in protectors if has_urls for message in metadata_messages(protector)),
    ]


def _import_views() -> bool:
    """Whether the URL configuration can be loaded. Views are guarded when their modules are imported."""
    try:
        import_urls()
    except ImproperlyConfigured:
        # Django itself reports this.
        return False
    return True


def check_toolkit_rows(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check django-oauth-toolkit's rows (W002). ``check --database`` and ``migrate`` run this."""
    return [
        message
        for validator in validators_of(readable(ALL_PROTECTORS))
        if isinstance(validator, ToolkitTokenValidator)
        for alias in databases or ()
        for message in checksum_messages(validator, alias)
    ]
