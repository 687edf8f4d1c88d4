"""What validators of tokens have in common that an authorization server vouches for."""

import difflib
import hashlib
import json
import math
import pkgutil
import random
import re
import ssl
import time
import uuid
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import cached_property

from ..credentials import Secret
from ..effects import ClientOptions, Flow, Gate
from ..flows.authorization import Inquiry
from ..flows.backoff import Backoff
from ..flows.caching import Vault, derive_key
from ..flows.clock import Clock
from ..flows.discovery import Server, check_url
from ..flows.keysets import FixedKeys, KeySource
from ..flows.users import UserLookup, call_for_user_flow, find_user_flow
from ..hooks import hook
from ..profiles import Profile, is_client_token
from .base import TokenValidator
from .row_source import RowSource

__all__ = [
    "CLOCK",
    "FROM_PROTECTOR",
    "Audience",
    "RemoteTokenValidator",
    "check_encodable",
    "check_hashable",
    "check_lifetimes",
    "check_text",
    "digest_of",
    "fixed_keys",
    "keep",
    "naming",
    "repr_of",
    "repr_of_keys",
]


class _FromProtector:
    def __repr__(self) -> str:
        return "<the protector's resource>"


FROM_PROTECTOR: Final = _FromProtector()
"""Stands for an audience that was left out: it is the ``resource`` of the protector that asks."""

Audience = str | Collection[str] | _FromProtector | None

