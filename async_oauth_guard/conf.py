"""The setting ``OAUTH_GUARD``, one typed property a key, read when first needed."""

import difflib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from .challenges import check_parameters
from .errors import GuardError

__all__ = ["SETTING", "GuardSettings", "Options", "RenderError", "check_compat", "check_origin", "check_resource"]

SETTING = "OAUTH_GUARD"


RenderError: TypeAlias = Callable[[HttpRequest, GuardError], HttpResponse]


@dataclass(frozen=True, slots=True)
class Options:
    """What a protector is configured with: see `protector.ResourceProtector`."""

    validators: Sequence[Any]
    realm: str | None
    resource: str | None
    public_origin: str | None
    compat: str | None
    set_user: bool
    render_error: RenderError | None


class GuardSettings:
    """The values of the setting, checked.

    Each property raises ``ImproperlyConfigured``, naming the key, where its value cannot work.
    """

    KEYS = ("REALM", "RESOURCE", "PUBLIC_ORIGIN", "VALIDATORS", "COMPAT", "SET_USER", "RENDER_ERROR")

    @cached_property
    def _values(self) -> Mapping[str, Any]:
        values = getattr(settings, SETTING, None)
        if values is None:
            raise ImproperlyConfigured(f"{SETTING} is not set, and the ready-made require_oauth reads it")
        if not isinstance(values, Mapping):
            raise ImproperlyConfigured(f"{SETTING} is a dictionary, not {type(values).__name__}")
        check_keys(SETTING, values, self.KEYS)
        return values

    def options(self) -> Options:
        """All of them at once, so that a wrong one is known at first use."""
        return Options(**{key.lower(): getattr(self, key.lower()) for key in self.KEYS})

    @cached_property
    def realm(self) -> str | None:
        """The protection space that challenges name, where a validator has none of its own."""
        return self._checked("REALM", lambda realm: check_parameters(realm, {}))

    @cached_property
    def resource(self) -> str | None:
        """Who we are: an absolute URI (RFC 8707 §2)."""
        return self._checked("RESOURCE", check_resource)

    @cached_property
    def public_origin(self) -> str | None:
        """The scheme and host that clients see."""
        return self._checked("PUBLIC_ORIGIN", check_origin)

    @cached_property
    def compat(self) -> str | None:
        """``"authlib"`` for Authlib's answers, byte for byte."""
        return self._checked("COMPAT", check_compat)

    @cached_property
    def set_user(self) -> bool:
        """Whether ``request.user`` is the token's user."""
        value = self._values.get("SET_USER", False)
        if not isinstance(value, bool):
            raise ImproperlyConfigured(f"{SETTING}['SET_USER'] is True or False, not {type(value).__name__}")
        return value

    @cached_property
    def render_error(self) -> Callable[..., Any] | None:
        """A callable, or its dotted path, that renders refusals."""
        value = self._values.get("RENDER_ERROR")
        rendering = _resolve(f"{SETTING}['RENDER_ERROR']", value) if isinstance(value, str) else value
        if rendering is not None and not callable(rendering):
            raise ImproperlyConfigured(f"{SETTING}['RENDER_ERROR'] is a callable or its dotted path")
        return rendering

    @cached_property
    def validators(self) -> tuple[Any, ...]:
        """The validators, built from ``{"BACKEND": dotted path, "OPTIONS": keywords}``."""
        value = self._values.get("VALIDATORS", ())
        if not isinstance(value, list | tuple):
            raise ImproperlyConfigured(f"{SETTING}['VALIDATORS'] is a list of dictionaries")
        return tuple(_build(f"{SETTING}['VALIDATORS'][{index}]", entry) for index, entry in enumerate(value))

    def _checked(self, key: str, check: Callable[[str], object]) -> str | None:
        value: Any = self._values.get(key)
        if value is None:
            return None
        try:
            if not isinstance(value, str):
                raise TypeError(f"a string is wanted, not {type(value).__name__}")
            check(value)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"{SETTING}[{key!r}]: {error}") from error
        return str(value)


def check_keys(where: str, values: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that nobody reads, with the nearest that somebody does."""
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key).upper(), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known are {', '.join(known)}."
            raise ImproperlyConfigured(f"{where} has an unknown key {key!r}.{hint}")


def check_compat(value: str | None) -> None:
    """Raises ``ValueError`` for a way of answering that there is not."""
    if value not in (None, "authlib"):
        raise ValueError(f"compat is 'authlib' or None, not {value!r}")


def check_resource(value: str) -> None:
    """Raises ``ValueError`` unless it is an absolute URI without a fragment (RFC 8707 §2)."""
    parts = urlsplit(value)
    if not parts.scheme or not parts.netloc or "#" in value:
        raise ValueError(f"an absolute URI without a fragment is wanted, not {value!r}")


def check_origin(value: str) -> None:
    """Raises ``ValueError`` unless it is a scheme and a host, with a port or not (RFC 6454 §6.2)."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"a scheme and a host are wanted, such as 'https://api.example.com', not {value!r}")


def _resolve(where: str, path: Any) -> Any:
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: cannot import {path!r}: {error}") from error


def _build(where: str, entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        raise ImproperlyConfigured(f"{where} is a dictionary with 'BACKEND' and 'OPTIONS'")
    check_keys(where, entry, ("BACKEND", "OPTIONS"))
    if not isinstance(entry.get("BACKEND"), str):
        raise ImproperlyConfigured(f"{where}['BACKEND'] is a dotted path")
    backend = _resolve(f"{where}['BACKEND']", entry["BACKEND"])
    try:
        return backend(**entry.get("OPTIONS", {}))
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}['OPTIONS']: {error}") from error
