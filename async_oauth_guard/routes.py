"""The views of a URL configuration: what each is, and what guards it."""

__all__: list[str] = []
