"""Validates tokens by introspection at their authorization server (RFC 7662)."""

import re
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from ..authorization_server.cache_entries import CacheSigner, RememberedAdmission
from ..authorization_server.introspection import BAD_RESPONSES, Introspection, SignedResponses
from ..authorization_server.introspection_cache import CachePolicy, IntrospectionCache, IntrospectionResult
from ..authorization_server.jwks import KeySource, RefreshPolicy, RemoteKeySource
from ..authorization_server.metadata import Metadata
from ..errors import Reason, error_of
from ..protocol.access_token import AccessToken, TokenState
from ..protocol.attributes import read_user
from ..protocol.claims import CheckedClaims
from ..protocol.copies import own_copy
from ..protocol.jwk import DEFAULT_ALGORITHMS
from ..protocol.provider_profiles import PROFILES, read_attribute_values, read_client
from ..protocol.rules import Rule, first_failure
from ..protocol.secrets import PresentedToken, Secret
from ..runtime.effects import Flow
from ..runtime.run import arun, run_outside_loop
from .audience_option import FROM_PROTECTOR, Audience
from .authorization_context import AuthorizationContext
from .cache_identity import digest_of, repr_of_keys, setdefault_bounded
from .client_authentication import ClientAuth, ClientAuthentication
from .fresh import call_hook_flow, is_fresh
from .hooks import overridden
from .introspection_rules import (
    INTROSPECTION,
    WORD,
    IntrospectionPolicy,
    check_active,
    has_own_rules,
    is_active_response,
)
from .options import (
    check_encodable,
    check_endpoint,
    check_optional_text,
    check_seconds,
    check_signed_responses,
    check_text,
    compile_format,
    fixed_keys,
    known_options,
)
from .remote import USER, RemoteTokenValidator
from .routing import RECOGNISED
from .users import UserLookup

__all__ = ["IntrospectTokenValidator"]

# Bytes in memory for results of active tokens, enough for some thousands.
_MEMORY_SIZE = 16 * 1024 * 1024
# For the keys of signed responses: the defaults of `JWTBearerTokenValidator`.
_KEY_LIFETIMES = RefreshPolicy(ttl=600.0, cooldown=30.0, max_stale=86_400.0)


