"""The test kit: tokens for tests, without a server and without a header."""

__all__: list[str] = []
