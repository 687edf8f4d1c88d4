"""Tokens that an authorization server is asked about (RFC 7662)."""

import base64
import re
import ssl
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, get_args
from urllib.parse import quote_plus

from ..claims import check_audience, check_authorization_details, check_issuer, check_times, check_unbound
from ..credentials import PresentedToken, Secret, is_token68
from ..effects import Call, Flow
from ..errors import InvalidTokenError, Reason
from ..flows.authorization import Inquiry
from ..flows.discovery import Metadata
from ..flows.introspection import Introspection, Lifetimes, SignedResponses, Verdicts
from ..flows.keysets import KeySource, RemoteKeys
from ..flows.keysets import Lifetimes as KeyLifetimes
from ..flows.users import UserLookup
from ..hooks import door, hook
from ..jose import DEFAULT_ALGORITHMS, check_signing_key, peek_issuer, sign_jwt
from ..memory import Memory
from ..profiles import PROFILES, read_attribute_values, read_client
from ..runtime import arun, run_outside_loop
from ..scopes import own_copy
from ..tokens import AccessToken, TokenState
from .model import compile_format
from .remote import (
    FROM_PROTECTOR,
    Audience,
    RemoteTokenValidator,
    check_encodable,
    check_lifetimes,
    check_text,
    digest_of,
    fixed_keys,
    naming,
    repr_of_keys,
)

__all__ = ["ClientAuth", "Fields", "IntrospectTokenValidator"]

# Bytes of answers that are remembered: some ten thousand of each kind.
_MEMORY_SIZE = 16 * 1024 * 1024
# Seconds for which a client assertion may be used (RFC 7523 §3: "the JWT MUST contain an "exp" claim").
_ASSERTION_LIFETIME = 60
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# For the keys of signed answers: what `JWTBearerTokenValidator` has unless told otherwise.
_KEY_LIFETIMES = KeyLifetimes(ttl=600.0, cooldown=30.0, max_stale=86_400.0)

ClientAuth = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "bearer", "none"]
Fields = Mapping[str, str | Secret[str]]


