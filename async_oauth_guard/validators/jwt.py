"""Validates JWT access tokens (RFC 9068) with the keys of their issuer."""

import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from authlib.oauth2.rfc9068 import JWTBearerTokenValidator as AuthlibValidator

from ..authorization_server.cache_entries import RememberedAdmission
from ..authorization_server.jwks import CallableKeySource, KeySource, RefreshPolicy, RemoteKeySource
from ..authorization_server.metadata import Metadata
from ..errors import InvalidTokenError, Reason
from ..protocol.access_token import AccessToken, TokenState
from ..protocol.attributes import read_user
from ..protocol.claims import TIMES, CheckedClaims
from ..protocol.copies import own_copy
from ..protocol.jwk import DEFAULT_ALGORITHMS, KNOWN_ALGORITHMS, SYMMETRIC_ALGORITHMS
from ..protocol.provider_profiles import get_profile, read_attribute_values, read_scope
from ..protocol.rules import Rule, first_failure
from ..protocol.secrets import Secret
from ..runtime.effects import Flow
from ..runtime.lru_cache import SizedLRU
from ..runtime.run import arun, run_outside_loop
from .audience_option import FROM_PROTECTOR, Audience
from .authorization_context import AuthorizationContext
from .cache_identity import repr_of_keys, setdefault_bounded
from .hooks import overridden
from .jwt_verification import JWT, JwtPolicy, VerifiedJwt, find_verified_flow, verify_flow
from .options import check_hashable, check_seconds, fixed_keys, known_options
from .remote import USER, RemoteTokenValidator
from .routing import RECOGNISED
from .users import UserLookup

__all__ = ["JWTBearerTokenValidator"]

# Bytes in memory for verified tokens, enough for some thousands.
_MEMORY_SIZE = 16 * 1024 * 1024
# Seconds. RFC 7519 §4.1.4: "usually no more than a few minutes".
_LARGEST_LEEWAY = 300
_TIMES = (TIMES,)


