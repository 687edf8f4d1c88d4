"""``oauth_routes``: what is listed, and the exit status that a pipeline goes by."""

import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings
from django.urls import path
from django.views import View

from async_oauth_guard import BearerTokenValidator, ResourceProtector, require_oauth
from async_oauth_guard.diagnostics.review import mark_reviewed
from async_oauth_guard.diagnostics.routes import TO_GUARD
from async_oauth_guard.testing import assert_guarded
from tests.kit.test_guarded import HERE, PLANTED, Half, guarded_site, plain
from tests.site.models import OAuth2Token
from tests.sites import Urls, serving

protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
OPEN = Urls(*PLANTED)
CLOSED = Urls(path("profile/<int:pk>", protector(["profile email", "user"])(plain), name="profile"))
HEADINGS = ["PATH", "VIEW", "ASYNC", "KIND", "REQUIREMENT", "VALIDATORS", "CSRF"]


def run(*arguments: str, **options: Any) -> tuple[int, str, str]:
    """The exit status, the output, and what is said of trouble."""
    output = StringIO()
    try:
        call_command("oauth_routes", *arguments, stdout=output, **options)
    except CommandError as error:
        return error.returncode, output.getvalue(), str(error)
    return 0, output.getvalue(), ""


def cells(line: str) -> list[str]:
    """The columns of a line, which are two spaces or more apart."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_table() -> None:
    """Each route is a line of plain columns where the output is no terminal."""
    with serving(CLOSED.urlpatterns):
        status, output, trouble = run()
    lines = output.splitlines()
    assert (status, trouble, len(lines)) == (0, "", 2)
    assert cells(lines[0]) == HEADINGS
    assert cells(lines[1]) == [
        "/profile/<int:pk>",
        f"{HERE}.plain",
        "sync",
        "function",
        "profile and email, or user",
        "BearerTokenValidator",
        "exempt",
    ]


def test_requirements_of_bound_tokens_and_logins() -> None:
    """The table and the JSON show each requirement beyond scopes: binding, login and details."""
    strong = ResourceProtector(BearerTokenValidator(OAuth2Token), dpop=True)(
        "profile",
        sender_constrained=True,
        acr_values=["gold", "silver"],
        max_age=300,
        authorization_details={"type": "payment"},
    )
    with serving([path("strong", strong(plain))]):
        _, table, _ = run()
        _, document, _ = run("--json")
    requirement = json.loads(document)["routes"][0]["requirement"]
    assert requirement in table
    assert requirement == (
        "profile; sender-constrained; acr gold or silver; a login at most 300 s ago; authorization_details payment"
    )


def test_open_routes_in_the_table() -> None:
    """An open route is listed with the others, and is no trouble where nobody asks."""
    with serving([*CLOSED.urlpatterns, *PLANTED]):
        status, output, trouble = run()
    assert (status, trouble) == (0, "")
    assert cells(output.splitlines()[2]) == ["/plain", f"{HERE}.plain", "sync", "function", "unguarded", "checked"]
    assert len(output.splitlines()) == 6


def test_planted_views() -> None:
    """``--unguarded`` lists a plain, an async and a class-based view without a guard, and nothing that has one."""
    with serving([*guarded_site(), *PLANTED]):
        status, output, trouble = run("--unguarded")
    assert [cells(line)[0] for line in output.splitlines()] == ["PATH", "/plain", "/async", "/in/class", "/half"]
    assert (status, trouble) == (1, f"Unguarded routes: 4 of 21. {TO_GUARD}")


def test_nothing_unguarded() -> None:
    """Where all is guarded, or allowed, that is what is said, with the exit status for it."""
    with serving(guarded_site()):
        assert run("--unguarded") == (0, "Every route is guarded.\n", "")
    with serving([*CLOSED.urlpatterns, *PLANTED], OAUTH_GUARD={"UNGUARDED": ["*"]}):
        assert run("--unguarded") == (0, "Every route is guarded, reviewed or allowed.\n", "")


def test_reviewed_views() -> None:
    """A view that its author has reviewed is shown as that, with the reason, and is no trouble."""
    view = mark_reviewed("open price list")(Half.as_view())
    with serving([path("prices", mark_reviewed("open prices")(lambda request: None)), path("half", view)]):
        _, output, _ = run()
        assert [cells(line)[4] for line in output.splitlines()[1:]] == [
            "reviewed: open prices",
            "GET: read; POST: unguarded; reviewed: open price list",
        ]
        assert run("--unguarded") == (0, "Every route is guarded, reviewed or allowed.\n", "")
        _, output, _ = run("--json")
    assert [(route["guarded"], route["reviewed"], route["allowed"]) for route in json.loads(output)["routes"]] == [
        (False, "open prices", False),
        (False, "open price list", False),
    ]


def test_site_without_routes() -> None:
    """A site without routes has nothing to show, and no trouble."""
    with serving([]):
        assert run() == run("--unguarded") == (0, "There are no routes.\n", "")


def test_allowed() -> None:
    """The table says which routes without a guard need none."""
    with serving([*CLOSED.urlpatterns, *PLANTED], OAUTH_GUARD={"UNGUARDED": ["/plain", "/profile/*"]}):
        _, output, _ = run()
    allowed = [line.split()[0] for line in output.splitlines() if "(allowed)" in line]
    assert allowed == ["/plain"]


def test_json() -> None:
    """Machines get each route as an object, and whether the setting allows it."""
    with serving([*CLOSED.urlpatterns, *PLANTED], OAUTH_GUARD={"UNGUARDED": ["/plain"]}):
        status, output, _ = run("--json")
        routes = json.loads(output)["routes"]
        assert (status, len(routes)) == (0, 5)
        assert routes[0] == {
            "path": "/profile/<int:pk>",
            "name": "profile",
            "view": f"{HERE}.plain",
            "is_async": False,
            "kind": "function",
            "guarded": True,
            "reviewed": None,
            "requirement": "profile and email, or user",
            "validators": "BearerTokenValidator",
            "csrf_exempt": True,
            "allowed": False,
        }
        assert [(route["path"], route["allowed"]) for route in routes[1:3]] == [("/plain", True), ("/async", False)]
        status, output, trouble = run("--unguarded", "--json")
    assert [route["path"] for route in json.loads(output)["routes"]] == ["/async", "/in/class", "/half"]
    assert (status, trouble) == (1, f"Unguarded routes: 3 of 5. {TO_GUARD}")


def test_other_urlconf() -> None:
    """``--urlconf`` names another configuration than the site's."""
    with serving(PLANTED):
        assert run("--urlconf", "tests.urls") == (0, "There are no routes.\n", "")


