"""Describes the machine and the versions, for the results."""

import importlib.metadata
import os
import pathlib
import platform
from typing import Final

DISTRIBUTIONS: Final = ("Django", "Authlib", "django-oauth-toolkit", "asgiref", "uvicorn", "uvloop", "httptools")
DRIVERS: Final = ("psycopg", "psycopg-pool")


def describe() -> list[str]:
    return [
        f"Machine: {processor()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB",
        f"System: {platform.system()} {platform.release()}",
        f"Load average at the start: {load_average()}",
        f"Versions: {platform.python_implementation()} {platform.python_version()}, {versions(DISTRIBUTIONS)}",
    ]


def processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]} ({platform.machine()})" if models else platform.machine()


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def load_average() -> str:
    return ", ".join(f"{value:.2f}" for value in os.getloadavg())


def versions(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
