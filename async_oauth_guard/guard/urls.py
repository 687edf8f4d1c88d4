"""Guards every view in an ``include()``."""

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, URLResolver, include

__all__ = ["Included", "guard_urls"]

Included = tuple[list[URLPattern | URLResolver], str | None, str | None]


def guard_urls(urls: Any, guard: Callable[[Any], Any]) -> Included:
    """The result of ``include(urls)`` with every view guarded. The given patterns are not changed."""
    if not (isinstance(urls, tuple) and len(urls) == 3):
        urls = include(urls)
    module, app_name, namespace = urls
    patterns = getattr(module, "urlpatterns", module)
    return [_guard_pattern(pattern, guard) for pattern in patterns], app_name, namespace


def _guard_pattern(pattern: Any, guard: Callable[[Any], Any]) -> Any:
    if isinstance(pattern, URLPattern):
        return type(pattern)(pattern.pattern, guard(pattern.callback), pattern.default_args, pattern.name)
    return type(pattern)(
        pattern.pattern,
        [_guard_pattern(child, guard) for child in pattern.url_patterns],
        pattern.default_kwargs,
        pattern.app_name,
        pattern.namespace,
    )
