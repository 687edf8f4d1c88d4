"""Chooses the validators for a token by its form and its unverified issuer, before any I/O or cryptography."""

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import Reason
from ..protocol.jwt import peek_issuer
from ..protocol.rules import Rule
from ..protocol.secrets import Secret
from .hooks import check_returned

__all__ = ["RECOGNISED", "recognises_format", "route"]


def route(validators: Sequence[Any], token: Secret[str]) -> Sequence[Any]:
    """Return the ``validators`` that may validate ``token``, in their order.

    A JWT whose issuer one of them names goes only to that validator, even if the JWT is forged. All other tokens,
    including JWTs of unknown issuers, go to the validators that name no issuer of JWTs.
    """
    if len(validators) == 1:
        return validators if _check_form((validators[0], token)) is None else ()
    recognising = [validator for validator in validators if _check_form((validator, token)) is None]
    if len(recognising) < 2:
        return recognising
    issuer = peek_issuer(token)
    ownership = [(validator, _owns(validator, issuer)) for validator in recognising]
    owners = [validator for validator, owns in ownership if owns]
    return owners or [validator for validator, owns in ownership if owns is None]


def _check_form(presented: tuple[Any, Secret[str]]) -> Reason | None:
    validator, token = presented
    # A validator without a `recognises` method, such as an Authlib validator, gets every token.
    recognises: Callable[[str], bool] | None = getattr(validator, "recognises", None)
    if recognises is None:
        return None
    if getattr(recognises, "__func__", None) is recognises_format and _takes_every_form(validator):
        return None
    is_recognised = recognises(token.reveal())
    if is_recognised is True:
        return None
    check_returned(recognises, is_recognised, bool)
    return Reason.UNRECOGNISED_TOKEN


def _takes_every_form(validator: Any) -> bool:
    return validator._token_format is None and getattr(validator, "_only_issuer", None) is None


def recognises_format(self: Any, token: str) -> bool:
    """Whether this validator may accept ``token``. If not, it is not called for the token. Does no I/O.

    The token must match ``token_format``. If it is a JWT, it must not be from another issuer than the validator's only
    issuer.
    """
    if self._token_format is not None and self._token_format.fullmatch(token) is None:
        return False
    only_issuer = getattr(self, "_only_issuer", None)
    return only_issuer is None or peek_issuer(Secret(token)) in (None, only_issuer)


RECOGNISED: Rule[tuple[Any, Secret[str]], Any] = Rule("form that this validator takes", _check_form)
"""The first rule of each validator. A token that breaks it belongs to another validator."""


def _owns(validator: Any, issuer: str | None) -> bool | None:
    owns = getattr(validator, "owns", None)
    if owns is None:
        return None
    is_owner: bool | None = owns(issuer)
    check_returned(owns, is_owner, bool, type(None))
    return is_owner
