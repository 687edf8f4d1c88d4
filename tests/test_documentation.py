"""The pages of the project: their code compiles and runs, their links lead somewhere, and nothing is left out."""

import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.management import load_command_class
from django.core.management.base import BaseCommand
from django.http import HttpResponse
from django.test import override_settings
from django.test.utils import isolate_apps
from django.urls import path as url

import async_oauth_guard
import async_oauth_guard.testing
from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    Reason,
    ResourceProtector,
    TokenValidator,
)
from async_oauth_guard.conf import GuardSettings
from async_oauth_guard.diagnostics.checks import check_settings
from async_oauth_guard.protocol.provider_profiles import PROFILES
from async_oauth_guard.protocol.requirements import parse_requirements
from demo_asgi.bound import REQUESTS as BOUND
from demo_asgi.remote import STEPS
from demo_asgi.requests import REQUESTS, DemoRequest
from tests import asgi
from tests.frameworks import (
    test_adrf,
    test_channels,
    test_guarded_consumers,
    test_moving_from_toolkit,
    test_ninja,
    test_rest_framework,
)
from tests.frameworks.rows import rows_shown_by
from tests.site.models import OAuth2Token
from tests.sites import serving

ROOT = Path(__file__).parent.parent
PACKAGE = Path(async_oauth_guard.__file__).parent
PAGES = [*sorted(ROOT.glob("docs/*.md")), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY"))]
# The changelog names what there is as well, but explains nothing.
EVERY_PAGE = [*PAGES, ROOT / "CHANGELOG.md"]
# Their blocks are files of a project, which `test_tutorial` writes and runs.
TUTORIALS = [*ROOT.glob("docs/tutorial*.md")]
COMMANDS = sorted(path.stem for path in PACKAGE.glob("management/commands/oauth_*.py"))

# A block that cannot run alone has a line `<!-- skip: reason -->` above it; it compiles all the same.
BLOCK = re.compile(r"(?:<!-- skip: (?P<skip>[^\n]+) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[re.Match[str]]:
    return BLOCK.finditer(read(page))


def words(page: Path) -> set[str]:
    """The words within code: of blocks, and between backticks."""
    return {word for code in CODE.findall(read(page)) for word in re.findall(r"[A-Za-z_][A-Za-z0-9_]*", code)}


def words_of_all() -> set[str]:
    return set().union(*map(words, PAGES))


def arguments(function: Any) -> set[str]:
    """The names by which a caller gives its arguments."""
    unnamed = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return {each.name for each in parameters if each.kind not in unnamed} - {"self", "cls"}


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.fixture
def project_of_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages import of a reader's own project, and read of its environment."""
    monkeypatch.setenv("API_SECRET", "a reader's own")
    monkeypatch.setenv("REPORT_TOKEN", "a reader's own token")
    monkeypatch.setenv("SECRET_KEY", "a reader's own, and as long as Django wants it to be")
    for name, contents in {
        "accounts": {},
        "accounts.models": {"OAuth2Token": OAuth2Token},
        "reports": {},
        "reports.urls": {"urlpatterns": []},
    }.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_blocks_compile(page: Path) -> None:
    """Every block of Python compiles."""
    for block in blocks(page):
        compile(block["code"], name_of(page), "exec")


@pytest.mark.usefixtures("project_of_a_reader")
@pytest.mark.parametrize(
    "page", [page for page in EVERY_PAGE if "```python" in read(page) and page not in TUTORIALS], ids=name_of
)
def test_blocks_run(page: Path) -> None:
    """The blocks of a page run, one after the other, and each setting that they show is fine."""
    # Models belong to the app of their module.
    names: dict[str, Any] = {"__name__": "tests.site.documentation"}
    with isolate_apps("tests.site"):
        for block in blocks(page):
            if block["skip"]:
                continue
            exec(compile(block["code"], name_of(page), "exec"), names)
            if setting := names.pop("OAUTH_GUARD", None):
                with override_settings(OAUTH_GUARD=setting):
                    assert check_settings(None) == []


@pytest.mark.parametrize(
    ("path_of_request", "root_path", "prefix"),
    [("/api/notes", "", None), ("/site/api/notes", "", "/site"), ("/site/api/notes", "/site", None)],
)
async def test_selecting_paths(path_of_request: str, root_path: str, prefix: str | None) -> None:
    """The example that selects the guarded part of a site guards a view under each path that leads to it."""
    (code,) = (block["code"] for block in blocks(ROOT / "docs/asgi.md") if "async def application(" in block["code"])
    names: dict[str, Any] = {"get_asgi_application": ASGIHandler, "require_oauth": ResourceProtector(NoToken())}
    view = url("api/notes", lambda request: HttpResponse())
    with serving([view], FORCE_SCRIPT_NAME=prefix):
        exec(compile(code, "docs/asgi.md", "exec"), names)
        answer = await asgi.request(path_of_request, application=names["application"], changes={"root_path": root_path})
        assert answer.status == 401
        assert (await asgi.request(path_of_request, changes={"root_path": root_path})).status == 200


class NoToken(TokenValidator):
    """No token is valid."""

    TOKEN_TYPE = "bearer"

    def authenticate_token(self, token_string: str) -> None:
        return None


# A literal, also as what an environment variable falls back to.
SECRET = re.compile(r"""(?:SECRET_KEY|client_secret)["']?\s*[=:]\s*["']|(?:get|getenv)\([^)\n]*SECRET\w*["']\s*,""")


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_no_secret_is_written_down(page: Path) -> None:
    """No example for a site has a secret in it, which readers would copy: secrets come from the environment."""
    examples = [block["code"] for block in blocks(page) if "FakeAuthorizationServer" not in block["code"]]
    assert [found[0] for code in examples for found in SECRET.finditer(code)] == []


SECRETS = [
    ('SECRET_KEY = "x"', True),
    ("SECRET_KEY = os.environ.get('SECRET_KEY', 'x')", True),
    ('"client_secret": os.getenv("API_SECRET", "x")', True),
    ('"client_secret": "x"', True),
    ('client_secret="x"', True),
    ('SECRET_KEY = os.environ["SECRET_KEY"]', False),
    ('"client_secret": os.environ["API_SECRET"]', False),
]


@pytest.mark.parametrize(("code", "expected"), SECRETS)
def test_secrets_are_found(code: str, expected: bool) -> None:
    """The pattern finds a literal secret, and one that an environment variable falls back to."""
    assert bool(SECRET.search(code)) == expected


def test_blocks_are_found() -> None:
    """The pattern finds every block, so none is left out by a slip of the pen."""
    for page in EVERY_PAGE:
        assert len([*blocks(page)]) == read(page).count("```python")


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_links_resolve(page: Path) -> None:
    """Every relative link leads to a file that is there, and to a heading of it."""
    for link in LINK.finditer(read(page)):
        target = page.parent / link["path"] if link["path"] else page
        assert target.exists(), link[0]
        assert link["anchor"] is None or link["anchor"] in headings(target), link[0]


def test_every_page_is_reached() -> None:
    """Every page of ``docs`` has its place in the navigation, once; links lead there from the README, page by page."""
    pages = {page.name for page in ROOT.glob("docs/*.md")}
    places = re.findall(r"^ +- .+: (\S+\.md)$", read(ROOT / "mkdocs.yml"), re.MULTILINE)
    assert len(places) == len(set(places))
    assert pages - set(places) == set()
    reached = {ROOT / "README.md"}
    for _ in PAGES:
        reached |= {target for page in reached & set(PAGES) for target in links_of(page)}
    assert {ROOT / "docs" / name for name in pages} - reached == set()


def links_of(page: Path) -> set[Path]:
    return {(page.parent / link["path"]).resolve() for link in LINK.finditer(read(page)) if link["path"]}


def test_the_readme_leads_in() -> None:
    """The README itself links where a reader begins: the front page, the tutorial, and the pages on moving over."""
    begin = {
        "index",
        "tutorial",
        "views",
        "settings",
        "errors",
        "moving-from-authlib",
        "moving-from-django-oauth-toolkit",
    }
    assert {ROOT / "docs" / f"{name}.md" for name in begin} - links_of(ROOT / "README.md") == set()


def test_every_page_of_the_front() -> None:
    """The front page leads to each how-to page, each explanation and each part of the reference, but for details."""
    details = {"fake-authorization-server", "validators", "lookups", "demo"}
    pages = {page for page in ROOT.glob("docs/*.md") if page.stem not in details | {"index"}}
    assert pages - links_of(ROOT / "docs" / "index.md") == set()


@pytest.mark.parametrize("module", [async_oauth_guard, async_oauth_guard.testing], ids=lambda module: module.__name__)
def test_public_names_are_in_the_reference(module: ModuleType) -> None:
    """The reference shows each public name with its docstring; those that are Authlib's, with a sentence of our own."""
    page = read(ROOT / "docs" / "reference.md")
    shown = re.findall(rf"^::: {re.escape(module.__name__)}\.(\w+)$", page, re.MULTILINE)
    told = set(re.findall(r"^### `(\w+)`$", page, re.MULTILINE)) & set(module.__all__)
    assert len(shown) == len(set(shown))
    assert set(shown) | told == set(module.__all__)
    assert told <= {"OAuth2Error", "token_authenticated"}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_mentioned(name: str) -> None:
    """The table of commands has each command, and some page has each of its options."""
    assert f"| `{name}` |" in read(ROOT / "docs" / "commands.md")
    assert options_of(load_command_class("async_oauth_guard", name)) - options_of(BaseCommand()) - mentioned() == set()


def options_of(command: BaseCommand) -> set[str]:
    parser = command.create_parser("manage.py", "command")
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


def mentioned() -> set[str]:
    """The options of commands within code, on any page."""
    return {option for page in PAGES for code in CODE.findall(read(page)) for option in re.findall(r"--[a-z-]+", code)}


def test_extras_are_mentioned() -> None:
    """The page of installation has each extra, those for users in its table."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = set(tomllib.load(file)["project"]["optional-dependencies"])
    page = read(ROOT / "docs" / "installation.md")
    tabled = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert tabled == {"demo", "drf", "mcp", "ninja", "otel", "testing"}
    assert extras - tabled == set(
        re.findall(r"`(\w+)`", page.partition("The extras ")[2].partition(" are for work")[0])
    )


def test_public_names_are_mentioned() -> None:
    """Each public name of the package stands on a page."""
    assert set(async_oauth_guard.__all__) - words_of_all() == set()


def test_public_methods_are_mentioned() -> None:
    """So does each public method and property of a protector that users call, of a validator, and of a token."""
    inner = {"authenticate_flow", "read_state"}
    methods = {name for cls in (TokenValidator, AccessToken) for name in vars(cls) if not name.startswith("_")}
    direct_calls = {"acquire_token", "aacquire_token", "validate_token", "avalidate_token", "invalidate", "ainvalidate"}
    others = {"protect_urls", "register_token_validator", "for_django_oauth_toolkit"}
    assert ((methods - inner) | direct_calls | others) - words_of_all() == set()


def test_hooks_are_mentioned() -> None:
    """The page of validators has each method that a subclass of a validator may define or call."""
    remote = (JWTBearerTokenValidator, IntrospectTokenValidator)
    hooks = {name for cls in remote for name in (*cls._sharing_hooks, *cls._async_variants)}
    hooks |= {"authenticate_token", "validate_token", "validate_request", "scope_insufficient", "cache_identity"}
    assert hooks - words(ROOT / "docs" / "validators.md") == set()


def test_settings_are_mentioned() -> None:
    """The page of settings has every key, and the argument of each that a protector has too."""
    keys = set(GuardSettings.KEYS)
    lower = {key.lower() for key in keys} & arguments(ResourceProtector.__init__)
    assert (keys | lower) - words(ROOT / "docs" / "settings.md") == set()


def test_arguments_are_mentioned() -> None:
    """The settings page has the arguments of protectors and validators. The scopes page has those of the decorator."""
    settings, scopes = words(ROOT / "docs" / "settings.md"), words(ROOT / "docs" / "scopes.md")
    assert arguments(ResourceProtector.__init__) - settings == set()
    for validator in (BearerTokenValidator, JWTBearerTokenValidator, IntrospectTokenValidator):
        assert arguments(validator) - settings == set()
    assert arguments(TokenValidator.__init__) - words(ROOT / "docs" / "validators.md") == set()
    asked = arguments(ResourceProtector.__call__) | arguments(parse_requirements)
    assert asked | {"groups", "roles", "entitlements"} <= scopes | words(ROOT / "docs" / "views.md")


@pytest.mark.parametrize(
    ("heading", "validator"),
    [
        ("Database tokens", BearerTokenValidator),
        ("JWTs", JWTBearerTokenValidator),
        ("Introspection", IntrospectTokenValidator),
    ],
)
def test_tables_of_options(heading: str, validator: type) -> None:
    """Each validator's table has its options, all of them and no other, and the defaults that can be written down."""
    section = read(ROOT / "docs" / "settings.md").partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (`[^|]*) \|([^|]*)\|", section, re.MULTILINE)
    options = {name: default.strip() for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(options) == arguments(validator)
    for name, parameter in inspect.signature(validator).parameters.items():
        if isinstance(parameter.default, str | int | float) and options[name]:
            written = f'"{parameter.default}"' if isinstance(parameter.default, str) else repr(parameter.default)
            assert options[name] == f"`{written}`"


def test_profiles_are_mentioned() -> None:
    """The page of providers has each profile."""
    assert {f'`"{name}"`' for name in PROFILES if f'`"{name}"`' not in read(ROOT / "docs" / "providers.md")} == set()


def test_checks_are_mentioned() -> None:
    """The page of system checks has every id, and no other."""
    ids = {
        each
        for module in PACKAGE.rglob("*.py")
        for each in re.findall(r'id="async_oauth_guard\.([EW]\d{3})"', read(module))
    }
    assert set(re.findall(r"`async_oauth_guard\.([EW]\d{3})`", read(ROOT / "docs" / "checks.md"))) == ids


def test_reasons_are_mentioned() -> None:
    """The page of errors has one row for every reason, and for nothing else."""
    tables = read(ROOT / "docs" / "errors.md").partition("\n## Exceptions and reasons")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE)) == sorted(Reason)


def test_loggers_are_mentioned() -> None:
    """The page of errors has each logger that says something, with the level of what it says."""
    # Named where it is said, or chosen before.
    level_said = re.compile(r"logs\.write\(\s*_?logger, logging\.([A-Z]+),|return logging\.([A-Z]+)$", re.MULTILINE)
    said = {
        (name_of_logger(module), (found[1] or found[2]).lower())
        for module in PACKAGE.rglob("*.py")
        for found in level_said.finditer(read(module))
    }
    listed = re.findall(r"^\| `(async_oauth_guard\.\w+)` \| (\w+) \|", read(ROOT / "docs" / "errors.md"), re.MULTILINE)
    assert set(listed) == said


def name_of_logger(module: Path) -> str:
    written = re.search(r"getLogger\((.+?)\)", read(module))
    assert written is not None
    dotted = ".".join(module.relative_to(PACKAGE.parent).with_suffix("").parts)
    return dotted if written[1] == "__name__" else written[1].strip('"')


def test_the_tour_is_counted() -> None:
    """The README says how many requests the tour of the demo sends."""
    requests = [step for step in (*REQUESTS, *BOUND, *STEPS) if isinstance(step, DemoRequest)]
    assert f"sends {len(requests)} requests" in read(ROOT / "README.md")


def test_the_two_commands() -> None:
    """The README's commands for the demo and for the tests stand there, each once, as CI reads them."""
    commands = re.findall(r"^python3 -m venv .* -m (\w+)$", read(ROOT / "README.md"), re.MULTILINE)
    assert commands == ["demo_asgi", "pytest"]


def test_the_quickstart_shows_each_validator() -> None:
    """The quickstart has every kind of validator in its setting."""
    path = read(ROOT / "docs" / "quickstart.md")
    assert set(re.findall(r'"async_oauth_guard\.(\w+)"', path)) == {
        validator.__name__ for validator in (BearerTokenValidator, JWTBearerTokenValidator, IntrospectTokenValidator)
    }


def test_the_map_is_complete() -> None:
    """The map in CONTRIBUTING has one line for each package, and for nothing else."""
    packages = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    table = read(ROOT / "CONTRIBUTING.md").partition("\n## Where things are\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(packages - {"__init__"})


def test_the_files_of_contributing_exist() -> None:
    """Every file that CONTRIBUTING names exists, in the package or next to it; in the picture, in the package named."""
    page = read(ROOT / "CONTRIBUTING.md")
    files = set(re.findall(r"`([\w/]+\.(?:py|md|toml))`", page)) - {"manage.py"}
    picture = page.partition("```text\n")[2].partition("```")[0]
    for line in re.findall(r"^\w+ .*", picture, re.MULTILINE):
        files |= {f"{line.split()[0]}/{name}" for name in re.findall(r"\w+\.py", line)}
    assert len(files) > 20
    assert {name for name in files if not (PACKAGE / name).exists() and not (ROOT / name).exists()} == set()


def test_the_functions_of_contributing_exist() -> None:
    """Every function and class that CONTRIBUTING names is defined in the package."""
    page = read(ROOT / "CONTRIBUTING.md")
    defined = {
        name
        for module in PACKAGE.rglob("*.py")
        for name in re.findall(r"^ *(?:async )?(?:def|class) (\w+)", read(module), re.MULTILINE)
    }
    functions = set(re.findall(r"\b(\w+)\(\)", page))
    classes = set(re.findall(r"`([A-Z][a-z]\w*)`", page)) - {"None"}
    assert len(functions) > 15
    assert (functions | classes) - defined == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_of_modules_exist(page: Path) -> None:
    """Every dotted path of the package that a page names can be imported, unless it is a logger or a check's id."""
    others = re.findall(r"^\| `async_oauth_guard\.(\w+)` \|", read(ROOT / "docs" / "errors.md"), re.MULTILINE)
    for path in set(re.findall(r"\basync_oauth_guard((?:\.\w+)+)", read(page))):
        first = path.split(".")[1]
        if first not in others and not re.fullmatch(r"[EW]\d{3}", first):
            pkgutil.resolve_name(f"async_oauth_guard{path}")


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_tables_are_whole(page: Path) -> None:
    """Every row of a table has as many cells as its head."""
    width = 0
    for line in read(page).splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line)))
        assert cells == (width or cells), line
        width = cells


@pytest.mark.parametrize(
    ("name", "heading", "tests"),
    [
        ("frameworks", "Django REST framework", test_rest_framework),
        ("frameworks", "adrf", test_adrf),
        ("ninja", "With `require_oauth`", test_ninja),
        ("frameworks", "Channels", test_channels),
        ("channels", "In a consumer", test_guarded_consumers),
        ("rest-framework", "What differs", test_moving_from_toolkit),
    ],
)
def test_each_row_about_a_framework_is_a_test(name: str, heading: str, tests: ModuleType) -> None:
    """The rows of the tables about a framework are those that its tests show, in their order."""
    page = read(ROOT / "docs" / f"{name}.md")
    [(_, section)] = re.findall(rf"^(###?) {heading}\n(.*?)(?=^## |^\1 |\Z)", page, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| (.+?) \| .+ \|$", section, re.MULTILINE)
    assert [row for row in rows if row not in ("Guard", "Case", "Situation")] == rows_shown_by(tests)
