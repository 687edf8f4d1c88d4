"""System checks: each with its id and hint, and silent when all is well."""

import ssl
import weakref
from io import StringIO
from typing import Any

import pytest
from django.core import checks as django_checks
from django.core.checks import CheckMessage, Error, Tags, registry
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import models
from django.test import override_settings
from django.urls import path
from django.utils import timezone
from oauth2_provider.models import AccessToken

from async_oauth_guard import (
    BearerTokenValidator,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    MutualTLS,
    ResourceProtector,
    TokenValidator,
    require_oauth,
)
from async_oauth_guard.diagnostics import checks
from async_oauth_guard.diagnostics.checks import check_guards, check_settings, check_toolkit_rows
from async_oauth_guard.diagnostics.url_checks import check_site
from async_oauth_guard.diagnostics.validator_names import name_of_validator
from async_oauth_guard.validators.audience_option import FROM_PROTECTOR
from tests.site.models import OAuth2Token, TenantToken
from tests.sites import Urls, Witness

MODEL_VALIDATOR = "async_oauth_guard.BearerTokenValidator"
JWT_VALIDATOR = "async_oauth_guard.JWTBearerTokenValidator"


@pytest.fixture
def protectors(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The protectors that the checks see: those of this test."""
    known: Any = weakref.WeakSet()
    monkeypatch.setattr(checks, "ALL_PROTECTORS", known)
    return known


def seen(messages: list[CheckMessage]) -> list[tuple[type, str, str]]:
    """Kind, id and text of the messages, each of which has a hint."""
    assert all(message.hint for message in messages)
    return [(type(message), str(message.id), message.msg) for message in messages]


def guarding(*validators: Any) -> ResourceProtector:
    """A protector that guards a view."""
    protector = ResourceProtector(*validators)
    protector(Witness().view("def"))
    return protector


# The setting.

GOOD_SETTINGS: list[dict[str, Any]] = [
    {},
    {"REALM": "r", "RESOURCE": "https://x", "PUBLIC_ORIGIN": "https://x", "COMPAT": "authlib", "SET_USER": True},
    {"VALIDATORS": [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": "site.OAuth2Token"}}]},
    {"METADATA": {"resource_name": "x"}, "RESOURCE": "https://x"},
    {"METADATA": False},
    {"MTLS": {"source": "nginx", "header": "X-Cert", "trusted_proxies": ["10.0.0.0/8", "unix"]}},
    {"MTLS": {"source": "tests.certificates.of_request"}},
    {"MTLS": MutualTLS("asgi")},
]


@pytest.mark.parametrize("value", GOOD_SETTINGS)
def test_good_settings(value: dict[str, Any]) -> None:
    """R134: of a setting that can work nothing is said."""
    with override_settings(OAUTH_GUARD=value):
        assert check_settings(None) == []


def test_no_setting() -> None:
    """A site without the setting need not have it."""
    with override_settings():
        from django.conf import settings

        del settings.OAUTH_GUARD
        assert check_settings(None) == []


BUILT = "OAUTH_GUARD['VALIDATORS'][0]['OPTIONS']: "
WRONG_SETTINGS: list[tuple[Any, list[tuple[str, str]]]] = [
    ({"REALMS": "x"}, [("E002", "OAUTH_GUARD has an unknown key 'REALMS'. Did you mean 'REALM'?")]),
    ({"REALMS": "x", "COMPAT": 7}, [("E002", "OAUTH_GUARD has an unknown key 'REALMS'. Did you mean 'REALM'?")]),
    ({"COMPAT": "x"}, [("E002", "OAUTH_GUARD['COMPAT']: compat must be 'authlib' or None, got 'x'")]),
    (
        {"COMPAT": 7, "SET_USER": 7},
        [
            ("E002", "OAUTH_GUARD['COMPAT']: compat must be a string, got int"),
            ("E002", "OAUTH_GUARD['SET_USER']: set_user must be True or False, got int"),
        ],
    ),
    (
        {"REALM": "é"},
        [("E004", "OAUTH_GUARD['REALM']: realm must be printable ASCII, because it is part of the challenge")],
    ),
    ({"REALM": 7}, [("E002", "OAUTH_GUARD['REALM']: realm must be a string, got int")]),
    (
        {"MTLS": {"source": "nginx"}},
        [
            (
                "E007",
                "OAUTH_GUARD['MTLS']: trusted_proxies must name the proxies that overwrite the header "
                "X-SSL-Client-Cert in every request; without them, any client could send the header itself",
            )
        ],
    ),
    ({"MTLS": {}}, [("E002", "OAUTH_GUARD['MTLS'] must have the key 'source', which MutualTLS requires.")]),
    ({"MTLS": "nginx"}, [("E002", "OAUTH_GUARD['MTLS']: mtls must be a MutualTLS, got str")]),
    (
        {"MTLS": {"source": "nginx", "proxies": []}},
        [
            (
                "E002",
                "OAUTH_GUARD['MTLS'] has an unknown key 'proxies'. Did you mean 'trusted_proxies'?",
            )
        ],
    ),
    (
        {"MTLS": {"source": "no.module"}},
        [("E002", "OAUTH_GUARD['MTLS']['source']: cannot import 'no.module': No module named 'no'")],
    ),
    (
        {"MTLS": {"source": "asgi", "header": "X"}},
        [
            (
                "E002",
                "OAUTH_GUARD['MTLS']: header and trusted_proxies must be omitted, because the source is not a header",
            )
        ],
    ),
    (
        {"METADATA": True},
        [("E002", "OAUTH_GUARD['METADATA']: metadata requires resource, because the document describes it")],
    ),
    (
        {"METADATA": {"resource": "x"}, "RESOURCE": "https://x"},
        [
            (
                "E002",
                "OAUTH_GUARD['METADATA']: metadata must not contain 'resource', because that is always the protector's "
                "resource",
            )
        ],
    ),
    (
        {
            "METADATA": True,
            "RESOURCE": "https://x",
            "VALIDATORS": [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": "a.B", "resource_metadata": "x"}}],
        },
        [
            (
                "E004",
                f"{BUILT}'resource_metadata' would appear in the challenge twice, because metadata is configured",
            )
        ],
    ),
    (
        {"VALIDATORS": [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": "a.B", "realm": "é"}}]},
        [("E004", f"{BUILT}realm must be printable ASCII, because it is part of the challenge")],
    ),
    (
        {"VALIDATORS": [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": "a.B", "scope": "x"}}]},
        [("E004", f"{BUILT}'scope' would appear in the challenge twice (RFC 9110 §11.2, RFC 6750 §3)")],
    ),
    (
        {"VALIDATORS": [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": "a.B", "digest": "x"}}]},
        [("E002", f"{BUILT}digest must be the name of a hashlib algorithm with a hexadecimal digest, got 'x'")],
    ),
    (
        {
            "RESOURCE": "api",
            "VALIDATORS": [{"BACKEND": JWT_VALIDATOR, "OPTIONS": {"issuer": "https://as.example.com"}}],
        },
        [("E002", "OAUTH_GUARD['RESOURCE']: resource must be a URI with a host and without a fragment, got 'api'")],
    ),
    (
        {"RESOURCE": "api", "VALIDATORS": [{"BACKEND": JWT_VALIDATOR, "OPTIONS": {"issuer": ""}}, {}]},
        [
            ("E002", "OAUTH_GUARD['RESOURCE']: resource must be a URI with a host and without a fragment, got 'api'"),
            ("E002", f"{BUILT}issuer must be a non-empty string, got ''"),
            ("E002", "OAUTH_GUARD['VALIDATORS'][1]['BACKEND'] must be a dotted path, got NoneType"),
        ],
    ),
    ({"VALIDATORS": {}}, [("E002", "OAUTH_GUARD['VALIDATORS'] must be a list of dictionaries, got dict")]),
    (
        {"RENDER_ERROR": 7},
        [("E002", "OAUTH_GUARD['RENDER_ERROR']: render_error must be a callable (request, error), got int")],
    ),
]


@pytest.mark.parametrize(("value", "expected"), WRONG_SETTINGS, ids=lambda part: repr(part)[:50])
def test_wrong_settings(value: Any, expected: list[tuple[str, str]]) -> None:
    """R134: each invalid value is a separate error; a value that no challenge can carry has a different id."""
    with override_settings(OAUTH_GUARD=value):
        messages = check_settings(None)
    assert seen(messages) == [(Error, f"async_oauth_guard.{number}", text) for number, text in expected]


# Since Django 6.1, the command asks each database for its features.
@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.usefixtures("no_other_protectors")
def test_each_error_is_printed_once() -> None:
    """`manage.py check` prints an invalid resource once, although a validator would need it."""
    validators = [{"BACKEND": JWT_VALIDATOR, "OPTIONS": {"issuer": "https://as.example.com"}}]
    value = {"RESOURCE": "api", "VALIDATORS": validators}
    with override_settings(OAUTH_GUARD=value), pytest.raises(SystemCheckError) as caught:
        call_command("check")
    assert str(caught.value).count("OAUTH_GUARD['RESOURCE']") == 1


@pytest.mark.parametrize("value", [None, [], "authlib"])
def test_setting_of_a_wrong_type(value: Any) -> None:
    """R134: a setting that is no dictionary is said once, not once a key."""
    with override_settings(OAUTH_GUARD=value):
        messages = check_settings(None)
    assert [message.id for message in messages] == ["async_oauth_guard.E002"]


# Protectors.


def test_nothing_to_say(protectors: Any) -> None:
    """R134: of protectors that can work nothing is said."""
    protector = guarding(BearerTokenValidator(OAuth2Token))
    protectors.add(protector)
    assert check_guards(None) == []


class Own(TokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        return None


def test_other_validators_are_not_looked_into(protectors: Any) -> None:
    """A validator of a site's own has no columns that could be checked."""
    protector = guarding(Own())
    protectors.add(protector)
    assert check_guards(None) == []


def test_no_validator(protectors: Any) -> None:
    """E001: a protector that guards views and has no validator lets nobody in, and that is an error."""
    protector, unused = guarding(), ResourceProtector()
    protectors.update([protector, unused])
    assert seen(check_guards(None)) == [
        (
            Error,
            "async_oauth_guard.E001",
            "A ResourceProtector guards views but has no token validator, so no token can be valid.",
        )
    ]
    protector.register_token_validator(Own())
    assert check_guards(None) == []


@pytest.fixture
def ready_made(protectors: Any) -> Any:
    """A protector that reads the setting and guards a view."""
    protector = ResourceProtector.from_settings()
    protector("profile")(Witness().view("def"))
    protectors.add(protector)
    yield protector
    protector.forget_settings()


@pytest.mark.parametrize(("value", "expected"), [({}, ["async_oauth_guard.E001"]), ({"REALMS": 1}, []), (None, [])])
def test_ready_made_protector(value: Any, expected: list[str], ready_made: Any) -> None:
    """E001: the ready-made protector needs validators in the setting; a wrong setting is said by the other check."""
    with override_settings(OAUTH_GUARD=value):
        ready_made.forget_settings()
        assert [message.id for message in check_guards(None)] == expected


def test_ready_made_protector_without_the_setting(ready_made: Any) -> None:
    """E001: without any setting it has no validator either."""
    with override_settings():
        from django.conf import settings

        del settings.OAUTH_GUARD
        ready_made.forget_settings()
        assert [message.id for message in check_guards(None)] == ["async_oauth_guard.E001"]


def test_views_are_imported(protectors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards are made when views are imported, so the URLconf is loaded first."""

    class Lazy(Urls):
        @property
        def urlpatterns(self) -> Any:
            self.protector = guarding()
            protectors.add(self.protector)
            return [path("", Witness().view("def"))]

        @urlpatterns.setter
        def urlpatterns(self, value: Any) -> None: ...

    with override_settings(ROOT_URLCONF=Lazy()):
        assert [message.id for message in check_guards(None)] == ["async_oauth_guard.E001"]


def test_without_a_urlconf(protectors: Any) -> None:
    """A site without a URLconf is checked as well."""
    protector = guarding()
    protectors.add(protector)
    with override_settings():
        from django.conf import settings

        del settings.ROOT_URLCONF
        assert len(check_guards(None)) == 1


# Token models.


class Unindexed(models.Model):
    access_token = models.CharField(max_length=9)
    other = models.CharField(max_length=9)

    class Meta:
        app_label = "nowhere"


def indexed(field: Any, **meta: Any) -> type[models.Model]:
    """A model with such a column, and such options."""
    options = type("Meta", (), {"app_label": "nowhere", **meta})
    attributes = {
        "__module__": __name__,
        "Meta": options,
        "access_token": field,
        "other": models.CharField(max_length=9),
    }
    return type("Indexed", (models.Model,), attributes)


def text(**options: Any) -> Any:
    return models.CharField(max_length=9, **options)


LIVE = models.Q(other="live")
INDEXES: list[tuple[Any, dict[str, Any], bool]] = [
    (text(), {}, False),
    (text(unique=True), {}, True),
    (text(db_index=True), {}, True),
    (text(primary_key=True), {}, True),
    (text(), {"indexes": [models.Index(fields=["access_token"], name="i")]}, True),
    (text(), {"indexes": [models.Index(fields=["-access_token"], name="i")]}, True),
    (text(), {"indexes": [models.Index(fields=["access_token", "other"], name="i")]}, True),
    (text(), {"indexes": [models.Index(fields=["other", "access_token"], name="i")]}, False),
    (text(), {"indexes": [models.Index(models.F("other"), name="i")]}, False),
    (text(), {"unique_together": [("access_token", "other")]}, True),
    (text(), {"unique_together": [("other", "access_token")]}, False),
    (text(), {"constraints": [models.UniqueConstraint(fields=["access_token"], name="c")]}, True),
    (text(), {"constraints": [models.UniqueConstraint(fields=["other", "access_token"], name="c")]}, False),
    (text(), {"constraints": [models.UniqueConstraint(fields=["access_token"], name="c", condition=LIVE)]}, False),
    (text(), {"indexes": [models.Index(fields=["access_token"], name="i", condition=LIVE)]}, False),
    (text(), {"constraints": [models.CheckConstraint(condition=models.Q(other="x"), name="c")]}, False),
]


@pytest.mark.filterwarnings("ignore:Model .* was already registered:RuntimeWarning")
@pytest.mark.parametrize(("field", "meta", "expected"), INDEXES, ids=lambda part: repr(part)[:60])
def test_index(field: Any, meta: dict[str, Any], expected: bool, protectors: Any) -> None:
    """W001: a lookup column that leads no index makes every request scan the table."""
    protector = guarding(BearerTokenValidator(indexed(field, **meta)))
    protectors.add(protector)
    wanted = (
        "nowhere.Indexed.access_token has no index that covers the whole table, and every guarded request looks up "
        "tokens by it."
    )
    assert seen(check_guards(None)) == ([] if expected else [(django_checks.Warning, "async_oauth_guard.W001", wanted)])


@pytest.mark.filterwarnings("ignore:Model .* was already registered:RuntimeWarning")
def test_inherited_index(protectors: Any) -> None:
    """W001: a column that a model inherits with its parent's table has the parent's indexes."""
    parent: Any = indexed(text(), indexes=[models.Index(fields=["access_token"], name="i")])
    options = type("Meta", (), {"app_label": "nowhere"})
    child = type("Child", (parent,), {"__module__": __name__, "Meta": options})
    protector = guarding(BearerTokenValidator(child))
    protectors.add(protector)
    assert ids(check_guards(None)) == []


def test_model_that_is_not_there(protectors: Any) -> None:
    """E003: a model or a column that does not exist is an error, and of it nothing else is said."""
    protector = guarding(
        BearerTokenValidator("site.Nothing"),
        BearerTokenValidator(OAuth2Token, lookup="nothing"),
    )
    protectors.add(protector)
    assert seen(check_guards(None)) == [
        (Error, "async_oauth_guard.E003", "token_model must be the label of a model, got 'site.Nothing'"),
        (Error, "async_oauth_guard.E003", "lookup must name a field of site.OAuth2Token, got 'nothing'"),
    ]


def test_lookups_that_are_not_coalesced(protectors: Any) -> None:
    """W003: a custom manager makes lookups slower, unless its author says that it need not, or accepts it."""
    protector = guarding(BearerTokenValidator(TenantToken))
    protectors.add(protector)
    text_ = (
        "Lookups of site.TenantToken are not coalesced, because its manager or querysets override Django's methods, so "
        "guarded async views are slower than they could be."
    )
    messages = check_guards(None)
    assert seen(messages) == [(django_checks.Warning, "async_oauth_guard.W003", text_)]
    assert messages[0].obj is TenantToken


def test_coalescing_by_wish(protectors: Any) -> None:
    """W003: ``coalesce=True`` is silent."""
    protector = guarding(BearerTokenValidator(TenantToken, coalesce=True))
    protectors.add(protector)
    assert check_guards(None) == []


def test_no_coalescing_by_wish(protectors: Any) -> None:
    """W003: its hint says that ``coalesce=False`` silences it, so it does."""
    protector = guarding(BearerTokenValidator(TenantToken, coalesce=False))
    protectors.add(protector)
    assert check_guards(None) == []


def test_each_validator_is_spoken_of_once(protectors: Any) -> None:
    """A validator of two protectors is checked once, in the protectors that are used or not."""
    validator = BearerTokenValidator(Unindexed)
    used, unused = guarding(validator), ResourceProtector(validator)
    protectors.update([used, unused])
    messages = check_guards(None)
    assert [message.id for message in messages] == ["async_oauth_guard.W001"]
    assert messages[0].obj is Unindexed


# The toolkit's rows.


@pytest.fixture
def toolkit(protectors: Any) -> ResourceProtector:
    protector = guarding(BearerTokenValidator.for_django_oauth_toolkit(), BearerTokenValidator(OAuth2Token))
    protectors.add(protector)
    return protector


def empty_row() -> None:
    row = AccessToken.objects.create(token="t", expires=timezone.now())
    AccessToken.objects.filter(pk=row.pk).update(token_checksum="")


EMPTY = "1 rows of oauth2_provider.AccessToken have an empty checksum, so their tokens are refused."


@pytest.mark.django_db
def test_empty_checksums(toolkit: ResourceProtector) -> None:
    """W002: rows that no token will ever match are counted, in the databases that are checked."""
    assert check_toolkit_rows(None, databases=["default"]) == []
    empty_row()
    messages = check_toolkit_rows(None, databases=["default"])
    assert seen(messages) == [(django_checks.Warning, "async_oauth_guard.W002", EMPTY)]
    assert messages[0].obj is AccessToken


@pytest.mark.parametrize("databases", [None, [], ()])
def test_no_database_is_asked_unbidden(databases: Any, toolkit: ResourceProtector) -> None:
    """W002: without ``--database`` no table is looked into."""
    assert check_toolkit_rows(None, databases=databases) == []


@pytest.mark.django_db(databases=["default", "other"])
def test_empty_checksums_by_command(toolkit: ResourceProtector) -> None:
    """W002: ``check --database`` says so, ``check`` alone does not."""
    empty_row()
    for databases, expected in ((["default"], True), (None, False)):
        output = StringIO()
        call_command("check", databases=databases, stderr=output, stdout=output)
        assert (EMPTY in output.getvalue()) == expected
        assert ("async_oauth_guard.W002" in output.getvalue()) == expected


@pytest.mark.django_db(databases=["default", "other"])
def test_errors_by_command(protectors: Any) -> None:
    """R134: ``check`` fails on an error, with its hint."""
    protector = guarding()
    protectors.add(protector)
    with pytest.raises(SystemCheckError, match=r"(?s)async_oauth_guard.E001.*HINT: Pass a validator"):
        call_command("check")


def test_registration() -> None:
    """The app registers its checks once each, the one that queries among the database's."""
    registered = {check: list(check.tags) for check in registry.registry.get_checks(include_deployment_checks=True)}
    assert registered[check_settings] == [Tags.security]  # type: ignore[index]
    assert registered[check_guards] == [Tags.security]  # type: ignore[index]
    assert registered[check_site] == [Tags.security]  # type: ignore[index]
    assert registered[check_toolkit_rows] == [Tags.database]  # type: ignore[index]


def test_this_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """R134: the ready-made protector of this very site is fine."""
    monkeypatch.setattr(checks, "ALL_PROTECTORS", {require_oauth})
    assert check_settings(None) + check_guards(None) + check_site(None) == []


@pytest.mark.django_db
def test_no_table_yet(protectors: Any) -> None:
    """W002: ``migrate`` runs the check before it makes the table, and then there is nothing to count."""
    validator: Any = BearerTokenValidator.for_django_oauth_toolkit(lookup="access_token")
    vars(validator)["token_model"] = Unindexed
    protector = guarding(validator)
    protectors.add(protector)
    assert check_toolkit_rows(None, databases=["default"]) == []


# Validators of remote tokens.

ISSUER, OTHER_ISSUER = "https://as.example.com", "https://other.example.com"
AUDIENCE = "https://api.example.com"
WARNING = django_checks.Warning


def jwt(issuer: str = ISSUER, **options: Any) -> JWTBearerTokenValidator:
    return JWTBearerTokenValidator(issuer, **{"resource_server": AUDIENCE, **options})


def introspection(**options: Any) -> IntrospectTokenValidator:
    given = {"introspection_endpoint": f"{ISSUER}/introspect", "client_id": "c", "client_secret": "s3cret"}
    return IntrospectTokenValidator(**{**given, "audience": AUDIENCE, **options})


class OwnIntrospection(IntrospectTokenValidator):
    def introspect_token(self, token_string: str) -> Any:
        return None


def ids(messages: list[CheckMessage]) -> list[str]:
    """The numbers of the messages."""
    return [str(message.id).removeprefix("async_oauth_guard.") for message in messages]


def test_remote_validators_that_can_work(protectors: Any) -> None:
    """R134: of validators that check who we are, over https, nothing is said."""
    protector = guarding(jwt(user_lookup="username"), introspection(), OwnIntrospection(audience=AUDIENCE))
    with_resource = ResourceProtector(jwt(resource_server=FROM_PROTECTOR), resource=AUDIENCE)
    protectors.update([protector, with_resource])
    assert check_guards(None) == []


ANY_AUDIENCE = "{} does not check the audience, so tokens for other APIs are let in."
SWITCHED_OFF: list[tuple[Any, str]] = [
    (jwt(resource_server=None), f"JWTBearerTokenValidator of {ISSUER}"),
    (introspection(audience=None), f"IntrospectTokenValidator of {ISSUER}/introspect"),
    (introspection(audience=None, issuer=OTHER_ISSUER), f"IntrospectTokenValidator of {OTHER_ISSUER}"),
    (OwnIntrospection(audience=None), "OwnIntrospection"),
]


@pytest.mark.parametrize(("validator", "name"), SWITCHED_OFF, ids=lambda part: str(part)[:50])
def test_audience_switched_off(validator: Any, name: str, protectors: Any) -> None:
    """W005: ``None`` says that the audience is not checked, and is heard."""
    protector = guarding(validator)
    protectors.add(protector)
    assert seen(check_guards(None)) == [(WARNING, "async_oauth_guard.W005", ANY_AUDIENCE.format(name))]


def test_keys_in_urls_are_not_shown(protectors: Any) -> None:
    """What stands behind the question mark of an endpoint may be a key, and is not printed."""
    protector = guarding(introspection(introspection_endpoint=f"{ISSUER}/introspect?key=s3cret", audience=None))
    protectors.add(protector)
    assert [text for _, _, text in seen(check_guards(None)) if "s3cret" in text] == []


def test_audience_of_own_introspection(protectors: Any) -> None:
    """W008: a subclass with its own ``introspect_token`` checks the audience itself, or nobody does."""
    protector = guarding(OwnIntrospection())
    protectors.add(protector)
    text_ = "OwnIntrospection overrides introspect_token(), so that method must check the audience itself."
    assert seen(check_guards(None)) == [(WARNING, "async_oauth_guard.W008", text_)]


INSECURE: list[tuple[Any, bool]] = [
    (jwt("http://as.internal", allow_insecure_http=True), True),
    (jwt(allow_insecure_http=True), True),
    (introspection(introspection_endpoint="http://as.internal/", allow_insecure_http=True), True),
    (jwt("http://localhost:9000"), False),
]


@pytest.mark.parametrize(("validator", "expected"), INSECURE)
@pytest.mark.parametrize("debug", [False, True])
def test_insecure_http(validator: Any, expected: bool, debug: bool, protectors: Any) -> None:
    """W006: ``http`` outside this machine is warned of, but for a developer's own server."""
    protector = guarding(validator)
    protectors.add(protector)
    with override_settings(DEBUG=debug):
        messages = check_guards(None)
    assert ids(messages) == (["W006"] if expected and not debug else [])
    assert all(message.hint for message in messages)


SUBJECTS: list[tuple[list[Any], int]] = [
    ([jwt(user_lookup="username"), jwt(OTHER_ISSUER, user_lookup="username")], 2),
    ([jwt(user_lookup="username"), jwt(OTHER_ISSUER, user_lookup=("username", "sub"))], 2),
    ([jwt(user_lookup=("username", "sub")), jwt(OTHER_ISSUER, user_lookup=("username", "sub"))], 2),
    ([jwt(user_lookup=("username", "sub")), jwt(OTHER_ISSUER, user_lookup=("username", "upn"))], 0),
    # Each issuer has a field of its own.
    ([jwt(user_lookup=("username", "sub")), jwt(OTHER_ISSUER, user_lookup=("id", "sub"))], 0),
    ([jwt(user_lookup="username"), jwt(OTHER_ISSUER, user_lookup=print)], 1),
    ([jwt(user_lookup="username"), introspection(user_lookup="username", issuer=OTHER_ISSUER)], 2),
    (
        [
            introspection(user_lookup="username"),
            introspection(user_lookup="username", introspection_endpoint=OTHER_ISSUER),
        ],
        2,
    ),
    # One server, whether it is named or not.
    ([jwt(user_lookup="username"), introspection(user_lookup="username", issuer=ISSUER)], 0),
    ([jwt(user_lookup="username"), introspection(user_lookup="username")], 0),
    ([jwt(user_lookup="username"), jwt(user_lookup="username")], 0),
    # Nobody knows whom it asks.
    ([jwt(user_lookup="username"), OwnIntrospection(audience=AUDIENCE, user_lookup="username")], 0),
    # Two realms of one server are two issuers.
    ([jwt(f"{ISSUER}/a", user_lookup="username"), jwt(f"{ISSUER}/b", user_lookup="username")], 2),
    # Tokens of the other issuer never have a user.
    ([jwt(user_lookup="username"), jwt(OTHER_ISSUER)], 0),
    ([jwt(user_lookup=print), jwt(OTHER_ISSUER, user_lookup=("username", "preferred_username"))], 0),
    ([jwt(user_lookup="username"), BearerTokenValidator(OAuth2Token), Own()], 0),
]


@pytest.mark.parametrize(("validators", "expected"), SUBJECTS)
def test_subjects_of_several_issuers(validators: list[Any], expected: int, protectors: Any) -> None:
    """W007: one ``sub`` may be two people where a protector takes tokens of several issuers."""
    first, second = guarding(*validators), guarding(*validators)
    protectors.update([first, second])
    messages = check_guards(None)
    # Once for each validator, however often it is shared.
    assert ids(messages) == ["W007"] * expected
    assert all(message.hint for message in messages)


def test_subjects_of_one_issuer_each(protectors: Any) -> None:
    """W007: issuers of two protectors do not meet."""
    first, second = guarding(jwt(user_lookup="username")), guarding(jwt(OTHER_ISSUER, user_lookup="username"))
    protectors.update([first, second])
    assert check_guards(None) == []


def test_issuers_of_ones_own(protectors: Any) -> None:
    """W007: a validator that compares issuers by itself may name several."""

    class Several(JWTBearerTokenValidator):
        def validate_iss(self, claims: Any, iss: Any) -> bool:
            return False

        def get_jwks(self) -> Any: ...

    several: Any = [ISSUER, OTHER_ISSUER]
    protector = guarding(Several(several, "https://api.example.com", user_lookup="username"))
    protectors.add(protector)
    (message,) = check_guards(None)
    assert message.id == "async_oauth_guard.W007"
    assert message.msg.startswith("Several of https://")


def test_text_of_the_warning_about_subjects(protectors: Any) -> None:
    """W007: the validator is named by its issuer."""
    protector = guarding(jwt(user_lookup="username"), jwt(OTHER_ISSUER, user_lookup=print))
    protectors.add(protector)
    text_ = (
        f"JWTBearerTokenValidator of {ISSUER} finds users only by sub, but its protector accepts tokens of several "
        "issuers, and sub is unique only within one issuer. Anyone who can choose their sub at one issuer can act as a "
        "user of another."
    )
    assert seen(check_guards(None)) == [(WARNING, "async_oauth_guard.W007", text_)]


NO_INDEX = "auth.User.{} has no index that covers the whole table, and every guarded request looks up users by it."
ADDRESSES = (
    "{name} finds users by an e-mail address, and accepts a token without email_verified. Anyone who registers another "
    "user's address at the server may be let in as that user."
)
USER_COLUMNS: list[tuple[Any, list[tuple[type, str, str]]]] = [
    (None, []),
    (print, []),
    ("username", []),
    ("pk", [(Error, "E003", "user_lookup must name a field of auth.User, got 'pk'")]),
    ("nickname", [(Error, "E003", "user_lookup must name a field of auth.User, got 'nickname'")]),
    (("nickname", "email"), [(Error, "E003", "user_lookup must name a field of auth.User, got 'nickname'")]),
    (("first_name", "given_name"), [(WARNING, "W001", NO_INDEX.format("first_name"))]),
    (("username", "email"), [(WARNING, "W018", ADDRESSES)]),
    (("email", "email"), [(WARNING, "W001", NO_INDEX.format("email")), (WARNING, "W018", ADDRESSES)]),
    (("email", "upn"), [(WARNING, "W001", NO_INDEX.format("email")), (WARNING, "W018", ADDRESSES)]),
    ("email", [(WARNING, "W001", NO_INDEX.format("email")), (WARNING, "W018", ADDRESSES)]),
]


@pytest.mark.parametrize(("lookup", "expected"), USER_COLUMNS, ids=lambda part: str(part)[:50])
@pytest.mark.parametrize("make", [jwt, introspection])
def test_user_lookup(make: Any, lookup: Any, expected: list[tuple[type, str, str]], protectors: Any) -> None:
    """E003, W001, W018: users are looked up by a column that is there, has an index, and holds no address."""
    validator = make(user_lookup=lookup)
    protector = guarding(validator)
    protectors.add(protector)
    messages = check_guards(None)
    name = name_of_validator(validator)
    assert seen(messages) == [
        (kind, f"async_oauth_guard.{id_}", text.format(name=name)) for kind, id_, text in expected
    ]
    assert all(message.hint for message in messages)


@pytest.mark.parametrize("model", ["nowhere.User", "nonsense"])
def test_user_model_that_is_not_there(model: str, protectors: Any) -> None:
    """E003: so has the user model."""
    protector = guarding(jwt(user_lookup="username"))
    protectors.add(protector)
    with override_settings(AUTH_USER_MODEL=model):
        assert ids(check_guards(None)) == ["E003"]


REMOTE_MISTAKES: list[dict[str, Any]] = [
    {"resource_server": FROM_PROTECTOR},
    {"algorithms": ["HS256"]},
    {"issuer": "http://as.example.com"},
    {"algorithms": []},
    {"leeway": -1},
    {"profile": "keycloack"},
]


@pytest.mark.parametrize("options", REMOTE_MISTAKES, ids=repr)
def test_mistakes_in_remote_validators(options: dict[str, Any]) -> None:
    """E002: what cannot work in a validator of the setting is said by the check as well, with the same words."""
    given = {"issuer": ISSUER, "resource_server": AUDIENCE, **options}
    with pytest.raises((TypeError, ValueError, ImproperlyConfigured)) as caught:
        ResourceProtector(JWTBearerTokenValidator(**given))
    entry = {"BACKEND": "async_oauth_guard.JWTBearerTokenValidator", "OPTIONS": given}
    with override_settings(OAUTH_GUARD={"VALIDATORS": [entry]}):
        assert seen(check_settings(None)) == [(Error, "async_oauth_guard.E002", f"{BUILT}{caught.value}")]


def test_cache_that_is_not_there() -> None:
    """E002: so is a cache that the settings do not have."""
    with override_settings(OAUTH_GUARD={"CACHE": "redis"}):
        assert seen(check_settings(None)) == [
            (Error, "async_oauth_guard.E002", "OAUTH_GUARD['CACHE']: cache must be an alias in CACHES, got 'redis'")
        ]


def test_own_protocols_are_compared_by_identity(protectors: Any) -> None:
    """A validator of a site's own may compare equal to any other, and hides none."""

    class Equal(Own):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    protector = guarding(Equal(), jwt(resource_server=None), Equal())
    protectors.add(protector)
    assert ids(check_guards(None)) == ["W005"]


def test_a_broken_urlconf_is_for_django_to_say(protectors: Any) -> None:
    """The checks of protectors do their work whatever the URL configuration is like."""
    protector = guarding()
    protectors.add(protector)
    with override_settings(ROOT_URLCONF="tests.nowhere"):
        assert ids(check_guards(None)) == ["E001"]
        assert check_site(None) == []


# What workers share.

LOCAL = {
    "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "none": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "redis": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://nowhere"},
    "missing": {"BACKEND": "tests.nowhere.Cache"},
    "factory": {"BACKEND": "tests.unit.diagnostics.test_checks.jwt"},
}
CACHES_: list[tuple[str | None, bool]] = [
    ("local", True),
    ("none", True),
    ("redis", False),
    ("missing", False),
    ("factory", False),
    (None, False),
]


@pytest.mark.parametrize(("alias", "expected"), CACHES_)
@pytest.mark.parametrize("debug", [False, True])
def test_cache_of_each_worker_alone(alias: str | None, expected: bool, debug: bool, protectors: Any) -> None:
    """W009: what lives in one process is shared with nobody; a developer has one process."""
    with override_settings(CACHES=LOCAL, DEBUG=debug):
        first, second = (ResourceProtector(jwt(), cache=alias) for _ in range(2))
        for protector in (first, second):
            protector(Witness().view("def"))
        protectors.update([first, second])
        messages = check_guards(None)
    # Once for each cache, however often it is used.
    assert ids(messages) == (["W009"] if expected and not debug else [])
    assert all(message.hint and repr(alias) in message.msg for message in messages)


def test_cache_that_nobody_uses(protectors: Any) -> None:
    """W009: database tokens are kept in no cache, and a protector that guards nothing uses none."""
    with override_settings(CACHES=LOCAL):
        rows, unused = (
            ResourceProtector(BearerTokenValidator(OAuth2Token), cache="local"),
            ResourceProtector(jwt(), cache="local"),
        )
        rows(Witness().view("def"))
        protectors.update([rows, unused])
        assert check_guards(None) == []


DPOP_CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "redis": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"},
    "memcached": {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": "127.0.0.1:1"},
    "database": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "proofs"},
}
GOOD_ORIGIN = {"public_origin": "https://api.example.com"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cache": "redis", **GOOD_ORIGIN}, []),
        ({"cache": "redis", "resource": "https://api.example.com/v1"}, []),
        ({**GOOD_ORIGIN}, ["W020"]),
        ({"cache": "default", **GOOD_ORIGIN}, ["W020"]),
        ({"cache": "redis"}, ["W021"]),
        ({"cache": "redis", "resource": "api://6a1b"}, ["W021"]),
        ({"cache": "memcached", **GOOD_ORIGIN}, ["W022"]),
        ({"cache": "database", **GOOD_ORIGIN}, ["W022"]),
        ({}, ["W020", "W021"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("debug", [False, True])
def test_proofs(options: Any, expected: list[str], debug: bool, protectors: Any) -> None:
    """W020 to W022: proofs are remembered by all workers, and made for an address that is known; each once."""
    with override_settings(CACHES=DPOP_CACHES, DEBUG=debug):
        first, second = (ResourceProtector(BearerTokenValidator(OAuth2Token), dpop=True, **options) for _ in range(2))
        without = ResourceProtector(BearerTokenValidator(OAuth2Token), **options)
        for protector in (first, second, without):
            protector(Witness().view("def"))
        unused = ResourceProtector(BearerTokenValidator(OAuth2Token), dpop=True)
        protectors.update([first, second, without, unused])
        messages = check_guards(None)
    # A developer has one process, and no proxy.
    assert ids(messages) == [each for each in expected if each == "W022" or not debug]
    assert all(message.hint for message in messages)


def test_proofs_and_wrong_settings(protectors: Any) -> None:
    """A setting that cannot be read is reported elsewhere, once."""
    with override_settings(OAUTH_GUARD={"DPOP": "yes"}):
        require_oauth(Witness().view("def"))
        protectors.add(require_oauth)
        assert not {"W020", "W021", "W022"} & set(ids(check_guards(None)))


@pytest.mark.parametrize(("confirmation", "expected"), [("dpop_jkt", []), ("dpop_jtk", ["E003"]), (None, [])])
def test_fields_with_thumbprints(confirmation: Any, expected: list[str], protectors: Any) -> None:
    """E003: the field that ``confirmation`` names exists."""
    protector = ResourceProtector(BearerTokenValidator("site.BoundToken", confirmation=confirmation))
    protectors.add(protector)
    messages = check_guards(None)
    assert ids(messages) == expected
    assert all(repr(confirmation) in message.msg for message in messages)


def test_field_of_a_model_that_does_not_exist(protectors: Any) -> None:
    """E003: a missing model is reported once."""
    protector = ResourceProtector(BearerTokenValidator("site.Nothing", confirmation="dpop_jkt"))
    protectors.add(protector)
    assert ids(check_guards(None)) == ["E003"]


def _make_client() -> Any: ...


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"user_lookup": lambda claims: None}, "user_lookup"),
        ({"verify": ssl.create_default_context(), "user_lookup": lambda claims: None}, "user_lookup, verify"),
        ({"http_client": lambda: None}, "http_client"),
        ({"http_client": _make_client}, None),
        ({"http_client": f"{__name__}._make_client"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("alias", ["redis", None])
def test_what_other_processes_do_not_know(
    alias: str | None, options: dict[str, Any], named: str | None, protectors: Any
) -> None:
    """W017: what has no name that other processes know is not shared with them; without a cache nothing is."""
    validator = jwt(**options)
    with override_settings(CACHES=LOCAL):
        first, second = (ResourceProtector(validator, cache=alias) for _ in range(2))
        for protector in (first, second):
            protector(Witness().view("def"))
        protectors.update([first, second])
        messages = check_guards(None)
    assert ids(messages) == (["W017"] if named and alias else [])
    assert all(f": {named}." in message.msg and "cache_identity()" in (message.hint or "") for message in messages)
    assert all("verify= as the path of a file" in (message.hint or "") for message in messages)


# What is believed for too long.


def context(**values: Any) -> ssl.SSLContext:
    made = ssl.create_default_context()
    for name, value in values.items():
        setattr(made, name, value)
    return made


CONTEXTS: list[tuple[Any, bool]] = [
    (None, False),
    (context(), False),
    (context(check_hostname=False), True),
    (context(check_hostname=False, verify_mode=ssl.CERT_NONE), True),
    (context(check_hostname=False, verify_mode=ssl.CERT_OPTIONAL), True),
]


@pytest.mark.parametrize(("verify", "expected"), CONTEXTS)
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("make", [jwt, introspection])
def test_certificates_that_are_not_checked(
    make: Any, verify: Any, expected: bool, debug: bool, protectors: Any
) -> None:
    """W014: a context that takes any certificate is warned of, but for a developer's own server."""
    protector = guarding(make(verify=verify))
    protectors.add(protector)
    with override_settings(DEBUG=debug):
        messages = check_guards(None)
    assert ids(messages) == (["W014"] if expected and not debug else [])
    assert all(message.hint for message in messages)


LIFETIMES: list[tuple[Any, list[str]]] = [
    (introspection(cache_ttl=3600), []),
    (introspection(cache_ttl=1800, stale_if_error=1800), []),
    (introspection(cache_ttl=3601), ["W015"]),
    (introspection(cache_ttl=1, stale_if_error=3600), ["W015"]),
    (jwt(jwks_ttl=86_400, max_stale=7 * 86_400), []),
    (jwt(jwks_ttl=86_401), ["W016"]),
    (jwt(max_stale=7 * 86_400 + 1), ["W016"]),
    (jwt(jwks=lambda: {"keys": []}, max_stale=8 * 86_400), ["W016"]),
    (
        jwt(jwks={"keys": [{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}, max_stale=8 * 86_400),
        [],
    ),
]


@pytest.mark.parametrize(("validator", "expected"), LIFETIMES)
def test_long_memories(validator: Any, expected: list[str], protectors: Any) -> None:
    """W015, W016: for how long a revoked token, or a withdrawn key, may serve is said where it is long."""
    protector = guarding(validator)
    protectors.add(protector)
    messages = check_guards(None)
    assert ids(messages) == expected
    assert all(message.hint and ISSUER in message.msg for message in messages)


MISREAD = [
    (None, {}, []),
    ("api", {"server": "s", "errors": "x", "scopes": "a"}, []),
    ("scope=x", {}, ["realm"]),
    ('an error="x"', {}, ["realm"]),
    ("api Resource_Metadata=x", {}, ["realm"]),
    (None, {"note": "see scope=a", "server": "s"}, ["note"]),
    (None, {"last_error": "x"}, ["last_error"]),
]


@pytest.mark.parametrize(("realm", "attributes", "expected"), MISREAD)
def test_parameters_that_clients_misread(
    realm: str | None, attributes: dict[str, str], expected: list[str], protectors: Any
) -> None:
    """W025: a realm or an attribute that a client's regular expression takes for another parameter."""
    guard = guarding(TokenValidatorOfTheSite(realm, **attributes))
    protectors.update({guard, guarding(*guard.validators)})
    text = (
        "TokenValidatorOfTheSite: {} contains scope=, error= or resource_metadata=. Clients that parse challenges with "
        "regular expressions take it for that parameter."
    )
    assert seen(check_guards(None)) == [
        (django_checks.Warning, "async_oauth_guard.W025", text.format(name)) for name in expected
    ]


def test_realm_of_a_protector_that_clients_misread(protectors: Any) -> None:
    """W025: the protector's realm is in the challenges of its validators, if it has any."""
    protectors.add(ResourceProtector(realm="error=x"))
    assert check_guards(None) == []
    guard = ResourceProtector(TokenValidatorOfTheSite(), realm="error=x")
    protectors.add(guard)
    assert [message.msg.partition(" contains")[0] for message in check_guards(None)] == ["ResourceProtector: realm"]


class TokenValidatorOfTheSite(TokenValidator):
    def authenticate_token(self, token_string: str) -> None:
        return None
