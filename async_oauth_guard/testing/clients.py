"""Django's test clients, with a token."""

__all__: list[str] = []
