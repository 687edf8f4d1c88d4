"""``python -m demo_asgi``, from the outside."""

import contextlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.demo.processes import DEADLINE, interrupt, run_demo, run_forked, serving, started
from tests.forks import Forks

# Starts and ends processes.
pytestmark = pytest.mark.slow

# How the line begins that names the authorization server.
AUTHORITY = "The authorization server: "


def files(folder: Path) -> set[str]:
    """The files in ``folder`` and below."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows(database: Path, table: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def test_tour_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Every response is the expected one, and no files or folders are left."""
    result = run_demo(tmp_path, "--tour")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "DIFFERENT" not in result.stdout
    assert result.stdout.rstrip().endswith(" requests, 0 with an unexpected response.")
    assert files(tmp_path) == set()
    assert list((tmp_path / "temporary").iterdir()) == []
    # Only the outage of the tour is logged, without a token.
    logged = {re.sub(r":\d+", "", line) for line in result.stderr.splitlines()}
    assert logged == {
        "Request to http://127.0.0.1/introspect failed: ConnectError",
        "Request to http://127.0.0.1/jwks failed: ConnectError",
    }


def test_tour_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    """Its servers end too."""
    with started(tmp_path, "--tour") as process:
        assert process.stdout is not None
        process.stdout.readline()
        servers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait(DEADLINE)
    assert len(servers) == 2
    assert psutil.wait_procs(servers, DEADLINE)[1] == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_tour_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, status: int) -> None:
    """A tour that is stopped stops its server and removes its database."""
    with started(tmp_path, "--tour") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=DEADLINE)
    # The tour may end before the signal arrives. The status of an uncaught exception would be 1.
    assert process.returncode in (0, status)
    assert files(tmp_path) == set()
    assert list((tmp_path / "temporary").iterdir()) == []


@dataclass(frozen=True)
class FirstStart:
    """A demo that was served until Ctrl-C, in an empty folder."""

    folder: Path
    lines: list[str]
    status: int | None
    errors: str
    was_open: bool
    """Whether the authorization server accepted connections until then."""

    @property
    def database(self) -> Path:
        return self.folder / "demo_asgi.sqlite3"


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> FirstStart:
    folder = tmp_path_factory.mktemp("first")
    with serving(folder, "--port", str(free_pair())) as (process, lines):
        was_open = not is_closed(address(lines, AUTHORITY))
        errors = interrupt(process)
    return FirstStart(folder, lines, process.returncode, errors, was_open)


def test_serving_keeps_its_database(first_start: FirstStart) -> None:
    """The output names the database. After Ctrl-C, which ends without an error, only the two state files are left."""
    assert first_start.lines[0] == f"Database: {first_start.database}"
    assert (first_start.status in (0, 130), first_start.errors) == (True, "")
    assert files(first_start.folder) == {"demo_asgi.sqlite3", "demo_asgi.authority.json"}


def test_authorization_server_takes_the_next_port_and_ends_with_the_demo(first_start: FirstStart) -> None:
    """Its address is printed. It accepts connections until Ctrl-C."""
    demo, authority = address(first_start.lines, "The demo: "), address(first_start.lines, AUTHORITY)
    assert authority[1] == demo[1] + 1
    assert first_start.was_open
    assert is_closed(authority)


@dataclass(frozen=True)
class SecondStart:
    """A demo that was started with the changed database of the first one under another name, and got SIGTERM."""

    folder: Path
    lines: list[str]
    counts: dict[str, int]
    revoked: list[str]
    statuses: list[str] | None
    """Those that the printed lines got, if there is a curl."""
    was_open: bool


