"""The setting ``OAUTH_GUARD``."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from async_oauth_guard import (
    BearerTokenValidator,
    DPoP,
    IntrospectTokenValidator,
    JWTBearerTokenValidator,
    ResourceProtector,
    TokenValidator,
    render_problem,
)
from async_oauth_guard.conf import SETTING, GuardSettings, Options
from async_oauth_guard.conf.options import check_dpop, check_option, document_url
from tests.frames import check_frames

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
    "dpop": None,
    "mtls": None,
    "implied_scopes": None,
    "metadata": None,
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
    ("IMPLIED_SCOPES", {"admin": ["read"]}, {"admin": ["read"]}),
    ("RENDER_ERROR", render_problem, render_problem),
    ("RENDER_ERROR", "async_oauth_guard.render_problem", render_problem),
    ("RENDER_ERROR", "async_oauth_guard.guard.refusal_responses:render_problem", render_problem),
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
    ("REALM", "é", r"OAUTH_GUARD\['REALM'\]: realm must be printable ASCII"),
    ("REALM", 7, r"OAUTH_GUARD\['REALM'\]: realm must be a string, got int"),
    (
        "RESOURCE",
        "api",
        r"OAUTH_GUARD\['RESOURCE'\]: resource must be a URI with a host and without a fragment, got 'api'",
    ),
    ("RESOURCE", b"https://x", r"OAUTH_GUARD\['RESOURCE'\]: resource must be a string, got bytes"),
    *(
        ("PUBLIC_ORIGIN", value, r"OAUTH_GUARD\['PUBLIC_ORIGIN'\]: public_origin must be a scheme and a host")
        for value in ("https://a b", "https://x:999999", "ftp://x", "https://u:p@x", "https://", "//x")
    ),
    ("PUBLIC_ORIGIN", "https://x/", r"OAUTH_GUARD\['PUBLIC_ORIGIN'\]: public_origin must be a scheme and a host"),
    ("PUBLIC_ORIGIN", ["https://x"], r"OAUTH_GUARD\['PUBLIC_ORIGIN'\]: public_origin must be a string, got list"),
    ("COMPAT", "toolkit", r"OAUTH_GUARD\['COMPAT'\]: compat must be 'authlib' or None, got 'toolkit'"),
    ("COMPAT", True, r"OAUTH_GUARD\['COMPAT'\]: compat must be a string, got bool"),
    ("SET_USER", 1, r"OAUTH_GUARD\['SET_USER'\]: set_user must be True or False, got int"),
    ("CACHE", "redis", r"OAUTH_GUARD\['CACHE'\]: cache must be an alias in CACHES, got 'redis'$"),
    ("CACHE", "", r"OAUTH_GUARD\['CACHE'\]: cache must be an alias in CACHES, got ''$"),
    ("CACHE", 7, r"OAUTH_GUARD\['CACHE'\]: cache must be the alias of a Django cache, got int$"),
    (
        "IMPLIED_SCOPES",
        ["admin"],
        r"OAUTH_GUARD\['IMPLIED_SCOPES'\]: implied_scopes must be a mapping of scopes, got list$",
    ),
    ("IMPLIED_SCOPES", {"admin": ["a b"]}, r"OAUTH_GUARD\['IMPLIED_SCOPES'\]: implied_scopes: 'a b' is not a scope"),
    ("RENDER_ERROR", 7, r"OAUTH_GUARD\['RENDER_ERROR'\]: render_error must be a callable .request, error., got int"),
    ("RENDER_ERROR", "async_oauth_guard.nothing", r"OAUTH_GUARD\['RENDER_ERROR'\]: cannot import 'async_oauth_guard"),
    ("RENDER_ERROR", "no_such_module.x", r"OAUTH_GUARD\['RENDER_ERROR'\]: cannot import 'no_such_module.x'"),
    ("RENDER_ERROR", "not a path", r"OAUTH_GUARD\['RENDER_ERROR'\]: cannot import 'not a path'"),
    ("RENDER_ERROR", "async_oauth_guard.SETTING", r"OAUTH_GUARD\['RENDER_ERROR'\]: cannot import"),
    (
        "RENDER_ERROR",
        "async_oauth_guard.conf.SETTING",
        r"OAUTH_GUARD\['RENDER_ERROR'\]: render_error must be a callable .request, error., got str",
    ),
    ("UNGUARDED", "/health", r"^OAUTH_GUARD\['UNGUARDED'\] must be a list of patterns, got str$"),
    ("UNGUARDED", {"/health"}, r"^OAUTH_GUARD\['UNGUARDED'\] must be a list of patterns, got set$"),
    ("UNGUARDED", ["/x", 7], r"^OAUTH_GUARD\['UNGUARDED'\]: a pattern must be a non-empty string, got 7$"),
    ("UNGUARDED", [""], r"^OAUTH_GUARD\['UNGUARDED'\]: a pattern must be a non-empty string, got ''$"),
    ("VALIDATORS", {}, r"OAUTH_GUARD\['VALIDATORS'\] must be a list of dictionaries"),
    ("VALIDATORS", MODEL_VALIDATOR, r"OAUTH_GUARD\['VALIDATORS'\] must be a list of dictionaries"),
    ("VALIDATORS", [MODEL_VALIDATOR], r"OAUTH_GUARD\['VALIDATORS'\]\[0\] must be a dictionary with 'BACKEND' and"),
    ("VALIDATORS", [{}], r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['BACKEND'\] must be a dotted path"),
    ("VALIDATORS", [{"BACKEND": 7}], r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['BACKEND'\] must be a dotted path"),
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
        r"\['VALIDATORS'\]\[0\]\['OPTIONS'\] must have the key 'token_model', which BearerTokenValidator requires",
    ),
    (
        "VALIDATORS",
        [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": 7}}],
        r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['OPTIONS'\]: token_model must be a model or its label, got 7",
    ),
    (
        "VALIDATORS",
        [{"BACKEND": MODEL_VALIDATOR, "OPTIONS": {"token_model": "a.B", "realm": "é"}}],
        r"OAUTH_GUARD\['VALIDATORS'\]\[0\]\['OPTIONS'\]: realm must be printable ASCII",
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
    (None, "^OAUTH_GUARD must be set, because the ready-made require_oauth reads it$"),
    ([], "^OAUTH_GUARD must be a dictionary, got list$"),
    ("authlib", "^OAUTH_GUARD must be a dictionary, got str$"),
    ({"REALMS": "x"}, r"^OAUTH_GUARD has an unknown key 'REALMS'. Did you mean 'REALM'\?$"),
    ({"realm": "x"}, r"^OAUTH_GUARD has an unknown key 'realm'. Did you mean 'REALM'\?$"),
    (
        {"QQQQQ": 1},
        "^OAUTH_GUARD has an unknown key 'QQQQQ'. Known keys are REALM, RESOURCE, PUBLIC_ORIGIN, VALIDATORS, COMPAT, "
        "SET_USER, CACHE, RENDER_ERROR, DPOP, MTLS, IMPLIED_SCOPES, METADATA, UNGUARDED.$",
    ),
    ({7: 1}, "^OAUTH_GUARD has an unknown key 7. Known keys are "),
]


@pytest.mark.parametrize(("value", "message"), SETTINGS, ids=repr)
@pytest.mark.parametrize("name", DEFAULTS)
def test_wrong_settings(value: Any, message: str, name: str) -> None:
    """R134: an unreadable setting is an error that names the nearest known key, whichever value is read first."""
    with override_settings(OAUTH_GUARD=value), pytest.raises(ImproperlyConfigured, match=message):
        getattr(GuardSettings(), name)


def test_what_is_about_the_site() -> None:
    """A wrong pattern for routes does not stop a protector from working."""
    with override_settings(OAUTH_GUARD={"UNGUARDED": 7}):
        assert GuardSettings().options() == Options(**OF_PROTECTORS)


def test_without_the_setting() -> None:
    """Without the setting, using the ready-made protector is an error that says so."""
    with override_settings():
        from django.conf import settings

        del settings.OAUTH_GUARD
        with pytest.raises(ImproperlyConfigured, match="OAUTH_GUARD must be set"):
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
    """A wrong value is an error at the first use, whichever value is read."""
    values = {"REALM": "r", "SET_USER": True, "COMPAT": "authlib"}
    with override_settings(OAUTH_GUARD=values):
        expected = {**OF_PROTECTORS, "realm": "r", "set_user": True, "compat": "authlib"}
        assert GuardSettings().options() == Options(**expected)
    wrong = {**values, "RESOURCE": 7}
    with override_settings(OAUTH_GUARD=wrong), pytest.raises(ImproperlyConfigured, match="RESOURCE"):
        GuardSettings().options()


SECRET = "for the server only"


class Failing(IntrospectTokenValidator):
    """Has a bug."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        raise LookupError("a bug")