@known_options
class JWTBearerTokenValidator(RemoteTokenValidator):
    """Validates JWT access tokens (RFC 9068 §4): form, signature, issuer, audience, lifetime, and the profile's claims.

    Keys are fetched on first use and refreshed in the background. Old keys stay in use while the server is down. The
    result of verifying a signature is cached. Lifetime, audience, scopes and user must be right on every request.

    A subclass may define ``get_jwks()``, which returns a JWK Set, or joserfc's ``KeySet`` or key, and
    ``validate_iss(claims, iss)``; see `TokenValidator` for the other hooks. These hooks are called on every request,
    unless the class also defines ``cache_identity()``, which returns a string that names everything they depend on.

    Args:
        issuer: the issuer identifier. ``iss`` must be exactly this string.
        resource_server: one or several identifiers of this API. ``aud`` must contain at least one. By default, the
            protector's ``resource``. With ``None``, tokens for other APIs are let in.
        realm: see `TokenValidator`.
        jwks_uri: the URL of the key set. By default, it is discovered (RFC 8414, then OpenID Connect Discovery).
        jwks: the keys: a JWK Set, joserfc's ``KeySet`` or key, or a sync or async callable that returns one. The
            validator then fetches nothing.
        algorithms: the allowed signature algorithms. ``HS256``, ``HS384`` and ``HS512`` require ``jwks``.
        profile: the form of the server's tokens: ``"rfc9068"``, or the name of a provider.
        leeway: the clock difference in seconds that is allowed for ``exp`` and ``nbf``.
        jwks_ttl: seconds for which fetched keys are fresh.
        cooldown: the minimum time in seconds between attempts to fetch keys, whatever tokens are presented.
        max_stale: seconds for which keys are used if no newer ones can be fetched.
        timeout: the maximum number of seconds that one request waits.
        user_lookup: the field of the user model that must equal ``sub``, or a pair ``(field, claim)``, or a sync or
            async callable that takes the claims and returns a user. Without it, tokens have no user.
        http_client: a callable that returns an ``httpx.AsyncClient``, or its dotted path.
        verify: a file of CA certificates, or an ``ssl.SSLContext``, instead of the default certificates.
        allow_insecure_http: whether to allow ``http`` for addresses that are not loopback addresses. Anyone who can
            change the traffic can then forge tokens.
        extra_attributes: see `TokenValidator`.

    Raises:
        ValueError: an option has an invalid value.
        TypeError: an option has a value of the wrong type.
    """

    _sharing_hooks = ("get_jwks", "validate_iss")
    _async_variants = (*RemoteTokenValidator._async_variants, "aget_jwks")
    _kind = "JWTBearerTokenValidator"
    _is_jwt = True

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
        if not self._has_own_sources and (type(issuer) is not str or not issuer):
            got = "''" if type(issuer) is str else type(issuer).__name__
            raise TypeError(f"issuer must be a non-empty string, got {got}")
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
        check_seconds(leeway=leeway, jwks_ttl=jwks_ttl, cooldown=cooldown, max_stale=max_stale)
        if leeway > _LARGEST_LEEWAY:
            raise ValueError(f"leeway must be at most {_LARGEST_LEEWAY} seconds, got {leeway}")
        self.resource_server = None if resource_server is FROM_PROTECTOR else resource_server
        self.leeway = float(leeway)
        self.jwks_uri = jwks_uri
        self.jwks = jwks
        self._lifetimes = RefreshPolicy(float(jwks_ttl), float(cooldown), float(max_stale))
        self.algorithms = self._read_algorithms(algorithms)
        self._reset_state()
        if not self._overrides.get_jwks:
            self._check_sources()

    def _reset_state(self) -> None:
        self._called_keys: dict[Any, CallableKeySource] = {}
        # The keys from the options, even if a subclass overrides `get_jwks()`.
        self._own_keys = self._build_keys()
        self._verified_tokens: SizedLRU[VerifiedJwt] = SizedLRU(_MEMORY_SIZE, lambda: self._server.clock.wall())
        self._policies: dict[Any, JwtPolicy] = {}

    @property
    def _has_own_sources(self) -> bool:
        """Whether a subclass needs no ``issuer``: it compares issuers itself, and finds keys or tokens itself."""
        own = self._overrides
        return own.validate_iss and (own.get_jwks or own.authenticate_token)

    def _check_sources(self) -> None:
        self._check_keys(self._own_keys, self.jwks, self.jwks_uri)
        if self.jwks is None and self._lifetimes.max_stale < self._lifetimes.cooldown:
            raise ValueError("max_stale must be at least cooldown, because newer keys are fetched only after that")
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
        return RemoteKeySource(self._server, location, self._lifetimes, self.signer, self.algorithms)

    def _keys_called_for(self, get_keys: Callable[[], Any], identity: str | None) -> CallableKeySource:
        """The keys that the site's code returns, separately for each ``cache_identity()``, which may be a tenant."""
        keys = self._called_keys.get((get_keys, identity))
        if keys is None:
            keys = CallableKeySource(get_keys, self._lifetimes, self._server.clock, self.algorithms)
            keys = setdefault_bounded(self._called_keys, (get_keys, identity), keys)
        return keys

    def _own_keys_for(self, identity: str | None) -> KeySource:
        return self._keys_called_for(self.jwks, identity) if callable(self.jwks) else self._own_keys

    def _read_algorithms(self, algorithms: Any) -> tuple[str, ...]:
        if algorithms is None:
            return (*DEFAULT_ALGORITHMS, *SYMMETRIC_ALGORITHMS) if self._may_be_symmetric else DEFAULT_ALGORITHMS
        if not isinstance(algorithms, list | tuple | set | frozenset):
            raise TypeError(f"algorithms must be a list of names, such as ['RS256'], got {type(algorithms).__name__}")
        if not algorithms:
            raise ValueError("algorithms must not be empty, because no token could be valid")
        for name in algorithms:
            if not isinstance(name, str) or name not in KNOWN_ALGORITHMS:
                raise ValueError(f"algorithms must be names from {', '.join(sorted(KNOWN_ALGORITHMS))}, got {name!r}")
            # RFC 8725 §2.1, §3.1: do not use a public key as a shared secret.
            if name in SYMMETRIC_ALGORITHMS and not self._may_be_symmetric:
                raise ValueError(f"algorithms contains {name}, which needs a shared secret: pass it as jwks=")
        return tuple(algorithms)

    @property
    def _may_be_symmetric(self) -> bool:
        """Whether the keys may contain a shared secret: only if the site passes them, not if they are fetched."""
        return self._overrides.get_jwks or (self.jwks is not None and not callable(self.jwks))

    def fingerprint(self) -> dict[str, Any]:
        keys = None if self._overrides.get_jwks else self._own_keys
        return {
            **super().fingerprint(),
            "jwks_uri": self.jwks_uri,
            "jwks": repr_of_keys(keys, self.jwks),
            "algorithms": sorted(self.algorithms),
            "leeway": self.leeway,
        }

    def owns(self, issuer: str | None) -> bool | None:
        """Whether ``issuer`` is this validator's issuer; ``None`` for any JWT with a custom ``validate_iss``."""
        if self._overrides.validate_iss:
            return False if issuer is None else None
        return bool(issuer == self.issuer)

    def authenticate_flow(self, token: Secret[str], context: AuthorizationContext | None = None) -> Flow[AccessToken]:
        """Verify ``token``, or use the cached result."""
        return (yield from self._find_flow(token, context))[0]

    def find_flow(self, token: Secret[str], context: AuthorizationContext) -> Flow[tuple[AccessToken, TokenState]]:
        found, verified, policy = yield from self._find_flow(token, context)
        # The keys may have been fetched since the lifetime was checked with the other claims.
        checked = CheckedClaims(policy, verified.claims, lifetime=verified.lifetime)
        reason = first_failure(_TIMES, checked, context.trace)
        state = TokenState(reason) if reason is not None else self._state_of(found, found.user, context)
        if verified.is_known:
            # Many clients present a token only once.
            state.remembered = (verified, policy)
        return found, state

    def _find_flow(
        self, token: Secret[str], context: AuthorizationContext | None
    ) -> Flow[tuple[AccessToken, VerifiedJwt, JwtPolicy]]:
        identity, audiences, signer, cache, fresh = self._surroundings(context)
        policy = self._policy_for(audiences, identity)
        trace = None if context is None else context.trace
        if signer is None:
            verified = yield from verify_flow(token, policy, cache, trace)
        else:
            verified = yield from find_verified_flow(
                token, policy, self._verified_tokens, signer, fresh=fresh, cache=cache, trace=trace
            )
        user = None
        if self.user_lookup is not None:
            # Check the lifetime first, so that an expired token causes no query.
            if policy.checks_times and (reason := self._check_times(verified.claims, context)):
                raise InvalidTokenError(reason=reason)
            user = yield from self._user_flow(verified.claims, context)
        return self._present(verified, audiences or (), user), verified, policy

    def _present(self, known: VerifiedJwt, audiences: Collection[str], user: Any = None) -> AccessToken:
        # Share nothing with other requests that a view could change.
        scope, header = own_copy((known.scope, known.header))
        token = AccessToken(
            known.claims,
            user=user,
            scope=scope,
            client_id=known.client_id,
            header=header,
            profile=self._profile,
            audiences=audiences,
        )
        known.separate(token)
        return token

    def _remembered(self, key: bytes) -> VerifiedJwt | None:
        known = self._verified_tokens.get(key)
        return known if known is not None and self._own_keys.is_settled(known.key) else None

    def _admit(self, key: bytes, known: VerifiedJwt, circumstances: Any, admission: RememberedAdmission) -> None:
        known.admit(circumstances, admission)
        self._verified_tokens.recount(key, known)

    def _tables(self, context: AuthorizationContext) -> Iterator[tuple[Sequence[Rule[Any, Any]], Any]]:
        yield (RECOGNISED,), None
        yield JWT, self._policy(context)
        yield (USER,), self

    def _policy(self, context: AuthorizationContext | None) -> JwtPolicy:
        return self._policy_for(self._audiences(context), self._identity())

    def _policy_for(self, audiences: Collection[str] | None, identity: str | None) -> JwtPolicy:
        own = self._overrides
        # Look them up each time, because tests may replace them.
        get_jwks = self.get_jwks if own.get_jwks else None
        validate_iss = self.validate_iss if own.validate_iss else None
        policy = self._policies.get((audiences, identity, get_jwks, validate_iss))
        if policy is None:
            policy = JwtPolicy(
                profile=self._profile,
                algorithms=self.algorithms,
                issuer=None if own.validate_iss else self.issuer,
                audiences=audiences,
                leeway=self.leeway,
                # As with Authlib, a custom `validate_token` must check the lifetime itself.
                checks_times=overridden(self, "validate_token") is None,
                keys=self._own_keys_for(identity) if get_jwks is None else self._keys_called_for(get_jwks, identity),
                clock=self._server.clock,
                get_jwks=None if self.shares else get_jwks,
                validate_iss=validate_iss,
            )
            policy = setdefault_bounded(self._policies, (audiences, identity, get_jwks, validate_iss), policy)
        return policy

    def read_state(self, token: Any, context: AuthorizationContext) -> TokenState:
        """Check the claims again now."""
        if not isinstance(token, Mapping):
            return super().read_state(token, context)
        reason = self._check_state(token, context)
        return TokenState(reason) if reason is not None else self._state_of(token, read_user(token), context)

    def _state_of(self, token: Mapping[str, Any], user: Any, context: AuthorizationContext) -> TokenState:
        state, names = self._read_grant_of(token, user), context.requirements.attributes
        if names:
            audiences = self._audiences(context) or ()
            state.attributes = {name: read_attribute_values(self._profile, token, name, audiences) for name in names}
        return state

    def _read_grant_of(self, token: Mapping[str, Any], user: Any) -> TokenState:
        if isinstance(token, AccessToken):
            scope = token._granted
        else:
            scope, user = read_scope(self._profile, token), None
        # Authlib passes an empty list to `scope_insufficient` if the token has no scopes.
        scope = [] if scope is None else scope
        return TokenState(None, scope, user, {}, token.get("cnf"), token.get("token_type"), None, self.leeway)

    def _check_own_claims(self, claims: Mapping[str, Any], context: AuthorizationContext) -> Reason | None:
        if not isinstance(claims, AccessToken) and hasattr(claims, "validate"):
            # Authlib's claims have their own options, and Authlib checks these.
            authlib_validator: Any = AuthlibValidator(self.issuer, None, self.realm, **self.extra_attributes)
            authlib_validator.validate_token(claims, None, None)
        return super()._check_own_claims(claims, context)

    def invalidate_flow(self, token: Secret[str], cache: str | None) -> Flow[None]:
        yield from ()
        self._verified_tokens.discard(self.signer().digest(token))

    def get_jwks(self) -> Any:
        """Return the keys for verification, as a JWK Set or in the form in which they were passed as ``jwks``.

        Raises:
            TemporarilyUnavailableError: the keys could not be fetched.
            SynchronousOnlyOperation: an event loop is running in this thread.
        """
        return run_outside_loop(self._document_flow(), "await aget_jwks()")

    async def aget_jwks(self) -> Any:
        """See `get_jwks`."""
        return await arun(self._document_flow())

    def _document_flow(self) -> Flow[Any]:
        # Return a copy, because a subclass may change it.
        return own_copy((yield from self._own_keys_for(self._identity()).document_flow(None)))

    def validate_iss(self, claims: Any, iss: Any) -> bool:
        """Whether ``iss`` is the expected issuer (RFC 9068 §4)."""
        return bool(iss == self.issuer)
