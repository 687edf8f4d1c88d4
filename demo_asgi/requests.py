"""Requests with tokens of the database, each with the expected response.

The ``curl`` lines and the tour use this list. Requests with tokens of the authorization server are in `remote` and
`bound`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .authority.clients import DemoClient
from .responses import ANYTHING, ResponseSummary

Headers = tuple[tuple[str, str], ...]

DEMO = "demo"
AUTHORITY = "authority"
"""The two servers."""
BODY = "body"
"""The part of a response that is kept: the whole body."""

_REFUSAL = {"Cache-Control": "no-store", "Vary": "Authorization"}


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """A request, what it shows, and the expected response.

    Attributes:
        headers: header fields. ``$NAME`` in a value or in the form stands for the part of a response that was kept
            under this name, or for the origin of the server with this name.
        client: the client that authenticates at the authorization server.
        at: the server that receives the request.
        keeps: the name under which a part of the response is kept.
        part: the part to keep: `BODY`, or the name of a header field. By default, the access token.
        within: the request is repeated for so many seconds until it gets the expected response.
    """

    shows: str
    line: str
    expected: ResponseSummary
    headers: Headers = ()
    form: str | None = None
    client: DemoClient | None = None
    at: str = DEMO
    keeps: str | None = None
    part: str | None = None
    within: float = 0

    @property
    def method(self) -> str:
        return self.line.split()[0]

    @property
    def path(self) -> str:
        return self.line.split()[1]


# --- Credentials ------------------------------------------------------------------------------------------------------


def bearer(token: str) -> Headers:
    return authorization(f"Bearer {token}")


def authorization(*values: str) -> Headers:
    return tuple(("Authorization", value) for value in values)


# --- Responses --------------------------------------------------------------------------------------------------------


def granted(body: Mapping[str, object] | str, *, status: int = 200) -> ResponseSummary:
    """The view's response to a request with a token. Shared caches must not store it."""
    return ResponseSummary(status, body, fields={"Cache-Control": "private", "Vary": "Authorization"})


def granted_without_token(body: Mapping[str, object]) -> ResponseSummary:
    """The view's response to a request without a token."""
    return ResponseSummary(200, body, fields={"Vary": "Authorization"})


def unguarded(body: Mapping[str, object]) -> ResponseSummary:
    return ResponseSummary(200, body)


def nothing_presented(*, scope: str | None, error: str = "missing_authorization") -> ResponseSummary:
    """RFC 6750 §3.1: without authentication information, the challenge has no error code."""
    return _refused(401, {"error": error}, _params(scope=scope))


def malformed(*, scope: str | None = "profile") -> ResponseSummary:
    return _refused(400, {"error": "invalid_request"}, _params(error="invalid_request", scope=scope))


def invalid_token(*, scope: str | None = "profile", scheme: str | None = None) -> ResponseSummary:
    """The same response for every reason: the client learns only that it needs another token with this scope."""
    return _refused(401, {"error": "invalid_token"}, _params(error="invalid_token", scope=scope, scheme=scheme))


def invalid_proof() -> ResponseSummary:
    """RFC 9449 §7.1: the token may be valid. The client must make another proof."""
    params = _params(error="invalid_dpop_proof", scope="profile", scheme="DPoP")
    return _refused(401, {"error": "invalid_dpop_proof"}, params)


def use_nonce() -> ResponseSummary:
    """RFC 9449 §9: the client puts the nonce of this response into a new proof, and sends the request again."""
    error = "use_dpop_nonce"
    refusal = _refused(401, {"error": error}, _params(error=error, scope="profile", scheme="DPoP"))
    return replace(refusal, fields={**refusal.fields, "DPoP-Nonce": ANYTHING})


def insufficient_login(**unmet: str) -> ResponseSummary:
    """RFC 9470 §3: the user must log in again, as the challenge says."""
    error = "insufficient_user_authentication"
    return _refused(401, {"error": error}, _params(error=error, scope="profile", **unmet))


def insufficient_scope(*, scope: str) -> ResponseSummary:
    return _refused(403, {"error": "insufficient_scope"}, _params(error="insufficient_scope", scope=scope))


def access_denied() -> ResponseSummary:
    """A token with other scopes would be refused too, so there is no challenge."""
    return ResponseSummary(403, {"error": "access_denied"}, None, _REFUSAL)


def temporarily_unavailable() -> ResponseSummary:
    """An outage does not make a token invalid. There is no challenge, so clients keep their tokens."""
    return ResponseSummary(503, {"error": "temporarily_unavailable"}, None, _REFUSAL | {"Retry-After": ANYTHING})


def refused_by_csrf_check() -> ResponseSummary:
    """Django's own error page."""
    return ResponseSummary(403, "CSRF verification failed")


def _refused(status: int, body: Mapping[str, object] | str, challenge: Mapping[str, str]) -> ResponseSummary:
    return ResponseSummary(status, body, challenge, _REFUSAL)


