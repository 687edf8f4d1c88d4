"""A site's own source of tokens. It imports no pytest, so that server processes start quickly."""

from types import SimpleNamespace
from typing import Any

from async_oauth_guard import TokenValidator


class Own(TokenValidator):
    """The site's own source of tokens."""

    def __init__(self, confirmation: Any) -> None:
        super().__init__()
        self.confirmation = confirmation

    def authenticate_token(self, token_string: str) -> Any:
        confirmation = self.confirmation
        return SimpleNamespace(
            is_expired=lambda: False, is_revoked=lambda: False, get_scope=lambda: "profile", cnf=confirmation, user=None
        )
