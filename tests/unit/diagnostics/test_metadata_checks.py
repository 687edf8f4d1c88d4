"""The system checks of protected resource metadata, and that nothing is said of a site that serves it."""

from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.test import override_settings
from django.urls import path, re_path

from async_oauth_guard import BearerTokenValidator, JWTBearerTokenValidator, ResourceProtector
from async_oauth_guard.diagnostics import checks
from async_oauth_guard.diagnostics.checks import check_guards
from tests.site.models import OAuth2Token
from tests.sites import Witness, serving

RESOURCE = "https://api.example.com/r1"
VIEW = Witness().view("def")


@pytest.fixture(autouse=True)
def protectors(monkeypatch: pytest.MonkeyPatch) -> list[ResourceProtector]:
    """The protectors of the process, without those of other tests."""
    known: list[ResourceProtector] = []
    monkeypatch.setattr(checks, "ALL_PROTECTORS", known)
    return known


def make(protectors: list[ResourceProtector], metadata: Any = True) -> ResourceProtector:
    protector = ResourceProtector(
        JWTBearerTokenValidator("https://as.example.com"), resource=RESOURCE, metadata=metadata
    )
    protectors.append(protector)
    return protector


def messages(*patterns: Any) -> list[CheckMessage]:
    with serving(list(patterns)):
        found = check_guards(None)
    assert all(message.hint for message in found)
    return found


def ids(*patterns: Any) -> list[str]:
    return [str(message.id).removeprefix("async_oauth_guard.") for message in messages(*patterns)]


def test_all_is_well(protectors: Any) -> None:
    """Nothing is said if the document is routed, if there is none, or if the protector guards nothing."""
    routed, without = make(protectors), make(protectors, metadata=None)
    make(protectors)
    views = [path("a", routed("a")(VIEW)), path("b", without("b")(VIEW))]
    assert messages(*routed.metadata_urls(), *views) == []


def test_not_routed(protectors: Any) -> None:
    """W024: the document is not routed, is at another place, or another view comes first."""
    protector, other = make(protectors), make([])
    view = path("a", protector("a")(VIEW))
    for wrong in ([], [path("x/", ([*protector.metadata_urls()], None, None))], other.metadata_urls()):
        assert ids(*wrong, view) == ["W024"]
    assert ids(re_path("", VIEW), *protector.metadata_urls(), view) == ["W024"]
    assert "https://api.example.com/.well-known/oauth-protected-resource/r1" in messages(view)[0].msg


def test_no_authorization_server(protectors: Any) -> None:
    """R113, W026: the document names no authorization server, neither a validator's nor a configured one."""
    validator = BearerTokenValidator(OAuth2Token)
    named = {"authorization_servers": ["https://as.example.com"]}
    for metadata, expected in ((True, ["W026"]), (named, [])):
        protector = ResourceProtector(validator, resource=RESOURCE, metadata=metadata)
        protectors[:] = [protector]
        assert ids(*protector.metadata_urls(), path("a", protector("a")(VIEW))) == expected


def test_errors_that_others_report(protectors: Any) -> None:
    """A wrong setting is E002, and Django reports a URL configuration that cannot be loaded."""
    with override_settings(OAUTH_GUARD={"METADATA": True}):
        protector = ResourceProtector.from_settings()
        protectors.append(protector)
        assert ids(path("a", protector("a")(VIEW))) == []
    with override_settings(ROOT_URLCONF="tests.nowhere"):
        assert check_guards(None) == []
