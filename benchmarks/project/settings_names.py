"""The environment variables that name the site and the database of a child process."""

from typing import Final

DATABASE_VARIABLE: Final = "OAUTH_GUARD_BENCH_DATABASE"
AUTHORITY_VARIABLE: Final = "OAUTH_GUARD_BENCH_AUTHORITY"
SETTINGS_MODULE: Final = "benchmarks.project.settings"
