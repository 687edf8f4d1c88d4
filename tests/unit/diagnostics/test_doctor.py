"""What the doctor reports about what it sees: findings, remedies, and no secrets."""

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from django.core import checks as django_checks
from django.core.cache import BaseCache
from django.core.checks import CheckMessage, registry
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.test import override_settings
from django.test.utils import isolate_apps
from joserfc.jwk import ECKey, KeySet, OctKey

from async_oauth_guard import (
    BearerTokenValidator,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    ResourceProtector,
)
from async_oauth_guard.authorization_server.backoff import Attempt
from async_oauth_guard.authorization_server.jwks import RemoteKeySource
from async_oauth_guard.diagnostics import doctor
from async_oauth_guard.diagnostics.doctor import (
    Finding,
    Severity,
    cache,
    database,
    diagnose,
    examination,
    faults,
    probe,
    site,
)
from async_oauth_guard.diagnostics.doctor.clock import NOTICEABLE_SKEW, skew_of
from async_oauth_guard.diagnostics.doctor.examination import captured_logs, examine, ok, without_secrets
from async_oauth_guard.diagnostics.doctor.faults import fault_of
from async_oauth_guard.diagnostics.doctor.keys import describe_lifetime, examine_keys, no_usable_key
from async_oauth_guard.diagnostics.doctor.probe import Exchange, ProbeResult
from async_oauth_guard.diagnostics.doctor.servers import ServerExaminer
from async_oauth_guard.errors import Reason, TemporarilyUnavailableError
from async_oauth_guard.protocol.jwk import DEFAULT_ALGORITHMS
from async_oauth_guard.protocol.secrets import Secret
from async_oauth_guard.runtime.effects import OutboundResponse, RequestFailedError
from async_oauth_guard.validators.clock import CLOCK
from async_oauth_guard.validators.token_table import RowSource
from tests.faults import FaultServer, HangUp, Json, Status
from tests.remote.authority import AUDIENCE, INTROSPECTION, KEYS, METADATA, OPENID_METADATA, Authority, make_key
from tests.site.models import LoginSession, NumberToken, OAuth2Token, UUIDToken
from tests.sites import Urls, Witness

NOW = 1_800_000_000.0
URL = "https://as.example.com/keys"


@pytest.fixture
def authority() -> Iterator[Authority]:
    """An authorization server."""
    with FaultServer() as server:
        yield Authority(server)


def only(findings: Any) -> Finding:
    """The only one."""
    [finding] = findings
    assert isinstance(finding, Finding)
    return finding


def is_ok(finding: Finding) -> bool:
    return finding.severity is Severity.OK


# What is reported


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://as.example.com/a?key=secret is down", "https://as.example.com/a is down"),
        ("'https://user:secret@as.example.com/a'", "'https://as.example.com/a'"),
        ("redis://:secret@cache:6379/0", "redis://cache:6379/0"),
        ("https://u:p@x/?a=b https://y/#c", "https://x/ https://y/"),
        ("Did you mean 'REALM'? (E002) a@b", "Did you mean 'REALM'? (E002) a@b"),
    ],
)
def test_without_secrets(text: str, shown: str) -> None:
    """A URL is reported without its user and without what follows the path."""
    assert without_secrets(text) == shown


def test_report_is_without_secrets() -> None:
    """No part of an examination holds one: sentence, remedy, facts, subject."""
    url = "https://user:secret@as.example.com/?key=secret"
    look = examination.problem(url, url, url=url, urls=[url], nested={"url": url}, number=7)
    [found] = examine("keys", url, lambda: [look])
    assert found.as_json() == {
        "examination": "keys",
        "subject": "https://as.example.com/",
        "severity": "problem",
        "found": "https://as.example.com/",
        "remedy": "https://as.example.com/",
        "milliseconds": found.milliseconds,
        "facts": {
            "url": "https://as.example.com/",
            "urls": ["https://as.example.com/"],
            "nested": {"url": "https://as.example.com/"},
            "number": 7,
        },
    }


def test_unexpected() -> None:
    """An unexpected exception in an examination is reported as an error by its class alone."""

    def look() -> Iterator[Finding]:
        yield ok("as far as it goes")
        raise LookupError("a secret")

    [found] = examine("keys", "x", look)
    assert found.finding.severity is Severity.ERROR
    assert found.finding.found == "The examination failed: LookupError was raised."


