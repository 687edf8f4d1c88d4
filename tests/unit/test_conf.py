"""The setting ``OAUTH_GUARD``."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from async_oauth_guard import BearerTokenValidator, JWTBearerTokenValidator, render_problem
from async_oauth_guard.conf import SETTING, GuardSettings, Options, check_option

MODEL_VALIDATOR = "async_oauth_guard.BearerTokenValidator"
JWT_VALIDATOR = "async_oauth_guard.JWTBearerTokenValidator"
INTROSPECTION_VALIDATOR = "async_oauth_guard.IntrospectTokenValidator"
ISSUER = "https://as.example.com"

DEFAULTS = {
    "realm": None,
    "resource": None,
    "public_origin": None,
    "compat": None,
    "set_user": False,
    "cache": None,
    "render_error": None,
    "validators": (),
    "unguarded": None,
}
OF_PROTECTORS = {name: value for name, value in DEFAULTS.items() if name != "unguarded"}


@pytest.mark.parametrize(("name", "expected"), DEFAULTS.items())
def test_defaults(name: str, expected: Any) -> None:
    """An empty setting is a good one."""
    with override_settings(OAUTH_GUARD={}):
        assert getattr(GuardSettings(), name) == expected


def test_every_key_has_a_property() -> None:
    """Each key is read by the property of its name, in small letters."""
    assert {key.lower() for key in GuardSettings.KEYS} == set(DEFAULTS)
    assert SETTING == "OAUTH_GUARD"


VALUES: list[tuple[str, Any, Any]] = [
    ("REALM", "r", "r"),
    ("REALM", "", ""),
    ("REALM", None, None),
    ("RESOURCE", "https://api.example.com/v1", "https://api.example.com/v1"),
    ("PUBLIC_ORIGIN", "https://api.example.com:8443", "https://api.example.com:8443"),
    ("COMPAT", "authlib", "authlib"),
    ("COMPAT", None, None),
    ("SET_USER", True, True),
    ("CACHE", "default", "default"),
    ("CACHE", None, None),
    ("RENDER_ERROR", render_problem, render_problem),
    ("RENDER_ERROR", "async_oauth_guard.render_problem", render_problem),
    ("RENDER_ERROR", "async_oauth_guard.responses:render_problem", render_problem),
    ("VALIDATORS", (), ()),
    ("UNGUARDED", None, None),
    ("UNGUARDED", [], ()),
    ("UNGUARDED", ["/health", "admin:*"], ("/health", "admin:*")),
    ("UNGUARDED", ("/health",), ("/health",)),
]


@pytest.mark.parametrize(("key", "value", "expected"), VALUES)
def test_values(key: str, value: Any, expected: Any) -> None:
    """What can work is given as it is; a dotted path is what it names."""
    with override_settings(OAUTH_GUARD={key: value}):
        assert getattr(GuardSettings(), key.lower()) == expected


WRONG: list[tuple[str, Any, str]] = [
    ("REALM", "é", r"OAUTH_GUARD\['REALM'\]: realm: a challenge holds printable ASCII only"),
    ("REALM", 7, r"OAUTH_GUARD\['REALM'\]: realm: a string is wanted, not int"),
    ("RESOURCE", "api", r"OAUTH_GUARD\['RESOURCE'\]: a URI with a host and without a fragment is wanted, not 'api'"),
    ("RESOURCE", b"https://x", r"OAUTH_GUARD\['RESOURCE'\]: resource: a string is wanted, not bytes"),
    *(
        ("PUBLIC_ORIGIN", value, r"OAUTH_GUARD\['PUBLIC_ORIGIN'\]: a scheme and a host are wanted")
        for value in ("https://a b", "https://x:999999", "ftp://x", "https://u:p@x", "https://", "//x")
    ),
    ("PUBLIC_ORIGIN", "https://x/", r"OAUTH_GUARD\['PUBLIC_ORIGIN'\]: a scheme and a host are wanted"),
    ("PUBLIC_ORIGIN", ["https://x"], r"OAUTH_GUARD\['PUBLIC_ORIGIN'\]: public_origin: a string is wanted, not list"),
    ("COMPAT", "toolkit", r"OAUTH_GUARD\['COMPAT'\]: compat is 'authlib' or None, not 'toolkit'"),
    ("COMPAT", True, r"OAUTH_GUARD\['COMPAT'\]: compat: a string is wanted, not bool"),
    ("SET_USER", 1, r"OAUTH_GUARD\['SET_USER'\]: set_user: True or False is wanted, not int"),
    ("CACHE", "redis", r"OAUTH_GUARD\['CACHE'\]: there is no cache 'redis' in CACHES$"),
    ("CACHE", "", r"OAUTH_GUARD\['CACHE'\]: there is no cache '' in CACHES$"),
    ("CACHE", 7, r"OAUTH_GUARD\['CACHE'\]: cache: the alias of a Django cache is wanted, not int$"),
    ("RENDER_ERROR", 7, r"OAUTH_GUARD\['RENDER_ERROR'\]: render_error: a callable .request, error. is wanted, not int"),
    ("RENDER_ERROR", "async_oauth_guard.nothing", r"OAUTH_GUARD\['RENDER_ERROR'\]: cannot import 'async_oauth_guard"),
    ("RENDER_ERROR", "no_such_module.x", r"OAUTH_GUARD\['RENDER_ERROR'\]: cannot import 'no_such_module.x'"),
    ("RENDER_ERROR", "not a path", r"OAUTH_GUARD\['RENDER_ERROR'\]: cannot import 'not a path'"),
    ("RENDER_ERROR", "async_oauth_guard.SETTING", r"OAUTH_GUARD\['RENDER_ERROR'\]: cannot import"),
    (
        "RENDER_ERROR",
        "async_oauth_guard.conf.SETTING",
        r"OAUTH_GUARD\['RENDER_ERROR'\]: render_error: a callable .request, error. is wanted, not str",
    ),
    ("UNGUARDED", "/health", r"^OAUTH_GUARD\['UNGUARDED'\]: a list of patterns is wanted, not str$"),
    ("UNGUARDED", {"/health"}, r"^OAUTH_GUARD\['UNGUARDED'\]: a list of patterns is wanted, not set$"),
    ("UNGUARDED", ["/x", 7], r"^OAUTH_GUARD\['UNGUARDED'\]: a pattern is a string that is not empty, not 7$"),
    ("UNGUARDED", [""], r"^OAUTH_GUARD\['UNGUARDED'\]: a pattern is a string that is not empty, not ''$"),
    ("VALIDATORS", {}, r"OAUTH_GUARD\['VALIDATORS'\] is a list of dictionaries"),
    ("VALIDATORS", MODEL_VALIDATOR, r"OAUTH_GUARD\['VALIDATORS'\] is a list of dictionaries"),
    ("VALIDATORS", [MODEL_VALIDATOR], r"OAUTH_GUARD\['VALIDATORS'\]\[0\] is a dictionary with 'BACKEND' and"),
    ("VALIDATORS", [{}], r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['BACKEND'\] is a dotted path"),
    ("VALIDATORS", [{"BACKEND": 7}], r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['BACKEND'\] is a dotted path"),
    (
        "VALIDATORS",
        [{"BACKEND": "no_such_module.X"}],
        r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['BACKEND'\]: cannot import 'no_such_module.X'",
    ),
    (
        "VALIDATORS",
        [{"BACKEND": MODEL_VALIDATOR, "OPTION": {}}],
        r"OAUTH_GUARD\['VALIDATORS'\]\[0\] has an unknown key 'OPTION'. Did you mean 'OPTIONS'\?",
    ),
    (
        "VALIDATORS",
        [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {}}],
        r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['OPTIONS'\]: .*token_model",
    ),
    (
        "VALIDATORS",
        [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": 7}}],
        r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['OPTIONS'\]: token_model: a model or its label is wanted, not 7",
    ),
    (
        "VALIDATORS",
        [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": "a.B", "realm": "é"}}],
        r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['OPTIONS'\]: realm: a challenge holds printable ASCII",
    ),
    ("VALIDATORS", [{"BACKEND": "builtins.dict"}], r"OAUTH_GUARD\['VALIDATORS'\]\[0\]"),
    ("VALIDATORS", [{"BACKEND": "builtins.type", "OPTIONS": {}}], r"OAUTH_GUARD\['VALIDATORS'\]\[0\]"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG, ids=lambda part: repr(part)[:50])
def test_wrong_values(key: str, value: Any, message: str) -> None:
    """R134: a value that cannot work is ``ImproperlyConfigured``, naming the key."""
    with override_settings(OAUTH_GUARD={key: value}), pytest.raises(ImproperlyConfigured, match=message):
        getattr(GuardSettings(), key.lower())


SETTINGS: list[tuple[Any, str]] = [
    (None, "^OAUTH_GUARD is not set, and the ready-made require_oauth reads it$"),
    ([], "^OAUTH_GUARD is a dictionary, not list$"),
    ("authlib", "^OAUTH_GUARD is a dictionary, not str$"),
    ({"REALMS": "x"}, r"^OAUTH_GUARD has an unknown key 'REALMS'. Did you mean 'REALM'\?$"),
    ({"realm": "x"}, r"^OAUTH_GUARD has an unknown key 'realm'. Did you mean 'REALM'\?$"),
    (
        {"QQQQQ": 1},
        "^OAUTH_GUARD has an unknown key 'QQQQQ'. Known are REALM, RESOURCE, PUBLIC_ORIGIN, VALIDATORS, COMPAT, "
        "SET_USER, CACHE, RENDER_ERROR, UNGUARDED.$",
    ),
    ({7: 1}, "^OAUTH_GUARD has an unknown key 7. Known are "),
]


@pytest.mark.parametrize(("value", "message"), SETTINGS, ids=repr)
@pytest.mark.parametrize("name", DEFAULTS)
def test_wrong_settings(value: Any, message: str, name: str) -> None:
    """R134: whatever is asked for first, a setting that nobody can read is told, with the nearest known key."""
    with override_settings(OAUTH_GUARD=value), pytest.raises(ImproperlyConfigured, match=message):
        getattr(GuardSettings(), name)


def test_what_is_about_the_site() -> None:
    """A wrong pattern for routes keeps no protector from its work."""
    with override_settings(OAUTH_GUARD={"UNGUARDED": 7}):
        assert GuardSettings().options() == Options(**OF_PROTECTORS)


def test_without_the_setting() -> None:
    """A site without the setting is told so when the ready-made protector is used."""
    with override_settings():
        from django.conf import settings

        del settings.OAUTH_GUARD
        with pytest.raises(ImproperlyConfigured, match="OAUTH_GUARD is not set"):
            _ = GuardSettings().realm


def test_validators_are_built_once_and_in_order() -> None:
    """Each entry is called with its options, when first needed, and the result is kept."""
    entries = [
        {"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": "site.OAuth2Token", "realm": "first"}},
        {"BACKEND": f"{MODEL_VALIDATOR}.for_django_oauth_toolkit"},
    ]
    with override_settings(OAUTH_GUARD={"VALIDATORS": entries}):
        settings = GuardSettings()
        first, second = settings.validators
        assert settings.validators is settings.validators
    assert (type(first), first.realm) == (BearerTokenValidator, "first")
    assert isinstance(second, BearerTokenValidator)


def test_all_at_once() -> None:
    """A wrong value is known at the first use, whatever is asked for."""
    values = {"REALM": "r", "SET_USER": True, "COMPAT": "authlib"}
    with override_settings(OAUTH_GUARD=values):
        expected = {**OF_PROTECTORS, "realm": "r", "set_user": True, "compat": "authlib"}
        assert GuardSettings().options() == Options(**expected)
    wrong = {**values, "RESOURCE": 7}
    with override_settings(OAUTH_GUARD=wrong), pytest.raises(ImproperlyConfigured, match="RESOURCE"):
        GuardSettings().options()


def jwt(**options: Any) -> dict[str, Any]:
    return {"BACKEND": JWT_VALIDATOR, "OPTIONS": {"issuer": ISSUER, **options}}


def introspection(**options: Any) -> dict[str, Any]:
    given = {"introspection_endpoint": f"{ISSUER}/introspect", "client_id": "api", "client_secret": "s3cret", **options}
    return {"BACKEND": INTROSPECTION_VALIDATOR, "OPTIONS": given}


@pytest.mark.parametrize(
    "value",
    [
        {"VALIDATORS": [jwt(resource_server="https://api.example.com")]},
        {"VALIDATORS": [jwt(resource_server=None), introspection(audience=None)]},
        {"VALIDATORS": [jwt(), introspection()], "RESOURCE": "https://api.example.com", "CACHE": "default"},
    ],
)
def test_validators_of_remote_tokens(value: Any) -> None:
    """R134: each says for whom tokens have to be, or the setting does, or says that this is not checked."""
    with override_settings(OAUTH_GUARD=value):
        assert len(GuardSettings().options().validators) == len(value["VALIDATORS"])


# What an administrator who has made the mistake is told: which option, and what to write instead.
MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        jwt(),
        "JWTBearerTokenValidator has no audience: pass resource_server=, or give the protector a resource "
        '(OAUTH_GUARD["RESOURCE"]); resource_server=None switches the check off',
    ),
    (
        introspection(),
        "IntrospectTokenValidator has no audience: pass audience=, or give the protector a resource "
        '(OAUTH_GUARD["RESOURCE"]); audience=None switches the check off',
    ),
    (jwt(resource_server=""), "resource_server: each audience is a string that is not empty; None switches the check"),
    (jwt(algorithms=["HS256"]), "algorithms: HS256 needs a secret that only the server and you have: give it as jwks="),
    (jwt(algorithms=["HS256"], jwks_uri=f"{ISSUER}/jwks"), "algorithms: HS256 needs a secret"),
    (jwt(algorithms=[]), "algorithms: without any, no token could be valid"),
    (jwt(algorithms=["none"]), "algorithms: 'none' is none of "),
    (jwt(issuer="http://as.example.com"), "issuer: https:// is wanted; in a private network, http:// with allow_inse"),
    (jwt(jwks_uri="http://as.example.com/jwks"), "jwks_uri: https:// is wanted"),
    (introspection(introspection_endpoint="http://as.example.com/"), "introspection_endpoint: https:// is wanted"),
    (jwt(leeway=-1), "leeway: a number of seconds is wanted, 0 or more"),
    (introspection(cache_ttl=-1), "cache_ttl: a number of seconds is wanted, 0 or more"),
    (jwt(profile="keycloack"), "profile: 'keycloack' is none of "),
    (introspection(client_secret=None), "client_secret: client_secret_basic needs one"),
    (introspection(client_auth="basic"), "client_auth: one of client_secret_basic, client_secret_post, "),
    (jwt(http_client="tests.nowhere.make"), "http_client: cannot import 'tests.nowhere.make'"),
]


@pytest.mark.parametrize(("entry", "message"), MISTAKES, ids=lambda part: repr(part)[:50])
def test_mistakes_in_validators_of_remote_tokens(entry: Any, message: str) -> None:
    """R134: what cannot work is ``ImproperlyConfigured``: where it stands, which option, and what to write instead."""
    with override_settings(OAUTH_GUARD={"VALIDATORS": [entry]}), pytest.raises(ImproperlyConfigured) as caught:
        _ = GuardSettings().validators
    assert str(caught.value).startswith(f"OAUTH_GUARD['VALIDATORS'][0]['OPTIONS']: {message}")
    assert "s3cret" not in repr(caught.value)


def test_the_resource_of_the_setting() -> None:
    """A validator whose audience was left out has the setting's resource; one that was given is kept."""
    validators = [jwt(), jwt(resource_server=["a", "b"])]
    with override_settings(OAUTH_GUARD={"RESOURCE": "https://x", "VALIDATORS": validators}):
        first, second = GuardSettings().validators
    assert isinstance(first, JWTBearerTokenValidator)
    assert first.takes_audience_from_protector
    assert second.audience == ("a", "b")


