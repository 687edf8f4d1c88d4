"""``oauth_doctor`` examines a site behind nginx, which has the configuration of the documentation."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.forks import Forks
from tests.proxies.keys import CertificateAuthority
from tests.proxies.programs import find, free_port, running
from tests.remote.conftest import redis_url
from tests.servers import Server, serve

__all__ = ["redis_url"]

SITE = "tests.proxies.dpop_urls"
VIEWS = ["/sync/", "/async/"]
WELL_KNOWN = "/.well-known/oauth-protected-resource"

Doctor: TypeAlias = Callable[..., tuple[int, Any]]
GetSite: TypeAlias = Callable[[Mapping[str, str]], Server]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    find("nginx")
    folder = tmp_path_factory.mktemp("doctor")
    CertificateAuthority(folder).issue("api")
    return folder


@pytest.fixture(scope="module")
def port() -> int:
    """The port of nginx, which the settings of the site name."""
    return free_port()


@pytest.fixture(scope="module")
def variables(port: int, redis_url: str) -> Mapping[str, str]:
    """The environment of a correct site."""
    return {"TESTS_REDIS": redis_url, "TESTS_RESOURCE": f"https://127.0.0.1:{port}", "TESTS_CACHE": "default"}


@pytest.fixture(scope="module")
def get_site(variables: Mapping[str, str], forks: Forks) -> Iterator[GetSite]:
    """Starts the site with some variables changed. Tests that change the same ones share it."""
    sites: dict[frozenset[Any], Server] = {}
    with ExitStack() as stack:

        def start(changed: Mapping[str, str]) -> Server:
            key = frozenset(changed.items())
            if key not in sites:
                sites[key] = stack.enter_context(serve(SITE, forks=forks, **{**variables, **changed}))
            return sites[key]

        yield start


@pytest.fixture
def doctor(folder: Path, variables: Mapping[str, str], forks: Forks) -> Doctor:
    """Runs the command, on the machine of the site and with its settings, some of them changed."""

    def run(*arguments: str, **changed: str) -> tuple[int, Any]:
        own = {"OAUTH_GUARD_TEST_URLCONF": SITE, "SSL_CERT_FILE": str(folder / "authority.pem")}
        done = forks.run(
            *("django", "oauth_doctor", "--json", *arguments),
            environment={**os.environ, **own, **variables, **changed},
            folder=folder,
            timeout=120,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


@pytest.mark.parametrize("view", VIEWS)
def test_correct_setup(view: str, folder: Path, port: int, get_site: GetSite, doctor: Doctor) -> None:
    """Of a correct deployment, nothing is reported."""
    with running("nginx", folder, f"http://127.0.0.1:{get_site({}).port}", port=port):
        status, report = doctor("--url", f"https://127.0.0.1:{port}{view}?a=b")
    assert (status, report["severity"]) == (0, "ok"), report["examinations"]
    verdicts = {each["examination"]: each["severity"] for each in report["examinations"] if "//127" in each["subject"]}
    assert verdicts == {"metadata": "ok", "challenge": "ok", "proofs": "ok", "clock": "ok"}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a deployment, and how the doctor names it.

    ``site`` is planted in the environment of the site, and ``doctor`` in that of the command. ``{origin}`` stands for
    the address that clients see. ``nginx`` changes its configuration. ``prefix`` is a part of the
    URL that the site does not see.
    """

    about: str
    name: str
    found: str
    remedy: str
    site: Mapping[str, str] = field(default_factory=dict)
    doctor: Mapping[str, str] = field(default_factory=dict)
    nginx: Mapping[str, str] = field(default_factory=dict)
    severity: str = "problem"
    prefix: str = ""


def both(**variables: str) -> dict[str, Any]:
    """The site and the doctor have the same settings."""
    return {"site": variables, "doctor": variables}


