"""Following a run to its end, wherever it runs: how far it is, what it waits for, what it came to."""

import time
from collections.abc import Callable
from typing import TextIO

from include.common.durations import say_duration
from include.common.errors import TransientError
from include.enrichment.progress import KEPT_AS
from include.enrichment.report import foreseen, read_report
from include.enrichment.run import RunFolder
from include.launch.progress import Progress, Rows
from include.launch.redrive_hint import Again, redrive_hint
from include.launch.run_request import RunRequest
from include.orchestration.rest import AirflowApi

POLL_SECONDS = 0.5
# How long a follower waits for an answer: a restart of the stack takes less.
PATIENCE = 300.0
# Seconds that one of its requests may take, so that it is not silent for long where nobody answers.
TIMEOUT = 10.0
ENDED = ("success", "failed")


class Follower:
    """Follows the run `folder.run_id` of a request's DAG.

    `airflow` gives the API to ask, and raises `TransientError` where there is none for now. While nothing is answered,
    it says so and goes on for `PATIENCE`; `clock` and `sleep` are in seconds.
    """

    def __init__(
        self,
        airflow: Callable[[], AirflowApi],
        folder: RunFolder,
        request: RunRequest,
        output: TextIO,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._airflow, self._folder, self._request = airflow, folder, request
        self._output, self._clock, self._sleep = output, clock, sleep
        self._progress = Progress(folder, Rows(self._said), output, clock)
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
        """Print the run's report, and how to call what has no answer."""
        report = read_report(self._folder)
        if report is None:
            print(f"{self._request.dag_id}: {state}, and it left no report; see the tasks' logs", file=self._output)
            return
        print(report.as_text(), file=self._output)
        if report.callable and (hint := redrive_hint(report, self._folder.read_plan(), self._request, again)):
            print(hint, file=self._output)

    def _look(self) -> str:
        """Show how far the run is; returns its state."""
        api, dag_id, run_id = self._airflow(), self._request.dag_id, self._folder.run_id
        state = api.run_state(dag_id, run_id)
        self._say_limit()
        if state == "queued":
            others = [run["dag_run_id"] for run in api.unfinished_runs(dag_id) if run["dag_run_id"] != run_id]
            self._progress.show([], f"queued behind {others[0]}" if others else state)
        elif state not in ENDED:
            self._progress.show(api.task_states(dag_id, run_id), state)
        return state

    def _said(self, index: int) -> dict[str, object] | None:
        """What a task says of its progress."""
        said: dict[str, object] | None = self._airflow().kept_state(
            self._request.dag_id, self._folder.run_id, "call_api", index, KEPT_AS
        )
        return said

    def _say_limit(self) -> None:
        """The rate limit of the run, once, as soon as its plan is there; where it is the DAG's own, how to lift it."""
        if plan := self._progress.find_plan():
            own = "rate_limit" not in self._request.given and plan.rate_limit != "none"
            hint = " (the DAG's own limit; RATE=none or RATE=50/second changes it)" if own else ""
            self._progress.say(foreseen(plan) + hint)

    def _wait(self, error: Exception) -> None:
        for_now = self._clock() - self._answered
        if for_now >= PATIENCE:
            raise TransientError(
                f"{error}; waited {say_duration(for_now)} for an answer, the run goes on without being followed"
            ) from error
        if not self._away:
            self._progress.say(f"{error}; the run goes on; waiting up to {say_duration(PATIENCE)}")
        self._away = True
        self._progress.show(None, f"no answer for {say_duration(for_now)}")

    def _go_on(self) -> None:
        if self._away:
            self._progress.say(f"answered again after {say_duration(self._clock() - self._answered)}")
        self._away = False
        self._answered = self._clock()
