"""The command ``oauth_token``: what it makes passes the guard, and what it cannot make it says in one sentence."""

import io
import re
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.db.models import CASCADE, NOT_PROVIDED, CharField, ForeignKey, Model
from django.test.utils import isolate_apps
from oauth2_provider.models import AccessToken as ToolkitToken
from oauth2_provider.models import Application

from async_oauth_guard import BearerTokenValidator, require_oauth
from tests.conftest import make_user
from tests.site.models import (
    BoundToken,
    Client,
    ClientToken,
    HashedToken,
    LifetimeToken,
    ListToken,
    NumberToken,
    OAuth2Token,
    PlainUserToken,
    TenantToken,
    UUIDToken,
    tenant,
)

pytestmark = pytest.mark.django_db

MODEL = "async_oauth_guard.BearerTokenValidator"
TOOLKIT = f"{MODEL}.for_django_oauth_toolkit"


@pytest.fixture(autouse=True)
def _debug(settings: Any) -> None:
    settings.DEBUG = True


def use(settings: Any, *validators: dict[str, Any]) -> None:
    settings.OAUTH_GUARD = {"VALIDATORS": list(validators)}


def in_model(token_model: Any, **options: Any) -> dict[str, Any]:
    return {"BACKEND": MODEL, "OPTIONS": {"token_model": token_model, **options}}


def make(*arguments: str) -> str:
    """The token that is printed, and nothing else is on that stream."""
    out = io.StringIO()
    call_command("oauth_token", *arguments, stdout=out, stderr=io.StringIO())
    token, newline, rest = out.getvalue().partition("\n")
    assert (newline, rest) == ("\n", "")
    assert re.fullmatch(r"[\w-]+", token)
    return token


def refusal(*arguments: str) -> str:
    """The sentence with which the command ends; nothing is printed."""
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("oauth_token", *arguments, stdout=out, stderr=io.StringIO())
    assert (caught.value.returncode, out.getvalue()) == (2, "")
    return str(caught.value)


VALIDATORS: dict[str, dict[str, Any]] = {
    "ordinary": in_model("site.OAuth2Token"),
    "digest": in_model(HashedToken, lookup="token_hash", digest="sha256"),
    "UUID": in_model(UUIDToken),
    "number": in_model(NumberToken),
    "user by number": in_model(PlainUserToken),
    "format": in_model(OAuth2Token, token_format="[0-9a-f]{40}"),
    "toolkit": {"BACKEND": TOOLKIT},
}


@pytest.mark.parametrize("validator", VALIDATORS.values(), ids=VALIDATORS)
def test_passes_the_guard(validator: dict[str, Any], settings: Any) -> None:
    """The token that is printed is one that the guard takes, for each kind of model."""
    use(settings, validator)
    alice = make_user("alice")
    found = require_oauth.validate_token(make("--user", "alice", "--scopes", "profile email"), "profile")
    assert alice.pk in (getattr(found, "user_id", None), found.user_id)


@pytest.mark.parametrize("model", [OAuth2Token, LifetimeToken])
async def test_passes_the_guard_of_an_async_view(model: Any, settings: Any, transactional_db: None) -> None:
    """An event loop finds the row too."""
    use(settings, in_model(model))
    try:
        given = ("--set", "token_type=Bearer") if model is LifetimeToken else ()
        token = await sync_to_async(make)("--scopes", "profile", *given)
        assert (await require_oauth.avalidate_token(token, "profile")).get_scope() == "profile"
    finally:
        # Of asgiref's thread, which outlives the test.
        await sync_to_async(connections.close_all)()


def test_fields(settings: Any) -> None:
    """The token has the given scopes, client, lifetime and user."""
    make_user("alice")
    token = make("--user", "alice", "--scopes", " a  b ", "--client", "app", "--expires-in", "60")
    row = OAuth2Token.objects.get(access_token=token)
    assert (row.user.username, row.scope, row.client_id) == ("alice", "a b", "app")
    assert row.expires_at is not None
    assert 0 < row.expires_at - time.time() <= 60


def test_authlibs_columns(settings: Any) -> None:
    """Authlib's columns for the lifetime are filled; the type is given, and what may be empty is left so."""
    use(settings, in_model(LifetimeToken))
    assert refusal() == "site.LifetimeToken has fields that this command cannot fill: add --set token_type=…."
    began = int(time.time())
    token = make("--scopes", "profile", "--expires-in", "60", "--set", "token_type=Bearer")
    row = LifetimeToken.objects.get(access_token=token)
    assert (row.token_type, row.expires_in, row.revoked) == ("Bearer", 60, None)
    assert began <= row.issued_at <= time.time()
    assert require_oauth.validate_token(token, "profile").get_scope() == "profile"


