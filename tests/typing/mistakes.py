"""User code that must not type-check: each line that is ignored has an error, or the checkers would say so."""

from django.http import HttpRequest, HttpResponse

from async_oauth_guard import ResourceProtector, require_oauth


@require_oauth("profile")
def view(request: HttpRequest, year: int) -> HttpResponse:
    return HttpResponse(str(year))


view(HttpRequest(), "2026")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
require_oauth(7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
require_oauth("profile", optional="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
ResourceProtector(compat="toolkit")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ResourceProtector(set_user="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ResourceProtector(render_error=lambda request: HttpResponse())  # type: ignore[arg-type,misc]  # pyright: ignore[reportArgumentType]
