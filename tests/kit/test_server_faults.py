"""Each fault of the fake authorization server gives the status and the reason that are documented."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from async_oauth_guard import Reason
from async_oauth_guard.testing import FakeAuthorizationServer
from async_oauth_guard.testing.server.network import FAULTS, Faults
from tests.answers import Answer
from tests.kit.guarded_sites import CLIENTS, introspecting, site, verifying
from tests.sites import MODES

PAGE = Path(__file__).parents[2] / "docs" / "fake-authorization-server.md"

sync_and_async = pytest.mark.parametrize("mode", MODES)

# By fault: what a JWT meets where nothing is known of the server yet, what one that is issued meanwhile meets where its
# keys are known, and what the same is for introspection.
OUTCOMES: dict[str, dict[str, tuple[int, Reason | None]]] = {
    "down": {
        "jwt, first": (503, Reason.SERVER_UNREACHABLE),
        "jwt, later": (200, None),
        "opaque, first": (503, Reason.SERVER_UNREACHABLE),
        "opaque, later": (503, Reason.SERVER_UNREACHABLE),
    },
    "slow": {
        "jwt, first": (503, Reason.SERVER_TOO_SLOW),
        "jwt, later": (200, None),
        "opaque, first": (503, Reason.SERVER_TOO_SLOW),
        "opaque, later": (503, Reason.SERVER_TOO_SLOW),
    },
    "rotate": {
        "jwt, first": (401, Reason.UNKNOWN_KEY),
        "jwt, later": (401, Reason.UNKNOWN_KEY),
        "opaque, first": (200, None),
        "opaque, later": (200, None),
    },
    "unknown_kid": {
        "jwt, first": (401, Reason.UNKNOWN_KEY),
        "jwt, later": (401, Reason.UNKNOWN_KEY),
        "opaque, first": (200, None),
        "opaque, later": (200, None),
    },
    "wrong_issuer": {
        "jwt, first": (503, Reason.METADATA_UNUSABLE),
        "jwt, later": (401, Reason.WRONG_ISSUER),
        "opaque, first": (503, Reason.METADATA_UNUSABLE),
        "opaque, later": (401, Reason.WRONG_ISSUER),
    },
    "garbage": {
        "jwt, first": (503, Reason.SERVER_ANSWER_UNUSABLE),
        "jwt, later": (200, None),
        "opaque, first": (503, Reason.SERVER_ANSWER_UNUSABLE),
        "opaque, later": (503, Reason.SERVER_ANSWER_UNUSABLE),
    },
    "refuses_us": {
        "jwt, first": (200, None),
        "jwt, later": (200, None),
        "opaque, first": (503, Reason.SERVER_REFUSES_US),
        "opaque, later": (503, Reason.SERVER_REFUSES_US),
    },
}
CASES = [(fault, case) for fault, cases in OUTCOMES.items() for case in cases]


@sync_and_async
@pytest.mark.parametrize(("fault", "case"), CASES)
def test_outcomes(mode: str, fault: str, case: str) -> None:
    """The guard answers a fault as the table says; when it is over, and the guard asks again, all is well."""
    form, _, moment = case.partition(", ")
    validator = verifying() if form == "jwt" else introspecting()
    with FakeAuthorizationServer(clients=CLIENTS, algorithm="ES256") as server, site(mode, validator) as guarded:
        issue = server.jwt if form == "jwt" else server.opaque
        token = issue("profile")
        if moment == "later":
            assert guarded.outcome(token) == (200, None)
        with server.fail(fault):
            if moment == "later":
                token = issue("profile")
            assert guarded.outcome(token) == OUTCOMES[fault][case]
        server.clock.move(60)
        assert guarded.outcome(issue("profile")) == (200, None)


def test_every_fault_is_documented() -> None:
    """The page's table has each fault, and each status and reason that it leads to."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    cells = {fault: [_words(cell) for cell in row] for fault, *row in rows}
    assert cells == {fault: [*cases.values()] for fault, cases in OUTCOMES.items()}
    assert set(OUTCOMES) == set(FAULTS)


def _words(cell: str) -> tuple[int, Reason | None]:
    status, _, reason = cell.strip().partition(" ")
    return int(status), Reason(reason.strip("`")) if reason else None


@sync_and_async
def test_rotated_keys_are_found_out(mode: str) -> None:
    """After `rotate` a new token is let in once keys may be fetched anew, and an older one no longer."""
    with FakeAuthorizationServer(algorithm="ES256") as server, site(mode, verifying(cooldown=30)) as guarded:
        old = server.jwt("profile")
        assert guarded.outcome(old) == (200, None)
        with server.fail("rotate"):
            server.clock.move(31)
            assert guarded.outcome(server.jwt("profile")) == (200, None)
            assert guarded.outcome(old) == (401, Reason.UNKNOWN_KEY)
        server.clock.move(31)
        assert guarded.outcome(old) == (200, None)


@sync_and_async
def test_back_off(mode: str) -> None:
    """After a failure the server is left alone for just as long as the guard says."""
    with FakeAuthorizationServer() as server, site(mode, introspecting()) as guarded:
        server.fail("down")
        answer = guarded.get(server.opaque("profile"))
        assert answer.header("Retry-After") == "1"
        assert guarded.outcome(server.opaque("profile")) == (503, Reason.BACKING_OFF)
        assert len(server.calls) == 1
        server.clock.move(1)
        assert guarded.outcome(server.opaque("profile")) == (503, Reason.SERVER_UNREACHABLE)
        assert [call.status for call in server.calls] == [None, None]


