"""Following a run to its end, wherever it runs: how far it is, what it waits for, what it came to."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TextIO

from include.common.durations import say_duration
from include.common.errors import TransientError
from include.launch.progress import Progress, at_work
from include.launch.run_request import DEFAULT_DAG
from include.orchestration.rest import AirflowApi, TaskState
from include.orchestration.runner import Again, Run, Standing

POLL_SECONDS = 0.5
# Seconds between two looks at how far the run is, for each may be a request a task.
LOOK_EVERY = 1.0
# How long a follower waits for an answer: five minutes without Postgres, and what Airflow takes then to find its feet.
PATIENCE = 420.0
# Seconds that one of its requests may take, so that it is not silent for long where nobody answers.
TIMEOUT = 10.0
ENDED = ("success", "failed")


class Follower:
    """Follows a run.

    `airflow` gives the API to ask, and raises `TransientError` where there is none for now. While nothing is answered,
    it says so and goes on for `PATIENCE`; `clock` and `sleep` are in seconds.
    """

    def __init__(
        self,
        airflow: Callable[[], AirflowApi],
        run: Run,
        output: TextIO,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._airflow, self._run = airflow, run
        self._output, self._clock, self._sleep = output, clock, sleep
        self._progress = Progress(output, clock)
        self._standing, self._look_at = Standing(), 0.0
        self._foreseen = False
        self._answered = clock()
        self._away = False

    def follow(self) -> str:
        """Show the run's progress until it has ended; returns its state. `TransientError` where patience ends."""
        try:
            while True:
                try:
                    state = self._look()
                except (TransientError, OSError) as error:
                    self._wait(error)
                else:
                    self._go_on()
                    if state in ENDED:
                        return state
                self._sleep(POLL_SECONDS)
        finally:
            self._progress.end()

    def summarize(self, state: str, again: Again) -> None:
        """Print the run's report, and what may be done about it."""
        run, dag_id = self._run, self._run.dag_id
        report = run.report()
        if report is None:
            print(f"{dag_id}: {state}, and it left no report; see the tasks' logs", file=self._output)
            return
        print(report, file=self._output)
        if dag_id != DEFAULT_DAG:
            again = replace(again, variables={**again.variables, "DAG": dag_id})
        if hint := run.hint(again):
            print(hint, file=self._output)

    def _look(self) -> str:
        """Show how far the run is; returns its state."""
        api, dag_id, run_id = self._airflow(), self._run.dag_id, self._run.run_id
        state = api.run_state(dag_id, run_id)
        self._say_foreseen()
        if state == "queued":
            others = [run["dag_run_id"] for run in api.unfinished_runs(dag_id) if run["dag_run_id"] != run_id]
            self._show(api, [], f"queued behind {others[0]}" if others else state)
        elif state not in ENDED:
            self._show(api, api.task_states(dag_id, run_id), state)
        return state

    def _say_foreseen(self) -> None:
        if not self._foreseen and (text := self._run.foreseen()):
            self._progress.say(text)
            self._foreseen = True

    def _show(self, api: AirflowApi, tasks: list[TaskState], otherwise: str) -> None:
        """How far the run is, and which tasks are at work, or `otherwise`."""
        if (now := self._clock()) >= self._look_at:
            self._standing, self._look_at = self._run.standing(api, tasks), now + LOOK_EVERY
        self._progress.show(self._standing, ", ".join([at_work(tasks) or otherwise, *self._standing.words]))

    def _wait(self, error: Exception) -> None:
        for_now = self._clock() - self._answered
        if for_now >= PATIENCE:
            raise TransientError(
                f"{error}; waited {say_duration(for_now)} for an answer, the run goes on without being followed"
            ) from error
        if not self._away:
            self._progress.say(f"{error}; the run goes on; waiting up to {say_duration(PATIENCE)}")
        self._away = True
        self._progress.show(self._standing, f"no answer for {say_duration(for_now)}")

    def _go_on(self) -> None:
        if self._away:
            self._progress.say(f"answered again after {say_duration(self._clock() - self._answered)}")
        self._away = False
        self._answered = self._clock()
