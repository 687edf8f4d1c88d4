"""What a key set can do wrong, or do rightly at a bad moment: which tokens are let in meanwhile, and afterwards."""

import asyncio
import base64
import copy
import json
import logging
import time
from typing import Any

import pytest

from async_oauth_guard import Reason
from tests.faults import (
    Behaviour,
    Drip,
    GzipBomb,
    Hang,
    Huge,
    Json,
    Redirect,
    Reset,
    Status,
    Truncated,
)
from tests.remote.authority import KEYS, TIMEOUT, Authority, make_key
from tests.remote.conftest import (
    SLACK,
    Guarded,
    Site,
    check_refused,
    check_secretive,
    check_unavailable,
    eventually,
    within_deadline,
)

# Waits for real seconds.
pytestmark = pytest.mark.slow

ELSEWHERE = "/elsewhere"
RSA = make_key("rsa", "RS256")
EC = make_key("ec")
NEW = make_key("new")


def told(authority: Authority, **options: Any) -> Any:
    """A validator that has the address of the keys, and may fetch them again at once."""
    return authority.verifying(**({"jwks_uri": authority.issuer + KEYS, "cooldown": 0} | options))


BAD_SETS: dict[str, Behaviour] = {
    "reset": Reset(),
    "hang": Hang(),
    "one byte a second": Drip(b'{"keys": []}'),
    "500": Status(500),
    "404": Status(404),
    "302": Redirect(ELSEWHERE),
    "HTML": Status(200, {"Content-Type": "text/html"}, b"<h1>Log in</h1>"),
    "broken JSON": Status(200, {"Content-Type": "application/json"}, b'{"keys": ['),
    "a list": Json([RSA.as_dict(private=False)]),
    "no keys": Json({}),
    "empty": Json({"keys": []}),
    "keys as text": Json({"keys": "many"}),
    "private key": Json({"keys": [RSA.as_dict(private=True)]}),
    "secret": Json({"keys": [{"kty": "oct", "kid": "rsa", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}]}),
    "for encryption": Json({"keys": [{**RSA.as_dict(private=False), "use": "enc"}]}),
    "200 MB": Huge(200),
    "gzip bomb": GzipBomb(),
    "truncated": Truncated(),
}