@known_options
class IntrospectTokenValidator(RemoteTokenValidator):
    """Validates tokens by introspection at their authorization server (RFC 7662), without blocking an event loop.

    Concurrent requests with the same token share one introspection request. The result is used for a short time, and
    never after ``exp``. Lifetime, audience, scopes and user must be right on every request. If the server cannot be
    reached, the response is 503.

    A subclass may define ``introspect_token(token)``, which returns the response as a dictionary; see `TokenValidator`
    for the other hooks. It is called on every request, and must check the audience itself unless ``audience`` is given.
    If the subclass also defines ``cache_identity()``, which returns a string that names everything that the hook
    depends on, the responses of the hook are cached like those of a server.

    Args:
        introspection_endpoint: the URL of the introspection endpoint. By default, it is discovered from ``issuer``.
        issuer: the issuer identifier of the server. Responses and JWTs that name another issuer are refused.
        client_id: our client identifier at the server.
        client_secret: our credentials: a secret; for ``private_key_jwt`` a private key as PEM text or JWK; for
            ``bearer`` a token.
        client_auth: the authentication method: ``client_secret_basic``, ``client_secret_post``, ``private_key_jwt``,
            ``bearer`` or ``none``.
        audience: one or several identifiers of this API. ``aud`` must contain at least one. By default, the
            protector's ``resource``. With ``None``, tokens for other APIs are let in.
        scope_claim: the member of the response that contains the scopes.
        cache_ttl: seconds for which the result for an active token is used.
        negative_ttl: seconds for which the result for an inactive token is used.
        stale_if_error: further seconds for which the result for an active token is used if the server cannot be
            reached.
        timeout: the maximum number of seconds that one request waits.
        max_concurrency: the maximum number of introspection requests at a time. Others wait within their timeout.
        user_lookup: see `JWTBearerTokenValidator`.
        token_format: a regular expression that the whole token must match. Other tokens are not introspected.
        signed_responses: ``"accepted"`` or ``"required"``, for responses as signed JWTs (RFC 9701). Needs ``issuer``.
        jwks_uri: the URL of the keys for signed responses. By default, it is discovered from ``issuer``.
        jwks: the keys for signed responses, as a JWK Set or joserfc's ``KeySet``.
        http_client: see `JWTBearerTokenValidator`. Its pool must allow ``max_concurrency`` connections.
        verify: see `JWTBearerTokenValidator`.
        allow_insecure_http: whether to allow ``http`` for addresses that are not loopback addresses. Anyone on the
            network path can then read every token.
        realm: see `TokenValidator`.
        extra_attributes: see `TokenValidator`.

    Raises:
        ValueError: an option has an invalid value.
        TypeError: an option has a value of the wrong type.
    """

    _kind = "IntrospectTokenValidator"
    _is_jwt = False
    _sharing_hooks = ("introspect_token",)
    _async_variants = (*RemoteTokenValidator._async_variants, "aintrospect_token")

    def __init__(
        self,
        introspection_endpoint: str | None = None,
        *,
        issuer: str | None = None,
        client_id: str | None = None,
        client_secret: str | Mapping[str, Any] | None = None,
        client_auth: ClientAuth = "client_secret_basic",
        audience: Audience = FROM_PROTECTOR,
        scope_claim: str = "scope",
        cache_ttl: float = 30,
        negative_ttl: float = 5,
        stale_if_error: float = 0,
        timeout: float = 5.0,
        max_concurrency: int = 100,
        user_lookup: UserLookup | None = None,
        token_format: str | re.Pattern[str] | None = None,
        signed_responses: Literal["accepted", "required"] | None = None,
        jwks_uri: str | None = None,
        jwks: Any = None,
        http_client: Callable[[], Any] | str | None = None,
        verify: str | ssl.SSLContext | None = None,
        allow_insecure_http: bool = False,
        realm: str | None = None,
        **extra_attributes: Any,
    ) -> None:
        check_encodable(client_id=client_id, client_secret=client_secret)
        self._client_secret = Secret(client_secret)
        del client_secret  # if an option is invalid, error reports show the local variables
        super().__init__(
            realm,
            extra_attributes,
            issuer=issuer,
            audience=audience,
            audience_argument="audience",
            profile=PROFILES["rfc9068"],
            max_concurrency=max_concurrency,
            bad_responses=BAD_RESPONSES,
            timeout=timeout,
            user_lookup=user_lookup,
            http_client=http_client,
            verify=verify,
            allow_insecure_http=allow_insecure_http,
        )
        check_text(scope_claim=scope_claim)
        check_optional_text(issuer=issuer, client_id=client_id)
        check_seconds(cache_ttl=cache_ttl, negative_ttl=negative_ttl, stale_if_error=stale_if_error)
        self.introspection_endpoint = introspection_endpoint
        self.client_id = client_id
        self.client_auth = client_auth
        self.scope_claim = scope_claim
        self.signed_responses = signed_responses
        self.jwks_uri = jwks_uri
        self._jwks = jwks
        self._client = ClientAuthentication(
            method=client_auth, client_id=client_id, secret=self._client_secret, issuer=issuer
        )
        self._token_format = compile_format(token_format)
        if self._token_format is not None and not self._token_format.pattern:
            raise ValueError("token_format must not be empty; leave it out to introspect all tokens")
        if introspection_endpoint is not None:
            # Check it even if a subclass introspects tokens itself, because its hook may call `super()`.
            check_endpoint(introspection_endpoint, allow_insecure_http)
        self._lifetimes = CachePolicy(
            active=float(cache_ttl), inactive=float(negative_ttl), stale=float(stale_if_error), timeout=float(timeout)
        )
        self._reset_state()
        own = self._overrides
        self._answers_itself = own.introspect_token or (own.authenticate_token and issuer is None)
        if not self._answers_itself:
            self._check_options()

    def _reset_state(self) -> None:
        self._metadata = Metadata(self._server, _KEY_LIFETIMES.max_stale)
        self._own_keys = self._build_keys()  # for signed responses
        self._policies: dict[Any, IntrospectionPolicy] = {}
        self._results = IntrospectionCache(_MEMORY_SIZE, lambda: self._server.clock.steady(), self._lifetimes)
        self._introspection = Introspection(
            server=self._server,
            endpoint=self.introspection_endpoint or self._metadata,
            authenticate_flow=self._client.authenticate_flow,
            results=self._results,
            signer=self.signer,
            signed=self._build_signed_responses(),
        )

    def _check_options(self) -> None:
        if self.introspection_endpoint is None and self.issuer is None:
            raise ValueError("introspection_endpoint or issuer must be given; issuer allows discovery")
        has_keys = self.signed_responses is None or self.jwks_uri is not None or self._jwks is not None
        discovers = self.introspection_endpoint is None or not has_keys
        if self.issuer is not None and (discovers or self.issuer.startswith("http:")):
            self._check_url("issuer", self.issuer)
        self._client.check()
        check_signed_responses(
            self.signed_responses, (self._jwks, self.jwks_uri), self.issuer, self.client_id, self.audience
        )
        if self.signed_responses is not None:
            self._check_keys(self._own_keys, self._jwks, self.jwks_uri)

    def _build_keys(self) -> KeySource | None:
        if self.signed_responses is None:
            return None
        if self._jwks is not None:
            return fixed_keys(self._jwks, DEFAULT_ALGORITHMS)
        location = self.jwks_uri or self._metadata
        return RemoteKeySource(self._server, location, _KEY_LIFETIMES, self.signer, DEFAULT_ALGORITHMS)

    def _build_signed_responses(self) -> SignedResponses | None:
        keys, is_required = self._own_keys, self.signed_responses == "required"
        return None if keys is None else SignedResponses(keys=keys, required=is_required, audiences=self._own_names)

    def _own_names(self) -> Collection[str]:
        # RFC 9701 §5: "aud" identifies the resource server, by its client_id or by its own identifier.
        names = {self.client_id, *(self.audience if isinstance(self.audience, tuple) else self._resources)}
        return [name for name in names if name is not None]

    @property
    def takes_audience_from_protector(self) -> bool:
        """See `RemoteTokenValidator`. As with Authlib, a custom ``introspect_token`` must check the audience itself."""
        return super().takes_audience_from_protector and not self._overrides.introspect_token

    def fingerprint(self) -> dict[str, Any]:
        """See `RemoteTokenValidator.fingerprint`."""
        return {
            **super().fingerprint(),
            "introspection_endpoint": self.introspection_endpoint,
            "client_id": self.client_id,
            "client_auth": self.client_auth,
            # A server may distinguish tenants by the secret alone.
            "client_secret": digest_of(self._client_secret),
            "scope_claim": self.scope_claim,
            "signed_responses": self.signed_responses,
            "jwks_uri": self.jwks_uri,
            "jwks": repr_of_keys(self._own_keys, self._jwks),
        }

    @property
    def _only_issuer(self) -> str | None:
        # JWTs from other issuers are not sent to this server.
        issuer: str | None = self.issuer
        return issuer

    def authenticate_flow(self, token: Secret[str], context: AuthorizationContext | None = None) -> Flow[Any]:
        """Introspect ``token``, or use an earlier result. `read_state` refuses inactive tokens later."""
        return (yield from self._find_flow(token, context))[0]

    def find_flow(self, token: Secret[str], context: AuthorizationContext) -> Flow[tuple[Any, TokenState]]:
        """See `RemoteTokenValidator.find_flow`."""
        found, result, policy = yield from self._find_flow(token, context)
        if not isinstance(found, AccessToken):
            return found, TokenState(Reason.INACTIVE_TOKEN)
        # The lookup of a user takes time.
        reason = None if self.user_lookup is None else self._check_times(found, context)
        state = TokenState(reason) if reason is not None else self._state_of(found, found.user, context)
        state.remembered = (result, policy)
        return found, state

    def _find_flow(
        self, token: Secret[str], context: AuthorizationContext | None
    ) -> Flow[tuple[Any, Any, IntrospectionPolicy]]:
        _, audiences, signer, cache, fresh = self._surroundings(context)
        policy, trace = self._policy_for(audiences), None if context is None else context.trace
        if trace is not None:
            trace.reach(WORD)
        result = yield from self._result_flow(token, signer, cache, fresh)
        is_cacheable = type(result) is IntrospectionResult
        claims = result.claims if is_cacheable else result
        # The claims of a result never change, so they need to pass the other rules only once.
        rules = policy.timed if is_cacheable and result.passed is policy and trace is None else policy.rules
        reason = first_failure(rules, CheckedClaims(policy, claims), trace)
        if reason is Reason.INACTIVE_TOKEN:
            return dict(claims) if is_cacheable else claims, result, policy
        if reason is not None:
            raise error_of(reason)
        if is_cacheable:
            result.passed = policy
        user = None if self.user_lookup is None else (yield from self._user_flow(claims, context))
        if self._overrides.introspect_token and self.user_lookup is None:
            # Return the result of the hook unchanged.
            return claims, result, policy
        return self._present(result, (), user), result, policy

    def _remembered(self, key: bytes) -> IntrospectionResult | None:
        return self._results.cached(key, self._server.clock.steady())

    def _admit(
        self, key: bytes, known: IntrospectionResult, circumstances: Any, admission: RememberedAdmission
    ) -> None:
        self._results.admit(key, known, circumstances, admission)

    def _present(self, known: Any, audiences: Collection[str], user: Any = None) -> AccessToken:
        # Share nothing with other requests that a view could change.
        is_result = type(known) is IntrospectionResult
        claims = known.claims if is_result else own_copy(dict(known))
        token = AccessToken(claims, user=user, client_id=read_client(self._profile, claims), profile=self._profile)
        if is_result:
            known.separate(token)
        token._scope = token.get(self.scope_claim)
        return token

    def _result_flow(self, token: Secret[str], signer: CacheSigner | None, cache: str | None, fresh: bool) -> Flow[Any]:
        """The result from the server, or the claims from a subclass's hook."""
        if self._overrides.introspect_token:
            hook_flow = partial(call_hook_flow, self.introspect_token, token, fresh=fresh)
            return self._introspection.ask_hook_flow(hook_flow, token, fresh, signer)
        return self._introspection.ask_flow(token, fresh=fresh, cache=cache, signer=signer)

    def _tables(self, context: AuthorizationContext) -> Iterator[tuple[Sequence[Rule[Any, Any]], Any]]:
        yield (RECOGNISED,), None
        yield INTROSPECTION, self._policy(context)
        yield (USER,), self

    def _policy(self, context: AuthorizationContext | None) -> IntrospectionPolicy:
        return self._policy_for(self._audiences(context))

    def _policy_for(self, audiences: Collection[str] | None) -> IntrospectionPolicy:
        policy = self._policies.get(audiences)
        if policy is None:
            policy = IntrospectionPolicy(
                profile=self._profile,
                issuer=self.issuer,
                audiences=audiences,
                clock=self._server.clock,
                # As with Authlib, a custom `validate_token` must check the lifetime itself.
                checks_times=overridden(self, "validate_token") is None,
                is_jwt=False,
            )
            policy = setdefault_bounded(self._policies, audiences, policy)
        return policy

    def _is_client_token(self, claims: Mapping[str, Any]) -> bool:
        # Servers name the user in either claim. If it is the name of the client, there is no user (RFC 9068 §5).
        named = [claims[name] for name in ("sub", "username") if claims.get(name) is not None]
        return not named or claims.get("client_id") in named

    def read_state(self, token: Any, context: AuthorizationContext) -> TokenState:
        """Check the response again now."""
        if has_own_rules(token):
            return super().read_state(token, context)
        if not is_active_response(token):
            return TokenState(Reason.INACTIVE_TOKEN)
        reason = self._check_state(token, context)
        return TokenState(reason) if reason is not None else self._state_of(token, read_user(token), context)

    def _state_of(self, token: Mapping[str, Any], user: Any, context: AuthorizationContext) -> TokenState:
        state, names = self._read_grant_of(token, user), context.requirements.attributes
        state.attributes = {name: read_attribute_values(self._profile, token, name, ()) for name in names}
        return state

    def _read_grant_of(self, token: Mapping[str, Any], user: Any) -> TokenState:
        scope = token.get(self.scope_claim)
        return TokenState(None, scope, user, {}, token.get("cnf"), token.get("token_type"))

    def _check_before_hook(self, token: Any) -> Reason | None:
        """See `TokenValidator._check_before_hook`. A custom ``validate_token`` may not check ``active``."""
        return check_active(token, is_found_here=not self._overrides.authenticate_token)

    def invalidate_flow(self, token: Secret[str], cache: str | None) -> Flow[None]:
        """Delete the results for ``token``."""
        if self._overrides.introspect_token:
            self._results.forget(self.signer().digest(token), self._server.clock.steady())
        else:
            yield from self._introspection.forget_flow(token, self._cache_for(cache))

    def introspect_token(self, token_string: str) -> Any:
        """Introspect a token. Returns the response as a dictionary, which contains at least ``active``.

        Raises:
            InvalidTokenError: ``token_string`` does not have the form of a bearer token (RFC 6750 §2.1).
            TemporarilyUnavailableError: the server could not be reached.
            SynchronousOnlyOperation: an event loop is running in this thread.
        """
        token_string = PresentedToken(token_string)
        return run_outside_loop(self._response_flow(Secret(token_string)), "await aintrospect_token()")

    async def aintrospect_token(self, token_string: str) -> Any:
        """See `introspect_token`."""
        token_string = PresentedToken(token_string)
        return await arun(self._response_flow(Secret(token_string)))

    def _response_flow(self, token: Secret[str]) -> Flow[dict[str, Any]]:
        result = yield from self._introspection.ask_flow(token, fresh=is_fresh(), cache=None)
        return dict(own_copy(dict(result.claims)))
