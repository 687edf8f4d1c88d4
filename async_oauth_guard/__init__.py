"""OAuth 2 access tokens for Django views, sync and async alike."""

from .errors import (
    AccessDeniedError,
    GuardError,
    HookError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    InvalidDPoPProofError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    OAuth2Error,
    Reason,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
    UseDPoPNonceError,
)
from .guard.mixins import AuthenticatedRequest, ProtectedResourceMixin, require_oauth
from .guard.protector import ResourceProtector
from .guard.refusal_responses import render_json, render_problem
from .guard.signals import token_authenticated, token_rejected
from .protocol.access_token import AccessToken
from .protocol.dpop import DPoP
from .validators.base import TokenValidator
from .validators.client_certificates import MutualTLS
from .validators.database import BearerTokenValidator
from .validators.introspection import IntrospectTokenValidator
from .validators.jwt import JWTBearerTokenValidator

__all__ = [
    # errors
    "AccessDeniedError",
    "GuardError",
    "HookError",
    "InsufficientScopeError",
    "InsufficientUserAuthenticationError",
    "InvalidDPoPProofError",
    "InvalidRequestError",
    "InvalidTokenError",
    "MissingAuthorizationError",
    "OAuth2Error",
    "Reason",
    "TemporarilyUnavailableError",
    "UnsupportedTokenTypeError",
    "UseDPoPNonceError",
    # tokens
    "AccessToken",
    "DPoP",
    # signals
    "token_authenticated",
    "token_rejected",
    # validators
    "BearerTokenValidator",
    "IntrospectTokenValidator",
    "JWTBearerTokenValidator",
    "TokenValidator",
    # responses
    "render_json",
    "render_problem",
    # protector, views
    "AuthenticatedRequest",
    "MutualTLS",
    "ProtectedResourceMixin",
    "ResourceProtector",
    "require_oauth",
]
