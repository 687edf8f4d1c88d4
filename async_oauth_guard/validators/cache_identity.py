"""What identifies a validator in cache keys, the same in every process."""

import hashlib
import sys
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from django.conf import settings

from ..authorization_server.cache_entries import derive_key
from ..authorization_server.jwks import StaticKeySource
from ..protocol.secrets import Secret

__all__ = [
    "digest_of",
    "has_stable_name",
    "repr_of",
    "repr_of_issuer",
    "repr_of_keys",
    "setdefault_bounded",
]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# The maximum number of results of `cache_identity()` that a validator remembers. Requests can choose these results.
_MAX_IDENTITIES = 1024


def setdefault_bounded(entries: dict[K, V], key: K, value: V) -> V:
    """Like ``dict.setdefault``, but clear ``entries`` first if there are too many.

    Use it for values that are cheap to create again. It takes no lock, because a forked child could inherit a lock that
    is held.
    """
    if len(entries) >= _MAX_IDENTITIES and key not in entries:
        entries.clear()
    return entries.setdefault(key, value)


def repr_of(value: Any) -> Any:
    """An option as a fingerprint contains it: the same in every worker."""
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return list(value) if isinstance(value, tuple) else repr(value)


def repr_of_issuer(issuer: Any) -> Any:
    """The option ``issuer`` as a fingerprint contains it."""
    return issuer if isinstance(issuer, str | None) else repr_of(issuer)


def repr_of_keys(keys: Any, jwks: Any) -> Any:
    """The option ``jwks`` as a fingerprint contains it."""
    return sorted(key.identity for key in keys.keys) if isinstance(keys, StaticKeySource) else repr_of(jwks)


def digest_of(secret: Secret[Any]) -> str:
    """A secret as a fingerprint contains it. Only a holder of ``SECRET_KEY`` can check a guess against it."""
    value = secret.reveal()
    # The order of a JWK's members has no meaning.
    text = repr(sorted(value.items(), key=repr)) if isinstance(value, Mapping) else repr(value)
    key = derive_key(Secret(settings.SECRET_KEY), b"secrets")
    return hashlib.blake2b(text.encode(), digest_size=32, key=key.reveal()).hexdigest()


def has_stable_name(value: Any) -> bool:
    """Whether `repr_of` returns the same name for ``value`` in every process, and only for ``value``."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(has_stable_name, value))
    return isinstance(value, str | None) or _is_at_its_path(value)


def _is_at_its_path(value: Any) -> bool:
    """Whether the dotted path of a class or function leads to it. A closure, lambda or partial has no such path."""
    module = getattr(value, "__module__", None)
    if module == "__main__":
        # In another process, this may be another script.
        return False
    found: Any = sys.modules.get(module)  # type: ignore[arg-type]
    for name in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is value
