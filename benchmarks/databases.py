"""The databases of the benchmark. They are created for a run, and dropped after it."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .project.settings_names import DATABASE_VARIABLE

NAME: Final = "oauth_guard_bench"
CONNECT_TIMEOUT: Final = 5


class DatabaseUnavailable(Exception):
    """The database cannot be used. The text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Database:
    """A new database. ``connections`` returns how many connections to it are open."""

    label: str
    settings: dict[str, Any]
    version: str
    connections: Callable[[], int] | None = None

    @property
    def variables(self) -> Mapping[str, str]:
        return {DATABASE_VARIABLE: json.dumps(self.settings)}


@contextlib.contextmanager
def sqlite() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix=f"{NAME}_") as folder:
        path = pathlib.Path(folder) / "bench.sqlite3"
        yield Database(
            label="sqlite",
            settings={"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)},
            version=f"SQLite {sqlite3.sqlite_version}",
        )


@contextlib.contextmanager
def postgres(pool: bool = False) -> Iterator[Database]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    url = os.environ.get("OAUTH_GUARD_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/postgres")
    parts: dict[str, Any] = dict(conninfo_to_dict(url))
    try:
        admin = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"PostgreSQL does not respond (OAUTH_GUARD_TEST_POSTGRES): {error}") from error

    def count() -> int:
        row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [NAME]).fetchone()
        return int(row[0]) if row else 0

    with admin:
        if count():
            raise DatabaseUnavailable(f"another run is using the database {NAME}")
        row = admin.execute("SHOW server_version").fetchone()
        admin.execute(f"DROP DATABASE IF EXISTS {NAME}")
        admin.execute(f"CREATE DATABASE {NAME}")
        try:
            yield Database(
                label="postgres-pool" if pool else "postgres",
                settings=postgres_settings(parts, pool),
                version=f"PostgreSQL {row[0] if row else '?'}",
                connections=count,
            )
        finally:
            admin.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def postgres_settings(parts: dict[str, Any], pool: bool) -> dict[str, Any]:
    own = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    options = {name: value for name, value in parts.items() if name not in own and name != "dbname"}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": NAME,
        **{own[name]: str(value) for name, value in parts.items() if name in own},
        "OPTIONS": {**options, "pool": True} if pool else options,
    }


DATABASES: Final[dict[str, Callable[[], contextlib.AbstractContextManager[Database]]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "postgres-pool": functools.partial(postgres, pool=True),
}
