"""What the docs page of Django Ninja needs for its *Authorize* button."""

import json
from posixpath import dirname
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase, Swagger

from ...diagnostics.review import mark_reviewed

__all__ = ["install_docs_page", "oauth2_redirect"]

# The page that opened this one waits for the code (RFC 6749 §4.1.2). The functions are those of Swagger UI.
_REDIRECT_PAGE = """<!doctype html>
<title>Authorization</title>
<script>
"use strict";
const flow = window.opener.swaggerUIRedirectOauth2;
const response = Object.fromEntries(new URLSearchParams(window.location.search));
const fail = (message) => flow.errCb({authId: flow.auth.name, source: "auth", level: "error", message});
if (response.state !== flow.state) {
  fail("The response has another state than the request.");
} else if (!response.code) {
  fail([response.error, response.error_description].filter(Boolean).join(": ") || "The response has no code.");
} else {
  delete flow.state;
  flow.auth.code = response.code;
  flow.callback({auth: flow.auth, redirectUrl: flow.redirectUrl});
}
window.close();
</script>
"""


def install_docs_page(api: NinjaAPI, client_id: str | None) -> None:
    """Let the page use PKCE (RFC 7636), and serve the page next to it to which the authorization server redirects."""
    if not (api.openapi_url and api.docs_url and isinstance(api.docs, Swagger)):
        return
    api.docs = _AuthorizingDocs(api.docs, client_id)
    # Swagger UI expects it there.
    path = f"{dirname(api.docs_url).rstrip('/')}/oauth2-redirect.html"
    api.get(path, auth=None, include_in_schema=False)(oauth2_redirect)


@mark_reviewed("static page of the API's documentation")
def oauth2_redirect(request: HttpRequest) -> HttpResponse:
    """The page to which the authorization server redirects (RFC 6749 §4.1.2)."""
    # SecurityMiddleware's default would separate this window from the one that opened it.
    return HttpResponse(_REDIRECT_PAGE, headers={"Cross-Origin-Opener-Policy": "unsafe-none"})


class _AuthorizingDocs(DocsBase):
    def __init__(self, docs: DocsBase, client_id: str | None) -> None:
        self._docs = docs
        config = {"usePkceWithAuthorizationCodeGrant": True, **({"clientId": client_id} if client_id else {})}
        # In JSON, only a "<" in a string could end the script.
        arguments = json.dumps(config).replace("<", r"\u003c")
        self._script = f"<script>ui.initOAuth({arguments});</script>".encode()

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        response = self._docs.render_page(request, api, **kwargs)
        response.content = response.content.replace(b"</body>", self._script + b"</body>")
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
        return response
