"""Validates tokens that come without a request, and removes revoked ones from caches."""

from typing import Any

from ..errors import InvalidTokenError, Reason, errors_of_hooks
from ..protocol.credentials import MAX_TOKEN_LENGTH
from ..protocol.requirements import Requirements, parse_requirements
from ..protocol.scopes import ScopesLike
from ..protocol.secrets import PresentedToken, Secret, present_token
from ..runtime.effects import Flow
from ..runtime.observer import watch_validation
from ..runtime.run import arun, run_outside_loop
from ..validators.authorization import authorize_flow
from ..validators.authorization_context import Authorization
from .context import make_context
from .interface import Protector
from .proofs import Presentation

__all__ = ["TokenChecks"]


class TokenChecks:
    """The methods of a `ResourceProtector` that take a token instead of a request."""

    def validate_token(
        self: Protector,
        token: str,
        scopes: ScopesLike = None,
        *,
        uri: str | None = None,
        certificate: bytes | None = None,
        method: str | None = None,
        proof: str | None = None,
        **requirements: Any,
    ) -> Any:
        """Validate a token without a request, for a WebSocket or a job, and return it. Sends no signal.

        Args:
            token: the token only, without a scheme.
            scopes: see `__call__`. Of a mapping by method, the requirement for ``"*"`` applies.
            uri: the URI that the token is used for. Without it, a token that names resources is refused.
            certificate: the client's certificate, as DER. Without it, a token that is bound to one is refused.
            method: the method of the request that the token was presented with, if there is a proof.
            proof: the DPoP proof of that request. Without it, a token that is bound to a key is refused.
            requirements: see `__call__`.

        Raises:
            InvalidTokenError, InsufficientScopeError: the token is refused.
            InvalidDPoPProofError, UseDPoPNonceError: the proof is missing or invalid.
            TemporarilyUnavailableError: the token could not be validated.
            SynchronousOnlyOperation: an event loop is running in this thread.
            TypeError: ``proof`` is given, but not ``method`` and ``uri``.
            ImproperlyConfigured: ``proof`` is given, but not ``dpop`` of this protector.
        """
        # Rebind the names, so that error pages do not show token and proof in this frame.
        token, proof = present_token(token), _present_proof(proof)
        presentation = Presentation(proof, method, uri, certificate)
        flow = _validate_flow(self, token, parse_requirements(scopes, **requirements), presentation)
        with errors_of_hooks():
            return run_outside_loop(watch_validation(flow, None), "await avalidate_token()").token

    async def avalidate_token(
        self: Protector,
        token: str,
        scopes: ScopesLike = None,
        *,
        uri: str | None = None,
        certificate: bytes | None = None,
        method: str | None = None,
        proof: str | None = None,
        **requirements: Any,
    ) -> Any:
        """See `validate_token`."""
        token, proof = present_token(token), _present_proof(proof)
        presentation = Presentation(proof, method, uri, certificate)
        flow = _validate_flow(self, token, parse_requirements(scopes, **requirements), presentation)
        with errors_of_hooks():
            return (await arun(watch_validation(flow, None))).token

    def invalidate(self: Protector, token: str) -> None:
        """Remove a revoked token from all caches: those of this process, and the cache that workers share.

        Database tokens do not need this, because they are looked up for each request.

        Raises:
            SynchronousOnlyOperation: an event loop is running in this thread.
        """
        token = present_token(token)
        run_outside_loop(_invalidate_flow(self, Secret(token)), "await ainvalidate()")

    async def ainvalidate(self: Protector, token: str) -> None:
        """See `invalidate`."""
        token = present_token(token)
        await arun(_invalidate_flow(self, Secret(token)))


def _present_proof(proof: Any) -> Any:
    return PresentedToken(proof) if isinstance(proof, str) else proof


def _invalidate_flow(protector: Protector, token: Secret[str]) -> Flow[None]:
    for validator in protector.validators:
        invalidate_flow = getattr(validator, "invalidate_flow", None)
        if invalidate_flow is not None:
            yield from invalidate_flow(token, protector.options.cache)


def _validate_flow(
    protector: Protector, presented: PresentedToken, requirements: Requirements, presentation: Presentation
) -> Flow[Authorization]:
    protector.check_keywords(requirements)
    token = Secret(presented)
    if len(presented) > MAX_TOKEN_LENGTH:
        raise InvalidTokenError(reason=Reason.TOKEN_TOO_LONG)
    context = make_context(protector.options, requirements, None, lambda: presentation.uri)
    context.possession, validators = presentation.prove(token, protector.options.dpop, protector.by_scheme())
    return (yield from authorize_flow(validators, token, context))
