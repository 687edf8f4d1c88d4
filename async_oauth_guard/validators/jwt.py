"""JWT access tokens (RFC 9068), verified with the keys of the server that issued them."""

import ssl
from collections.abc import Callable, Collection, Mapping
from typing import Any

from authlib.oauth2.rfc9068 import JWTBearerTokenValidator as AuthlibValidator

from ..claims import check_audience, check_authorization_details, check_issuer, check_times, check_unbound
from ..credentials import Secret
from ..effects import Flow
from ..errors import InvalidTokenError, Reason
from ..flows.authorization import Inquiry
from ..flows.discovery import Metadata
from ..flows.jwt import JwtRules, VerifiedJwt, find_verified_flow, verify_flow
from ..flows.keysets import CalledKeys, KeySource, Lifetimes, RemoteKeys
from ..flows.users import UserLookup
from ..hooks import door, hook
from ..jose import DEFAULT_ALGORITHMS, KNOWN_ALGORITHMS, SYMMETRIC_ALGORITHMS
from ..memory import Memory
from ..profiles import get_profile, read_attribute_values, read_scope
from ..runtime import arun, run_outside_loop
from ..scopes import own_copy
from ..tokens import AccessToken, TokenState
from .remote import (
    FROM_PROTECTOR,
    Audience,
    RemoteTokenValidator,
    check_hashable,
    check_lifetimes,
    fixed_keys,
    keep,
    repr_of_keys,
)

__all__ = ["JWTBearerTokenValidator"]

# Bytes of verified tokens that are remembered: some ten thousand.
_MEMORY_SIZE = 16 * 1024 * 1024
# Seconds. RFC 7519 §4.1.4: "usually no more than a few minutes".
_LARGEST_LEEWAY = 300


