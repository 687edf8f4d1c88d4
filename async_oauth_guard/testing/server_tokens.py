"""What that server issues: its keys, its JWTs and its opaque tokens."""

__all__: list[str] = []
