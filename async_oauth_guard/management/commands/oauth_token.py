"""The command ``oauth_token``: creates a token for development, in the site's own token model."""

import json
import secrets
import time
import uuid
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError, router, transaction
from django.db.models import NOT_PROVIDED, DateTimeField, ForeignKey, JSONField, Model
from django.utils import timezone

from ...diagnostics.explain import explain
from ...errors import Reason
from ...guard.mixins import require_oauth
from ...guard.protector import ResourceProtector
from ...protocol.attributes import read_confirmation
from ...protocol.scopes import parse_scopes
from ...protocol.secrets import Secret
from ...runtime.effects import OUTAGES
from ...validators.database import BearerTokenValidator
from ...validators.token_lookup import lookup_key
from ..reporting import cannot_look, printing

__all__ = ["Command"]

# Seconds.
_LIFETIME = 3600
_LONGEST_LIFETIME = 315_360_000
_CLIENT = "development"

_AS_BEARER = "as: Authorization: Bearer …"
_CLIENTS = ("application", "client")


class Command(BaseCommand):
    help = (
        "Creates a token for development: a row in the token model of a BearerTokenValidator in OAUTH_GUARD. Prints"
        " only the token to standard output, for use as in TOKEN=$(manage.py oauth_token --user alice). Works only with"
        " DEBUG=True."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", metavar="NAME", help="The user of the token. Default: none")
        parser.add_argument(
            "--scopes", default="", metavar='"A B"', help="The scopes of the token, separated by spaces. Default: none"
        )
        parser.add_argument(
            "--expires-in",
            type=_seconds,
            default=_LIFETIME,
            metavar="SECONDS",
            help="The lifetime. Default: %(default)s",
        )
        parser.add_argument("--client", metavar="ID", help=f"The client_id of the token's client. Default: {_CLIENT}")
        parser.add_argument(
            "--validator",
            type=int,
            metavar="N",
            help="Which entry of OAUTH_GUARD['VALIDATORS'] to use, counted from 1.",
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            type=_assignment,
            metavar="FIELD=VALUE",
            help="The value of another field of the model. May be repeated.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the row, check that the validator accepts its token, and print the token."""
        if not settings.DEBUG:
            raise cannot_look("DEBUG must be True: oauth_token creates tokens for development only.")
        # The row is created inside this block, so that no row is left if nothing can be printed.
        with printing(self.stdout):
            try:
                row = _Row(_validator(options["validator"]), options)
                token = row.make()
            except ImproperlyConfigured as error:
                raise cannot_look(str(error)) from error
            if options["verbosity"]:
                # Django styles standard error as errors; this line is no error.
                self.stderr.write(row.description, style_func=str)
            self.stdout.write(token.reveal())


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError("must be FIELD=VALUE")
    return name, value


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _LONGEST_LIFETIME:
        raise ArgumentTypeError("must be a whole number of seconds, at least 1 and at most ten years")
    return int(text)


def _read_scopes(text: str) -> str:
    scopes = " ".join(text.split())
    try:
        # parse_scopes() takes None for no scopes at all; a token may have none.
        parse_scopes(scopes or None)
    except ValueError as error:
        raise cannot_look(f"--{error}.") from error
    return scopes


def _validator(number: int | None) -> BearerTokenValidator:
    """Return the validator in whose model the row is created."""
    validators = require_oauth.validators
    if number is None:
        found = next((each for each in validators if isinstance(each, BearerTokenValidator)), None)
        if found is None:
            raise cannot_look(
                "OAUTH_GUARD has no BearerTokenValidator, so there is no token model in which to create a row."
            )
        return found
    if not 1 <= number <= len(validators):
        raise cannot_look(
            f"--validator must be the number of a validator, counted from 1: OAUTH_GUARD has {len(validators)}, got"
            f" {number}."
        )
    chosen = validators[number - 1]
    if not isinstance(chosen, BearerTokenValidator):
        raise cannot_look(
            f"--validator must name a BearerTokenValidator, got {type(chosen).__name__}, which has no token model."
        )
    return chosen


class _Row:
    """A row to create. It is removed again if the validator does not accept its token."""

    def __init__(self, validator: BearerTokenValidator, options: Mapping[str, Any]) -> None:
        self._validator = validator
        self._options = options
        self._model = validator.token_model
        self._label = self._model._meta.label
        concrete = self._model._meta.concrete_fields
        self._fields: dict[str, Any] = {field.name: field for field in concrete if not field.primary_key}
        self._scopes = _read_scopes(options["scopes"])
        self._is_bound = False

    @property
    def description(self) -> str:
        """What was created, for people."""
        who = self._options["user"] or "no user"
        what = f"the scopes {self._scopes}" if self._scopes else "no scopes"
        how = "with a proof of possession: see `oauth_explain --help`." if self._is_bound else _AS_BEARER
        return f"Created a row of {self._label} for {who}, with {what}. Send it {how}"

    def make(self) -> Secret[str]:
        """Create the row and return its token.

        Raises:
            CommandError: no row could be created; nothing is left in the database.
        """
        token = self._invent()
        values = {**self._token(token), **self._scope(), **self._expiry(), **self._user(), **self._client()}
        values = {name: value for name, value in values.items() if name in self._fields} | self._given()
        missing = [field.name for field in self._fields.values() if _is_missing(field, values)]
        if missing:
            raise cannot_look(
                f"{self._label} has fields that this command cannot fill: add {' and '.join(map(_hint, missing))}."
            )
        try:
            self._save(values, token)
        except CommandError:
            raise
        except Exception as error:
            # Report only the class: the message may contain the token.
            failure = type(error).__name__
        else:
            return token
        raise cannot_look(
            f"No row of {self._label} could be created: {failure}. Use --set to give its fields other values."
        )

    def _save(self, values: Mapping[str, Any], token: Secret[str]) -> None:
        read_from: Any = self._validator.rows.ask_for(Secret("")).queryset
        alias = read_from._db or router.db_for_write(self._model)
        with _asking(alias):
            row = self._model(**values)
            row.save(using=alias)
            # A replica gets the row later.
            if read_from.db == alias:
                self._check(token, row)

    def _check(self, token: Secret[str], row: Any) -> None:
        header = Secret(f"{self._validator.TOKEN_TYPE} {token.reveal()}")
        explanation = explain(ResourceProtector(self._validator), header)
        # A bound token is valid: nobody has proved possession here.
        is_bound = read_confirmation(row, self._validator._thumbprint_field) is not None
        self._is_bound = is_bound and explanation.reason is Reason.SENDER_CONSTRAINED
        if explanation.outcome != "accepted" and not self._is_bound:
            raise cannot_look(
                f"The row was removed: the validator refuses its token ({explanation.reason}). {explanation.remedy}"
            )

    # --- values of the fields ---

    def _invent(self) -> Secret[str]:
        """Return a random token that fits the column and the validator's token_format."""
        column = self._validator.column
        for invent in _INVENTIONS:
            token = Secret(invent())
            if self._validator.recognises(token.reveal()) and lookup_key(token, column) is not None:
                return token
        raise cannot_look(
            f"No random token fits both {self._label}.{column.field.name} and the validator's token_format."
        )

    def _token(self, token: Secret[str]) -> dict[str, Any]:
        column = self._validator.column
        key = lookup_key(token, column)
        # Some tables hold the token itself in addition to its digest, and some compute the digest from the token.
        plain = {} if column.digest is None else {"access_token": token.reveal(), "token": token.reveal()}
        return {**plain, column.field.name: None if key is None else key.reveal()}

    def _scope(self) -> dict[str, Any]:
        as_list, text = self._scopes.split(), self._scopes
        return {
            name: as_list if isinstance(self._fields.get(name), JSONField) else text for name in ("scope", "scopes")
        }

    def _expiry(self) -> dict[str, Any]:
        now, lifetime = time.time(), self._options["expires_in"]
        moments = {"issued_at": now, "expires_at": now + lifetime, "expires": now + lifetime}
        return {"expires_in": lifetime, **{name: self._moment(name, moments[name]) for name in moments}}

    def _moment(self, name: str, seconds: float) -> Any:
        if not isinstance(self._fields.get(name), DateTimeField):
            return int(seconds)
        moment = datetime.fromtimestamp(seconds, UTC)
        return moment if settings.USE_TZ else timezone.make_naive(moment)

    def _user(self) -> dict[str, Any]:
        name, field = self._options["user"], self._fields.get("user")
        if name is None:
            return {}
        model: Any = field.remote_field.model if isinstance(field, ForeignKey) else get_user_model()
        user = _first(model, getattr(model, "USERNAME_FIELD", "username"), name)
        if user is None:
            raise cannot_look("--user: there is no user with this name.")
        if not self._fields.keys() & {"user", "user_id"}:
            raise cannot_look(f"--user: {self._label} has no field for a user.")
        return {"user": user, "user_id": user.pk}

    def _client(self) -> dict[str, Any]:
        client_id = self._options["client"]
        related = [name for name in _CLIENTS if isinstance(self._fields.get(name), ForeignKey)]
        if client_id is None or not related:
            return {"client_id": client_id or _CLIENT}
        model = self._fields[related[0]].remote_field.model
        client = _first(model, "client_id", client_id)
        if client is None:
            raise cannot_look(f"--client: there is no {model._meta.label} with this client_id.")
        return {"client_id": client_id, related[0]: client}

    def _given(self) -> dict[str, Any]:
        """The values from ``--set``; a related row is given by its key."""
        fields = self._fields | {field.attname: field for field in self._fields.values()}
        given = {}
        for name, text in self._options["set"]:
            if name not in fields:
                raise cannot_look(f"--set: {self._label} has no field {name!r}.")
            try:
                given[fields[name].attname] = _read_value(fields[name], text)
            except ValidationError as error:
                raise cannot_look(f"--set: {name}: {' '.join(error.messages)}") from error
        return given


def _read_value(field: Any, text: str) -> Any:
    if not isinstance(field, JSONField):
        return field.to_python(text)
    try:
        return json.loads(text)
    except ValueError:
        raise cannot_look(f"--set: {field.name} must be JSON.") from None


def _first(model: type[Model], field: str, value: str) -> Model | None:
    found = model._default_manager.filter(**{field: value})
    with _asking(found.db):
        return found.first()


@contextmanager
def _asking(alias: str) -> Iterator[None]:
    """Run database work in one transaction.

    Raises:
        CommandError: the database does not respond, or lacks a table or column.
    """
    try:
        with transaction.atomic(using=alias):
            yield
    except (*OUTAGES, ProgrammingError) as error:
        # Report only the class: the message may contain the token or the connection parameters.
        failure = type(error).__name__
    else:
        return
    raise cannot_look(
        f"The database {alias!r} cannot be queried ({failure}): start it, correct DATABASES[{alias!r}], or run"
        f" `manage.py migrate --database {alias}`."
    )


_INVENTIONS: tuple[Callable[[], str], ...] = (
    lambda: secrets.token_urlsafe(32),
    lambda: secrets.token_hex(20),
    lambda: str(uuid.uuid4()),
    # For a column of numbers.
    lambda: str(secrets.randbelow(2**63)),
)
"""Makers of random tokens in several forms, the strongest first."""


def _is_missing(field: Any, values: Mapping[str, Any]) -> bool:
    """Whether the field needs a value and ``values`` has none for it."""
    if field.name in values or field.attname in values:
        return False
    fills_itself = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False) or field.generated
    has_default = field.has_default() or field.db_default is not NOT_PROVIDED
    may_be_empty = field.null or (field.blank and field.empty_strings_allowed)
    return not (fills_itself or has_default or may_be_empty)


def _hint(name: str) -> str:
    if name == "user":
        return "--user"
    return "--client" if name in _CLIENTS else f"--set {name}=…"
