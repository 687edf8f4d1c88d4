"""Lines for the site's log. Code of the site's own, filters above all, runs for each, and may fail."""

import logging
from collections.abc import Mapping
from typing import Any

__all__ = ["write"]


def write(
    logger: logging.Logger, level: int, message: str, *arguments: object, extra: Mapping[str, Any] | None = None
) -> None:
    """As ``logger.log`` does; but a log that fails is no reason to answer a request otherwise."""
    try:
        logger.log(level, message, *arguments, extra=extra, stacklevel=2)
    except Exception:
        # A filter or a record factory of the site's: told where logging tells what handlers raise.
        record = logging.LogRecord(logger.name, level, __file__, 0, message, (), None)
        logging.Handler().handleError(record)
