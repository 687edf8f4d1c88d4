"""What an introspection endpoint can do wrong: what is answered meanwhile, and that service resumes afterwards."""

import asyncio
import gc
import itertools
import logging
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import pytest
from joserfc.jwk import import_key

from async_oauth_guard import Reason
from async_oauth_guard.authorization_server import backoff
from async_oauth_guard.authorization_server.introspection import BAD_RESPONSES
from async_oauth_guard.protocol import jwk
from async_oauth_guard.protocol.jwt import sign_jwt
from async_oauth_guard.runtime import event_loop
from async_oauth_guard.validators import client_authentication
from tests import asgi
from tests.answers import Answer
from tests.faults import (
    Behaviour,
    CloseAfterAnswer,
    Drip,
    FaultServer,
    GzipBomb,
    Hang,
    HangUp,
    Huge,
    Json,
    LyingLength,
    Raw,
    Redirect,
    Reset,
    Slow,
    Status,
    Truncated,
)
from tests.remote.authority import AUDIENCE, CLIENT_SECRET, INTROSPECTION, LONG, TIMEOUT, Authority, Late, make_key
from tests.remote.conftest import (
    GONE,
    PATIENCE,
    SLACK,
    Site,
    advance,
    check_refused,
    check_secretive,
    check_unavailable,
    eventually,
    request_until,
    wait_for_waiters,
    wait_until,
    within,
    within_deadline,
)

# Waits for real seconds.
pytestmark = pytest.mark.slow

ELSEWHERE = "/elsewhere"
MEBIBYTE = 1_048_576
HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
YES = {"active": True, "aud": AUDIENCE, "scope": "profile"}


def answering(body: bytes, headers: Any = JSON) -> Behaviour:
    return Status(200, headers, body)


FAULTS: dict[str, Behaviour] = {
    "reset": Reset(),
    "closed": HangUp(),
    "hang": Hang(),
    "one byte a second": Drip(b'{"active": true, "aud": "https://api.example.com"}'),
    "no HTTP": Raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    "500": Status(500),
    "502": Status(502, HTML, b"<h1>Bad gateway</h1>"),
    "503": Json(YES, status=503),
    "429": Status(429),
    "201": Json(YES, status=201),
    "204": Status(204),
    "302": Redirect(ELSEWHERE),
    "307": Redirect(ELSEWHERE, 307),
    "400": Json({"error": "invalid_request"}, status=400),
    "404": Json(YES, status=404),
    "HTML": answering(b"<h1>Log in</h1>", HTML),
    "JSON, said to be HTML": answering(b'{"active": true}', HTML),
    "broken JSON": answering(b'{"active": true'),
    "JSON twice": answering(b'{"active": true}{"active": true}'),
    "nothing": answering(b""),
    "not UTF-8": answering(b'{"active": true, "sub": "\xff"}'),
    "a list": Json([True]),
    "no active": Json({"aud": AUDIENCE}),
    "active as text": Json(YES | {"active": "true"}),
    "active as a number": Json(YES | {"active": 1}),
    "active as null": Json(YES | {"active": None}),
    "inactive as text": Json({"active": "false"}),
    "two actives": answering(b'{"active": true, "active": false}'),
    "exp as text": Json(YES | {"exp": "tomorrow"}),
    "200 MB": Huge(200),
    "200 MB, announced": Huge(200, is_announced=True),
    "gzip bomb": GzipBomb(),
    "shorter than announced": LyingLength(b'{"active": true}', 100),
    "truncated": Truncated(),
}


