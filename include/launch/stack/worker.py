"""Airflow's Celery worker, whose tasks hear of its stop: `python -m include.launch.stack.worker`.

On SIGTERM Celery takes no more tasks and waits for those that run, which hear nothing of it: an hour of calls would go
on until SIGKILL. This process stands before it, and says so in the file that HEADRACE_STOPPING names. It also announces
the worker in the application database, for runs to spread over all that are there.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from include.common.database import connect
from include.common.errors import HeadraceError
from include.common.limits.workers import ANNOUNCE_EVERY, Workers
from include.orchestration import environment
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
        leaving = threading.Event()
        # Nothing waits for it: a database that is away holds up neither the worker nor its end.
        threading.Thread(target=announce, args=(leaving,), daemon=True).start()

        def stop(number: int, _: object) -> None:
            stopping.touch()
            leaving.set()
            worker.send_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        status = worker.wait()
    return status if status >= 0 else 128 - status


def announce(leaving: threading.Event) -> None:
    """Say again and again that the worker is there, until `leaving`."""
    name, said = socket.gethostname(), ""
    while True:
        try:
            workers = Workers(connect(environment.database_url()))
            if leaving.is_set():
                workers.leave(name)
                return
            workers.announce(name)
            said = ""
        except HeadraceError as error:
            if leaving.is_set():
                return
            if str(error) != said:
                said = str(error)
                print(f"the worker could not be announced: {said}", file=sys.stderr, flush=True)
        leaving.wait(ANNOUNCE_EVERY)


if __name__ == "__main__":
    sys.exit(main())
