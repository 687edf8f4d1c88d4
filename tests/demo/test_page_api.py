"""The files and endpoints of the demo's front page, without a browser."""

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
def test_files_are_served_unchanged(page: PageClient, path: Path) -> None:
    """Each file is served with a type that browsers do not guess. Browsers check each time whether it has changed."""
    response = page.http.get(f"/page/{path.name}")
    assert (response.status_code, response.content) == (200, path.read_bytes())
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-cache"
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    assert response.headers["Content-Type"].partition(";")[0] == kinds[path.suffix]


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2fapi.py", "%2e%2e/api.py"])
def test_no_other_file_is_served(page: PageClient, name: str) -> None:
    """All other names get 404."""
    assert page.http.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_files_need_no_network(path: Path) -> None:
    """The files contain no address except the namespace of SVG."""
    assert set(ADDRESS.findall(path.read_text())) <= {"http://www.w3.org"}


# --- Allowed requests -------------------------------------------------------------------------------------------------

ENDPOINTS = ["tokens", "reasons", "explain", "authority", "short", "load"]


@pytest.mark.parametrize("name", ENDPOINTS)
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
    """Requests from pages of other sites are refused."""
    response = page.http.post(f"/page/{name}", content=b"{}", headers=headers)
    assert (response.status_code, list(response.json())) == (403, ["error"])


@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoints_require_post(page: PageClient, name: str) -> None:
    """GET is refused, so a link has no effect."""
    assert page.http.get(f"/page/{name}").status_code == 405


@pytest.mark.parametrize(
    ("name", "body", "error"),
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
        # Parsers of URLs remove the tab, which leaves `//`.
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
def test_invalid_messages_are_refused(page: PageClient, name: str, body: str, error: str) -> None:
    """The response names the invalid value."""
    response = page.http.post(f"/page/{name}", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()) == (400, {"error": error})


def test_tokens_are_not_cached(page: PageClient) -> None:
    """Responses with tokens must not be stored."""
    response = page.http.post("/page/tokens", json={})
    assert response.headers["Cache-Control"] == "no-store"


# --- What the page receives -------------------------------------------------------------------------------------------


def test_descriptions_of_views(page: PageClient) -> None:
    """The descriptions come from the guards."""
    views = {(view["method"], view["path"]): view for view in page.views()}
    assert len(views) == len(page.views())
    assert views["GET", "/contact"]["requirement"] == "profile and email, or user"
    assert (views["GET", "/contact"]["is_async"], views["GET", "/profile"]["is_async"]) == (False, True)
    assert [view["path"] for view in page.views() if not view["guarded"]] == ["/health"]


ON_ANY_VIEW = {
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
"""The results of a view that accepts tokens of every source."""


def test_each_sample_token(page: PageClient) -> None:
    """Each token is refused only for its own fault, and the page gets that reason."""
    tokens = page.tokens()
    assert {name: page.present("/any/async", token) for name, token in tokens.items()} == ON_ANY_VIEW


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


def test_each_sample_client(page: PageClient) -> None:
    """Requests with the key, the certificate or the login are let in. The others are refused, each for its reason."""
    results = {
        name: {path: page.send_as_client(path, token) for path in ON_BOUND_VIEWS[name]}
        for name, token in page.samples(fresh=True, grid="bound").items()
    }
    assert results == ON_BOUND_VIEWS


def test_no_header_changes_the_peer(page: PageClient) -> None:
    """The address of the connection decides whether the certificate header is trusted. No header changes it."""
    token = page.samples(grid="bound")["certified"]
    headers = {**bearer(token["token"]), "Client-Cert": token["client_cert"], "X-Forwarded-For": "192.0.2.1"}
    assert page.http.get("/mtls/async", headers=headers).status_code == 200


def test_views_accept_the_named_kinds(page: PageClient) -> None:
    """A view lets in tokens of the kinds that it accepts, and of no other kind."""
    good = {token["kind"]: token for token in [*page.samples().values()][::-1] if token["name"] in GOOD}
    good |= {token["kind"]: token for token in page.samples(grid="bound").values() if token["name"] in GOOD}
    for view in page.views():
        if view["grid"] == "tokens" or view["path"].startswith(("/dpop", "/nonce", "/mtls", "/payment")):
            let_in = {kind for kind, token in good.items() if page.send_as_client(view["path"], token)[0] == 200}
            assert let_in == {*view["accepts"]}, view["path"]


GOOD = ("row", "jwt", "opaque", "bound", "certified", "login")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"key": "client", "method": "get", "uri": "/"}, "method must be the name of an HTTP method."),
        ({"key": "client", "method": "GET"}, "uri must be a URL, or a path of this demo."),
        ({"key": "client", "method": "GET", "uri": "//elsewhere"}, "uri must be a URL, or a path of this demo."),
        ({"key": "nobody", "method": "GET", "uri": "/"}, "key must be one of: client, thief."),
        ({"method": "GET", "uri": "/"}, "key must be one of: client, thief."),
    ],
)
def test_invalid_proof_requests_are_refused(page: PageClient, form: dict[str, str], error: str) -> None:
    """The response names the invalid value."""
    response = page.http.post("/page/proof", data=form)
    assert (response.status_code, response.text) == (400, error)


