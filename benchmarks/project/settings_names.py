"""The names of the settings that tell a child process which site and which database to use."""

from typing import Final

DATABASE_VARIABLE: Final = "OAUTH_GUARD_BENCH_DATABASE"
AUTHORITY_VARIABLE: Final = "OAUTH_GUARD_BENCH_AUTHORITY"
SETTINGS_MODULE: Final = "benchmarks.project.settings"
