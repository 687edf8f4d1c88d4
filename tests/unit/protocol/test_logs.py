"""Writes to the log never raise."""

import logging
from collections.abc import Iterator

import pytest

from async_oauth_guard.protocol import logs

logger = logging.getLogger("async_oauth_guard.tests.logs")


@pytest.fixture
def faulty() -> Iterator[None]:
    """The site's filter raises an error for each record."""

    def fail(record: logging.LogRecord) -> bool:
        raise KeyError("of the filter")

    logger.addFilter(fail)
    yield
    logger.removeFilter(fail)


def test_written(caplog: pytest.LogCaptureFixture) -> None:
    """A record has the text, the level, the error and the values of its own. It names the caller's file."""
    error = ValueError("of the site")
    logs.write(logger, logging.WARNING, "%s is %d", "x", 7, extra={"reason": "expired"}, error=error)
    [record] = caplog.records
    assert (record.getMessage(), record.levelno, record.pathname) == ("x is 7", logging.WARNING, __file__)
    assert record.exc_info is not None
    assert (record.exc_info[1], vars(record)["reason"]) == (error, "expired")


@pytest.mark.usefixtures("faulty")
def test_filter_that_raises(capsys: pytest.CaptureFixture[str]) -> None:
    """The error of a filter is reported on standard error, as logging does for handlers, and the caller goes on."""
    logs.write(logger, logging.ERROR, "what happened")
    report = capsys.readouterr().err
    assert "KeyError: 'of the filter'" in report
    assert "Message: 'what happened'" in report
