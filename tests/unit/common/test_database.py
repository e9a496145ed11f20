"""The application database."""

import subprocess
import sys
import time

import pytest
import sqlalchemy

from include.common.database import MIGRATION_LOCK, connect, migrate
from tests.databases import empty_postgres


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'headrace.db'}"


def tables(url: str) -> set[str]:
    engine = connect(url)
    try:
        return set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_migrating_a_new_database_makes_its_tables(url):
    migrate(url)
    assert tables(url) == {"rate_limits", "budgets", "headrace_version"}


def test_migrating_again_changes_nothing(url):
    migrate(url)
    engine = connect(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO rate_limits VALUES ('csv_api', 5.5, 7.5)")
    migrate(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT * FROM rate_limits").all() == [("csv_api", 5.5, 7.5)]
    engine.dispose()


def test_one_that_migrates_waits_for_another_that_is_at_it(postgres_server):
    command = [sys.executable, "-c", "import sys; from include.common.database import migrate; migrate(sys.argv[1])"]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with empty_postgres(postgres_server) as url:
        engine = connect(url)
        with engine.begin() as other:
            other.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            second = subprocess.Popen([*command, url])
            while not other.exec_driver_sql(waiting).scalar():
                assert second.poll() is None, "it did not wait"
                time.sleep(0.01)
            assert tables(url) == set()
        engine.dispose()
        assert second.wait(60) == 0
        assert tables(url) == {"rate_limits", "budgets", "headrace_version"}


def test_connecting_alone_makes_no_file(url, tmp_path):
    connect(url).dispose()
    assert list(tmp_path.iterdir()) == []


def test_readers_of_sqlite_do_not_wait_for_writers(url):
    engine = connect(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()


def test_a_writer_waits_for_another_instead_of_failing_at_once(url):
    engine = connect(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 30_000
    engine.dispose()


def test_a_postgres_address_gives_a_postgres_engine_without_connecting():
    engine = connect("postgresql+psycopg2://nobody@127.0.0.1:1/nothing")
    assert engine.dialect.name == "postgresql"
    engine.dispose()


def test_a_path_with_spaces_and_other_alphabets_works(tmp_path):
    folder = tmp_path / "мои данные 100%"
    folder.mkdir()
    url = f"sqlite:///{folder / 'headrace.db'}"
    migrate(url)
    assert "rate_limits" in tables(url)