class Case:
    """A view, a token that it has let in, and tokens that it has not seen."""

    def __init__(self, site: Site, authority: Authority, **options: Any) -> None:
        self.site = site
        self.authority = authority
        self.guarded = site.guard(authority.introspecting(**options))
        self.warm = authority.opaque()
        self.cold = authority.opaque()
        self.bad = authority.unknown()

    def warm_up(self) -> None:
        assert self.guarded.get(self.warm).status == 200

    def fail_but_once(self) -> None:
        """After one more bad response the server gets no more calls."""
        for _ in range(BAD_RESPONSES - 1):
            check_unavailable(self.guarded.get(self.authority.opaque()))

    def check_outage(self) -> Answer:
        """The cold token gets 503 within the deadline. The warm one and views without a guard still work."""
        entered = self.guarded.entered
        with within_deadline():
            answer = self.guarded.get(self.cold)
        check_unavailable(answer, self.cold)
        assert self.guarded.entered == entered
        assert self.guarded.get(self.warm).status == 200
        assert self.site.plain().status == 200
        return answer

    def check_calm(self) -> None:
        """During the back-off the server gets no calls, and no request waits."""
        sent = len(self.authority.server.calls)
        for token in (self.cold, self.bad):
            with within(SLACK):
                check_unavailable(self.guarded.get(token))
        assert len(self.authority.server.calls) == sent

    def check_recovery(self) -> None:
        """The next token that may be introspected gets a result: the good token is let in, and the bad one refused."""
        eventually(lambda: self.guarded.get(self.cold), 200)
        check_refused(self.guarded.get(self.bad), self.bad)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_faults(
    fault: Behaviour, site: Site, authority: Authority, reasons: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """E15, R68, R124: 503 within the deadline, nothing cached as inactive, and service resumes within the back-off."""
    caplog.set_level("DEBUG")
    case = Case(site, authority, timeout=TIMEOUT)
    case.warm_up()
    authority.server.answer(INTROSPECTION, fault)
    authority.server.answer(ELSEWHERE, Json(YES))
    sent = authority.server.bytes_sent
    case.check_outage()
    assert len(reasons) == 1
    # A body is given up soon after a mebibyte; some more waits in the buffers of the sockets.
    authority.server.wait_until_idle()
    assert authority.server.bytes_sent - sent < 32 * MEBIBYTE
    authority.recover()
    case.check_recovery()
    assert authority.server.calls_to(ELSEWHERE) == []
    check_secretive(caplog.text, case.warm, case.cold, case.bad)


def test_connection_refused(site: Site, authority: Authority) -> None:
    """E15: while nothing listens, the answer is 503. A server that returns is called again."""
    case = Case(site, authority)
    case.warm_up()
    authority.server.stop()
    case.check_outage()
    authority.server.start()
    case.check_recovery()


def test_down_at_the_start(site: Site, authority: Authority) -> None:
    """E15: a site may be up before its authorization server is."""
    case = Case(site, authority)
    authority.server.stop()
    check_unavailable(case.guarded.get(case.cold))
    authority.server.start()
    case.check_recovery()


def test_real_backoff(site: Site, authority: Authority, real_backoff: None) -> None:
    """E24: a server that failed gets no calls for about a second. Then the next token is introspected."""
    case = Case(site, authority)
    case.warm_up()
    authority.server.answer(INTROSPECTION, Status(500))
    case.fail_but_once()
    began = time.monotonic()
    assert case.check_outage().header("Retry-After") in ("1", "2")
    case.check_calm()
    authority.recover()
    case.check_recovery()
    assert 0.7 < time.monotonic() - began < 1.25 + 2 * SLACK


@pytest.mark.parametrize("status", [429, 503])
def test_wish_of_the_server(status: int, site: Site, authority: Authority) -> None:
    """E15: the client gets the server's ``Retry-After``, and no call is made before it ends."""
    case = Case(site, authority)
    case.warm_up()
    authority.server.answer(INTROSPECTION, Status(status, {"Retry-After": "1"}))
    case.fail_but_once()
    assert case.check_outage().header("Retry-After") == "1"
    case.check_calm()
    authority.recover()
    case.check_recovery()
    first, second = [call.at for call in authority.server.calls_to(INTROSPECTION)][BAD_RESPONSES : BAD_RESPONSES + 2]
    assert 0.99 < second - first < 1 + 2 * SLACK


def test_long_wish_of_the_server(site: Site, authority: Authority) -> None:
    """E15: of a longer wish, clients hear two minutes at most."""
    case = Case(site, authority)
    authority.server.answer(INTROSPECTION, Status(429, {"Retry-After": "86400"}))
    assert case.guarded.get(case.cold).header("Retry-After") == "120"


def test_longer_waits(site: Site, authority: Authority, reasons: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """E24: each failure of a probe doubles the wait, and one probe at a time asks whether the outage is over."""
    monkeypatch.setattr(backoff, "SHORTEST_WAIT", 0.1)
    case = Case(site, authority)
    authority.server.answer(INTROSPECTION, Slow(0.02, Status(500)))
    case.fail_but_once()
    check_unavailable(case.guarded.get(case.cold))
    while len(authority.questions) < BAD_RESPONSES + 3:
        for answer in case.guarded.get_all([authority.opaque() for _ in range(5)]):
            check_unavailable(answer)
    assert authority.server.most_in_flight == 1
    at = [call.at for call in authority.server.calls_to(INTROSPECTION)][BAD_RESPONSES - 1 :]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    # A quarter less, or more, by chance.
    assert all(gap > least for gap, least in zip(gaps, (0.075, 0.15, 0.3), strict=True))
    assert {*reasons} == {Reason.SERVER_ANSWER_UNUSABLE, Reason.BACKING_OFF}
    authority.recover()
    case.check_recovery()


POISONS = {"500": Status(500), "401": Status(401), "closed": HangUp(), "malformed": Json([])}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_poisoned_tokens(poison: Behaviour, site: Site, authority: Authority) -> None:
    """E24: tokens that the server answers badly are 503, and new good tokens are let in at the same time."""
    case = Case(site, authority)
    poisoned = {authority.opaque() for _ in range(30)}

    def answer(received: Any) -> Behaviour:
        return poison if received.form["token"] in poisoned else authority.introspect(received)

    authority.server.answer(INTROSPECTION, answer)
    for number, token in enumerate(poisoned, 1):
        check_unavailable(case.guarded.get(token))
        if number % 3 == 0:
            assert case.guarded.get(authority.opaque()).status == 200


def test_hung_tokens(site: Site, authority: Authority) -> None:
    """E24: tokens that the server never answers are 503, and new good tokens are let in at the same time."""
    case = Case(site, authority)
    hung = {authority.opaque() for _ in range(12)}

    def answer(received: Any) -> Behaviour:
        return Hang() if received.form["token"] in hung else authority.introspect(received)

    authority.server.answer(INTROSPECTION, answer)
    good = [authority.opaque() for _ in range(12)]
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(case.guarded.get_all, [token for pair in zip(hung, good, strict=True) for token in pair])
        wait_until(lambda: case.guarded.entered == 12)
        wait_for_waiters(12)
        advance(LONG)
        assert [answer.status for answer in asking.result(PATIENCE)] == [503, 200] * 12
    assert case.guarded.get(authority.opaque()).status == 200


def test_closed_connection_is_not_a_fault(site: Site, authority: Authority) -> None:
    """A kept-alive connection that the server closed meanwhile is replaced, unseen."""
    case = Case(site, authority)
    authority.server.answer(INTROSPECTION, lambda received: CloseAfterAnswer(authority.introspect(received)))
    for _ in range(5):
        assert case.guarded.get(authority.opaque()).status == 200
    assert len(authority.questions) == 5


def test_server_that_was_started_anew(site: Site, authority: Authority) -> None:
    """A restart between two calls goes unnoticed, though it broke the connection that was kept."""
    case = Case(site, authority)
    case.warm_up()
    authority.server.stop()
    authority.server.start()
    assert case.guarded.get(case.cold).status == 200


# --- certificates ----------------------------------------------------------------------------------------------------


def test_unknown_certificate(site: Site, reasons: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """R74: a server with a self-signed certificate is not trusted and gets no token. With ``verify=`` it is called."""
    caplog.set_level("DEBUG")
    with FaultServer(tls=True) as server:
        authority = Authority(server)
        case = Case(site, authority)
        with within_deadline():
            check_unavailable(case.guarded.get(case.cold), case.cold)
        assert reasons == [Reason.SERVER_UNREACHABLE]
        assert server.calls == []
        assert Case(site, authority, verify=server.ca_file).guarded.get(case.cold).status == 200
    check_secretive(caplog.text, case.cold)


def test_certificate_of_another_host(site: Site) -> None:
    """R74: a certificate for another name is a bad one; with the right one, service resumes."""
    with FaultServer(tls=True, certificate_for="elsewhere.example.com") as bad, FaultServer(tls=True) as good:
        both = ssl.create_default_context(cafile=good.ca_file)
        both.load_verify_locations(bad.ca_file)
        case = Case(site, Authority(bad), verify=both)
        with within_deadline():
            check_unavailable(case.guarded.get(case.cold), case.cold)
        assert bad.calls == []
        bad.stop()
        good.stop()
        good.port = bad.port
        good.start()
        good.answer(INTROSPECTION, case.authority.introspect)
        case.check_recovery()


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that does this with its first connection."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:

        def take() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(PATIENCE)
                serve(connection)

        done = thread.submit(take)
        yield f"https://127.0.0.1:{server.getsockname()[1]}/"
        done.result(PATIENCE)


def test_plain_server_behind_https(site: Site, authority: Authority) -> None:
    """R74: a server that does not speak TLS hears no token."""
    heard: list[bytes] = []

    def answer_plainly(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(answer_plainly) as url:
        case = Case(site, authority, introspection_endpoint=url)
        with within_deadline():
            check_unavailable(case.guarded.get(case.cold))
    assert case.cold.encode() not in heard[0]


def test_hung_handshake(site: Site, authority: Authority) -> None:
    """A connection whose handshake hangs is closed when the deadline has passed: in a long outage they add up."""
    left: list[bool] = []

    def wait_for_the_client_to_go(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.settimeout(1)
        with suppress(TimeoutError):
            left.append(connection.recv(65_536) == b"")

    with listening(wait_for_the_client_to_go) as url:
        case = Case(site, authority, introspection_endpoint=url, timeout=TIMEOUT)
        with within_deadline():
            check_unavailable(case.guarded.get(case.cold))
    event_loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert left == [True]


# --- our own credentials ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt", "bearer"])
@pytest.mark.parametrize("status", [401, 403])
def test_our_credentials_refused(
    status: int, method: str, site: Site, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """E16: 503 and one line in the error log, which has no secret; the client is not told that its token is bad."""
    caplog.set_level("DEBUG")
    secret = make_key("of-the-client").as_dict(private=True) if method == "private_key_jwt" else CLIENT_SECRET
    case = Case(site, authority, client_auth=method, client_secret=secret)
    case.warm_up()
    refusal = Json({"error": "invalid_client"}, status=status, headers={"WWW-Authenticate": 'Basic realm="as"'})
    authority.server.answer(INTROSPECTION, refusal)
    case.check_outage()
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR and is_ours(record)]
    assert len(errors) == len(authority.questions) - 1 == 1
    assert str(status) in errors[0].getMessage()
    authority.recover()
    case.check_recovery()
    check_secretive(caplog.text, case.warm, case.cold, case.bad, *our_secrets(authority, secret))


def test_a_flood_of_garbage_with_private_key_jwt(
    site: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call has a new signature, but the key is imported once, and the event loop for calls signs nothing."""
    key = make_key("client", "RS256").as_dict(private=True)
    guarded = site.guard(authority.introspecting(client_auth="private_key_jwt", client_secret=key))
    imports: list[Any] = []
    threads: list[int] = []

    def count_import(*arguments: Any, **keywords: Any) -> Any:
        imports.append(arguments)
        return import_key(*arguments, **keywords)

    def note_thread(*arguments: Any) -> str:
        threads.append(threading.get_ident())
        return sign_jwt(*arguments)

    monkeypatch.setattr(jwk, "import_key", count_import)
    monkeypatch.setattr(client_authentication, "sign_jwt", note_thread)
    assert [guarded.get(authority.unknown()).status for _ in range(40)] == [401] * 40
    assert len({call.form["client_assertion"] for call in authority.server.calls_to(INTROSPECTION)}) == 40
    assert (len(imports), len(threads)) == (0, 40)
    assert event_loop._outgoing is not None
    assert event_loop._outgoing.thread.ident not in threads


def is_ours(record: logging.LogRecord) -> bool:
    return record.name.startswith("async_oauth_guard")


def our_secrets(authority: Authority, secret: Any) -> Iterator[str]:
    """By which we proved who we are, in the forms in which it travelled."""
    if isinstance(secret, dict):
        yield secret["d"]
    for call in authority.server.calls_to(INTROSPECTION):
        yield (call.header("Authorization") or "").partition(" ")[2]
        yield call.form.get("client_assertion", "")


# --- more calls than connections -------------------------------------------------------------------------------------


def few_connections() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=5))


@pytest.mark.parametrize("http_client", [None, few_connections])
def test_more_calls_than_connections(
    http_client: Callable[[], Any] | None, site: Site, authority: Authority, reasons: list[Any]
) -> None:
    """E24: all that wait for a hung server hear 503 within the deadline, and all are served when it is back."""
    case = Case(site, authority, max_concurrency=5, http_client=http_client)
    authority.server.answer(INTROSPECTION, Hang())
    tokens = [authority.opaque() for _ in range(25)]
    with ThreadPoolExecutor(1) as pool:
        for sent in (25, 50):
            asking = pool.submit(case.guarded.get_all, tokens)
            # While the server is held to be down, one call asks whether it is back, and the other requests do not wait.
            wait_for_waiters(sent, answered=reasons)
            authority.server.wait_for_calls(INTROSPECTION, 5)
            advance(LONG)
            for answer in asking.result(PATIENCE):
                check_unavailable(answer, *tokens)
    assert {Reason.SERVER_TOO_SLOW, Reason.BACKING_OFF} <= {*reasons}
    assert authority.server.most_in_flight == 5
    authority.server.wait_until_idle()
    authority.recover()
    eventually(lambda: case.guarded.get(case.cold), 200)
    # Nothing is stuck: a place that was lost would show in the second round.
    for _ in range(2):
        answers = case.guarded.get_all([authority.opaque() for _ in range(25)])
        assert [answer.status for answer in answers] == [200] * 25
    assert authority.server.most_in_flight == 5


def test_cancelled_while_they_wait(async_site: Site, authority: Authority) -> None:
    """E26: clients that leave a hung server's queue take no place with them."""
    case = Case(async_site, authority, max_concurrency=2, http_client=few_connections, timeout=TIMEOUT)
    authority.server.answer(INTROSPECTION, Hang())

    async def leave() -> None:
        left = asyncio.Event()
        asking = asyncio.gather(*(request_until(case.guarded.path, authority.opaque(), left) for _ in range(10)))
        await asyncio.sleep(0.1)
        left.set()
        assert {answer.status for answer in await asking} == {GONE}

    for _ in range(3):
        asyncio.run(leave())
    authority.server.wait_until_idle()
    authority.recover()
    eventually(lambda: case.guarded.get(case.cold), 200)
    answers = case.guarded.get_all([authority.opaque() for _ in range(10)])
    assert [answer.status for answer in answers] == [200] * 10


# --- slow ------------------------------------------------------------------------------------------------------------


def burst(case: Case, seconds: float) -> tuple[float, list[Answer]]:
    """How long 300 new tokens take at once, when the server takes so long for each."""
    authority = case.authority
    authority.server.answer(INTROSPECTION, lambda received: Late(seconds, authority.introspect(received)))
    tokens = [authority.opaque() for _ in range(300)]
    began = time.monotonic()
    answers = case.guarded.get_all(tokens)
    return time.monotonic() - began, answers


@pytest.mark.slow
def test_many_new_tokens(site: Site, authority: Authority) -> None:
    """300 new tokens at once, 100 calls at a time: three round trips longer than with a server that takes no time."""
    case = Case(site, authority, timeout=30)
    quick, answers = burst(case, 0)
    assert [answer.status for answer in answers] == [200] * 300
    slow, answers = burst(case, 0.05)
    assert [answer.status for answer in answers] == [200] * 300
    assert len({*authority.questions}) == len(authority.questions) == 600
    assert authority.server.most_in_flight <= 100
    # 0.15 s by right; the rest is for a machine that does something else meanwhile.
    assert slow - quick < 0.15 + max(1.0, quick)
    assert case.guarded.entered == 600


def test_plain_views_go_on_meanwhile(async_site: Site, authority: Authority) -> None:
    """While 300 calls are under way, and nothing of them comes back, the loop has time for others."""
    case = Case(async_site, authority, timeout=60)
    authority.server.answer(INTROSPECTION, Late(60, Json(YES)))

    async def ask() -> tuple[list[Answer], list[float]]:
        tokens = [authority.opaque() for _ in range(300)]
        waiting = asyncio.ensure_future(case.guarded.aget_all(tokens))
        await asyncio.to_thread(authority.server.wait_for_calls, INTROSPECTION, 100)
        taken = []
        for _ in range(20):
            began = time.monotonic()
            assert (await asgi.request("/plain/")).status == 200
            taken.append(time.monotonic() - began)
        assert not waiting.done()
        await asyncio.to_thread(authority.server.stop)
        return await waiting, taken

    answers, taken = asyncio.run(ask())
    for answer in answers:
        check_unavailable(answer)
    assert sorted(taken)[10] < 0.1
    assert case.guarded.entered == 0


# --- what an inactive result costs -----------------------------------------------------------------------------------


def test_failure_is_no_verdict(site: Site, authority: Authority) -> None:
    """E15: a token that was known to be good is not forgotten for an outage, nor is a bad one made good."""
    case = Case(site, authority, cache_ttl=0.1, negative_ttl=0.1)
    case.warm_up()
    check_refused(case.guarded.get(case.bad))
    time.sleep(0.15)
    authority.server.answer(INTROSPECTION, Status(500))
    for token in (case.warm, case.bad, case.cold):
        check_unavailable(case.guarded.get(token))
    authority.recover()
    eventually(lambda: case.guarded.get(case.warm), 200)
    case.check_recovery()


def test_stale_if_error(site: Site, authority: Authority) -> None:
    """An active result is used for longer while the server is down, but never past ``exp``."""
    case = Case(site, authority, cache_ttl=0.1, stale_if_error=60)
    ending = authority.opaque(exp=time.time() + 1.5)
    case.warm_up()
    assert case.guarded.get(ending).status == 200
    time.sleep(0.15)
    authority.server.stop()
    for token in (case.warm, ending):
        assert case.guarded.get(token).status == 200
    check_unavailable(case.guarded.get(case.cold))
    end_of_token = authority.words[ending]["exp"]
    time.sleep(max(0, end_of_token - time.time()) + 0.05)
    assert case.guarded.get(ending).status in (401, 503)
    assert case.guarded.get(case.warm).status == 200
    authority.server.start()
    case.check_recovery()
    authority.words[case.warm] = {"active": False}
    eventually(lambda: case.guarded.get(case.warm), 401, 200)


def test_garbage_makes_no_call(site: Site, authority: Authority) -> None:
    """R12: what cannot be a token of the server's is refused without asking."""
    guarded = site.guard(authority.introspecting(token_format="[a-z0-9-]+[A-Z][a-z0-9A-Z]*"))
    for token in ("x" * 40_000, "no.match", "%%%", "a=b", "é", "UPPER", "a b"):
        assert guarded.get(token).status in (400, 401)
    assert authority.server.calls == []
    assert guarded.get(authority.opaque()).status == 200


@contextmanager
def two_servers() -> Iterator[tuple[Authority, Authority]]:
    with ExitStack() as stack:
        yield tuple(Authority(stack.enter_context(FaultServer())) for _ in range(2))  # type: ignore[misc]


def test_one_of_two_servers_is_down(site: Site) -> None:
    """Ordering rule: an active result of one server counts. An inactive one does not while the other server is down."""
    with two_servers() as (well, ill):
        guarded = site.guard(ill.introspecting(), well.introspecting())
        ill.server.answer(INTROSPECTION, Status(500))
        good, bad = well.opaque(), well.unknown()
        assert guarded.get(good).status == 200
        check_unavailable(guarded.get(bad))
        ill.recover()
        eventually(lambda: guarded.get(bad), 401)