@pytest.mark.parametrize(
    ("changes", "entry", "error"),
    [
        ({}, {"OPTIONS": {"cache_ttl": -1}}, ImproperlyConfigured),
        ({}, {"OPTIONS": {"client_auth": "private_key_jwt"}}, ImproperlyConfigured),
        ({}, {"OPTIONS": {"isuer": "x"}}, ImproperlyConfigured),
        ({}, {"OPTION": {}}, ImproperlyConfigured),
        ({}, {"BACKEND": "missing.Validator"}, ImproperlyConfigured),
        ({}, {"BACKEND": f"{__name__}.Failing"}, LookupError),
        ({}, {"BACKEND": "tests.unit.failing_import.Validator"}, NameError),
        ({"RELM": "x"}, {}, ImproperlyConfigured),
        ({"REALM": 7}, {}, ImproperlyConfigured),
    ],
)
def test_reports_of_a_wrong_setting(changes: Any, entry: Any, error: type[Exception]) -> None:
    """Error reports print the local variables of each frame. None of them shows a client secret."""
    usual = {"issuer": ISSUER, "audience": "api", "client_id": "api", "client_secret": SECRET}
    options = {**usual, **entry.get("OPTIONS", {})}
    validators = [{"BACKEND": INTROSPECTION_VALIDATOR, **entry, "OPTIONS": options}]
    with override_settings(OAUTH_GUARD={"VALIDATORS": validators, **changes}), pytest.raises(error) as caught:
        _ = ResourceProtector.from_settings().validators
    assert caught.value.__context__ is None
    check_frames(caught.value, SECRET)


