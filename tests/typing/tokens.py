"""The types of the tokens that a view gets, and that the methods for use without a decorator return."""

from typing import Any, assert_type

from django.http import HttpRequest, HttpResponse, JsonResponse

from async_oauth_guard import (
    AccessToken,
    BearerTokenValidator,
    GuardError,
    InvalidTokenError,
    OAuth2Error,
    Reason,
    ResourceProtector,
    TemporarilyUnavailableError,
    TokenValidator,
    render_json,
    render_problem,
    token_authenticated,
    token_rejected,
)


def view(request: HttpRequest) -> HttpResponse:
    token = AccessToken.of(request)
    if token is None:
        return HttpResponse()
    assert_type(token, AccessToken)
    assert_type(token.scopes, frozenset[str])
    assert_type(token.subject, str | None)
    assert_type(token.client_id, str | None)
    assert_type(token.issuer, str | None)
    assert_type(token.audience, tuple[str, ...])
    assert_type(token.expires_at, float | None)
    assert_type(token.is_expired(), bool)
    assert_type(token.is_revoked(), bool)
    assert_type(token.get_scope(), str | None)
    return JsonResponse({**token, "user": token.user.pk, "type": token.token_type})


def render(request: HttpRequest, error: GuardError) -> HttpResponse:
    assert_type(error.reason, Reason)
    assert_type(error.challenge, str | None)
    assert_type(error.retry_after, int | None)
    assert_type(error.scope, tuple[str, ...])
    if error.reason is Reason.EXPIRED:
        return render_problem(request, error)
    return render_json(request, error)


class Subclass(HttpResponse):
    pass


def render_with_subclass(request: HttpRequest, error: GuardError) -> Subclass:
    return Subclass()


class PrefixValidator(TokenValidator):
    TOKEN_TYPE = "bearer"

    def recognises(self, token: str) -> bool:
        return token.startswith("v1.")

    def authenticate_token(self, token_string: str) -> Any:
        return {"scope": "a"}

    def validate_request(self, request: Any) -> None:
        raise InvalidTokenError("which?", reason=Reason.REVOKED)


class OwnModelValidator(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return super().authenticate_token(token_string.removeprefix("v1."))


ResourceProtector(render_error=render)
ResourceProtector(render_error=render_with_subclass)
ResourceProtector(render_error=render_problem, compat="authlib")
protector = ResourceProtector(
    PrefixValidator("r", server="s"),
    BearerTokenValidator("accounts.OAuth2Token", "r", lookup="token_hash", digest="sha256", server="s"),
    BearerTokenValidator.for_django_oauth_toolkit(realm="r", require_active_user=False),
)
protector.register_token_validator(OwnModelValidator("accounts.OAuth2Token"))


def methods(request: HttpRequest, presented: str) -> None:
    try:
        protector.acquire_token(request, "profile", groups=["staff"])
        protector.validate_token(presented, ["a b", "c"], uri="https://api.example.com/x")
    except TemporarilyUnavailableError as error:
        print(error.retry_after)
    except OAuth2Error as error:
        print(error.status_code, error.get_body())


async def adoors(request: HttpRequest, presented: str) -> None:
    await protector.aacquire_token(request, "profile", groups=["staff"])
    await protector.avalidate_token(presented, {"*": "a"}, uri=None)


def receiver(sender: type[ResourceProtector], **kwargs: Any) -> None:
    pass


token_authenticated.connect(receiver)
token_rejected.connect(receiver)
