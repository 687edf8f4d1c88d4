"""The command ``oauth_doctor``."""

__all__: list[str] = []