CLOCK = Clock(time.time, time.monotonic, random.random)
"""The one clock of all validators."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Seconds. What is larger is a slip of units.
_LONGEST_TIMEOUT = 3600
# What `cache_identity()` may tell apart at a time: it is named by what comes with requests.
_MAX_IDENTITIES = 1024

_COMMON_OPTIONS = frozenset(
    {
        "allow_insecure_http",
        "http_client",
        "issuer",
        "jwks",
        "jwks_uri",
        "realm",
        "timeout",
        "user_lookup",
        "verify",
    }
)
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "JWTBearerTokenValidator": _COMMON_OPTIONS
    | {"algorithms", "cooldown", "jwks_ttl", "leeway", "max_stale", "profile", "resource_server"},
    "IntrospectTokenValidator": _COMMON_OPTIONS
    | {
        "audience",
        "cache_ttl",
        "client_auth",
        "client_id",
        "client_secret",
        "introspection_endpoint",
        "max_concurrency",
        "negative_ttl",
        "scope_claim",
        "signed_responses",
        "stale_if_error",
        "token_format",
    },
}
# What one validator's option is called in the other.
_OTHER_NAMES: Final = {"audience": "resource_server", "resource_server": "audience"}
_SECRETS = re.compile(r"(?:.*_)?(?:\w*(?:secret|passw(?:or)?d|passphrase)\w*|keys?|tokens?|assertions?)")


class RemoteTokenValidator(TokenValidator):
    """Base of `JWTBearerTokenValidator` and `IntrospectTokenValidator`; not to be built itself."""

    # What a hook of an author's own returns is neither kept nor shared, unless the class names what it depends on.
    _sharing_hooks: tuple[str, ...] = ()
    _needs_init = True
    # Which of `_OPTIONS` it has.
    _kind: str

    def __init__(
        self,
        realm: str | None,
        attributes: Mapping[str, Any],
        *,
        issuer: Any,
        audience: Audience,
        audience_argument: str,
        profile: Profile,
        timeout: float,
        user_lookup: UserLookup | None,
        http_client: Callable[[], Any] | str | None,
        verify: str | ssl.SSLContext | None,
        allow_insecure_http: bool,
        max_concurrency: int = 100,
    ) -> None:
        _check_attributes(attributes, self._kind)
        super().__init__(realm, **attributes)
        check_lifetimes(timeout=timeout)
        if timeout == 0:
            raise ValueError("timeout: seconds are wanted, more than 0")
        if timeout > _LONGEST_TIMEOUT:
            raise ValueError(f"timeout: seconds are wanted, {_LONGEST_TIMEOUT} at most")
        if type(max_concurrency) is not int or max_concurrency < 1:
            raise ValueError("max_concurrency: a number of calls is wanted, 1 at least")
        if not isinstance(allow_insecure_http, bool):
            raise TypeError(f"allow_insecure_http: True or False is wanted, not {type(allow_insecure_http).__name__}")
        if http_client is not None and verify is not None:
            raise ValueError("verify: the client that http_client makes has certificates of its own")
        self.issuer: Any = issuer
        self.audience = _read_audience(audience, audience_argument)
        self.allow_insecure_http = allow_insecure_http
        self.user_lookup = user_lookup
        # A token of a subclass's own finding may be of a class with methods of its author's.
        self._has_state_at_hand = hook(self, "authenticate_token") is None
        self._audience_argument = audience_argument
        self._profile = profile
        self._users = _user_source(user_lookup)
        self._resources: set[str] = set()
        self._vaults: dict[str | None, tuple[Secret[Any], Vault]] = {}
        self._era = ""
        self._server = Server(
            # Of a subclass that compares issuers by itself, it may be anything.
            issuer=issuer if isinstance(issuer, str) else None,
            client=ClientOptions(_resolve_factory(http_client), _check_verify(verify)),
            gate=Gate(max_concurrency),
            timeout=float(timeout),
            allow_insecure_http=allow_insecure_http,
            backoff=Backoff(CLOCK),
            clock=CLOCK,
        )

    def _check_url(self, argument: str, url: Any) -> None:
        with naming(argument):
            check_url(url, self.allow_insecure_http)

    def _check_keys(self, keys: KeySource | None, jwks: Any, jwks_uri: str | None) -> None:
        """Refuse what no key, or anybody's key, could come from, before it is needed."""
        if jwks is not None and jwks_uri is not None:
            raise ValueError("jwks_uri: jwks has the keys already; give one of them")
        if jwks_uri is not None:
            self._check_url("jwks_uri", jwks_uri)
        if isinstance(keys, FixedKeys) and not keys.keys:
            raise ValueError("jwks: it has no key that can verify a signature")

    # --- who we are ---

    @property
    def takes_audience_from_protector(self) -> bool:
        """Whether the audience was left out, and is needed."""
        return self.audience is FROM_PROTECTOR

    def join_protector(self, get_resource: Callable[[], str | None]) -> None:
        """Learn who a protector says that we are; called when the validator is registered.

        Raises:
            ImproperlyConfigured: there is no audience, so that any token of the issuer would be let in.
        """
        if not self.takes_audience_from_protector:
            return
        resource = get_resource()
        if resource is None:
            raise ImproperlyConfigured(
                f"{type(self).__name__} has no audience: pass {self._audience_argument}=, or give the protector a "
                f'resource (OAUTH_GUARD["RESOURCE"]); {self._audience_argument}=None switches the check off'
            )
        self._resources.add(resource)

    def _audiences(self, inquiry: Inquiry | None) -> Collection[str] | None:
        if not isinstance(self.audience, _FromProtector):
            return self.audience
        if not self.takes_audience_from_protector:
            return None
        if inquiry is not None and inquiry.resource is not None:
            return (inquiry.resource,)
        # A door of the validator's own: no protector asks, but there may be only one.
        if len(self._resources) == 1:
            return tuple(self._resources)
        raise ImproperlyConfigured(
            f"{type(self).__name__} has no audience, and no one protector to take it from: pass "
            f"{self._audience_argument}="
        )

    # --- what may be shared ---

    @cached_property
    def shares(self) -> bool:
        """Whether verdicts may be kept for other requests."""
        return self._cache_identity is not None or not any(hook(self, name) for name in self._sharing_hooks)

    @property
    def _cache_identity(self) -> Callable[[], Any] | None:
        cache_identity = getattr(self, "cache_identity", None)
        return cache_identity if callable(cache_identity) else None

    def fingerprint(self) -> dict[str, Any]:
        """All that decides a verdict, whether it is judged again on each request or not."""
        cls, client = type(self), self._server.client
        verify = client.verify
        return {
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "issuer": _repr_of_issuer(self.issuer),
            "audience": repr_of(self.audience),
            "profile": self._profile.name,
            "user_lookup": repr_of(self.user_lookup),
            # By a certificate or a header of theirs a server may tell tenants apart.
            "http_client": repr_of(client.factory),
            "verify": verify if isinstance(verify, str | None) else type(verify).__qualname__,
        }

    def _identity(self) -> str | None:
        # Asked each time: it may be the name of the tenant whose request this is.
        cache_identity = self._cache_identity
        return None if cache_identity is None else str(cache_identity())

    def vault(self) -> Vault:
        """Names and seals for what is cached of this validator."""
        return self._vault_of(self._identity())

    def _vault_of(self, identity: str | None) -> Vault:
        # SECRET_KEY may have changed, in a site's tests. No local holds it: error pages print these.
        known = self._vaults.get(identity)
        if known is not None and known[0].reveal() == settings.SECRET_KEY:
            return known[1]
        own = {**self.fingerprint(), "cache_identity": identity, "era": self._era}
        fingerprint = json.dumps(own, sort_keys=True)
        secret_key = Secret(settings.SECRET_KEY)
        vault = Vault(secret_key, fingerprint)
        self._vaults.pop(identity, None)
        keep(self._vaults, identity, (secret_key, vault))
        return vault

    # --- users ---

    @property
    def user_rows(self) -> RowSource | None:
        """Where users are looked up, if in the database."""
        return self._users

    def _user_flow(self, claims: Mapping[str, Any]) -> Flow[Any]:
        """The user for whom the claims speak; ``None`` without a lookup, and for a client's own token.

        Raises:
            InvalidTokenError: it speaks for a user who is not known here, or not active.
        """
        lookup = self.user_lookup
        if lookup is None or self._is_client_token(claims):
            return None
        if self._users is None:
            return (yield from call_for_user_flow(cast("Callable[..., Any]", lookup), claims))
        claim = lookup[1] if isinstance(lookup, tuple | list) else "sub"
        return (yield from find_user_flow(claims.get(claim), self._users.column, self._users.ask_for))

    def _is_client_token(self, claims: Mapping[str, Any]) -> bool:
        return is_client_token(self._profile, claims)

    def invalidate_flow(self, token: Secret[str], cache: str | None) -> Flow[None]:
        """Forget what is kept of ``token``, here and in the shared cache."""
        raise NotImplementedError

    def forget(self) -> None:
        """Be as when it was built: nothing known of the server and of any token, and no failure remembered.

        For tests, while no call is under way. What is in the shared cache is not deleted, but never found again.
        """
        self._era = uuid.uuid4().hex
        self._vaults.clear()
        self._server.backoff.forget()
        self._begin()

    def _begin(self) -> None:
        """Make what changes while it is used."""
        raise NotImplementedError


