"""What the demo's front page is made of, and what its scripts ask: without a browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo.page import PageClient, bearer
from tests.demo.processes import ROOT

STATIC = ROOT / "demo_asgi" / "page" / "static"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
ADDRESS = re.compile(r"""(?:https?:)?//[\w.-]+""")


@pytest.fixture(scope="module")
def page(demo: str) -> Iterator[PageClient]:
    client = PageClient(demo)
    yield client
    client.close()


# --- Files ------------------------------------------------------------------------------------------------------------


def test_browsers_get_the_page(page: PageClient) -> None:
    """A client that prefers HTML gets it, with a policy that forbids inline code and everything from other origins."""
    response = page.http.get("/", headers={"Accept": BROWSER})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_programs_get_the_routes(page: PageClient, accept: str) -> None:
    """A client that accepts JSON, or anything, gets the routes."""
    response = page.http.get("/", headers={"Accept": accept})
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["routes"]["/profile"] == "An async view that requires one scope."


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_files_go_out_as_they_are(page: PageClient, path: Path) -> None:
    """Each file of the page is served, with a type that browsers believe, and checked anew each time."""
    response = page.http.get(f"/page/{path.name}")
    assert (response.status_code, response.content) == (200, path.read_bytes())
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-cache"
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    assert response.headers["Content-Type"].partition(";")[0] == kinds[path.suffix]


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2fapi.py", "%2e%2e/api.py"])
def test_no_other_file_is_served(page: PageClient, name: str) -> None:
    """What is not among the page's files is not there."""
    assert page.http.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_files_need_no_network(path: Path) -> None:
    """No file names an address, but for that of SVG's namespace."""
    assert set(ADDRESS.findall(path.read_text())) <= {"http://www.w3.org"}


# --- Who may ask ------------------------------------------------------------------------------------------------------

CALLS = ["tokens", "reasons", "explain", "authority", "short", "load"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/json", "Sec-Fetch-Site": "same-site"},
        {"Content-Type": "application/json", "Origin": "http://elsewhere.example"},
        {"Content-Type": "application/json", "Origin": "null"},
    ],
)
def test_other_sites_are_refused(page: PageClient, name: str, headers: dict[str, str]) -> None:
    """A browser that another site sends here gets nothing."""
    response = page.http.post(f"/page/{name}", content=b"{}", headers=headers)
    assert (response.status_code, list(response.json())) == (403, ["error"])


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_posts(page: PageClient, name: str) -> None:
    """A link cannot call anything."""
    assert page.http.get(f"/page/{name}").status_code == 405


@pytest.mark.parametrize(
    ("name", "body", "complaint"),
    [
        ("tokens", "[]", "The body must be a JSON object."),
        ("tokens", "{", "The body must be a JSON object."),
        pytest.param("tokens", "[" * 100_000, "The body must be a JSON object.", id="deep list"),
        pytest.param("tokens", '{"fresh": ' * 100_000, "The body must be a JSON object.", id="deep object"),
        ("reasons", "{}", "names must be a list of at most 1000."),
        ("explain", "{}", "method must be the name of an HTTP method."),
        ("explain", '{"method": "GET"}', "path must begin with one slash."),
        ("explain", '{"method": "GET", "path": "/nowhere"}', "path: there is no view at this path."),
        ("explain", '{"method": "GET", "path": "/[/f"}', "path: there is no view at this path."),
        ("explain", '{"method": "GET", "path": "//[/f"}', "path must begin with one slash."),
        ("explain", '{"method": "GET", "path": "//elsewhere/profile"}', "path must begin with one slash."),
        # What makes `//` of it is left out where URLs are read.
        ("explain", '{"method": "GET", "path": "/\\t/[/f"}', "path must begin with one slash."),
        ("explain", '{"method": "GET", "path": "/users/\\ud800/diary"}', "path must begin with one slash."),
        (
            "explain",
            '{"method": "GET", "path": "/me", "authorization": 1}',
            "authorization must be a string or null.",
        ),
        ("explain", '{"method": "GET", "path": "/me", "proof": 1}', "proof must be a string or null."),
        ("explain", '{"method": "GET", "path": "/me", "certificate": "x"}', "key must be one of: client, thief."),
        ("authority", '{"down": "yes"}', "down must be true or false."),
        ("authority", '{"rotate": "all"}', "rotate must be keep or remove."),
    ],
)
def test_calls_that_mean_nothing_are_refused(page: PageClient, name: str, body: str, complaint: str) -> None:
    """What cannot be used is named."""
    response = page.http.post(f"/page/{name}", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()) == (400, {"error": complaint})


def test_what_the_page_is_told_is_kept_by_nobody(page: PageClient) -> None:
    """Tokens are not for caches."""
    response = page.http.post("/page/tokens", json={})
    assert response.headers["Cache-Control"] == "no-store"


# --- What the page receives -------------------------------------------------------------------------------------------


