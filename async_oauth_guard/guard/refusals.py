"""Refuses a request: completes the error with its challenge, logs the refusal and sends the signal."""

from collections.abc import Iterator
from typing import Any, cast

from django.http import HttpRequest

from ..errors import GuardError, InsufficientUserAuthenticationError, OAuth2Error, Reason, adopt_error
from ..protocol.challenges import Protection, has_challenge, write_challenges
from ..protocol.credentials import Credentials
from ..protocol.requirements import Requirements
from ..protocol.resource_metadata import PARAMETER
from ..protocol.scopes import Requirement
from ..runtime.effects import Flow
from ..validators.authorization_context import TRACE
from ..validators.hooks import attributes_of, realm_of
from .authlib_compat import respond_as_authlib
from .interface import Protector
from .proofs import NONCE
from .signals import log_refusal_flow, notify_flow, token_rejected

__all__ = ["complete_error", "refuse_flow"]


def refuse_flow(
    protector: Protector,
    refusal: OAuth2Error,
    request: HttpRequest,
    requirements: Requirements,
    credentials: Credentials | GuardError,
) -> Flow[GuardError]:
    """Return the error to respond with: a `GuardError` with its challenge. It has been logged, and the signal sent.

    If the request is traced, nothing is logged and no signal is sent.
    """
    earlier = getattr(request, "_oauth_rejection", None)
    if earlier is not None and refusal in (earlier, earlier.__cause__):
        # An overridden acquire_token() passes on the error that the protector raised.
        return cast("GuardError", earlier)
    error = adopt_error(refusal)
    if isinstance(credentials, Credentials):
        error.scheme = credentials.scheme
    error = complete_error(protector, error, requirements.scopes.for_method(request.method))
    error.dpop_nonce = error.dpop_nonce or getattr(request, NONCE, None)
    request._oauth_rejection = error  # type: ignore[attr-defined]
    if getattr(request, TRACE, None) is None:
        yield from log_refusal_flow(request, error)
        yield from notify_flow(token_rejected, type(protector), request=request, error=error)
    return error


def complete_error(protector: Protector, error: GuardError, scopes: Requirement | None) -> GuardError:
    """``error`` with its challenge, or with Authlib's response. Authlib has none for step-up authentication."""
    error.vary = protector.options.vary
    _name_scope(error, scopes)
    protections = list(_protections(protector, error.validator))
    if protector.options.as_authlib and not isinstance(error, InsufficientUserAuthenticationError):
        return respond_as_authlib(error, protections[0] if protections else None)
    error.challenge = write_challenges(protections, error)
    return error


def _name_scope(error: GuardError, scopes: Requirement | None) -> None:
    """Write the scopes to request into ``error``, unless a comparison of scopes or a hook has written others."""
    if error.scope and error.scope is not error._named_scope:
        return
    # No scopes were compared, so all of them count as missing.
    # RFC 9396 defines no parameter for authorization details, and a scope would not help.
    is_named = has_challenge(error) and error.reason is not Reason.INSUFFICIENT_AUTHORIZATION_DETAILS
    to_name = scopes if is_named else None
    error.scope = error._named_scope = () if to_name is None else to_name.nearest_alternative()


def _protections(protector: Protector, refusing: Any) -> Iterator[Protection]:
    """What to put into the challenge of each scheme, from the validator that refused or else the first one."""
    url = protector.options.metadata_url
    advertised = {} if url is None else {PARAMETER: url}
    for scheme, serving in protector.by_scheme().items():
        validator = refusing if refusing in serving else serving[0]
        attributes, dpop = {**attributes_of(validator), **advertised}, protector.options.dpop
        if scheme == "dpop" and dpop is not None:
            # RFC 9449 §7.1: "a space-delimited list of supported JWS asymmetric signature algorithms".
            attributes["algs"] = " ".join(dpop.algorithms)
        yield Protection(scheme, realm_of(validator) or protector.options.realm, attributes)
