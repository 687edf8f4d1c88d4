"""Many requests at once under ASGI: each gets its own answer, and they share queries."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, JsonResponse

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from tests import asgi
from tests.answers import Answer, bearer
from tests.conftest import Committed, MakeToken
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

REQUESTS = 300
USERS = [f"user-{number}" for number in range(20)]
EXPECTED: dict[str, Any] = {name: (200, name) for name in USERS} | {"revoked": (401, None), "unknown": (401, None)}


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    for name in USERS:
        committed.user(name)
        committed.token(access_token=name, user=name)
    committed.user("mallory")
    committed.token(access_token="revoked", user="mallory", revoked=True)


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries for tokens, on whatever thread."""
    seen: list[str] = []
    execute = CursorWrapper.execute

    def noting(cursor: Any, sql: str, params: Any = None) -> Any:
        if OAuth2Token._meta.db_table in sql:
            seen.append(sql)
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", noting)
    return seen


def send_at_once(tokens: list[str]) -> list[Answer]:
    async def crowd() -> list[Answer]:
        return await asyncio.gather(*(asgi.request("/", bearer(token)) for token in tokens))

    return asyncio.run(crowd())


@pytest.mark.parametrize("mode", MODES)
def test_every_answer_is_right(mode: str, lookups: list[str]) -> None:
    """Each request gets its own user or its own refusal, and there are far fewer queries than requests."""
    tokens = [[*EXPECTED][number % len(EXPECTED)] for number in range(REQUESTS)]
    witness = Witness()
    with serving(ResourceProtector(BearerTokenValidator(OAuth2Token))(witness.view(mode))):
        answers = send_at_once(tokens)
    assert [(answer.status, answer.json.get("user")) for answer in answers] == [EXPECTED[token] for token in tokens]
    assert 1 <= len(lookups) < REQUESTS / 2


def test_sync_view_in_a_transaction_reads_in_it() -> None:
    """A token that is valid only in the transaction around the guard lets the request in."""

    @ResourceProtector(BearerTokenValidator(OAuth2Token))
    def guarded(request: HttpRequest) -> JsonResponse:
        return JsonResponse({})

    def view(request: HttpRequest) -> Any:
        try:
            with transaction.atomic():
                OAuth2Token.objects.filter(access_token="revoked").update(revoked=False)
                response = guarded(request)
                transaction.set_rollback(True)
                return response
        finally:
            connections.close_all()

    with serving(view):
        (answer,) = send_at_once(["revoked"])
    assert answer.status == 200


@pytest.fixture
def connections_stay_open() -> Iterator[None]:
    """As Django's test clients do it: requests do not close the connection of the test."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("connections_stay_open")
@pytest.mark.parametrize("mode", MODES)
def test_request_inside_a_tests_transaction_reads_in_it(mode: str, make_token: MakeToken) -> None:
    """A sync test that calls the whole ASGI application finds rows that only its transaction contains."""
    token = make_token()
    with serving(ResourceProtector(BearerTokenValidator(OAuth2Token))(Witness().view(mode))):
        answer = async_to_sync(asgi.request)("/", bearer(token.access_token))
    assert (answer.status, answer.json["user"]) == (200, "alice")