def test_views_are_described_as_they_are(page: PageClient) -> None:
    """The words come from the guards themselves."""
    views = {(view["method"], view["path"]): view for view in page.views()}
    assert len(views) == len(page.views())
    assert views["GET", "/contact"]["requirement"] == "profile and email, or user"
    assert (views["GET", "/contact"]["is_async"], views["GET", "/profile"]["is_async"]) == (False, True)
    assert [view["path"] for view in page.views() if not view["guarded"]] == ["/health"]


EVERYWHERE = {
    "none": (401, "missing_credentials"),
    "row": (200, None),
    "row-scope": (403, "insufficient_scope"),
    "row-robot": (200, None),
    "row-expired": (401, "expired"),
    "row-revoked": (401, "revoked"),
    "row-inactive": (401, "inactive_user"),
    "jwt": (200, None),
    "jwt-scope": (403, "insufficient_scope"),
    "jwt-expired": (401, "expired"),
    "jwt-changed": (401, "bad_signature"),
    "jwt-foreign": (401, "unknown_key"),
    "jwt-audience": (401, "wrong_audience"),
    "opaque": (200, None),
    "opaque-revoked": (401, "unknown_token"),
    "garbage": (401, "unknown_token"),
    "two": (400, "malformed_credentials"),
}
"""Of a view that takes tokens of every source."""


def test_each_token_is_what_it_is_called(page: PageClient) -> None:
    """Each token is refused only for its own fault, and the page gets that reason."""
    tokens = page.tokens()
    assert {name: page.present("/any/async", token) for name, token in tokens.items()} == EVERYWHERE


KEY, CERTIFICATE, PAYMENT = "/dpop/async", "/mtls/async", "/payment/sync"
NONCE = "/nonce/sync"
STEP_UP = "insufficient_user_authentication"
ON_BOUND_VIEWS = {
    "bound": {KEY: (200, None, None), NONCE: (200, None, None)},
    "bound-stolen": {
        KEY: (401, "invalid_token", "sender_constrained"),
        NONCE: (401, "invalid_token", "sender_constrained"),
    },
    "bound-thief": {
        KEY: (401, "invalid_token", "wrong_confirmation"),
        NONCE: (401, "invalid_token", "wrong_confirmation"),
    },
    "bound-replayed": {
        KEY: (401, "invalid_dpop_proof", "replayed_proof"),
        NONCE: (401, "invalid_dpop_proof", "replayed_proof"),
    },
    "bound-no-nonce": {KEY: (200, None, None), NONCE: (401, "use_dpop_nonce", "missing_nonce")},
    "certified": {CERTIFICATE: (200, None, None)},
    "certified-none": {CERTIFICATE: (401, "invalid_token", "sender_constrained")},
    "certified-thief": {CERTIFICATE: (401, "invalid_token", "wrong_confirmation")},
    "login": {PAYMENT: (200, None, None), KEY: (401, "invalid_token", "binding_required")},
    "login-old": {PAYMENT: (401, STEP_UP, "authentication_too_old")},
    "login-password": {PAYMENT: (401, STEP_UP, "insufficient_acr")},
}


def test_each_client_shows_what_it_is_called_after(page: PageClient) -> None:
    """Requests with the key, the certificate or the login are let in. All others are refused for what they lack."""
    seen = {
        name: {path: page.visit(path, token) for path in ON_BOUND_VIEWS[name]}
        for name, token in page.specimens(fresh=True, grid="bound").items()
    }
    assert seen == ON_BOUND_VIEWS


def test_no_header_changes_the_peer(page: PageClient) -> None:
    """The header with the certificate counts because of the address of the connection, whatever a client says it is."""
    token = page.specimens(grid="bound")["certified"]
    headers = {**bearer(token["token"]), "Client-Cert": token["client_cert"], "X-Forwarded-For": "192.0.2.1"}
    assert page.http.get("/mtls/async", headers=headers).status_code == 200


def test_a_view_takes_what_it_is_said_to_take(page: PageClient) -> None:
    """Of each kind that a view takes, a token is let in; the page mutes the refusals of all other kinds."""
    good = {token["kind"]: token for token in [*page.specimens().values()][::-1] if token["name"] in GOOD}
    good |= {token["kind"]: token for token in page.specimens(grid="bound").values() if token["name"] in GOOD}
    for view in page.views():
        if view["grid"] == "tokens" or view["path"].startswith(("/dpop", "/nonce", "/mtls", "/payment")):
            let_in = {kind for kind, token in good.items() if page.visit(view["path"], token)[0] == 200}
            assert let_in == {*view["takes"]}, view["path"]


GOOD = ("row", "jwt", "opaque", "bound", "certified", "login")


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        ({"key": "client", "method": "get", "uri": "/"}, "method must be the name of an HTTP method."),
        ({"key": "client", "method": "GET"}, "uri must be a URL, or a path of this demo."),
        ({"key": "client", "method": "GET", "uri": "//elsewhere"}, "uri must be a URL, or a path of this demo."),
        ({"key": "nobody", "method": "GET", "uri": "/"}, "key must be one of: client, thief."),
        ({"method": "GET", "uri": "/"}, "key must be one of: client, thief."),
    ],
)
def test_no_proof_is_made_of_what_means_nothing(page: PageClient, form: dict[str, str], complaint: str) -> None:
    """What cannot be in a proof is named."""
    response = page.http.post("/page/proof", data=form)
    assert (response.status_code, response.text) == (400, complaint)


