"""Checks the DPoP proof of a request (RFC 9449 §7.1), before its token."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from ..authorization_server.cache_entries import derive_key
from ..conf import Options
from ..errors import Reason, UseDPoPNonceError, error_of
from ..protocol.confirmation import KEY, Possession
from ..protocol.credentials import Credentials
from ..protocol.dpop import DPoP, PresentedProof, Proof, check_proof
from ..protocol.dpop_nonces import make_nonce
from ..protocol.rules import Trace
from ..protocol.secrets import PresentedToken, Secret
from ..protocol.uris import normalize_uri
from ..validators.authorization_context import AuthorizationContext
from ..validators.binding import POSSESSION
from ..validators.client_certificates import certified_possession
from ..validators.clock import CLOCK
from .asgi.request import read_credential_fields
from .context import target_uri
from .handover import handovers_of
from .overrides import current_override

__all__ = ["NONCE", "Presentation", "hide_proof", "possession_of"]

NONCE: Final = "_oauth_dpop_nonce"
"""The attribute of a request that holds the nonce for its response."""

_HEADER: Final = "HTTP_DPOP"


def possession_of(
    request: HttpRequest, credentials: Credentials, options: Options, context: AuthorizationContext
) -> Possession | None:
    """What a request with ``credentials`` proves to possess, together with the certificate of ``context``.

    Raises:
        InvalidDPoPProofError, UseDPoPNonceError: its DPoP proof is missing or invalid.
    """
    if credentials.validators and not credentials.has_proof:
        # Most overrides of tests present no proof.
        setattr(request, POSSESSION, None)
        return None
    if options.dpop is None or credentials.scheme != "dpop":
        return context.possession
    proof = _proof_of(request, credentials.token, options.dpop, options, context.trace)
    certificate_flow = None if context.possession is None else context.possession.certificate_flow
    possession = Possession({KEY: proof.thumbprint}, proof, certificate_flow)
    setattr(request, POSSESSION, possession)
    return possession


def hide_proof(request: HttpRequest) -> Secret[str] | None:
    """Replace the header ``DPoP`` by a string whose ``repr`` hides it, and return it.

    Error reports show the ``repr`` of each header. Django hides ``Authorization``, but not this one.
    """
    presented = read_credential_fields(request).get(_HEADER)
    if presented is None:
        return None
    hidden = request.META[_HEADER] = PresentedToken(presented)
    return Secret(hidden)


def _proof_of(request: HttpRequest, token: Secret[Any], dpop: DPoP, options: Options, trace: Trace | None) -> Proof:
    proof = _prove(dpop, hide_proof(request), token, request.method, target_uri(options, request), trace)
    if proof.is_nonce_old:
        setattr(request, NONCE, _new_nonce())
    # An outer guard may have used it for this request.
    proof.is_spent = any(earlier.is_spent for earlier in _earlier_proofs(request) if earlier.digest == proof.digest)
    # A request that is only explained uses up no proof.
    proof.is_spent = proof.is_spent or trace is not None
    return proof


def _earlier_proofs(request: HttpRequest) -> Iterator[Proof]:
    """The proofs that guards have checked for this request: around this one, or in front of the application."""
    handed_over = [handover.possession for handover in handovers_of(request)]
    for possession in (getattr(request, POSSESSION, None), *handed_over):
        if possession is not None and possession.proof is not None:
            yield possession.proof


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a token was presented that is validated without a request."""

    proof: str | None = field(repr=False)
    method: str | None
    uri: str | None
    certificate: bytes | None = None

    def __post_init__(self) -> None:
        for name in ("proof", "method", "uri"):
            if not isinstance(getattr(self, name), str | None):
                raise TypeError(f"{name} must be a string, got {type(getattr(self, name)).__name__}")
        if self.proof is not None and (self.method is None or self.uri is None):
            raise TypeError("method and uri must be given with proof, because a proof is valid for one request")

    def prove(
        self, token: Secret[Any], dpop: DPoP | None, schemes: Mapping[str, Sequence[Any]]
    ) -> tuple[Possession | None, Sequence[Any]]:
        """What is proved, and the validators for the token.

        Raises:
            InvalidDPoPProofError, UseDPoPNonceError: the proof is missing or invalid.
            TypeError, ValueError: the certificate is not the DER of one.
            ImproperlyConfigured: there is a proof, but nothing says how to check it.
        """
        override = current_override()
        if override is not None:
            return None, override.validators
        certified = certified_possession(self.certificate)
        if self.proof is None:
            if dpop is not None and dpop.required:
                raise error_of(Reason.MISSING_PROOF)
            return certified, list({id(each): each for serving in schemes.values() for each in serving}.values())
        if dpop is None:
            raise ImproperlyConfigured("this ResourceProtector must have dpop= to check a proof")
        proof = _prove(dpop, Secret(self.proof), token, self.method, str(self.uri), None)
        thumbprints = {**certified.thumbprints, KEY: proof.thumbprint}
        return Possession(thumbprints, proof), schemes.get("dpop", ())


def _prove(
    dpop: DPoP, value: Secret[Any] | None, token: Secret[Any], method: str | None, uri: str, trace: Trace | None
) -> Proof:
    """Check a proof for a request to ``uri`` with ``token``. Whether it was used before is checked with the token."""
    presented = PresentedProof(
        policy=dpop,
        value=value,
        method=method,
        uri=normalize_uri(uri),
        token=token,
        now=CLOCK.wall(),
        nonce_keys=_nonce_keys() if dpop.nonce else (),
    )
    proof = check_proof(presented, trace)
    if isinstance(proof, Proof):
        return proof
    error = error_of(proof)
    if isinstance(error, UseDPoPNonceError):
        error.dpop_nonce = _new_nonce()
    raise error


def _nonce_keys() -> list[Secret[bytes]]:
    return [derive_key(Secret(key), b"dpop") for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _new_nonce() -> str:
    return make_nonce(_nonce_keys()[0], CLOCK.wall())
