"""Airflow's scheduler with what tasks need already imported: `python -m include.launch.embedded.scheduler`.

The LocalExecutor forks its workers from the scheduler, and each of them forks a process a task. A task imports its DAG
file anew, and with it aiohttp, telegram and the rest: 0.3 s of CPU each time, and twenty short tasks pay it 20 times.
What the scheduler has imported, all of them share, the memory as well.
"""

import importlib
import os
import runpy
import socket
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit

from include.orchestration.systems import SYSTEMS

LIBRARIES = (
    # What every task process runs before it comes to the DAG file.
    "airflow.dag_processing.dagbag",
    "airflow.sdk.definitions.connection",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    # What every system's tasks import.
    "airflow.providers.telegram.operators.telegram",
    "alembic.command",
    "alembic.config",
    "sqlalchemy",
    "orjson",
    "telegram.request",
    "upath",
    # What those of one system import.
    *(name for system in SYSTEMS for name in system.libraries),
)
# The bundle's own modules. A lasting scheduler leaves them to the tasks, so that an edit counts without a restart.
BUNDLE = tuple(name for system in SYSTEMS for name in system.modules)
WITH_BUNDLE = "--with-bundle"
# Seconds: that the api-server is waited for, and between two looks.
PATIENCE, EVERY = 120.0, 0.1


def main() -> None:
    """Import, then be `airflow scheduler` with the other arguments."""
    arguments = [argument for argument in sys.argv[1:] if argument != WITH_BUNDLE]
    for name in LIBRARIES + (BUNDLE if WITH_BUNDLE in sys.argv else ()):
        importlib.import_module(name)
    wait_for_api(os.environ.get("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", ""))
    sys.argv = ["airflow", "scheduler", *arguments]
    runpy.run_module("airflow", run_name="__main__", alter_sys=True)


def wait_for_api(address: str) -> None:
    """Wait until the api-server listens at `address`: a task that finds nobody there fails, and has used up a try."""
    url, ends = urlsplit(address), time.monotonic() + PATIENCE
    while url.hostname and time.monotonic() < ends:
        with suppress(OSError), socket.create_connection((url.hostname, url.port or 80), timeout=EVERY):
            return
        time.sleep(EVERY)


if __name__ == "__main__":
    main()
