"""
### parser_tasks_cancel_expired

Cancels the tasks of parsers that are past their deadline, every minute, and tells Telegram what needs a person.

**Steps.** `cancel_expired` ends every open task past its deadline as `cancelled`, reason `expired`. `tell` reports
groups that ended with failures or late tasks, each once, and sources that failed three times in a row or are well
again.

**It needs** nothing but the application database. Telegram is told where the connection `telegram_default` or
`BOT_TOKEN` and `CHAT_ID` are set.

**A rerun** (Clear) cancels what is late by then, and tells what nobody was told. So does the next run, where Telegram
was away: nothing is lost. Only a kill between Telegram's answer and our mark tells a message twice.

**It does not** cancel a task whose status waits in Kafka to be read: it waits for the reader, ten minutes at most.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from include.orchestration.parser_tasks.tasks import TellOperator, cancel_expired

with DAG(
    dag_id="parser_tasks_cancel_expired",
    schedule="* * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
    tags=["parser tasks"],
    doc_md=__doc__,
):
    # Telegram that is slow must not keep tasks from being cancelled; what is not told is told a minute later.
    at_once = {"retries": 0, "execution_timeout": timedelta(seconds=45)}
    cancel_expired() >> TellOperator(task_id="tell", trigger_rule="all_done", **at_once)
