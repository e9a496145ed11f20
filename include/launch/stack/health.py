"""Whether a service of the stack does its work: `python -m include.launch.stack.health scheduler`.

Airflow's own `airflow jobs check` takes 4 s of a core each time; this asks the same tables without importing Airflow.
"""

import argparse
import contextlib
import http.client
import os
import socket
import sys
import urllib.request

import psycopg2

from include.common.errors import HeadraceError, TransientError

JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
# Seconds; Airflow's own threshold for each of them (`scheduler_health_check_threshold` and its like).
FRESH = 30.0
PING_SECONDS = 5.0
NEWEST = (
    "SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job "
    "WHERE job_type = %s AND hostname = %s AND state = 'running'"
)


def check_job(service: str, database: str, host: str) -> None:
    """Raise `TransientError` unless the job of `service` on `host` gave a sign of life in the last 30 s."""
    # The driver by itself: SQLAlchemy takes four times as long to import, every 15 s in three containers.
    dsn = database.replace("+psycopg2", "", 1)
    try:
        with contextlib.closing(psycopg2.connect(dsn, connect_timeout=5)) as connection, connection.cursor() as cursor:
            cursor.execute(NEWEST, (JOBS[service], host))
            (age,) = cursor.fetchone()
    except psycopg2.Error as error:
        raise TransientError(f"Airflow's database does not answer: {type(error).__name__}") from error
    if age is None:
        raise TransientError(f"no running {JOBS[service]} of {host} in Airflow's database")
    if age > FRESH:
        raise TransientError(f"the {JOBS[service]} of {host} gave its last sign of life {age:.0f} s ago")


def check_worker(broker: str, host: str) -> None:
    """Raise `TransientError` unless the Celery worker of `host` answers a ping over the broker."""
    from celery import Celery

    name = f"celery@{host}"
    try:
        answers = Celery(broker=broker).control.inspect([name], timeout=PING_SECONDS).ping()
    except Exception as error:  # kombu raises whatever the broker's client does
        raise TransientError(f"the broker does not answer: {type(error).__name__}") from error
    if not answers:
        raise TransientError(f"the worker {name} did not answer within {PING_SECONDS:.0f} s")


def check_execution_api(address: str) -> None:
    """Raise `TransientError` unless the API that a worker's tasks need answers at `address`."""
    try:
        # By the same proxy, if there is one, as the tasks' own requests.
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=PING_SECONDS):
            return
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise TransientError(f"the api-server does not answer at {address}: {type(error).__name__}") from error


def main() -> int:
    """Check the service that the command names; the exit status is 0 only where it works."""
    parser = argparse.ArgumentParser(prog="python -m include.launch.stack.health", description=__doc__)
    parser.add_argument("service", choices=[*JOBS, "worker"])
    service = parser.parse_args().service
    host = socket.gethostname()
    try:
        if service == "worker":
            check_worker(os.environ["AIRFLOW__CELERY__BROKER_URL"], host)
            check_execution_api(os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"])
        else:
            check_job(service, os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], host)
    except HeadraceError as error:
        print(error)
        return 1
    print("healthy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