@pytest.mark.parametrize("fault", BAD_SETS.values(), ids=BAD_SETS)
def test_bad_at_the_start(fault: Behaviour, site: Site, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """E17, R65: without a key, 503 within the deadline; with one, the token is let in, and no process was restarted."""
    caplog.set_level("DEBUG")
    guarded = site.guard(told(authority, timeout=TIMEOUT))
    token = authority.jwt()
    authority.server.answer(KEYS, fault)
    authority.server.answer(ELSEWHERE, Json(authority.key_set))
    with within_deadline():
        check_unavailable(guarded.get(token), token)
    assert guarded.entered == 0
    authority.recover()
    eventually(lambda: guarded.get(token), 200)
    assert authority.server.calls_to(ELSEWHERE) == []
    check_secretive(caplog.text, token)


@pytest.mark.parametrize("fault", BAD_SETS.values(), ids=BAD_SETS)
def test_bad_later(fault: Behaviour, site: Site, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """E18, E19: the keys at hand serve on; a token of a key that they lack is 503, since nobody can tell."""
    guarded = site.guard(told(authority, jwks_ttl=0.01, timeout=TIMEOUT))
    seen, new = authority.jwt(), authority.jwt(NEW)
    assert guarded.get(seen).status == 200
    authority.server.answer(KEYS, fault)
    with within_deadline():
        check_unavailable(guarded.get(new), new)
    for token in (seen, authority.jwt(), authority.jwt(EC)):
        with within_deadline(0):
            assert guarded.get(token).status == 200
    assert [record.levelname for record in caplog.records if record.name.startswith("async_oauth_guard")]
    authority.keys.append(NEW)
    authority.recover()
    eventually(lambda: guarded.get(new), 200)
    assert guarded.get(seen).status == 200


@pytest.mark.parametrize("options", [{}, {"jwks_uri": True}], ids=["discovered", "told"])
def test_down_at_the_start(options: dict[str, Any], site: Site, authority: Authority) -> None:
    """E17: a site may be up before its authorization server is."""
    uri = {"jwks_uri": authority.issuer + KEYS} if options else {}
    guarded = site.guard(authority.verifying(**uri))
    token = authority.jwt()
    authority.server.stop()
    with within_deadline():
        check_unavailable(guarded.get(token), token)
    authority.server.start()
    eventually(lambda: guarded.get(token), 200)
    assert guarded.entered == 1


def test_down_later(site: Site, authority: Authority) -> None:
    """E18: an outage serves the old set, to tokens never seen before too, up to ``max_stale`` and no longer."""
    guarded = site.guard(told(authority, jwks_ttl=0.05, max_stale=1.2))
    seen = authority.jwt()
    began = time.monotonic()
    assert guarded.get(seen).status == 200
    authority.server.stop()
    for _ in range(3):
        time.sleep(0.06)
        for token in (seen, authority.jwt(EC)):
            with within_deadline(0):
                assert guarded.get(token).status == 200
    time.sleep(max(0, began + 1.2 + 0.1 - time.monotonic()))
    for token in (seen, authority.jwt()):
        with within_deadline():
            check_unavailable(guarded.get(token), token)
    authority.server.start()
    eventually(lambda: guarded.get(seen), 200)


def test_refreshed_in_the_background(site: Site, authority: Authority) -> None:
    """While a set is usable nobody waits for the next one, however long that takes."""
    guarded = site.guard(told(authority, jwks_ttl=0.01))
    assert guarded.get(authority.jwt()).status == 200
    authority.server.answer(KEYS, Hang())
    time.sleep(0.02)
    for _ in range(3):
        with within_deadline(0):
            assert guarded.get(authority.jwt()).status == 200
    authority.server.wait_for_calls(KEYS, 2)


# --- bad keys among good ones ----------------------------------------------------------------------------------------

GOOD_EC = EC.as_dict(private=False)
GOOD_RSA = RSA.as_dict(private=False)
OFF_CURVE = base64.urlsafe_b64encode(b"\1" * 32).rstrip(b"=").decode()
BAD_KEYS: dict[str, Any] = {
    "unknown kty": {"kty": "AKP", "kid": "x", "pub": "AAAA"},
    "unknown crv": GOOD_EC | {"crv": "P-999"},
    "bad base64": GOOD_EC | {"x": "!!!"},
    "off the curve": GOOD_EC | {"x": OFF_CURVE, "y": OFF_CURVE},
    "no x": {name: value for name, value in GOOD_EC.items() if name != "x"},
    "kid null": GOOD_EC | {"kid": None},
    "kid a number": GOOD_EC | {"kid": 7},
    "use tls": GOOD_EC | {"use": "tls"},
    "key_ops unknown": GOOD_EC | {"key_ops": ["teleport"]},
    "no object": "key",
    "null": None,
    "a list": [GOOD_EC],
    "no kty": {"kid": "x"},
    "RSA of 1024 bits": GOOD_RSA | {"n": GOOD_RSA["n"][: 1024 // 6]},
    "RSA with e of 1": GOOD_RSA | {"e": "AQ"},
    "huge exponent": GOOD_RSA | {"e": GOOD_RSA["n"]},
    "x5c no list": GOOD_RSA | {"x5c": "MIIB"},
    "secret": {"kty": "oct", "kid": "rsa", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
}


@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS)
def test_bad_key_among_good_ones(bad: Any, site: Site, authority: Authority) -> None:
    """R58: a key that cannot be used is no reason not to use the others."""
    guarded = site.guard(told(authority))
    authority.server.answer(KEYS, Json({"keys": [bad, GOOD_RSA, bad, NEW.as_dict(private=False), bad]}))
    for key in (RSA, NEW):
        assert guarded.get(authority.jwt(key)).status == 200


def test_key_set_by_its_own_media_type(site: Site, authority: Authority) -> None:
    """RFC 7517 §8.5.2: a set may call itself one."""
    guarded = site.guard(told(authority))
    authority.server.answer(KEYS, Json(authority.key_set, headers={"Content-Type": "application/jwk-set+json"}))
    assert guarded.get(authority.jwt()).status == 200


# --- unknown keys ----------------------------------------------------------------------------------------------------


def forged(authority: Authority, number: int) -> str:
    """A token of the right form, with a key of nobody's."""
    return authority.jwt(make_key("forger"), header={"kid": f"unknown-{number}"})


def test_unknown_keys_within_the_cooldown(site: Site, authority: Authority, reasons: list[Any]) -> None:
    """E7: two hundred tokens of two hundred unknown keys make no call just after a fetch, and are 401."""
    guarded = site.guard(authority.verifying())
    assert guarded.get(authority.jwt()).status == 200
    calls = len(authority.server.calls)
    for first in (0, 100):
        for answer in guarded.get_all([forged(authority, number) for number in range(first, first + 100)]):
            check_refused(answer)
    assert reasons == [Reason.UNKNOWN_KEY] * 200
    assert len(authority.server.calls) == calls
    assert guarded.get(authority.jwt()).status == 200
    assert guarded.entered == 2


def test_one_fetch_a_cooldown(site: Site, authority: Authority) -> None:
    """E7: as long as they come, one fetch a cooldown; a new key is accepted after one at most."""
    cooldown = 0.4
    guarded = site.guard(authority.verifying(cooldown=cooldown))
    assert guarded.get(authority.jwt()).status == 200
    while authority.fetches < 3:
        for answer in guarded.get_all([forged(authority, number) for number in range(10)]):
            check_refused(answer)
    authority.keys.append(NEW)
    token = authority.jwt(NEW)
    began = time.monotonic()
    while guarded.get(token).status == 401:
        assert time.monotonic() - began < cooldown + SLACK
        guarded.get(forged(authority, 0))
    assert guarded.get(token).status == 200
    at = [call.at for call in authority.server.calls_to(KEYS)]
    # All in all: on a busy machine one of them may arrive late, and the next in time.
    assert at[-1] - at[0] >= 0.8 * cooldown * (len(at) - 1)


def test_unknown_key_while_the_server_is_down(site: Site, authority: Authority, reasons: list[Any]) -> None:
    """E19: a new key looks like a forged one, so the answer is 503 without a call for each. Known keys still work."""
    guarded = site.guard(told(authority, cooldown=0.2))
    assert guarded.get(authority.jwt()).status == 200
    time.sleep(0.25)
    authority.server.answer(KEYS, Status(500))
    for answer in guarded.get_all([forged(authority, number) for number in range(20)]):
        check_unavailable(answer)
    assert Reason.UNKNOWN_KEY not in reasons
    assert authority.fetches <= 3
    assert guarded.get(authority.jwt()).status == 200
    authority.recover()
    eventually(lambda: guarded.get(forged(authority, 0)), 401)


def test_new_key_at_once(site: Site, authority: Authority) -> None:
    """If the last fetch is older than the cooldown, no request fails after a rotation, even with many at once."""
    guarded = site.guard(told(authority, cooldown=0.1))
    assert guarded.get(authority.jwt()).status == 200
    time.sleep(0.15)
    authority.keys.insert(0, NEW)
    answers = guarded.get_all([authority.jwt(NEW) for _ in range(30)])
    assert [answer.status for answer in answers] == [200] * 30
    assert authority.fetches == 2


# --- rotation --------------------------------------------------------------------------------------------------------


def test_removed_key(site: Site, authority: Authority, reasons: list[Any]) -> None:
    """R39: once the new set is in, the tokens of a removed key are refused, those that were let in before too."""
    guarded = site.guard(told(authority, cooldown=0.1))
    remembered, unseen = authority.jwt(RSA), authority.jwt(RSA)
    for _ in range(2):
        assert guarded.get(remembered).status == 200
    authority.keys[:] = [NEW]
    time.sleep(0.15)
    assert guarded.get(authority.jwt(NEW)).status == 200
    entered = guarded.entered
    for token in (remembered, unseen, remembered):
        check_refused(guarded.get(token), token)
    assert {*reasons} == {Reason.UNKNOWN_KEY}
    assert guarded.entered == entered


def test_removed_key_is_noticed_in_the_background(site: Site, authority: Authority) -> None:
    """R39: nobody needs to come with a new key: the tokens of the old one see to the refresh themselves."""
    guarded = site.guard(told(authority, jwks_ttl=0.2, cooldown=0))
    remembered = authority.jwt(RSA)
    assert guarded.get(remembered).status == 200
    authority.keys[:] = [NEW]
    eventually(lambda: guarded.get(remembered), 401, 200)
    check_refused(guarded.get(authority.jwt(RSA)))


def test_other_key_of_the_same_name(site: Site, authority: Authority, reasons: list[Any]) -> None:
    """R39: a key that takes over the name of another does not vouch for what that one had signed."""
    guarded = site.guard(told(authority, jwks_ttl=0.1, cooldown=0))
    authority.keys[:] = [make_key("one")]
    remembered = authority.jwt()
    assert guarded.get(remembered).status == 200
    other = make_key("two").as_dict(private=False) | {"kid": "one"}
    authority.server.answer(KEYS, Json({"keys": [other]}))
    eventually(lambda: guarded.get(remembered), 401, 200)
    assert {*reasons} == {Reason.BAD_SIGNATURE}
    assert guarded.get(authority.jwt(make_key("two"), header={"kid": "one"})).status == 200


# --- what makes no call ----------------------------------------------------------------------------------------------


def altered(token: str, part: int, text: str) -> str:
    parts = token.split(".")
    parts[part] = text
    return ".".join(parts)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def bad_tokens(authority: Authority) -> dict[str, str]:
    """Tokens that cannot be good, or that one of the keys at hand shows to be bad."""
    good = authority.jwt()
    elsewhere = authority.server.url + ELSEWHERE
    attacker = make_key("forger")
    own = attacker.as_dict(private=False)
    now = int(time.time())
    return {
        "other signature": altered(good, 2, authority.jwt().split(".")[2]),
        "other claims": altered(good, 1, encoded(authority.claims(scope="admin"))),
        "no signature": altered(good, 2, ""),
        "alg none": altered(altered(good, 0, encoded({"typ": "at+jwt", "alg": "none"})), 2, ""),
        "known kid, other key": authority.jwt(attacker, header={"kid": "ec"}),
        "expired": authority.jwt(exp=now - 60),
        "not yet": authority.jwt(nbf=now + 60),
        "other audience": authority.jwt(aud="https://other.example.com"),
        "other issuer": authority.jwt(iss=authority.issuer + "/"),
        "other type": authority.jwt(header={"typ": "JWT"}),
        "jku": authority.jwt(attacker, header={"kid": "ec", "jku": elsewhere}),
        "x5u": authority.jwt(attacker, header={"kid": "ec", "x5u": elsewhere}),
        "jwk": authority.jwt(attacker, header={"kid": "ec", "jwk": own}),
        "x5c": authority.jwt(attacker, header={"kid": "ec", "x5c": ["MIIB"]}),
        "all of them, no kid": authority.jwt(attacker, header={"kid": None, "jku": elsewhere, "jwk": own}),
        "two parts": good.rpartition(".")[0],
        "no JWT": "opaque",
    }


def test_bad_tokens_make_no_call(site: Site, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """R12, R54: nothing in a token sends us anywhere; the keys at hand, and the form, are enough to refuse it."""
    caplog.set_level("DEBUG")
    # The introspection validator is not called either: these are JWTs of the issuer, except for the last two.
    guarded = site.guard(authority.verifying(cooldown=0.01), authority.introspecting())
    assert guarded.get(authority.jwt()).status == 200
    time.sleep(0.02)
    authority.server.answer(ELSEWHERE, Json({"keys": [make_key("forger").as_dict(private=False)]}))
    calls = len(authority.server.calls)
    tokens = bad_tokens(authority)
    for name in ("other issuer", "two parts", "no JWT"):
        del tokens[name]
    for token in tokens.values():
        check_refused(guarded.get(token), token)
    assert len(authority.server.calls) == calls
    check_secretive(caplog.text, *tokens.values())


def test_bad_tokens_fetch_no_keys(site: Site, authority: Authority) -> None:
    """What is bad by its form or its claims is refused before any key is fetched; jku and its like never are."""
    guarded = site.guard(authority.verifying())
    tokens = bad_tokens(authority)
    for name in ("alg none", "expired", "not yet", "other audience", "other issuer", "other type", "two parts"):
        check_refused(guarded.get(tokens[name]))
    assert authority.server.calls == []


def test_our_own_headers(site: Site, authority: Authority) -> None:
    """R32: what a client presents is not passed on to the endpoints that publish metadata and keys."""
    guarded = site.guard(authority.verifying(cooldown=0))
    token = authority.jwt()
    assert guarded.get(token).status == 200
    check_refused(guarded.get(forged(authority, 0)))
    assert authority.fetches == 2
    for call in authority.server.calls:
        assert call.method == "GET"
        assert call.header("Authorization") is None
        assert call.header("Cookie") is None
        assert call.body == b""
        check_secretive(f"{call.query} {call.headers}", token)


def test_claims_are_each_requests_own(async_site: Site, authority: Authority) -> None:
    """What a view changes in a remembered token reaches nobody."""
    guarded = async_site.guard(authority.verifying())
    seen: list[Any] = []
    witness_answer = guarded.witness.answer

    def answer(request: Any) -> Any:
        seen.append(copy.deepcopy(dict(request.oauth_token)))
        request.oauth_token["scope"] = "admin"
        request.oauth_token["aud"].append("everybody")
        return witness_answer(request)

    guarded.witness.answer = answer  # type: ignore[method-assign]
    token = authority.jwt(aud=["https://api.example.com"])
    answers = asyncio.run(guarded.aget_all([token] * 5))
    assert [answer.status for answer in answers] == [200] * 5
    assert seen == [seen[0]] * 5
    assert seen[0]["aud"] == ["https://api.example.com"]


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records if record.name.startswith("async_oauth_guard")]


def test_one_bad_key_is_told(site: Site, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """R58: a warning says that a key was left out, and shows nothing of it."""
    guarded: Guarded = site.guard(told(authority))
    bad = GOOD_EC | {"crv": "P-999"}
    authority.server.answer(KEYS, Json({"keys": [bad, GOOD_RSA]}))
    assert guarded.get(authority.jwt(RSA)).status == 200
    assert levels(caplog) == [logging.WARNING]
    assert GOOD_EC["x"] not in caplog.text
