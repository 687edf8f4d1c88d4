"""Django settings of the MCP demo. They name no database: its tokens are JWTs."""

import os

from django.core.management.utils import get_random_secret_key

ISSUER = os.environ["DEMO_MCP_ISSUER"]
ORIGIN = os.environ["DEMO_MCP_ORIGIN"]

SECRET_KEY = get_random_secret_key()
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["async_oauth_guard"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF = "demo_asgi.mcp.urls"

OAUTH_GUARD = {
    "REALM": "notes",
    # The URL of the MCP server, or a part of it that ends before a slash: both servers are below it.
    "RESOURCE": f"{ORIGIN}/mcp",
    # The document lists the scopes of guarded views. No view shows the scope that one tool needs in addition.
    "METADATA": {"scopes_supported": ["notes:read", "notes:write"]},
    "VALIDATORS": [
        {"BACKEND": "async_oauth_guard.JWTBearerTokenValidator", "OPTIONS": {"issuer": ISSUER}},
    ],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    # At WARNING, Django logs every refusal.
    "loggers": {"django.request": {"level": "ERROR"}},
}
