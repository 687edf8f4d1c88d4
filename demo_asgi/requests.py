"""The requests that show what the guard does, each with the expected response.

The one list behind both the ``curl`` lines and the tour, but for those about tokens of the authorization server: they
are in `remote`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .answers import ANYTHING, Answer
from .authority.clients import DemoClient

Headers = tuple[tuple[str, str], ...]

DEMO = "demo"
AUTHORITY = "authority"
"""The two servers."""
BODY = "body"
"""The whole body of a response, as a part to keep."""

_REFUSAL = {"Cache-Control": "no-store", "Vary": "Authorization"}


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """A request, what it shows, and the expected response.

    Attributes:
        headers: header fields. ``$NAME`` in their values, and in the form, is what was kept under that name, or the
            origin of the server of that name.
        client: who authenticates with it, where it goes to the authorization server.
        at: the server that it goes to.
        keeps: the name under which a part of the response is kept: its access token, unless ``part`` names another.
        part: `BODY`, or the name of a header field.
        within: for how many seconds the response may still differ.
    """

    shows: str
    line: str
    answer: Answer
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


# --- Responses---------------------------------------------------------------------------------------------------------


def granted(body: Mapping[str, object] | str, *, status: int = 200) -> Answer:
    """The response of the view to a token. Shared caches must not store it."""
    return Answer(status, body, fields={"Cache-Control": "private", "Vary": "Authorization"})


def granted_without_token(body: Mapping[str, object]) -> Answer:
    """The response of the view without a token."""
    return Answer(200, body, fields={"Vary": "Authorization"})


def unguarded(body: Mapping[str, object]) -> Answer:
    return Answer(200, body)


def nothing_presented(*, scope: str | None, error: str = "missing_authorization") -> Answer:
    """RFC 6750 §3.1: without authentication information, the challenge has no error code."""
    return _refused(401, {"error": error}, _params(scope=scope))


def malformed(*, scope: str | None = "profile") -> Answer:
    return _refused(400, {"error": "invalid_request"}, _params(error="invalid_request", scope=scope))


def invalid_token(*, scope: str | None = "profile", scheme: str | None = None) -> Answer:
    """The same response for every reason: the client learns only that it needs another token with this scope."""
    return _refused(401, {"error": "invalid_token"}, _params(error="invalid_token", scope=scope, scheme=scheme))


def invalid_proof() -> Answer:
    """RFC 9449 §7.1: the token may be good; the client has to make another proof."""
    params = _params(error="invalid_dpop_proof", scope="profile", scheme="DPoP")
    return _refused(401, {"error": "invalid_dpop_proof"}, params)


def use_nonce() -> Answer:
    """RFC 9449 §9: the client puts the nonce of this response into a new proof, and sends the request again."""
    answer = _refused(401, {"error": "use_dpop_nonce"}, _params(error="use_dpop_nonce", scope="profile", scheme="DPoP"))
    return replace(answer, fields={**answer.fields, "DPoP-Nonce": ANYTHING})


def insufficient_login(**unmet: str) -> Answer:
    """RFC 9470 §3: the client has its user log in again, as the challenge says."""
    error = "insufficient_user_authentication"
    return _refused(401, {"error": error}, _params(error=error, scope="profile", **unmet))


def insufficient_scope(*, scope: str) -> Answer:
    return _refused(403, {"error": "insufficient_scope"}, _params(error="insufficient_scope", scope=scope))


def access_denied() -> Answer:
    """No token with other scopes would be let in, so there is no challenge."""
    return Answer(403, {"error": "access_denied"}, None, _REFUSAL)


def temporarily_unavailable() -> Answer:
    """An outage is not a refusal: there is no challenge, so that clients keep their tokens."""
    return Answer(503, {"error": "temporarily_unavailable"}, None, _REFUSAL | {"Retry-After": ANYTHING})


def refused_by_csrf_check() -> Answer:
    """Django's own page."""
    return Answer(403, "CSRF verification failed")


def _refused(status: int, body: Mapping[str, object] | str, challenge: Mapping[str, str]) -> Answer:
    return Answer(status, body, challenge, _REFUSAL)


def _params(**params: str | None) -> Mapping[str, str]:
    return {"realm": "demo"} | {name: value for name, value in params.items() if value is not None}


def without_body(answer: Answer) -> Answer:
    """The same response to HEAD."""
    return Answer(answer.status, "", answer.challenge, answer.fields)


# --- The list ---------------------------------------------------------------------------------------------------------

ALICE = {"username": "alice"}
BOB = {"username": "bob"}