def test_list_of_scopes(settings: Any) -> None:
    """Where scopes are kept as a list, they are one; a text that may be empty is not asked for."""
    use(settings, in_model(ListToken))
    row = ListToken.objects.get(access_token=make("--scopes", "a b"))
    assert (row.scopes, row.note) == (["a", "b"], "")


def test_name_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users are named as the site names them."""
    alice = make_user("alice")
    monkeypatch.setattr(type(alice), "USERNAME_FIELD", "email")
    assert OAuth2Token.objects.get(access_token=make("--user", "alice@example.com")).user == alice


def test_usual_fields() -> None:
    """Without arguments it is a token of nobody's, without scopes, of the client ``development``."""
    row = OAuth2Token.objects.get(access_token=make())
    assert (row.user, row.scope, row.client_id) == (None, "", "development")


def test_two_are_different() -> None:
    """No two tokens are alike, and each is of 256 random bits."""
    assert len({make() for _ in range(3)}) == 3
    assert len(make()) == 43


def test_digest_alone(settings: Any) -> None:
    """Where the column holds digests, the token itself is nowhere in the table."""
    use(settings, VALIDATORS["digest"])
    token = make()
    assert token not in str(HashedToken.objects.values())


def test_toolkit(settings: Any) -> None:
    """A row of django-oauth-toolkit's, with its application where one is named."""
    use(settings, VALIDATORS["toolkit"])
    application = Application.objects.create(name="app", client_id="app")
    row = ToolkitToken.objects.get(token=make("--client", "app", "--scopes", "read"))
    assert (row.application, row.scope, row.is_valid(["read"])) == (application, "read", True)
    assert refusal("--client", "nobody") == "--client: there is no oauth2_provider.Application with this client_id."


@pytest.mark.parametrize("is_aware", [True, False])
def test_time_zones(is_aware: bool, settings: Any) -> None:
    """A column of dates has them as the site keeps them."""
    settings.USE_TZ = is_aware
    use(settings, VALIDATORS["toolkit"])
    require_oauth.validate_token(make())


def test_set(settings: Any) -> None:
    """``--set`` gives what other fields hold, a related row by its key; a field that needs it is named."""
    use(settings, in_model(ClientToken))
    client = Client.objects.create(client_id="app")
    assert refusal() == "site.ClientToken has fields that this command cannot fill: add --client."
    token = make("--set", f"application={client.pk}", "--set", "scope=profile")
    assert ClientToken.objects.get(access_token=token).application == client
    token = make("--set", f"application_id={client.pk}")
    assert ClientToken.objects.get(access_token=token).application == client
    token = make("--client", "app")
    assert ClientToken.objects.get(access_token=token).application == client


@pytest.mark.parametrize(
    ("options", "assignment"),
    [
        ({}, 'cnf={"jkt": "thumbprint"}'),
        ({}, 'cnf={"x5t#S256": "thumbprint"}'),
        ({"confirmation": "dpop_jkt"}, "dpop_jkt=thumbprint"),
    ],
)
def test_bound_tokens(options: Any, assignment: str, settings: Any) -> None:
    """``--set`` binds a token to a key or a certificate. It is said what the token needs."""
    use(settings, in_model("site.BoundToken", **options))
    err = io.StringIO()
    call_command("oauth_token", "--scopes", "profile", "--set", assignment, stdout=io.StringIO(), stderr=err)
    assert "Send it with a proof of possession: see `oauth_explain --help`." in err.getvalue()
    row = BoundToken.objects.get()
    assert "thumbprint" in (row.dpop_jkt, *(row.cnf or {}).values())
    assert refusal("--set", "cnf={") == "--set: cnf must be JSON."


@pytest.mark.parametrize("assignment", ['cnf={"kid": "x"}', "cnf={}"])
def test_tokens_that_nobody_could_use(assignment: str, settings: Any) -> None:
    """A token that is bound to what no guard can check is not made."""
    use(settings, in_model("site.BoundToken"))
    assert "(unsupported_confirmation)" in refusal("--set", assignment)
    assert not BoundToken.objects.exists()


def test_missing_fields(settings: Any) -> None:
    """Each field that nobody fills is named, with what to write."""
    use(settings, in_model("site.TenantToken"))
    assert refusal() == "site.TenantToken has fields that this command cannot fill: add --set tenant=…."
    held = tenant.set("a")
    try:
        token = make("--set", "tenant=a")
    finally:
        tenant.reset(held)
    assert TenantToken._base_manager.get(access_token=token).tenant == "a"


