"""Django settings of the demo."""

import logging
import os

from django.core.management.utils import get_random_secret_key

# No signature is needed after the process ends, so the key is not stored in a file.
SECRET_KEY = get_random_secret_key()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("DEMO_ASGI_ALLOWED_HOSTS", "localhost 127.0.0.1 [::1]").split()

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "async_oauth_guard",  # for its system checks; the guard works without it
    "demo_asgi",
]

# Most sites have this middleware. The guard does not need it.
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

# The authorization server of this site. Its tokens are accepted in addition to those in the database.
ISSUER = os.environ.get("DEMO_ASGI_ISSUER", "http://127.0.0.1:8001")

# The origin of this site. Clients make their DPoP proofs for it.
ORIGIN = os.environ.get("DEMO_ASGI_ORIGIN", "http://127.0.0.1:8000")

# One process serves this site, so its own memory of used proofs is enough.
SILENCED_SYSTEM_CHECKS = ["async_oauth_guard.W020"]

OAUTH_GUARD = {
    "REALM": "demo",
    "VALIDATORS": [
        {
            "BACKEND": "async_oauth_guard.BearerTokenValidator",
            "OPTIONS": {"token_model": "demo_asgi.OAuth2Token"},
        },
    ],
}


def is_not_503(record: logging.LogRecord) -> bool:
    """Whether the record is not about a 503. The guard itself logs outages, in more detail and only once."""
    return getattr(record, "status_code", None) != 503


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"not_503": {"()": "django.utils.log.CallbackFilter", "callback": is_not_503}},
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # At WARNING, Django logs every refusal, and this site has many.
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["not_503"]},
        "django.security.csrf": {"level": "ERROR"},
    },
}
