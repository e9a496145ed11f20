"""Airflow's scheduler with a task's modules already imported: `python -m include.orchestration.embedded.scheduler`.

The LocalExecutor forks its workers from the scheduler, and each of them forks a process a task. A task imports its DAG
file anew, and with it aiohttp, telegram and the rest: 0.4 s of CPU, which twenty short tasks pay twenty times. What the
scheduler has imported, all of them share, the memory as well.

Only packages of others are named here: what is below `include/` is read anew by each task, so that an edit counts
without a restart.
"""

import importlib
import sys

from airflow.__main__ import main as airflow

PRELOADED = (
    # What every task process runs before it comes to the DAG file.
    "airflow.dag_processing.dagbag",
    "airflow.sdk.definitions.connection",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    # What the DAG files import.
    "aiohttp",
    "airflow.providers.telegram.operators.telegram",
    "alembic.command",
    "sqlalchemy",
    "telegram.request",
    # What `transform` imports.
    "pandas",
)


def main() -> None:
    """Import, then be `airflow scheduler` with the arguments given."""
    for name in PRELOADED:
        importlib.import_module(name)
    sys.argv = ["airflow", "scheduler", *sys.argv[1:]]
    airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