def test_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    """An examination tells its milliseconds."""
    monkeypatch.setattr(CLOCK, "steady", iter([10.0, 10.25]).__next__)
    assert examine("keys", "x", lambda: [ok("fine")])[0].milliseconds == 250.0


def test_overhearing(caplog: pytest.LogCaptureFixture) -> None:
    """What the rules say in the log is heard by the doctor alone, and the logger is as it was afterwards."""
    logger = logging.getLogger("async_oauth_guard")
    before = (list(logger.handlers), logger.propagate, logger.level)
    logger.setLevel(logging.CRITICAL)
    with captured_logs() as said:
        logging.getLogger("async_oauth_guard.outgoing").warning("%s is down", "it")
    assert (said, caplog.records) == (["it is down"], [])
    assert (logger.handlers, logger.propagate, logger.level) == (before[0], before[1], logging.CRITICAL)
    logger.setLevel(before[2])


# Calls


def failed(root: str | None, reason: Reason = Reason.SERVER_UNREACHABLE) -> ProbeResult:
    """A visit whose only call failed."""
    return visited(None, RequestFailedError(reason, "ConnectError", root), reason)


def visited(
    answer: OutboundResponse | None,
    failure: RequestFailedError | None = None,
    reason: Reason | None = Reason.SERVER_ANSWER_UNUSABLE,
    began: float = NOW,
    ended: float = NOW,
) -> ProbeResult:
    return ProbeResult(None, reason, [], [Exchange(URL, answer, failure, began, ended, ended - began)])


@pytest.mark.parametrize(
    ("root", "fault"),
    [
        ("gaierror", "dns"),
        ("SSLCertVerificationError", "tls"),
        ("SSLError", "tls"),
        ("ConnectionRefusedError", "refused"),
        ("ConnectionResetError", "unreachable"),
        (None, "unreachable"),
        ("client", "client"),
    ],
)
def test_kinds_of_failure(root: str | None, fault: str) -> None:
    """Network failures are distinguished by the operating system's own error."""
    finding = fault_of(failed(root), {})
    assert (finding.severity, finding.facts["fault"]) == (Severity.ERROR, fault)
    assert finding.remedy
    assert finding.found.startswith(URL)


def test_log_switched_off() -> None:
    """Where the site has switched its log off, the reason stands for what is said there."""
    assert fault_of(visited(None), {}).found == "The server cannot be used (server_answer_unusable)."


def test_call_that_was_never_made() -> None:
    """A flow that failed before its first call is reported with its reason too."""
    finding = fault_of(ProbeResult(None, Reason.TOO_MANY_CALLS, [], []), {})
    assert finding.found == "The server cannot be used (too_many_calls)."


def test_root_of_a_failure(authority: Authority) -> None:
    """Failures with the same httpx error are distinguished: a bad certificate, a refused and a broken connection."""
    roots = {}
    with FaultServer(tls=True) as tls:
        for name, url in {"tls": tls.url, "hung up": authority.issuer, "refused": "http://127.0.0.1:9"}.items():
            authority.server.answer(METADATA, HangUp())
            examiner = ServerExaminer(JWTBearerTokenValidator(url, AUDIENCE))
            only(examiner.discovery())
            failure = examiner._exchanges[0].failure
            assert failure is not None
            roots[name] = failure.root
    assert roots == {"tls": "SSLCertVerificationError", "hung up": None, "refused": "ConnectionRefusedError"}


def test_fields_of_an_answer(authority: Authority) -> None:
    """An answer tells its time, and nothing else of its header."""
    headers = {"Date": "Wed, 25 Nov 2026 09:00:00 GMT", "Age": "7", "Cache-Control": "max-age=60", "X-Other": "x"}
    authority.server.answer(METADATA, Json(authority.metadata, headers=headers))
    examiner = ServerExaminer(authority.verifying())
    only(examiner.discovery())
    answer = examiner._exchanges[0].response
    assert answer is not None
    assert answer.fields == {name: headers[name] for name in ("Date", "Age", "Cache-Control")}