def test_reports_of_a_wrong_option() -> None:
    """The same applies to a validator that is built in code."""
    with pytest.raises(ValueError, match="cache_ttl") as caught:
        IntrospectTokenValidator(issuer=ISSUER, audience="api", client_id="api", client_secret=SECRET, cache_ttl=-1)
    check_frames(caught.value, SECRET)


def jwt(**options: Any) -> dict[str, Any]:
    return {"BACKEND": JWT_VALIDATOR, "OPTIONS": {"issuer": ISSUER, **options}}


def introspection(**options: Any) -> dict[str, Any]:
    given = {"introspection_endpoint": f"{ISSUER}/introspect", "client_id": "api", "client_secret": "s3cret", **options}
    return {"BACKEND": INTROSPECTION_VALIDATOR, "OPTIONS": given}


class Own(TokenValidator):
    """A validator of a site, with a plain signature."""

    def __init__(self, host: str, *, port: int = 443, Path: str = "") -> None:  # noqa: N803
        super().__init__()

    def authenticate_token(self, token_string: str) -> Any:
        return None


class PositionalOnly(Own):
    def __init__(self, host: str, /) -> None:
        super().__init__(host)


def make_own(**options: Any) -> Own:
    return Own(**{"host": "h", **options})


def own(**options: Any) -> dict[str, Any]:
    return {"BACKEND": f"{__name__}.Own", "OPTIONS": options}


