"""The databases that tests run on: Django's settings for them, and whether their servers answer."""

import atexit
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

STANDARD_URLS = {
    "postgres": "postgres://postgres@127.0.0.1:5432/postgres",
    "mariadb": "mysql://root@127.0.0.1:3306/test",
}
URL_VARIABLES = {"postgres": "OAUTH_GUARD_TEST_POSTGRES", "mariadb": "OAUTH_GUARD_TEST_MARIADB"}
NAME_VARIABLE = "OAUTH_GUARD_TEST_DATABASE_NAME_{alias}"


def settings(database: str) -> dict[str, dict[str, Any]]:
    """Django's ``DATABASES``: ``database`` as the default, and a second one for whatever names or routes to it."""
    makers = {"sqlite": _sqlite, "postgres": _postgres, "postgres-pool": _postgres_pool, "mariadb": _mariadb}
    if database not in makers:
        raise ValueError(f"OAUTH_GUARD_TEST_DATABASE is {database!r}, not one of {', '.join(makers)}")
    return {alias: _named(alias, makers[database]()) for alias in ("default", "other")}


def service_url(service: str) -> str:
    """Where the server of ``service`` is said to be."""
    return os.environ.get(URL_VARIABLES[service]) or STANDARD_URLS[service]


def why_unreachable(service: str) -> str | None:
    """The reason why the server of ``service`` cannot be used, or ``None``."""
    parts = urlsplit(service_url(service))
    host, port = parts.hostname, parts.port
    try:
        # Both drivers belong to an extra; without one, its server might as well not be there.
        if service == "postgres":
            import psycopg

            psycopg.connect(service_url(service), connect_timeout=3).close()
        else:
            import pymysql

            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            pymysql.connect(host=host, port=port or 3306, user=user, password=password, connect_timeout=3).close()
    except Exception as error:
        return f"no {service} at {host}:{port} ({type(error).__name__}); {URL_VARIABLES[service]} may hold its URL"
    return None


def name_variables(names: dict[str, str]) -> dict[str, str]:
    """The environment that makes another process use the databases called ``names``, which maps aliases to them."""
    return {NAME_VARIABLE.format(alias=alias.upper()): name for alias, name in names.items()}


def _named(alias: str, database: dict[str, Any]) -> dict[str, Any]:
    existing = os.environ.get(NAME_VARIABLE.format(alias=alias.upper()))
    if existing:
        return database | {"NAME": existing}
    # The process id keeps runs that take place at once apart.
    name = f"test_oauth_guard_{os.getpid()}_{alias}"
    if database["ENGINE"].endswith("sqlite3"):
        # A file, since each thread has its own connection, and other processes are to see it.
        name = str(_folder() / f"{name}.sqlite3")
        database = database | {"NAME": name}
    return database | {"TEST": {"NAME": name}}


def _folder() -> Path:
    global _temporary
    if _temporary is None:
        _temporary = tempfile.TemporaryDirectory(prefix="oauth-guard-tests-")
        atexit.register(_temporary.cleanup)
    return Path(_temporary.name)


_temporary: tempfile.TemporaryDirectory[str] | None = None


def _sqlite() -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "OPTIONS": {"timeout": 10, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"},
    }


def _postgres() -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.postgresql"} | _server("postgres")


def _postgres_pool() -> dict[str, Any]:
    return _postgres() | {"OPTIONS": {"pool": {"min_size": 1, "max_size": 8, "timeout": 5}}}


def _mariadb() -> dict[str, Any]:
    import pymysql

    # Django asks for a recent mysqlclient by name and number; PyMySQL does the same work.
    pymysql.version_info = (2, 2, 8, "final", 0)
    pymysql.install_as_MySQLdb()
    return {"ENGINE": "django.db.backends.mysql"} | _server("mariadb")


def _server(service: str) -> dict[str, Any]:
    parts = urlsplit(service_url(service))
    return {
        "NAME": parts.path.strip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port or "",
    }
