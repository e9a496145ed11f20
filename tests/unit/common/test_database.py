"""The application database: engines, sessions, and errors by kind, on SQLite and on Postgres."""

import os

import psycopg2
import pytest
import sqlalchemy
from sqlalchemy import CheckConstraint, ForeignKey, MetaData, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from include.common.database import (
    NAMING_CONVENTION,
    POSTGRES_CONNECT,
    answering,
    connect,
    new_engine,
    session,
    transaction,
)
from include.common.errors import ConfigError, ConflictError, PermanentError, TransientError
from tests.databases import empty_postgres


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Source(Base):
    __tablename__ = "sources"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)


class Group(Base):
    __tablename__ = "groups"
    __table_args__ = (CheckConstraint("size > 0", name="size"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    size: Mapped[int]


@pytest.fixture
def engine(new_database):
    """A database with the two tables above and one source."""
    engine = new_engine(new_database())
    Base.metadata.create_all(engine)
    with session(engine, "the sources") as opened:
        opened.add(Source(id=1, name="secret"))
    yield engine
    engine.dispose()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'headrace.db'}"


@pytest.fixture
def postgres(postgres_server):
    with empty_postgres(postgres_server) as url:
        yield url


def run(engine, statement, *values):
    with transaction(engine, "the sources") as connection:
        connection.exec_driver_sql(statement, *values)


def test_a_process_has_one_engine_for_a_url(url, tmp_path):
    assert connect(url) is connect(url)
    assert connect(f"sqlite:///{tmp_path / 'another.db'}") is not connect(url)


def in_a_fork(work) -> str:
    """What `work` returns in a forked child of this process."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(writing, work().encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        return answer.read()


def test_a_forked_process_has_a_connection_of_its_own_and_leaves_its_parents_alone(postgres):
    def server_process() -> str:
        with connect(postgres).connect() as connection:
            return str(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())

    own = server_process()
    other = in_a_fork(server_process)
    assert other.isdecimal()
    assert other != own
    assert server_process() == own
    connect(postgres).dispose()


def test_a_forked_process_opens_sqlite_anew(url):
    run(connect(url), "CREATE TABLE words (word TEXT)")
    before = id(connect(url))

    def write() -> str:
        run(connect(url), "INSERT INTO words VALUES ('child')")
        return str(id(connect(url)) != before)

    assert in_a_fork(write) == "True"
    with connect(url).connect() as connection:
        assert connection.exec_driver_sql("SELECT word FROM words").scalars().all() == ["child"]
    connect(url).dispose()


def test_connecting_alone_makes_no_file(url, tmp_path):
    connect(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("busy_timeout", 30_000), ("foreign_keys", 1), ("synchronous", 1)]
)
def test_sqlite_is_set_so_that_readers_do_not_wait_writers_do_and_references_hold(url, pragma, value):
    engine = new_engine(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value
    engine.dispose()


def test_a_postgres_that_is_gone_is_noticed(postgres):
    engine = new_engine(postgres)
    with engine.connect() as connection:
        given = connection.connection.dbapi_connection.info.dsn_parameters
        assert {name: given[name] for name in POSTGRES_CONNECT} == {n: str(v) for n, v in POSTGRES_CONNECT.items()}
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one() == "1min"
    engine.dispose()


def test_the_url_may_say_other_timeouts(postgres):
    other = sqlalchemy.make_url(postgres).update_query_dict({"connect_timeout": "3", "options": "-c geqo=off"})
    engine = new_engine(other.render_as_string(hide_password=False))
    with engine.connect() as connection:
        given = connection.connection.dbapi_connection.info.dsn_parameters
        assert (given["connect_timeout"], given["keepalives_idle"]) == ("3", "30")
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one() == "0"
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me:hunter2@host/name", "names `mysql`"),
        ("postgresql://me:hunter2@host/name", "names `postgresql`"),
        ("postgresql+psycopg2://me:hunter2@host:port/name", "is no URL"),
        ("headrace.db", "is no URL"),
    ],
)
def test_a_url_of_another_kind_is_refused_with_what_is_allowed(url, said):
    with pytest.raises(ConfigError, match=rf"{said}; allowed are .*HEADRACE_DATABASE_URL") as caught:
        connect(url)
    assert "hunter2" not in str(caught.value)


def test_a_session_stores_models_and_what_was_read_stays_readable(engine):
    with session(engine, "the groups") as opened:
        opened.add(Group(id=1, source_id=1, size=3))
    with session(engine, "the groups") as opened:
        group = opened.scalars(select(Group)).one()
    assert (group.id, group.source_id, group.size) == (1, 1, 3)


def test_a_session_that_ends_by_an_error_stores_nothing(engine):
    def store_and_fail() -> None:
        with session(engine, "the sources") as opened:
            opened.add(Source(id=2, name="another"))
            opened.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store_and_fail()
    with session(engine, "the sources") as opened:
        assert opened.scalars(select(Source.name)).all() == ["secret"]


def test_an_error_at_the_end_of_a_session_is_of_its_kind(engine):
    with pytest.raises(ConflictError, match="refuses the sources: UNIQUE"), session(engine, "the sources") as opened:
        opened.add(Source(id=2, name="secret"))


@pytest.mark.parametrize(
    ("statement", "on_sqlite", "on_postgres"),
    [
        (
            "INSERT INTO sources (id, name) VALUES (7, 'secret')",
            "UNIQUE constraint `sources.name`",
            "UNIQUE constraint `sources_name_key`",
        ),
        (
            "INSERT INTO groups (id, source_id, size) VALUES (7, 4711, 1)",
            "FOREIGN KEY constraint",
            "FOREIGN KEY constraint `groups_source_id_fkey`",
        ),
        (
            "INSERT INTO groups (id, source_id, size) VALUES (7, 1, -4711)",
            "CHECK constraint `groups_size_check`",
            "CHECK constraint `groups_size_check`",
        ),
        (
            "INSERT INTO sources (id, name) VALUES (4711, NULL)",
            "NOT NULL constraint `sources.name`",
            "NOT NULL constraint `sources.name`",
        ),
    ],
)
def test_what_breaks_a_constraint_is_the_callers_business(engine, statement, on_sqlite, on_postgres):
    named = on_sqlite if engine.dialect.name == "sqlite" else on_postgres
    with pytest.raises(ConflictError) as caught:
        run(engine, statement)
    assert str(caught.value) == f"the application database refuses the sources: {named}"


@pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "SELECT gone FROM sources"])
def test_a_table_or_column_that_is_not_there_names_the_command_that_makes_it(engine, statement):
    with pytest.raises(ConfigError, match=r"for the sources: .*(nowhere|gone).*make migrate"):
        run(engine, statement)


def test_a_column_that_is_not_there_to_insert_into_names_the_command_too(engine):
    with pytest.raises(ConfigError, match=r"for the sources: .*gone.*make migrate"):
        run(engine, "INSERT INTO sources (id, gone) VALUES (1, 2)")


@pytest.mark.parametrize("statement", ["SELEC secret", "INSERT INTO sources (id, name) VALUES ('secret', 'a')"])
def test_any_other_error_is_permanent_and_shows_nothing_of_the_statement(engine, statement):
    with pytest.raises(PermanentError) as caught:
        run(engine, statement)
    assert type(caught.value) is PermanentError
    assert str(caught.value).startswith("the application database cannot be used for the sources: ")
    assert "secret" not in str(caught.value)


def test_a_log_of_the_cause_shows_no_values(engine):
    with pytest.raises(ConflictError) as caught, transaction(engine, "the sources") as connection:
        connection.execute(sqlalchemy.insert(Source).values(id=1, name="hunter2"))
    assert "hunter2" not in str(caught.value.__cause__)


def test_a_lock_that_is_held_may_pass_on_sqlite(url, monkeypatch):
    monkeypatch.setattr("include.common.database.SQLITE_BUSY_TIMEOUT", 0)
    first, second = new_engine(url), new_engine(url)
    with transaction(first, "the sources"), pytest.raises(TransientError, match=r"the sources: database is locked"):
        run(second, "SELECT 1")
    first.dispose()
    second.dispose()


def test_a_lock_that_is_held_may_pass_on_postgres(postgres):
    engine = new_engine(postgres)
    run(engine, "CREATE TABLE words (word TEXT)")
    with transaction(engine, "the words") as first:
        first.exec_driver_sql("LOCK TABLE words")
        with pytest.raises(TransientError, match=r"the sources: canceling statement due to lock timeout"):
            run(engine, "SET LOCAL lock_timeout = 1; SELECT * FROM words")
    engine.dispose()


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "57014", "57P01", "57P03", "08006", "53300", "58030"])
def test_what_a_postgres_server_may_get_over_may_pass(postgres_server, state):
    engine = connect(postgres_server)
    with pytest.raises(TransientError, match="the sources: as it says"):
        run(engine, f"DO $$ BEGIN RAISE EXCEPTION 'as it says' USING ERRCODE = '{state}'; END $$")


def test_a_connection_that_is_lost_may_pass_and_the_next_one_is_new(postgres):
    engine = new_engine(postgres)
    with pytest.raises(TransientError), transaction(engine, "the sources") as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    run(engine, "SELECT 1")
    engine.dispose()


def test_a_server_that_does_not_answer_may_pass():
    engine = new_engine("postgresql+psycopg2://me:hunter2@127.0.0.1:1/nothing")
    with pytest.raises(TransientError, match=r"the sources: connection .*refused") as caught:
        run(engine, "SELECT 1")
    assert "hunter2" not in str(caught.value)


def test_connections_that_are_all_in_use_may_pass(url):
    engine = sqlalchemy.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0)
    with engine.connect(), pytest.raises(TransientError, match="all connections of this process are in use"):
        run(engine, "SELECT 1")
    engine.dispose()


@pytest.mark.parametrize(("part", "said"), [("database", "database"), ("username", "role")])
def test_a_database_or_user_that_is_not_there_is_for_a_person_to_mend(postgres_server, part, said):
    engine = new_engine(sqlalchemy.make_url(postgres_server).set(**{part: "nobody"}).render_as_string(False))
    with pytest.raises(ConfigError, match=f'the sources: .*{said} "nobody" does not exist.*HEADRACE_DATABASE_URL'):
        run(engine, "SELECT 1")
    engine.dispose()


@pytest.mark.parametrize(
    "said",
    [
        'connection to server at "db", port 5432 failed: FATAL:  password authentication failed for user "me"\n',
        'connection to server at "db", port 5432 failed: fe_sendauth: no password supplied\n',
        'connection to server at "db" failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "me"\n',
        'connection to server at "db" failed: FATAL:  role "me" is not permitted to log in\n',
    ],
)
def test_a_login_that_is_refused_is_for_a_person_to_mend(said):
    with pytest.raises(ConfigError, match="for the sources: connection to server"), answering("the sources"):
        raise sqlalchemy.exc.OperationalError("SELECT 1", {}, psycopg2.OperationalError(said))


def test_a_right_that_is_missing_is_for_a_person_to_mend(postgres_server):
    with pytest.raises(ConfigError, match="the sources: as it says"):
        run(connect(postgres_server), "DO $$ BEGIN RAISE 'as it says' USING ERRCODE = '42501'; END $$")


def test_a_file_that_is_no_database_or_cannot_be_opened_is_for_a_person_to_mend(tmp_path):
    (tmp_path / "words.txt").write_text("these are words, and no pages of a database" * 50)
    with pytest.raises(ConfigError, match="the sources: file is not a database"):
        run(new_engine(f"sqlite:///{tmp_path / 'words.txt'}"), "SELECT 1")
    with pytest.raises(ConfigError, match="the sources: unable to open database file"):
        run(new_engine(f"sqlite:///{tmp_path / 'nowhere' / 'headrace.db'}"), "SELECT 1")
