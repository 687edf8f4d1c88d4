"""Django settings of the authorization server."""

import logging
import os

from django.core.management.utils import get_random_secret_key

SECRET_KEY = get_random_secret_key()
DEBUG = False
# It is for this machine alone: `http`, known secrets.
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

# What stands as `iss` in its tokens, and where it is to be found.
ISSUER = os.environ.get("DEMO_AUTHORITY_ISSUER", "http://127.0.0.1:8001")

INSTALLED_APPS = ["demo_asgi.authority"]
# Clients bring their credentials themselves with every request: no sessions, so nothing for a CSRF check to protect.
MIDDLEWARE = ["demo_asgi.authority.faults.fault_middleware", "django.middleware.common.CommonMiddleware"]

ROOT_URLCONF = "demo_asgi.authority.urls"
ASGI_APPLICATION = "demo_asgi.authority.asgi.application"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_AUTHORITY_DATABASE", "demo_asgi.authority.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def is_no_fault(record: logging.LogRecord) -> bool:
    """Whether it is about something other than a 503: those are wanted, see `faults`."""
    return getattr(record, "status_code", None) != 503


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"no_faults": {"()": "django.utils.log.CallbackFilter", "callback": is_no_fault}},
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # At WARNING Django logs every refusal, and some are part of the tour.
    "loggers": {"django.request": {"level": "ERROR", "filters": ["no_faults"]}},
}
