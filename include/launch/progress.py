"""How far a run is, from its plan and what its tasks say of themselves, and how that is shown."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from include.common.durations import say_duration
from include.common.errors import BadInputError
from include.enrichment.run import Plan, RunFolder
from include.orchestration.rest import TaskState

# Seconds between two lines where the output is no terminal.
LINE_EVERY = 5.0
LONGEST_SILENCE = 60.0
# Seconds between two looks at what the tasks say.
LOOK_EVERY = 1.0


class Rows:
    """How many rows of a run have ended: whole tasks, and what those at work say. `ask` reads what one says."""

    def __init__(self, ask: Callable[[int], dict[str, Any] | None]) -> None:
        self._ask = ask
        self._said: dict[int, dict[str, Any]] = {}
        self._look_at = 0.0
        self.done = 0
        self.failed = 0
        self.waiting = 0.0
        self.outage = False

    def update(self, plan: Plan, tasks: list[TaskState], now: float) -> None:
        """Count anew; the tasks are asked once in a while, for each answer is a request."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY
        calls = {task.map_index: task.state for task in tasks if task.name == "call_api" and task.map_index >= 0}
        self.done = self.failed = 0
        self.waiting = 0.0
        self.outage = False
        for index, state in calls.items():
            rows = plan.chunks[index].rows if index < len(plan.chunks) else 0
            # A task of one row says nothing of its own; a chunk's last word comes with its end.
            if rows > 1 and state in ("running", "up_for_retry", "success", "failed"):
                if state == "running" or not self._final(index, state):
                    self._said[index] = {**(self._ask(index) or {}), "state": state}
                said = self._said.get(index, {})
                self.done += said.get("done", 0)
                self.failed += said.get("failed", 0)
                self.waiting = max(self.waiting, said.get("waiting", 0.0) if state == "running" else 0.0)
                self.outage = self.outage or (state == "running" and said.get("outage", False))
            elif state == "success":
                self.done += rows

    def _final(self, index: int, state: str | None) -> bool:
        return self._said.get(index, {}).get("state") == state


class Progress:
    """A bar that moves on a terminal, a line every few seconds elsewhere."""

    def __init__(
        self, folder: RunFolder, rows: Rows, output: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._rows = rows
        self._output = output
        self._clock = clock
        self._start = clock()
        self._next_line = 0.0
        self._bar: Bar | None = None
        self.plan: Plan | None = None

    def find_plan(self) -> Plan | None:
        """The run's plan, once: when it is there for the first time."""
        if self.plan is None:
            with contextlib.suppress(BadInputError):  # not yet, or never: a run that failed in `plan` has none
                self.plan = self._folder.read_plan()
                return self.plan
        return None

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._output, flush=True)

    def show(self, tasks: list[TaskState] | None, otherwise: str) -> None:
        """Show where the run is: its rows, and which tasks are at work, or `otherwise`; None where nobody knows."""
        now = self._clock()
        told = at_work(tasks or []) or otherwise
        total = self.plan.to_call if self.plan and not self.plan.dry_run else 0
        if self.plan and total and tasks is not None:
            self._rows.update(self.plan, tasks, now)
            told += f", {self._rows.failed} rows failed" * bool(self._rows.failed)
            if self._rows.waiting >= 1:
                told += f", waiting {say_duration(self._rows.waiting)} for the limit {self.plan.rate_limit}"
            told += ", waiting for the API to come back" * self._rows.outage
        if self._output.isatty():
            self._move(total, told)
        elif now >= self._next_line:
            rows = f"{self._rows.done}/{total} rows  " if total else ""
            print(f"{say_duration(now - self._start):>8}  {rows}{told}", file=self._output, flush=True)
            # Long runs are told less often: a log is not to be filled by waiting.
            self._next_line = now + max(LINE_EVERY, min(LONGEST_SILENCE, (now - self._start) / 10))

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._bar:
            self._bar.stop()

    def _move(self, total: int, told: str) -> None:
        if self._bar is None:
            columns = (TimeElapsedColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=Console(file=self._output), transient=False)
            self._bar.add_task("", total=None)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], total=total or None, completed=self._rows.done, description=told)


def at_work(tasks: list[TaskState]) -> str:
    """Which tasks run or wait to be retried: `call_api 3 running, call_api 2 waiting for a retry`."""
    words = {"running": "running", "up_for_retry": "waiting for a retry"}
    counted = Counter((task.name, task.state) for task in tasks if task.state in words)
    return ", ".join(f"{name} {count} {words[str(state)]}" for (name, state), count in counted.items())
