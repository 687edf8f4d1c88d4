"""Settings of the measured site. The process that starts it names the database."""

import json
import os

from .settings_names import DATABASE_VARIABLE

DATABASES = {"default": json.loads(os.environ[DATABASE_VARIABLE])}

DEBUG = False
SECRET_KEY = "a key for benchmarks only"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.project.urls"
MIDDLEWARE: list[str] = []
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "oauth2_provider",
    "benchmarks.project",
]

OAUTH2_PROVIDER = {"SCOPES": {"profile": "Read the profile", "email": "Read the address"}}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "ERROR"}},
    "root": {"handlers": ["stderr"], "level": "ERROR"},
    "loggers": {"django": {"handlers": [], "level": "ERROR", "propagate": True}},
}
