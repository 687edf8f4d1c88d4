"""Checks the options of validators. Any other keyword becomes a challenge parameter, unless it looks like a mistake.

Each function raises `TypeError` or `ValueError` for a value that cannot be used.
"""

import difflib
import inspect
import math
import pkgutil
import re
import ssl
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, TypeVar

from ..authorization_server.jwks import KeySource, StaticKeySource
from ..authorization_server.metadata import check_url

__all__ = [
    "argument_context",
    "check_attributes",
    "check_encodable",
    "check_hashable",
    "check_key_options",
    "check_max_concurrency",
    "check_endpoint",
    "check_optional_text",
    "check_seconds",
    "check_signed_responses",
    "check_text",
    "check_timeout",
    "check_verify",
    "compile_format",
    "fixed_keys",
    "known_options",
    "resolve_http_client",
]

T = TypeVar("T")

_OPTIONS: dict[str, Collection[str]] = {}
# Seconds. A larger timeout is probably in the wrong unit.
_LONGEST_TIMEOUT = 3600
# Options that have another name in another validator.
_OTHER_NAMES: Final = {"audience": "resource_server", "resource_server": "audience"}
_SECRETS = re.compile(r"(?:.*_)?(?:\w*(?:secret|passw(?:or)?d|passphrase)\w*|keys?|tokens?|assertions?)")


def known_options(validator: type[T]) -> type[T]:
    """Register the arguments of a validator class as its options. Use it as a decorator."""
    parameters = inspect.signature(validator).parameters.values()
    _OPTIONS[validator.__name__] = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    return validator


def check_attributes(attributes: Mapping[str, Any], kind: str) -> None:
    """Refuse challenge parameters that were probably meant as options, because every client would see their values."""
    for name in attributes:
        fault = _fault_of_attribute(name, kind)
        if fault is not None:
            raise TypeError(f"{name}: {kind} has no such option{fault}")


def _fault_of_attribute(name: str, kind: str) -> str | None:
    options = _OPTIONS[kind]
    if (known_as := _OTHER_NAMES.get(name)) in options:
        return f"; use {known_as}= instead"
    others = sorted(other for other in _OPTIONS if name in _OPTIONS[other])
    if others:
        return f"; it is an option of {' and '.join(others)}"
    # A misspelt option of another validator may hold a secret too.
    near = difflib.get_close_matches(name.lower(), {*options, *chain(*_OPTIONS.values())}, n=1, cutoff=0.8)
    if near:
        return f"; did you mean {near[0]!r}?"
    if _SECRETS.fullmatch(name.lower().replace("-", "_")):
        return ", and every client would see it as a parameter of the challenge"
    return None


