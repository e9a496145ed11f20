"""Settings that several systems share, read from the environment."""

import os
from pathlib import Path


def database_url() -> str:
    """The application database, `HEADRACE_DATABASE_URL` (default: SQLite beside Airflow's own)."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return os.environ.get("HEADRACE_DATABASE_URL", "").strip() or f"sqlite:///{home / 'headrace.db'}"