def test_several_urlconfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated, ``--urlconf`` lists the routes of each configuration, and fails for an open route in any of them."""
    for name, patterns in (("closed_urls", CLOSED.urlpatterns), ("open_urls", PLANTED[:1])):
        module: Any = ModuleType(name)
        module.urlpatterns = patterns
        monkeypatch.setitem(sys.modules, name, module)
    with serving([]):
        _, output, _ = run("--urlconf", "closed_urls", "--urlconf", "open_urls")
        assert [cells(line)[0] for line in output.splitlines()] == ["PATH", "/profile/<int:pk>", "/plain"]
        status, _, trouble = run("--unguarded", "--urlconf", "closed_urls", "--urlconf", "open_urls")
        assert (status, trouble) == (1, f"Unguarded routes: 1 of 2. {TO_GUARD}")


def test_colours() -> None:
    """On a terminal with colors, guarded, unguarded and allowed routes look different."""
    with serving([*CLOSED.urlpatterns, *PLANTED[:2]], OAUTH_GUARD={"UNGUARDED": ["/plain"]}):
        _, output, _ = run(force_color=True)
    assert "\x1b[32;1m/profile" in output
    assert "\n/plain" in output
    assert "\x1b[31;1m/async" in output


# Trouble: one sentence, and another exit status.


def test_broken_urlconf() -> None:
    """A configuration that cannot be loaded is a sentence, and nothing is listed."""
    expected = "the URL configuration tests.nowhere cannot be loaded: ModuleNotFoundError: No module named 'tests.nowhe"
    for arguments in ([], ["--unguarded"], ["--json"]):
        status, output, trouble = run(*arguments, "--urlconf", "tests.nowhere")
        assert (status, output, trouble[: len(expected)]) == (2, "", expected)


def test_urlconf_that_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that ends the process when it is imported does not pass for one that was looked at."""

    class Urls:
        @property
        def urlpatterns(self) -> Any:
            sys.exit(0)

    with override_settings(ROOT_URLCONF=Urls()):
        status, output, trouble = run("--unguarded")
    assert (status, output) == (2, "")
    assert trouble.startswith("the URL configuration Urls cannot be loaded: SystemExit (test_oauth_routes.py, line ")


