"""``python -m tests.demo.screenshots``: takes the screenshots of `docs/demo.md`."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from demo_asgi.processes import running
from tests.demo.browser import running_browser
from tests.demo.processes import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = ROOT / "docs" / "images"
WIDE = 1280
NARROW = 390
HEIGHT = 1200
SPACE = 24
"""All in pixels."""
HALF = 2400
"""Milliseconds for half of the load."""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        database = str(Path(folder) / "demo.sqlite3")
        with running("demo_asgi", "--port", "0", "--database", database) as origin:
            for theme in ("light", "dark"):
                take(browser, origin, theme)
            take_narrow(browser, origin)


def take(browser: "Browser", origin: str, theme: Literal["light", "dark"]) -> None:
    page = browser.new_page(viewport={"width": WIDE, "height": HEIGHT}, color_scheme=theme, reduced_motion="reduce")
    fill(page, origin)
    play_half(page)
    page.screenshot(path=FOLDER / f"demo-start-{theme}.png")
    for part, cell in (("results", "Rows of the database, Bob, on /profile"), ("more", "No nonce, on /nonce/sync")):
        to_top(page, part)
        page.get_by_role("button", name=cell).hover()
        page.screenshot(path=FOLDER / f"demo-{part}-{theme}.png")
    page.mouse.move(0, 0)
    for part in ("socket", "request", "load"):
        take_part(page, f"demo-{part}-{theme}", f"#{part}")
    page.close()


def take_narrow(browser: "Browser", origin: str) -> None:
    page = browser.new_page(viewport={"width": NARROW, "height": HEIGHT}, color_scheme="light", reduced_motion="reduce")
    fill(page, origin)
    to_top(page, "results")
    page.screenshot(path=FOLDER / "demo-narrow.png")
    page.close()


def fill(page: "Page", origin: str) -> None:
    """Open the page, and use all of its parts."""
    page.clock.install()
    page.goto(origin)
    for grid in ("tokens", "bound"):
        page.wait_for_selector(f"#{grid}-summary:has-text('requests in')")
    for _ in range(4):
        page.locator("#tour-next").click()
        page.wait_for_selector("#tour-next:not([aria-disabled])")
    page.locator("#socket-open").click()
    page.wait_for_selector("#socket-state:has-text('3000')")
    page.get_by_role("button", name="JWTs, Expired, on /jwt/async").click()
    page.wait_for_selector("#sent .glyph")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); document.querySelector('.scroll').scrollTo(0, 0); scrollTo(0, 0)")


def play_half(page: "Page") -> None:
    """Send the load again, and play half of it."""
    page.emulate_media(reduced_motion="no-preference")
    page.clock.pause_at("2040-01-01")
    with page.expect_response("**/page/load"):
        page.locator("#run-load").click()
    page.wait_for_selector("#run-load:not([aria-disabled])")
    page.clock.run_for(HALF)
    page.mouse.move(0, 0)


def to_top(page: "Page", part: str) -> None:
    """Scroll until this part of the page begins at the top of the window."""
    page.evaluate("(id) => document.getElementById(id).scrollIntoView()", part)


def take_part(page: "Page", name: str, selector: str) -> None:
    """Take a screenshot of one part of the page, as wide as the page."""
    # The sticky head would cover the part.
    page.evaluate("document.querySelector('.top').style.position = 'static'; scrollTo(0, 0)")
    box = page.locator(selector).bounding_box()
    assert box is not None
    clip = {"x": 0, "y": box["y"] + SPACE / 2, "width": WIDE, "height": box["height"] + SPACE / 2}
    page.screenshot(path=FOLDER / f"{name}.png", full_page=True, clip=clip)


if __name__ == "__main__":
    main()