def test_call_that_is_held_back() -> None:
    """A call that our own rules hold back is no failure of the client's."""
    call = ServerExaminer(JWTBearerTokenValidator("https://x", AUDIENCE))._server.get(URL, Attempt(0, False), "keys")
    noted: list[Exchange] = []
    flow = probe._recorded_flow(call, noted.append, CLOCK)
    assert next(flow) is call
    with pytest.raises(TemporarilyUnavailableError) as raised:
        flow.throw(TemporarilyUnavailableError(reason=Reason.BACKING_OFF))
    assert raised.value.reason is Reason.BACKING_OFF
    assert [(each.response, each.failure) for each in noted] == [(None, None)]


# Discovery


def test_which_well_known_url_answered(authority: Authority) -> None:
    """The doctor reports which well-known URL has the metadata, and which addresses the metadata names."""
    authority.server.answer(METADATA, Status(404))
    authority.server.answer(OPENID_METADATA, Json({**authority.metadata, "name": "x", "token_endpoint": 7}))
    finding = only(ServerExaminer(authority.verifying()).discovery())
    assert is_ok(finding)
    assert finding.facts == {
        "metadata": authority.issuer + OPENID_METADATA,
        "jwks_uri": authority.issuer + KEYS,
        "introspection_endpoint": authority.issuer + INTROSPECTION,
    }


def test_nothing_to_discover(authority: Authority) -> None:
    """If each address is configured, no metadata is requested."""
    examiner = ServerExaminer(authority.verifying(jwks_uri=authority.issuer + KEYS))
    assert only(examiner.discovery()).severity is Severity.NOT_APPLICABLE
    assert is_ok(only(examiner.keys()))
    assert [call.path for call in authority.server.calls] == [KEYS]


def test_endpoint_that_is_discovered(authority: Authority) -> None:
    """An introspection endpoint may be discovered as well."""
    examiner = ServerExaminer(authority.introspecting(issuer=authority.issuer))
    assert is_ok(only(examiner.discovery()))
    assert is_ok(only(examiner.introspection()))


def test_what_needs_an_address_that_is_not_found(authority: Authority) -> None:
    """An address that could not be discovered is not examined: one fault is reported once."""
    authority.server.answer(METADATA, Json({"issuer": 7}))
    options = {"signed_responses": "required", "issuer": authority.issuer}
    examiner = ServerExaminer(authority.introspecting(**options))
    discovery = only(examiner.discovery())
    assert (
        discovery.remedy
        == "Write issuer= exactly as the server writes it, including a final slash: its metadata names no issuer."
    )
    for look in (examiner.keys, examiner.introspection):
        finding = only(look())
        assert finding.severity is Severity.NOT_APPLICABLE
        assert "see discovery" in finding.found


# Keys


@pytest.mark.parametrize("mode", ["def", "async def"])
def test_keys_of_a_callable(mode: str, authority: Authority) -> None:
    """A callable is called for its keys, whether it is sync or async."""

    def get_keys() -> Any:
        return authority.key_set

    async def aget_keys() -> Any:
        return authority.key_set

    jwks = get_keys if mode == "def" else aget_keys
    finding = only(ServerExaminer(JWTBearerTokenValidator("https://x", AUDIENCE, jwks=jwks)).keys())
    assert is_ok(finding)
    assert finding.found == "2 keys: RSA 2048 bits (RS256), EC P-256 (ES256)."


def test_keys_of_a_hook() -> None:
    """So is ``get_jwks`` of a subclass, which may give joserfc's own objects."""

    class Own(JWTBearerTokenValidator):
        def get_jwks(self) -> Any:
            return KeySet([make_key("ec")])

    finding = only(ServerExaminer(Own("https://x", AUDIENCE)).keys())
    assert finding.found == "1 key: EC P-256 (ES256)."
    assert (finding.facts["keys"], finding.facts["usable"]) == (0, 1)


def test_fixed_keys() -> None:
    """Keys of the settings are described without being told, and those that are left out are named."""
    secret = "fourty-octets-and-none-of-them-is-telling"
    jwks = {"keys": [OctKey.import_key(secret).as_dict(private=True), {"kty": "RSA", "n": "A", "e": "AQAB"}]}
    finding = only(ServerExaminer(JWTBearerTokenValidator("https://x", AUDIENCE, jwks=jwks)).keys())
    assert finding.severity is Severity.WARNING
    assert finding.found.startswith("1 key: a secret (HS256). Some keys of a key set are not used: 1 (")
    assert secret not in repr(finding)


