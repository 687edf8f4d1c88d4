"""Of several guards of one protector around a view, only the first finds the token. Each checks what it requires."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, JsonResponse

from async_oauth_guard import AccessToken, BearerTokenValidator, ResourceProtector, TokenValidator
from async_oauth_guard.testing import FakeAuthorizationServer
from async_oauth_guard.validators import jwt_verification
from tests.answers import bearer
from tests.conftest import Committed
from tests.kit.guarded_sites import CLIENTS, SEND, introspecting, verifying
from tests.proofs import dpop, make_proof, thumbprint
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

sync_and_async = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module", autouse=True)
def _rows(committed: Committed) -> None:
    committed.token(access_token="nested", groups=["staff"])
    committed.token(access_token="other-nested")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeAuthorizationServer]:
    with FakeAuthorizationServer(clients=CLIENTS) as running:
        yield running


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Counts the calls of a function, or those that have ``within`` in their arguments."""

    def count(owner: Any, name: str, within: str = "") -> list[int]:
        original, calls = getattr(owner, name), list[int]()

        def counting(*args: Any, **kwargs: Any) -> Any:
            # Some databases get other queries too when a connection opens.
            if not within or within in str(args[1:]).lower():
                calls.append(1)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)
        return calls

    return count


@sync_and_async
def test_rows(mode: str, counted: Any) -> None:
    """One lookup serves three guards, of which each has its own requirements."""
    queries = counted(CursorWrapper, "execute", "oauth2token")
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token))
    for scopes, status in (("profile", 200), ("other", 403)):
        queries.clear()
        view = protector("profile")(protector(groups="staff")(protector(scopes)(Witness().view(mode))))
        with serving(view):
            assert SEND[mode]("/", bearer("nested")).status == status
        assert len(queries) == 1
    with serving(view):
        assert SEND[mode]("/", bearer("other-nested")).status == 403


@sync_and_async
def test_remembered(mode: str, server: FakeAuthorizationServer, counted: Any) -> None:
    """The guard outside remembers a JWT, and tells the one inside."""
    signatures = counted(jwt_verification, "verify_signature")
    protector = ResourceProtector(verifying())
    view = protector("profile")(protector(groups=None, require_user=False)(Witness().view(mode)))
    headers = bearer(server.jwt("profile"))
    with serving(view):
        for _ in range(4):
            assert SEND[mode]("/", headers).status == 200
    assert len(signatures) == 1


@sync_and_async
@pytest.mark.parametrize(("outer", "inner", "calls"), [(True, True, 1), (False, True, 2), (True, False, 1)])
def test_fresh(outer: bool, inner: bool, calls: int, mode: str, server: FakeAuthorizationServer) -> None:
    """A guard that requires a fresh result gets one, unless the one outside got one for the same request."""
    protector = ResourceProtector(introspecting())
    before = len(server.calls_to("introspection"))
    view = protector("profile", fresh=outer)(protector("profile", fresh=inner)(Witness().view(mode)))
    with serving(view):
        assert SEND[mode]("/", bearer(server.opaque("profile"))).status == 200
    assert len(server.calls_to("introspection")) - before == calls


@sync_and_async
def test_proofs(mode: str, server: FakeAuthorizationServer) -> None:
    """A proof is spent once."""
    protector = ResourceProtector(verifying(), dpop=True)
    token = server.jwt("profile", claims={"cnf": {"jkt": thumbprint()}})
    headers = dpop(token, make_proof(token))
    with serving(protector("profile")(protector("profile", sender_constrained=True)(Witness().view(mode)))):
        assert SEND[mode]("/", headers).status == 200
        assert SEND[mode]("/", headers).status == 401


class Finding(TokenValidator):
    """Finds every token, and says which ones it was asked for."""

    TOKEN_TYPE = "bearer"

    def __init__(self) -> None:
        super().__init__("api")
        self.asked: list[str] = []

    def authenticate_token(self, token_string: str) -> Any:
        self.asked.append(str(token_string))
        return AccessToken({"scope": "profile"})


@sync_and_async
def test_other_credentials(mode: str) -> None:
    """If a header changes between two guards, the inner one finds the new token."""
    validator = Finding()
    protector = ResourceProtector(validator)
    inner = protector("profile")(Witness().view(mode))

    def change(request: HttpRequest) -> Any:
        request.META["HTTP_AUTHORIZATION"] = "Bearer second"
        return inner(request)

    async def achange(request: HttpRequest) -> Any:
        return await change(request)

    with serving(protector("profile")(change if mode == "def" else achange)):
        assert SEND[mode]("/", bearer("first")).status == 200
    assert validator.asked == ["first", "second"]


@sync_and_async
def test_other_protector(mode: str) -> None:
    """Another protector finds the token itself. Each of them does so once, however many guards it has."""
    validator = Finding()
    first, second = ResourceProtector(validator), ResourceProtector(validator)
    with serving(first(second(first(Witness().view(mode))))):
        assert SEND[mode]("/", bearer("any")).status == 200
    assert len(validator.asked) == 2


def test_acquire_token_in_a_view() -> None:
    """A guarded view that calls `acquire_token` gets the token without another lookup."""
    validator = Finding()
    protector = ResourceProtector(validator)

    @protector
    def view(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"scopes": sorted(protector.acquire_token(request, "profile").scopes)})

    with serving(view):
        assert SEND["def"]("/", bearer("any")).json == {"scopes": ["profile"]}
    assert validator.asked == ["any"]


@sync_and_async
@pytest.mark.parametrize(("granted", "changed"), [("profile", "profile write"), ("profile write", "profile")])
def test_token_that_code_between_guards_changes(
    granted: str, changed: str, mode: str, server: FakeAuthorizationServer
) -> None:
    """The change counts for this request, and for no other one, whatever the guards remember about the token."""
    protector = ResourceProtector(introspecting())
    headers = bearer(server.opaque(granted))
    inner = protector("write")(Witness().view(mode))
    scopes = [granted, granted, granted, changed] * 3
    asked = iter(scopes)

    def change(request: Any) -> Any:
        request.oauth_token["scope"] = next(asked)
        return inner(request)

    async def achange(request: HttpRequest) -> Any:
        return await change(request)

    with serving(protector("profile")(change if mode == "def" else achange)):
        statuses = [SEND[mode]("/", headers).status for _ in scopes]
    assert statuses == [200 if "write" in scope else 403 for scope in scopes]
