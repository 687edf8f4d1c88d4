"""The files of the page, with a Content Security Policy."""

from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from ..index import index

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Read once, because a view on the event loop must not wait for the disk.
FILES = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}

# Scripts, styles and requests of this site only. Scripts cannot turn text into markup.
_ALLOWED = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
POLICY = "; ".join(f"{name} {value}" for name, value in _ALLOWED.items())


@require_safe
async def front(request: HttpRequest) -> HttpResponse:
    """The front page for browsers; for programs, the routes of this site."""
    # Clients that accept any type, such as curl, get JSON.
    media_type = request.get_preferred_type(["application/json", "text/html"])
    response = file_response("index.html") if media_type == "text/html" else await index(request)
    patch_vary_headers(response, ["Accept"])
    return response


@require_safe
async def static(request: HttpRequest, name: str) -> HttpResponse:
    """A file of the front page."""
    if name not in FILES:
        raise Http404
    return file_response(name)


def file_response(name: str) -> HttpResponse:
    response = HttpResponse(FILES[name], content_type=TYPES[Path(name).suffix])
    response["Content-Security-Policy"] = POLICY
    # After an update of the demo, browsers must not mix old and new files.
    response["Cache-Control"] = "no-cache"
    return response