def test_keys_of_signed_answers(authority: Authority) -> None:
    """The keys of signed introspection answers are looked at as well, and used with a memory of the doctor's own."""
    validator = authority.introspecting(issuer=authority.issuer, signed_responses="accepted")
    examiner = ServerExaminer(validator)
    assert [is_ok(only(look())) for look in (examiner.discovery, examiner.keys, examiner.introspection)] == [True] * 3
    signed = validator._introspection.signed
    assert signed is not None
    own = examiner._signed(signed)
    assert own is not None
    assert own.keys is not signed.keys
    assert own.audiences is signed.audiences


def test_what_a_validator_knows(authority: Authority) -> None:
    """What the doctor learns while it verifies a signed answer, the validator has not learned."""
    signed = authority.jwt(header={"typ": "token-introspection+jwt"}, aud="api", token_introspection={"active": False})
    headers = {"Content-Type": "application/token-introspection+jwt"}
    authority.server.answer(INTROSPECTION, Status(200, headers, signed.encode()))
    validator = authority.introspecting(issuer=authority.issuer, signed_responses="required")
    examiner = ServerExaminer(validator)
    assert [is_ok(only(look())) for look in (examiner.discovery, examiner.keys, examiner.introspection)] == [True] * 3
    assert validator._metadata._document is None
    assert isinstance(validator._own_keys, RemoteKeySource)
    assert validator._own_keys._current is None


def test_failures_are_the_doctors(authority: Authority) -> None:
    """A call of the doctor's that fails keeps no request from asking."""
    authority.server.answer(INTROSPECTION, HangUp())
    validator = authority.introspecting()
    assert only(ServerExaminer(validator).introspection()).severity is Severity.ERROR
    authority.recover()
    assert validator.introspect_token(authority.opaque())["active"] is True


@pytest.mark.parametrize("place", ["jwks", "jwks_uri"])
def test_signed_answers_with_given_keys(place: str, authority: Authority) -> None:
    """Configured keys are used as they are; keys are requested from a configured address."""
    value: Any = authority.key_set if place == "jwks" else authority.issuer + KEYS
    options: Mapping[str, Any] = {"issuer": authority.issuer, "signed_responses": "accepted", place: value}
    validator = authority.introspecting(**options)
    examiner = ServerExaminer(validator)
    assert is_ok(only(examiner.keys()))
    signed = validator._introspection.signed
    own = examiner._signed(signed)
    assert own is not None
    assert signed is not None
    assert (own.keys is signed.keys) is (place == "jwks")


def test_no_issuer() -> None:
    """A subclass that finds issuers and tokens by itself has no server that could be looked at."""

    class Own(JWTBearerTokenValidator):
        def validate_iss(self, claims: Any, iss: Any) -> bool:
            return True

        def authenticate_token(self, token_string: str) -> Any:
            return None

    examiner = ServerExaminer(Own(None, AUDIENCE))  # type: ignore[arg-type]
    looks = (examiner.discovery, examiner.keys, examiner.introspection, examiner.clock)
    assert [only(look()).severity for look in looks] == [Severity.NOT_APPLICABLE] * 4


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, ""),
        ("no-store", ""),
        ("s-maxage=9", ""),
        ("public, max-age=300", " The server allows the key set to be cached for 300 s (Cache-Control)."),
        ('MAX-AGE="0"', " The server allows the key set to be cached for 0 s (Cache-Control)."),
    ],
)
def test_lifetime(value: str | None, told: str) -> None:
    """If the server says how long a key set may be kept, the doctor reports it."""
    fields = {} if value is None else {"Cache-Control": value}
    assert describe_lifetime(OutboundResponse(200, "application/json", Secret(b""), fields=fields)) == told
    assert describe_lifetime(None) == ""


def test_keys_for_encryption_are_counted() -> None:
    """A key for encryption is no fault of a key set's."""
    keys = [ECKey.generate_key("P-256", {"use": use}) for use in ("sig", "enc")]
    document = KeySet(keys).as_dict(private=False)
    examiner = ServerExaminer(JWTBearerTokenValidator("https://x", AUDIENCE, jwks=document))
    finding = only(examiner.keys())
    assert is_ok(finding)
    assert (finding.facts["keys"], finding.facts["for_encryption"], finding.facts["usable"]) == (2, 1, 1)


