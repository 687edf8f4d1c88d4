"""How to fix each `Reason` for a refusal."""

from collections.abc import Mapping

from ..errors import Reason

__all__ = ["REMEDIES"]

REMEDIES: Mapping[Reason, str] = {
    Reason.MISSING_CREDENTIALS: (
        "Send the token in the header `Authorization: Bearer <token>`. If the client already does, a proxy or server "
        "removes the header. mod_wsgi, for example, needs `WSGIPassAuthorization On`."
    ),
    Reason.UNSUPPORTED_SCHEME: (
        "Send the token with the scheme that the challenge names. It is `Bearer`, unless a validator has another "
        "`TOKEN_TYPE`."
    ),
    Reason.MALFORMED_CREDENTIALS: (
        "Send the scheme, one space, and the token as it was issued. Send nothing else: no quotes, no line break, and "
        "no characters other than letters, digits and `-._~+/=`."
    ),
    Reason.REPEATED_CREDENTIALS: (
        "Send one Authorization header with one token. If the client already does, look for a proxy that adds a second "
        "one."
    ),
    Reason.TOKEN_TOO_LONG: (
        "The header may have at most 32,768 characters, including the scheme. Configure the authorization server to "
        "write fewer claims, such as groups by reference, or to issue opaque tokens."
    ),
    Reason.UNRECOGNISED_TOKEN: (
        "No validator accepts tokens of this form, or JWTs of this issuer. Compare `iss` with the `issuer` of the "
        "validators, and the token with their `token_format`. Or add a validator for the source of the token."
    ),
    Reason.UNKNOWN_TOKEN: (
        "No row has this token. It was deleted, belongs to another deployment, or is longer than the column. If the "
        "column contains digests, set `digest` to the algorithm and `lookup` to the column."
    ),
    Reason.AMBIGUOUS_TOKEN: (
        "Two rows have this token. Delete both, and add a unique constraint to the column that `lookup` names."
    ),
    Reason.EXPIRED: (
        "Get a new token. If this one should still be valid, compare the clocks of both machines, and for JWTs see "
        "`leeway`."
    ),
    Reason.REVOKED: "This token was revoked. Get a new one.",
    Reason.INACTIVE_USER: (
        "The token's user is inactive or was deleted. Activate the user. To let in tokens of inactive users, set "
        "`require_active_user=False`; only validators of database tokens have this option."
    ),
    Reason.UNUSABLE_CLIENT: (
        "`is_usable()` of the token's application returned False. Make the application usable again, or use another "
        "client."
    ),
    Reason.WRONG_AUDIENCE: (
        "The token was issued for another resource. Request a token with this site as the audience. Or set `RESOURCE`, "
        "or the validator's `resource_server` (JWTs) or `audience` (introspection), to the token's audience."
    ),
    Reason.MALFORMED_SCOPE: (
        "The token's scopes must be a string or a list of strings. Correct what the authorization server writes there, "
        "or what the model's `get_scope()` returns."
    ),
    Reason.INSUFFICIENT_SCOPE: (
        "At the authorization server, request a token with the scopes that the challenge names. Or change the scopes "
        "that the view requires. If a JWT or an introspected token has them in another claim, see `profile` and "
        "`scope_claim`."
    ),
    Reason.INSUFFICIENT_ACR: (
        "The user must authenticate in another way. Send the user to the authorization server with the `acr_values` of "
        "the challenge. If the token has no `acr`, configure the server to write it into its access tokens (see the "
        "page on step-up authentication)."
    ),
    Reason.AUTHENTICATION_TOO_OLD: (
        "The user must authenticate again. Send the user to the authorization server with the `max_age` of the "
        "challenge. If the token has no `auth_time`, configure the server to write it into its access tokens. If it is "
        "in the future, correct the clocks."
    ),
    Reason.INSUFFICIENT_AUTHORIZATION_DETAILS: (
        "Request a token with the `authorization_details` that the view requires, and configure the server to write "
        "them into its tokens and introspection responses."
    ),
    Reason.METHOD_NOT_NAMED: (
        'The view\'s scopes are a mapping by method, without this method. Add the method, or `"*"` for all other '
        "methods."
    ),
    Reason.INSUFFICIENT_GROUPS: (
        "Add the user to one of the groups that the view requires, and configure the server to write `groups` into its "
        "tokens. The `profile` decides which claim is read."
    ),
    Reason.INSUFFICIENT_ROLES: (
        "Give the user one of the roles that the view requires, and configure the server to write `roles` into its "
        "tokens. The `profile` decides which claim is read."
    ),
    Reason.INSUFFICIENT_ENTITLEMENTS: (
        "Give the user one of the entitlements that the view requires, and configure the server to write "
        "`entitlements` into its tokens. The `profile` decides which claim is read."
    ),
    Reason.NO_USER: (
        "The view has `require_user=True`, and the token has no user. Use a token that was issued for a user, not one "
        "that a client got for itself. For JWTs and introspection, set `user_lookup`."
    ),
    Reason.AUTHENTICATED_OTHERWISE: (
        "Another authentication class of Django REST framework has authenticated the request, so its token was not "
        "checked. Put `OAuthAuthentication` first in `authentication_classes`. In tests, do not use "
        "`force_authenticate()` together with `override_oauth`."
    ),
    Reason.CHECK_FAILED: "The view's `check` returned False. Read that function to see why.",
    Reason.REFUSED_BY_HOOK: (
        "The site's own code refused the token: a hook of the validator's class, a `check`, or a model's method. Find "
        "where that code raises the error."
    ),
    Reason.MALFORMED_JWT: (
        "This is not a signed JWT in compact form. Send the whole token, with its two dots. For opaque or encrypted "
        "tokens, use `IntrospectTokenValidator`, or configure the server to issue signed JWTs."
    ),
    Reason.WRONG_TYPE: (
        "This is not an access token. It may be an ID token. Send the access token. If it is an access token, set "
        "`profile` to the profile of its server (the page on providers lists them)."
    ),
    Reason.UNSUPPORTED_ALGORITHM: (
        "Configure the server to sign with one of the validator's `algorithms`, or add the token's `alg` to them. "
        "`none` is never accepted. HS256, HS384 and HS512 are accepted only with `jwks`."
    ),
    Reason.CRITICAL_HEADER: (
        "The token's header has `crit` or `b64`, which no JWT access token needs. Configure the server to issue tokens "
        "without them."
    ),
    Reason.WRONG_ISSUER: (
        "`iss` must be exactly the validator's `issuer`. Compare the two, including a slash at the end. The token may "
        "come from another tenant or another environment."
    ),
    Reason.MISSING_CLAIM: (
        "The token lacks a claim that its `profile` requires. Set `profile` to the profile of its server, or configure "
        "the server to write the claim."
    ),
    Reason.MALFORMED_CLAIM: (
        "A claim has the wrong type, such as a time that is not a number. Correct what the authorization server writes."
    ),
    Reason.WRONG_CLAIM: (
        "A claim has another value than the `profile` requires, as in an ID token of the same server. Send the access "
        "token, or choose another profile."
    ),
    Reason.NOT_YET_VALID: (
        "`nbf` is in the future. Compare the clocks of both machines, or raise `leeway` (at most 300 seconds)."
    ),
    Reason.ISSUED_IN_FUTURE: "`iat` is more than a minute in the future. Correct the clocks of both machines.",
    Reason.UNKNOWN_KEY: (
        "The issuer publishes no key with this `kid` and `alg`. Compare them with its key set. The token may come from "
        "another environment, or `jwks` or `jwks_uri` belongs to another server. After a key rotation, keys are "
        "fetched at most once in `cooldown` seconds."
    ),
    Reason.BAD_SIGNATURE: (
        "The token was changed, truncated or forged, or it was signed with another key that has the same `kid`. Get a "
        "new one. If that is refused too, compare `jwks` or `jwks_uri` with the server's key set."
    ),
    Reason.SENDER_CONSTRAINED: (
        "The token is bound (`cnf`, or a `token_type` other than Bearer), and the request does not prove possession. "
        "Send a DPoP proof to a protector with `dpop`, or the certificate to one with `mtls`; or configure the server "
        "to issue bearer tokens to this client."
    ),
    Reason.UNBOUND_TOKEN: (
        "The token was presented with the scheme DPoP, but it is not bound to a key (`cnf` with `jkt`), or its "
        "`token_type` is Bearer. Send it with the scheme Bearer, or get a token with a DPoP proof at the server."
    ),
    Reason.BINDING_REQUIRED: (
        "The view has `sender_constrained=True`, and the token is not bound to a key or a certificate. Get a token "
        "with a DPoP proof or a client certificate at the server."
    ),
    Reason.WRONG_CONFIRMATION: (
        "The token is bound to another key or certificate than the one of this request. Use the key with which the "
        "token was requested."
    ),
    Reason.UNSUPPORTED_CONFIRMATION: (
        "`cnf` is empty, malformed, or has a member that cannot be checked here. Configure the server to bind "
        "tokens with `jkt` or `x5t#S256`, or to issue plain bearer tokens to this client."
    ),
    Reason.MISSING_PROOF: (
        "Send a DPoP proof in the header `DPoP`, a new one with each request. If the client does, a proxy or server "
        "removes the header."
    ),
    Reason.REPEATED_PROOF: (
        "Send one `DPoP` header with one proof. If the client already does, look for a proxy that adds a second one."
    ),
    Reason.MALFORMED_PROOF: (
        "The proof must be a signed JWT with `jti` (at most 512 characters), `htm`, `htu`, `iat` and `ath`, and "
        "without `crit` and `b64`. `ath` is needed because the proof is sent with an access token."
    ),
    Reason.WRONG_PROOF_TYPE: (
        "The `typ` of a proof must be dpop+jwt. Send the proof in the header `DPoP`, and the token in the header "
        "Authorization."
    ),
    Reason.UNSUPPORTED_PROOF_ALGORITHM: (
        "Sign proofs with an algorithm that the challenge names in `algs`, or add the client's algorithm to "
        "`algorithms` of `dpop`."
    ),
    Reason.WRONG_PROOF_METHOD: (
        "`htm` must be the method of the request, in upper case. Make a new proof for each request, also after a "
        "redirect."
    ),
    Reason.WRONG_PROOF_URI: (
        "`htu` must be the URI that the client requested. If it is, this site does not know its own address: set "
        "`PUBLIC_ORIGIN` to the scheme and host that clients see, and check which path the proxy passes on."
    ),
    Reason.PROOF_ISSUED_IN_FUTURE: (
        "`iat` of the proof is in the future. Correct the clock of the client or of this machine, raise `leeway` of "
        "`dpop`, or use nonces."
    ),
    Reason.EXPIRED_PROOF: (
        "The proof is too old. Make a new proof for each request. If the client does, correct its clock or that of "
        "this machine."
    ),
    Reason.PROOF_FOR_ANOTHER_TOKEN: (
        "`ath` must be the SHA-256 hash of the token that is sent with the proof, in base64url without padding. When "
        "the client gets a new token, its proofs must contain the hash of the new token."
    ),
    Reason.UNUSABLE_PROOF_KEY: (
        "`jwk` must be the public key of the client, without a member of a private key, and fit `alg`. An RSA key "
        "must have 2,048 to 4,096 bits."
    ),
    Reason.BAD_PROOF_SIGNATURE: (
        "The proof was changed, or it was signed with another key than its `jwk`. Check how the client makes proofs."
    ),
    Reason.REPLAYED_PROOF: (
        "The proof was used before. Make a new one for each request, with a new `jti`, also if a request is sent "
        "again. If the client does, someone else may have used its proof."
    ),
    Reason.MISSING_NONCE: (
        "The proof must have a `nonce`. Take it from the header DPoP-Nonce of the response, and send the request again."
    ),
    Reason.INVALID_NONCE: (
        "The `nonce` is too old, or this site did not issue it. Take the new one from the header DPoP-Nonce of the "
        "response. If this happens each time, the workers have different SECRET_KEYs."
    ),
    Reason.INACTIVE_TOKEN: (
        "The server says that the token is inactive. Get a new one. If the server has just issued it, the validator "
        "may use another server or realm, or `client_id` may not be allowed to introspect it."
    ),
    Reason.UNKNOWN_USER: (
        "`user_lookup` found no user, or more than one. Create the user, or look users up by another field: "
        '`user_lookup=("field", "claim")`. An e-mail address that the token marks as unverified finds no user.'
    ),
    Reason.DATABASE_UNAVAILABLE: (
        "The database did not respond. Check that it runs, that its migrations were applied, and that its connection "
        "pool is large enough."
    ),
    Reason.SERVER_UNREACHABLE: (
        "The authorization server could not be reached. Check that its name resolves on this machine, that firewalls "
        "and proxies allow the request, and that its certificate is valid (`verify`)."
    ),
    Reason.SERVER_TOO_SLOW: (
        "The authorization server did not respond within `timeout`. Find out why it is slow, or raise `timeout`."
    ),
    Reason.SERVER_ANSWER_UNUSABLE: (
        "The authorization server's response is unusable: its status is not 200, or it is not JSON, too long or "
        "compressed. Open the address that was requested. The log of `async_oauth_guard.outgoing` says what was wrong."
    ),
    Reason.TOKEN_ANSWER_UNUSABLE: (
        "The introspection endpoint rejected the request about this token, with a status such as 400 or 404. Check "
        "that `introspection_endpoint` is an endpoint for RFC 7662. The log of `async_oauth_guard.outgoing` names the "
        "status."
    ),
    Reason.SERVER_REFUSES_US: (
        "The introspection endpoint refuses the credentials of this site. Correct `client_id`, `client_secret` and "
        "`client_auth`, and allow this client to introspect tokens."
    ),
    Reason.METADATA_UNUSABLE: (
        "The server's metadata names another issuer, or lacks a required address. Write `issuer` exactly as in the "
        "metadata, or set `jwks_uri` or `introspection_endpoint`."
    ),
    Reason.KEYS_UNAVAILABLE: (
        "No usable key was found. The key set must contain public signing keys for the validator's `algorithms`. The "
        "log of `async_oauth_guard.jose` says which keys were skipped, and why."
    ),
    Reason.BACKING_OFF: (
        "The authorization server has just failed, so no new request was sent yet. Fix that failure first. The log of "
        "`async_oauth_guard.outgoing` says how it failed."
    ),
    Reason.TOO_MANY_CALLS: (
        "Too many requests to the authorization server are already waiting. Find out why it is slow, cache its "
        "responses for longer (`cache_ttl`), or raise `max_concurrency`."
    ),
    Reason.REPLAY_STORE_UNAVAILABLE: (
        "The cache of the protector did not say whether the proof is new. Check that it runs and has memory left. The "
        "log of `async_oauth_guard.cache` says how it failed."
    ),
    Reason.REPLAY_STORE_FULL: (
        "This client sends too many proofs with one key: this process remembers 50,000. Find out why. Or lower "
        "`max_age` of `dpop`, or give the client more keys."
    ),
}
"""What to do about each reason, in a few sentences."""
