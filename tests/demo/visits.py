"""The demo's front page, open in a real Chromium without a window: what its tests have in common."""

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
    # With this module, those that import it are skipped.
    pytest.skip(reason, allow_module_level=True)

from playwright.sync_api import Browser, Locator, Page, Route, expect  # noqa: E402

TIMEOUT = DEADLINE * 1000
"""Milliseconds for anything that a test waits for."""
POLL = 5_000
"""Milliseconds after which the page looks again how the authorization server does."""

NOT_ASKED = re.compile(r"^(Asking…)?$")
ASKED = re.compile(r"\d+ requests in [\d.]+ s: ([^A-Z]+)\.")
UNAVAILABLE = re.compile(r"×\s503")
WITHOUT_TROUBLE = re.compile(r"s: (?!.*503)[^A-Z]+\.$")

REFUSALS = ("Failed to load resource:", "WebSocket connection to ")

expect.set_options(timeout=TIMEOUT)


class Visit:
    """A page that is open, and what it complained about or asked for meanwhile."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str | None] = set()
        page.set_default_timeout(TIMEOUT)
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        # It goes as any clock does, until a test moves it.
        page.clock.install()
        page.goto(origin)
        self.until_asked()

    def _note(self, kind: str, text: str) -> None:
        # Chromium calls each answer of 400 or more an error: here they are what the page is for.
        if kind in ("error", "warning") and not text.startswith(REFUSALS):
            self.complaints.append(text)

    def until_asked(self, wanted: re.Pattern[str] = ASKED) -> Counter[int]:
        """Wait until the grid is filled and its summary as ``wanted``; how often each status is in it."""
        # In one step: the page may ask again at any time, and then it says something else.
        summary = self.page.locator("#tokens-summary").filter(has_text=wanted).inner_text()
        asked = ASKED.search(summary)
        assert asked is not None, summary
        return Counter({int(status): int(count) for count, status in re.findall(r"(\d+)\s×\s(\d+)", asked[1])})

    def until_polled(self) -> None:
        """Move the page's clock to where it looks again by itself."""
        self.page.clock.fast_forward(POLL)

    def cell(self, token: str, path: str) -> Locator:
        return self.page.get_by_role("button", name=f"{token}, on {path}: ")

    def prepare(self, view: str, token: str, scheme: str = "Bearer") -> None:
        """Put a request together."""
        self.page.get_by_label("View", exact=True).select_option(view)
        self.page.get_by_label("Token", exact=True).select_option(token)
        # A token comes with a scheme of its own.
        self.page.get_by_label("Scheme", exact=True).select_option(scheme)

    def choose(self, view: str, token: str, scheme: str = "Bearer") -> None:
        """Put a request together, send it, and wait for its answer."""
        self.prepare(view, token, scheme)
        self.page.locator("#steps").evaluate("steps => steps.replaceChildren()")
        self.page.get_by_role("button", name="Send the request").click()
        expect(self.page.locator("#steps")).not_to_have_text(NOT_ASKED)

    @contextmanager
    def answering(self, pattern: str, **answer: Any) -> Iterator[list[str]]:
        """In the place of the demo, ``answer`` is what comes of each request for ``pattern``; these are listed."""
        asked: list[str] = []

        def take(route: Route) -> None:
            asked.append(route.request.url)
            route.fulfill(**answer)

        self.page.route(pattern, take)
        try:
            yield asked
        finally:
            self.page.unroute(pattern)

    def hold(self, pattern: str) -> list[Route]:
        """The next request for ``pattern``, which waits until it is let go on."""
        held: list[Route] = []
        self.page.route(pattern, lambda route: held.append(route), times=1)
        return held


@contextmanager
def visiting(chromium: Browser, origin: str, client: PageClient) -> Iterator[Visit]:
    """The page, wide and light; at the end, nobody has complained, and nothing has left this machine."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    visit = Visit(page, origin)
    yield visit
    page.close()
    client.call("authority", down=False, slow=False)
    assert visit.complaints == []
    assert visit.hosts == {"127.0.0.1"}


# --- Fixtures, of the modules that name them --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.running_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def client(demo: str) -> Iterator[PageClient]:
    client = PageClient(demo)
    # Rows first, then what other tests did to the server is forgotten.
    until(client.is_answered)
    yield client
    client.close()


@pytest.fixture(scope="module")
def visit(chromium: Browser, demo: str, client: PageClient) -> Iterator[Visit]:
    """One page for all tests of a module."""
    with visiting(chromium, demo, client) as visit:
        yield visit
