"""Tokens and a validator that a test makes up: no table, no server."""

from typing import Any

from async_oauth_guard import TokenValidator


class GoodToken:
    """One that is good, of nobody, with these scopes."""

    user = None

    def __init__(self, scope: str = "") -> None:
        self.scope = scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return self.scope


class Fixed(TokenValidator):
    """Finds what it was made with, or raises it."""

    def __init__(self, found: Any = None) -> None:
        super().__init__()
        self.found = found

    def authenticate_token(self, token_string: str) -> Any:
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found
