"""Airflow on one machine: SQLite, LocalExecutor, its home in `.airflow/`. Behind `make run`, `make up` and `make down`."""
