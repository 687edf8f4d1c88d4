"""What to do about each `Reason`."""

from collections.abc import Mapping

from .errors import Reason

__all__ = ["REMEDIES"]

REMEDIES: Mapping[Reason, str] = {
    Reason.MISSING_CREDENTIALS: (
        "Send the token in the header `Authorization: Bearer <token>`. If the client does, a proxy drops the header: "
        "under mod_wsgi, for one, `WSGIPassAuthorization On` is needed."
    ),
    Reason.UNSUPPORTED_SCHEME: (
        "Send the token with the scheme of the challenge, which is `Bearer` unless a validator has another TOKEN_TYPE."
    ),
    Reason.MALFORMED_CREDENTIALS: (
        "Send the scheme, one space, and the token as it was issued, and nothing else: no quotes, no line break, and "
        "no characters beside letters, digits and `-._~+/=`."
    ),
    Reason.REPEATED_CREDENTIALS: (
        "Send one Authorization header with one token. Where the client does, look for a proxy that adds a second."
    ),
    Reason.TOKEN_TOO_LONG: (
        "A token has 32,768 characters at most. Ask the authorization server for fewer claims, such as groups by "
        "reference, or for opaque tokens."
    ),
    Reason.UNRECOGNISED_TOKEN: (
        "No validator takes tokens of this form, or JWTs of this issuer. Compare `iss` with the `issuer` of the "
        "validators, and the token with their `token_format`; add a validator for this source."
    ),
    Reason.UNKNOWN_TOKEN: (
        "No row holds this token: it was deleted, belongs to another deployment, or is longer than the column. Where "
        "the column holds digests, name the algorithm with `digest`, and the column with `lookup`."
    ),
    Reason.AMBIGUOUS_TOKEN: (
        "Two rows hold this token. Delete both, and give the column of `lookup` a unique constraint."
    ),
    Reason.EXPIRED: (
        "Get a new token. Where it should be good still, compare the clocks of both machines, and for JWTs see "
        "`leeway`."
    ),
    Reason.REVOKED: "Get a new token: this one was revoked.",
    Reason.INACTIVE_USER: (
        "The token's user is not active, or gone. Make them active again, or let their tokens in with "
        "`require_active_user=False`, which tokens in a model have."
    ),
    Reason.UNUSABLE_CLIENT: (
        "The `is_usable()` of the token's application says no: make the application usable again, or use another "
        "client."
    ),
    Reason.WRONG_AUDIENCE: (
        "The token was issued for another resource. Ask for it with this site as the audience, or name the audience "
        "that it has in `RESOURCE`, or in `resource_server` (JWTs) or `audience` (introspection) of the validator."
    ),
    Reason.MALFORMED_SCOPE: (
        "The token's scopes are neither a string nor a list of strings: mend what the authorization server writes "
        "there, or the model's `get_scope()`."
    ),
    Reason.INSUFFICIENT_SCOPE: (
        "Ask the authorization server for a token with the scopes that the challenge names, or change what the view "
        "asks for: `require_oauth(scopes)`. If the token has them under another claim, see `profile` and "
        "`scope_claim`."
    ),
    Reason.METHOD_NOT_NAMED: (
        'The view\'s scopes are a mapping by method that lacks this one. Name the method there, or `"*"` for all '
        "others."
    ),
    Reason.INSUFFICIENT_GROUPS: (
        "Put the user into one of the groups that the view asks for, and have the server write `groups` into its "
        "tokens; `profile` says where they are looked for."
    ),
    Reason.INSUFFICIENT_ROLES: (
        "Give the user one of the roles that the view asks for, and have the server write `roles` into its tokens; "
        "`profile` says where they are looked for."
    ),
    Reason.INSUFFICIENT_ENTITLEMENTS: (
        "Give the user one of the entitlements that the view asks for, and have the server write `entitlements` into "
        "its tokens; `profile` says where they are looked for."
    ),
    Reason.NO_USER: (
        "The view has `require_user=True`, and the token speaks for no user. Use a user's token, not a client's own, "
        "and give a remote validator a `user_lookup`."
    ),
    Reason.CHECK_FAILED: "The view's `check` returned False: read that function.",
    Reason.REFUSED_BY_HOOK: (
        "Code of the site's own refused the token: a hook of the validator's class, a `check`, or a model's method. "
        "Look for where it raises."
    ),
    Reason.MALFORMED_JWT: (
        "This is no signed JWT in compact form. Copy it whole, with its two dots; where it is an opaque or an "
        "encrypted token, use `IntrospectTokenValidator`, or have the server issue signed JWTs."
    ),
    Reason.WRONG_TYPE: (
        "This is another kind of JWT than an access token, an ID token perhaps. Send the access token; if it is one, "
        "choose the `profile` of its server (the page on providers lists them)."
    ),
    Reason.UNSUPPORTED_ALGORITHM: (
        "Have the server sign with one of the validator's `algorithms`, or add the token's `alg` to them. `none` is "
        "never accepted, and HS256, HS384 and HS512 only with `jwks`."
    ),
    Reason.CRITICAL_HEADER: (
        "The token's header has `crit` or `b64`, which no JWT access token needs. Have the server issue it without."
    ),
    Reason.WRONG_ISSUER: (
        "`iss` is not exactly the validator's `issuer`: compare the two, a slash at the end included. The token may "
        "be of another tenant, or of another environment."
    ),
    Reason.MISSING_CLAIM: (
        "The token lacks a claim that its `profile` requires. Choose the profile of its server, or have the server "
        "write the claim."
    ),
    Reason.MALFORMED_CLAIM: (
        "A claim has a type that it cannot have, such as a time that is no number. Mend what the authorization "
        "server writes."
    ),
    Reason.WRONG_CLAIM: (
        "A claim holds something else than the `profile` asks for, as an ID token of the same server does. Send the "
        "access token, or choose another profile."
    ),
    Reason.NOT_YET_VALID: (
        "`nbf` is in the future: compare the clocks of both machines, or raise `leeway` (300 seconds at most)."
    ),
    Reason.ISSUED_IN_FUTURE: "`iat` is more than a minute ahead: set the clocks of both machines right.",
    Reason.UNKNOWN_KEY: (
        "The issuer publishes no key with this `kid` and `alg`. Compare them with its key set: the token may be of "
        "another environment, or `jwks` or `jwks_uri` may be another server's. After a rotation new keys are fetched "
        "at most once in `cooldown` seconds."
    ),
    Reason.BAD_SIGNATURE: (
        "The token was changed, cut or forged, or signed with another key of the same `kid`. Get a new one; if that "
        "is refused as well, compare `jwks` or `jwks_uri` with the server's own."
    ),
    Reason.SENDER_CONSTRAINED: (
        "The token is bound to a key or a certificate (`cnf`), or of another `token_type` than Bearer, which nothing "
        "checks here. Have the server issue plain bearer tokens to this client."
    ),
    Reason.INACTIVE_TOKEN: (
        "The server says that the token is not active: get a new one. If the server issued it just now, the "
        "validator may ask another server or realm, or `client_id` may not be allowed to see it."
    ),
    Reason.UNKNOWN_USER: (
        "`user_lookup` found nobody, or more than one. Make the user, or look them up by another field: "
        '`user_lookup=("field", "claim")`.'
    ),
    Reason.DATABASE_UNAVAILABLE: (
        "The database did not answer: see whether it runs, whether its migrations were applied, and whether its pool "
        "of connections is large enough."
    ),
    Reason.SERVER_UNREACHABLE: (
        "There was no connection to the authorization server: see that its name resolves here, that a firewall or a "
        "proxy lets the call out, and that its certificate holds (`verify`)."
    ),
    Reason.SERVER_TOO_SLOW: (
        "The authorization server did not answer within `timeout`: see what it is busy with, or raise `timeout`."
    ),
    Reason.SERVER_ANSWER_UNUSABLE: (
        "The authorization server's answer is none: another status than 200, other than JSON, too long or "
        "compressed. Open the address that was called; the log of `async_oauth_guard.outgoing` says what was wrong."
    ),
    Reason.TOKEN_ANSWER_UNUSABLE: (
        "The server's answer about this token is none. See that `introspection_endpoint` is the one of RFC 7662; the "
        "log of `async_oauth_guard.outgoing` says what was wrong."
    ),
    Reason.SERVER_REFUSES_US: (
        "The introspection endpoint refuses our own credentials. Set `client_id`, `client_secret` and `client_auth` "
        "right, and allow this client to introspect."
    ),
    Reason.METADATA_UNUSABLE: (
        "The server's metadata name another issuer, or lack the address that is needed. Write `issuer` exactly as "
        "the metadata do, or give `jwks_uri` or `introspection_endpoint`."
    ),
    Reason.KEYS_UNAVAILABLE: (
        "No usable key was found. Look at the key set: it needs public keys for signatures, of the validator's "
        "`algorithms`; the log of `async_oauth_guard.jose` says which were left out, and why."
    ),
    Reason.BACKING_OFF: (
        "The authorization server has just failed, so it was not asked again yet. Mend that first: the log of "
        "`async_oauth_guard.outgoing` says how it failed."
    ),
    Reason.TOO_MANY_CALLS: (
        "Too many calls to the authorization server wait already. See why it is slow, cache its answers for longer "
        "(`cache_ttl`), or raise `max_concurrency`."
    ),
}
"""For each reason, in a sentence or two, what to do."""
