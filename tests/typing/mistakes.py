"""User code that must not type-check: each line that is ignored has an error, or the checkers would say so."""

from django.http import HttpRequest, HttpResponse

from async_oauth_guard import IntrospectTokenValidator, JWTBearerTokenValidator, ResourceProtector, require_oauth


@require_oauth("profile")
def view(request: HttpRequest, year: int) -> HttpResponse:
    return HttpResponse(str(year))


view(HttpRequest(), "2026")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
require_oauth(7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
require_oauth("profile", optional="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
require_oauth.asgi(view)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
require_oauth.asgi("project.asgi.application")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
require_oauth("profile", until_expiry="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
ResourceProtector(compat="toolkit")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ResourceProtector(set_user="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ResourceProtector(render_error=lambda request: HttpResponse())  # type: ignore[arg-type,misc]  # pyright: ignore[reportArgumentType]
ResourceProtector(cache=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
JWTBearerTokenValidator()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
JWTBearerTokenValidator("i", verify=False)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
JWTBearerTokenValidator("i", algorithms=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
IntrospectTokenValidator(client_auth="basic")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
IntrospectTokenValidator(max_concurrency=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
IntrospectTokenValidator(signed_responses="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
