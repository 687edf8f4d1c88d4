"""How refusals are rendered: by the default, as problem details, or by a function of the site's own."""

import asyncio
from http import HTTPStatus
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse

from async_oauth_guard import BearerTokenValidator, GuardError, ResourceProtector, render_json, render_problem
from tests.answers import RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD = "good"
sync_and_async = pytest.mark.parametrize("mode", MODES)
REFUSED: list[tuple[RawHeaders, int, str]] = [
    ([], 401, "missing_authorization"),
    ([(b"authorization", b"Basic x")], 401, "unsupported_token_type"),
    (bearer("a b"), 400, "invalid_request"),
    (bearer("unknown"), 401, "invalid_token"),
    (bearer(GOOD), 403, "insufficient_scope"),
]
refusals = pytest.mark.parametrize(("headers", "status", "error"), REFUSED, ids=[row[2] for row in REFUSED])


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD)


def guarded(mode: str, render_error: Any, **options: Any) -> Any:
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token, **options), render_error=render_error)
    return protector("admin")(Witness().view(mode))


@sync_and_async
@refusals
def test_json_is_the_default(headers: RawHeaders, status: int, error: str, mode: str, send: Send) -> None:
    """``render_json`` renders the answer if no other function is set."""
    answers = []
    for render_error in (None, render_json):
        with serving(guarded(mode, render_error)):
            answers.append(send("/", headers))
    assert answers[0] == answers[1]
    assert answers[0].header("Content-Type") == "application/json"


@sync_and_async
@refusals
def test_problem_details(headers: RawHeaders, status: int, error: str, mode: str, send: Send) -> None:
    """``render_problem`` answers as RFC 9457 has it, with the same status and header fields."""
    with serving(guarded(mode, None)):
        plain = send("/", headers)
    with serving(guarded(mode, render_problem)):
        answer = send("/", headers)
    assert answer.header("Content-Type") == "application/problem+json"
    assert answer.status == status
    assert answer.json["status"] == status
    assert answer.json["title"] == HTTPStatus(status).phrase
    assert answer.json["error"] == error
    assert answer.json["detail"] == plain.json["error_description"]
    assert answer.json["type"] == "about:blank"
    for name in ("WWW-Authenticate", "Cache-Control", "Vary"):
        assert answer.header(name) == plain.header(name)


def render_page(request: HttpRequest, error: GuardError) -> HttpResponse:
    return HttpResponse(f"<p>{request.path}: {error.error}</p>", status=error.status_code)


async def arender_page(request: HttpRequest, error: GuardError) -> HttpResponse:
    await asyncio.sleep(0)
    return render_page(request, error)


@sync_and_async
@pytest.mark.parametrize("render", [render_page, arender_page])
@refusals
def test_own_function(headers: RawHeaders, status: int, error: str, render: Any, mode: str, send: Send) -> None:
    """R13, R25: a function of the site's own makes the page, and the guard still adds what a refusal needs."""
    with serving(guarded(mode, render)):
        answer = send("/", headers)
    assert answer.status == status
    assert answer.body == f"<p>/: {error}</p>".encode()
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.challenges
    assert answer.header("Cache-Control") == "no-store"
    assert answer.members("Vary") == {"authorization"}


@sync_and_async
def test_own_function_may_set_cache_control(mode: str, send: Send) -> None:
    """R25: what the function says of caches stays as it says it."""

    def render(request: HttpRequest, error: GuardError) -> HttpResponse:
        return HttpResponse(status=error.status_code, headers={"Cache-Control": "no-cache"})

    with serving(guarded(mode, render)):
        assert send("/").header("Cache-Control") == "no-cache"


@sync_and_async
def test_failing_function(mode: str, send: Send) -> None:
    """R124: a renderer that raises is a bug of the site's, and lets nobody in."""

    def fail(request: HttpRequest, error: GuardError) -> HttpResponse:
        raise ValueError("no page")

    with serving(guarded(mode, fail)):
        assert send("/").status == 500


ATTRIBUTES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"realm": 'a"b\\c'}, {"realm": 'a"b\\c'}),
    ({"realm": "a, b=c"}, {"realm": "a, b=c"}),
    ({"authz_server": "https://as.example.com/?a=b"}, {"authz_server": "https://as.example.com/?a=b"}),
    ({"realm": "x", "Number": 7, "quoted": '"'}, {"realm": "x", "number": "7", "quoted": '"'}),
]


@sync_and_async
@pytest.mark.parametrize(("options", "expected"), ATTRIBUTES)
@refusals
def test_challenges_are_well_formed(
    headers: RawHeaders,
    status: int,
    error: str,
    options: dict[str, Any],
    expected: dict[str, str],
    mode: str,
    send: Send,
) -> None:
    """R14 to R17: every challenge has realm and attributes as quoted strings that read back unchanged."""
    with serving(guarded(mode, None, **options)):
        (challenge,) = send("/", headers).challenges
    assert {"realm": "api", **expected}.items() <= challenge.parameters.items()


@sync_and_async
def test_protectors_realm(mode: str, send: Send) -> None:
    """The protector's realm is that of validators without one of their own."""
    for own, expected in [(None, "ours"), ("its own", "its own")]:
        protector = ResourceProtector(BearerTokenValidator(OAuth2Token, realm=own), realm="ours")
        with serving(protector(Witness().view(mode))):
            for headers, *_ in REFUSED[:4]:
                assert send("/", headers).challenges[0].parameters["realm"] == expected


class MacValidator(BearerTokenValidator):
    """Tokens of another scheme, from the same table."""

    TOKEN_TYPE = "mac"


@sync_and_async
def test_several_schemes(mode: str, send: Send) -> None:
    """R18, R20: every scheme has its challenge in one line. The challenge of the scheme used has the error."""
    protector = ResourceProtector(BearerTokenValidator(OAuth2Token), MacValidator(OAuth2Token))
    with serving(protector(Witness().view(mode))):
        assert send("/", bearer(GOOD, "MAC")).status == 200
        for headers, expected in [
            ([], {"bearer": None, "mac": None}),
            ([(b"authorization", b"Basic x")], {"bearer": None, "mac": None}),
            (bearer("unknown"), {"bearer": "invalid_token", "mac": None}),
            (bearer("unknown", "mac"), {"bearer": None, "mac": "invalid_token"}),
            (bearer('id="a", mac="b"', "mac"), {"bearer": None, "mac": "invalid_token"}),
            ([(b"authorization", b"mac")], {"bearer": None, "mac": "invalid_request"}),
            (bearer("a b"), {"bearer": "invalid_request", "mac": None}),
            (bearer("a") + bearer("b", "mac"), {"bearer": "invalid_request", "mac": "invalid_request"}),
        ]:
            answer = send("/", headers)
            assert len(answer.lines("WWW-Authenticate")) == 1
            assert {c.scheme: c.parameters.get("error") for c in answer.challenges} == expected
