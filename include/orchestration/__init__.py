"""The only part of `include` that knows Airflow: tasks, hooks, operators, settings, and starting it on one machine."""
