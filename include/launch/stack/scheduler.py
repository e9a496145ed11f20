"""Airflow's scheduler, which does not take its own standstill for the death of workers.

`python -m include.launch.stack.scheduler` is `airflow scheduler` with one difference. While Postgres is frozen, no task
can give a sign of life and the scheduler stands still. Airflow's own, once it runs again, finds every task's last sign
too old before any of them could give a new one, and charges each a try.
"""

import runpy
import sys
import time
from collections.abc import Callable

from airflow.cli.commands import scheduler_command
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.taskinstance import TaskInstance
from sqlalchemy.orm import Session


class Vigil:
    """Whether silence means anything: only once somebody has listened for `seconds` without a break.

    A break is half of that between two looks; half of it may pass unseen, for a sign of life is younger. The clock is
    the one that signs of life are dated by.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._seconds, self._clock = seconds, clock
        self._since = self._looked_at = clock()

    def is_telling(self) -> bool:
        """Look; whether the time before was long and unbroken enough."""
        now, before = self._clock(), self._looked_at
        self._looked_at = now
        if now - before > self._seconds / 2:
            self._since = now
        return now - self._since >= self._seconds


class PatientScheduler(SchedulerJobRunner):
    """Counts a task as dead only after it was silent while the scheduler could have heard it."""

    _vigil: Vigil | None = None

    def _find_task_instances_without_heartbeats(self, *, session: Session) -> list[TaskInstance]:
        self._vigil = self._vigil or Vigil(self._task_instance_heartbeat_timeout_secs)
        if not self._vigil.is_telling():
            return []
        return super()._find_task_instances_without_heartbeats(session=session)


def main() -> None:
    """Be `airflow scheduler`, with the arguments of this command."""
    scheduler_command.SchedulerJobRunner = PatientScheduler  # type: ignore[attr-defined]
    sys.argv = ["airflow", "scheduler", *sys.argv[1:]]
    runpy.run_module("airflow", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
