"""Checks that a request may present a sender-constrained token, before the view's requirements are checked."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from ..errors import Reason, error_of
from ..protocol.access_token import TokenState, read_attribute
from ..protocol.attributes import read_binding, read_user
from ..protocol.certificates import thumbprint
from ..protocol.confirmation import (
    CERTIFICATE,
    NO_POSSESSION,
    Binding,
    Possession,
    check_confirmation,
    check_possession,
    check_presentation,
)
from ..protocol.rules import Rule, walk_flow
from ..runtime.effects import Flow, ReadModel
from .authorization_context import AuthorizationContext
from .dpop_replay import REPLAY

__all__ = [
    "BINDING",
    "POSSESSION",
    "bind_flow",
    "check_before_hook_flow",
    "presented",
    "presenting",
    "read_trusted_state",
]

POSSESSION: Final = "_oauth_possession"
"""The attribute of a request that holds the `Possession` that a guard has verified."""

# What the request of the current hook proves to possess.
_PRESENTED: ContextVar[Possession | None] = ContextVar("async_oauth_guard.possession", default=NO_POSSESSION)


def presented() -> Possession | None:
    """What the request proves to possess, for a method of a validator that a hook calls."""
    return _PRESENTED.get()


@contextmanager
def presenting(possession: Possession | None) -> Iterator[None]:
    """Pass ``possession`` to the methods of a validator that a hook calls in this block."""
    earlier = _PRESENTED.set(possession)
    try:
        yield
    finally:
        _PRESENTED.reset(earlier)


def bind_flow(confirmation: Any, token_type: Any, context: AuthorizationContext) -> Flow[None]:
    """Check that the request of ``context`` may present a token with this ``cnf`` and ``token_type``.

    Raises:
        InvalidTokenError: it may not.
        InvalidDPoPProofError: its proof was used before.
        TemporarilyUnavailableError: it is not known whether its proof was used before.
    """
    if context.possession is None:
        return
    binding = Binding(confirmation, token_type, context.possession, context.cache)
    rules = _WITHOUT_PROOF if context.possession.proof is None else BINDING
    reason = yield from walk_flow(rules, binding, context.trace)
    if reason is not None:
        raise error_of(reason)


def _check_possession_flow(binding: Binding) -> Flow[Reason | None]:
    possession = binding.possession
    # Only few tokens are bound to a certificate, and reading it may call the site's code.
    if possession.certificate_flow is not None and CERTIFICATE in (binding.confirmation or {}):
        certificate = yield from possession.certificate_flow()
        if certificate is not None:
            possession.thumbprints[CERTIFICATE] = thumbprint(certificate)
        possession.certificate_flow = None
    return check_possession(binding)


def check_before_hook_flow(validator: Any, token: Any, context: AuthorizationContext) -> Flow[None]:
    """Check a token that ``validator`` found, of which nothing was read yet, before a custom ``validate_token``.

    If the request proves anything, its proof is spent here, even if the hook then refuses the token.

    Raises:
        InvalidTokenError: the server calls the token inactive, or the request may not present it.
    """
    # Authlib's own validators do not have this method.
    check = getattr(validator, "_check_before_hook", None)
    reason = None if check is None else check(token)
    if reason is not None:
        raise error_of(reason)
    if token and context.possession is not NO_POSSESSION:
        confirmation, token_type = yield ReadModel(lambda token: _read_binding(validator, token), token, blocking=False)
        yield from bind_flow(confirmation, token_type, context)


def _read_binding(validator: Any, token: Any) -> tuple[Any, Any]:
    # A class of Authlib, or no validator at all, may have found the token.
    return read_binding(token, getattr(validator, "_thumbprint_field", None))


def read_trusted_state(validator: Any, token: Any, names: Iterable[str]) -> TokenState:
    """The user, the attributes in ``names`` and the confirmation of a token that a hook validated."""
    attributes = {name: read_attribute(token, name) for name in names}
    return TokenState(None, None, read_user(token), attributes, *_read_binding(validator, token))


BINDING: Sequence[Rule[Binding, Any]] = (
    Rule("cnf can be checked", check_confirmation),
    Rule("scheme of the token", check_presentation),
    Rule("proof of possession", _check_possession_flow, is_flow=True),
    REPLAY,
)
"""The rules for ``cnf``, for every source of tokens."""

_WITHOUT_PROOF = BINDING[:-1]
