"""The command ``oauth_explain``."""

__all__: list[str] = []
