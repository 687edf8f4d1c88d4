"""That nothing is left unguarded, as a test."""

__all__: list[str] = []
