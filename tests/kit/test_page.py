"""The tests on the page about tests pass."""

import inspect
import re
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import SimpleTestCase, override_settings

from tests.site import models
from tests.sites import Urls

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
CODE = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
FUNCTIONS = re.findall(r"^(?:async )?def (test_\w+)", CODE, re.MULTILINE)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that the page defines, with its views being the site."""
    for name in ("accounts", "accounts.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["accounts.models"].OAuth2Token = models.OAuth2Token  # type: ignore[attr-defined]
    names: dict[str, Any] = {"__name__": "tests.kit.page"}
    exec(compile(CODE, str(PAGE), "exec"), names)
    with override_settings(ROOT_URLCONF=Urls(*names["urlpatterns"])):
        yield names


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(page: dict[str, Any], name: str, request: pytest.FixtureRequest) -> None:
    """Each test function, with the fixtures that it asks for."""
    test = page[name]
    if marks := getattr(test, "pytestmark", []):
        assert [mark.args for mark in marks] == [("as_alice",)]
        request.getfixturevalue("oauth_token")("profile", user=page["alice"])
    fixtures = {each: request.getfixturevalue(each) for each in inspect.signature(test).parameters}
    assert (async_to_sync(test) if inspect.iscoroutinefunction(test) else test)(**fixtures) is None


def test_classes(page: dict[str, Any]) -> None:
    """Each test case, and each test of the other class."""
    cases = [each for each in page.values() if isinstance(each, type) and issubclass(each, SimpleTestCase)]
    for case in cases[1:]:
        result = unittest.defaultTestLoader.loadTestsFromTestCase(case).run(unittest.TestResult())
        assert (result.errors, result.failures) == ([], [])
    assert [case.__name__ for case in cases[1:]] == ["MeTests", "ClientTests"]
    tests = [each for name, each in vars(page["TestMe"]).items() if name.startswith("test")]
    assert [test(None) for test in tests] == [None, None]
