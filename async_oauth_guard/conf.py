"""The setting ``OAUTH_GUARD``, one typed property a key, read when first needed."""

import difflib
import pkgutil
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from .challenges import check_parameters
from .errors import GuardError
from .hooks import attributes_of, realm_of

__all__ = ["SETTING", "GuardSettings", "Options", "RenderError", "check_option", "check_validator"]

SETTING = "OAUTH_GUARD"

# RFC 6454 §6.2, with a host as RFC 3986 §3.2.2 writes it in ASCII
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


RenderError: TypeAlias = Callable[[HttpRequest, GuardError], HttpResponse | Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class Options:
    """What a protector is configured with: see `protector.ResourceProtector`.

    Raises:
        TypeError, ValueError: one of them has a value that cannot work.
    """

    validators: Sequence[Any]
    realm: str | None
    resource: str | None
    public_origin: str | None
    compat: str | None
    set_user: bool
    cache: str | None
    render_error: RenderError | None

    def __post_init__(self) -> None:
        for name in _CHECKS:
            check_option(name, getattr(self, name))

    @property
    def as_authlib(self) -> bool:
        """Whether answers are Authlib's."""
        return self.compat is not None


class GuardSettings:
    """The values of the setting, checked.

    Each property raises ``ImproperlyConfigured``, naming the key, where its value cannot work.
    """

    OPTIONS = ("REALM", "RESOURCE", "PUBLIC_ORIGIN", "VALIDATORS", "COMPAT", "SET_USER", "CACHE", "RENDER_ERROR")
    """The keys that a protector is configured by; the others are about the site."""

    KEYS = (*OPTIONS, "UNGUARDED")

    @cached_property
    def _values(self) -> Mapping[str, Any]:
        values = getattr(settings, SETTING, None)
        if values is None:
            raise ImproperlyConfigured(f"{SETTING} is not set, and the ready-made require_oauth reads it")
        if not isinstance(values, Mapping):
            raise ImproperlyConfigured(f"{SETTING} is a dictionary, not {type(values).__name__}")
        _check_keys(SETTING, values, self.KEYS)
        return values

    def check_keys(self) -> None:
        """Raises ``ImproperlyConfigured`` for a setting that is not there, is no dictionary, or has an unknown key."""
        _ = self._values

    def options(self) -> Options:
        """All that a protector takes at once, so that a wrong one is known at first use."""
        return Options(**{key.lower(): getattr(self, key.lower()) for key in self.OPTIONS})

    @cached_property
    def realm(self) -> str | None:
        """The protection space that challenges name, where a validator has none of its own."""
        return cast("str | None", self._checked("REALM"))

    @cached_property
    def resource(self) -> str | None:
        """Who we are: a URI with a host (RFC 8707 §2)."""
        return cast("str | None", self._checked("RESOURCE"))

    @cached_property
    def public_origin(self) -> str | None:
        """The scheme and host that clients see."""
        return cast("str | None", self._checked("PUBLIC_ORIGIN"))

    @cached_property
    def compat(self) -> str | None:
        """``"authlib"`` for Authlib's answers, byte for byte."""
        return cast("str | None", self._checked("COMPAT"))

    @cached_property
    def set_user(self) -> bool:
        """Whether ``request.user`` is the token's user."""
        return cast("bool", self._checked("SET_USER", False))

    @cached_property
    def cache(self) -> str | None:
        """The alias of the Django cache that workers share what they learn by; without it each keeps its own."""
        return cast("str | None", self._checked("CACHE"))

    @cached_property
    def render_error(self) -> RenderError | None:
        """A callable, or its dotted path, that renders refusals."""
        value = self._values.get("RENDER_ERROR")
        if isinstance(value, str):
            value = _resolve(f"{SETTING}['RENDER_ERROR']", value)
        return cast("RenderError | None", self._check("RENDER_ERROR", value))

    @cached_property
    def validators(self) -> tuple[Any, ...]:
        """The validators, built from ``{"BACKEND": dotted path, "OPTIONS": keywords}``."""
        value = self._values.get("VALIDATORS", ())
        if not isinstance(value, list | tuple):
            raise ImproperlyConfigured(f"{SETTING}['VALIDATORS'] is a list of dictionaries")
        where = f"{SETTING}['VALIDATORS']"
        return tuple(_build(f"{where}[{index}]", entry, lambda: self.resource) for index, entry in enumerate(value))

    @cached_property
    def unguarded(self) -> tuple[str, ...] | None:
        """Patterns that name the routes which need no guard; ``None`` where nobody has asked which have none."""
        value = self._values.get("UNGUARDED")
        where = f"{SETTING}['UNGUARDED']"
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise ImproperlyConfigured(f"{where}: a list of patterns is wanted, not {type(value).__name__}")
        for pattern in value:
            if not isinstance(pattern, str) or not pattern:
                raise ImproperlyConfigured(f"{where}: a pattern is a string that is not empty, not {pattern!r}")
        return tuple(value)

    def _checked(self, key: str, default: Any = None) -> Any:
        return self._check(key, self._values.get(key, default))

    def _check(self, key: str, value: Any) -> Any:
        try:
            check_option(key.lower(), value)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"{SETTING}[{key!r}]: {error}") from error
        return value