TOKENS = (
    DemoRequest("The right scope opens the view", "GET /profile", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest("Nothing presented", "GET /profile", nothing_presented(scope="profile")),
    DemoRequest("A token that nobody issued", "GET /profile", invalid_token(), bearer("demo-nobody")),
    DemoRequest(
        "A token of other letter case is another token", "GET /profile", invalid_token(), bearer("DEMO-ALICE-PROFILE")
    ),
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
    DemoRequest("Neither of them", "GET /contact", insufficient_scope(scope="user"), bearer("demo-bob-reports")),
    DemoRequest("The smallest alternative is named", "GET /contact", nothing_presented(scope="user")),
    DemoRequest("Any valid token", "GET /token", granted({"client_id": "demo-app"}), bearer("demo-bob-reports")),
    DemoRequest("Without a required scope, none is named", "GET /token", nothing_presented(scope=None)),
    DemoRequest("A token without a user", "GET /token", granted({"username": None}), bearer("demo-robot")),
)

OPTIONAL = (
    DemoRequest("Optional: without a token", "GET /timeline", granted_without_token({"reader": None})),
    DemoRequest("Optional: with a token", "GET /timeline", granted({"reader": "alice"}), bearer("demo-alice-profile")),
    DemoRequest(
        "Optional: a bad token is still refused",
        "GET /timeline",
        invalid_token(scope=None),
        bearer("demo-alice-expired"),
    ),
)

REQUIREMENTS = (
    DemoRequest("A person's token", "GET /me", granted(ALICE), bearer("demo-alice-profile")),
    DemoRequest(
        "A client's own token, where a user is required",
        "GET /me",
        access_denied(),
        bearer("demo-robot"),
    ),
    DemoRequest(
        "One's own page", "GET /users/alice/diary", granted({"diary_of": "alice"}), bearer("demo-alice-profile")
    ),
    DemoRequest("Somebody else's", "GET /users/bob/diary", access_denied(), bearer("demo-alice-profile")),
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
    DemoRequest("... and guarded as a whole", "GET /account", nothing_presented(scope="profile")),
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
    DemoRequest("By method: one that is not named", "DELETE /notes", access_denied(), bearer("demo-alice-writer")),
    DemoRequest(
        "A mixin instead of a decorator", "GET /drafts", granted({"drafts_of": "alice"}), bearer("demo-alice-reader")
    ),
    DemoRequest(
        "... refuses likewise", "GET /drafts", insufficient_scope(scope="notes:read"), bearer("demo-alice-profile")
    ),
)

URLS = (
    DemoRequest("Guarded by its URLs", "GET /reports/daily", granted({"report": "daily"}), bearer("demo-bob-reports")),
    DemoRequest("... a sync view too", "GET /reports/2024", granted({"report": 2024}), bearer("demo-robot")),
    DemoRequest(
        "... and refused by them",
        "GET /reports/daily",
        insufficient_scope(scope="reports:read"),
        bearer("demo-alice-profile"),
    ),
    DemoRequest("... or challenged", "GET /reports/2024", nothing_presented(scope="reports:read")),
    DemoRequest("Not guarded at all", "GET /health", unguarded({"status": "ok"})),
)

CSRF = (
    DemoRequest(
        "A token is no ambient credential: no CSRF check",
        "POST /messages",
        granted({"sent": "Hello"}, status=201),
        bearer("demo-alice-writer"),
        form="text=Hello",
    ),
    DemoRequest("An unguarded view keeps its CSRF check", "POST /feedback", refused_by_csrf_check(), form="text=Hello"),
    DemoRequest(
        "So does an optional one, without a token", "POST /timeline", refused_by_csrf_check(), form="text=Hello"
    ),
    DemoRequest(
        "... but not with one",
        "POST /timeline",
        granted({"reader": "alice"}),
        bearer("demo-alice-profile"),
        form="text=Hello",
    ),
)

METHODS = (
    DemoRequest("HEAD counts as GET", "HEAD /notes", without_body(granted("")), bearer("demo-alice-reader")),
    DemoRequest("HEAD is refused like GET", "HEAD /profile", without_body(nothing_presented(scope="profile"))),
    DemoRequest("OPTIONS is a method like others", "OPTIONS /account", nothing_presented(scope="profile")),
    DemoRequest("... which a token opens", "OPTIONS /account", granted(""), bearer("demo-alice-profile")),
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
        "Optional: broken credentials are still refused",
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
        "... and does not disturb",
        "GET /profile?access_token=demo-nobody",
        granted(ALICE),
        bearer("demo-alice-profile"),
    ),
    DemoRequest(
        "Nor is one in a form",
        "POST /messages",
        nothing_presented(scope="messages:write"),
        form="access_token=demo-alice-writer",
    ),
    DemoRequest(
        "Nor in a cookie",
        "GET /profile",
        nothing_presented(scope="profile"),
        (("Cookie", "access_token=demo-alice-profile"),),
    ),
    DemoRequest(
        "Nor for a proxy",
        "GET /profile",
        nothing_presented(scope="profile"),
        (("Proxy-Authorization", "Bearer demo-alice-profile"),),
    ),
)

CHAPTERS: Mapping[str, tuple[DemoRequest, ...]] = {
    "Tokens, good and bad": TOKENS,
    "Scopes": SCOPES,
    "Optional tokens": OPTIONAL,
    "Other requirements": REQUIREMENTS,
    "Class-based views": CLASSES,
    "Whole groups of URLs": URLS,
    "CSRF": CSRF,
    "HEAD and OPTIONS": METHODS,
    "The Authorization header": CREDENTIALS,
    "Tokens in other places": ELSEWHERE,
}

REQUESTS = tuple(request for chapter in CHAPTERS.values() for request in chapter)
