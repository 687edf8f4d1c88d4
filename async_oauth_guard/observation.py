"""Where an observer may watch: validations, and calls of authorization servers."""

__all__: list[str] = []
