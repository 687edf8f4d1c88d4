"""Starts nginx and HAProxy with the configurations that the documentation shows."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests import programs
from tests.servers import READY_WITHIN, stop

PAGE = Path(__file__).parents[2] / "docs" / "client-certificates.md"
PROGRAMS = ("nginx", "haproxy")

# What the documentation does not show, so that nginx runs without root's folders.
_NGINX = """
{user} daemon off; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
{shown}
}}
"""
_HAPROXY = """
defaults
    timeout connect 5s
    timeout client 10s
    timeout server 10s
{shown}
"""


def find(program: str) -> str:
    """The path of a program. Without it, the test is skipped, or fails where proxies are required."""
    return programs.find(program, "OAUTH_GUARD_TEST_PROXIES")


def shown(language: str) -> str:
    """The block of the documentation in this language."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def replaced(text: str, replacements: Mapping[str, str]) -> str:
    """The text with each of these parts, which it contains, replaced."""
    for old, new in replacements.items():
        assert old in text, f"the documentation does not show {old}"
        text = text.replace(old, new)
    return text


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def running(
    program: str, folder: Path, site: str, changes: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[int]:
    """The proxy in front of ``site``, with the certificates in ``folder``. Gives its port.

    ``changes`` are made to the configuration of the documentation.
    """
    path = find(program)
    port = port or free_port()
    documented = replaced(shown(program), changes or {})
    configuration = replaced(documented, {"/etc/ssl/": f"{folder}/", "clients-ca.pem": "authority.pem"})
    written = folder / f"{program}.conf"
    if program == "nginx":
        # Other users cannot enter the folders of the tests.
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = replaced(
            configuration, {"listen 443": f"listen 127.0.0.1:{port}", "http://127.0.0.1:8000": site}
        )
        written.write_text(_NGINX.format(folder=folder, shown=configuration, user=user))
        command = [path, "-p", str(folder), "-c", str(written), "-e", "stderr"]
    else:
        server = site.removeprefix("http://").replace("unix:", "unix@")
        configuration = replaced(configuration, {"bind :443": f"bind 127.0.0.1:{port}", "127.0.0.1:8000": server})
        written.write_text(_HAPROXY.format(shown=configuration))
        command = [path, "-db", "-f", str(written)]
    log = folder / f"{program}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_open(port, process, log)
        yield port
    finally:
        stop(process)


def _wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the proxy did not start:\n{log.read_text()}")
