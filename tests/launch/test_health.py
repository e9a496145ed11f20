"""The health checks of the stack's services, on a real Postgres and without a broker."""

import pytest

from include.common.database import connect
from include.common.errors import TransientError
from include.launch.stack.health import check_job, check_worker
from tests.databases import empty_postgres

JOB = "CREATE TABLE job (job_type text, hostname text, state text, latest_heartbeat timestamptz)"


@pytest.fixture
def airflow(postgres_server):
    """A database with as much of Airflow's table of jobs as the check reads; gives its URL and a way to add jobs."""
    with empty_postgres(postgres_server) as url:
        engine = connect(url)

        def add(seconds_ago, job="SchedulerJob", host="here", state="running"):
            with engine.begin() as connection:
                connection.exec_driver_sql(
                    f"INSERT INTO job VALUES ('{job}', '{host}', '{state}', now() - interval '{seconds_ago} seconds')"
                )

        with engine.begin() as connection:
            connection.exec_driver_sql(JOB)
        yield url, add
        engine.dispose()


def test_a_job_with_a_fresh_sign_of_life_is_healthy(airflow):
    url, add = airflow
    add(900)
    add(5)
    check_job("scheduler", url, "here")


@pytest.mark.parametrize("other", [{"host": "there"}, {"job": "TriggererJob"}, {"state": "success"}])
def test_the_job_of_another_does_not_count(airflow, other):
    url, add = airflow
    add(5, **other)
    with pytest.raises(TransientError, match=r"^no running SchedulerJob of here in Airflow's database$"):
        check_job("scheduler", url, "here")


def test_a_job_without_a_sign_of_life_is_not_healthy(airflow):
    url, add = airflow
    add(45)
    with pytest.raises(TransientError, match=r"^the SchedulerJob of here gave its last sign of life 4\d s ago$"):
        check_job("scheduler", url, "here")


def test_a_database_that_is_away_is_said_without_its_password():
    with pytest.raises(TransientError, match=r"^Airflow's database does not answer: OperationalError$"):
        check_job("scheduler", "postgresql+psycopg2://airflow:s3cret@127.0.0.1:1/airflow", "here")


def test_a_broker_that_is_away_is_said_without_its_password():
    with pytest.raises(TransientError, match=r"^the broker does not answer: OperationalError$"):
        check_worker("redis://:s3cret@127.0.0.1:1/0", "here")
