"""``oauth_doctor``: each planted fault is found, its remedy named, and the exit status tells."""

import contextlib
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from django.core.cache.backends import redis as django_redis
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connections, models
from django.test import override_settings
from django.test.utils import isolate_apps
from django.urls import path
from joserfc.jwk import RSAKey

from async_oauth_guard import (
    BearerTokenValidator,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    ResourceProtector,
    TokenValidator,
)
from async_oauth_guard.diagnostics import checks
from async_oauth_guard.diagnostics.doctor import site
from async_oauth_guard.validators.clock import CLOCK
from tests.faults import FaultServer, Hang, HangUp, Json, Redirect, Status
from tests.remote.authority import (
    AUDIENCE,
    CLIENT_SECRET,
    INTROSPECTION,
    KEYS,
    METADATA,
    OPENID_METADATA,
    Authority,
    make_key,
)
from tests.sites import MODES, Urls, Witness
from tests.terminals import read_samples

pytestmark = pytest.mark.django_db

SECRETS = (CLIENT_SECRET, "pa55-of-the-database", "query-9bQ4", "oauth-doctor-")
SHARED = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"}
LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "doctor"}


@dataclass
class Result:
    """What a run of the command printed, and how it ended."""

    status: int
    error: str
    output: str

    @property
    def document(self) -> Any:
        return json.loads(self.output)

    def found(self, about: str, number: int = 0) -> Any:
        """An examination of the report."""
        return [each for each in self.document["examinations"] if each["examination"] == about][number]

    @property
    def verdicts(self) -> dict[str, str]:
        return {each["examination"]: each["severity"] for each in self.document["examinations"]}


def doctor(*arguments: str, **options: Any) -> Result:
    """Run the command."""
    output, status, message = StringIO(), 0, ""
    try:
        call_command("oauth_doctor", *arguments, stdout=output, no_color=True, **options)
    except CommandError as error:
        status, message = error.returncode, str(error)
    return Result(status, message, output.getvalue())


@pytest.fixture
def authority() -> Iterator[Authority]:
    """An authorization server that is well, until a test says otherwise."""
    with FaultServer() as server:
        yield Authority(server)


@dataclass
class Site:
    """The site that a test breaks. It guards one sync and one async view."""

    authority: Authority
    monkeypatch: pytest.MonkeyPatch
    stack: contextlib.ExitStack
    caches: Mapping[str, Any]
    options: dict[str, Any] = field(default_factory=lambda: {"cache": "shared"})

    @property
    def server(self) -> FaultServer:
        return self.authority.server

    @property
    def issuer(self) -> str:
        return self.authority.issuer

    def guard(self, *validators: Any, **options: Any) -> None:
        """Guard a sync and an async view with these validators."""
        protector = ResourceProtector(*validators, **(self.options | options))
        self.see(protector)
        views = [path(f"{number}", protector(Witness().view(mode))) for number, mode in enumerate(MODES)]
        self.stack.enter_context(override_settings(ROOT_URLCONF=Urls(*views)))

    def see(self, *protectors: ResourceProtector) -> None:
        """Have the doctor and the checks see no others."""
        for module in (site, checks):
            self.monkeypatch.setattr(module, "ALL_PROTECTORS", protectors)

    def set(self, **settings: Any) -> None:
        self.stack.enter_context(override_settings(**settings))

    def read_settings(self, value: Any) -> None:
        """Have the views guarded by what the setting says."""
        protector = ResourceProtector.from_settings()
        self.see(protector)
        views = [path(f"{number}", protector(Witness().view(mode))) for number, mode in enumerate(MODES)]
        self.set(ROOT_URLCONF=Urls(*views), OAUTH_GUARD=value)


