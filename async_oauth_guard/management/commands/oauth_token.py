"""The command ``oauth_token``: a token for development, in the site's own token model."""

import secrets
import time
import uuid
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db import ProgrammingError, connections, router, transaction
from django.db.models import NOT_PROVIDED, BooleanField, DateTimeField, ForeignKey, JSONField, Model
from django.utils import timezone

from ...credentials import Secret
from ...effects import OUTAGES
from ...explanation import explain
from ...flows.database import lookup_key
from ...protector import ResourceProtector
from ...scopes import parse_scopes
from ...validators.model import BearerTokenValidator
from ...views import require_oauth
from ..reporting import cannot_look, printing

__all__ = ["Command"]

# Seconds.
_LIFETIME = 3600
_LONGEST_LIFETIME = 315_360_000
_CLIENT = "development"

# By which names models have what a token needs; the first that a model has is filled.
_TOKENS = ("access_token", "token")
_CLIENTS = ("application", "client")

_Answer = TypeVar("_Answer")


class Command(BaseCommand):
    """See ``help``."""

    help = (
        "Make a token for development: a row of the model in which a BearerTokenValidator of OAUTH_GUARD looks."
        " The token alone is printed, so that TOKEN=$(manage.py oauth_token --user alice) holds it. Refuses unless"
        " DEBUG is on."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """The arguments."""
        parser.add_argument("--user", metavar="NAME", help="For whom it speaks. Default: nobody")
        parser.add_argument("--scopes", default="", metavar='"A B"', help="Its scopes, separated by spaces.")
        parser.add_argument(
            "--expires-in", type=_seconds, default=_LIFETIME, metavar="SECONDS", help="Default: %(default)s seconds"
        )
        parser.add_argument("--client", metavar="ID", help=f"The client that it was issued to. Default: {_CLIENT}")
        parser.add_argument(
            "--validator", type=int, metavar="N", help="Which of OAUTH_GUARD['VALIDATORS'], counted from 1."
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            type=_assignment,
            metavar="FIELD=VALUE",
            help="What another field of the model holds. May be given again.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the row, see that the guard takes its token, and print that."""
        if not settings.DEBUG:
            raise cannot_look("DEBUG is off: tokens for development are made with DEBUG=True only.")
        # All of it within: where nothing can be printed, no row is made.
        with printing(self.stdout):
            try:
                validator = _validator(options["validator"])
                maker = _Maker(validator, options)
                token = maker.make()
            except ImproperlyConfigured as error:
                raise cannot_look(str(error)) from error
            if options["verbosity"]:
                # Not in the colour of errors.
                self.stderr.write(maker.description, style_func=str)
            self.stdout.write(token.reveal())


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError("FIELD=VALUE is wanted")
    return name, value


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _LONGEST_LIFETIME:
        raise ArgumentTypeError("a number of seconds is wanted, of ten years at most")
    return int(text)


def _read_scopes(text: str) -> str:
    """Scopes as a token names them.

    Raises:
        CommandError: a character among them is none of a scope's.
    """
    scopes = " ".join(text.split())
    try:
        # None at all are no requirement, but a token may have none.
        parse_scopes(scopes or None)
    except ValueError as error:
        raise cannot_look(f"--{error}.") from error
    return scopes


def _validator(number: int | None) -> BearerTokenValidator:
    """The validator in whose model the row is to be.

    Raises:
        CommandError: there is none.
    """
    validators = require_oauth.validators
    if number is None:
        found = next((each for each in validators if isinstance(each, BearerTokenValidator)), None)
        if found is None:
            raise cannot_look("OAUTH_GUARD has no BearerTokenValidator, so there is no token model to make a row in.")
        return found
    if not 1 <= number <= len(validators):
        raise cannot_look(f"--validator: OAUTH_GUARD has {len(validators)} of them, counted from 1.")
    chosen = validators[number - 1]
    if not isinstance(chosen, BearerTokenValidator):
        raise cannot_look(f"--validator: {type(chosen).__name__} has no token model; a BearerTokenValidator is wanted.")
    return chosen


class _Maker:
    """Makes one row, and sees that the validator finds it good."""

    def __init__(self, validator: BearerTokenValidator, options: Mapping[str, Any]) -> None:
        self._validator = validator
        self._options = options
        self._model = validator.token_model
        self._fields: dict[str, Any] = {
            field.name: field for field in self._model._meta.concrete_fields if not field.primary_key
        }
        self._column = validator.column
        self._scopes = _read_scopes(options["scopes"])
        self.description = (
            f"A row of {self._model._meta.label}, for {options['user'] or 'nobody'}, with"
            f" {f'the scopes {self._scopes}' if self._scopes else 'no scopes'}. To be sent as: Authorization: Bearer …"
        )

    def make(self) -> Secret[str]:
        """The token of a new row.

        Raises:
            CommandError: there is none, and nothing is left behind.
        """
        token = self._invent()
        values = {**self._values(token), **self._given()}
        missing = [field.name for field in self._fields.values() if _is_missing(field, values)]
        if missing:
            raise cannot_look(
                f"{self._model._meta.label} needs more than is known here: give {' and '.join(map(_hint, missing))}."
            )
        try:
            self._save(values, token)
        except CommandError:
            raise
        except Exception as error:
            # By its class alone: the message may have the token.
            failure = type(error).__name__
        else:
            return token
        raise cannot_look(
            f"No row of {self._model._meta.label} could be made: {failure}. --set gives its fields values."
        )

    def _save(self, values: Mapping[str, Any], token: Secret[str]) -> None:
        read_from: Any = self._validator.rows.ask_for(Secret("")).queryset
        alias = read_from._db or router.db_for_write(self._model)

        def save() -> None:
            self._model(**values).save(using=alias)
            # A replica has it later.
            if read_from.db == alias:
                self._check(token)

        _ask(alias, save)

    def _check(self, token: Secret[str]) -> None:
        """Ask the validator alone, as a guard would: what it refuses is of no use, and is not kept."""
        header = Secret(f"{self._validator.TOKEN_TYPE} {token.reveal()}")
        explanation = explain(ResourceProtector(self._validator), header)
        if explanation.verdict != "accepted":
            raise cannot_look(
                f"The row was undone: the validator says {explanation.reason} of its token. {explanation.remedy}"
            )

    def _invent(self) -> Secret[str]:
        """A random token that the column can hold, and that the validator takes."""
        for invent in _INVENTIONS:
            token = Secret(invent())
            if self._validator.recognises(token.reveal()) and lookup_key(token, self._column) is not None:
                return token
        raise cannot_look(
            f"No token of ours fits {self._model._meta.label}.{self._column.field.name} and the token_format."
        )

    def _values(self, token: Secret[str]) -> dict[str, Any]:
        values = {**self._token_values(token), **self._common_values()}
        return {name: value for name, value in values.items() if name in self._fields}

    def _token_values(self, token: Secret[str]) -> dict[str, Any]:
        column = self._column
        key = lookup_key(token, column)
        values = {column.field.name: None if key is None else key.reveal()}
        if column.digest is not None:
            # Some tables have the token itself beside its digest, and some compute the one from the other.
            values.update({name: token.reveal() for name in _TOKENS if name != column.field.name})
        return values

    def _common_values(self) -> dict[str, Any]:
        now, seconds = time.time(), self._options["expires_in"]
        values: dict[str, Any] = {
            "revoked": False,
            "token_type": "Bearer",
            "issued_at": self._moment("issued_at", now),
            "expires_in": seconds,
            "expires_at": self._moment("expires_at", now + seconds),
            "expires": self._moment("expires", now + seconds),
        }
        if not isinstance(self._fields.get("revoked"), BooleanField):
            del values["revoked"]
        for name in ("scope", "scopes"):
            values[name] = self._scopes.split() if isinstance(self._fields.get(name), JSONField) else self._scopes
        if self._options["user"] is not None:
            values.update(self._user_values(self._options["user"]))
        values.update(self._client_values(self._options["client"]))
        return values

    def _moment(self, name: str, seconds: float) -> Any:
        if isinstance(self._fields.get(name), DateTimeField):
            moment = datetime.fromtimestamp(seconds, UTC)
            return moment if settings.USE_TZ else timezone.make_naive(moment)
        return int(seconds)

    def _user_values(self, name: str) -> dict[str, Any]:
        field = self._fields.get("user")
        model: Any = field.remote_field.model if isinstance(field, ForeignKey) else get_user_model()
        user = _first(model, getattr(model, "USERNAME_FIELD", "username"), name)
        if user is None:
            raise cannot_look("--user: there is no user of this name.")
        if field is not None:
            return {"user": user}
        if "user_id" in self._fields:
            return {"user_id": user.pk}
        raise cannot_look(f"--user: {self._model._meta.label} has no field for a user.")

    def _client_values(self, client_id: str | None) -> dict[str, Any]:
        for name in _CLIENTS:
            field = self._fields.get(name)
            if isinstance(field, ForeignKey) and client_id is not None:
                return {"client_id": client_id, name: self._client(field, client_id)}
        return {"client_id": client_id or _CLIENT}

    def _client(self, field: Any, client_id: str) -> Model:
        model = field.remote_field.model
        client = _first(model, "client_id", client_id)
        if client is None:
            raise cannot_look(f"--client: there is no {model._meta.label} with this client_id.")
        return client

    def _given(self) -> dict[str, Any]:
        """What ``--set`` gives; a related row by its key."""
        fields = self._fields | {field.attname: field for field in self._fields.values()}
        given = {}
        for name, text in self._options["set"]:
            if name not in fields:
                raise cannot_look(f"--set: {self._model._meta.label} has no field {name!r}.")
            try:
                given[fields[name].attname] = fields[name].to_python(text)
            except ValidationError as error:
                raise cannot_look(f"--set: {name}: {' '.join(error.messages)}") from error
        return given


def _first(model: type[Model], field: str, value: str) -> Model | None:
    found = model._default_manager.filter(**{field: value})
    return _ask(found.db, found.first)


def _ask(alias: str, question: Callable[[], _Answer]) -> _Answer:
    """What a database answers; all of a question, or nothing, takes place there.

    Raises:
        CommandError: it does not answer, or lacks a table.
    """
    try:
        with transaction.atomic(using=alias):
            return question()
    except (*OUTAGES, ProgrammingError) as error:
        # By its class alone: the message may have the token, or how the database is reached.
        failure = type(error).__name__
    raise cannot_look(_remedy(alias, failure))


def _remedy(alias: str, failure: str) -> str:
    try:
        connections[alias].introspection.table_names()
    except DatabaseError:
        return f"The database {alias!r} does not answer ({failure}): start it, or correct DATABASES[{alias!r}]."
    return (
        f"The database {alias!r} answers, but not to this ({failure}): a table or column may be missing, so run"
        f" `manage.py migrate --database {alias}`."
    )


_INVENTIONS: tuple[Callable[[], str], ...] = (
    lambda: secrets.token_urlsafe(32),
    lambda: secrets.token_hex(32),
    lambda: secrets.token_hex(20),
    lambda: secrets.token_urlsafe(16),
    lambda: str(uuid.uuid4()),
    # All that a column of numbers can hold.
    lambda: str(secrets.randbelow(2**63)),
)
"""Random tokens of several forms, the best first."""


def _is_missing(field: Any, values: Mapping[str, Any]) -> bool:
    """Whether a row needs a value there, and nobody gives one."""
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
