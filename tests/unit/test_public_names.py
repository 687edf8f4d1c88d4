"""What is public, and what importing it takes."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import async_oauth_guard

HERE = Path(async_oauth_guard.__file__).parent
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(async_oauth_guard.__path__, prefix="async_oauth_guard.")
)
EMPTY = {
    f"async_oauth_guard.{name}"
    for name in (
        "authorization_server",
        "contrib",
        "diagnostics",
        "guard",
        "guard.asgi",
        "management",
        "management.commands",
        "protocol",
        "runtime",
        "runtime.database",
        "validators",
    )
}

PROMISED = {
    "AccessDeniedError",
    "AccessToken",
    "AuthenticatedRequest",
    "BearerTokenValidator",
    "GuardError",
    "HookError",
    "InsufficientScopeError",
    "InsufficientUserAuthenticationError",
    "InvalidDPoPProofError",
    "UseDPoPNonceError",
    "DPoP",
    "IntrospectTokenValidator",
    "InvalidRequestError",
    "InvalidTokenError",
    "JWTBearerTokenValidator",
    "MissingAuthorizationError",
    "MutualTLS",
    "OAuth2Error",
    "ProtectedResourceMixin",
    "Reason",
    "ResourceProtector",
    "TemporarilyUnavailableError",
    "TokenValidator",
    "UnsupportedTokenTypeError",
    "render_json",
    "render_problem",
    "require_oauth",
    "token_authenticated",
    "token_rejected",
}


def defined(path: Path) -> set[str]:
    """The names without an underscore that a module's own statements define."""
    names: set[str] = set()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names.update(target.id for target in statement.targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            names.add(statement.target.id)
    return {name for name in names if not name.startswith("_")}


def is_type_variable(module: Any, name: str) -> bool:
    return type(getattr(module, name)).__name__ == "TypeVar"


def test_names_of_the_package() -> None:
    """The package has the promised names and no others."""
    assert set(async_oauth_guard.__all__) == PROMISED
    assert len(async_oauth_guard.__all__) == len(PROMISED)
    assert [name for name in PROMISED if not hasattr(async_oauth_guard, name)] == []


@pytest.mark.parametrize("name", MODULES)
def test_names_of_a_module(name: str) -> None:
    """``__all__`` names what a module defines and offers: each of its names is defined, each offered name is there."""
    module = importlib.import_module(name)
    if name in EMPTY:
        assert defined(Path(str(module.__file__))) == set()
        return
    offered = module.__all__
    assert len(set(offered)) == len(offered)
    assert [each for each in offered if not hasattr(module, each) or each.startswith("_")] == []


# Names that other modules, or nobody, may use, although their modules do not offer them.
@pytest.mark.parametrize("name", sorted(set(MODULES) - EMPTY))
def test_every_public_name_is_offered(name: str) -> None:
    """What has no underscore is public, and named in ``__all__``; type variables and loggers aside."""
    module = importlib.import_module(name)
    names = defined(Path(str(module.__file__))) - {"logger"}
    assert {each for each in names if not is_type_variable(module, each)} - set(module.__all__) == set()


# In order, in one interpreter: to start it and to import the package takes longer than all of these.
STEPS = {
    "import before setup": """
import sys, threading, async_oauth_guard
print(async_oauth_guard.require_oauth is not None)
""",
    "imports are few": """
unwanted = ["httpx2", "requests", "urllib3", "aiohttp", "redis", "authlib.jose", "jwt", "oauth2_provider"]
unwanted += ["django.contrib.auth.models", "pytest", "hypothesis", "rich", "opentelemetry"]
unwanted += ["adrf", "drf_spectacular", "ninja", "rest_framework"]
unwanted += ["async_oauth_guard.testing", "async_oauth_guard.management", "async_oauth_guard.console"]
print([name for name in unwanted if name in sys.modules], threading.active_count())
# From here on, they are not installed.
sys.modules |= dict.fromkeys(["adrf", "drf_spectacular", "ninja", "opentelemetry", "rest_framework"])
""",
    "guarding without the app": """
from django.conf import settings
settings.configure(INSTALLED_APPS=[], ROOT_URLCONF="none", OAUTH_GUARD={})
from async_oauth_guard import *
p = ResourceProtector(BearerTokenValidator("a.B"))
v = p("x", check=print)(lambda request: None); c = require_oauth(lambda request: None); print("done")
""",
    "import as an app": """
settings.INSTALLED_APPS = ["async_oauth_guard"]
import django; django.setup(); from django.core import checks
from async_oauth_guard.diagnostics.checks import check_settings
print(check_settings in checks.registry.registry.get_checks(), check_settings(None))
""",
    "without frameworks": """
import async_oauth_guard.contrib, async_oauth_guard.testing
from async_oauth_guard.diagnostics.url_checks import check_site
require_oauth(lambda request: None); print(check_site(None))
""",
    "without OpenTelemetry": """
try:
    import async_oauth_guard.runtime.opentelemetry
except ImportError as error:
    print(error)
""",
}


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """What another interpreter prints in each step. A step that fails ends it."""
    code = "".join(f"print({name!r}, end=': '){lines}" for name, lines in STEPS.items())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=HERE.parent
    )
    lines = (line.partition(": ") for line in done.stdout.splitlines())
    return {"error": done.stderr} | {name: value for name, _, value in lines}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # The package can be imported before `django.setup()`, and without any settings at all.
        ("import before setup", "True"),
        # This loads what the package needs and nothing that it can do without, and starts no thread.
        ("imports are few", "[] 1"),
        # Views can be guarded without the app, and before `django.setup()`.
        ("guarding without the app", "done"),
        # It can be the only entry in `INSTALLED_APPS`, and registers its checks.
        ("import as an app", "True []"),
        # It needs no framework, and the checks of a site import none.
        ("without frameworks", "[]"),
        # Where the API is not installed the import says what to install.
        ("without OpenTelemetry", "OpenTelemetry's API is not installed: pip install async-oauth-guard[otel]"),
        ("error", ""),
    ],
)
def test_in_another_interpreter(step: str, expected: str, printed: dict[str, str]) -> None:
    """Each of these works in the given order, in a process that has imported nothing else."""
    assert printed.get(step) == expected, printed["error"]


def test_types_are_shipped() -> None:
    """``py.typed`` is there for type checkers."""
    assert (HERE / "py.typed").is_file()