class JWTBearerTokenValidator(RemoteTokenValidator):
    """Validates JWT access tokens (RFC 9068 §4): form, signature, issuer, audience, lifetime, and what a profile asks.

    Keys are fetched when first needed, refreshed in the background, and used on while the server is down. A token that
    was verified is remembered; its lifetime and audience, its scopes and its user are judged on every request.

    A subclass may define ``get_jwks()``, which gives a JWK Set, a ``KeySet`` or a key of joserfc's, and
    ``validate_iss(claims, iss)``; see `TokenValidator` for the other hooks. What these return is asked for in each
    request, unless the class also defines ``cache_identity()``: a string that names all that they depend on.

    Args:
        issuer: whose tokens these are: compared with ``iss``, exactly.
        resource_server: who we are, one or several, of which one must be in ``aud``. Left out, the protector's
            ``resource``; ``None`` lets in tokens that were meant for others.
        realm: see `TokenValidator`.
        jwks_uri: where the keys are. Left out, it is discovered (RFC 8414, then OpenID Connect).
        jwks: the keys themselves: a JWK Set, a ``KeySet`` or a key of joserfc's, or a callable that gives one, sync or
            async. Nothing is fetched then.
        algorithms: the signature algorithms that are accepted. ``HS256``, ``HS384`` and ``HS512`` only with ``jwks``.
        profile: what the server's tokens look like: ``"rfc9068"``, or the name of a provider.
        leeway: seconds by which clocks may differ, for ``exp`` and ``nbf``.
        jwks_ttl: seconds for which fetched keys are fresh.
        cooldown: seconds between two attempts to fetch them, whatever tokens ask for.
        max_stale: seconds for which they serve while no others can be fetched.
        timeout: seconds for all that one request waits for.
        user_lookup: the field of the user model that ``sub`` is compared with, or a pair ``(field, claim)``, or a
            callable from claims to a user, sync or async. Without it tokens have no user.
        http_client: a callable that makes an ``httpx.AsyncClient`` for the calls, or its dotted path.
        verify: a file of CA certificates, or an ``ssl.SSLContext``, in place of the usual one.
        allow_insecure_http: whether ``http`` may be used other than on a loopback address. Whoever can change what is
            sent there can make tokens.
        extra_attributes: see `TokenValidator`.

    Raises:
        ValueError, TypeError: an option has a value that cannot work.
    """

    _sharing_hooks = ("get_jwks", "validate_iss")
    _twins = (*RemoteTokenValidator._twins, "aget_jwks")
    _kind = "JWTBearerTokenValidator"

    def __init__(
        self,
        issuer: str,
        resource_server: Audience = FROM_PROTECTOR,
        realm: str | None = None,
        *,
        jwks_uri: str | None = None,
        jwks: Any = None,
        algorithms: Collection[str] | None = None,
        profile: str = "rfc9068",
        leeway: float = 10,
        jwks_ttl: float = 600,
        cooldown: float = 30,
        max_stale: float = 86_400,
        timeout: float = 5.0,
        user_lookup: UserLookup | None = None,
        http_client: Callable[[], Any] | str | None = None,
        verify: str | ssl.SSLContext | None = None,
        allow_insecure_http: bool = False,
        **extra_attributes: Any,
    ) -> None:
        self._is_offered_all = hook(self, "validate_iss") is not None
        self._get_jwks = hook(self, "get_jwks")
        if not self._asks_nobody and (type(issuer) is not str or not issuer):
            raise TypeError("issuer: the server's issuer identifier is wanted, a string")
        super().__init__(
            realm,
            extra_attributes,
            issuer=issuer,
            audience=resource_server,
            audience_argument="resource_server",
            profile=get_profile(profile),
            timeout=timeout,
            user_lookup=user_lookup,
            http_client=http_client,
            verify=verify,
            allow_insecure_http=allow_insecure_http,
        )
        check_lifetimes(leeway=leeway, jwks_ttl=jwks_ttl, cooldown=cooldown, max_stale=max_stale)
        if leeway > _LARGEST_LEEWAY:
            raise ValueError(f"leeway: a few minutes are wanted, {_LARGEST_LEEWAY} seconds at most")
        self.resource_server = None if resource_server is FROM_PROTECTOR else resource_server
        self.leeway = float(leeway)
        self.jwks_uri = jwks_uri
        self.jwks = jwks
        self._lifetimes = Lifetimes(float(jwks_ttl), float(cooldown), float(max_stale))
        self.algorithms = self._read_algorithms(algorithms)
        self._begin()
        if self._get_jwks is None:
            self._check_sources()

    def _begin(self) -> None:
        self._called_keys: dict[Any, CalledKeys] = {}
        # The keys that the options name, whatever a subclass puts in their place.
        self._own_keys = self._build_keys()
        self._memory: Memory[VerifiedJwt] = Memory(_MEMORY_SIZE)
        self._rules: dict[Any, JwtRules] = {}

    @property
    def _asks_nobody(self) -> bool:
        """Whether a subclass needs no issuer of ours: it compares issuers, and has keys or tokens, by itself."""
        finds = self._get_jwks is not None or hook(self, "authenticate_token") is not None
        return self._is_offered_all and finds

    def _check_sources(self) -> None:
        self._check_keys(self._own_keys, self.jwks, self.jwks_uri)
        if self.jwks is None and self._lifetimes.max_stale < self._lifetimes.cooldown:
            raise ValueError("max_stale: cooldown at least is wanted; before that no other keys are fetched")
        issuer: Any = self.issuer
        if isinstance(issuer, str) and ((self.jwks is None and self.jwks_uri is None) or issuer.startswith("http:")):
            self._check_url("issuer", issuer)

    def _build_keys(self) -> KeySource:
        if callable(self.jwks):
            check_hashable("jwks", self.jwks)
            return self._keys_called_for(self.jwks, None)
        if self.jwks is not None:
            return fixed_keys(self.jwks, self.algorithms)
        location = self.jwks_uri or Metadata(self._server, self._lifetimes.max_stale)
        return RemoteKeys(self._server, location, self._lifetimes, self.vault, self.algorithms)

    def _keys_called_for(self, get_keys: Callable[[], Any], identity: str | None) -> CalledKeys:
        """What code of the site's gives, kept apart for each ``cache_identity()``: one tenant's keys are no other's."""
        keys = self._called_keys.get((get_keys, identity))
        if keys is None:
            keys = CalledKeys(get_keys, self._lifetimes, self._server.clock, self.algorithms)
            keys = keep(self._called_keys, (get_keys, identity), keys)
        return keys

    def _own_keys_for(self, identity: str | None) -> KeySource:
        return self._keys_called_for(self.jwks, identity) if callable(self.jwks) else self._own_keys

    def _read_algorithms(self, algorithms: Any) -> tuple[str, ...]:
        if algorithms is None:
            return (*DEFAULT_ALGORITHMS, *SYMMETRIC_ALGORITHMS) if self._may_be_symmetric else DEFAULT_ALGORITHMS
        if not isinstance(algorithms, list | tuple | set | frozenset):
            raise TypeError("algorithms: a list of names is wanted, such as ['RS256']")
        if not algorithms:
            raise ValueError("algorithms: without any, no token could be valid")
        for name in algorithms:
            if not isinstance(name, str) or name not in KNOWN_ALGORITHMS:
                raise ValueError(f"algorithms: {name!r} is none of {', '.join(sorted(KNOWN_ALGORITHMS))}")
            # RFC 8725 §2.1, §3.1: a key that anybody can fetch must not serve as a secret.
            if name in SYMMETRIC_ALGORITHMS and not self._may_be_symmetric:
                raise ValueError(
                    f"algorithms: {name} needs a secret that only the server and you have: give it as jwks="
                )
        return tuple(algorithms)

    @property
    def _may_be_symmetric(self) -> bool:
        """Whether a secret may be among the keys: one that was handed over, in this process."""
        return self._get_jwks is not None or (self.jwks is not None and not callable(self.jwks))

    def fingerprint(self) -> dict[str, Any]:
        """See `RemoteTokenValidator.fingerprint`."""
        keys = self._own_keys if self._get_jwks is None else None
        return {
            **super().fingerprint(),
            "jwks_uri": self.jwks_uri,
            "jwks": repr_of_keys(keys, self.jwks),
            "algorithms": sorted(self.algorithms),
            "leeway": self.leeway,
        }

    def owns(self, issuer: str | None) -> bool | None:
        """Whether it is the issuer that was given. A validator with its own ``validate_iss`` is offered every JWT."""
        if self._is_offered_all:
            return False if issuer is None else None
        return bool(issuer == self.issuer)

    def authenticate_flow(self, token: Secret[str], inquiry: Inquiry | None = None) -> Flow[AccessToken]:
        """Verify ``token``, or find that it was verified before."""
        identity = self._identity()
        rules = self._rules_for(self._audiences(inquiry), identity)
        cache = None if inquiry is None else inquiry.cache
        if self.shares:
            fresh = inquiry is not None and inquiry.requirements.fresh
            vault = self._vault_of(identity)
            verified = yield from find_verified_flow(token, rules, self._memory, vault, fresh=fresh, cache=cache)
        else:
            verified = yield from verify_flow(token, rules, cache)
        claims = verified.claims
        # An expired token costs no query.
        if self.user_lookup is not None and rules.judges_times and (reason := self._check_times(claims)):
            raise InvalidTokenError(reason=reason)
        return AccessToken(
            own_copy(claims),
            user=(yield from self._user_flow(claims)),
            scope=own_copy(verified.scope),
            client_id=verified.client_id,
            header=own_copy(verified.header),
        )

    def _check_times(self, claims: Mapping[str, Any]) -> Reason | None:
        return check_times(claims, self._server.clock.wall(), leeway=self.leeway, required=True)

    def _rules_for(self, audiences: Collection[str] | None, identity: str | None) -> JwtRules:
        # Looked up each time: a site's tests put others in their place.
        get_jwks = self.get_jwks if self._get_jwks is not None else None
        validate_iss = self.validate_iss if self._is_offered_all else None
        rules = self._rules.get((audiences, identity, get_jwks, validate_iss))
        if rules is None:
            rules = JwtRules(
                profile=self._profile,
                algorithms=frozenset(self.algorithms),
                issuer=None if self._is_offered_all else self.issuer,
                audiences=audiences,
                leeway=self.leeway,
                # A subclass's own is the sole judge of lifetime, as with Authlib.
                judges_times=hook(self, "validate_token") is None,
                keys=self._own_keys_for(identity) if get_jwks is None else self._keys_called_for(get_jwks, identity),
                clock=self._server.clock,
                get_jwks=None if self.shares else get_jwks,
                validate_iss=validate_iss,
            )
            rules = keep(self._rules, (audiences, identity, get_jwks, validate_iss), rules)
        return rules

    def read_state(self, token: Any, inquiry: Inquiry) -> TokenState:
        """What the claims say at this moment."""
        if not isinstance(token, Mapping):
            return super().read_state(token, inquiry)
        reason = None if self._has_state_at_hand else self._check_own_find(token, inquiry)
        reason = reason or self._check_times(token)
        if reason is not None:
            return TokenState(reason)
        if isinstance(token, AccessToken):
            scope, user = token._granted, token.user
        else:
            scope, user = read_scope(self._profile, token), None
        # Authlib hands an empty list to `scope_insufficient` where there are none.
        scope = [] if scope is None else scope
        asked = inquiry.requirements.attributes
        if not asked:
            return TokenState(None, scope, user)
        audiences = self._audiences(inquiry) or ()
        attributes = {name: read_attribute_values(self._profile, token, name, audiences) for name in asked}
        return TokenState(None, scope, user, attributes)

    def _check_own_find(self, claims: Mapping[str, Any], inquiry: Inquiry) -> Reason | None:
        """What a subclass's ``authenticate_token`` gave is judged like what ours finds: it may not have asked ours."""
        if not isinstance(claims, AccessToken) and hasattr(claims, "validate"):
            # Authlib's claims have options of their author's, which it looks at when it judges them.
            theirs: Any = AuthlibValidator(self.issuer, None, self.realm, **self.extra_attributes)
            theirs.validate_token(claims, None, None)
        audiences = self._audiences(inquiry)
        return (
            (None if self._is_offered_all else check_issuer(claims, self.issuer))
            or (None if audiences is None else check_audience(claims, audiences, self._profile.audience))
            or check_unbound(claims)
            or check_authorization_details(claims)
        )

    def invalidate_flow(self, token: Secret[str], cache: str | None) -> Flow[None]:
        """Forget that ``token`` was verified."""
        yield from ()
        self._memory.discard(self.vault().digest(token))

    @door
    def get_jwks(self) -> Any:
        """The keys that tokens are verified with, as a JWK Set or as they were handed over.

        Raises:
            TemporarilyUnavailableError: they could not be fetched.
            SynchronousOnlyOperation: an event loop runs in this thread.
        """
        return run_outside_loop(self._document_flow(), "await aget_jwks()")

    @door
    async def aget_jwks(self) -> Any:
        """See `get_jwks`."""
        return await arun(self._document_flow())

    def _document_flow(self) -> Flow[Any]:
        # A copy: a subclass may add to it.
        return own_copy((yield from self._own_keys_for(self._identity()).document_flow(None)))

    @door
    def validate_iss(self, claims: Any, iss: Any) -> bool:
        """Whether ``iss`` is the issuer that was given (RFC 9068 §4)."""
        return bool(iss == self.issuer)