def check_text(**texts: Any) -> None:
    """Refuse what is no text, or empty.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty.
    """
    for name, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name}: a string is wanted, not {type(value).__name__}")
        if value == "":
            raise ValueError(f"{name}: a string is wanted that is not empty")


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Put the name of an argument before what is said of its value."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{argument}: {error}") from None


def check_lifetimes(**seconds: Any) -> None:
    """Refuse what is no number of seconds.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative, or not finite.
    """
    for name, value in seconds.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name}: a number of seconds is wanted, not {type(value).__name__}")
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name}: a number of seconds is wanted, 0 or more")


def check_hashable(name: str, value: Any) -> None:
    """Refuse a callable by which nothing can be found again.

    Raises:
        TypeError: it has no hash.
    """
    if not isinstance(value, Hashable):
        raise TypeError(f"{name}: a callable that can be hashed is wanted, not {type(value).__name__}")


def check_encodable(**texts: Any) -> None:
    """Refuse text that cannot be sent. The message does not tell it: it may be a secret.

    Raises:
        ValueError: it has half a surrogate pair.
    """
    for name, value in texts.items():
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"{name}: half a surrogate pair is in it, which cannot be sent")


def _check_attributes(attributes: Mapping[str, Any], kind: str) -> None:
    """Refuse a parameter that is an option by mistake: every client would see its value.

    Raises:
        TypeError: it is another validator's option, or nearly one of this, or may be a secret.
    """
    for name in attributes:
        fault = _fault_of_attribute(name, kind)
        if fault is not None:
            raise TypeError(f"{name}: {kind} has no such option{fault}")


def _fault_of_attribute(name: str, kind: str) -> str | None:
    options = _OPTIONS[kind]
    other = next(each for each in _OPTIONS if each != kind)
    if name in _OPTIONS[other]:
        known_as = _OTHER_NAMES.get(name)
        return f": it is called {known_as}= here" if known_as in options else f"; it is one of {other}"
    near = difflib.get_close_matches(name.lower(), options, n=1, cutoff=0.8)
    if near:
        return f"; did you mean {near[0]!r}?"
    if _SECRETS.fullmatch(name.lower().replace("-", "_")):
        return ", and as a parameter of the challenge every client would see it"
    return None


