"""Which validators are asked about a token: told by its shape and its unverified issuer, before any I/O or crypto."""

from collections.abc import Sequence
from typing import Any

from ..credentials import Secret
from ..hooks import hook
from ..jose import peek_issuer

__all__ = ["route"]


def route(validators: Sequence[Any], token: Secret[str]) -> Sequence[Any]:
    """Those of ``validators`` that ``token`` may belong to, in their order.

    A JWT of an issuer that one of them names is that one's alone: it goes nowhere else, even if it is forged. Anything
    else, a JWT of a foreign issuer too, goes to those that name no issuer of JWTs.
    """
    if len(validators) == 1:
        return validators if _recognises(validators[0], token) else ()
    recognising = [validator for validator in validators if _recognises(validator, token)]
    if len(recognising) < 2:
        return recognising
    issuer = peek_issuer(token)
    asked = [(validator, _owns(validator, issuer)) for validator in recognising]
    owners = [validator for validator, owns in asked if owns]
    return owners or [validator for validator, owns in asked if owns is None]


def _recognises(validator: Any, token: Secret[str]) -> bool:
    # Those without a rule of their own, like those of Authlib's own classes, are asked about every token.
    recognises = hook(validator, "recognises")
    return recognises is None or recognises(token.reveal())


def _owns(validator: Any, issuer: str | None) -> bool | None:
    owns = getattr(validator, "owns", None)
    return None if owns is None else owns(issuer)
