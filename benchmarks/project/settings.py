"""Settings of the measured site; the database comes from the process that starts it."""

import json
import os

from .settings_names import AUTHORITY_VARIABLE, DATABASE_VARIABLE

DATABASES = {"default": json.loads(os.environ[DATABASE_VARIABLE])}

if DATABASES["default"]["ENGINE"] == "django.db.backends.mysql":
    import pymysql  # type: ignore[import-untyped,unused-ignore]

    # Django asks for a mysqlclient of at least 2.2.1 and reads the version from whatever is installed under its name.
    pymysql.version_info = (2, 2, 8, "final", 0)
    pymysql.install_as_MySQLdb()

DEBUG = False
SECRET_KEY = "a key for benchmarks only"
ALLOWED_HOSTS = ["127.0.0.1"]
# Tokens of the database, or those that an authorization server vouches for.
ROOT_URLCONF = f"benchmarks.project.{'remote_urls' if AUTHORITY_VARIABLE in os.environ else 'urls'}"
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
