"""Django settings of the demo."""

import logging
import os

from django.core.management.utils import get_random_secret_key

# Nothing that is signed outlives the process, so no key is kept in a file that somebody might copy.
SECRET_KEY = get_random_secret_key()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("DEMO_ASGI_ALLOWED_HOSTS", "localhost 127.0.0.1 [::1]").split()

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "async_oauth_guard",  # for its system checks; the guard works without being named here
    "demo_asgi",
]

# What most sites have. The guard needs none of it and minds none of it.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

ROOT_URLCONF = "demo_asgi.urls"
ASGI_APPLICATION = "demo_asgi.asgi.application"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_ASGI_DATABASE", "demo_asgi.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The authorization server beside this site: whose tokens, other than those in the database, are taken.
ISSUER = os.environ.get("DEMO_ASGI_ISSUER", "http://127.0.0.1:8001")

OAUTH_GUARD = {
    "REALM": "demo",
    "VALIDATORS": [
        {
            "BACKEND": "async_oauth_guard.BearerTokenValidator",
            "OPTIONS": {"token_model": "demo_asgi.OAuth2Token"},
        },
    ],
}


def is_no_outage(record: logging.LogRecord) -> bool:
    """Whether it is about something other than a 503: of those, the guard itself says more, and once."""
    return getattr(record, "status_code", None) != 503


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"no_outages": {"()": "django.utils.log.CallbackFilter", "callback": is_no_outage}},
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # At WARNING Django logs every refusal: half of what this site is for.
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["no_outages"]},
        "django.security.csrf": {"level": "ERROR"},
    },
}
