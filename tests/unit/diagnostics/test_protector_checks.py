"""The system checks of protectors, here of client certificates."""

from typing import Any

import pytest
from django.test import override_settings

from async_oauth_guard import MutualTLS, ResourceProtector
from async_oauth_guard.diagnostics.protector_checks import protector_messages
from async_oauth_guard.diagnostics.validator_names import readable
from tests.sites import Witness


def ids(mtls: Any, *, used: bool = True) -> list[str]:
    protector = ResourceProtector(mtls=mtls)
    if used:
        protector("a")(Witness().view("def"))
    found = list(protector_messages([protector]))
    assert all(message.hint for message in found)
    return [str(message.id) for message in found]


@pytest.mark.parametrize("everyone", ["0.0.0.0/0", "::/0"])
def test_everyone_is_trusted(everyone: str) -> None:
    """W023: a header counts from any sender, which is reported for sites in production whose protector is used."""
    mtls = MutualTLS("nginx", trusted_proxies=["10.0.0.1", everyone])
    assert ids(mtls) == ["async_oauth_guard.W023"]
    assert ids(mtls, used=False) == []
    with override_settings(DEBUG=True):
        assert ids(mtls) == []


def test_all_is_well() -> None:
    """Nothing is said if only proxies are trusted, or if the certificate is in no header."""
    for mtls in (None, MutualTLS("asgi"), MutualTLS("nginx", trusted_proxies=["unix", "10.0.0.0/8"])):
        assert ids(mtls) == []


def test_errors_that_others_report() -> None:
    """E007 reports a setting without trusted proxies."""
    with override_settings(OAUTH_GUARD={"MTLS": {"source": "nginx"}}):
        assert list(protector_messages(readable([ResourceProtector.from_settings()]))) == []
