"""The part of `include` that knows Airflow: tasks, hooks, operators, and what is read from its settings."""
