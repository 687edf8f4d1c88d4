"""How a client comes by a token."""

from typing import Any

from authlib.oauth2.rfc6749 import (
    BaseGrant,
    ClientCredentialsGrant,
    InvalidGrantError,
    TokenEndpointMixin,
    UnauthorizedClientError,
)

from .clients import NAMED_USER
from .models import ResourceOwner

__all__ = ["ClientCredentialsGrant", "NamedUserGrant"]


class NamedUserGrant(BaseGrant, TokenEndpointMixin):
    """A token that speaks for the resource owner whom the client names: an extension grant (RFC 6749 §4.5).

    It stands in for the authorization code grant, so that ``curl`` is enough to get such a token. The client is taken
    at its word: a real server would have asked the person.
    """

    GRANT_TYPE = NAMED_USER

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError(f"The client is not authorized to use 'grant_type={self.GRANT_TYPE}'")
        self.request.client = client
        self.request.user = ResourceOwner.objects.filter(username=self.request.form.get("username", "")).first()
        if self.request.user is None:
            raise InvalidGrantError("There is nobody of that name.")
        self.validate_requested_scope()

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        token = self.generate_token(
            user=self.request.user, scope=self.request.payload.scope, include_refresh_token=False
        )
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER
