"""The application database: rate limits today, tasks and deals beside them. SQLite or Postgres, the same code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config

from include.common.errors import TransientError

MIGRATIONS = Path(__file__).with_name("migrations")
MIGRATION_LOCK = int.from_bytes(b"headrace")  # any number that nobody else takes
# Seconds that a SQLite writer waits for another before it gives up; a reservation holds the lock for about 1 ms.
SQLITE_BUSY_TIMEOUT = 30.0


def connect(url: str) -> sqlalchemy.Engine:
    """An engine for `url` (`sqlite:///path` or `postgresql+psycopg2://…`), opened at its first use."""
    if not url.startswith("sqlite"):
        return sqlalchemy.create_engine(url, pool_pre_ping=True)
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT})

    @sqlalchemy.event.listens_for(engine, "connect")
    def _write_ahead(connection, _record) -> None:  # type: ignore[no-untyped-def]
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


@contextmanager
def transaction(engine: sqlalchemy.Engine, purpose: str) -> Iterator[sqlalchemy.Connection]:
    """A short writing transaction for `purpose` ("the rate limit `csv_api`"), committed at the end of the block.

    On SQLite it holds the file's write lock from its first line, so that a clock read inside is not older than the
    wait for the lock. Raises `TransientError` where the database does not answer.
    """
    with answering(purpose), engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


@contextmanager
def answering(purpose: str) -> Iterator[None]:
    """Any error of the database in the block becomes a `TransientError`, whose sentence shows no statement or URL."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        what = str(error.orig).strip().partition("\n")[0]  # Postgres appends the statement
        raise TransientError(
            f"the application database cannot be used for {purpose}: {what} "
            "(looked in HEADRACE_DATABASE_URL; `make migrate` creates its tables)"
        ) from error


def migrate(url: str, revision: str = "head") -> None:
    """Bring the schema to `revision`, the newest if none is named; a second call changes nothing."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = connect(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":  # two hosts that start at once: the second finds the work done
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()
