"""
### parser_tasks_create

Creates tasks for parsers: every minute, for each source and type of task that is due by its own schedule, and sends
them to Kafka.

**Steps.** `create_tasks` makes a group for each parser and type and a task for each source; `publish` sends every task
that is `created` to the topic of its parser, waits for Kafka's acknowledgement and marks it `queued`.

**It needs** sources with a schedule (the page *Parser tasks*, or its API), and Kafka: the connection `kafka_default` or
`KAFKA_BOOTSTRAP_SERVERS`.

**A rerun** (Clear) creates what is due by then and sends what is `created` by then. A task is never created twice.

**It does not** create a task for a source whose last one of that type is open, or for a parser of which more than
`PARSER_TASKS_BACKLOG_LIMIT` tasks wait for a worker: such sources stay due, and the log of `create_tasks` says how
many. What was missed meanwhile is created once.

**When it fails** the tasks stay `created`, and the next run sends them. Nothing is lost, and nothing is sent twice but
with the same id.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from include.orchestration.parser_tasks.tasks import create_tasks, publish

with DAG(
    dag_id="parser_tasks_create",
    schedule="* * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
    tags=["parser tasks"],
    doc_md=__doc__,
):
    create_tasks() >> publish()
