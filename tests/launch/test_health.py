"""The health checks of the stack's services, on a real Postgres and without a broker."""

import http.server
import threading

import pytest

from include.common.database import connect
from include.common.errors import TransientError
from include.launch.embedded.processes import free_port
from include.launch.stack import health
from include.launch.stack.health import check_execution_api, check_job, check_worker
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


@pytest.fixture
def api_server():
    """A server that writes down what it is asked for, and answers with the status that it is told."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            asked.append(self.path)
            self.send_response(self.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/execution/", asked, Handler
        server.shutdown()


def test_a_worker_asks_the_api_that_its_tasks_need(api_server):
    address, asked, handler = api_server
    check_execution_api(address)
    assert asked == ["/execution/health"]
    handler.status = 503
    with pytest.raises(TransientError, match=r"^the api-server does not answer at http://.*/execution/: HTTPError$"):
        check_execution_api(address)


def test_an_api_server_that_is_away_is_said():
    with pytest.raises(TransientError, match=r"^the api-server does not answer at .*: URLError$"):
        check_execution_api(f"http://127.0.0.1:{free_port()}/execution/")


@pytest.mark.parametrize("away", ["check_worker", "check_execution_api"])
def test_a_worker_is_healthy_where_the_broker_and_the_api_server_answer(monkeypatch, away, capsys):
    monkeypatch.setattr("sys.argv", ["health", "worker"])
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", "redis://redis")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://api-server/execution/")
    monkeypatch.setattr(health, "check_worker", lambda broker, host: None)
    monkeypatch.setattr(health, "check_execution_api", lambda address: None)
    assert health.main() == 0

    def missed(*_):
        raise TransientError("nobody answers")

    monkeypatch.setattr(health, away, missed)
    assert health.main() == 1
    assert capsys.readouterr().out == "healthy\nnobody answers\n"
