"""The *Authorize* button of Ninja's docs page, in a real Chromium: RFC 6749 §4.1 with PKCE."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import ninja
import pytest

from async_oauth_guard.testing import FakeAuthorizationServer, ServerRequest, ServerResponse
from tests.demo import visits
from tests.demo.visits import Browser, Page, Route, expect
from tests.servers import serve

# Starts a browser.
pytestmark = pytest.mark.slow

chromium = visits.chromium
AUDIENCE = "https://api.example"
STATIC = Path(ninja.__file__).parent / "static" / "ninja"


class Codes:
    """The authorization endpoint and the token endpoint of a server, which a page of another origin may use."""

    def __init__(self) -> None:
        self.server = FakeAuthorizationServer(audience=AUDIENCE, respond=self.respond).on_port()
        self.requests: list[dict[str, str]] = []
        self.refuses = False

    def respond(self, request: ServerRequest) -> ServerResponse | None:
        if request.path == "/authorize":
            return self._authorize(dict(parse_qsl(urlsplit(request.url).query)))
        if request.path == "/codes":
            allowed = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*, Authorization"}
            return self._redeem(request, allowed) if request.method == "POST" else ServerResponse(204, b"", allowed)
        return None

    def _authorize(self, query: dict[str, str]) -> ServerResponse:
        """Ask nobody, and send the browser back."""
        self.requests.append(query)
        result = {"error": "access_denied"} if self.refuses else {"code": "the-code"}
        location = f"{query['redirect_uri']}?{urlencode({**result, 'state': query['state']})}"
        return ServerResponse(302, b"", {"Location": location})

    def _redeem(self, request: ServerRequest, headers: dict[str, str]) -> ServerResponse:
        query, form = self.requests[-1], request.form
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        # RFC 7636 §4.6
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == query["code_challenge"]
        assert (form["code"], form["client_id"], query["client_id"]) == ("the-code", "docs", "docs")
        token = self.server.jwt(query["scope"], subject="reader")
        return ServerResponse.json({"access_token": token, "token_type": "Bearer", "expires_in": 60}, headers=headers)


@pytest.fixture
def codes() -> Iterator[Codes]:
    codes = Codes()
    with codes.server:
        yield codes


@pytest.fixture
def page(chromium: Browser, codes: Codes) -> Iterator[Page]:
    """The docs page, with a wide window."""
    with serve("tests.openapi.ninja_urls", NINJA_DOCS_ISSUER=codes.server.issuer) as site:
        context = chromium.new_context(viewport={"width": 1280, "height": 1200})
        page = context.new_page()
        page.set_default_timeout(visits.TIMEOUT)
        # Ninja loads Swagger UI from there, unless it is in INSTALLED_APPS. Nothing is downloaded.
        page.route("https://cdn.jsdelivr.net/**", fulfill)
        page.route("https://django-ninja.dev/**", lambda route: route.abort())
        page.goto(f"http://127.0.0.1:{site.port}/api/docs")
        yield page
        context.close()


def fulfill(route: Route) -> None:
    route.fulfill(path=STATIC / urlsplit(route.request.url).path.rpartition("/")[2])


def authorize(page: Page) -> None:
    """Choose all scopes, and ask the authorization server. Its window closes by itself."""
    page.get_by_role("button", name="Authorize").first.click()
    page.locator("label", has_text="notes:read").click()
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Apply given OAuth2 credentials").click()
    # Playwright notices events only while one of its methods runs.
    if not opened.value.is_closed():
        opened.value.wait_for_event("close")


def test_authorize(page: Page, codes: Codes) -> None:
    """The page gets a token in a second window, and uses it for its requests."""
    authorize(page)
    expect(page.get_by_role("button", name="Remove authorization")).to_be_visible()
    [query] = codes.requests
    assert query["scope"] == "notes:read"
    assert query["redirect_uri"] == page.url.rpartition("/")[0] + "/oauth2-redirect.html"
    page.get_by_role("button", name="Close").first.click()
    page.locator(".opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    live = page.locator(".live-responses-table")
    expect(live).to_contain_text("200")
    expect(live).to_contain_text(re.compile(r'"sub": "reader"'))


def test_refused(page: Page, codes: Codes) -> None:
    """The page shows that the server refused."""
    codes.refuses = True
    authorize(page)
    expect(page.locator(".auth-container .errors").first).to_contain_text("access_denied")
