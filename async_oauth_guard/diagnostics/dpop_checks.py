"""The system checks of protectors that check DPoP proofs."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import SETTING, Options

__all__ = ["dpop_messages"]

_APP = "async_oauth_guard"


def dpop_messages(protectors: Iterable[Any]) -> list[CheckMessage]:
    """Check how proofs are remembered (W020, W022) and compared (W021). Each message appears once.

    W020: workers do not share what they know about proofs. W021: the origin is not configured. W022: proofs may be
    forgotten.
    """
    messages = (message for options in _options_of(protectors) for message in _messages_of(options))
    return list({(message.id, message.msg): message for message in messages}.values())


def _options_of(protectors: Iterable[Any]) -> Iterator[Options]:
    for protector in protectors:
        try:
            options: Options = protector.options
        except ImproperlyConfigured:
            # check_settings reports this.
            continue
        if protector.is_used and options.dpop is not None:
            yield options


def _messages_of(options: Options) -> Iterator[CheckMessage]:
    backend = None if options.cache is None else import_string(settings.CACHES[options.cache]["BACKEND"])
    if not settings.DEBUG and (backend is None or issubclass(backend, LocMemCache)):
        yield checks.Warning(
            "A protector checks DPoP proofs, but its workers share no cache, so each worker accepts a proof that "
            "another one has accepted.",
            hint=f"Set {SETTING}['CACHE'] or cache= to a cache that all workers reach, such as Redis. Silence this "
            "check if the site has only one process.",
            id=f"{_APP}.W020",
        )
    if not settings.DEBUG and options.origin is None:
        yield checks.Warning(
            "A protector checks DPoP proofs, but does not know the address that clients see. It takes scheme and host "
            "from the request. Behind a proxy, these may differ, and then each proof is refused.",
            hint=f"Set {SETTING}['PUBLIC_ORIGIN'] or public_origin= to 'https://api.example.com', or set a resource.",
            id=f"{_APP}.W021",
        )
    if backend is not None and issubclass(backend, DatabaseCache | BaseMemcachedCache):
        yield checks.Warning(
            f"The cache {options.cache!r} of a protector that checks DPoP proofs is a {backend.__name__}, which drops "
            "entries when it is full. A proof that it has dropped can be used again.",
            hint="Use Redis with the policy noeviction.",
            id=f"{_APP}.W022",
        )
