"""nginx and HAProxy terminate mutual TLS in front of uvicorn, with the configurations of the documentation."""

import http.client
import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from async_oauth_guard.protocol.certificates import HEADERS, thumbprint
from tests.certificates import WRITERS
from tests.forks import Forks
from tests.proxies.keys import CertificateAuthority
from tests.proxies.programs import PAGE, PROGRAMS, find, running
from tests.proxies.urls import TOKEN
from tests.servers import serve

VIEWS = ["/sync/", "/async/"]


@dataclass(frozen=True)
class Proxy:
    """A running proxy, and the clients' certificates."""

    program: str
    port: int
    folder: Path

    @property
    def header(self) -> str:
        return HEADERS[self.program][0]

    def status(self, view: str, client: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> int:
        """The status of a request by a client with this certificate, or with none."""
        context = ssl.create_default_context(cafile=str(self.folder / "authority.pem"))
        if client is not None:
            context.load_cert_chain(self.folder / f"{client}.pem", self.folder / f"{client}.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        try:
            connection.putrequest("GET", view)
            for name, value in (("Authorization", f"Bearer {TOKEN}"), *headers):
                connection.putheader(name, value)
            connection.endheaders()
            with connection.getresponse() as response:
                response.read()
                return response.status
        finally:
            connection.close()

    def forged(self) -> str:
        """The right certificate, as the proxy would write it."""
        return WRITERS[self.program](self.certificate())

    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / "client.pem").read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxies")
    authority = CertificateAuthority(folder)
    for name in ("api", "client", "other"):
        authority.issue(name)
    return folder


def environment(folder: Path, program: str, **more: str) -> dict[str, str]:
    certificate = x509.load_pem_x509_certificate((folder / "client.pem").read_bytes())
    hashed = thumbprint(certificate.public_bytes(Encoding.DER))
    usual = {"TEST_SOURCE": program, "TEST_THUMBPRINT": hashed, "OAUTH_GUARD_TEST_PROXY_HEADERS": "no"}
    return usual | more


@pytest.fixture(
    scope="module", params=[(program, kind) for program in PROGRAMS for kind in ("tcp", "unix")], ids="-".join
)
def proxy(request: pytest.FixtureRequest, folder: Path, forks: Forks) -> Iterator[Proxy]:
    """Each of the proxies, connected to the server by TCP, and by a Unix socket."""
    program, kind = request.param
    find(program)
    path = str(folder / f"{program}.sock") if kind == "unix" else None
    more = {} if path is None else {"TEST_TRUSTED": "unix"}
    with serve("tests.proxies.urls", path=path, forks=forks, **environment(folder, program, **more)) as site:
        where = f"http://127.0.0.1:{site.port}" if path is None else f"http://unix:{path}"
        with running(program, folder, where) as port:
            yield Proxy(program, port, folder)


@pytest.mark.parametrize("view", VIEWS)
def test_certificates(proxy: Proxy, view: str) -> None:
    """R101: the client with the right certificate is let in. One with another certificate, or with none, is not."""
    assert proxy.status(view, "client") == 200
    assert proxy.status(view, "other") == 401
    assert proxy.status(view) == 401


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("client", [None, "other"])
def test_forged_header(proxy: Proxy, client: str | None, view: str) -> None:
    """R103: a header that the client itself sends is overwritten or removed, in any spelling and number."""
    forged = proxy.forged()
    for name in (proxy.header, proxy.header.lower(), proxy.header.upper(), proxy.header.replace("-", "_")):
        assert proxy.status(view, client, ((name, forged),)) == 401
        assert proxy.status(view, client, ((name, forged), (name, forged))) == 401


@pytest.mark.parametrize("view", VIEWS)
def test_forged_header_next_to_the_right_certificate(proxy: Proxy, view: str) -> None:
    """A client with the right certificate is let in whatever header it sends."""
    assert proxy.status(view, "client", ((proxy.header, "x"),)) == 200
    assert proxy.status(view, "client", ((proxy.header.replace("-", "_"), "x"),)) == 200


def test_forwarded_addresses(proxy: Proxy) -> None:
    """R103: no forwarded address changes who the peer is, because the server ignores it."""
    for address in ("127.0.0.1", "10.0.0.1"):
        forwarded = (("X-Forwarded-For", address),)
        assert proxy.status("/async/", "client", forwarded) == 200
        assert proxy.status("/async/", None, (*forwarded, (proxy.header, proxy.forged()))) == 401


def test_server_that_replaces_addresses(folder: Path, forks: Forks) -> None:
    """Why uvicorn needs ``--no-proxy-headers``: otherwise the proxy's client counts as the peer, and is not trusted."""
    program = "nginx"
    find(program)
    settings = environment(folder, program) | {"OAUTH_GUARD_TEST_PROXY_HEADERS": "yes"}
    with (
        serve("tests.proxies.urls", forks=forks, **settings) as site,
        running(program, folder, f"http://127.0.0.1:{site.port}") as port,
    ):
        nginx = Proxy(program, port, folder)
        assert nginx.status("/async/", "client") == 200
        assert nginx.status("/async/", "client", (("X-Forwarded-For", "10.0.0.1"),)) == 401


def test_other_peers(folder: Path, forks: Forks) -> None:
    """R103: who reaches the server without the proxy cannot send the header."""
    forged = Proxy("nginx", 0, folder).forged()
    for trusted, status in (("127.0.0.1", 200), ("10.0.0.0/8", 401), ("unix", 401)):
        with serve("tests.proxies.urls", forks=forks, **environment(folder, "nginx", TEST_TRUSTED=trusted)) as site:
            headers = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"x-ssl-client-cert", forged.encode())]
            assert {site.send(view, headers).status for view in VIEWS} == {status}


def outputs(proxy: Proxy) -> tuple[list[str], list[str]]:
    """What the documentation's commands print here, and what the documentation says that they print."""
    find("curl")
    text = PAGE.read_text(encoding="utf-8")
    [block] = re.findall(r"^```console\n(\$ CERT=.*?)^```", text, re.MULTILINE | re.DOTALL)
    if proxy.program == "haproxy":
        [value] = re.findall(r"For HAProxy, the header is `X-SSL-Client-DER`, and its value is\n`(.+?)`", text)
        block = block.replace("X-SSL-Client-Cert: $CERT", f"X-SSL-Client-DER: {value}")
    lines = block.replace("https://api.example.com/notes/", f"https://127.0.0.1:{proxy.port}/async/").splitlines()
    commands = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=proxy.folder,
        env={**os.environ, "TOKEN": TOKEN, "CURL_CA_BUNDLE": str(proxy.folder / "authority.pem")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), [line for line in lines if not line.startswith("$ ")]


def test_documented_commands(proxy: Proxy) -> None:
    """The documentation's ``curl`` lines show that a forged header is removed."""
    assert outputs(proxy) == (["401", "200"], ["401", "200"])


LEAKS = {
    "nginx": {"proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;": ""},
    "haproxy": {"http-request del-header X-SSL-Client-DER": ""},
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_documented_commands_with_a_proxy_that_removes_nothing(program: str, folder: Path, forks: Forks) -> None:
    """They also show it if the proxy passes on what clients send."""
    find(program)
    with (
        serve("tests.proxies.urls", forks=forks, **environment(folder, program)) as site,
        running(program, folder, f"http://127.0.0.1:{site.port}", LEAKS[program]) as port,
    ):
        printed, _ = outputs(Proxy(program, port, folder))
    assert printed[0] == "200"