def test_guard_without_validators() -> None:
    """The routes are listed, and a guard that can let nobody in is trouble."""
    with serving([path("a", ResourceProtector()(plain))]):
        status, output, trouble = run()
    assert cells(output.splitlines()[1])[5] == "none"
    assert (status, trouble) == (2, "The guard of /a has no token validator, so it accepts no token.")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, "OAUTH_GUARD must be set, because the ready-made require_oauth reads it"),
        ({"REALM": 7}, "OAUTH_GUARD['REALM']: realm must be a string, got int"),
    ],
)
def test_wrong_setting(setting: Any, expected: str) -> None:
    """The same where the setting is wrong, or not there."""
    with override_settings(ROOT_URLCONF=Urls(path("a", require_oauth(plain))), OAUTH_GUARD=setting):
        from django.conf import settings

        if setting is None:
            del settings.OAUTH_GUARD
        status, output, trouble = run()
    assert cells(output.splitlines()[1])[5] == "?"
    assert (status, trouble) == (2, expected)


def test_wrong_list() -> None:
    """A list of allowed routes that cannot be read allows nothing, and is said before all else."""
    with serving(PLANTED, OAUTH_GUARD={"UNGUARDED": "/plain"}):
        assert run("--unguarded") == (2, "", "OAUTH_GUARD['UNGUARDED'] must be a list of patterns, got str")


# The page.

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "routes.md").read_text(encoding="utf-8")

SHOP = """
@require_oauth(["profile email", "user"])
async def profile(request): ...

async def health(request): ...

@require_oauth(optional=True)
def timeline(request): ...

class Orders(View):
    @require_oauth("orders:read")
    def get(self, request): ...
    def post(self, request): ...

@require_oauth({"GET": "stock"})
class Stock(View):
    async def get(self, request, pk): ...
"""


def shop() -> Any:
    """The site of the page."""
    views: Any = ModuleType("shop.views")
    views.require_oauth, views.View = protector, View
    exec(SHOP, vars(views))
    return serving(
        [
            path("health", views.health),
            path("profile", views.profile),
            path("timeline", views.timeline),
            path("orders", views.Orders.as_view()),
            path("stock/<int:pk>", views.Stock.as_view()),
        ]
    )


def shown_below(line: str) -> str:
    """What a block of the page shows, from the line after this one on."""
    return PAGE.partition(f"{line}\n")[2].partition("```")[0]


def test_table_of_the_page() -> None:
    """The page shows what the command prints, to the space."""
    with shop():
        status, output, _ = run()
    assert (status, output) == (0, shown_below("$ python manage.py oauth_routes"))


def test_failure_of_the_page() -> None:
    """And what the test says that fails."""
    with shop(), pytest.raises(AssertionError) as caught:
        assert_guarded()
    assert f"AssertionError: {caught.value}\n" == shown_below("```text")


ADMIN = """
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse

class Site:
    urlpatterns = []

CONTRIB = ["admin", "auth", "contenttypes", "sessions", "messages"]
MIDDLEWARE = ["sessions.middleware.Session", "auth.middleware.Authentication", "messages.middleware.Message"]
settings.configure(
    SECRET_KEY="only for this test, and as long as Django wants it to be",
    ROOT_URLCONF=Site(),
    INSTALLED_APPS=[*(f"django.contrib.{app}" for app in CONTRIB), "async_oauth_guard"],
    MIDDLEWARE=[f"django.contrib.{middleware}Middleware" for middleware in MIDDLEWARE],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]},
    }],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    OAUTH_GUARD={"UNGUARDED": sys.argv[1:]},
)
django.setup()

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.urls import path

assert {User, Group} == {*admin.site._registry}
Site.urlpatterns += [path("health", lambda request: HttpResponse()), path("admin/", admin.site.urls)]
call_command("check", fail_level="WARNING")
call_command("oauth_routes", "--unguarded")
"""


def test_patterns_of_the_page() -> None:
    """The patterns that the page gives for an example cover all of Django's admin, and none of them in vain."""
    (written,) = re.findall(r'"UNGUARDED": (\[.*\]),', PAGE)
    command = [sys.executable, "-c", ADMIN, *json.loads(written)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "System check identified no issues (0 silenced).",
        "Every route is guarded, reviewed or allowed.",
    ]
