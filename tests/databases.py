"""Databases for tests: a SQLite file, and a Postgres server of the test session's own.

The server is the one that HEADRACE_TEST_POSTGRES names (a SQLAlchemy URL), else one started in a temporary folder from
this machine's PostgreSQL binaries. Each use gets a new, empty database on it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from include.common.schema import migrate

NewDatabase = Callable[[], str]
# Seconds for initdb and for the server to take its first connection, on a busy machine.
PATIENCE = 60.0
DURABLE = ("listen_addresses=", "max_connections=200")
# A test's data need not outlive a power cut.
IN_A_HURRY = (*DURABLE, "fsync=off", "synchronous_commit=off", "full_page_writes=off")

AS_INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")


def binaries() -> Path:
    """The folder of `initdb` and `postgres`: the newest that Debian installed, else that of PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = debian[-1] if debian else shutil.which("initdb")
    if not found:
        pytest.fail(
            "no PostgreSQL server for the tests: `apt-get install postgresql`, or name one in HEADRACE_TEST_POSTGRES "
            "(looked for initdb in /usr/lib/postgresql/*/bin and PATH)",
            pytrace=False,
        )
    return Path(found).resolve().parent


def _somebody() -> str | None:
    """Whom to run the server as: it refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def running_postgres(settings: Sequence[str] = IN_A_HURRY) -> Iterator[str]:
    """A server on a Unix socket in a temporary folder; yields the URL of its database `postgres`."""
    tools, user, folder = binaries(), _somebody(), Path(tempfile.mkdtemp(prefix="headrace-pg-"))
    if user:
        shutil.chown(folder, user)
    as_user = {"user": user, "extra_groups": [], "cwd": folder} if user else {"cwd": folder}
    log = folder / "log"
    try:
        made = subprocess.run(
            [tools / "initdb", "-D", folder / "data", *AS_INITDB],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            **as_user,
        )
        assert made.returncode == 0, f"initdb failed: {made.stderr}"
        options = [part for option in settings for part in ("-c", option)]
        with log.open("wb") as stream:
            server = subprocess.Popen(
                [tools / "postgres", "-D", folder / "data", "-k", folder, *options],
                stdout=stream,
                stderr=stream,
                **as_user,
            )
        try:
            url = f"postgresql+psycopg2://postgres@/postgres?host={folder}"
            _wait_for(url, server, log)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: sessions are cut, files left whole
            server.wait(PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            engine.connect().close()
            return
        except sqlalchemy.exc.OperationalError:
            if server.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"the PostgreSQL server for the tests did not start: {log.read_text()}", pytrace=False)
            time.sleep(0.05)


@contextmanager
def empty_postgres(server_url: str) -> Iterator[str]:
    """The URL of a new database on the server, dropped at the end."""
    name = f"headrace_test_{uuid.uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    try:
        yield sqlalchemy.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a Postgres server on which databases can be created."""
    if named := os.environ.get("HEADRACE_TEST_POSTGRES"):
        yield named
        return
    with running_postgres() as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def new_database(request, tmp_path_factory) -> Iterator[NewDatabase]:
    """Gives the URL of a new, empty database, on SQLite and on Postgres in turn; not migrated."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgres" else None
    with ExitStack() as stack:

        def new() -> str:
            if server:
                return stack.enter_context(empty_postgres(server))
            return f"sqlite:///{tmp_path_factory.mktemp('database') / 'headrace.db'}"

        yield new


@pytest.fixture(scope="session")
def database_url(new_database) -> str:
    """The URL of a migrated database, on SQLite and on Postgres in turn, shared by the tests of the session."""
    url = new_database()
    migrate(url)
    return url
