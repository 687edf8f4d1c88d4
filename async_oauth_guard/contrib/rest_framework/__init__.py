"""Access tokens as the authentication and the permissions of views of Django REST framework and adrf."""

from .authentication import OAuthAuthentication
from .errors import RefusalError
from .permissions import HasScopes

__all__ = ["HasScopes", "OAuthAuthentication", "RefusalError"]
