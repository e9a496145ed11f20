"""A DAG of somebody else's that waits for what `csv_processing` publishes; no process is started for its task."""

from datetime import UTC, datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

with DAG(dag_id="follower", schedule=[Asset("csv_processing")], start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    EmptyOperator(task_id="follow")