@pytest.mark.parametrize("body", [b"[]", b'{"keys": 7}', b'{"keys": [7, {"kty": "RSA", "n": "\xc3\xa4"}]}', None])
def test_key_set_that_is_none(body: bytes | None) -> None:
    """Whatever a server answers in place of a key set, the report says that no key is usable."""
    answer = None if body is None else OutboundResponse(200, "application/json", Secret(body))
    finding = no_usable_key(visited(answer, reason=Reason.KEYS_UNAVAILABLE))
    assert (finding.facts["fault"], finding.facts["rsa_bits"]) == ("no-usable-key", [])
    assert finding.found == "The key set has no usable key."


def test_no_keys_for_algorithms() -> None:
    """Where no key is left to describe, the accepted algorithms are named all the same."""
    assert only(examine_keys([], None, "", DEFAULT_ALGORITHMS)).facts["fault"] == "algorithms"


# The clock


def answered(began: float, ended: float, **fields: str) -> Exchange:
    """An exchange, and what its answer tells of its time."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    answer = OutboundResponse(200, "application/json", Secret(b"{}"), fields=named)
    return Exchange(URL, answer, None, began, ended, ended - began)


def date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    ("began", "ended", "dated", "skew"),
    [
        (NOW + 0.2, NOW + 0.4, NOW, 0.0),
        (NOW - 0.2, NOW + 0.4, NOW, 0.0),
        # The second that is named, and the way there and back, are nobody's fault.
        (NOW + 1.0, NOW + 4.0, NOW, 0.0),
        (NOW - 3.0, NOW, NOW, 0.0),
        (NOW, NOW + 0.5, NOW + 600, 599.5),
        (NOW, NOW + 0.5, NOW - 600, -599.0),
    ],
)
def test_skew(began: float, ended: float, dated: float, skew: float) -> None:
    """Two clocks differ by as much as the answer's time proves, and no more."""
    assert skew_of(answered(began, ended, Date=date(dated))) == skew


def test_skew_of_a_kept_answer() -> None:
    """An answer from a cache on the way was made earlier by its age."""
    assert skew_of(answered(NOW, NOW, Date=date(NOW - 600), Age="600")) == 0.0
    assert skew_of(answered(NOW, NOW, Date=date(NOW - 600), Age="x")) == -599.0


def test_age_that_is_none() -> None:
    """An age of more digits than anybody has lived for is no failure of the doctor's."""
    skew = skew_of(answered(NOW, NOW, Date=date(NOW - 600), Age="9" * 5000))
    assert skew is not None
    assert skew > 0


@pytest.mark.parametrize("fields", [{}, {"Date": "yesterday"}, {"Date": ""}])
def test_no_date(fields: dict[str, str]) -> None:
    """An answer without a time tells nothing of the clock, and nor does a call without an answer."""
    assert skew_of(answered(NOW, NOW, **fields)) is None
    assert skew_of(Exchange(URL, None, RequestFailedError(Reason.SERVER_UNREACHABLE, "x"), NOW, NOW, 0)) is None


LEEWAY = 10.0


@pytest.mark.parametrize(
    ("ahead", "leeway", "severity", "words"),
    [
        (0, LEEWAY, Severity.OK, "the same time"),
        (4, LEEWAY, Severity.OK, "the same time"),
        (8, LEEWAY, Severity.WARNING, "ahead of that of this machine by 8.0 s; up to 10 s"),
        (-9, LEEWAY, Severity.WARNING, "behind that of this machine by 8.0 s; up to 10 s"),
        (11, LEEWAY, Severity.ERROR, "ahead of that of this machine by 11.0 s, but only 10 s"),
        (-12, LEEWAY, Severity.ERROR, "behind that of this machine by 11.0 s, but only 10 s"),
        (2, 0, Severity.ERROR, "ahead of that of this machine by 2.0 s, but only 0 s"),
    ],
)
def test_clock(ahead: float, leeway: float, severity: Severity, words: str) -> None:
    """More than the leeway is trouble, more than a few seconds worth a warning."""
    examiner = ServerExaminer(JWTBearerTokenValidator("https://x", AUDIENCE, leeway=leeway))
    # The shortest exchange is the most telling.
    examiner._exchanges = [answered(NOW - 50, NOW, Date=date(NOW)), answered(NOW, NOW, Date=date(NOW + ahead))]
    finding = only(examiner.clock())
    assert finding.severity is severity
    assert words in finding.found