def test_needed_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose tokens all have a user asks for one."""
    monkeypatch.setattr(OAuth2Token._meta.get_field("user"), "null", False)
    assert refusal() == "site.OAuth2Token has fields that this command cannot fill: add --user."


def test_needed_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column without a default that says whether a token is revoked is given."""
    monkeypatch.setattr(OAuth2Token._meta.get_field("revoked"), "default", NOT_PROVIDED)
    assert refusal() == "site.OAuth2Token has fields that this command cannot fill: add --set revoked=…."
    assert OAuth2Token.objects.get(access_token=make("--set", "revoked=False")).revoked is False


@pytest.mark.django_db(databases=["default", "other"])
def test_another_database(settings: Any) -> None:
    """The row is made where the validator looks."""
    use(settings, in_model(OAuth2Token, using="other"))
    assert OAuth2Token.objects.using("other").filter(access_token=make()).exists()


class Replicas:
    """Reads elsewhere than it writes."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"


def test_replica(settings: Any) -> None:
    """Where tokens are read from a replica, which has them later, they are not looked up at once."""
    settings.DATABASE_ROUTERS = [Replicas()]
    assert OAuth2Token.objects.using("default").filter(access_token=make()).exists()


def test_undone(settings: Any) -> None:
    """A row that the validator refuses is not kept, because nobody needs such a token."""
    use(settings, in_model("site.TenantToken"))
    assert refusal("--set", "tenant=another").startswith(
        "The row was removed: the validator refuses its token (unknown_token). "
    )
    assert TenantToken._base_manager.count() == 0
    make_user("bob", is_active=False)
    use(settings, in_model("site.OAuth2Token"))
    assert "inactive_user" in refusal("--user", "bob")
    assert OAuth2Token.objects.count() == 0


def test_details_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """The text for people goes to stderr and does not contain the token. With ``-v 0`` there is no such text."""
    make_user("alice")
    call_command("oauth_token", "--user", "alice", "--scopes", "a b", "--force-color")
    out, err = capsys.readouterr()
    assert err == (
        "Created a row of site.OAuth2Token for alice, with the scopes a b. Send it as: Authorization: Bearer …\n"
    )
    assert out.strip() not in err
    call_command("oauth_token", "-v", "0")
    assert capsys.readouterr().err == ""
    call_command("oauth_token")
    assert "for no user, with no scopes" in capsys.readouterr().err


class FailingToken(BearerTokenValidator):
    """Has a bug."""

    def validate_token(self, token: Any, scopes: Any, request: Any) -> None:
        raise LookupError(f"with {token.access_token}")


JWTS = {
    "BACKEND": "async_oauth_guard.JWTBearerTokenValidator",
    "OPTIONS": {"issuer": "https://as.example.com", "resource_server": "https://api.example.com"},
}
REFUSALS: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "no setting": (None, (), "OAUTH_GUARD must be set, because the ready-made require_oauth reads it"),
    "no validator": (
        [],
        (),
        "OAUTH_GUARD has no BearerTokenValidator, so there is no token model in which to create a row.",
    ),
    "no model": (
        [JWTS],
        (),
        "OAUTH_GUARD has no BearerTokenValidator, so there is no token model in which to create a row.",
    ),
    "no such model": ([in_model("site.Nothing")], (), "token_model must be the label of a model, got 'site.Nothing'"),
    "no such number": (
        [JWTS],
        ("--validator", "2"),
        "--validator must be the number of a validator, counted from 1: OAUTH_GUARD has 1, got 2.",
    ),
    "number zero": (
        [JWTS],
        ("--validator", "0"),
        "--validator must be the number of a validator, counted from 1: OAUTH_GUARD has 1, got 0.",
    ),
    "another kind": (
        [JWTS],
        ("--validator", "1"),
        "--validator must name a BearerTokenValidator, got JWTBearerTokenValidator, which has no token model.",
    ),
    "no user": ([in_model(OAuth2Token)], ("--user", "nobody"), "--user: there is no user with this name."),
    "no field for a user": (
        [in_model("site.Revocation")],
        ("--user", "alice"),
        "--user: site.Revocation has no field for a user.",
    ),
    "no such field": ([in_model(OAuth2Token)], ("--set", "a=b"), "--set: site.OAuth2Token has no field 'a'."),
    "no such value": (
        [in_model(OAuth2Token)],
        ("--set", "expires_at=soon"),
        "--set: expires_at: “soon” value must be an integer.",
    ),
    "a format": (
        [in_model(OAuth2Token, token_format="ours")],
        (),
        "No random token fits both site.OAuth2Token.access_token and the validator's token_format.",
    ),
    "a bug": (
        [{"BACKEND": f"{__name__}.FailingToken", "OPTIONS": {"token_model": OAuth2Token}}],
        (),
        "No row of site.OAuth2Token could be created: LookupError. Use --set to give its fields other values.",
    ),
}


@pytest.mark.parametrize(("validators", "arguments", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(validators: Any, arguments: tuple[str, ...], sentence: str, settings: Any) -> None:
    """What cannot be made is refused in one sentence, with exit status 2."""
    make_user("alice")
    settings.OAUTH_GUARD = None if validators is None else {"VALIDATORS": validators}
    assert refusal(*arguments) == sentence
    assert OAuth2Token.objects.count() == 0


@pytest.mark.parametrize("arguments", [(), ("--user", "alice")])
def test_database_that_does_not_answer(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the command queries first, its error says to start the database and shows no connection details."""

    def refuse() -> Any:
        raise OperationalError('connection failed: password "pa55-of-the-database"')

    monkeypatch.setattr(connections["default"], "cursor", refuse)
    assert refusal(*arguments) == (
        "The database 'default' cannot be queried (OperationalError): start it, correct DATABASES['default'], or run"
        " `manage.py migrate --database default`."
    )