@pytest.mark.parametrize("name", ["proof", "certificate"])
@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://elsewhere.example"}])
def test_other_sites_get_no_proofs(page: PageClient, name: str, headers: dict[str, str]) -> None:
    """A form of another site is refused; programs such as `curl` are not."""
    form = {"key": "client", "method": "GET", "uri": "/dpop/async"}
    statuses = [page.http.post(f"/page/{name}", data=form, headers=each).status_code for each in (headers, {})]
    assert statuses == [403, 200]
    assert page.http.get(f"/page/{name}").status_code == 405


def test_tokens_are_kept_and_issued_anew_when_asked_for(page: PageClient) -> None:
    """A page that is loaded again presents the same tokens."""
    bound, first, second = page.tokens(grid="bound"), page.tokens(), page.tokens()
    third = page.tokens(fresh=True)
    assert first == second
    assert all(token != page.tokens(fresh=True, grid="bound")[name] for name, token in bound.items())
    assert {name for name in third if first[name] != third[name]} == {
        "jwt",
        "jwt-scope",
        "jwt-expired",
        "jwt-changed",
        "jwt-foreign",
        "jwt-audience",
        "opaque",
        "opaque-revoked",
    }


@pytest.mark.parametrize("headers", [{}, {"X-Demo-Request": "x" * 65}, {"X-Demo-Request": "a b"}])
def test_only_requests_with_a_name_are_noted(page: PageClient, headers: dict[str, str]) -> None:
    """Reasons are kept for the page, and nobody else fills the memory."""
    assert page.http.get("/profile", headers=headers | dict(bearer("demo-nobody"))).status_code == 401
    names = list(headers.values())
    assert page.call("reasons", names=names)["reasons"] == dict.fromkeys(names)


# --- The authorization server -----------------------------------------------------------------------------------------


def test_down_and_up_again(page: PageClient) -> None:
    """While the server is down, views that need it have no result, and no new tokens are issued. Both then recover."""
    token = page.tokens()["opaque"]
    with page.fault("down"):
        assert page.authority() | {"kids": []} == {"running": True, "down": True, "slow": False, "kids": []}
        assert page.present("/introspection/fresh", token)[0] == 503
        assert page.present("/profile", "demo-alice-email") == (200, None)
        told = page.call("tokens", fresh=True)
        assert told["trouble"] == "The authorization server responds with status 503."
        # Those that were issued before are still presented.
        assert page.tokens()["opaque"] == token
    assert page.authority()["down"] is False
    assert page.call("tokens", fresh=True)["trouble"] is None


def test_slow_is_switched(page: PageClient) -> None:
    """The switches go on answering meanwhile."""
    with page.fault("slow"):
        assert page.authority()["slow"] is True
    assert page.authority()["slow"] is False


def test_rotation(page: PageClient) -> None:
    """The newest key comes first; the old ones stay, or do not."""
    before = page.authority()["kids"]
    kept = page.call("authority", rotate="keep")["authority"]["kids"]
    removed = page.call("authority", rotate="remove")["authority"]["kids"]
    assert (kept[1:], len(removed), removed[0] in kept) == (before, 1, False)


# --- Steps and load ---------------------------------------------------------------------------------------------------


def test_load_is_coalesced_by_the_guard_and_not_by_the_plain_view(page: PageClient) -> None:
    """Each token is in one query: the guard needs few queries, and the plain view makes one for each lookup."""
    load = page.call("load")
    loads: dict[str, dict[str, Any]] = {name: load[name] for name in ("guarded", "plain")}
    for measured in loads.values():
        assert measured["statuses"] == {"200": 200}
        assert sum(query["tokens"] for query in measured["queries"]) == load["requests"] == 200
        assert len(measured["answered"]) == 200
        assert measured["answered"][-1] == measured["seconds"]
        assert all(0 <= query["began"] <= query["ended"] <= measured["seconds"] for query in measured["queries"])
    assert len(loads["plain"]["queries"]) == 200
    assert len(loads["guarded"]["queries"]) < 20
    assert max(query["tokens"] for query in loads["guarded"]["queries"]) == 100


@pytest.mark.parametrize("path", ["/profile", "/any/sync", "/users/alice/diary"])
def test_the_steps_lead_to_the_answer(page: PageClient, path: str) -> None:
    """What is explained is what was answered: the same status, challenge and reason, with every token."""
    for name, token in page.tokens().items():
        headers = bearer(token)
        answer = page.http.get(path, headers=headers)
        (told,) = page.call("explain", method="GET", path=path, authorization=headers.get("Authorization"))["guards"]
        status, reason = page.present(path, token)
        assert (told["status"], told["challenge"]) == (answer.status_code, answer.headers.get("WWW-Authenticate")), name
        assert (told["status"], told["reason"]) == (status, reason), name


def test_an_unguarded_view_has_no_decision(page: PageClient) -> None:
    """Where there is no guard, there is nothing to explain."""
    assert page.call("explain", method="GET", path="/health", authorization=None) == {"guards": []}
