"""
### parser_task_statuses

Reads what parsers report of their tasks, continuously.

**Steps.** `read_statuses` waits in the triggerer, without a worker's slot, until the status topic has a message; then a
worker applies bulk after bulk (`KAFKA_DEFAULT_BULK_SIZE`, `KAFKA_DEFAULT_BULK_TIMEOUT`) until there are no more.

**It needs** Kafka: the connection `kafka_default` or `KAFKA_BOOTSTRAP_SERVERS`. `KAFKA_WORKERS_ENABLED=false` leaves
the messages where they are.

**A rerun** (Clear) reads what is there by then. A message that is read again changes nothing.

**It does not** commit an offset before the database has the bulk and the dead letter queue (`task_statuses.dlq`) has
what can never be applied: an unknown task, an unknown status, what is no JSON, what is larger than 1 MB.

**When it fails** the next run begins where the last one committed.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from include.orchestration.parser_tasks.tasks import ReadStatuses

with DAG(
    dag_id="parser_task_statuses",
    schedule="@continuous",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
    tags=["parser tasks"],
    doc_md=__doc__,
):
    ReadStatuses(task_id="read_statuses")