@isolate_apps("tests.site")
@pytest.mark.parametrize("arguments", [(), ("--user", "alice"), ("--client", "app")])
def test_table_that_is_missing(arguments: tuple[str, ...], settings: Any) -> None:
    """Of the model itself, of its users or of its clients: the sentence says that it is to be migrated."""

    class Absent(Model):
        username = CharField(max_length=50)
        client_id = CharField(max_length=50)

        class Meta:
            app_label = "site"

    class AbsentToken(Model):
        access_token = CharField(max_length=50, unique=True)
        user = ForeignKey(Absent, CASCADE, null=True, related_name="+")
        client = ForeignKey(Absent, CASCADE, null=True, related_name="+")

        class Meta:
            app_label = "site"

    use(settings, in_model(AbsentToken))
    # Which of the two errors it is, databases differ in.
    assert re.fullmatch(
        r"The database 'default' cannot be queried \((Operational|Programming)Error\): start it, correct"
        r" DATABASES\['default'\], or run `manage.py migrate --database default`\.",
        refusal(*arguments),
    )


@pytest.mark.parametrize("scope", ["é", '"', "\\", "\x7f"])
def test_scopes_that_cannot_be(scope: str) -> None:
    """A scope has the characters of RFC 6749 §3.3 only: no view can ask for another."""
    assert refusal("--scopes", f"profile {scope}") == (
        f"--scopes: {scope!r} has characters that are not allowed in a scope (RFC 6749 §3.3)."
    )
    assert OAuth2Token.objects.count() == 0


def test_the_second_validator(settings: Any) -> None:
    """``--validator`` counts from 1, over all of them; without it, it is the first that has a model."""
    use(settings, JWTS, in_model(OAuth2Token), in_model(UUIDToken))
    assert OAuth2Token.objects.filter(access_token=make()).exists()
    assert UUIDToken.objects.filter(access_token=make("--validator", "3")).exists()


def test_only_while_developing(settings: Any) -> None:
    """With ``DEBUG=False`` nothing is made."""
    settings.DEBUG = False
    assert refusal() == "DEBUG must be True: oauth_token creates tokens for development only."
    assert OAuth2Token.objects.count() == 0


@pytest.mark.parametrize("seconds", ["1", "315360000"])
def test_lifetimes(seconds: str, settings: Any) -> None:
    """A lifetime is a second at least, and ten years at most."""
    # Its tokens never end, so none does meanwhile.
    use(settings, in_model(ListToken))
    assert ListToken.objects.filter(access_token=make("--expires-in", seconds)).exists()


@pytest.mark.parametrize("seconds", ["0", "-5", "1.5", "9e9", "soon", "315360001"])
def test_lifetimes_that_cannot_be(seconds: str) -> None:
    """Any other lifetime is refused, and the error says which lifetimes are valid."""
    with pytest.raises(CommandError, match="must be a whole number of seconds, at least 1 and at most ten years"):
        call_command("oauth_token", f"--expires-in={seconds}")


def test_field_without_a_value() -> None:
    """A field is given with its value."""
    with pytest.raises(CommandError, match="must be FIELD=VALUE"):
        call_command("oauth_token", "--set", "a")
