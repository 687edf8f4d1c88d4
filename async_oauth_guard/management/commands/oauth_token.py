"""The command ``oauth_token``."""

__all__: list[str] = []