@pytest.fixture
def planted(authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    """A site to plant faults in."""
    caches = {"default": LOCAL, "local": LOCAL, "shared": {**SHARED, "LOCATION": str(tmp_path)}}
    with contextlib.ExitStack() as stack:
        stack.enter_context(override_settings(CACHES=caches))
        yield Site(authority, monkeypatch, stack, caches)


def healthy(site: Site) -> None:
    """Nothing is wrong."""
    site.guard(
        BearerTokenValidator("site.OAuth2Token"),
        site.authority.introspecting(timeout=5.0, user_lookup=("username", "sub")),
        site.authority.verifying(timeout=5.0),
    )


# The faults


def no_validator(site: Site) -> None:
    site.read_settings({"REALM": "api"})


def bad_key(site: Site) -> None:
    site.read_settings({"VALIDATOR": []})


def issuer_down(site: Site) -> None:
    site.guard(site.authority.verifying())
    site.server.stop()


def issuer_mismatch(site: Site) -> None:
    site.server.answer(METADATA, Json({**site.authority.metadata, "issuer": f"{site.issuer}/"}))
    site.guard(site.authority.verifying())


def no_usable_key(site: Site) -> None:
    site.server.answer(KEYS, Json({"keys": [{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}]}))
    site.guard(site.authority.verifying())


def disjoint_algorithms(site: Site) -> None:
    site.authority.keys = [make_key("ec")]
    site.guard(site.authority.verifying(algorithms=["RS256"]))


def clock_skew(site: Site) -> None:
    date = formatdate(time.time() + 600, usegmt=True)
    site.server.answer(METADATA, Json(site.authority.metadata, headers={"Date": date}))
    site.guard(site.authority.verifying())


def refused_credentials(site: Site) -> None:
    site.server.answer(INTROSPECTION, Status(401))
    site.guard(site.authority.introspecting())


def invalid_client(site: Site) -> None:
    site.server.answer(INTROSPECTION, Json({"error": "invalid_client"}, status=400))
    site.guard(site.authority.introspecting())


def active_to_anything(site: Site) -> None:
    site.server.answer(INTROSPECTION, Json({"active": True, "sub": "anybody"}))
    site.guard(site.authority.introspecting())


def local_cache(site: Site) -> None:
    site.guard(site.authority.introspecting(), cache="local")


def no_index(site: Site) -> None:
    site.guard(BearerTokenValidator("site.OAuth2Token", lookup="client_id"))


def index_of_meta(site: Site) -> None:
    class Listed(models.Model):
        scope = models.CharField(max_length=50)

        class Meta:
            app_label = "site"
            db_table = "site_oauth2token"
            indexes = (models.Index(fields=["scope"], name="by_scope"),)

    site.guard(BearerTokenValidator(Listed, lookup="scope"))


def missing_table(site: Site) -> None:
    class Gone(models.Model):
        access_token = models.CharField(max_length=50, unique=True)

        class Meta:
            app_label = "site"
            db_table = "site_of_no_migration"

    site.guard(BearerTokenValidator(Gone))


def index_of_no_migration(site: Site) -> None:
    class Drifted(models.Model):
        scope = models.CharField(max_length=50, unique=True)

        class Meta:
            app_label = "site"
            db_table = "site_oauth2token"

    site.guard(BearerTokenValidator(Drifted, lookup="scope"))


def missing_column(site: Site) -> None:
    class Drifted(models.Model):
        token_hash = models.CharField(max_length=50, unique=True)

        class Meta:
            app_label = "site"
            db_table = "site_oauth2token"

    site.guard(BearerTokenValidator(Drifted, lookup="token_hash"))


def too_slow(site: Site) -> None:
    site.server.answer(METADATA, Hang())
    site.guard(site.authority.verifying(timeout=0.05))


def broken_urlconf(site: Site) -> None:
    site.guard(BearerTokenValidator("site.OAuth2Token"))
    site.set(ROOT_URLCONF="tests.commands.no_such_urls")


def weak_key(site: Site) -> None:
    with pytest.warns(UserWarning, match="2048"):
        key = RSAKey.generate_key(1024, {"kid": "weak"})
    site.server.answer(KEYS, Json({"keys": [key.as_dict(private=False)]}))
    site.guard(site.authority.verifying())


def database_down(site: Site) -> None:
    def refuse() -> Any:
        raise OperationalError('connection failed: password "pa55-of-the-database"')

    site.monkeypatch.setattr(connections["other"], "cursor", refuse)
    site.guard(BearerTokenValidator("site.OAuth2Token", using="other"))


def no_such_database(site: Site) -> None:
    site.guard(BearerTokenValidator("site.OAuth2Token", using="nowhere"))


def no_such_model(site: Site) -> None:
    site.guard(BearerTokenValidator("site.NoSuchToken"))


def html_in_place_of_json(site: Site) -> None:
    site.server.answer(INTROSPECTION, Status(200, {"Content-Type": "text/html"}, b"<html>"))
    site.guard(site.authority.introspecting())


def redirect(site: Site) -> None:
    site.server.answer(METADATA, Redirect(f"{site.issuer}/elsewhere"))
    site.server.answer(OPENID_METADATA, Redirect(f"{site.issuer}/elsewhere?key=query-9bQ4"))
    site.guard(site.authority.verifying())


def nowhere(site: Site) -> None:
    site.guard(site.authority.verifying(jwks_uri=f"{site.issuer}/nothing-here?key=query-9bQ4"))


def overloaded(site: Site) -> None:
    site.server.answer(KEYS, Status(503))
    site.guard(site.authority.verifying())


def broken_off(site: Site) -> None:
    site.server.answer(KEYS, HangUp())
    site.guard(site.authority.verifying())


def compressed(site: Site) -> None:
    site.server.answer(KEYS, Json({"keys": []}, headers={"Content-Encoding": "gzip"}))
    site.guard(site.authority.verifying())


def no_jwks_uri(site: Site) -> None:
    site.server.answer(METADATA, Json({"issuer": site.issuer}))
    site.guard(site.authority.verifying())


def unknown_certificate(site: Site) -> None:
    server = site.stack.enter_context(FaultServer(tls=True))
    site.guard(JWTBearerTokenValidator(server.url, AUDIENCE))


def broken_client(site: Site) -> None:
    def make_client() -> Any:
        raise LookupError("pa55-of-the-database")

    site.guard(site.authority.verifying(http_client=make_client))


def broken_cache(site: Site) -> None:
    site.set(CACHES={**site.caches, "broken": {"BACKEND": f"{__name__}.BrokenCache"}})
    site.guard(site.authority.verifying(), cache="broken")


def dummy_cache(site: Site) -> None:
    site.set(CACHES={**site.caches, "dummy": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}})
    site.guard(site.authority.verifying(), cache="dummy")


