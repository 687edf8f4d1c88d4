"""The command ``oauth_routes``."""

__all__: list[str] = []
