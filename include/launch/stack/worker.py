"""Airflow's Celery worker, whose tasks hear of its stop: `python -m include.launch.stack.worker`.

On SIGTERM Celery takes no more tasks and waits for those that run, which hear nothing of it: an hour of calls would go
on until SIGKILL. This process stands before it, and says so in the file that HEADRACE_STOPPING names.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from include.orchestration.termination import STOPPING

COMMAND = ("airflow", "celery", "worker")


def main(command: tuple[str, ...] = COMMAND) -> int:
    """Run the worker; returns its exit status, 128 and the signal's number where one ended it."""
    # A folder of this start's own: what an earlier one said in it does not count.
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        stopping = Path(folder) / "stopping"
        # Not in this folder: what tasks import comes from their bundle.
        home = os.environ.get("AIRFLOW_HOME", folder)
        worker = subprocess.Popen([*command, *sys.argv[1:]], env={**os.environ, STOPPING: str(stopping)}, cwd=home)

        def stop(number: int, _: object) -> None:
            stopping.touch()
            worker.send_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        status = worker.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
