"""npm's clients get tokens from npm's ``oidc-provider``, and present them to a guarded site, with DPoP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.npm.programs import Scripts, install
from tests.rfc9110 import read_challenges
from tests.servers import Server, serve

APP = {"client_id": "app", "client_secret": "secret of the app", "grant_types": ["client_credentials"]}
SITE = {"client_id": "site", "client_secret": "secret of the site", "grant_types": []}

# Each client with each form of tokens, and with several algorithms. Only one is RSA: its keys take long to make.
RUNS = [
    ("dpop", "jwt", "ES256"),
    ("dpop", "opaque", "PS256"),
    ("oauth4webapi", "jwt", "Ed25519"),
    ("oauth4webapi", "opaque", "ES256"),
    ("openid-client", "jwt", "ES256"),
    ("openid-client", "opaque", "Ed25519"),
]
VIEWS = ["/sync/", "/async/", "/nonce/sync/", "/nonce/async/"]
each_view = pytest.mark.parametrize("view", VIEWS)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    return install(tmp_path_factory.mktemp("npm"))


@pytest.fixture(scope="module")
def issuer(scripts: Scripts) -> Iterator[str]:
    clients = [client | {"redirect_uris": [], "response_types": []} for client in (APP, SITE)]
    with scripts.start("authorization_server.mjs", clients) as ready:
        yield ready["issuer"]


@pytest.fixture(scope="module")
def site(issuer: str) -> Iterator[Server]:
    credentials = {name: SITE[name] for name in ("client_id", "client_secret")}
    with serve("tests.npm.urls", TEST_ISSUER=issuer, TEST_CREDENTIALS=json.dumps(credentials)) as running:
        yield running


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def visits(request: pytest.FixtureRequest, scripts: Scripts, issuer: str, site: Server) -> dict[str, Any]:
    """What a client saw at each of the views."""
    library, form, algorithm = request.param
    resource = f"http://127.0.0.1:{site.port}/{form}"
    urls = [f"{resource}{view}?page=2" for view in VIEWS]
    options = {"issuer": issuer, "client": APP, "resource": resource, "algorithm": algorithm, "urls": urls}
    return dict(zip(VIEWS, scripts.run(f"{library}.mjs", options), strict=True))


def errors(visit: dict[str, Any]) -> dict[str, str | None]:
    """The error in the challenge of each scheme, as the client parsed the challenges, or as it received them."""
    parsed = visit["challenges"]
    if isinstance(parsed, str):
        return {each.scheme: each.parameters.get("error") for each in read_challenges(parsed)}
    return {each["scheme"]: each["parameters"].get("error") for each in parsed}


@each_view
def test_nonce_of_the_authorization_server(visits: dict[str, Any], view: str) -> None:
    """The client repeats its request for a token with the nonce that ``oidc-provider`` requires."""
    assert visits[view]["issued"] == {"type": "dpop", "statuses": [400, 200]}


@each_view
def test_bound_token(visits: dict[str, Any], view: str) -> None:
    """R89, R93: the client is let in, and repeats its request with a nonce if the view requires one."""
    statuses = [401, 200] if "nonce" in view else [200]
    body = {"type": "DPoP", "client": "app", "scopes": ["notes:read"]}
    assert visits[view]["first"] == {"body": body, "statuses": statuses}


@each_view
def test_next_request(visits: dict[str, Any], view: str) -> None:
    """R90: the client keeps the nonce, so its next request is let in at once."""
    assert visits[view]["second"]["statuses"] == [200]


@each_view
def test_replayed_request(visits: dict[str, Any], view: str) -> None:
    """R96: a request that someone sends again as it was is refused."""
    replayed = visits[view]["replayed"]
    assert replayed["statuses"] == [401]
    assert errors(replayed) == {"bearer": None, "dpop": "invalid_dpop_proof"}


@each_view
def test_other_key(visits: dict[str, Any], view: str) -> None:
    """R93: with another key the token is refused, also after the nonce was sent."""
    visit = visits[view]["otherKey"]
    assert visit["statuses"] == ([401, 401] if "nonce" in view else [401])
    assert errors(visit) == {"bearer": None, "dpop": "invalid_token"}


@each_view
def test_stolen_token(visits: dict[str, Any], view: str) -> None:
    """R94: sent as a bearer token, it is refused."""
    visit = visits[view]["bearer"]
    assert visit["statuses"] == [401]
    assert errors(visit) == {"bearer": "invalid_token", "dpop": None}
