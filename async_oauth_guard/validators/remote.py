"""The base of the validators that depend on an authorization server: its options, server, user and cache identity."""

import json
import ssl
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import cached_property

from ..authorization_server.backoff import Backoff
from ..authorization_server.cache_entries import CacheSigner, RememberedAdmission
from ..authorization_server.jwks import KeySource
from ..authorization_server.metadata import Server, check_url
from ..errors import Reason
from ..protocol.access_token import AccessToken, TokenState
from ..protocol.attributes import is_active, read_user
from ..protocol.claims import CLAIMS, TIMES, CheckedClaims, ClaimPolicy, Lifetime, lifetime_under
from ..protocol.provider_profiles import Profile, is_client_token
from ..protocol.rules import Rule, first_failure, rules_for
from ..protocol.secrets import Secret
from ..runtime.effects import ClientOptions, ConcurrencyLimit, Flow
from .audience_option import Audience, FromProtector, read_audience
from .authorization_context import AuthorizationContext
from .base import TokenValidator
from .cache_identity import has_stable_name, repr_of, repr_of_issuer, setdefault_bounded
from .clock import CLOCK
from .found_token import FoundToken
from .fresh import is_fresh
from .hooks import check_returned
from .options import (
    argument_context,
    check_attributes,
    check_key_options,
    check_max_concurrency,
    check_timeout,
    check_verify,
    resolve_http_client,
)
from .users import UserLookup, call_for_user_flow, check_email, field_and_claim, find_user_flow, user_source

__all__ = ["USER", "RemoteTokenValidator", "issuers_of"]

USER: Rule[Any, Any] = Rule("user", applies=lambda validator: validator.user_lookup is not None)
"""The user that the claims name exists here."""


