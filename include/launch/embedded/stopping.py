"""Ctrl-C on `make run`: the run calls no more, says what it came to, and nothing that was started is left."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from include.common.errors import HeadraceError
from include.launch.embedded.environment import Home, airflow_environment
from include.launch.embedded.processes import Running
from include.launch.progress import at_work
from include.orchestration.paths import PROJECT
from include.orchestration.rest import AirflowApi
from include.orchestration.runner import Run

# Seconds that a stop waits for the run's end, and of these those that its calls may take to end by themselves.
LONGEST = 4.0
FOR_CALLS = 1.5
# Seconds that Airflow's processes are then given to end.
STOP_SECONDS = 1.0
POLL_SECONDS = 0.25
REASON = "stopped by the person who started the run"
ENDED = ("success", "failed")


def no_more_interrupts() -> list[int]:
    """From now on a signal to end raises nothing: it is noted in the list that is returned."""
    noted: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: noted.append(number))
    return noted


def stop_run(
    api: AirflowApi,
    run: Run,
    hurry: list[int],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Have a run call no more, and wait until it has reported, which it says; whether it has.

    It waits no longer than `LONGEST`, and not at all once something is in `hurry`.
    """
    print(f"\nstopping: no further call is made; waiting up to {LONGEST:.0f} s for what is under way", flush=True)
    start, said, failed = clock(), "", False
    try:
        run.stop(REASON)
    except (HeadraceError, OSError) as error:
        print(f"  the run's folder cannot be written to: {error}", flush=True)
    while clock() - start < LONGEST and not hurry:
        try:
            if api.run_state(run.dag_id, run.run_id) in ENDED:
                return True
            tasks = api.task_states(run.dag_id, run.run_id)
            if not failed and (not run.is_calling(tasks) or clock() - start >= FOR_CALLS):
                api.fail_run(run.dag_id, run.run_id)  # what has not begun is skipped, and the run reports
                failed = True
            now = at_work(tasks) or "the report"
        except HeadraceError as error:
            now = f"an answer: {error}"
        if now != said:
            print(f"  waiting for {now}", flush=True)
        said = now
        sleep(POLL_SECONDS)
    if not failed:
        with contextlib.suppress(HeadraceError):
            api.fail_run(run.dag_id, run.run_id)
    return False


def report_late(home: Home, running: Running, run: Run, seconds: float) -> None:
    """Report of a run in the place of an Airflow that was stopped before it could."""
    if run.report():
        return
    print("  writing the report, and telling Telegram where that is set", flush=True)
    command = [sys.executable, "-m", "include.launch.embedded.late_report", run.dag_id, run.run_id, str(seconds)]
    environment = airflow_environment(home, running.port, {}, schedule=False)
    environment["HEADRACE_STORAGE"] = running.storage
    ended = subprocess.run(
        command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False, start_new_session=True
    )
    if ended.returncode:
        print(f"  that failed: {ended.stderr.strip().splitlines()[-1:]}", flush=True)
