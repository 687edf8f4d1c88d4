"""OAuth 2 access tokens for Django views, sync and async alike."""

from .errors import (
    GuardError,
    HookError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingAuthorizationError,
    OAuth2Error,
    Reason,
    TemporarilyUnavailableError,
    UnsupportedTokenTypeError,
)
from .protector import ResourceProtector
from .responses import render_json, render_problem
from .signals import token_authenticated, token_rejected
from .tokens import AccessToken
from .validators.base import TokenValidator
from .validators.introspection import IntrospectTokenValidator
from .validators.jwt import JWTBearerTokenValidator
from .validators.model import BearerTokenValidator
from .views import AuthenticatedRequest, ProtectedResourceMixin, require_oauth

__all__ = [
    # errors
    "GuardError",
    "HookError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "InvalidTokenError",
    "MissingAuthorizationError",
    "OAuth2Error",
    "Reason",
    "TemporarilyUnavailableError",
    "UnsupportedTokenTypeError",
    # tokens
    "AccessToken",
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
    "ProtectedResourceMixin",
    "ResourceProtector",
    "require_oauth",
]
