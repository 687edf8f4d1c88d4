"""An authorization server for tests: in process, or on a real port."""

__all__: list[str] = []
