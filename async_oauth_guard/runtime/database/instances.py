"""Performs `effects.ReadModel`: reads from model instances, whose methods may query the database."""

from typing import Any

from django.core.exceptions import SynchronousOnlyOperation

from ..effects import ReadModel
from ..request_thread import in_request_thread

__all__ = ["aread_model", "read_model"]

# Models whose methods query the database. All reads of them run on the request's thread.
_QUERYING_MODELS: set[type] = set()


def read_model(effect: ReadModel) -> Any:
    """Read on this thread."""
    return effect.read(effect.instance)


async def aread_model(effect: ReadModel) -> Any:
    """Read on this event loop, or on the request's thread if the model's methods block or query."""
    model = type(effect.instance)
    if not effect.blocking and model not in _QUERYING_MODELS:
        try:
            return read_model(effect)
        except SynchronousOnlyOperation:
            _QUERYING_MODELS.add(model)
    return await in_request_thread(read_model, effect)
