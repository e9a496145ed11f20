"""What the tests of the application database share."""

import pytest

from include.common.database import connect


@pytest.fixture
def engine(database_url):
    """The migrated database, SQLite or Postgres, with nothing in it."""
    engine = connect(database_url)
    with engine.begin() as connection:
        for table in ("rate_limits", "budgets", "leases", "workers"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    yield engine
    engine.dispose()
