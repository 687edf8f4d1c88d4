"""Each kind of view, guarded with `require_oauth`.

``request.oauth_token`` of a guarded view is the row of the token model. Its user is already loaded.
"""

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import View
from django.views.decorators.http import require_POST

from async_oauth_guard import ProtectedResourceMixin, require_oauth

from .models import OAuth2Token


class GuardedRequest(HttpRequest):
    """For type checkers: the request of a view behind `require_oauth`."""

    oauth_token: OAuth2Token


class OptionallyGuardedRequest(HttpRequest):
    """For type checkers: the request of a view behind ``require_oauth(optional=True)``."""

    oauth_token: OAuth2Token | None


# --- Function views ---------------------------------------------------------------------------------------------------


@require_oauth("profile")
async def profile(request: GuardedRequest) -> HttpResponse:
    """An async view that requires one scope."""
    return JsonResponse({"username": _username(request.oauth_token)})


@require_oauth(["profile email", "user"])
def contact(request: GuardedRequest) -> HttpResponse:
    """A sync view that requires (profile AND email) OR user."""
    return JsonResponse({"username": _username(request.oauth_token), "scope": request.oauth_token.scope})


@require_oauth
async def token_info(request: GuardedRequest) -> HttpResponse:
    """An async view that accepts any valid token."""
    token = request.oauth_token
    return JsonResponse({"client_id": token.client_id, "username": _username(token), "scope": token.scope})


@require_oauth(optional=True)
async def timeline(request: OptionallyGuardedRequest) -> HttpResponse:
    """An async view with an optional token: without one, there is no user."""
    reader = None if request.oauth_token is None else _username(request.oauth_token)
    return JsonResponse({"reader": reader, "method": request.method})


@require_oauth(require_user=True)
async def me(request: GuardedRequest) -> HttpResponse:
    """An async view that requires a user. It refuses tokens that a client got for itself."""
    return JsonResponse({"username": _user(request.oauth_token).get_username()})


@require_POST
@require_oauth("messages:write")
async def send_message(request: GuardedRequest) -> HttpResponse:
    """An async view that changes data. It needs no CSRF token, because browsers never add an access token."""
    return JsonResponse({"sent": request.POST.get("text", "")}, status=201)


async def is_own_page(request: HttpRequest, token: OAuth2Token) -> bool:
    """Whether the user in the URL is the user of the token."""
    assert request.resolver_match is not None
    owner: str = request.resolver_match.kwargs["username"]
    return owner == _username(token)


@require_oauth("profile", check=is_own_page)
def diary(request: GuardedRequest, username: str) -> HttpResponse:
    """A sync view with a condition that no scope can express."""
    return JsonResponse({"diary_of": username})


# --- Class-based views ------------------------------------------------------------------------------------------------


@require_oauth("profile", require_user=True)
class Account(View):
    """A class of async methods. The guard covers all of them."""

    async def get(self, request: GuardedRequest) -> HttpResponse:
        user = _user(request.oauth_token)
        return JsonResponse({"username": user.get_username(), "joined": user.date_joined})

    async def post(self, request: GuardedRequest) -> HttpResponse:
        user = _user(request.oauth_token)
        user.first_name = request.POST.get("first_name", "")
        await user.asave(update_fields=["first_name"])
        return JsonResponse({"username": user.get_username(), "first_name": user.first_name})


@require_oauth({"GET": "notes:read", "POST": "notes:write"}, require_user=True)
class Notes(View):
    """A class of sync methods, each with its own scope. HEAD requires the scope of GET. Other methods are refused."""

    def get(self, request: GuardedRequest) -> HttpResponse:
        user = _user(request.oauth_token)
        return JsonResponse({"owner": user.get_username(), "notes": [note.text for note in user.notes.all()]})

    def post(self, request: GuardedRequest) -> HttpResponse:
        user = _user(request.oauth_token)
        note = user.notes.create(text=request.POST.get("text", "")[:200])
        return JsonResponse({"owner": user.get_username(), "note": note.text}, status=201)


class Drafts(ProtectedResourceMixin, View):
    """A class that is guarded with a mixin instead of a decorator."""

    required_scopes = "notes:read"

    async def get(self, request: GuardedRequest) -> HttpResponse:
        return JsonResponse({"drafts_of": _username(request.oauth_token)})


# --- Views without a decorator -----------------------------------------------------------------------------


async def daily_report(request: HttpRequest) -> HttpResponse:
    """An async view, guarded in the URL configuration."""
    return JsonResponse({"report": "daily"})


def yearly_report(request: HttpRequest, year: int) -> HttpResponse:
    """A sync view, guarded in the URL configuration."""
    return JsonResponse({"report": year})


async def health(request: HttpRequest) -> HttpResponse:
    """A view without a guard."""
    return JsonResponse({"status": "ok"})


@require_POST
async def feedback(request: HttpRequest) -> HttpResponse:
    """An unguarded view that changes data. Django's CSRF check applies as usual."""
    return JsonResponse({"thanks": True}, status=201)


def _user(token: OAuth2Token) -> User:
    """The token's user, for views where `require_user=True` guarantees one."""
    assert token.user is not None
    return token.user


def _username(token: OAuth2Token) -> str | None:
    return None if token.user is None else token.user.get_username()
