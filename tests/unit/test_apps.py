"""What the app does when a site starts."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.test import override_settings

from async_oauth_guard import TokenValidator
from tests.site.models import OAuth2Token

LOGGER = "async_oauth_guard.settings"
JWT = "async_oauth_guard.JWTBearerTokenValidator"
MODEL = "async_oauth_guard.BearerTokenValidator"
INTROSPECTION = "async_oauth_guard.IntrospectTokenValidator"
ISSUER = "https://as.example.com"

UNUSABLE = {"COMPAT": "x", "REALM": "é", "VALIDATORS": [{"BACKEND": JWT, "OPTIONS": {"issuer": ISSUER}}, {}]}
REASONS = [
    "OAUTH_GUARD['COMPAT']: compat must be 'authlib' or None, got 'x'",
    "OAUTH_GUARD['REALM']: realm must be printable ASCII, because it is part of the challenge",
    "OAUTH_GUARD['VALIDATORS'][0]['OPTIONS']: JWTBearerTokenValidator has no audience",
    "OAUTH_GUARD['VALIDATORS'][1]['BACKEND'] must be a dotted path, got NoneType",
]


def start() -> None:
    apps.get_app_config("async_oauth_guard").ready()


def test_an_unusable_setting_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One record of level ERROR has every reason why guarded views cannot work."""
    with override_settings(OAUTH_GUARD=UNUSABLE):
        start()
    (record,) = caplog.records
    assert (record.name, record.levelno) == (LOGGER, logging.ERROR)
    assert [reason for reason in REASONS if record.getMessage().count(reason) != 1] == []


GOOD: list[dict[str, Any]] = [
    {},
    {
        "RESOURCE": "https://api.example.com",
        "CACHE": "default",
        "VALIDATORS": [
            {"BACKEND": JWT, "OPTIONS": {"issuer": ISSUER, "user_lookup": "username"}},
            {"BACKEND": INTROSPECTION, "OPTIONS": {"issuer": ISSUER, "client_id": "api", "client_secret": "x"}},
            {"BACKEND": MODEL, "OPTIONS": {"token_model": OAuth2Token._meta.label}},
        ],
    },
]


@pytest.mark.parametrize("value", GOOD)
def test_a_usable_setting_is_not_mentioned(value: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """A site that can work starts in silence."""
    with override_settings(OAUTH_GUARD=value):
        start()
    assert caplog.records == []


def test_without_the_setting(caplog: pytest.LogCaptureFixture) -> None:
    """A site without the setting starts in silence: its protectors are configured elsewhere."""
    with override_settings():
        del settings.OAUTH_GUARD
        start()
    assert caplog.records == []


class Broken(TokenValidator):
    def __init__(self) -> None:
        raise KeyError("s3cret")


def test_a_validator_that_cannot_be_built(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a validator of the site stops neither the start nor a command; the record names its class alone."""
    with override_settings(OAUTH_GUARD={"VALIDATORS": [{"BACKEND": f"{__name__}.Broken"}]}):
        start()
    (record,) = caplog.records
    assert "KeyError" in record.getMessage()
    assert "s3cret" not in record.getMessage()


def test_management_commands_leave_it_to_the_system_checks(caplog: pytest.LogCaptureFixture) -> None:
    """A process that Django's command line started logs nothing: the command runs the checks, which say the same."""
    with override_settings(OAUTH_GUARD=UNUSABLE):
        exec("start()", {"__name__": "django.core.management", "start": start})
    assert caplog.records == []


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs Python in a separate site, whose ``OAUTH_GUARD`` is the first argument."""

    def run_with(value: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
        lines = ["INSTALLED_APPS = ['async_oauth_guard']", "SECRET_KEY = 'x'", f"OAUTH_GUARD = {value!r}"]
        lines.append(f"UNUSABLE = {UNUSABLE!r}")
        (tmp_path / "settings_of_site.py").write_text("\n".join(lines), encoding="utf-8")
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "settings_of_site", "PYTHONPATH": path}
        return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=60)

    return run_with


# Two servers in two processes, of which one is a fork of the other: to import all this takes longer than the rest.
SERVERS = """
import os, sys, threading
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connections
import async_oauth_guard

other = os.fork()
if other:
    assert os.waitpid(other, 0)[1] == 0
    settings.OAUTH_GUARD = settings.UNUSABLE
get_asgi_application()
print(threading.active_count(), connections.all(initialized_only=True))
print("It has started.", file=sys.stderr)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_servers_start(run: Any) -> None:
    """A server starts in silence: no thread of the library runs and no connection to a database was opened.

    With an unusable setting, another one starts and shows each reason once, without any logging configured.
    """
    validators = [entry for entry in GOOD[1]["VALIDATORS"] if entry["BACKEND"] != MODEL]
    started = run({**GOOD[1], "VALIDATORS": validators}, "-c", SERVERS)
    assert (started.returncode, started.stdout) == (0, "1 []\n" * 2)
    silent, _, shown = started.stderr.partition("It has started.\n")
    assert silent == ""
    assert [shown.count(reason) for reason in REASONS] == [1, 1, 1, 1]


COMMANDS = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "diffsettings"])
print("It ran.", flush=True)
print("It ran.", file=sys.stderr)
execute_from_command_line(["manage.py", "check"])
"""


def test_commands_run(run: Any) -> None:
    """With an unusable setting, a command that runs no system checks works. `manage.py check` fails.

    Only the latter prints the reasons, and each of them once.
    """
    ran = run(UNUSABLE, "-c", COMMANDS)
    assert ran.returncode == 1
    assert ran.stderr.startswith("It ran.\n")
    checked = ran.stdout.partition("It ran.\n")[2] + ran.stderr
    assert [checked.count(reason) for reason in REASONS] == [1, 1, 1, 1]
