"""The parser tasks in Airflow: their settings, the tasks of their DAGs, and the trigger that waits for statuses."""
