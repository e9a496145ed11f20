"""How it is shown how far a run is."""

import time
from collections import Counter
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from include.common.durations import say_duration
from include.orchestration.rest import TaskState
from include.orchestration.runner import Standing

# Seconds between two lines where the output is no terminal.
LINE_EVERY = 5.0
LONGEST_SILENCE = 60.0


class Progress:
    """A bar that moves on a terminal, a line every few seconds elsewhere."""

    def __init__(self, output: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._start = clock()
        self._next_line = 0.0
        self._bar: Bar | None = None

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._output, flush=True)

    def show(self, standing: Standing, told: str) -> None:
        """Show how far the run is, and what is told of it now."""
        now = self._clock()
        if self._output.isatty():
            self._move(standing, told)
        elif now >= self._next_line:
            counted = f"{standing.done}/{standing.total} {standing.units}  " if standing.total else ""
            print(f"{say_duration(now - self._start):>8}  {counted}{told}", file=self._output, flush=True)
            # Long runs are told less often: a log is not to be filled by waiting.
            self._next_line = now + max(LINE_EVERY, min(LONGEST_SILENCE, (now - self._start) / 10))

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._bar:
            self._bar.stop()

    def _move(self, standing: Standing, told: str) -> None:
        if self._bar is None:
            columns = (TimeElapsedColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=Console(file=self._output), transient=False)
            self._bar.add_task("", total=None)
            self._bar.start()
        total = standing.total or None
        self._bar.update(self._bar.task_ids[0], total=total, completed=standing.done, description=told)


def at_work(tasks: list[TaskState]) -> str:
    """Which tasks run or wait to be retried: `call_api 3 running, call_api 2 waiting for a retry`."""
    words = {"running": "running", "up_for_retry": "waiting for a retry"}
    counted = Counter((task.name, task.state) for task in tasks if task.state in words)
    return ", ".join(f"{name} {count} {words[str(state)]}" for (name, state), count in counted.items())