FORWARD = "proxy_pass http://127.0.0.1:8000;"
HOST = "proxy_set_header Host $host;"
FAULTS = {
    "http for https": Fault(
        "proofs",
        "origin",
        "takes http://127.0.0.1:{port} for its address",
        'PUBLIC_ORIGIN"], or public_origin=, to "{origin}"',
        **both(TESTS_ORIGIN="http://127.0.0.1:{port}"),
    ),
    "internal host name": Fault(
        "proofs",
        "origin",
        "takes https://notes.internal:8000 for its address",
        'PUBLIC_ORIGIN"], or public_origin=, to "{origin}"',
        **both(TESTS_ORIGIN="https://notes.internal:8000"),
    ),
    "no port": Fault(
        "proofs",
        "origin",
        "takes https://127.0.0.1 for its address",
        'PUBLIC_ORIGIN"], or public_origin=, to "{origin}"',
        site={"TESTS_ORIGIN": "https://127.0.0.1"},
    ),
    "path changed by the proxy": Fault(
        "proofs",
        "proof",
        "refuses a DPoP proof for {origin}",
        "pass on the path unchanged",
        nginx={FORWARD: f"rewrite ^/api(/.*) $1 break; {FORWARD}"},
        prefix="/api",
    ),
    "proof removed by the proxy": Fault(
        "proofs",
        "proof",
        "refuses a DPoP proof",
        "and the header DPoP",
        nginx={HOST: f'{HOST} proxy_set_header DPoP "";'},
    ),
    "token removed by the proxy": Fault(
        "proofs",
        "authorization",
        "does not arrive",
        "pass on the header Authorization",
        nginx={HOST: f'{HOST} proxy_set_header Authorization "";'},
    ),
    "clock of this machine ahead": Fault(
        "clock", "clock", "behind that of this machine by 1", "with NTP", doctor={"TESTS_CLOCK_AHEAD": "120"}
    ),
    "clock of this machine behind": Fault(
        "clock", "clock", "ahead of that of this machine by 1", "with NTP", doctor={"TESTS_CLOCK_AHEAD": "-120"}
    ),
    # The proxy replaces the header Date.
    "clock of the site ahead": Fault(
        "proofs",
        "clock",
        "60 to 130 s ahead of that of this machine",
        "all machines of the site",
        site={"TESTS_CLOCK_AHEAD": "120"},
    ),
    "clock of the site behind": Fault(
        "proofs",
        "clock",
        "80 to 150 s behind that of this machine",
        "all machines of the site",
        site={"TESTS_CLOCK_AHEAD": "-120"},
    ),
    "no shared cache": Fault(
        "replay store",
        "per-process",
        "no cache",
        'OAUTH_GUARD["CACHE"]',
        doctor={"TESTS_CACHE": ""},
        severity="warning",
    ),
    "cache of one process": Fault(
        "replay store", "per-process", "local to one", "Redis", doctor={"TESTS_CACHE": "local"}, severity="warning"
    ),
    "metadata not routed": Fault(
        "metadata", "status", f"{WELL_KNOWN} responded with status 404", "metadata_urls()", site={"TESTS_UNROUTED": "1"}
    ),
    "metadata not passed on": Fault(
        "metadata",
        "status",
        "status 404",
        f"let the proxy pass {WELL_KNOWN} on",
        nginx={"location / {": "location /.well-known/ { return 404; } location / {"},
    ),
    "metadata behind a login": Fault(
        "metadata",
        "redirect",
        "status 302, a redirect",
        "login page",
        nginx={"location / {": "location /.well-known/ { return 302 /login; } location / {"},
    ),
    "page of a frontend": Fault(
        "metadata",
        "answer",
        "must respond with a JSON object",
        "page of a frontend",
        nginx={"location / {": "location /.well-known/ { default_type text/html; return 200 '<html>'; } location / {"},
    ),
    "metadata of another resource": Fault(
        "metadata",
        "resource",
        "must be '{origin}', got 'https://127.0.0.1:{port}/'",
        "Restart the site",
        site={"TESTS_RESOURCE": "https://127.0.0.1:{port}/"},
    ),
    "metadata at a closed port": Fault(
        "metadata",
        "refused",
        "nothing listens there",
        "Start the proxy",
        doctor={"TESTS_RESOURCE": "https://127.0.0.1:9"},
    ),
    "metadata at an unknown host": Fault(
        "metadata", "dns", "was not found (DNS)", "RESOURCE", doctor={"TESTS_RESOURCE": "https://api.invalid"}
    ),
    "certificate of another host": Fault(
        "metadata", "tls", "no TLS connection", "SSL_CERT_FILE", doctor={"TESTS_RESOURCE": "https://localhost:{port}"}
    ),
    "CORS header twice": Fault(
        "metadata",
        "cors",
        "Access-Control-Allow-Origin",
        "leave this header",
        nginx={HOST: f"{HOST} add_header Access-Control-Allow-Origin *;"},
        severity="warning",
    ),
    "challenge removed by the proxy": Fault(
        "challenge",
        "challenge",
        "without the challenge of a guard",
        "pass on the header WWW-Authenticate",
        nginx={HOST: f"{HOST} proxy_hide_header WWW-Authenticate;"},
    ),
    "challenge with other metadata": Fault(
        "challenge",
        "resource-metadata",
        "must name the metadata {origin}/.well-known/oauth-protected-resource, got {origin}/.well-known",
        "Restart the site",
        site={"TESTS_RESOURCE": "https://127.0.0.1:{port}/v1"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_planted_fault(
    fault: Fault, folder: Path, port: int, get_site: GetSite, doctor: Doctor, request: pytest.FixtureRequest
) -> None:
    """Each planted fault is named, with its remedy."""

    def filled(variables: Mapping[str, str]) -> dict[str, str]:
        return {name: value.replace("{port}", str(port)) for name, value in variables.items()}

    origin = f"https://127.0.0.1:{port}"
    view = VIEWS[[*FAULTS].index(request.node.callspec.id) % 2]
    site = get_site(filled(fault.site))
    with running("nginx", folder, f"http://127.0.0.1:{site.port}", fault.nginx, port):
        status, report = doctor("--url", f"{origin}{fault.prefix}{view}", **filled(fault.doctor))
    found = [
        (each["severity"], each["found"], each["remedy"])
        for each in report["examinations"]
        if (each["examination"], each["facts"].get("fault")) == (fault.about, fault.name)
    ]
    assert len(found) == 1, report["examinations"]
    [(verdict, sentence, remedy)] = found
    assert (verdict, status) == (fault.severity, 1 if fault.severity == "problem" else 0)
    assert fault.found.format(origin=origin, port=port) in sentence
    assert fault.remedy.format(origin=origin) in remedy
