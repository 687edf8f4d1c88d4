"""Sender-constrained tokens: what a token is bound to (RFC 7800), and what a request proves to possess.

A bound token has a confirmation, ``cnf``. It names a key (``jkt``, RFC 9449 §6) or a certificate (``x5t#S256``, RFC
8705 §3). Only a client that proves possession may use the token.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Reason
from .dpop import Proof

__all__ = [
    "CERTIFICATE",
    "KEY",
    "CONFIRMATION_METHODS",
    "NO_POSSESSION",
    "Binding",
    "Possession",
    "check_confirmation",
    "check_possession",
    "check_presentation",
    "is_bound_to_key",
]

KEY = "jkt"
CERTIFICATE = "x5t#S256"
"""RFC 8705 §3.1: the member of ``cnf`` for a certificate."""

CONFIRMATION_METHODS = frozenset({KEY, CERTIFICATE})
"""The members of ``cnf`` that can be checked. Each of them is a SHA-256 thumbprint."""


@dataclass(slots=True, eq=False)
class Possession:
    """What a request proves to possess besides its token.

    Attributes:
        thumbprints: the thumbprints of its key and its certificate, by the member of ``cnf`` that they must equal.
        proof: the valid proof, if the token was presented with the scheme ``DPoP``.
        certificate_flow: creates the flow that reads the client's certificate, until it was read. Without one, the
            request has no certificate besides what ``thumbprints`` contains.
    """

    thumbprints: dict[str, str] = field(default_factory=dict)
    proof: Proof | None = None
    certificate_flow: Callable[[], Any] | None = None


NO_POSSESSION = Possession()
"""What a bearer token is presented with."""


@dataclass(slots=True)
class Binding:
    """The subject of the rules for sender-constrained tokens: what the token says, and what the request proves.

    ``confirmation`` and ``token_type`` are those of the token, as received. ``cache`` is the alias of the cache that
    remembers proofs for all workers.
    """

    confirmation: Any
    token_type: Any
    possession: Possession
    cache: str | None = None


def check_confirmation(binding: Binding) -> Reason | None:
    """Each member of ``cnf`` must be one that can be checked. An empty ``cnf`` confirms nothing."""
    confirmation = binding.confirmation
    if confirmation is None:
        return None
    # Fail closed: by RFC 7800 §3.1, unknown members are ignored. But one may restrict who may use the token.
    is_known = isinstance(confirmation, Mapping) and confirmation and CONFIRMATION_METHODS.issuperset(confirmation)
    is_well_formed = is_known and all(isinstance(value, str) and value for value in confirmation.values())
    return None if is_well_formed else Reason.UNSUPPORTED_CONFIRMATION


def check_presentation(binding: Binding) -> Reason | None:
    """A token that is bound to a key must be presented with a proof, and only such a token may be."""
    token_type = binding.token_type.lower() if isinstance(binding.token_type, str) else None
    is_bound = is_bound_to_key(binding.confirmation)
    if binding.possession.proof is None:
        # RFC 9449 §7.2: "such a protected resource MUST reject a DPoP-bound access token received as a bearer token".
        return Reason.SENDER_CONSTRAINED if is_bound or token_type == "dpop" else None
    return None if is_bound and token_type != "bearer" else Reason.UNBOUND_TOKEN


def check_possession(binding: Binding) -> Reason | None:
    """The request must prove possession of everything that ``cnf`` names."""
    proved = binding.possession.thumbprints
    for name, thumbprint in (binding.confirmation or {}).items():
        if name not in proved:
            return Reason.SENDER_CONSTRAINED
        if proved[name] != thumbprint:
            return Reason.WRONG_CONFIRMATION
    return None


def is_bound_to_key(confirmation: Any) -> bool:
    """Whether a confirmation names a key, which a DPoP proof must be made with (RFC 9449 §6)."""
    return isinstance(confirmation, Mapping) and KEY in confirmation
