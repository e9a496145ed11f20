"""Settings that several systems share, read from the environment."""

import os
from collections.abc import Mapping
from pathlib import Path


def database_url(environment: Mapping[str, str] = os.environ) -> str:
    """The application database, `HEADRACE_DATABASE_URL` (default: SQLite beside Airflow's own)."""
    home = Path(environment.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return environment.get("HEADRACE_DATABASE_URL", "").strip() or f"sqlite:///{home / 'headrace.db'}"
