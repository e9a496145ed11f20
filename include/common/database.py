"""The application database: rate limits today, tasks and deals beside them. SQLite or Postgres, the same code."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
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


def migrate(url: str) -> None:
    """Bring the schema to the newest revision; a second call changes nothing."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = connect(url)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