@pytest.mark.parametrize("name", ["proof", "certificate"])
@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://elsewhere.example"}])
def test_other_sites_get_no_proofs(page: PageClient, name: str, headers: dict[str, str]) -> None:
    """A form of another site is refused; programs such as `curl` are not."""
    form = {"key": "client", "method": "GET", "uri": "/dpop/async"}
    statuses = [page.http.post(f"/page/{name}", data=form, headers=each).status_code for each in (headers, {})]
    assert statuses == [403, 200]
    assert page.http.get(f"/page/{name}").status_code == 405


def test_tokens_are_kept_until_new_ones_are_requested(page: PageClient) -> None:
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
def test_only_requests_with_a_name_are_recorded(page: PageClient, headers: dict[str, str]) -> None:
    """Other clients do not fill the memory with reasons."""
    assert page.http.get("/profile", headers=headers | dict(bearer("demo-nobody"))).status_code == 401
    names = list(headers.values())
    assert page.post("reasons", names=names)["reasons"] == dict.fromkeys(names)


# --- The authorization server -----------------------------------------------------------------------------------------


def test_down_and_up_again(page: PageClient) -> None:
    """While the server is down, views that need it have no result, and no new tokens are issued. Both then recover."""
    token = page.tokens()["opaque"]
    with page.fault("down"):
        assert page.authority() | {"kids": []} == {"running": True, "down": True, "slow": False, "kids": []}
        assert page.present("/introspection/fresh", token)[0] == 503
        assert page.present("/profile", "demo-alice-email") == (200, None)
        document = page.post("tokens", fresh=True)
        assert document["error"] == "The authorization server responds with status 503."
        # The page still presents the tokens that were issued before.
        assert page.tokens()["opaque"] == token
    assert page.authority()["down"] is False
    assert page.post("tokens", fresh=True)["error"] is None


def test_slow_is_switched(page: PageClient) -> None:
    """The switches respond at once, also while the server is slow."""
    with page.fault("slow"):
        assert page.authority()["slow"] is True
    assert page.authority()["slow"] is False


def test_rotation(page: PageClient) -> None:
    """The newest key comes first. The old keys are kept or removed."""
    before = page.authority()["kids"]
    kept = page.post("authority", rotate="keep")["authority"]["kids"]
    removed = page.post("authority", rotate="remove")["authority"]["kids"]
    assert (kept[1:], len(removed), removed[0] in kept) == (before, 1, False)


# --- Steps and load ---------------------------------------------------------------------------------------------------


def test_load_is_coalesced_by_the_guard_and_not_by_the_plain_view(page: PageClient) -> None:
    """Each token is in one query: the guard needs few queries, and the plain view makes one for each lookup."""
    load = page.post("load")
    loads: dict[str, dict[str, Any]] = {name: load[name] for name in ("guarded", "plain")}
    for measured in loads.values():
        assert measured["statuses"] == {"200": 200}
        assert sum(query["tokens"] for query in measured["queries"]) == load["requests"] == 200
        assert len(measured["response_times"]) == 200
        assert measured["response_times"][-1] == measured["seconds"]
        assert all(0 <= query["began"] <= query["ended"] <= measured["seconds"] for query in measured["queries"])
    assert len(loads["plain"]["queries"]) == 200
    assert len(loads["guarded"]["queries"]) < 20
    assert max(query["tokens"] for query in loads["guarded"]["queries"]) == 100


@pytest.mark.parametrize("path", ["/profile", "/any/sync", "/users/alice/diary"])
def test_the_steps_lead_to_the_response(page: PageClient, path: str) -> None:
    """The explanation of each token has the status, challenge and reason of the response."""
    for name, token in page.tokens().items():
        headers = bearer(token)
        response = page.http.get(path, headers=headers)
        (explained,) = page.post("explain", method="GET", path=path, authorization=headers.get("Authorization"))[
            "guards"
        ]
        status, reason = page.present(path, token)
        assert (explained["status"], explained["challenge"]) == (
            response.status_code,
            response.headers.get("WWW-Authenticate"),
        ), name
        assert (explained["status"], explained["reason"]) == (status, reason), name


def test_an_unguarded_view_has_no_decision(page: PageClient) -> None:
    """Without a guard, there is nothing to explain."""
    assert page.post("explain", method="GET", path="/health", authorization=None) == {"guards": []}
