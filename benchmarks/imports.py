"""A part: what it costs a process to import the package, next to Authlib's part with the same abilities."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import report
from .budgets import Row
from .figures import Spread, paired_ratios
from .parts import Measured, Plan
from .sites import Site

# By contender: what a site imports. Authlib's JWTs and introspection are in modules of their own.
CONTENDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "async_oauth_guard": ("async_oauth_guard",),
    "Authlib, rows alone": ("authlib.integrations.django_oauth2",),
    "Authlib, all three": (
        "authlib.integrations.django_oauth2",
        "authlib.oauth2.rfc9068",
        "authlib.oauth2.rfc7662",
        "requests",  # with which introspection is done, as Authlib's documentation has it
    ),
}
OURS, THEIRS = "async_oauth_guard", "Authlib, all three"
EXTRAS: Final = ("opentelemetry", "pytest")

# Into a process where Django is set up already, as in any that serves: its own time is not counted.
_PROGRAM: Final = """
import importlib, json, sys, time
from django.conf import settings
settings.configure()
import django
django.setup()
import django.contrib.auth, django.core.handlers.asgi, django.db.models, django.http, django.urls, django.views
before, began = set(sys.modules), time.perf_counter()
for name in sys.argv[1].split():
    importlib.import_module(name)
took = time.perf_counter() - began
print(json.dumps({"milliseconds": took * 1e3, "modules": sorted(set(sys.modules) - before)}))
"""


def measure(site: Site, rows: Sequence[Row], plan: Plan) -> Measured:
    print("importing", file=sys.stderr)
    for modules in CONTENDERS.values():
        # The first compiles and reads from the disk what the others find ready.
        import_apart(modules)
    imported: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for _ in range(plan.repeats):
        # One after the other within a round, so that what slows a round down slows them all.
        for name, modules in CONTENDERS.items():
            imported[name].append(import_apart(modules))
    lines = [
        "",
        "### Importing",
        "",
        f"{plan.repeats} processes for each, in turn, each with Django already imported.",
        "",
        *report.table(["imported", "ms", "modules", "extras loaded"], [row(name, imported[name]) for name in imported]),
    ]
    return Measured({each.name: ratio(imported) for each in rows}, lines)


def import_apart(modules: tuple[str, ...]) -> dict[str, Any]:
    """Import them in a separate process. Returns what it loaded, and how long that took."""
    program = [sys.executable, "-c", _PROGRAM, " ".join(modules)]
    # An installed package is compiled once, and so are these.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    answer = subprocess.run(program, check=True, capture_output=True, text=True, env=environment).stdout
    imported: dict[str, Any] = json.loads(answer)
    return imported


def row(name: str, processes: list[dict[str, Any]]) -> list[str]:
    modules = processes[0]["modules"]
    extras = sorted({module.partition(".")[0] for module in modules} & set(EXTRAS))
    return [
        name,
        report.spread(Spread.of(milliseconds(processes)), 0),
        str(len(modules)),
        ", ".join(extras) or "none",
    ]


def milliseconds(processes: list[dict[str, Any]]) -> list[float]:
    return [process["milliseconds"] for process in processes]


def ratio(imported: Mapping[str, list[dict[str, Any]]]) -> Spread:
    return paired_ratios(milliseconds(imported[OURS]), milliseconds(imported[THEIRS]))