ORIGINS = [
    "https://api.example.com",
    "http://localhost",
    "http://127.0.0.1:8000",
    "https://[::1]:8443",
]
NO_ORIGINS = [
    "",
    "api.example.com",
    "https://",
    "https://api.example.com/",
    "https://api.example.com?x",
    "https://api.example.com#x",
    "ftp://api.example.com",
    "//api.example.com",
    "HTTPS://api.example.com",
    "https://[::1",
    "https://user@api.example.com",
]


@pytest.mark.parametrize("value", ORIGINS)
def test_origins(value: str) -> None:
    """A scheme and a host, with a port or not."""
    check_option("public_origin", value)


@pytest.mark.parametrize("value", NO_ORIGINS)
def test_no_origins(value: str) -> None:
    """R134: anything more or less is no origin (RFC 6454 has no user there)."""
    with pytest.raises(ValueError):
        check_option("public_origin", value)


@pytest.mark.parametrize(
    "value", ["https://api.example.com", "https://api.example.com/v1?x=y", "http://localhost:8000/"]
)
def test_resources(value: str) -> None:
    """R118: any absolute URI is a resource indicator."""
    check_option("resource", value)


@pytest.mark.parametrize("value", ["", "api", "/v1", "https:", "https:///v1", "//x/y", "https://x#y", "https://x/#"])
def test_no_resources(value: str) -> None:
    """R118: RFC 8707 §2 wants an absolute URI without a fragment."""
    with pytest.raises(ValueError, match="a URI with a host and without a fragment is wanted"):
        check_option("resource", value)


@pytest.mark.parametrize("value", [None, "authlib"])
def test_compat(value: Any) -> None:
    """There is one way of answering besides ours."""
    check_option("compat", value)


@pytest.mark.parametrize("value", ["", "Authlib", "toolkit", 7])
def test_no_compat(value: Any) -> None:
    """Any other is refused."""
    with pytest.raises((TypeError, ValueError), match="compat"):
        check_option("compat", value)
