"""The faults of that server, by name."""

__all__: list[str] = []
