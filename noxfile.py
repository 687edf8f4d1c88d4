"""Runs the checks on every supported Python and Django. ``nox`` skips interpreters that are not installed."""

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
DJANGOS = ["5.2", "6.0", "6.1"]
# Django 6 requires Python 3.12 or newer.
VERSIONS = [(python, django) for django in DJANGOS for python in PYTHONS if django == "5.2" or python != "3.11"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check formatting and lint."""
    session.install("-e", ".[dev]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright."""
    session.install("-e", ".[dev]")
    session.run("mypy")
    session.run("pyright")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports follow the layers."""
    session.install("-e", ".[dev]")
    session.run("lint-imports")


@nox.session
@nox.parametrize(
    ("python", "django"),
    VERSIONS,
    ids=[f"python{python}-django{django}" for python, django in VERSIONS],
)
def tests(session: nox.Session, django: str) -> None:
    """Run the tests. ``nox -s tests -- -k scopes`` passes the arguments after ``--`` to pytest."""
    session.install("-e", ".[test]", f"Django~={django}.0")
    session.run("python", "-m", "pytest", *session.posargs)