def broken_callable(site: Site) -> None:
    def get_keys() -> Any:
        raise LookupError("pa55-of-the-database")

    site.guard(JWTBearerTokenValidator(site.issuer, AUDIENCE, jwks=get_keys))


def callable_without_keys(site: Site) -> None:
    site.guard(JWTBearerTokenValidator(site.issuer, AUDIENCE, jwks=lambda: {"keys": []}))


def some_unusable_keys(site: Site) -> None:
    site.server.answer(KEYS, Json({"keys": [*site.authority.key_set["keys"], {"kty": "oct", "k": "c2VjcmV0"}]}))
    site.guard(site.authority.verifying())


def unshared_proofs(site: Site) -> None:
    site.guard(site.authority.verifying(), cache=None, dpop=True)


def unserved_metadata(site: Site) -> None:
    site.guard(site.authority.verifying(), resource=site.issuer, metadata=True)


def unreachable_origin(site: Site) -> None:
    site.guard(site.authority.verifying(), public_origin="http://127.0.0.1:9", cache="local", dpop=True)


class BrokenCache:
    """A cache whose server does not answer."""

    def __init__(self, location: str, parameters: Any) -> None:
        self.location = location

    def get(self, *arguments: Any) -> Any:
        raise ConnectionError("pa55-of-the-database")

    set = delete = get

    def close(self, **kwargs: Any) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Fault:
    """A planted fault: which examination finds it, under which name, with a piece of its sentence and its remedy."""

    plant: Callable[[Site], None]
    about: str
    name: str
    found: str
    remedy: str
    severity: str = "problem"


