"""What to do about each reason."""

import inspect
import re
from pathlib import Path

import pytest
from oauth2_provider.models import AbstractApplication

from async_oauth_guard import BearerTokenValidator, IntrospectTokenValidator, JWTBearerTokenValidator, Reason
from async_oauth_guard.conf import GuardSettings
from async_oauth_guard.diagnostics.remedies import REMEDIES

ERRORS = Path(__file__).resolve().parents[3] / "docs" / "errors.md"
VALIDATORS = (BearerTokenValidator, JWTBearerTokenValidator, IntrospectTokenValidator)
OPTIONS = {name for validator in VALIDATORS for name in inspect.signature(validator).parameters}
# What the remedies write as code, besides the options of validators.
OTHER_CODE = {
    "TOKEN_TYPE", "RESOURCE", "get_scope()", "is_usable()", "check", "groups", "roles", "entitlements", "none",
    "IntrospectTokenValidator", "iss", "nbf", "iat", "kid", "alg", "crit", "b64", "cnf", "jkt",
    "token_type", "dpop", "mtls", "acr", "acr_values", "auth_time", "max_age", "authorization_details", "DPoP", "jti",
    "htm", "htu", "ath", "typ", "algs", "nonce", "jwk",
    "OAuthAuthentication", "authentication_classes", "force_authenticate()", "override_oauth",
}  # fmt: skip


def test_each_reason_has_a_remedy() -> None:
    """Every reason has a remedy, and nothing else has one."""
    assert set(REMEDIES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_is_a_sentence_or_a_few(reason: Reason) -> None:
    """Each begins and ends like a sentence, is unique, and is short."""
    remedy = REMEDIES[reason]
    assert re.fullmatch(r"[A-Z`].+[.]", remedy)
    assert "  " not in remedy
    assert len(remedy) < 260
    assert list(REMEDIES.values()).count(remedy) == 1


def test_names_options_that_there_are() -> None:
    """Each word of the form of an option is one of a validator's, a key of the setting, or of the few others."""
    named = {result for remedy in REMEDIES.values() for result in re.findall(r"`([A-Za-z_0-9]+(?:\(\))?)`", remedy)}
    assert named - OPTIONS - set(GuardSettings.KEYS) - OTHER_CODE - {"Bearer"} == set()
    assert callable(AbstractApplication.is_usable)


@pytest.mark.parametrize("reason", Reason)
def test_is_documented(reason: Reason) -> None:
    """The page of errors says of each reason what it means, and the same remedy as the command."""
    entries = re.findall(rf"^\| `{reason}` \| (.+?) \| (.+) \|$", ERRORS.read_text(encoding="utf-8"), re.MULTILINE)
    assert [remedy for _, remedy in entries] == [REMEDIES[reason]]