def _check_keys(where: str, values: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that nobody reads, with the nearest that somebody does."""
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key).upper(), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known are {', '.join(known)}."
            raise ImproperlyConfigured(f"{where} has an unknown key {key!r}.{hint}")


def check_option(name: str, value: Any) -> None:
    """Refuse a value of an option of `Options` that cannot work.

    Raises:
        TypeError: it is of the wrong type.
        ValueError: there is something wrong within.
    """
    wanted, description, check = _CHECKS[name]
    if value is None and wanted is not bool:
        return
    if not (callable(value) if wanted is callable else isinstance(value, wanted)):
        raise TypeError(f"{name}: {description} is wanted, not {type(value).__name__}")
    if check is not None:
        check(value)


def check_validator(validator: Any, get_resource: Callable[[], str | None]) -> None:
    """Refuse what cannot serve as a token validator of a protector; ``get_resource`` tells who that is.

    Raises:
        TypeError: it is a class, or has no ``authenticate_token`` or ``TOKEN_TYPE``, or was built without our part.
        ValueError: its realm or attributes cannot stand in a challenge.
        ImproperlyConfigured: nobody has said who we are, so tokens that are meant for others would be let in.
    """
    if isinstance(validator, type) or not callable(getattr(validator, "authenticate_token", None)):
        raise TypeError(f"a token validator is wanted, not {validator!r}")
    if not isinstance(getattr(validator, "TOKEN_TYPE", None), str):
        raise TypeError(f"{type(validator).__name__} has no TOKEN_TYPE, so it serves no scheme")
    if getattr(validator, "_needs_init", False) is True and not hasattr(validator, "realm"):
        raise TypeError(f"{type(validator).__name__}.__init__() never called super().__init__()")
    check_parameters(realm_of(validator), attributes_of(validator))
    join_protector = getattr(validator, "join_protector", None)
    if join_protector is not None:
        join_protector(get_resource)


def _check_realm(value: str) -> None:
    check_parameters(value, {})


def _check_compat(value: str) -> None:
    if value != "authlib":
        raise ValueError(f"compat is 'authlib' or None, not {value!r}")


def _check_resource(value: str) -> None:
    parts = urlsplit(value)
    # RFC 8707 §2: an absolute URI without a fragment; with a host, since the requests of a site are compared with it.
    if not parts.scheme or not parts.netloc or "#" in value:
        raise ValueError(f"a URI with a host and without a fragment is wanted, not {value!r}")


def _check_alias(value: str) -> None:
    if value not in settings.CACHES:
        raise ValueError(f"there is no cache {value!r} in CACHES")


def _check_origin(value: str) -> None:
    if not _ORIGIN.fullmatch(value):
        raise ValueError(f"a scheme and a host are wanted, such as 'https://api.example.com', not {value!r}")


_CHECKS: Mapping[str, tuple[Any, str, Callable[[Any], None] | None]] = {
    "realm": (str, "a string", _check_realm),
    "resource": (str, "a string", _check_resource),
    "public_origin": (str, "a string", _check_origin),
    "compat": (str, "a string", _check_compat),
    "set_user": (bool, "True or False", None),
    "cache": (str, "the alias of a Django cache", _check_alias),
    "render_error": (callable, "a callable (request, error)", None),
}


def _resolve(where: str, path: Any) -> Any:
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: cannot import {path!r}: {error}") from error


def _build(where: str, entry: Any, get_resource: Callable[[], str | None]) -> Any:
    if not isinstance(entry, Mapping):
        raise ImproperlyConfigured(f"{where} is a dictionary with 'BACKEND' and 'OPTIONS'")
    _check_keys(where, entry, ("BACKEND", "OPTIONS"))
    if not isinstance(entry.get("BACKEND"), str):
        raise ImproperlyConfigured(f"{where}['BACKEND'] is a dotted path")
    backend = _resolve(f"{where}['BACKEND']", entry["BACKEND"])
    try:
        validator = backend(**entry.get("OPTIONS", {}))
        check_validator(validator, get_resource)
    except (TypeError, ValueError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(f"{where}['OPTIONS']: {error}") from error
    return validator