class RemoteTokenValidator(TokenValidator):
    """The base of `JWTBearerTokenValidator` and `IntrospectTokenValidator`. Do not create instances of it."""

    # Whether the claims must contain ``iss`` and ``exp``.
    _is_jwt: bool
    # If a subclass overrides one of these, results are cached only if it also defines `cache_identity()`.
    _sharing_hooks: tuple[str, ...] = ()
    _needs_init = True
    # The name of the public class whose options it has. Subclasses inherit it.
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
        bad_responses: int = 1,
    ) -> None:
        check_attributes(attributes, self._kind)
        super().__init__(realm, **attributes)
        check_timeout(timeout)
        check_max_concurrency(max_concurrency)
        if not isinstance(allow_insecure_http, bool):
            raise TypeError(f"allow_insecure_http must be True or False, got {type(allow_insecure_http).__name__}")
        if http_client is not None and verify is not None:
            raise ValueError(
                "http_client and verify must not both be given; configure the certificates in the client of http_client"
            )
        self.issuer: Any = issuer
        self.audience = read_audience(audience, audience_argument)
        self.allow_insecure_http = allow_insecure_http
        self.user_lookup = user_lookup
        self.http_client = http_client
        # A subclass that finds tokens itself may return objects whose methods run queries.
        self._has_state_at_hand = not self._overrides.find_tokens
        self._audience_argument = audience_argument
        self._profile = profile
        self.user_rows = user_source(user_lookup)
        self._resources: set[str] = set()
        self._signers: dict[str | None, tuple[Secret[Any], CacheSigner]] = {}
        self._generation = ""
        self._server = Server(
            # If a subclass compares issuers itself, the issuer may have any type.
            issuer=issuer if isinstance(issuer, str) else None,
            client=ClientOptions(resolve_http_client(http_client), check_verify(verify)),
            concurrency_limit=ConcurrencyLimit(max_concurrency),
            timeout=float(timeout),
            allow_insecure_http=allow_insecure_http,
            backoff=Backoff(CLOCK, bad_responses),
            clock=CLOCK,
        )

    def _check_url(self, argument: str, url: Any) -> None:
        with argument_context(argument):
            check_url(url, self.allow_insecure_http)

    def _check_keys(self, keys: KeySource | None, jwks: Any, jwks_uri: str | None) -> None:
        """Check the options for keys at startup, before the first request needs a key."""
        check_key_options(keys, jwks, jwks_uri)
        if jwks_uri is not None:
            self._check_url("jwks_uri", jwks_uri)

    # --- audience ---

    @property
    def takes_audience_from_protector(self) -> bool:
        """Whether the audience is needed and was not given."""
        return isinstance(self.audience, FromProtector)

    def join_protector(self, get_resource: Callable[[], str | None]) -> None:
        """Take the audience from a protector. The protector calls this when it registers the validator.

        Raises:
            ImproperlyConfigured: there is no audience, so any token from the issuer would be let in.
        """
        if not self.takes_audience_from_protector:
            return
        resource = get_resource()
        if resource is None:
            raise ImproperlyConfigured(
                f"{type(self).__name__} has no audience: pass {self._audience_argument}=, or give the protector a "
                f'resource (OAUTH_GUARD["RESOURCE"]); {self._audience_argument}=None disables the check'
            )
        self._resources.add(resource)

    def _audiences(self, context: AuthorizationContext | None) -> Collection[str] | None:
        if not isinstance(self.audience, FromProtector):
            return self.audience
        if not self.takes_audience_from_protector:
            return None
        if context is not None and context.resource is not None:
            return (context.resource,)
        # Called without a protector. If all protectors have the same resource, use that.
        if len(self._resources) == 1:
            return tuple(self._resources)
        raise ImproperlyConfigured(
            f"{type(self).__name__} has no audience, and no single protector to take it from: pass "
            f"{self._audience_argument}="
        )

    # --- cache identity ---

    @cached_property
    def shares(self) -> bool:
        """Whether results may be cached for other requests."""
        return self._cache_identity is not None or not any(
            getattr(self._overrides, name) for name in self._sharing_hooks
        )

    @property
    def _cache_identity(self) -> Callable[[], Any] | None:
        return getattr(self, "cache_identity", None)

    @cached_property
    def unnamed_options(self) -> tuple[str, ...]:
        """The options without a name that is the same in every process, such as a closure.

        If there are any, results are not shared with other processes.
        """
        if self._cache_identity is not None:
            return ()
        parts = {
            "class": type(self),
            "issuer": self.issuer,
            "user_lookup": self.user_lookup,
            "http_client": self.http_client,
            "verify": self._server.client.verify,
        }
        return tuple(name for name, value in parts.items() if not has_stable_name(value))

    def _cache_for(self, alias: str | None) -> str | None:
        """``alias``, or ``None`` if results must not be shared: the fingerprint could not tell two servers apart."""
        return None if self.unnamed_options else alias

    def fingerprint(self) -> dict[str, Any]:
        """The options that can change a result, including those that are checked again on each request."""
        cls, verify = type(self), self._server.client.verify
        return {
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "issuer": repr_of_issuer(self.issuer),
            "audience": repr_of(self.audience),
            "profile": self._profile.name,
            "user_lookup": repr_of(self.user_lookup),
            # A validator that requires https must not use what another one received over http.
            "allow_insecure_http": self.allow_insecure_http,
            # The server may distinguish tenants by the certificate or a header of the client.
            "http_client": repr_of(self.http_client),
            "verify": verify if isinstance(verify, str | None) else type(verify).__qualname__,
        }

    def _identity(self) -> str | None:
        # Call it each time: it may return the tenant of the current request.
        cache_identity: Callable[[], Any] | None = getattr(self, "cache_identity", None)
        if cache_identity is None:
            return None
        identity: str = cache_identity()
        # Accept only strings: the text of another object may be its address, which can be reused.
        check_returned(cache_identity, identity, str)
        return identity

    def signer(self) -> CacheSigner:
        """Creates the keys and signatures of this validator's cache entries."""
        return self._signer_of(self._identity())

    def _signer_of(self, identity: str | None) -> CacheSigner:
        # Tests may change SECRET_KEY. Do not put it into a local variable, because error pages print these.
        known = self._signers.get(identity)
        if known is not None and known[0].reveal() == settings.SECRET_KEY:
            return known[1]
        own = {**self.fingerprint(), "cache_identity": identity, "era": self._generation}
        fingerprint = json.dumps(own, sort_keys=True)
        secret_key = Secret(settings.SECRET_KEY)
        signer = CacheSigner(secret_key, fingerprint)
        self._signers.pop(identity, None)
        setdefault_bounded(self._signers, identity, (secret_key, signer))
        return signer

    def _surroundings(
        self, context: AuthorizationContext | None
    ) -> tuple[str | None, Collection[str] | None, CacheSigner | None, str | None, bool]:
        """What a request's validation depends on besides the token.

        It consists of the result of ``cache_identity()``, the accepted audiences, the signer if results may be cached
        for other requests, the alias of the shared cache if results may be shared with other processes, and whether no
        cached result must be used.
        """
        identity = self._identity()
        signer = self._signer_of(identity) if self.shares else None
        if context is None:
            # A hook may have called our method.
            return identity, self._audiences(None), signer, None, is_fresh()
        return identity, self._audiences(context), signer, self._cache_for(context.cache), context.requirements.fresh

    # --- admissions, for `guard.memo` ---

    def recall(self, token: Secret[str], circumstances: Any) -> tuple[FoundToken, TokenState] | None:
        """The token of a request, if `keep` remembers it for the same ``circumstances``, and it is still valid."""
        known = self._remembered(self.signer().digest(token))
        admission: RememberedAdmission | None = None if known is None else known.admissions.get(circumstances)
        if known is None or admission is None or admission.lifetime.check(self._server.clock.wall()) is not None:
            return None
        token_of_request = self._present(known, admission.audiences)
        # A guard behind this one may remember the token too.
        found = FoundToken(self, token_of_request, (known, admission.policy))
        return found, self._read_grant_of(token_of_request, None)

    def keep(self, token: Secret[str], circumstances: Any, found: Any, state: TokenState) -> None:
        """Remember that ``token`` was let in, unless more than its cached result and the time decided about it."""
        if state.remembered is None or type(found) is not AccessToken:
            return
        known, policy = state.remembered
        if found != known.claims:
            # Code of the site has changed the token, for this request only.
            return
        lifetime = lifetime_under(policy, found)
        if isinstance(lifetime, Lifetime) and found.user is None and found.get("cnf") is None:
            admission = RememberedAdmission(lifetime, found._audiences, policy)
            self._admit(self.signer().digest(token), known, circumstances, admission)

    def _remembered(self, key: bytes) -> Any:
        """The cached result for a token, if it may be used now without I/O."""
        raise NotImplementedError

    def _admit(self, key: bytes, known: Any, circumstances: Any, admission: RememberedAdmission) -> None:
        """Store an admission with the cached result."""
        raise NotImplementedError

    def _present(self, known: Any, audiences: Collection[str]) -> AccessToken:
        """The token of one request, made from a cached result."""
        raise NotImplementedError

    def _read_grant_of(self, token: Any, user: Any) -> TokenState:
        """The scopes and the user of a valid token."""
        raise NotImplementedError

    # --- users ---

    @property
    def user_claim(self) -> str:
        """The claim that is compared with the column of the user model."""
        claim: str = field_and_claim(self.user_lookup)[1]
        return claim

    def find_flow(self, token: Secret[str], context: AuthorizationContext) -> Flow[tuple[Any, TokenState]]:
        """Find a token as `authenticate_flow` does, and read its state as `read_state` does."""
        raise NotImplementedError

    def _user_flow(self, claims: Mapping[str, Any], context: AuthorizationContext | None = None) -> Flow[Any]:
        """The user that the claims name; ``None`` without a lookup, and for a token that a client got for itself.

        Raises:
            InvalidTokenError: the user is unknown or not active.
        """
        lookup = self.user_lookup
        if lookup is None or self._is_client_token(claims):
            return None
        if context is not None:
            context.reach(USER)
        if self.user_rows is None:
            return (yield from call_for_user_flow(cast("Callable[..., Any]", lookup), claims))
        column, claim = self.user_rows.column, self.user_claim
        check_email(claims, column.field, claim)
        return (yield from find_user_flow(claims.get(claim), column, self.user_rows.ask_for))

    def _is_client_token(self, claims: Mapping[str, Any]) -> bool:
        return is_client_token(self._profile, claims)

    @cached_property
    def _lifetime(self) -> ClaimPolicy:
        return ClaimPolicy(
            profile=self._profile,
            issuer=None,
            audiences=None,
            leeway=getattr(self, "leeway", 0.0),
            clock=self._server.clock,
            is_jwt=self._is_jwt,
        )

    def _policy(self, context: AuthorizationContext | None) -> ClaimPolicy:
        """What the claims must fulfil in ``context``."""
        raise NotImplementedError

    def _check_times(self, claims: Mapping[str, Any], context: AuthorizationContext | None) -> Reason | None:
        trace = None if context is None else context.trace
        return first_failure((TIMES,), CheckedClaims(self._lifetime, claims), trace)

    def _check_state(self, claims: Mapping[str, Any], context: AuthorizationContext) -> Reason | None:
        """Check the claims again now. If a hook of a subclass found them, check all: the hook may have checked none."""
        if self._has_state_at_hand:
            return self._check_times(claims, context)
        return (
            self._check_own_claims(claims, context)
            or self._check_times(claims, context)
            or self._check_own_user(claims)
        )

    def _check_own_claims(self, claims: Mapping[str, Any], context: AuthorizationContext) -> Reason | None:
        policy = self._policy(context)
        return first_failure(rules_for(policy, CLAIMS), CheckedClaims(policy, claims), context.trace)

    def _check_own_user(self, token: Any) -> Reason | None:
        """Check the user of a token that a hook of a subclass returned, as `_user_flow` does for other tokens."""
        user = read_user(token)
        return None if user is None or is_active(user) else Reason.INACTIVE_USER

    def invalidate_flow(self, token: Secret[str], cache: str | None) -> Flow[None]:
        """Delete the results for ``token``, in this process and in the shared cache."""
        raise NotImplementedError

    def reset_for_tests(self) -> None:
        """Return to the state after construction: without metadata, keys, results and failures.

        For tests, while no request is in progress. Entries in the shared cache stay there, but are not used again.
        """
        self._generation = uuid.uuid4().hex
        self._signers.clear()
        self._server.backoff.reset_for_tests()
        self._reset_state()

    def _reset_state(self) -> None:
        """Create the attributes that change in use."""
        raise NotImplementedError


def issuers_of(validator: Any) -> set[str]:
    """The issuers of a remote validator; empty for other validators."""
    # A subclass that compares issuers itself may set it to any value.
    issuer: Any = validator.issuer if isinstance(validator, RemoteTokenValidator) else None
    issuers = issuer if isinstance(issuer, list | tuple | set | frozenset) else [issuer]
    return {each for each in issuers if isinstance(each, str)}
