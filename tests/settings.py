"""Django settings of the test-suite.

``OAUTH_GUARD_TEST_DATABASE`` names the database of the run: ``sqlite`` (the default), ``postgres``, ``postgres-pool``
or ``mariadb``. ``OAUTH_GUARD_TEST_POSTGRES`` and ``OAUTH_GUARD_TEST_MARIADB`` are URLs of the servers; without them,
the standard local ports. A server process that a test starts gets the name of that test's own database, see
`tests.servers`.
"""

import os

from tests import databases

# Tests make many APIs with the same name, which old releases of Django Ninja allow only with this.
os.environ.setdefault("NINJA_SKIP_REGISTRY", "yes")

SECRET_KEY = "only for tests, and as long as Django wants it to be"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
USE_TZ = True
ROOT_URLCONF = os.environ.get("OAUTH_GUARD_TEST_URLCONF", "tests.urls")
MIDDLEWARE: list[str] = []
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "oauth2_provider",
    "async_oauth_guard",
    "tests.site",
]
# Tables are made from the models: quicker, and the tests' own models need no migrations.
MIGRATION_MODULES = dict.fromkeys(["contenttypes", "auth", "sessions", "oauth2_provider", "site"])

DATABASES = databases.settings(os.environ.get("OAUTH_GUARD_TEST_DATABASE", "sqlite"))

OAUTH_GUARD = {
    "REALM": "api",
    "VALIDATORS": [
        {"BACKEND": "async_oauth_guard.BearerTokenValidator", "OPTIONS": {"token_model": "site.OAuth2Token"}},
    ],
}
