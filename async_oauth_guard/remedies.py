"""What to do about each `Reason`."""

__all__: list[str] = []
