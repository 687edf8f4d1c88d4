"""``python -m demo_asgi``, from the outside."""

import shutil
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.demo.processes import DEADLINE, interrupt, run_demo, run_django, serving, started


def files(folder: Path) -> set[str]:
    """The files in ``folder`` and below."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows(database: Path, table: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def test_tour_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Every request of the list is answered as expected, and neither files nor folders are left."""
    result = run_demo(tmp_path, "--tour")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert "DIFFERENT" not in result.stdout
    assert result.stdout.rstrip().endswith(" requests, 0 answered differently than expected.")
    assert files(tmp_path) == set()
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_tour_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, status: int) -> None:
    """A tour that is stopped stops its server and removes its database."""
    with started(tmp_path, "--tour") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=DEADLINE)
    # It may have been quicker than the signal. An exception that nobody caught would be 1.
    assert process.returncode in (0, status)
    assert files(tmp_path) == set()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_serving_leaves_the_database_where_it_says(tmp_path: Path) -> None:
    """The output names the database file, and it is the only one that is left after Ctrl-C, which ends quietly."""
    with serving(tmp_path, "--port", "0") as (process, lines):
        errors = interrupt(process)
    assert lines[0] == f"Database: {tmp_path / 'demo_asgi.sqlite3'}"
    assert (process.returncode in (0, 130), errors) == (True, "")
    assert files(tmp_path) == {"demo_asgi.sqlite3"}


def test_database_goes_where_it_is_told_to(tmp_path: Path) -> None:
    """``--database`` names the file."""
    with serving(tmp_path, "--port", "0", "--database", "elsewhere.db") as (process, lines):
        interrupt(process)
    assert lines[0] == f"Database: {tmp_path / 'elsewhere.db'}"
    assert files(tmp_path) == {"elsewhere.db"}


def test_seeding_twice_is_harmless(tmp_path: Path) -> None:
    """A second start restores the demo's rows and keeps all others."""
    database = tmp_path / "demo_asgi.sqlite3"
    with serving(tmp_path, "--port", "0") as (process, _):
        interrupt(process)
    tables = ("auth_user", "demo_asgi_oauth2client", "demo_asgi_oauth2token", "demo_asgi_note")
    before = {table: rows(database, table) for table in tables}
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO demo_asgi_note (user_id, text) SELECT user_id, text FROM demo_asgi_note")
        connection.execute("UPDATE demo_asgi_oauth2token SET revoked = 1, expires_in = 1")
        connection.execute("INSERT INTO demo_asgi_oauth2client (client_id, client_name) VALUES ('mine', 'Mine')")
    with serving(tmp_path, "--port", "0") as (process, _):
        interrupt(process)
    assert {table: rows(database, table) for table in tables} == before | {
        "demo_asgi_oauth2client": before["demo_asgi_oauth2client"] + 1,
        "demo_asgi_note": before["demo_asgi_note"] + 1,
    }
    with closing(sqlite3.connect(database)) as connection:
        revoked = connection.execute("SELECT access_token FROM demo_asgi_oauth2token WHERE revoked").fetchall()
    assert revoked == [("demo-alice-revoked",)]


def test_busy_port_is_one_line_and_makes_no_database(tmp_path: Path) -> None:
    """Where the port is taken, one line says so and nothing was begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_demo(tmp_path, "--port", str(port))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"Port {port} on 127.0.0.1 is already in use." in result.stderr
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "nowhere.invalid", "--port", "0"), "Cannot listen on nowhere.invalid"),
        (("--port", "0", "--database", "missing/demo.sqlite3"), "unable to open database file"),
    ],
)
def test_trouble_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """What cannot be used is named in a line, without a traceback."""
    result = run_demo(tmp_path, *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """``--database`` does not overwrite what it cannot read."""
    (tmp_path / "letter.txt").write_text("Dear Alice")
    result = run_demo(tmp_path, "--port", "0", "--database", "letter.txt")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert (tmp_path / "letter.txt").read_text() == "Dear Alice"


@pytest.mark.parametrize("port", ["65536", "-1", "http", "²"])
def test_impossible_port_is_a_usage_error(tmp_path: Path, port: str) -> None:
    """A port that cannot be one is refused by the command line."""
    result = run_demo(tmp_path, f"--port={port}")
    assert result.returncode == 2
    assert "is not a port: 0 to 65535" in result.stderr


def test_help_names_every_option(tmp_path: Path) -> None:
    """``--help`` explains the options and does nothing else."""
    result = run_demo(tmp_path, "--help")
    assert result.returncode == 0
    assert all(option in result.stdout for option in ("--host", "--port", "--database", "--tour"))
    assert files(tmp_path) == set()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_lines_work_when_pasted(tmp_path: Path) -> None:
    """A shell that runs the printed lines sees the statuses that were announced above them."""
    with serving(tmp_path, "--port", "0") as (process, lines):
        commands = [index for index, line in enumerate(lines) if line.startswith("curl ")]
        announced = [lines[index - 1] for index in commands]
        statuses = [_status(lines[index]) for index in commands]
        interrupt(process)
    wrong = [line for line, status in zip(announced, statuses, strict=True) if f": {status}" not in line]
    assert (wrong, len(commands) > 50) == ([], True)


def _status(command: str) -> str:
    output = subprocess.run(
        command.replace("curl ", "curl -s --noproxy '*' ", 1),
        shell=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    ).stdout
    return output.split()[1]


@pytest.mark.parametrize(
    "arguments", [("check", "--fail-level", "WARNING"), ("makemigrations", "--check", "--dry-run")]
)
def test_django_finds_nothing_to_complain_about(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The site passes all system checks, the guard's among them, and its migrations are complete."""
    result = run_django(tmp_path, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