FAULTS = [
    Fault(no_validator, "validators", "no-validator", "no token validator", "VALIDATORS"),
    Fault(no_validator, "settings", "async_oauth_guard.E001", "no token validator", "register_token_validator"),
    Fault(bad_key, "settings", "async_oauth_guard.E002", "Did you mean 'VALIDATORS'?", "Correct OAUTH_GUARD"),
    Fault(issuer_down, "discovery", "refused", "nothing listens there", "Start the server"),
    Fault(issuer_mismatch, "discovery", "issuer", ", got another", "its metadata names the issuer http"),
    Fault(no_usable_key, "keys", "no-usable-key", "no usable key", "EC on P-256"),
    Fault(weak_key, "keys", "no-usable-key", "has 1024 bits", "RSA with 2048 bits"),
    Fault(disjoint_algorithms, "keys", "algorithms", "accepts: RS256", "out of ES256"),
    Fault(clock_skew, "clock", "clock", "ahead of that of this machine by", "NTP"),
    Fault(refused_credentials, "introspection", "credentials", "refuses the site's credentials", "client_secret="),
    Fault(invalid_client, "introspection", "credentials", "status 400", "client_id="),
    Fault(active_to_anything, "introspection", "active-to-anything", "a random token is active", "it lets anybody in"),
    Fault(local_cache, "cache", "local", "local to one worker", "Redis", "warning"),
    Fault(dummy_cache, "cache", "dummy", "stores nothing", "Redis", "warning"),
    Fault(broken_cache, "cache", "cache", "(BrokenCache) cannot be reached (ConnectionError).", "CACHES['broken']"),
    Fault(unshared_proofs, "replay store", "per-process", "There is no cache", "Redis", "warning"),
    Fault(unserved_metadata, "metadata", "status", "status 404", "metadata_urls()"),
    Fault(unreachable_origin, "clock", "refused", "nothing listens there", "PUBLIC_ORIGIN"),
    Fault(no_index, "database", "index", "begins with client_id", "db_index=True"),
    Fault(index_of_no_migration, "database", "index", "begins with scope", "manage.py migrate"),
    Fault(index_of_meta, "database", "index", "begins with scope", "The model declares the index"),
    Fault(missing_table, "database", "table", "no table site_of_no_migration", "manage.py migrate"),
    Fault(missing_column, "database", "column", "no column token_hash", "manage.py migrate"),
    Fault(database_down, "database", "database", "'other' cannot be queried (OperationalError)", "DATABASES['other']"),
    Fault(no_such_database, "database", "alias", "no database 'nowhere'", "using="),
    Fault(
        no_such_model, "database", "model", "token_model must be the label of a model, got 'site.NoSuchToken'", "E003"
    ),
    Fault(too_slow, "discovery", "timeout", "did not respond in time", "timeout="),
    Fault(broken_urlconf, "URLs", "urlconf", "no_such_urls", "manage.py check"),
    Fault(html_in_place_of_json, "introspection", "answer", "must respond with content type", "not an HTML page"),
    Fault(redirect, "discovery", "redirect", "never followed", "to which the server redirects"),
    Fault(nowhere, "keys", "status", "status 404", "Correct the URL"),
    Fault(overloaded, "keys", "status", "status 503", "own log"),
    Fault(broken_off, "keys", "unreachable", "RemoteProtocolError", "proxies"),
    Fault(compressed, "keys", "answer", "the response is compressed", "without compression"),
    Fault(no_jwks_uri, "discovery", "address", "no usable jwks_uri", "set jwks_uri="),
    Fault(unknown_certificate, "discovery", "tls", "SSLCertVerificationError", "verify="),
    Fault(broken_client, "discovery", "client", "raised LookupError", "http_client="),
    Fault(broken_callable, "keys", "unexpected", "LookupError was raised", "fix the error there"),
    Fault(callable_without_keys, "keys", "no-usable-key", "returned no usable key", "EC on P-256"),
    Fault(some_unusable_keys, "keys", "unusable-key", "2 keys: RSA 2048 bits (RS256)", "an unusable key", "warning"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.plant.__name__}-{fault.about}")
@isolate_apps("tests.site")
def test_planted_fault(fault: Fault, planted: Site) -> None:
    """Both outputs, JSON and text, report each planted fault with its remedy, and neither shows a secret."""
    fault.plant(planted)
    result, shown = doctor("--json"), doctor()
    [found] = [
        each
        for each in result.document["examinations"]
        if each["examination"] == fault.about and each["facts"].get("fault") == fault.name
    ]
    assert found["severity"] == fault.severity
    assert fault.found in found["found"]
    assert fault.remedy in found["remedy"]
    assert found["milliseconds"] >= 0
    assert result.status == shown.status == (1 if fault.severity == "problem" else 0)
    assert re.sub(r"\d+", "N", f"What to do: {found['remedy']}") in re.sub(r"\d+", "N", shown.output)
    assert not [secret for secret in SECRETS for text in (result.output, shown.output) if secret in text]


def test_healthy_site(planted: Site) -> None:
    """Where nothing is wrong, all is ok or does not apply, and the exit status is 0."""
    healthy(planted)
    result, shown = doctor("--json"), doctor()
    assert (result.status, result.error) == (0, "")
    assert (shown.status, shown.output.splitlines()[-1]) == (0, "No problems were found.")
    assert {each["severity"] for each in result.document["examinations"]} == {"ok", "not applicable"}
    assert result.document["severity"] == "ok"
    assert [
        (each["examination"], each["severity"], each["subject"].partition(" of ")[0])
        for each in result.document["examinations"]
    ] == [
        ("versions", "ok", "the site"),
        ("URLs", "ok", "the site"),
        ("settings", "ok", "the site"),
        ("validators", "ok", "the site"),
        ("cache", "ok", "the site"),
        ("database", "ok", "BearerTokenValidator"),
        ("discovery", "not applicable", "IntrospectTokenValidator"),
        ("keys", "not applicable", "IntrospectTokenValidator"),
        ("introspection", "ok", "IntrospectTokenValidator"),
        ("clock", "not applicable", "IntrospectTokenValidator"),
        ("users", "ok", "IntrospectTokenValidator"),
        ("discovery", "ok", "JWTBearerTokenValidator"),
        ("keys", "ok", "JWTBearerTokenValidator"),
        ("introspection", "not applicable", "JWTBearerTokenValidator"),
        ("clock", "not applicable", "JWTBearerTokenValidator"),
    ]
    assert result.found("URLs")["facts"] == {"views": 2}
    assert result.found("discovery", 1)["found"].startswith(f"{planted.issuer}{METADATA} names jwks_uri")
    assert result.found("keys", 1)["facts"] == {
        "usable": 2,
        "keys": 2,
        "for_encryption": 0,
        "rsa_bits": [2048],
        "algorithms": ["ES256", "RS256"],
    }


def test_made_up_token(planted: Site) -> None:
    """The token that is tried says whose it is, cannot be guessed, and is another each time."""
    planted.guard(planted.authority.introspecting())
    doctor(), doctor()
    first, second = planted.authority.questions
    assert first != second
    assert re.fullmatch(r"oauth-doctor-[\w-]{43}", first)


def test_nothing_is_disturbed(planted: Site) -> None:
    """What a validator remembers, and when it may ask again, stays as it was."""
    validator = planted.authority.verifying()
    planted.guard(validator)
    planted.server.answer(METADATA, Status(503))
    planted.server.answer(OPENID_METADATA, Status(503))
    assert doctor("--json").found("discovery")["severity"] == "problem"
    planted.authority.recover()
    assert validator.authenticate_token(planted.authority.jwt())["sub"] == "subject-5cT1"
    assert planted.authority.fetches == 1
    assert doctor("--json").found("keys")["severity"] == "ok"
    assert planted.authority.fetches == 2


@pytest.mark.parametrize(("patience", "severity", "status"), [(5.0, "ok", 0), (1.5, "warning", 0), (0.9, "problem", 1)])
def test_slow(patience: float, severity: str, status: int, planted: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that takes half of what a request waits is worth a warning; one that takes all of it is trouble."""
    ticks = itertools.count(1000.0)
    monkeypatch.setattr(CLOCK, "steady", lambda: next(ticks))
    planted.guard(planted.authority.introspecting(timeout=patience))
    result = doctor("--json", "--timeout", "5")
    found = result.found("introspection")
    assert (found["severity"], result.status) == (severity, status)
    assert found["facts"].get("fault") == (None if severity == "ok" else "slow")
    assert ("longer timeout=" in (found["remedy"] or "")) is (severity != "ok")


class CacheWithoutClient(BrokenCache):
    """A cache whose client library is not installed."""

    def get(self, *arguments: Any) -> Any:
        raise ModuleNotFoundError("No module named 'redis'")

    set = delete = get


def test_cache_without_client(planted: Site) -> None:
    """The report distinguishes a cache that cannot be used from one whose server is down."""
    planted.set(CACHES={**planted.caches, "clientless": {"BACKEND": f"{__name__}.CacheWithoutClient"}})
    planted.guard(planted.authority.verifying(), cache="clientless")
    found = doctor("--json").found("cache")["found"]
    assert found == "The cache 'clientless' (CacheWithoutClient) cannot be used (ModuleNotFoundError)."


def test_warnings_alone(planted: Site) -> None:
    """Warnings are shown, counted, and no reason for an exit status."""
    local_cache(planted)
    shown = doctor()
    number = doctor("--json").document["counts"]["warning"]
    assert (shown.status, shown.output.splitlines()[-1]) == (0, f"No problems were found. Warnings: {number}.")


def test_counts(planted: Site) -> None:
    """The last line tells how much is wrong."""
    no_index(planted)
    result = doctor("--json")
    counts = result.document["counts"]
    assert (counts["problem"], result.document["severity"]) == (1, "problem")
    assert result.error == f"Problems were found: 1. Warnings: {counts['warning']}."


def test_nothing_to_examine(planted: Site) -> None:
    """Without the setting, and with nothing guarded, the exit status is 2, and there is one sentence."""
    planted.see(ResourceProtector.from_settings())
    with override_settings():
        from django.conf import settings

        del settings.OAUTH_GUARD
        result = doctor()
    assert (result.status, result.output) == (2, "")
    assert result.error == "There is nothing to examine: OAUTH_GUARD is not set, and nothing is guarded."


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_timeout_that_is_none(seconds: str, planted: Site) -> None:
    """A timeout is a number of seconds, more than 0."""
    healthy(planted)
    result = doctor(f"--timeout={seconds}")
    assert (result.status, result.error) == (2, "--timeout must be a number of seconds greater than 0.")


@pytest.mark.parametrize("url", ["/notes/", "ftp://api.example.com/", "https://user@api.example.com/", "https://x/#a"])
def test_url_that_is_none(url: str, planted: Site) -> None:
    """A URL is a whole one."""
    healthy(planted)
    result = doctor("--url", url)
    assert (result.status, result.error) == (
        2,
        "--url must be an absolute http or https URL, without user name and fragment.",
    )


def test_url(planted: Site) -> None:
    """The view at ``--url`` is examined, and the report has no query."""
    planted.server.answer("/notes/", Status(200))
    planted.guard(planted.authority.verifying())
    result = doctor("--json", "--url", f"{planted.issuer}/notes/?key=query-9bQ4")
    assert result.found("challenge")["facts"] == {"fault": "status", "status": 200}
    assert result.found("proofs")["severity"] == "not applicable"
    assert planted.server.calls_to("/notes/")[0].query == "key=query-9bQ4"
    assert (result.status, "query-9bQ4" in result.output) == (1, False)


def test_local(planted: Site) -> None:
    """With ``--local``, the site's own addresses are not requested."""
    unserved_metadata(planted)
    assert doctor("--json", "--local").status == 0
    with pytest.raises(CommandError, match="not allowed with argument"):
        call_command("oauth_doctor", "--local", "--url", planted.issuer)


def test_timeout(planted: Site) -> None:
    """``--timeout`` takes the place of the validators' own."""
    planted.server.answer(INTROSPECTION, Hang())
    planted.guard(planted.authority.introspecting(timeout=3600))
    assert doctor("--json", "--timeout", "0.05").found("introspection")["facts"]["fault"] == "timeout"


def test_validator_of_the_sites_own(planted: Site) -> None:
    """A source of tokens that is the site's own code is named, and not looked into."""

    class Own(TokenValidator):
        def authenticate_token(self, token_string: str) -> Any:
            return None

    planted.guard(Own())
    document = doctor("--json").document
    assert [each["examination"] for each in document["examinations"]] == [
        "versions",
        "URLs",
        "settings",
        "validators",
        "cache",
    ]
    assert document["examinations"][3]["found"] == "Own."


def test_validator_is_examined_once(planted: Site) -> None:
    """A validator of several protectors, or of one that guards nothing yet, is looked at once."""
    validator = BearerTokenValidator("site.OAuth2Token")
    protectors = [ResourceProtector(validator) for _ in range(3)]
    for protector in protectors[:2]:
        protector(Witness().view("def"))
    planted.see(*protectors)
    document = doctor("--json").document
    assert [each["examination"] for each in document["examinations"]].count("database") == 1


def test_introspection_of_the_sites_own(planted: Site) -> None:
    """If a subclass validates tokens itself, the doctor calls no server."""

    class Own(IntrospectTokenValidator):
        def introspect_token(self, token_string: str) -> Any:
            return {"active": False}

    planted.guard(Own(audience=AUDIENCE))
    assert doctor("--json").found("introspection")["found"] == "This validator introspects no tokens at a server."


# The page


class RedisCache(django_redis.RedisCache):
    """Redis as the page has it, with nothing behind it."""

    kept: ClassVar[dict[str, Any]] = {}

    def get(self, key: Any, *arguments: Any) -> Any:
        return self.kept.get(key)

    def set(self, key: Any, value: Any, *arguments: Any) -> None:
        self.kept[key] = value

    def delete(self, key: Any, *arguments: Any) -> bool:
        return self.kept.pop(key, None) is not None


def make_client() -> httpx.AsyncClient:
    """A client to whom the page's server answers."""
    answers = {
        OPENID_METADATA: {"issuer": "https://as.example.com", "jwks_uri": "https://as.example.com/keys"},
        "/keys": {"keys": [make_key("ec").as_dict(private=False)]},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path not in answers:
            return httpx.Response(404)
        return httpx.Response(200, json=answers[request.url.path], headers={"Date": formatdate(usegmt=True)})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def measured(text: str) -> str:
    """``text`` without what differs from run to run: versions and durations, and the width of their columns."""
    return re.sub(r" {2,}", "  ", re.sub(r"\b\d+(?:\.\w+)+", "…", text))


@pytest.mark.django_db(transaction=True)
@isolate_apps("tests.site")
def test_sample_of_the_page(planted: Site) -> None:
    """The page shows what the command prints of a site whose keys serve no algorithm that it accepts."""

    class OAuth2Token(models.Model):
        access_token = models.CharField(max_length=255, unique=True)

        class Meta:
            app_label = "accounts"

    planted.set(CACHES={"default": {"BACKEND": f"{__name__}.RedisCache", "LOCATION": "redis://cache:6379"}})
    protector = ResourceProtector(
        BearerTokenValidator(OAuth2Token),
        JWTBearerTokenValidator("https://as.example.com", AUDIENCE, algorithms=["RS256"], http_client=make_client),
        cache="default",
    )
    planted.see(protector)
    planted.set(ROOT_URLCONF=Urls(*(path(str(number), protector(Witness().view("def"))) for number in range(14))))
    with connections["default"].schema_editor() as editor:
        editor.create_model(OAuth2Token)
    try:
        result = doctor()
    finally:
        with connections["default"].schema_editor() as editor:
            editor.delete_model(OAuth2Token)
    [typed] = read_samples(Path(__file__).parent.parent.parent / "docs" / "doctor.md")
    assert measured(f"{result.output}CommandError: {result.error}") == measured(typed.shown.rstrip("\n"))
