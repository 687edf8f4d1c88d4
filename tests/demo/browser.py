"""The system's Chromium. Nothing is downloaded."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REQUIRED = os.environ.get("OAUTH_GUARD_TEST_BROWSER") == "required"
"""Whether a missing browser is a failure."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Chromium's own requests to the network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


def why_missing() -> str | None:
    """Say what is missing to run a browser. ``None`` if nothing is."""
    if importlib.util.find_spec("playwright") is None:
        return "Playwright is not installed (the extra `browser` has it)."
    if executable() is None:
        return f"There is no Chromium here: none of {', '.join(NAMES)} is on the PATH."
    return None


@contextmanager
def running_browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
