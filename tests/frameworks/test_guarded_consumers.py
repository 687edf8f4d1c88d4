"""Consumers of Channels behind ``require_oauth.asgi``: each row of the table in ``docs/channels.md``."""

import json
import time
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.db.backends.utils import CursorWrapper
from django.urls import path

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from async_oauth_guard.testing import override_oauth
from async_oauth_guard.validators.clock import CLOCK
from tests.frameworks.conftest import GOOD, NARROW, UNKNOWN
from tests.frameworks.rows import shows
from tests.site.models import OAuth2Token

pytestmark = pytest.mark.django_db

SCOPE = "profile email"


def describe(scope: Any) -> str:
    """What a consumer finds in its scope."""
    token, user = scope["oauth_token"], scope.get("user")
    found = {
        "token": token and token.user.username,
        "user": user and user.username,
        "note": scope["url_route"]["kwargs"]["note"],
        "subprotocols": scope["subprotocols"],
    }
    return json.dumps(found)


class AsyncNotes(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send(describe(self.scope))


class SyncNotes(WebsocketConsumer):
    def connect(self) -> None:
        self.accept()
        self.send(describe(self.scope))


CONSUMERS = {"async": AsyncNotes, "sync": SyncNotes}


@pytest.fixture(params=CONSUMERS)
def sockets(request: pytest.FixtureRequest) -> Any:
    """A router with a consumer."""
    return URLRouter([path("ws/notes/<int:note>/", CONSUMERS[request.param].as_asgi())])


def route(protector: ResourceProtector, sockets: Any, *arguments: Any, **options: Any) -> Any:
    guarded = protector.asgi(sockets, *arguments, **options)
    return ProtocolTypeRouter({"http": get_asgi_application(), "websocket": guarded})


def communicate(application: Any, headers: Any = (), subprotocols: Any = ()) -> Any:
    """A communicator of Channels, which is imported together with a test case that requires daphne."""
    pytest.importorskip("daphne", reason="channels.testing requires daphne")
    from channels.testing import WebsocketCommunicator

    return WebsocketCommunicator(application, "/ws/notes/7/", [*headers], [*subprotocols])


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())]


async def connect(application: Any, headers: Any = (), subprotocols: Any = ()) -> tuple[str | None, dict[str, Any]]:
    """The chosen subprotocol, and what the consumer found in its scope."""
    communicator = communicate(application, headers, subprotocols)
    is_accepted, subprotocol = await communicator.connect(timeout=10)
    assert is_accepted
    found = json.loads(await communicator.receive_from(timeout=10))
    await communicator.disconnect(timeout=10)
    assert found["note"] == 7
    return subprotocol, found


async def refuse(application: Any, headers: Any = (), subprotocols: Any = (), **changes: Any) -> Any:
    """The first message to the server."""
    communicator = communicate(application, headers, subprotocols)
    communicator.scope |= changes
    await communicator.send_input({"type": "websocket.connect"})
    message = await communicator.receive_output(timeout=10)
    assert message["type"] != "websocket.accept"
    return message


@shows('`scope["oauth_token"]`')
async def test_token(protector: ResourceProtector, sockets: Any) -> None:
    """Consumers read the token of the handshake, with its user."""
    _, found = await connect(route(protector, sockets, SCOPE), bearer(GOOD))
    assert (found["token"], found["user"]) == ("alice", None)


@shows('`scope["user"]`')
async def test_user(sockets: Any) -> None:
    """With ``set_user``, consumers find the token's user where Channels puts the user of a session."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), set_user=True)
    _, found = await connect(route(protector, sockets, SCOPE), bearer(GOOD))
    assert found["user"] == "alice"


@shows("`AuthMiddlewareStack` around the guard")
async def test_user_of_a_session(sockets: Any) -> None:
    """With ``set_user``, the token's user replaces the one of the session. Otherwise the latter stays."""
    for set_user, name in [(True, "alice"), (False, "")]:
        protector = ResourceProtector(BearerTokenValidator(OAuth2Token), set_user=set_user)
        application = AuthMiddlewareStack(protector.asgi(sockets, SCOPE))
        _, found = await connect(application, bearer(GOOD))
        assert found["user"] == name


def nest(protector: ResourceProtector, consumer: Any) -> Any:
    """A guarded consumer in a guarded router."""
    guarded = protector.asgi(consumer.as_asgi(), SCOPE, subprotocol="bearer")
    router = URLRouter([path("ws/notes/<int:note>/", guarded)])
    return route(protector, router, "profile", subprotocol="bearer")


