"""The setting ``OAUTH_GUARD``: one typed property for each key, read when it is first needed."""

import difflib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import cached_property

from ..protocol.dpop import DPoP, read_dpop
from ..protocol.scopes import ImpliedScopesLike
from ..protocol.secrets import Secret
from ..validators.client_certificates import MutualTLS
from .options import Options, RenderError, check_dpop, check_option, check_validator, document_url, has_metadata

__all__ = ["SETTING", "GuardSettings"]

SETTING = "OAUTH_GUARD"


class GuardSettings:
    """The checked values of the setting.

    Each property raises ``ImproperlyConfigured`` if its value is invalid. The message names the key.
    """

    OPTIONS = (
        "REALM", "RESOURCE", "PUBLIC_ORIGIN", "VALIDATORS", "COMPAT", "SET_USER", "CACHE", "RENDER_ERROR", "DPOP",
        "MTLS", "IMPLIED_SCOPES", "METADATA",
    )  # fmt: skip
    """The keys that configure a protector. Other keys apply to the site."""

    KEYS = (*OPTIONS, "UNGUARDED")

    @cached_property
    def _values(self) -> Mapping[str, Any]:
        values = getattr(settings, SETTING, None)
        if values is None:
            raise ImproperlyConfigured(f"{SETTING} must be set, because the ready-made require_oauth reads it")
        if not isinstance(values, Mapping):
            raise ImproperlyConfigured(f"{SETTING} must be a dictionary, got {type(values).__name__}")
        _check_keys(SETTING, values, self.KEYS)
        return values

    def faults(self) -> Iterator[ImproperlyConfigured]:
        """All errors in the setting, each of them once."""
        try:
            _ = self._values
        except ImproperlyConfigured as error:
            # Every key would raise the same error.
            yield error
            return
        for name in (key.lower() for key in self.KEYS if key != "VALIDATORS"):
            try:
                getattr(self, name)
            except ImproperlyConfigured as error:
                yield error
        yield from self._faults_of_validators()

    def _faults_of_validators(self) -> Iterator[ImproperlyConfigured]:
        try:
            entries = self._entries
        except ImproperlyConfigured as error:
            yield error
            return
        for where, entry in entries:
            try:
                _build(where, entry, self._resource_of_any_form, self._has_metadata)
            except ImproperlyConfigured as error:
                yield error

    def _resource_of_any_form(self) -> str | None:
        # Validators only need to know whether there is a resource. An invalid one is reported separately.
        resource = self._values.get("RESOURCE")
        return None if resource is None else str(resource)

    def _has_metadata(self) -> bool:
        return has_metadata(self._values.get("METADATA"))

    def options(self) -> Options:
        """All options of a protector. Raises at first use if any of them is invalid."""
        options = self._read_options()
        if isinstance(options, ImproperlyConfigured):
            raise options
        return options

    def _read_options(self) -> Options | ImproperlyConfigured:
        try:
            return Options(**{key.lower(): getattr(self, key.lower()) for key in self.OPTIONS})
        except ImproperlyConfigured as error:
            # A copy without frames. Error reports show the local variables of frames, which contain client secrets.
            return ImproperlyConfigured(*error.args)

    @cached_property
    def realm(self) -> str | None:
        """The realm in challenges, for validators without a realm."""
        return cast("str | None", self._checked("REALM"))

    @cached_property
    def resource(self) -> str | None:
        """The identifier of the site's API: a URI with a host (RFC 8707 §2)."""
        return cast("str | None", self._checked("RESOURCE"))

    @cached_property
    def public_origin(self) -> str | None:
        """The scheme and host that clients see."""
        return cast("str | None", self._checked("PUBLIC_ORIGIN"))

    @cached_property
    def compat(self) -> str | None:
        """``"authlib"`` for responses that equal Authlib's, byte for byte."""
        return cast("str | None", self._checked("COMPAT"))

    @cached_property
    def set_user(self) -> bool:
        """Whether ``request.user`` becomes the token's user."""
        return cast("bool", self._checked("SET_USER", False))

    @cached_property
    def cache(self) -> str | None:
        """The alias of the Django cache that workers share. Without it, each process has its own cache."""
        return cast("str | None", self._checked("CACHE"))

    @cached_property
    def implied_scopes(self) -> ImpliedScopesLike | None:
        """For each scope, the scopes that it implies."""
        return cast("ImpliedScopesLike | None", self._checked("IMPLIED_SCOPES"))

    @cached_property
    def render_error(self) -> RenderError | None:
        """The callable that renders error responses. The setting may be its dotted path."""
        value = self._values.get("RENDER_ERROR")
        if isinstance(value, str):
            value = _resolve(f"{SETTING}['RENDER_ERROR']", value)
        return cast("RenderError | None", self._check("RENDER_ERROR", value))

    @cached_property
    def dpop(self) -> DPoP | None:
        """How DPoP proofs are checked: from ``True`` or a dictionary of the options of `DPoP`."""
        # Not the properties: their own errors are reported separately.
        value, compat, cache = map(self._values.get, ("DPOP", "COMPAT", "CACHE"))
        try:
            dpop = read_dpop(value)
            check_dpop(dpop, compat, cache)
        except (TypeError, ValueError, ImproperlyConfigured) as error:
            raise ImproperlyConfigured(f"{SETTING}['DPOP']: {error}") from error
        return dpop

    @cached_property
    def metadata(self) -> bool | Mapping[str, Any] | None:
        """Whether there is protected resource metadata; as a mapping, the members that override computed ones."""
        value = self._checked("METADATA")
        try:
            document_url(value, self._resource_of_any_form())
        except ImproperlyConfigured as error:
            raise ImproperlyConfigured(f"{SETTING}['METADATA']: {error}") from error
        return cast("bool | Mapping[str, Any] | None", value)

    @cached_property
    def mtls(self) -> MutualTLS | None:
        """Where client certificates come from. The setting is a dictionary of the options of `MutualTLS`."""
        value = self._values.get("MTLS")
        if isinstance(value, Mapping):
            value = _build_mtls(f"{SETTING}['MTLS']", value)
        return cast("MutualTLS | None", self._check("MTLS", value))

    @cached_property
    def validators(self) -> tuple[Any, ...]:
        """The validators, built from ``{"BACKEND": dotted path, "OPTIONS": keywords}``."""
        entries = self._entries
        return tuple(_build(where, entry, lambda: self.resource, self._has_metadata) for where, entry in entries)

    @property
    def _entries(self) -> list[tuple[str, Secret[Any]]]:
        """Each entry of ``VALIDATORS``, which may contain a secret, with its place in the setting for messages."""
        where, value = f"{SETTING}['VALIDATORS']", self._values.get("VALIDATORS", ())
        if not isinstance(value, list | tuple):
            raise ImproperlyConfigured(f"{where} must be a list of dictionaries, got {type(value).__name__}")
        return [(f"{where}[{index}]", Secret(entry)) for index, entry in enumerate(value)]

    @cached_property
    def unguarded(self) -> tuple[str, ...] | None:
        """Patterns for the routes that need no guard, or ``None`` if routes are not checked."""
        value = self._values.get("UNGUARDED")
        where = f"{SETTING}['UNGUARDED']"
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise ImproperlyConfigured(f"{where} must be a list of patterns, got {type(value).__name__}")
        for pattern in value:
            if not isinstance(pattern, str) or not pattern:
                raise ImproperlyConfigured(f"{where}: a pattern must be a non-empty string, got {pattern!r}")
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
    """Refuse unknown keys. The message names the nearest known key."""
    for key in values:
        if key not in known:
            near = _nearest(key, known)
            hint = f" Did you mean {near!r}?" if near else f" Known keys are {', '.join(known)}."
            raise ImproperlyConfigured(f"{where} has an unknown key {key!r}.{hint}")