def model(**options: Any) -> dict[str, Any]:
    return {"BACKEND": MODEL_VALIDATOR, "OPTIONS": options}


WHERE = "OAUTH_GUARD['VALIDATORS'][0]['OPTIONS']"
WRONG_KEYS: list[tuple[Any, str]] = [
    # Ours.
    ({"BACKEND": JWT_VALIDATOR, "OPTIONS": {"isuer": ISSUER}}, " has an unknown key 'isuer'. Did you mean 'issuer'?"),
    ({"BACKEND": JWT_VALIDATOR, "OPTIONS": {"ISSUER": ISSUER}}, " has an unknown key 'ISSUER'. Did you mean 'issuer'?"),
    ({"BACKEND": JWT_VALIDATOR}, " must have the key 'issuer', which JWTBearerTokenValidator requires."),
    (
        {"BACKEND": JWT_VALIDATOR, "OPTIONS": {"foo": 1}},
        " must have the key 'issuer', which JWTBearerTokenValidator requires.",
    ),
    (jwt(cooldwon=1), ": cooldwon: JWTBearerTokenValidator has no such option; did you mean 'cooldown'?"),
    (
        introspection(introspection_endpont="x"),
        ": introspection_endpont: IntrospectTokenValidator has no such option; did you mean 'introspection_endpoint'?",
    ),
    (model(token_modle="a.B"), " has an unknown key 'token_modle'. Did you mean 'token_model'?"),
    (
        model(token_model="a.B", digset="sha256"),
        ": digset: BearerTokenValidator has no such option; did you mean 'digest'?",
    ),
    # A site's.
    (own(hots="h"), " has an unknown key 'hots'. Did you mean 'host'?"),
    (own(host="h", prot=1), " has an unknown key 'prot'. Did you mean 'port'?"),
    (own(host="h", path="/"), " has an unknown key 'path'. Did you mean 'Path'?"),
    (own(host="h", qqqqq=1), " has an unknown key 'qqqqq'. Known keys are host, port, Path."),
    (own(), " must have the key 'host', which Own requires."),
    ({"BACKEND": f"{__name__}.Own", "OPTIONS": {7: 1}}, " has an unknown key 7. Known keys are host, port, Path."),
    ({"BACKEND": f"{__name__}.make_own", "OPTIONS": {7: 1}}, ": keywords must be strings"),
    (
        {"BACKEND": f"{__name__}.PositionalOnly"},
        ": PositionalOnly.__init__() missing 1 required positional argument: 'host'",
    ),
    # No keys.
    ({"BACKEND": JWT_VALIDATOR, "OPTIONS": [("issuer", ISSUER)]}, " must be a dictionary, got list"),
    ({"BACKEND": JWT_VALIDATOR, "OPTIONS": None}, " must be a dictionary, got NoneType"),
]


@pytest.mark.parametrize(("entry", "message"), WRONG_KEYS, ids=lambda part: repr(part)[-60:])
def test_wrong_keys_of_options(entry: Any, message: str) -> None:
    """An unknown or missing key is named with its place, and an unknown one with the key that was probably meant."""
    with override_settings(OAUTH_GUARD={"VALIDATORS": [entry]}), pytest.raises(ImproperlyConfigured) as caught:
        _ = GuardSettings().validators
    assert str(caught.value) == f"{WHERE}{message}"


def test_backends_that_take_any_key() -> None:
    """A function that takes any keyword is called with all of them."""
    entry = {"BACKEND": f"{__name__}.make_own", "OPTIONS": {"port": 1}}
    with override_settings(OAUTH_GUARD={"VALIDATORS": [entry]}):
        assert isinstance(GuardSettings().validators[0], Own)


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


