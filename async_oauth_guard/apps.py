"""The Django app. It registers the system checks, and logs invalid settings when a server starts."""

from django.apps import AppConfig

__all__ = ["AsyncOAuthGuardConfig"]


class AsyncOAuthGuardConfig(AppConfig):
    """Registers the system checks and logs invalid settings."""

    name = "async_oauth_guard"
    verbose_name = "OAuth 2 resource server"

    def ready(self) -> None:
        """Django calls this when all apps are loaded."""
        from .diagnostics.checks import log_setting_errors, register_checks

        register_checks()
        log_setting_errors()