def _nearest(key: Any, known: Iterable[str]) -> str | None:
    by_lower_case = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(key).lower(), by_lower_case, n=1)
    return by_lower_case[near[0]] if near else None


def _resolve(where: str, path: Any) -> Any:
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: cannot import {path!r}: {error}") from error


def _build_mtls(where: str, options: Mapping[str, Any]) -> MutualTLS:
    _check_options(where, MutualTLS, options)
    source = options["source"]
    if isinstance(source, str) and "." in source:
        source = _resolve(f"{where}['source']", source)
    try:
        return MutualTLS(**{**options, "source": source})
    except (TypeError, ValueError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error


def _build(
    where: str, entry: Secret[Any], get_resource: Callable[[], str | None], has_document: Callable[[], bool]
) -> Any:
    backend = _check_entry(where, entry)
    try:
        # If the backend raises another error, error reports must not show the options in this frame.
        validator = backend(**entry.reveal().get("OPTIONS", {}))
        check_validator(validator, get_resource, has_document)
    except (TypeError, ValueError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(f"{where}['OPTIONS']: {error}") from error
    return validator


def _check_entry(where: str, entry: Secret[Any]) -> Any:
    """Return the backend that ``entry`` names."""
    if not isinstance(entry.reveal(), Mapping):
        raise ImproperlyConfigured(
            f"{where} must be a dictionary with 'BACKEND' and 'OPTIONS', got {type(entry.reveal()).__name__}"
        )
    _check_keys(where, entry.reveal(), ("BACKEND", "OPTIONS"))
    path = entry.reveal().get("BACKEND")
    if not isinstance(path, str):
        raise ImproperlyConfigured(f"{where}['BACKEND'] must be a dotted path, got {type(path).__name__}")
    backend = _resolve(f"{where}['BACKEND']", path)
    _check_options(f"{where}['OPTIONS']", backend, entry.reveal().get("OPTIONS", {}))
    return backend


def _check_options(where: str, backend: Any, options: Any) -> None:
    """Refuse unknown and missing keys with a clearer message than Python's."""
    if not isinstance(options, Mapping):
        raise ImproperlyConfigured(f"{where} must be a dictionary, got {type(options).__name__}")
    try:
        parameters = inspect.signature(backend).parameters.values()
    except (TypeError, ValueError):
        # It is written in C, or it is not callable.
        return
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    known = [each.name for each in named]
    missing = [each.name for each in named if each.default is each.empty and each.name not in options]
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        # Any key may be valid, so only a missing key shows that a similar one is misspelt.
        _check_keys(where, {key: None for key in options if _nearest(key, missing)}, known)
    else:
        _check_keys(where, options, known)
    if missing:
        name = getattr(backend, "__name__", backend)
        raise ImproperlyConfigured(f"{where} must have the key {missing[0]!r}, which {name} requires.")
