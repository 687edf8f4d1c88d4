"""The demo's front page in a real Chromium without a window, for several modules of tests."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.demo import browser
from tests.demo.page import PageClient, until
from tests.demo.processes import DEADLINE

reason = browser.why_missing()
if reason and browser.REQUIRED:
    raise RuntimeError(reason)
if reason:
    # This also skips the modules that import this one.
    pytest.skip(reason, allow_module_level=True)

from playwright.sync_api import Browser, Locator, Page, Route, ViewportSize, expect  # noqa: E402

TIMEOUT = DEADLINE * 1000
"""Milliseconds for any wait of a test."""
VIEWPORT: ViewportSize = {"width": 1280, "height": 900}
POLL = 5_000
"""Milliseconds after which the page requests the state of the authorization server again."""

PENDING = re.compile(r"^(Sending…)?$")
DONE = re.compile(r"\d+ requests in [\d.]+ s: ([^A-Z]+)\.")
UNAVAILABLE = re.compile(r"×\s503")
WITHOUT_503 = re.compile(r"s: (?!.*503)[^A-Z]+\.$")

REFUSALS = ("Failed to load resource:", "WebSocket connection to ")

expect.set_options(timeout=TIMEOUT)


class Visit:
    """An open page, the errors in its console, and the hosts that it sent requests to."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.hosts: set[str | None] = set()
        page.set_default_timeout(TIMEOUT)
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        # The clock runs normally until a test moves it.
        page.clock.install()
        page.goto(origin)
        self.until_done()

    def _note(self, kind: str, text: str) -> None:
        # Chromium reports each response of 400 or more as an error. Here they are expected.
        if kind in ("error", "warning") and not text.startswith(REFUSALS):
            self.errors.append(text)

    def until_done(self, pattern: re.Pattern[str] = DONE) -> Counter[int]:
        """Wait until the grid is filled and its summary matches. Return how often each status is in it."""
        # Read the text in one step, because the page may change it at any time.
        summary = self.page.locator("#tokens-summary").filter(has_text=pattern).inner_text()
        done = DONE.search(summary)
        assert done is not None, summary
        return Counter({int(status): int(count) for count, status in re.findall(r"(\d+)\s×\s(\d+)", done[1])})

    def until_polled(self) -> None:
        """Move the page's clock to its next poll."""
        self.page.clock.fast_forward(POLL)

    def cell(self, token: str, path: str) -> Locator:
        return self.page.get_by_role("button", name=f"{token}, on {path}: ")

    def prepare(self, view: str, token: str, scheme: str = "Bearer") -> None:
        """Put a request together."""
        self.page.get_by_label("View", exact=True).select_option(view)
        self.page.get_by_label("Token", exact=True).select_option(token)
        # Choosing a token also chooses its scheme.
        self.page.get_by_label("Scheme", exact=True).select_option(scheme)

    def choose(self, view: str, token: str, scheme: str = "Bearer") -> None:
        """Put a request together, send it, and wait for the steps."""
        self.prepare(view, token, scheme)
        self.page.locator("#steps").evaluate("steps => steps.replaceChildren()")
        self.page.get_by_role("button", name="Send the request").click()
        expect(self.page.locator("#steps")).not_to_have_text(PENDING)

    @contextmanager
    def responding(self, pattern: str, **response: Any) -> Iterator[list[str]]:
        """Respond with ``response`` to each request for ``pattern``, in place of the demo. Return their URLs."""
        urls: list[str] = []

        def respond(route: Route) -> None:
            urls.append(route.request.url)
            route.fulfill(**response)

        self.page.route(pattern, respond)
        try:
            yield urls
        finally:
            self.page.unroute(pattern)

    def hold(self, pattern: str) -> list[Route]:
        """Hold the next request for ``pattern`` until the test continues or aborts it."""
        held: list[Route] = []

        # Once the last handler of a page is gone, Playwright continues what it held. So this one stays.
        def hold_the_first(route: Route) -> None:
            if held:
                route.continue_()
            else:
                held.append(route)

        self.page.route(pattern, hold_the_first)
        return held


@contextmanager
def visiting(chromium: Browser, origin: str, client: PageClient) -> Iterator[Visit]:
    """Open the page in a wide window. At the end, check that it had no errors and used no other host."""
    page = chromium.new_page(viewport=VIEWPORT, reduced_motion="reduce")
    visit = Visit(page, origin)
    yield visit
    page.close()
    client.post("authority", down=False, slow=False)
    assert visit.errors == []
    assert visit.hosts == {"127.0.0.1"}


def focused(page: Page) -> str:
    text: str = page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
    return text


# --- Fixtures for modules that import them ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.running_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def client(demo: str) -> Iterator[PageClient]:
    client = PageClient(demo)
    # Other tests may have given the server a fault.
    until(client.has_recovered)
    yield client
    client.close()


@pytest.fixture(scope="module")
def visit(chromium: Browser, demo: str, client: PageClient) -> Iterator[Visit]:
    """One page for all tests of a module."""
    with visiting(chromium, demo, client) as visit:
        yield visit
