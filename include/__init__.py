"""Headrace's code: `common` and the systems below, Airflow only in `orchestration`."""