@pytest.fixture(scope="module")
def second_start(first_start: FirstStart, tmp_path_factory: pytest.TempPathFactory) -> SecondStart:
    folder = tmp_path_factory.mktemp("second")
    database = folder / "elsewhere.db"
    shutil.copy(first_start.database, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO demo_asgi_note (user_id, text) SELECT user_id, text FROM demo_asgi_note")
        connection.execute("UPDATE demo_asgi_oauth2token SET revoked = 1, expires_in = 1")
        connection.execute("INSERT INTO demo_asgi_oauth2client (client_id, client_name) VALUES ('mine', 'Mine')")
    with serving(folder, "--port", "0", "--database", "elsewhere.db") as (process, lines):
        # Before the printed lines change any rows.
        counts, revoked = count_rows(database), revoked_tokens(database)
        statuses = statuses_of(lines) if shutil.which("curl") else None
        was_open = not is_closed(address(lines, AUTHORITY))
        end(process, signal.SIGTERM, address(lines, AUTHORITY))
    return SecondStart(folder, lines, counts, revoked, statuses, was_open)


def count_rows(database: Path) -> dict[str, int]:
    tables = ("auth_user", "demo_asgi_oauth2client", "demo_asgi_oauth2token", "demo_asgi_note")
    return {table: rows(database, table) for table in tables}


def revoked_tokens(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT access_token FROM demo_asgi_oauth2token WHERE revoked").fetchall()
    return [token for (token,) in found]


def test_the_database_option(second_start: SecondStart) -> None:
    """``--database`` names the file."""
    assert second_start.lines[0] == f"Database: {second_start.folder / 'elsewhere.db'}"
    assert files(second_start.folder) == {"elsewhere.db", "elsewhere.authority.json"}


def test_seeding_twice(first_start: FirstStart, second_start: SecondStart) -> None:
    """A second start restores the demo's rows and keeps all others."""
    before = count_rows(first_start.database)
    assert second_start.counts == before | {
        "demo_asgi_oauth2client": before["demo_asgi_oauth2client"] + 1,
        "demo_asgi_note": before["demo_asgi_note"] + 1,
    }
    assert second_start.revoked == ["demo-alice-revoked"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_lines_work_when_pasted(second_start: SecondStart) -> None:
    """A shell that runs the printed lines gets the statuses in the comments above them."""
    lines, statuses = second_start.lines, second_start.statuses
    assert statuses is not None
    comments = [lines[index - 1] for index, line in enumerate(lines) if line.startswith("curl ")]
    wrong = [line for line, status in zip(comments, statuses, strict=True) if f": {status}" not in line]
    assert (wrong, len(comments) > 100) == ([], True)


def test_authorization_server_ends_with_a_terminated_demo(second_start: SecondStart) -> None:
    """The other process ends too."""
    assert second_start.was_open
    assert is_closed(address(second_start.lines, AUTHORITY))


def test_authorization_server_ends_with_a_killed_demo(tmp_path: Path) -> None:
    """The other process ends too, although the demo could not stop it."""
    with serving(tmp_path, "--port", "0") as (process, lines):
        authority = address(lines, AUTHORITY)
        assert not is_closed(authority)
        end(process, signal.SIGKILL, authority)
    assert is_closed(authority)


def end(process: subprocess.Popen[str], number: signal.Signals, authority: tuple[str, int]) -> None:
    """End the demo with this signal, and give its authorization server the time to end too."""
    process.send_signal(number)
    process.wait(DEADLINE)
    deadline = time.monotonic() + DEADLINE
    while not is_closed(authority) and time.monotonic() < deadline:
        time.sleep(0.05)


def test_busy_port_is_one_line_and_makes_no_database(forks: Forks, tmp_path: Path) -> None:
    """If the port is in use, one line says so, and no file is created."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_forked(forks, tmp_path, "demo_asgi", "--port", str(port))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"Port {port} on 127.0.0.1 is already in use." in result.stderr
    assert files(tmp_path) == set()


def test_busy_port_of_the_authorization_server_is_one_line(forks: Forks, tmp_path: Path) -> None:
    """If the next port is in use, one line says so, and no file is created."""
    port = free_pair()
    with socket.create_server(("127.0.0.1", port + 1)):
        result = run_forked(forks, tmp_path, "demo_asgi", "--port", str(port))
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert f"Port {port + 1} on 127.0.0.1 is already in use." in result.stderr
    assert files(tmp_path) == set()


def test_a_running_authorization_server_is_used(tmp_path: Path) -> None:
    """``--authority`` names one, and the demo does not start another."""
    with serving(tmp_path, "--port", "0", "--authority", "http://127.0.0.1:9") as (process, lines):
        interrupt(process)
    assert "The authorization server: http://127.0.0.1:9" in lines
    assert files(tmp_path) == {"demo_asgi.sqlite3"}


def free_pair() -> int:
    """A free port whose successor is free too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 1)):
                return port


def address(lines: list[str], label: str) -> tuple[str, int]:
    (line,) = [line for line in lines if line.startswith(label)]
    parts = urlsplit(line.removeprefix(label))
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def is_closed(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, DEADLINE).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "nowhere.invalid", "--port", "0"), "Cannot listen on nowhere.invalid"),
        (("--port", "0", "--database", "missing/demo.sqlite3"), "No such file or directory"),
    ],
)
def test_errors_are_one_line(forks: Forks, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """An error is printed in one line, without a traceback."""
    result = run_forked(forks, tmp_path, "demo_asgi", *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_no_database_is_not_changed(forks: Forks, tmp_path: Path) -> None:
    """``--database`` does not overwrite other files."""
    (tmp_path / "letter.txt").write_text("Dear Alice")
    result = run_forked(forks, tmp_path, "demo_asgi", "--port", "0", "--database", "letter.txt")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert (tmp_path / "letter.txt").read_text() == "Dear Alice"


@pytest.mark.parametrize("port", ["65536", "-1", "http", "²"])
def test_impossible_port_is_a_usage_error(forks: Forks, tmp_path: Path, port: str) -> None:
    """The command refuses an invalid port."""
    result = run_forked(forks, tmp_path, "demo_asgi", f"--port={port}")
    assert result.returncode == 2
    assert "is not a port: 0 to 65535" in result.stderr


def test_help_names_every_option(tmp_path: Path) -> None:
    """``--help`` names the options, and creates no file."""
    result = run_demo(tmp_path, "--help")
    assert result.returncode == 0
    assert all(
        option in result.stdout
        for option in ("--host", "--port", "--database", "--authority", "--stop-at-eof", "--tour")
    )
    assert files(tmp_path) == set()


def _run_line(comment: str, line: str) -> str:
    """The line without proxies. A line whose response is not kept also prints the status."""
    if not line.startswith("curl "):
        return line.replace("curl ", "curl --noproxy '*' ", 1)
    command = line.replace("curl ", r"curl -s --noproxy '*' -w '\nstatus %{http_code}\n' ", 1)
    if "s later)" not in comment:
        return command
    status = comment.rpartition("s later): ")[2][:3]
    return f"until {command} | grep '^status {status}$'; do sleep 0.1; done"


def statuses_of(lines: list[str]) -> list[str]:
    """The statuses that a shell gets when it runs the printed lines."""
    script = [_run_line(lines[index - 1], line) for index, line in enumerate(lines) if "curl " in line]
    output = subprocess.run(["sh"], input="\n".join(script), capture_output=True, text=True, timeout=DEADLINE).stdout
    return re.findall(r"^status (\d{3})$", output, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments", [("check", "--fail-level", "WARNING"), ("makemigrations", "--check", "--dry-run")]
)
def test_django_finds_no_problems(forks: Forks, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The site passes all system checks, including the guard's, and its migrations are complete."""
    result = run_forked(forks, tmp_path, "django", *arguments, "--settings", "demo_asgi.settings")
    assert result.returncode == 0, result.stdout + result.stderr