@shows("a guarded consumer in a guarded router")
@pytest.mark.parametrize("consumer", CONSUMERS.values())
async def test_guards_within_guards(
    protector: ResourceProtector, consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inner guard asks for more scopes, and looks up nothing."""
    queries: list[Any] = []
    execute = CursorWrapper.execute
    monkeypatch.setattr(CursorWrapper, "execute", lambda *it: queries.append(it[1]) or execute(*it))
    application = nest(protector, consumer)
    assert (await connect(application, bearer(GOOD)))[1]["token"] == "alice"
    assert await refuse(application, bearer(NARROW)) == {"type": "websocket.close"}
    # Some databases also get queries about the connection.
    assert len([sql for sql in queries if OAuth2Token._meta.db_table in sql]) == 2


@shows('a guarded consumer in a guarded router, with `subprotocol="bearer"`')
@pytest.mark.parametrize("consumer", CONSUMERS.values())
async def test_guards_within_guards_and_subprotocols(protector: ResourceProtector, consumer: Any) -> None:
    """The outer guard removes the token from the subprotocols, so the inner one refuses the handshake."""
    application = nest(protector, consumer)
    assert await refuse(application, subprotocols=["bearer", GOOD]) == {"type": "websocket.close"}


@shows('`subprotocol="bearer"`')
async def test_subprotocol(protector: ResourceProtector, sockets: Any) -> None:
    """A consumer that chooses no subprotocol accepts ``bearer``, and does not see the token."""
    application = route(protector, sockets, SCOPE, subprotocol="bearer")
    subprotocol, found = await connect(application, subprotocols=["bearer", GOOD])
    assert (subprotocol, found["token"], found["subprotocols"]) == ("bearer", "alice", ["bearer"])


@shows("`optional=True`")
async def test_optional(protector: ResourceProtector, sockets: Any) -> None:
    """Without a token, consumers find ``None``. A bad token is refused."""
    application = route(protector, sockets, SCOPE, optional=True)
    _, found = await connect(application)
    assert (found["token"], found["user"]) == (None, None)
    assert await refuse(application, bearer(UNKNOWN)) == {"type": "websocket.close"}


@shows("a refused handshake")
@pytest.mark.parametrize(("token", "status"), [(None, 401), (UNKNOWN, 401), (NARROW, 403)])
async def test_refusals(protector: ResourceProtector, token: str | None, status: int) -> None:
    """No consumer is made. The response is a view's, if the server can send one; otherwise the socket is closed."""

    async def unreachable(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not entered")

    application, headers = route(protector, unreachable, SCOPE), bearer(token) if token else ()
    assert await refuse(application, headers) == {"type": "websocket.close"}
    response = await refuse(application, headers, extensions={"websocket.http.response": {}})
    assert (response["type"], response["status"]) == ("websocket.http.response.start", status)
    assert b"www-authenticate" in {name.lower() for name, _ in response["headers"]}


@shows("`override_oauth(...)(application)` in a `WebsocketCommunicator`")
async def test_override(protector: ResourceProtector, sockets: Any) -> None:
    """A test needs no token: the consumer gets the token of the override, and the scopes are checked."""
    bob = User(username="bob")
    for application in (route(protector, sockets, SCOPE), protector.asgi(sockets, SCOPE)):
        _, found = await connect(override_oauth(SCOPE, user=bob)(application))
        assert found["token"] == "bob"
        assert await refuse(override_oauth("profile", user=bob)(application)) == {"type": "websocket.close"}
        assert await refuse(application) == {"type": "websocket.close"}


@shows("`override_oauth` around a `WebsocketCommunicator`")
async def test_override_in_the_test(protector: ResourceProtector, sockets: Any) -> None:
    """A communicator starts the application in an empty context, so the override of the test does not reach it."""
    application = route(protector, sockets, SCOPE)
    with override_oauth(SCOPE, user=User(username="bob")):
        assert await refuse(application) == {"type": "websocket.close"}


class Leaving:
    """Consumers that note the code with which their connection ended."""

    def __init__(self) -> None:
        self.codes = codes = []

        class AsyncLeaving(AsyncWebsocketConsumer):
            async def disconnect(self, code: int) -> None:
                codes.append(code)

        class SyncLeaving(WebsocketConsumer):
            def disconnect(self, code: int) -> None:
                codes.append(code)

        self.consumers = (AsyncLeaving, SyncLeaving)


@shows("`websocket.disconnect`")
@pytest.mark.parametrize("code", [1000, 4000])
async def test_disconnect(protector: ResourceProtector, code: int) -> None:
    """Consumers of both kinds learn the code with which the client ended the connection."""
    leaving = Leaving()
    for consumer in leaving.consumers:
        communicator = communicate(protector.asgi(consumer.as_asgi(), SCOPE), bearer(GOOD))
        await communicator.connect(timeout=10)
        await communicator.disconnect(code, timeout=10)
    assert leaving.codes == [code, code]


@shows("the token expires")
@pytest.mark.parametrize("consumer", [0, 1])
async def test_expiry(protector: ResourceProtector, consumer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client and the consumer get the code 3000."""
    leaving, now = Leaving(), [time.time()]
    # The clock stands until the connection is open.
    monkeypatch.setattr(CLOCK, "wall", lambda: now[0])
    token = override_oauth(SCOPE, user=User(username="bob"), expires_at=now[0] + 0.01)
    communicator = communicate(token(protector.asgi(leaving.consumers[consumer].as_asgi(), SCOPE)))
    await communicator.connect(timeout=10)
    now[0] += 1
    assert await communicator.receive_output(timeout=10) == {"type": "websocket.close", "code": 3000}
    await communicator.wait(timeout=10)
    assert leaving.codes == [3000]


@shows("`recheck` refuses the token")
@pytest.mark.parametrize("consumer", [0, 1])
async def test_recheck(protector: ResourceProtector, consumer: int) -> None:
    """The client and the consumer get the code 3000 too."""
    leaving, answers = Leaving(), [True]
    guarded = protector.asgi(leaving.consumers[consumer].as_asgi(), SCOPE, recheck=0.01, check=lambda *_: answers[0])
    communicator = communicate(guarded, bearer(GOOD))
    await communicator.connect(timeout=10)
    answers[0] = False
    assert await communicator.receive_output(timeout=10) == {"type": "websocket.close", "code": 3000}
    await communicator.wait(timeout=10)
    assert leaving.codes == [3000]
