"""The application database."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy

from include.common.database import connect, migrate
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


def test_two_that_migrate_at_once_do_not_get_in_each_others_way(postgres_server):
    with empty_postgres(postgres_server) as url, ThreadPoolExecutor(4) as pool:
        for migrated in [pool.submit(migrate, url) for _ in range(4)]:
            migrated.result()
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