def test_one_endpoint() -> None:
    """A fault of one endpoint leaves the others alone."""
    with FakeAuthorizationServer(algorithm="ES256") as server, site("def", verifying(), introspecting()) as guarded:
        server.fail("down", at="introspection")
        assert guarded.outcome(server.jwt("profile")) == (200, None)
        assert guarded.outcome(server.opaque("profile")) == (503, Reason.SERVER_UNREACHABLE)
        server.recover()
        server.clock.move(1)
        assert guarded.outcome(server.opaque("profile")) == (200, None)
        server.fail("refuses_us", at="keys")
        server.clock.move(100_000)
        assert guarded.outcome(server.jwt("profile")) == (503, Reason.SERVER_ANSWER_UNUSABLE)


def test_several_at_once() -> None:
    """Faults may overlap; each ends by itself, and all of them with `recover`."""
    with FakeAuthorizationServer() as server, site("def", introspecting()) as guarded:
        with server.fail("down"):
            inner = server.fail("slow", at="introspection")
            assert guarded.outcome(server.opaque("profile")) == (503, Reason.SERVER_UNREACHABLE)
        server.clock.move(1)
        assert guarded.outcome(server.opaque("profile")) == (503, Reason.SERVER_TOO_SLOW)
        server.recover()
        inner.end()
        server.clock.move(1)
        assert guarded.outcome(server.opaque("profile")) == (200, None)


@pytest.mark.parametrize("fault", ["unknown_kid", "wrong_issuer"])
def test_one_begun_twice(fault: str) -> None:
    """A fault that was begun twice is over when both are, in whatever order they end."""
    with FakeAuthorizationServer(algorithm="ES256") as server, site("def", verifying()) as guarded:
        well = (dict(server.jwks), guarded.outcome(server.jwt("profile")))
        first, second = server.fail(fault), server.fail(fault)
        for ending in (first, first, second):
            assert guarded.outcome(server.jwt("profile")) == OUTCOMES[fault]["jwt, later"]
            ending.end()
        server.clock.move(60)
        assert (dict(server.jwks), guarded.outcome(server.jwt("profile"))) == well == (well[0], (200, None))


def test_rotated_twice() -> None:
    """Under two rotations no older key is published until both have ended, and then all of them are again."""
    with FakeAuthorizationServer(algorithm="ES256") as server:
        first, second = server.fail("rotate"), server.fail("rotate")
        assert [key["kid"] for key in server.jwks["keys"]] == ["key-3"]
        first.end()
        assert [key["kid"] for key in server.jwks["keys"]] == ["key-3"]
        second.end()
        assert {key["kid"] for key in server.jwks["keys"]} == {"key-1", "key-2", "key-3"}


def test_one_ends_while_another_is_looked_for() -> None:
    """A fault that is under way is found, although another one ends on another thread just then."""
    faults = Faults(lambda name: lambda: None)

    class Ending(set[str]):
        def __contains__(self, endpoint: object) -> bool:
            ending.end()
            return False

    ending = faults.begin("down", "keys")
    ending.endpoints = Ending()
    assert faults.find("down", "introspection") is None
    ending = faults.begin("down", "keys")
    ending.endpoints = Ending()
    everywhere = faults.begin("down", None)
    assert faults.find("down", "introspection") is everywhere


async def test_in_an_async_test() -> None:
    """``async with`` does as well."""
    async with FakeAuthorizationServer() as server:
        with site("async def", introspecting()) as guarded:
            token = server.opaque("profile")
            async with server.fail("down") as fault:
                assert (await guarded.aget(token)).status == 503
            assert repr(fault) == "<Fault 'down'>"
            server.clock.move(1)
            assert (await guarded.aget(token)).status == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Down",), "fault must be one of .*refuses_us, got 'Down'; did you mean 'down'"),
        (("fire",), "fault must be one of down, slow, .*, got 'fire'"),
        ((None,), "fault must be one of .*, got None"),
        (("down", "key"), "at must be one of metadata, keys, .*, got 'key'; did you mean 'keys'"),
        (("rotate", "keys"), "at: rotate is a fault of the whole server; leave at= out"),
    ],
)
def test_unknown_names(arguments: tuple[Any, ...], message: str) -> None:
    """An unknown name is an error that lists those that there are, and the one that was meant."""
    with FakeAuthorizationServer() as server, pytest.raises(ValueError, match=message):
        server.fail(arguments[0], at=arguments[1] if len(arguments) > 1 else None)


# --- on a port -------------------------------------------------------------------------------------------------------


@sync_and_async
def test_down_on_a_port(mode: str) -> None:
    """A server on a port that is down closes connections without an answer."""
    with FakeAuthorizationServer(algorithm="ES256").on_port() as server, site(mode, verifying(server.issuer)) as it:
        token = server.jwt("profile")
        with server.fail("down"):
            assert it.outcome(token) == (503, Reason.SERVER_UNREACHABLE)
        server.clock.move(1)
        assert it.outcome(token) == (200, None)


def test_slow_on_a_port_is_too_slow() -> None:
    """A server on a port that is slow outlasts the patience of a guard."""
    with FakeAuthorizationServer().on_port() as server, site("def", introspecting(server.issuer, timeout=0.05)) as it:
        server.fail("slow")
        assert it.outcome(server.opaque("profile")) == (503, Reason.SERVER_TOO_SLOW)


@sync_and_async
def test_slow_on_a_port_is_released(mode: str) -> None:
    """A server on a port that is slow answers when it recovers: no test has to sleep."""
    answers: list[Answer] = []
    with FakeAuthorizationServer().on_port() as server, site(mode, introspecting(server.issuer)) as guarded:
        server.fail("slow", at="introspection")
        token = server.opaque("profile")
        client = threading.Thread(target=lambda: answers.append(guarded.get(token)))
        client.start()
        server.wait_for_call("introspection")
        assert answers == []
        server.recover()
        client.join()
    assert [answer.status for answer in answers] == [200]
