"""What to do about each reason."""

import inspect
import re
from pathlib import Path

import pytest
from oauth2_provider.models import AbstractApplication

from async_oauth_guard import BearerTokenValidator, IntrospectTokenValidator, JWTBearerTokenValidator, Reason
from async_oauth_guard.conf import GuardSettings
from async_oauth_guard.remedies import REMEDIES

ERRORS = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
VALIDATORS = (BearerTokenValidator, JWTBearerTokenValidator, IntrospectTokenValidator)
OPTIONS = {name for validator in VALIDATORS for name in inspect.signature(validator).parameters}
# What the remedies write as code beside the options of validators.
OTHER_CODE = {
    "TOKEN_TYPE", "RESOURCE", "get_scope()", "is_usable()", "check", "groups", "roles", "entitlements", "none",
    "IntrospectTokenValidator", "iss", "nbf", "iat", "kid", "alg", "crit", "b64", "cnf", "token_type",
}  # fmt: skip


def test_each_reason_has_a_remedy() -> None:
    """No reason is without one, and nothing else has one."""
    assert set(REMEDIES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_is_a_sentence_or_a_few(reason: Reason) -> None:
    """Each begins and ends as a sentence does, says something of its own, and is short."""
    remedy = REMEDIES[reason]
    assert re.fullmatch(r"[A-Z`].+[.]", remedy)
    assert "  " not in remedy
    assert len(remedy) < 260
    assert list(REMEDIES.values()).count(remedy) == 1


def test_names_options_that_there_are() -> None:
    """Each word of the form of an option is one of a validator's, a key of the setting, or of the few others."""
    named = {word for remedy in REMEDIES.values() for word in re.findall(r"`([A-Za-z_0-9]+(?:\(\))?)`", remedy)}
    assert named - OPTIONS - set(GuardSettings.KEYS) - OTHER_CODE - {"Bearer"} == set()
    assert callable(AbstractApplication.is_usable)


@pytest.mark.parametrize("reason", Reason)
def test_is_documented(reason: Reason) -> None:
    """The page of errors says of each reason what it means, and the same remedy as the command."""
    entries = re.findall(rf"^\| `{reason}` \| (.+?) \| (.+) \|$", ERRORS.read_text(encoding="utf-8"), re.MULTILINE)
    assert [remedy for _, remedy in entries] == [REMEDIES[reason]]
