"""Airflow on one machine, with SQLite and LocalExecutor: what is behind `make run`, `make up` and `make down`."""
