"""Why a token is let in or refused, step by step."""

__all__: list[str] = []