class IntrospectTokenValidator(RemoteTokenValidator):
    """Validates tokens by asking their authorization server about them (RFC 7662), without blocking anybody.

    Requests with one token share one call. What the server said is used for a while, never past ``exp``; lifetime,
    audience, scopes and user are judged on every request. Where the server cannot be asked, the answer is 503.

    A subclass may define ``introspect_token(token)``, which gives the answer as a dictionary; see `TokenValidator` for
    the other hooks. It is asked in each request, and answers for the audience itself unless ``audience`` is given. With
    ``cache_identity()``, a string that names all that it depends on, its answers are kept like a server's.

    Args:
        introspection_endpoint: where the server is asked. Left out, it is discovered by ``issuer``.
        issuer: the server's issuer identifier. Where an answer or a JWT names another, it is not taken.
        client_id: who we are to the server.
        client_secret: how we prove it: a secret; for ``private_key_jwt`` a private key as PEM text or JWK; for
            ``bearer`` a token.
        client_auth: the method: ``client_secret_basic``, ``client_secret_post``, ``private_key_jwt``, ``bearer`` or
            ``none``.
        audience: who we are to clients, one or several, of which one must be in ``aud``. Left out, the protector's
            ``resource``; ``None`` lets in tokens that were meant for others.
        scope_claim: the member that holds the scopes.
        cache_ttl: seconds for which a yes is used without asking again.
        negative_ttl: seconds for which a no is.
        stale_if_error: further seconds for which a yes is used while the server cannot be asked.
        timeout: seconds for all that one request waits for.
        max_concurrency: calls at a time; further ones queue within their timeout.
        user_lookup: see `JWTBearerTokenValidator`.
        token_format: a regular expression that the whole token must match; others are not asked about.
        signed_responses: ``"accepted"`` or ``"required"``, for answers as signed JWTs (RFC 9701); needs ``issuer``.
        jwks_uri: where the keys of signed answers are; left out, discovered by ``issuer``.
        jwks: those keys themselves, as a JWK Set or joserfc's ``KeySet``.
        http_client: see `JWTBearerTokenValidator`; its pool has to allow ``max_concurrency`` connections.
        verify: see `JWTBearerTokenValidator`.
        allow_insecure_http: whether ``http`` may be used other than on a loopback address. Whoever listens there sees
            every token.
        realm: see `TokenValidator`.
        extra_attributes: see `TokenValidator`.

    Raises:
        ValueError, TypeError: an option has a value that cannot work.
    """

    _kind = "IntrospectTokenValidator"
    _sharing_hooks = ("introspect_token",)
    _twins = (*RemoteTokenValidator._twins, "aintrospect_token")

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
        super().__init__(
            realm,
            extra_attributes,
            issuer=issuer,
            audience=audience,
            audience_argument="audience",
            profile=PROFILES["rfc9068"],
            max_concurrency=max_concurrency,
            timeout=timeout,
            user_lookup=user_lookup,
            http_client=http_client,
            verify=verify,
            allow_insecure_http=allow_insecure_http,
        )
        check_text(scope_claim=scope_claim)
        if issuer is not None:
            check_text(issuer=issuer)
        if client_id is not None:
            check_text(client_id=client_id)
        check_encodable(client_id=client_id, client_secret=client_secret)
        check_lifetimes(cache_ttl=cache_ttl, negative_ttl=negative_ttl, stale_if_error=stale_if_error)
        self.introspection_endpoint = introspection_endpoint
        self.client_id = client_id
        self.client_auth = client_auth
        self.scope_claim = scope_claim
        self.signed_responses = signed_responses
        self.jwks_uri = jwks_uri
        self._jwks = jwks
        self._client_secret = Secret(client_secret)
        self._token_format = compile_format(token_format)
        if self._token_format is not None and not self._token_format.pattern:
            raise ValueError("token_format: no token is empty; leave it out to ask about all")
        self._introspect_token = hook(self, "introspect_token")
        if introspection_endpoint is not None:
            # Of a subclass that answers by itself too: it may call ours.
            self._check_endpoint(introspection_endpoint)
        self._lifetimes = Lifetimes(float(cache_ttl), float(negative_ttl), float(stale_if_error))
        self._begin()
        if not self._answers_itself:
            self._check_options()

    def _begin(self) -> None:
        self._metadata = Metadata(self._server, _KEY_LIFETIMES.max_stale)
        # The keys of signed answers.
        self._own_keys = self._build_keys()
        self._verdicts = Verdicts(Memory(_MEMORY_SIZE), Memory(_MEMORY_SIZE // 2), self._lifetimes)
        self._introspection = Introspection(
            server=self._server,
            endpoint=self.introspection_endpoint or self._metadata,
            authenticate=self._authenticate_ourselves,
            verdicts=self._verdicts,
            vault=self.vault,
            signed=self._build_signed_responses(),
        )

    def _check_endpoint(self, url: Any) -> None:
        try:
            self._check_url("introspection_endpoint", url)
        except ValueError as error:
            if not isinstance(url, str) or "://" in url:
                raise
            raise ValueError(f"{error} (Authlib's first argument, the realm, is realm= here)") from None

    @property
    def _answers_itself(self) -> bool:
        """Whether a subclass finds tokens without a server of ours to ask."""
        if self._introspect_token is not None:
            return True
        return hook(self, "authenticate_token") is not None and self.issuer is None

    def _check_options(self) -> None:
        if self.introspection_endpoint is None and self.issuer is None:
            raise ValueError("introspection_endpoint: give one, or an issuer by which it can be discovered")
        if self.issuer is not None and (self._discovers or self.issuer.startswith("http:")):
            self._check_url("issuer", self.issuer)
        self._check_client_auth()
        self._check_signed_responses()

    @property
    def _discovers(self) -> bool:
        has_keys = self.signed_responses is None or self.jwks_uri is not None or self._jwks is not None
        return self.introspection_endpoint is None or not has_keys

    def _check_client_auth(self) -> None:
        method = self.client_auth
        methods = get_args(ClientAuth)
        if method not in methods:
            # What stands there may be the secret, which has its place in the next line.
            raise ValueError(f"client_auth: one of {', '.join(methods)} is wanted")
        if self.client_id is None and method not in ("bearer", "none"):
            raise ValueError(f"client_id: {method} needs one")
        if not self._client_secret.reveal() and method != "none":
            raise ValueError(f"client_secret: {method} needs one")
        if method == "private_key_jwt":
            with naming("client_secret: private_key_jwt needs a private key"):
                check_signing_key(self._client_secret)  # type: ignore[arg-type]
        elif not isinstance(self._client_secret.reveal(), str | None):
            raise TypeError(f"client_secret: {method} needs a string")
        elif method == "bearer" and not _is_field_value(self._client_secret):
            raise ValueError("client_secret: bearer needs printable ASCII, as a header field holds it")

    def _check_signed_responses(self) -> None:
        if self.signed_responses is None:
            if self.jwks_uri is not None or self._jwks is not None:
                raise ValueError("signed_responses: the keys are for signed answers only; say 'required' or 'accepted'")
            return
        if self.signed_responses not in ("accepted", "required"):
            raise ValueError("signed_responses: 'accepted', 'required' or None is wanted")
        if self.issuer is None:
            raise ValueError("signed_responses: an issuer is needed, whose signature it is")
        if self.client_id is None and self.audience is None:
            raise ValueError("signed_responses: client_id or audience is needed, for whom the answers have to be")
        self._check_keys(self._own_keys, self._jwks, self.jwks_uri)

    # --- the server ---

    def _build_keys(self) -> KeySource | None:
        if self.signed_responses is None:
            return None
        if self._jwks is not None:
            return fixed_keys(self._jwks, DEFAULT_ALGORITHMS)
        location = self.jwks_uri or self._metadata
        return RemoteKeys(self._server, location, _KEY_LIFETIMES, self.vault, DEFAULT_ALGORITHMS)

    def _build_signed_responses(self) -> SignedResponses | None:
        if self._own_keys is None:
            return None
        is_required = self.signed_responses == "required"
        return SignedResponses(keys=self._own_keys, required=is_required, audiences=self._own_names)

    def _own_names(self) -> Collection[str]:
        # RFC 9701 §5: "aud" identifies the resource server: by the name that the server knows us by, or by our own.
        names = {self.client_id, *(self.audience if isinstance(self.audience, tuple) else self._resources)}
        return [name for name in names if name is not None]

    def _authenticate_ourselves(self, url: str, now: float) -> tuple[Fields, Fields]:
        """The header fields and form fields by which the server knows us (RFC 7662 §2.1)."""
        client_id, secret = self.client_id, self._client_secret
        identified: Fields = {} if client_id is None else {"client_id": client_id}
        match self.client_auth:
            case "client_secret_basic":
                return {"Authorization": _basic(client_id or "", secret)}, {}
            case "bearer":
                return {"Authorization": Secret(f"Bearer {secret.reveal()}")}, {}
            case "client_secret_post":
                return {}, {**identified, "client_secret": secret}  # type: ignore[dict-item]
            case "private_key_jwt":
                assertion = self._assertion(self.issuer or url, now)
                return {}, {**identified, "client_assertion_type": _JWT_BEARER, "client_assertion": assertion}
            case _:
                return {}, identified

    def _assertion(self, audience: str, now: float) -> Secret[str]:
        """Who we are, signed (RFC 7523 §2.2, OpenID Connect Core §9)."""
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "jti": uuid.uuid4().hex,
            "iat": int(now),
            "exp": int(now) + _ASSERTION_LIFETIME,
        }
        return Secret(sign_jwt(claims, self._client_secret))  # type: ignore[arg-type]

    # --- one token ---

    @property
    def takes_audience_from_protector(self) -> bool:
        """See `RemoteTokenValidator`. Who wrote ``introspect_token`` answers for the audience, as with Authlib."""
        return super().takes_audience_from_protector and self._introspect_token is None

    def fingerprint(self) -> dict[str, Any]:
        """See `RemoteTokenValidator.fingerprint`."""
        return {
            **super().fingerprint(),
            "introspection_endpoint": self.introspection_endpoint,
            "client_id": self.client_id,
            "client_auth": self.client_auth,
            # One server may tell tenants apart by nothing else.
            "client_secret": digest_of(self._client_secret),
            "scope_claim": self.scope_claim,
            "signed_responses": self.signed_responses,
            "jwks_uri": self.jwks_uri,
            "jwks": repr_of_keys(self._own_keys, self._jwks),
        }

    def recognises(self, token: str) -> bool:
        """Whether ``token`` is of the right form, and no JWT of another issuer than the one that was given."""
        if self._token_format is not None and self._token_format.fullmatch(token) is None:
            return False
        if self._introspect_token is None and not is_token68(Secret(token)):
            return False
        issuer = peek_issuer(Secret(token)) if self.issuer is not None else None
        return issuer is None or issuer == self.issuer

    def authenticate_flow(self, token: Secret[str], inquiry: Inquiry | None = None) -> Flow[Any]:
        """Ask about ``token``, or remember what was said. An inactive token is found, and refused when it is judged."""
        audiences = self._audiences(inquiry)
        claims = yield from self._claims_flow(token, inquiry)
        if not isinstance(claims, Mapping) or claims.get("active") is not True:
            return claims
        reason = self._check_found(claims, audiences)
        if reason is not None:
            raise InvalidTokenError(reason=reason)
        user = yield from self._user_flow(claims)
        if self._introspect_token is not None and self.user_lookup is None:
            # As its author made it.
            return claims
        own = own_copy(dict(claims))
        return AccessToken(
            own,
            user=user,
            token_type=claims.get("token_type") or "Bearer",
            scope=own.get(self.scope_claim),
            client_id=read_client(self._profile, claims),
        )

    def _claims_flow(self, token: Secret[str], inquiry: Inquiry | None) -> Flow[Any]:
        fresh = inquiry is not None and inquiry.requirements.fresh
        if self._introspect_token is None:
            cache = None if inquiry is None else inquiry.cache
            word = yield from self._introspection.ask_flow(token, fresh=fresh, cache=cache)
            return word.claims
        if not self.shares:
            return (yield Call(self.introspect_token, (token,)))
        return (yield from self._remembered_call_flow(self.introspect_token, token, fresh))

    def _remembered_call_flow(self, introspect_token: Callable[..., Any], token: Secret[str], fresh: bool) -> Flow[Any]:
        """What a subclass's hook says, or said not long ago: its class has ``cache_identity()``."""
        key, clock = self.vault().digest(token), self._server.clock
        known = None if fresh else self._verdicts.find(key)
        epoch, began = self._verdicts.epoch_of(key), clock.steady()
        if known is not None and began < known.until:
            return own_copy(known.claims)
        claims = yield Call(introspect_token, (token,))
        if type(claims) is dict and isinstance(claims.get("active"), bool) and claims.get("exp", 0) is not None:
            reason = check_times(claims, clock.wall(), leeway=0, required=False)
            if reason is None or not claims["active"]:
                size = len(repr(claims))
                word = self._verdicts.word(own_copy(claims), began, clock.steady(), clock.wall(), size)
                self._verdicts.keep(key, word, epoch)
        return claims

    def _check_found(self, claims: Mapping[str, Any], audiences: Collection[str] | None) -> Reason | None:
        """RFC 7662 §2.2: what the server says of an active token is for us to compare with what we are."""
        is_judged_here = hook(self, "validate_token") is None
        return (
            (check_issuer(claims, self.issuer) if self.issuer is not None and "iss" in claims else None)
            or (check_audience(claims, audiences) if audiences is not None else None)
            or (self._check_times(claims) if is_judged_here else None)
            or check_unbound(claims)
            or check_authorization_details(claims)
        )

    def _check_times(self, claims: Mapping[str, Any]) -> Reason | None:
        return check_times(claims, self._server.clock.wall(), leeway=0, required=False)

    def _is_client_token(self, claims: Mapping[str, Any]) -> bool:
        # Servers name the user by either; one that is named as the client is called is no user (RFC 9068 §5).
        named = [claims[name] for name in ("sub", "username") if claims.get(name) is not None]
        return not named or claims.get("client_id") in named

    def read_state(self, token: Any, inquiry: Inquiry) -> TokenState:
        """What the answer says at this moment."""
        if not isinstance(token, Mapping) and hasattr(token, "is_expired"):
            return super().read_state(token, inquiry)
        # RFC 7662 §2.2: a Boolean, in an object; nothing else is a yes.
        if not isinstance(token, Mapping) or token.get("active") is not True:
            return TokenState(Reason.INACTIVE_TOKEN)
        # A subclass's `authenticate_token` may not have asked ours.
        reason = None if self._has_state_at_hand else self._check_found(token, self._audiences(inquiry))
        reason = reason or self._check_times(token)
        if reason is not None:
            return TokenState(reason)
        asked = inquiry.requirements.attributes
        attributes = {name: read_attribute_values(self._profile, token, name, ()) for name in asked} if asked else {}
        return TokenState(None, token.get(self.scope_claim), getattr(token, "user", None), attributes)

    def invalidate_flow(self, token: Secret[str], cache: str | None) -> Flow[None]:
        """Forget what was said of ``token``."""
        if self._introspect_token is None:
            yield from self._introspection.forget_flow(token, cache)
        else:
            self._verdicts.forget(self.vault().digest(token), self._server.clock.steady())

    @door
    def introspect_token(self, token_string: str) -> Any:
        """What the server says of a token, as a dictionary with ``active`` at least.

        Raises:
            TemporarilyUnavailableError: it could not be asked.
            SynchronousOnlyOperation: an event loop runs in this thread.
        """
        token_string = PresentedToken(token_string)
        return run_outside_loop(self._answer_flow(Secret(token_string)), "await aintrospect_token()")

    @door
    async def aintrospect_token(self, token_string: str) -> Any:
        """See `introspect_token`."""
        token_string = PresentedToken(token_string)
        return await arun(self._answer_flow(Secret(token_string)))

    def _answer_flow(self, token: Secret[str]) -> Flow[dict[str, Any]]:
        word = yield from self._introspection.ask_flow(token, fresh=False, cache=None)
        return dict(own_copy(dict(word.claims)))


def _is_field_value(secret: Secret[Any]) -> bool:
    text = secret.reveal()
    return bool(text.isascii() and text.isprintable())


def _basic(client_id: str, secret: Secret[Any]) -> Secret[str]:
    # RFC 6749 §2.3.1: both are form-encoded first, so that a colon in one of them separates nothing.
    return Secret(
        "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}".encode()).decode()
    )
