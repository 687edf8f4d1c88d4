"""Writes to the log. Site code such as logging filters runs for each record, and may raise errors."""

import logging
from collections.abc import Mapping
from typing import Any

__all__ = ["write"]


def write(
    logger: logging.Logger,
    level: int,
    message: str,
    *arguments: object,
    extra: Mapping[str, Any] | None = None,
    error: BaseException | None = None,
) -> None:
    """Log like ``logger.log``, but never raise: a failure of logging must not change the response to a request."""
    try:
        logger.log(level, message, *arguments, exc_info=error, extra=extra, stacklevel=2)
    except Exception:
        # A filter or a record factory raised. Report it as logging reports errors of handlers: on standard error.
        record = logging.LogRecord(logger.name, level, __file__, 0, message, (), None)
        logging.Handler().handleError(record)