@contextmanager
def argument_context(argument: str) -> Iterator[None]:
    """Put the name of an argument in front of the message of an error."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{argument}: {error}") from None


def check_text(**texts: Any) -> None:
    """Refuse values that are not strings or that are empty."""
    for name, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string, got {type(value).__name__}")
        if value == "":
            raise ValueError(f"{name} must not be empty")


def check_optional_text(**texts: Any) -> None:
    """The same, but ``None`` is allowed."""
    check_text(**{name: value for name, value in texts.items() if value is not None})


def check_encodable(**texts: Any) -> None:
    """Refuse strings that cannot be sent. The message does not show the string, because it may be a secret."""
    for name, value in texts.items():
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"{name} must not contain half of a surrogate pair, because that cannot be sent")


def check_seconds(**seconds: Any) -> None:
    """Refuse values that are not a number of seconds."""
    for name, value in seconds.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number of seconds, got {type(value).__name__}")
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} must be a number of seconds, 0 or more, got {value}")


def check_timeout(timeout: Any) -> None:
    """Refuse a timeout that is not a positive number of seconds, or is longer than an hour."""
    check_seconds(timeout=timeout)
    if timeout == 0:
        raise ValueError("timeout must be more than 0 seconds")
    if timeout > _LONGEST_TIMEOUT:
        raise ValueError(f"timeout must be at most {_LONGEST_TIMEOUT} seconds, got {timeout}")


def check_max_concurrency(max_concurrency: Any) -> None:
    """Refuse a limit that is not a whole number of requests."""
    if type(max_concurrency) is not int or max_concurrency < 1:
        raise ValueError(f"max_concurrency must be a whole number, 1 or more, got {max_concurrency!r}")


def compile_format(token_format: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    """The compiled pattern that the whole token must match, or ``None``."""
    try:
        return None if token_format is None else re.compile(token_format)
    except re.error as error:
        raise ValueError(f"token_format must be a valid regular expression: {error}") from error
    except TypeError:
        raise TypeError(f"token_format must be a regular expression, got {type(token_format).__name__}") from None


def check_hashable(name: str, value: Any) -> None:
    """Refuse a callable that cannot be a dictionary key."""
    if not isinstance(value, Hashable):
        raise TypeError(f"{name} must be hashable, got {type(value).__name__}")


def resolve_http_client(http_client: Any) -> Callable[[], Any] | None:
    """The factory of the option ``http_client``, imported if it is a dotted path."""
    if isinstance(http_client, str):
        try:
            http_client = pkgutil.resolve_name(http_client)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"http_client: cannot import {http_client!r}: {error}") from error
    if http_client is not None and not callable(http_client):
        raise TypeError(
            "http_client must be a callable that returns an httpx.AsyncClient, or its dotted path, "
            f"got {type(http_client).__name__}"
        )
    # Requests with equal options share a client.
    check_hashable("http_client", http_client)
    factory: Callable[[], Any] | None = http_client
    return factory


def check_verify(verify: Any) -> str | ssl.SSLContext | None:
    if isinstance(verify, str):
        try:
            ssl.create_default_context(cafile=verify)
        except OSError as error:
            raise ValueError(f"verify must be a file of CA certificates, got {verify!r}: {error}") from error
    if verify is None or isinstance(verify, str | ssl.SSLContext):
        return verify
    raise TypeError(f"verify must be a file of CA certificates or an ssl.SSLContext, got {type(verify).__name__}")


def fixed_keys(jwks: Any, algorithms: Collection[str]) -> StaticKeySource:
    if isinstance(jwks, str) and jwks.startswith(("https://", "http://")):
        raise TypeError("jwks must be the keys themselves; pass a URL as jwks_uri=")
    with argument_context("jwks"):
        return StaticKeySource(jwks, algorithms)


def check_key_options(keys: KeySource | None, jwks: Any, jwks_uri: str | None) -> None:
    """Refuse two sources of keys, and a key set in which no key can verify a signature."""
    if jwks is not None and jwks_uri is not None:
        raise ValueError("jwks and jwks_uri must not both be given")
    if isinstance(keys, StaticKeySource) and not keys.keys:
        raise ValueError("jwks must contain a key that can verify a signature")


def check_endpoint(url: Any, allow_insecure_http: bool) -> None:
    """Refuse a URL that cannot be an introspection endpoint."""
    try:
        with argument_context("introspection_endpoint"):
            check_url(url, allow_insecure_http)
    except ValueError as error:
        if not isinstance(url, str) or "://" in url:
            raise
        raise ValueError(f"{error} (Authlib's first argument, the realm, is realm= here)") from None


def check_signed_responses(signed: Any, keys: tuple[Any, Any], issuer: Any, client_id: Any, audience: Any) -> None:
    """Refuse options for signed responses (RFC 9701) that cannot work together. ``keys`` are two options."""
    if signed is None:
        if keys != (None, None):
            raise ValueError("signed_responses must be 'accepted' or 'required' if jwks or jwks_uri is given")
        return
    if signed not in ("accepted", "required"):
        raise ValueError("signed_responses must be 'accepted', 'required' or None")
    if issuer is None:
        raise ValueError("issuer must be given for signed_responses, because it signs the responses")
    if client_id is None and audience is None:
        raise ValueError(
            "client_id or audience must be given for signed_responses, because responses are issued for one of them"
        )