# The message for an administrator who has made the mistake: which option, and what to write instead.
MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        jwt(),
        "JWTBearerTokenValidator has no audience: pass resource_server=, or give the protector a resource "
        '(OAUTH_GUARD["RESOURCE"]); resource_server=None disables the check',
    ),
    (
        introspection(),
        "IntrospectTokenValidator has no audience: pass audience=, or give the protector a resource "
        '(OAUTH_GUARD["RESOURCE"]); audience=None disables the check',
    ),
    (jwt(resource_server=""), "resource_server must contain only non-empty strings, at least one; None disables the c"),
    (jwt(algorithms=["HS256"]), "algorithms contains HS256, which needs a shared secret: pass it as jwks="),
    (jwt(algorithms=["HS256"], jwks_uri=f"{ISSUER}/jwks"), "algorithms contains HS256"),
    (jwt(algorithms=[]), "algorithms must not be empty, because no token could be valid"),
    (jwt(algorithms=["none"]), "algorithms must be names from "),
    (
        jwt(issuer="http://as.example.com"),
        "issuer: must be an https:// URL; to use http:// in a private network, set allow_inse",
    ),
    (jwt(jwks_uri="http://as.example.com/jwks"), "jwks_uri: must be an https:// URL"),
    (introspection(introspection_endpoint="http://as.example.com/"), "introspection_endpoint: must be an https:// URL"),
    (jwt(leeway=-1), "leeway must be a number of seconds, 0 or more, got -1"),
    (introspection(cache_ttl=-1), "cache_ttl must be a number of seconds, 0 or more, got -1"),
    (jwt(profile="keycloack"), "profile must be one of "),
    (introspection(client_secret=None), "client_secret must be given for client_auth='client_secret_basic'"),
    (introspection(client_auth="basic"), "client_auth must be one of client_secret_basic, client_secret_post, "),
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
    with pytest.raises(ValueError, match="resource must be a URI with a host and without a fragment"):
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


CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "dummy": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "files": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "nowhere"},
}


@pytest.mark.parametrize("cache", [None, "default"])
def test_dpop_without_a_conflict(cache: str | None) -> None:
    """Proofs are remembered in each process, or in a cache that can. Without proofs, any cache may be used."""
    with override_settings(CACHES=CACHES):
        check_dpop(DPoP(), None, cache)
        check_dpop(None, "authlib", "dummy")


def test_dpop_as_authlib() -> None:
    """R134: Authlib has no responses for DPoP."""
    with pytest.raises(ValueError, match=r"^dpop and compat must not both be given, "):
        ResourceProtector(dpop=True, compat="authlib")


@pytest.mark.parametrize(("cache", "backend"), [("dummy", "DummyCache"), ("files", "FileBasedCache")])
def test_dpop_with_a_cache_that_cannot_remember(cache: str, backend: str) -> None:
    """R96: a cache that forgets proofs, or cannot add one atomically, would let in a proof twice."""
    message = rf"^cache must be able to .* but '{cache}' is a {backend}; use Redis$"
    with override_settings(CACHES=CACHES), pytest.raises(ImproperlyConfigured, match=message):
        ResourceProtector(dpop=True, cache=cache)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("https://api.example.com", "https://api.example.com/.well-known/oauth-protected-resource"),
        ("http://127.0.0.1:8000/r", "http://127.0.0.1:8000/.well-known/oauth-protected-resource/r"),
    ],
)
def test_url_of_the_metadata(resource: str, expected: str) -> None:
    """R112: the document of a resource with https, or with http on a loopback address, has a URL."""
    assert document_url(True, resource) == document_url({}, resource) == expected
    assert document_url(None, resource) is document_url(False, None) is None


@pytest.mark.parametrize("resource", ["http://api.example.com", "ftp://api.example.com", "https://u:p@h", "urn:api"])
def test_metadata_of_another_resource(resource: str) -> None:
    """R112: any other resource has no document, and the error names it."""
    with pytest.raises(ImproperlyConfigured, match=rf"^metadata requires a resource with https, .* got '{resource}'$"):
        document_url(True, resource)
