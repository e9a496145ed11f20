"""The application database, SQLite or Postgres by the same code: engines, transactions, sessions.

What goes wrong in it is raised by kind (`database_errors.py`): a `ConflictError` for a broken uniqueness, reference or
check, a `ConfigError` for what was not migrated or is not allowed, a `TransientError` for what may pass.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy.orm import Session

from include.common.database_errors import by_kind
from include.common.errors import ConfigError

# Postgres's own names, so that tables made without a convention have them as well. SQLite gives none, and a constraint
# without a name cannot be altered there.
NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}
# Seconds that a SQLite writer waits for another before it gives up; a reservation holds the lock for about 1 ms.
SQLITE_BUSY_TIMEOUT = 30.0
# How a Postgres server that is gone is noticed; the query of the URL may say otherwise. A server that is only frozen
# still has its kernel acknowledge: a new connection gives up after `connect_timeout`, a statement under way waits.
POSTGRES_CONNECT = {
    # Seconds for name, handshake and login, for each address of the host; without it the kernel tries for two minutes.
    "connect_timeout": 10,
    # A silent connection is probed after 30 s, three times 10 s apart: a machine that vanished is noticed in a minute,
    # where the kernel's own settings take two hours.
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    # Milliseconds that sent data may stay unacknowledged: probes do not count while some is on its way, and the kernel
    # would repeat it for 15 minutes.
    "tcp_user_timeout": 30_000,
    # Milliseconds: a process that is frozen or cut off in the middle of a transaction holds its rows no longer.
    "options": "-c idle_in_transaction_session_timeout=60000",
}
DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg2")

_engines: dict[str, sqlalchemy.Engine] = {}
_of_parents: list[dict[str, sqlalchemy.Engine]] = []


def connect(url: str) -> sqlalchemy.Engine:
    """This process's one engine for `url` (`sqlite:///path` or `postgresql+psycopg2://…`), opened at its first use.

    A process that is forked has engines of its own. Raises `ConfigError` for a URL of another kind.
    """
    return _engines.get(url) or _engines.setdefault(url, new_engine(url))


def _leave_to_parent() -> None:
    # A connection used by two processes mixes up their answers. Kept, not closed: closing would end the parent's.
    global _engines
    _of_parents.append(_engines)
    _engines = {}


os.register_at_fork(after_in_child=_leave_to_parent)


def new_engine(url: str) -> sqlalchemy.Engine:
    """An engine of the caller's own, who disposes of it; raises `ConfigError` as `connect` does."""
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.drivername not in DRIVERS:
        is_what = f"names `{parsed.drivername}`" if parsed is not None else "is no URL"
        raise ConfigError(
            f"the application database's address {is_what}; allowed are `sqlite:///path` and "
            "`postgresql+psycopg2://user:password@host/database` (looked in HEADRACE_DATABASE_URL)"
        )
    # hide_parameters: a log has the statement of an error, not the values.
    if parsed.get_backend_name() == "postgresql":
        own = {name: value for name, value in POSTGRES_CONNECT.items() if name not in parsed.query}
        return sqlalchemy.create_engine(parsed, pool_pre_ping=True, connect_args=own, hide_parameters=True)
    engine = sqlalchemy.create_engine(parsed, connect_args={"timeout": SQLITE_BUSY_TIMEOUT}, hide_parameters=True)

    @sqlalchemy.event.listens_for(engine, "connect")
    def _set_up(connection, _record) -> None:  # type: ignore[no-untyped-def]
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


@contextmanager
def transaction(engine: sqlalchemy.Engine, purpose: str) -> Iterator[sqlalchemy.Connection]:
    """A short writing transaction for `purpose` ("the rate limit `csv_api`"), committed at the end of the block.

    On SQLite it holds the file's write lock from its first line, so that a clock read inside is not older than the
    wait for the lock. Raises errors by kind, as `answering` does.
    """
    with answering(purpose), engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


@contextmanager
def session(engine: sqlalchemy.Engine, purpose: str) -> Iterator[Session]:
    """A session for models in a `transaction`: flushed and committed at the end of the block, rolled back by an error.

    What was read stays readable behind it.
    """
    with transaction(engine, purpose) as connection, Session(connection, expire_on_commit=False) as opened:
        yield opened
        opened.flush()


def epoch(engine: sqlalchemy.Engine, clock: Callable[[], float] | None = None) -> sqlalchemy.ColumnElement[float]:
    """The time of a statement in seconds since the epoch: Postgres's own, or that of `clock`, ours where not given."""
    number = sqlalchemy.Float(precision=53)
    if clock is None and engine.dialect.name == "postgresql":
        # Not the time of the transaction's begin: it is read after the wait for a row's lock.
        return sqlalchemy.cast(sqlalchemy.extract("epoch", sqlalchemy.func.clock_timestamp()), number)
    return sqlalchemy.literal((clock or time.time)(), number)


@contextmanager
def answering(purpose: str) -> Iterator[None]:
    """Raises any error of the database in the block by kind; its sentence shows no statement, value or URL."""
    try:
        yield
    except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError) as error:
        raise by_kind(error, purpose) from error