def test_clock_without_leeway() -> None:
    """Where a validator has no leeway, a few seconds are allowed for."""
    validator = IntrospectTokenValidator("https://x/introspect", audience=AUDIENCE, client_auth="none")
    results = []
    for ahead in (NOTICEABLE_SKEW, NOTICEABLE_SKEW + 1):
        examiner = ServerExaminer(validator)
        examiner._exchanges = [answered(NOW, NOW, Date=date(NOW + ahead))]
        results.append(only(examiner.clock()).severity)
    assert results == [Severity.OK, Severity.ERROR]


# The cache


class OwnCache(BaseCache):
    """A cache of a class that nobody knows."""

    kept: dict[str, Any] = {}

    def __init__(self, location: str, parameters: Any) -> None:
        super().__init__(parameters)

    def get(self, key: str, default: Any = None, version: Any = None) -> Any:
        return self.kept.get(key, default)

    def set(self, key: str, value: Any, *arguments: Any) -> None:
        self.kept[key] = value

    def delete(self, key: str, version: Any = None) -> bool:
        return self.kept.pop(key, None) is not None


def test_caches(tmp_path: Path) -> None:
    """The doctor reports who shares a cache. It stores an entry, finds it and deletes it."""
    caches = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "file": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path)},
        "own": {"BACKEND": f"{__name__}.OwnCache"},
    }
    with override_settings(CACHES=caches):
        found = {alias: only(cache.examine_cache(alias, True)) for alias in caches}
    assert found["default"].severity is Severity.WARNING
    assert "The cache 'file' (FileBasedCache) is shared by the workers of one machine. An entry" in found["file"].found
    assert "(OwnCache) is of a class that the doctor does not know" in found["own"].found
    assert OwnCache.kept == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (cache.FileBasedCache("", {}), "one machine"),
        (cache.DatabaseCache("table", {}), "all workers"),
        (cache.RedisCache("redis://x", {}), "all workers"),
    ],
)
def test_who_shares(backend: Any, words: str) -> None:
    """Servers and databases are shared by all."""
    assert words in cache._reach_of(backend)


@pytest.mark.parametrize(
    ("has_remote", "words"),
    [(True, "each worker caches the responses of servers separately"), (False, "in a database")],
)
def test_no_cache(has_remote: bool, words: str) -> None:
    """A missing cache is no fault, and the doctor explains what it means."""
    finding = only(cache.examine_cache(None, has_remote))
    assert finding.severity is Severity.NOT_APPLICABLE
    assert words in finding.found


@pytest.mark.parametrize("aliases", [*itertools.permutations(["default", "shared", None])])
def test_caches_in_order(aliases: tuple[str | None, ...]) -> None:
    """Each cache is examined once, whichever protectors use it, and in a fixed order; a missing cache comes first."""
    caches = {alias: {"BACKEND": "django.core.cache.backends.dummy.DummyCache"} for alias in ("default", "shared")}
    with override_settings(CACHES=caches):
        protectors = [ResourceProtector(BearerTokenValidator(OAuth2Token), cache=alias) for alias in aliases * 2]
        found = [each.finding.facts.get("alias") for each in site._examine_caches(protectors)]
    assert found == [None, "default", "shared"]


