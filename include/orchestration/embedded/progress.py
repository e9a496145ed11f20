"""How far a run is, read from its folder, and how that is shown."""

import re
import sys
import time
from pathlib import Path
from typing import TextIO

from include.common.errors import BadInputError
from include.enrichment.report import duration
from include.enrichment.run import Plan, RunFolder

# Seconds between two lines where the output is no terminal.
LINE_EVERY = 5.0
LONGEST_SILENCE = 60.0
# How an entry of the ledger begins; its answer, behind that, may hold anything.
_STATUS = re.compile(rb'\{"n": \d+, "status": "(\w+)"')


class SegmentCounter:
    """Counts the ended rows in a run's segments as they grow; each byte is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self.ok = 0
        self.failed = 0

    def update(self) -> None:
        """Read what was appended since the last call."""
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as stream:
                stream.seek(self._read.get(path, 0))
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    self._read[path] = self._read.get(path, 0) + len(line)
                    status = _STATUS.match(line)
                    self.ok += bool(status and status[1] == b"ok")
                    self.failed += bool(status and status[1] == b"failed")


class Progress:
    """One line about a run: rewritten in place on a terminal, printed every few seconds elsewhere."""

    def __init__(self, folder: RunFolder, output: TextIO = sys.stdout) -> None:
        self._folder = folder
        self._output = output
        self._counter = SegmentCounter(folder.segments)
        self._start = time.monotonic()
        self._next_line = 0.0
        self._line = ""
        self.plan: Plan | None = None

    def find_plan(self) -> bool:
        """Whether the run has its plan; true once."""
        if self.plan is None:
            try:
                self.plan = self._folder.read_plan()
            except BadInputError:
                return False
            return True
        return False

    def show(self, tasks: str) -> None:
        """Show where the run is; `tasks` says which tasks are at work."""
        now = time.monotonic()
        terminal = self._output.isatty()
        line = f"{duration(now - self._start):>8}  {tasks}"
        if self.plan and not self.plan.dry_run:
            self._counter.update()
            done = self._counter.ok + self._counter.failed
            share = done / self.plan.to_call if self.plan.to_call else 1.0
            line = f"{duration(now - self._start):>8}  [{'#' * int(20 * share):<20}] {done}/{self.plan.to_call} rows"
            line += f", {self._counter.failed} failed" * bool(self._counter.failed) + f"  {tasks}"
        if terminal:
            print(f"\r{line:<{len(self._line)}}", end="", file=self._output, flush=True)
            self._line = line
        elif now >= self._next_line:
            print(line, file=self._output, flush=True)
            # Long runs are told less often: a log is not to be filled by waiting.
            self._next_line = now + max(LINE_EVERY, min(LONGEST_SILENCE, (now - self._start) / 10))

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._line:
            print(file=self._output, flush=True)