def _params(**params: str | None) -> Mapping[str, str]:
    return {"realm": "demo"} | {name: value for name, value in params.items() if value is not None}


def without_body(response: ResponseSummary) -> ResponseSummary:
    """The same response to HEAD."""
    return ResponseSummary(response.status, "", response.challenge, response.fields)


# --- The list ---------------------------------------------------------------------------------------------------------

ALICE = {"username": "alice"}
BOB = {"username": "bob"}

TOKENS = (
    DemoRequest("A token with the required scope", "GET /profile", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest("Nothing presented", "GET /profile", nothing_presented(scope="profile")),
    DemoRequest("An unknown token", "GET /profile", invalid_token(), bearer("demo-nobody")),
    DemoRequest("Tokens are case-sensitive", "GET /profile", invalid_token(), bearer("DEMO-ALICE-PROFILE")),
    DemoRequest("An expired token", "GET /profile", invalid_token(), bearer("demo-alice-expired")),
    DemoRequest("A revoked token", "GET /profile", invalid_token(), bearer("demo-alice-revoked")),
    DemoRequest("The token of a deactivated user", "GET /profile", invalid_token(), bearer("demo-carol-deactivated")),
    DemoRequest(
        "A valid token without the scope", "GET /profile", insufficient_scope(scope="profile"), bearer("demo-bob-user")
    ),
)

SCOPES = (
    DemoRequest("profile AND email", "GET /contact", granted(ALICE), bearer("demo-alice-email")),
    DemoRequest("... OR user", "GET /contact", granted(BOB), bearer("demo-bob-user")),
    DemoRequest("Neither", "GET /contact", insufficient_scope(scope="user"), bearer("demo-bob-reports")),
    DemoRequest("The challenge names the smallest alternative", "GET /contact", nothing_presented(scope="user")),
    DemoRequest("Any valid token", "GET /token", granted({"client_id": "demo-app"}), bearer("demo-bob-reports")),
    DemoRequest("The view requires no scope, so the challenge names none", "GET /token", nothing_presented(scope=None)),
    DemoRequest("A token without a user", "GET /token", granted({"username": None}), bearer("demo-robot")),
)

OPTIONAL = (
    DemoRequest("Optional: without a token", "GET /timeline", granted_without_token({"reader": None})),
    DemoRequest("Optional: with a token", "GET /timeline", granted({"reader": "alice"}), bearer("demo-alice-profile")),
    DemoRequest(
        "Optional: an invalid token is still refused",
        "GET /timeline",
        invalid_token(scope=None),
        bearer("demo-alice-expired"),
    ),
)

REQUIREMENTS = (
    DemoRequest("A person's token", "GET /me", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest(
        "A token without a user, where one is required",
        "GET /me",
        access_denied(),
        bearer("demo-robot"),
    ),
    DemoRequest(
        "The user's own page", "GET /users/alice/diary", granted({"diary_of": "alice"}), bearer("demo-alice-profile")
    ),
    DemoRequest("The page of another user", "GET /users/bob/diary", access_denied(), bearer("demo-alice-profile")),
)

CLASSES = (
    DemoRequest("A class of async methods", "GET /account", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest(
        "... its other methods too",
        "POST /account",
        granted({"first_name": "Alice"}),
        bearer("demo-alice-profile"),
        form="first_name=Alice",
    ),
    DemoRequest("... and the guard covers the whole class", "GET /account", nothing_presented(scope="profile")),
    DemoRequest("By method: reading", "GET /notes", granted({"owner": "alice"}), bearer("demo-alice-reader")),
    DemoRequest(
        "By method: writing",
        "POST /notes",
        granted({"note": "Hello"}, status=201),
        bearer("demo-alice-writer"),
        form="text=Hello",
    ),
    DemoRequest(
        "By method: a reader cannot write",
        "POST /notes",
        insufficient_scope(scope="notes:write"),
        bearer("demo-alice-reader"),
        form="text=Hello",
    ),
    DemoRequest(
        "By method: the challenge names the method's scope",
        "POST /notes",
        nothing_presented(scope="notes:write"),
        form="text=Hello",
    ),
    DemoRequest("By method: a method without a rule", "DELETE /notes", access_denied(), bearer("demo-alice-writer")),
    DemoRequest(
        "A mixin instead of a decorator", "GET /drafts", granted({"drafts_of": "alice"}), bearer("demo-alice-reader")
    ),
    DemoRequest(
        "... refuses in the same way",
        "GET /drafts",
        insufficient_scope(scope="notes:read"),
        bearer("demo-alice-profile"),
    ),
)

URLS = (
    DemoRequest(
        "Guarded in the URL configuration",
        "GET /reports/daily",
        granted({"report": "daily"}),
        bearer("demo-bob-reports"),
    ),
    DemoRequest("... a sync view too", "GET /reports/2024", granted({"report": 2024}), bearer("demo-robot")),
    DemoRequest(
        "... without the scope",
        "GET /reports/daily",
        insufficient_scope(scope="reports:read"),
        bearer("demo-alice-profile"),
    ),
    DemoRequest("... without a token", "GET /reports/2024", nothing_presented(scope="reports:read")),
    DemoRequest("Not guarded at all", "GET /health", unguarded({"status": "ok"})),
)

CSRF = (
    DemoRequest(
        "Browsers do not add tokens, so there is no CSRF check",
        "POST /messages",
        granted({"sent": "Hello"}, status=201),
        bearer("demo-alice-writer"),
        form="text=Hello",
    ),
    DemoRequest("An unguarded view keeps its CSRF check", "POST /feedback", refused_by_csrf_check(), form="text=Hello"),
    DemoRequest(
        "So does an optionally guarded view, without a token",
        "POST /timeline",
        refused_by_csrf_check(),
        form="text=Hello",
    ),
    DemoRequest(
        "... but not with a token",
        "POST /timeline",
        granted({"reader": "alice"}),
        bearer("demo-alice-profile"),
        form="text=Hello",
    ),
)

METHODS = (
    DemoRequest("HEAD counts as GET", "HEAD /notes", without_body(granted("")), bearer("demo-alice-reader")),
    DemoRequest("HEAD is refused like GET", "HEAD /profile", without_body(nothing_presented(scope="profile"))),
    DemoRequest("OPTIONS needs a token too", "OPTIONS /account", nothing_presented(scope="profile")),
    DemoRequest("... and is let in with one", "OPTIONS /account", granted(""), bearer("demo-alice-profile")),
)

CREDENTIALS = (
    DemoRequest(
        "The scheme is case-insensitive", "GET /profile", granted(ALICE), authorization("bearer demo-alice-profile")
    ),
    DemoRequest("Spaces after the scheme", "GET /profile", granted(ALICE), authorization("Bearer  demo-alice-profile")),
    DemoRequest(
        "An empty header presents nothing", "GET /profile", nothing_presented(scope="profile"), authorization("")
    ),
    DemoRequest(
        "Another scheme",
        "GET /profile",
        nothing_presented(scope="profile", error="unsupported_token_type"),
        authorization("Basic YWxpY2U6c2VjcmV0"),
    ),
    DemoRequest("A scheme without a token", "GET /profile", malformed(), authorization("Bearer")),
    DemoRequest(
        "Two tokens in one header",
        "GET /profile",
        malformed(),
        authorization("Bearer demo-alice-profile demo-bob-user"),
    ),
    DemoRequest("A quoted token", "GET /profile", malformed(), authorization('Bearer "demo-alice-profile"')),
    DemoRequest(
        "A list of tokens", "GET /profile", malformed(), authorization("Bearer demo-alice-profile,demo-bob-user")
    ),
    DemoRequest(
        "Two headers", "GET /profile", malformed(), authorization("Bearer demo-alice-profile", "Bearer demo-bob-user")
    ),
    DemoRequest(
        "The same header twice",
        "GET /profile",
        malformed(),
        authorization("Bearer demo-alice-profile", "Bearer demo-alice-profile"),
    ),
    DemoRequest(
        "Two schemes", "GET /profile", malformed(), authorization("Bearer demo-alice-profile", "Basic YWxpY2U6c2VjcmV0")
    ),
    DemoRequest(
        "Optional: malformed credentials are still refused",
        "GET /timeline",
        malformed(scope=None),
        authorization("Bearer"),
    ),
)

ELSEWHERE = (
    DemoRequest(
        "A token in the query string is ignored",
        "GET /profile?access_token=demo-alice-profile",
        nothing_presented(scope="profile"),
    ),
    DemoRequest(
        "... and does no harm",
        "GET /profile?access_token=demo-nobody",
        granted(ALICE),
        bearer("demo-alice-profile"),
    ),
    DemoRequest(
        "So is a token in a form",
        "POST /messages",
        nothing_presented(scope="messages:write"),
        form="access_token=demo-alice-writer",
    ),
    DemoRequest(
        "So is a token in a cookie",
        "GET /profile",
        nothing_presented(scope="profile"),
        (("Cookie", "access_token=demo-alice-profile"),),
    ),
    DemoRequest(
        "So is a token for a proxy",
        "GET /profile",
        nothing_presented(scope="profile"),
        (("Proxy-Authorization", "Bearer demo-alice-profile"),),
    ),
)

CHAPTERS: Mapping[str, tuple[DemoRequest, ...]] = {
    "Valid and invalid tokens": TOKENS,
    "Scopes": SCOPES,
    "Optional tokens": OPTIONAL,
    "Other requirements": REQUIREMENTS,
    "Class-based views": CLASSES,
    "Groups of URLs": URLS,
    "CSRF": CSRF,
    "HEAD and OPTIONS": METHODS,
    "The Authorization header": CREDENTIALS,
    "Tokens in other places": ELSEWHERE,
}

REQUESTS = tuple(request for chapter in CHAPTERS.values() for request in chapter)