def keep(entries: dict[K, V], key: K, value: V) -> V:
    """Put ``value`` there, or find what another thread put there meanwhile. All are forgotten when they are too many.

    For what is cheap to make again: no lock is held, which a forked child might find closed.
    """
    if len(entries) >= _MAX_IDENTITIES and key not in entries:
        entries.clear()
    return entries.setdefault(key, value)


def fixed_keys(jwks: Any, algorithms: Collection[str]) -> FixedKeys:
    """The keys of the option ``jwks``.

    Raises:
        TypeError: it is no such thing.
    """
    if isinstance(jwks, str) and jwks.startswith(("https://", "http://")):
        raise TypeError("jwks: the keys themselves are wanted; for an address, jwks_uri=")
    with naming("jwks"):
        return FixedKeys(jwks, algorithms)


def repr_of_keys(keys: Any, jwks: Any) -> Any:
    """What stands for the option ``jwks`` in a fingerprint."""
    return sorted(key.identity for key in keys.keys) if isinstance(keys, FixedKeys) else repr_of(jwks)


def digest_of(secret: Secret[Any]) -> str:
    """What stands for a secret in a fingerprint: nobody without Django's secret key can tell whether a guess is it."""
    value = secret.reveal()
    # A JWK is the same in whatever order its members are.
    text = repr(sorted(value.items(), key=repr)) if isinstance(value, Mapping) else repr(value)
    key = derive_key(Secret(settings.SECRET_KEY), b"secrets")
    return hashlib.blake2b(text.encode(), digest_size=32, key=key.reveal()).hexdigest()


def _repr_of_issuer(issuer: Any) -> Any:
    return issuer if isinstance(issuer, str | None) else repr_of(issuer)


def repr_of(value: Any) -> Any:
    """What stands for an option in a fingerprint: the same in every worker."""
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return list(value) if isinstance(value, tuple) else repr(value)


def _read_audience(audience: Any, argument: str) -> tuple[str, ...] | _FromProtector | None:
    if audience is None or isinstance(audience, _FromProtector):
        return audience
    audiences = (audience,) if isinstance(audience, str) else audience
    if not isinstance(audiences, list | tuple | set | frozenset):
        raise TypeError(f"{argument}: a string, several, or None is wanted, not {type(audience).__name__}")
    if not audiences or not all(isinstance(each, str) and each for each in audiences):
        raise ValueError(f"{argument}: each audience is a string that is not empty; None switches the check off")
    return tuple(audiences)


def _user_source(lookup: Any) -> RowSource | None:
    if lookup is None or (callable(lookup) and not isinstance(lookup, type)):
        return None
    pair = lookup if isinstance(lookup, tuple | list) else (lookup, "sub")
    if len(pair) != 2 or not all(isinstance(name, str) and name for name in pair):
        raise TypeError("user_lookup: a field's name, a pair (field, claim), or a callable is wanted")
    return RowSource(get_user_model, cast("str", pair[0]), argument="user_lookup", select_related=())


def _resolve_factory(http_client: Any) -> Callable[[], Any] | None:
    if isinstance(http_client, str):
        try:
            http_client = pkgutil.resolve_name(http_client)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"http_client: cannot import {http_client!r}: {error}") from error
    if http_client is not None and not callable(http_client):
        raise TypeError("http_client: a callable that makes an httpx.AsyncClient is wanted, or its dotted path")
    # Calls with equal options share a client.
    check_hashable("http_client", http_client)
    factory: Callable[[], Any] | None = http_client
    return factory


def _check_verify(verify: Any) -> str | ssl.SSLContext | None:
    if isinstance(verify, str):
        try:
            ssl.create_default_context(cafile=verify)
        except OSError as error:
            raise ValueError(f"verify: {verify!r} is no file of CA certificates: {error}") from error
    if verify is None or isinstance(verify, str | ssl.SSLContext):
        return verify
    raise TypeError(f"verify: a file of CA certificates, or an ssl.SSLContext, is wanted, not {type(verify).__name__}")