def test_lost_entry() -> None:
    """A cache that answers, and has kept nothing, is in trouble."""
    with (
        override_settings(CACHES={"default": {"BACKEND": f"{__name__}.OwnCache"}}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(OwnCache, "set", lambda *arguments: None)
        finding = only(cache.examine_cache("default", True))
    assert finding.found == "The cache 'default' (OwnCache) did not return the entry that was written."


# Databases


@pytest.mark.django_db
@pytest.mark.parametrize("model", [OAuth2Token, UUIDToken, NumberToken])
def test_lookup_is_tried(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup is tried with a token that cannot exist, of whatever type the column is."""
    monkeypatch.setattr(CLOCK, "steady", lambda: 10.0)
    finding = only(database.examine_rows(BearerTokenValidator(model).rows, "tokens"))
    assert is_ok(finding)
    assert "has an index. A lookup took" in finding.found


@pytest.fixture
def database_view(transactional_db: None) -> Iterator[str]:
    """A view of the database, over the table of tokens."""
    quoted = [connection.ops.quote_name(name) for name in ("site_view", OAuth2Token._meta.db_table)]
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW {} AS SELECT * FROM {}".format(*quoted))
        try:
            yield "site_view"
        finally:
            cursor.execute(f"DROP VIEW {quoted[0]}")


@isolate_apps("tests.site")
def test_view_of_the_database(database_view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view works like a table. It has no index itself, and only the lookup time shows whether its tables have one."""

    class Viewed(models.Model):
        access_token = models.CharField(max_length=255, unique=True)

        class Meta:
            app_label = "site"
            managed = False
            db_table = database_view

    rows = BearerTokenValidator(Viewed).rows
    monkeypatch.setattr(CLOCK, "steady", lambda: 10.0)
    finding = only(database.examine_rows(rows, "tokens"))
    assert is_ok(finding)
    assert finding.found.startswith("site_view is a database view; its tables may have an index. A lookup took ")
    monkeypatch.setattr(CLOCK, "steady", itertools.count(10.0).__next__)
    finding = only(database.examine_rows(rows, "tokens"))
    assert (finding.severity, finding.facts["fault"]) == (Severity.WARNING, "slow")
    assert finding.found == "Looking up tokens in site_view is slow. A lookup took 1000.0 ms."
    assert finding.remedy is not None
    assert "tables of the view" in finding.remedy


@pytest.mark.django_db
def test_column_that_holds_no_token() -> None:
    """A column for which no token can be made up is not looked up in."""
    rows = RowSource(lambda: LoginSession, "closed")
    finding = only(database.examine_rows(rows, "tokens"))
    assert finding.facts["fault"] == "index"
    assert "A lookup took" not in finding.found


@pytest.mark.django_db
def test_slow_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that takes long in spite of the index is worth a warning."""
    monkeypatch.setattr(CLOCK, "steady", itertools.count(10.0).__next__)
    finding = only(database.examine_rows(BearerTokenValidator("site.OAuth2Token").rows, "tokens"))
    assert (finding.severity, finding.facts["fault"]) == (Severity.WARNING, "slow")
    assert finding.found == (
        "Looking up tokens in site_oauth2token is slow, although access_token has an index. A lookup took 1000.0 ms."
    )
    assert finding.remedy is not None
    assert "analyse the table" in finding.remedy


@pytest.mark.django_db
def test_lookup_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the database goes away meanwhile, the doctor reports the class of its error."""

    def fail(*arguments: Any) -> Any:
        raise database.DatabaseError("password")

    monkeypatch.setattr(database, "run", fail)
    finding = only(database.examine_rows(BearerTokenValidator("site.OAuth2Token").rows, "tokens"))
    assert finding.found == "The database 'default' cannot be queried (Error)."


# The site


def test_no_urls() -> None:
    """A project without URLs has nothing to import."""
    with override_settings(ROOT_URLCONF=None):
        assert only(site.examine_urls()).severity is Severity.NOT_APPLICABLE


def test_views_that_cannot_be_imported() -> None:
    """An exception from a view's module is reported by its class, because its message may hold anything."""

    class Broken(Urls):
        @property
        def urlpatterns(self) -> Any:
            raise LookupError("a secret")

        @urlpatterns.setter
        def urlpatterns(self, value: Any) -> None:
            """Not kept."""

    with override_settings(ROOT_URLCONF=Broken()):
        finding = only(site.examine_urls())
    what = "The views cannot be imported: the URL configuration Broken cannot be loaded: LookupError"
    assert re.fullmatch(rf"{what} \(test_doctor\.py, line [0-9]+\)\.", finding.found)
    assert finding.facts["fault"] == "urlconf"


@pytest.fixture
def own_checks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The checks that are registered."""
    known: list[Any] = []
    monkeypatch.setattr(registry.registry, "get_checks", lambda: known)
    return known


def registered(known: list[Any], *messages: CheckMessage, module: str = "async_oauth_guard.diagnostics.checks") -> None:
    def check(**kwargs: Any) -> list[CheckMessage]:
        return list(messages)

    check.__module__ = module
    known.append(check)


def test_checks(own_checks: list[Any]) -> None:
    """Errors of our checks are trouble, warnings are warnings; what is silenced, or another's, is not told."""
    registered(own_checks, django_checks.Error("wrong", hint="mend it", id="async_oauth_guard.E1"))
    registered(own_checks, django_checks.Warning("odd", id="async_oauth_guard.W1"), django_checks.Info("so", id="x"))
    registered(own_checks, django_checks.Error("silenced", id="async_oauth_guard.W9"))
    registered(own_checks, django_checks.Error("another's", id="other.E1"), module="other")
    with override_settings(SILENCED_SYSTEM_CHECKS=["async_oauth_guard.W9"]):
        found = list(site.examine_checks())
    assert [(each.severity, each.found, each.remedy) for each in found] == [
        (Severity.ERROR, "wrong (async_oauth_guard.E1)", "mend it"),
        (Severity.WARNING, "odd (async_oauth_guard.W1)", "See the page on system checks."),
    ]


def test_check_that_fails(own_checks: list[Any]) -> None:
    """A check that fails is trouble itself, and leaves the others their say."""

    def check(**kwargs: Any) -> list[CheckMessage]:
        raise LookupError("a secret")

    check.__module__ = "async_oauth_guard.diagnostics.checks"
    own_checks.append(check)
    registered(own_checks, django_checks.Error("wrong", hint="mend it", id="async_oauth_guard.E1"))
    found = list(site.examine_checks())
    assert [each.found for each in found] == [
        "A system check could not run: LookupError was raised.",
        "wrong (async_oauth_guard.E1)",
    ]
    own_checks.pop()
    assert [each.severity for each in site.examine_checks()] == [Severity.ERROR]


def test_names() -> None:
    """A validator is called by its class and where its tokens come from."""
    assert site.name_of(BearerTokenValidator("a.B")) == "BearerTokenValidator of a.B"
    assert site.name_of(BearerTokenValidator(OAuth2Token)) == "BearerTokenValidator of site.OAuth2Token"
    assert site.name_of(JWTBearerTokenValidator("https://x", "y")) == "JWTBearerTokenValidator of https://x"


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor reports the versions of relevant packages, and which of them are not installed."""
    monkeypatch.setattr(site, "_PACKAGES", ("Django", "no-such-package"))
    finding = only(site.examine_versions())
    assert set(finding.facts) == {"Python", "Django", "no-such-package"}
    assert "no-such-package not installed" in finding.found


def test_settings_that_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protectors whose settings cannot be read have neither validators nor a cache to look at."""
    protector = ResourceProtector.from_settings()
    protector(Witness().view("def"))
    monkeypatch.setattr(site, "ALL_PROTECTORS", [protector])
    with override_settings(OAUTH_GUARD={"REALMS": "x"}):
        about = [each.about for each in diagnose() if each.about in ("validators", "cache", "database")]
    assert about == ["validators"]


def test_nothing_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protectors that guard nothing do not count as the site's, unless the setting configures them."""
    monkeypatch.setattr(site, "ALL_PROTECTORS", [ResourceProtector(), ResourceProtector.from_settings()])
    assert len(site.protectors_of_site()) == 1
    with override_settings(ROOT_URLCONF=Urls()):
        from django.conf import settings

        del settings.OAUTH_GUARD
        with pytest.raises(ImproperlyConfigured, match="nothing is guarded"):
            diagnose()


def test_broken_urls_may_hide_what_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the views cannot be imported, the doctor cannot know whether they are guarded, and reports that."""
    monkeypatch.setattr(site, "ALL_PROTECTORS", [])
    with override_settings(ROOT_URLCONF="tests.no_such_urls"):
        from django.conf import settings

        del settings.OAUTH_GUARD
        faults = [each.finding.facts.get("fault") for each in diagnose()]
    assert "urlconf" in faults


def test_names_of_the_package() -> None:
    """The package shows what the command needs."""
    assert doctor.__all__ == ["SITE", "Examination", "Finding", "Severity", "diagnose"]


def test_faults_are_documented() -> None:
    """The page on the doctor has each fault by its name, and no other."""
    root = Path(__file__).parents[3]
    sources = "".join(path.read_text() for path in (root / "async_oauth_guard" / "diagnostics" / "doctor").glob("*.py"))
    named = set(re.findall(r'(?:fault=|"fault": |METADATA_UNUSABLE: \()"([a-z-]+)"', sources)) | set(faults._FAILURES)
    table = (root / "docs" / "doctor.md").read_text().partition("## Faults and remedies")[2]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)} - {"fault"} == named
