"""A part: the time to import the package, compared with Authlib's modules for the same features."""

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

# What a site imports. Authlib has separate modules for JWTs and introspection.
CONTENDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "async_oauth_guard": ("async_oauth_guard",),
    "Authlib, rows alone": ("authlib.integrations.django_oauth2",),
    "Authlib, all three": (
        "authlib.integrations.django_oauth2",
        "authlib.oauth2.rfc9068",
        "authlib.oauth2.rfc7662",
        "requests",  # Authlib's documentation uses it for introspection
    ),
}
PACKAGE, AUTHLIB = "async_oauth_guard", "Authlib, all three"
EXTRAS: Final = ("opentelemetry", "pytest")

# The process sets Django up first, as every site does. That time is not counted.
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
        # The first import compiles the modules and reads them from the disk.
        import_in_new_process(modules)
    imported: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for _ in range(plan.repeats):
        # Import all of them in each round, so that other load affects all of them.
        for name, modules in CONTENDERS.items():
            imported[name].append(import_in_new_process(modules))
    lines = report.subsection(
        "Importing",
        f"{plan.repeats} processes for each, in turn, each with Django already imported.",
        "",
        *report.table(["imported", "ms", "modules", "extras loaded"], [row(name, imported[name]) for name in imported]),
    )
    return Measured({"imports": ratio(imported)}, lines)


def import_in_new_process(modules: tuple[str, ...]) -> dict[str, Any]:
    """Import modules in a separate process. Return the loaded modules and the time."""
    program = [sys.executable, "-c", _PROGRAM, " ".join(modules)]
    # Let Python keep compiled modules, as for installed packages.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    output = subprocess.run(program, check=True, capture_output=True, text=True, env=environment).stdout
    imported: dict[str, Any] = json.loads(output)
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
    return paired_ratios(milliseconds(imported[PACKAGE]), milliseconds(imported[AUTHLIB]))
