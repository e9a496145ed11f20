"""Settings that several systems share, read from the environment."""

import os
from collections.abc import Mapping
from pathlib import Path


def metrics_token(environment: Mapping[str, str] = os.environ) -> str:
    """What a program sends to read `/headrace/metrics`, `HEADRACE_METRICS_TOKEN`; empty: only a login opens it."""
    return environment.get("HEADRACE_METRICS_TOKEN", "").strip()


def database_url(environment: Mapping[str, str] = os.environ) -> str:
    """The application database, `HEADRACE_DATABASE_URL` (default: SQLite beside Airflow's own)."""
    home = Path(environment.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return environment.get("HEADRACE_DATABASE_URL", "").strip() or f"sqlite:///{home / 'headrace.db'}"
