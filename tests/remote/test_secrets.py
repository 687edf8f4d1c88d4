"""R31, R75: tokens, secrets and what is known of a person are not to be read anywhere but where they are needed."""

import asyncio
import gc
import logging
import pickle
import traceback
from typing import Any

import httpx
import pytest

from async_oauth_guard import ResourceProtector, TemporarilyUnavailableError, token_rejected
from tests.faults import Json, Raw, Redirect, Status
from tests.remote.authority import AUDIENCE, CLIENT_SECRET, INTROSPECTION, KEYS, SUBJECT, Authority, make_key
from tests.remote.conftest import Site, check_secretive

PERSON = {"sub": SUBJECT, "username": SUBJECT, "email": f"{SUBJECT}@example.com"}
ANSWERS = {
    "good": Json({"active": True, "aud": AUDIENCE, "scope": "profile", **PERSON}),
    "bad": Json({"active": False, **PERSON}),
    "other audience": Json({"active": True, "aud": "other", "scope": "profile", **PERSON}),
    "no scope": Json({"active": True, "aud": AUDIENCE, **PERSON}),
    "no answer": Json({"active": "yes", **PERSON}),
    "time": Json({"active": True, "exp": SUBJECT}),
    "refused": Json({"error": "invalid_client", "error_description": SUBJECT}, status=401),
    "error": Json({"error": SUBJECT}, status=500),
    "elsewhere": Redirect("/elsewhere"),
    "no HTTP": Raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    "HTML": Status(200, {"Content-Type": "text/html"}, SUBJECT.encode()),
}

CLIENTS = [None, httpx.AsyncClient]


@pytest.fixture
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Every logger there is, at every level."""
    names = [None, "httpx", "httpcore", "httpcore.connection", "httpcore.http11", "asyncio", "async_oauth_guard"]
    for name in names:
        caplog.set_level(1, logger=name)
    return caplog


def everything(caplog: pytest.LogCaptureFixture, client: Any) -> str:
    """All that a formatter could make of the records: arguments and exceptions too."""
    library = "asyncio" if client is None else "httpcore"
    assert library in {record.name.partition(".")[0] for record in caplog.records}
    formatter = logging.Formatter("%(message)s %(args)s")
    return "\n".join(formatter.format(record) + repr(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("client", CLIENTS)
def test_logs_of_introspection(
    answer: Any,
    method: Any,
    client: Any,
    site: Site,
    authority: Authority,
    everything_is_logged: pytest.LogCaptureFixture,
) -> None:
    """No log line at any level, and no answer to a client, has the token, our secret, or what the server said."""
    guarded = site.guard(authority.introspecting(client_auth=method, http_client=client))
    authority.server.answer(INTROSPECTION, answer)
    token = authority.opaque()
    text = guarded.get(token).text
    credentials = [(call.header("Authorization") or "").partition(" ")[2] for call in authority.server.calls]
    check_secretive(everything(everything_is_logged, client) + text, token, *credentials)


@pytest.mark.parametrize("client", CLIENTS)
def test_logs_of_key_sets(
    client: Any, site: Site, authority: Authority, everything_is_logged: pytest.LogCaptureFixture
) -> None:
    """The same of JWTs, good and bad, and of keys that should not have been published."""
    guarded = site.guard(authority.verifying(http_client=client))
    private = make_key("ec").as_dict(private=True)
    authority.server.answer(KEYS, Json({"keys": [private, *authority.key_set["keys"]]}))
    tokens = [authority.jwt(), authority.jwt(exp=1), authority.jwt(make_key("forger")), authority.jwt(aud="other")]
    texts = [guarded.get(token).text for token in tokens]
    assert private["d"] not in everything(everything_is_logged, client)
    check_secretive(everything(everything_is_logged, client) + "".join(texts), *tokens)


@pytest.mark.parametrize("name", ANSWERS)
def test_errors(name: str, site: Site, authority: Authority) -> None:
    """Nor has the error that receivers get, its chain, or its tracebacks with the locals of our frames."""
    errors: list[BaseException] = []

    def receive(sender: Any, error: BaseException, **kwargs: Any) -> None:
        errors.append(error)

    guarded = site.guard(authority.introspecting())
    authority.server.answer(INTROSPECTION, ANSWERS[name])
    token = authority.opaque()
    token_rejected.connect(receive)
    try:
        status = guarded.get(token).status
    finally:
        token_rejected.disconnect(receive)
    assert (status == 200) == (errors == [])
    for error in errors:
        check_secretive(describe(error), token)


def describe(error: BaseException) -> str:
    """An error as an error page would show it."""
    described = traceback.TracebackException.from_exception(error, capture_locals=True)
    for frame in [*described.stack]:
        if "async_oauth_guard" not in frame.filename:
            frame.locals = {}
    return repr(error) + str(error) + "".join(described.format())


def test_repr(authority: Authority) -> None:
    """Nor has the ``repr`` of a validator, of a protector, or of a token, nor can one be pickled."""
    validator = authority.introspecting()
    protector = ResourceProtector(validator)
    token = authority.opaque(**PERSON)
    found = asyncio.run(protector.avalidate_token(token))
    for value in (validator, protector, found, vars(validator), validator._server, validator._introspection):
        check_secretive(repr(value), token)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(validator)
    assert found.subject == SUBJECT


def test_memory_holds_no_token(authority: Authority) -> None:
    """R31: what is remembered of a token does not tell it."""
    validator, verifying = authority.introspecting(), authority.verifying()
    token, jwt = authority.opaque(), authority.jwt()
    for each, presented in ((validator, token), (verifying, jwt)):
        ResourceProtector(each).validate_token(presented)
    remembered = [validator._results._active._entries, verifying._verified_tokens._entries]
    assert [len(entries) for entries in remembered] == [1, 1]
    text = repr([[*entries.items()] for entries in remembered])
    for presented in (token, jwt):
        assert presented not in text
        assert presented.rpartition(".")[2] not in text


def test_outage_has_no_frames_of_what_was_sent(authority: Authority) -> None:
    """The exception that a job gets in an outage leads to no request of this package, by its chain or its frames."""
    protector = ResourceProtector(authority.introspecting())
    authority.server.stop()
    token = authority.opaque()
    with pytest.raises(TemporarilyUnavailableError) as caught:
        protector.validate_token(token)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    del caught
    gc.collect()


def test_only_the_endpoint_hears_the_token(site: Site, authority: Authority) -> None:
    """R32: with discovery, the token and our secret go to the introspection endpoint alone."""
    guarded = site.guard(authority.introspecting(issuer=authority.issuer))
    token = authority.opaque()
    assert guarded.get(token).status == 200
    for call in authority.server.calls:
        if call.path == INTROSPECTION:
            # Not by the header that the client used.
            assert token not in (call.header("Authorization") or "")
            assert call.form["token"] == token
            assert call.query == ""
            continue
        assert call.header("Authorization") is None
        assert token not in f"{call.query} {call.headers} {call.body!r}"
        assert CLIENT_SECRET not in f"{call.query} {call.headers} {call.body!r}"
