"""Tokens and refusals that stand in for what requests present."""

__all__: list[str] = []
