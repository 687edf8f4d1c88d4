"""The Django app: needed for the system checks alone."""

from django.apps import AppConfig

__all__ = ["AsyncOAuthGuardConfig"]


class AsyncOAuthGuardConfig(AppConfig):
    """Registers the system checks."""

    name = "async_oauth_guard"
    verbose_name = "OAuth 2 resource server"

    def ready(self) -> None:
        """Called by Django when the app registry is full."""
        from .checks import register_checks

        register_checks()
