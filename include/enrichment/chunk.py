"""One try of one chunk: what its task does, without Airflow."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.common.durations import say_duration
from include.common.errors import HeadraceError, InterruptedTaskError, PermanentError, TransientError
from include.common.http.errors import AccessError
from include.enrichment.caller import Caller, Calls, tell_nobody
from include.enrichment.guards import Allowance, AlwaysHeld, Lease, Pace
from include.enrichment.ledger import ChunkLedger, Segment, Waited, open_segment
from include.enrichment.models import Chunk
from include.enrichment.outcome import Outcome
from include.enrichment.progress import Progress
from include.enrichment.rows import RowToCall, open_rows, read_rows
from include.enrichment.run import Ending, Plan, RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Try:
    """Which try of the chunk's task this is, from 1.

    `max_tries` is Airflow's: the number of the last try but one. It is the same for all retries of a task, and another
    after a person has cleared it.
    """

    number: int
    max_tries: int

    @property
    def last(self) -> bool:
        """No retry follows."""
        return self.number > self.max_tries


@dataclass
class ChunkCalls:
    """Everything that calling a chunk needs. `deadline` is when the run makes no further call.

    `terminated` says whether the process was told to end; `tell` is told of the progress.
    """

    folder: RunFolder
    plan: Plan
    chunk: Chunk
    attempt: Try
    pace: Pace
    in_flight: int
    lease: Lease = field(default_factory=AlwaysHeld)
    allowance: Allowance | None = None
    deadline: datetime | None = None
    terminated: Callable[[], bool] = lambda: False
    tell: Callable[[Progress], Coroutine[Any, Any, None]] = tell_nobody

    async def run(self, caller: Caller) -> Outcome:
        """Call what has no good end yet, and remember how the chunk ended.

        Raises `TransientError` where rows are left for the next try, else as `Calls.run` does.
        """
        after_try = self._begin()
        try:
            outcome = await self._call(caller, after_try)
        except AccessError as error:
            self.folder.stop(str(error))
            raise
        finally:
            if self.folder.stopped():
                self.folder.end(self.chunk.index, Ending(self.attempt.number, self.attempt.max_tries, stopped=True))
        log.info("%d ok, %d failed, %d failed for now", outcome.ok, outcome.failed, outcome.transient)
        if outcome.left:
            log.warning("the rest of the rows is not called: %s", outcome.left)
        elif outcome.transient and not self.attempt.last:
            gone = f"the API did not come back within {say_duration(outcome.outage)}; " if outcome.outage else ""
            said = f"{gone}{outcome.transient} rows to call again; first: {outcome.first_error}"
            raise TransientError(said, outcome.wait)
        answered = bool(outcome.ok or outcome.failed)
        ending = Ending(self.attempt.number, self.attempt.max_tries, left=outcome.left, answered=answered)
        self.folder.end(self.chunk.index, ending)
        return outcome

    def _begin(self) -> int:
        """The try up to which entries do not count; raises `PermanentError` where the run was stopped."""
        self.folder.unsettle()
        ending = self.folder.ending(self.chunk.index)
        if ending and ending.stopped:  # that task ended by it already: a person has cleared it
            self.folder.resume()
            self.folder.forget_ending(self.chunk.index)
        if reason := self.folder.stopped():
            self.folder.end(self.chunk.index, Ending(self.attempt.number, self.attempt.max_tries, stopped=True))
            raise PermanentError(reason)
        # One that had come to its end and starts with another `max_tries` was cleared: its rows are to be called anew.
        cleared = ending and not ending.stopped and ending.max_tries != self.attempt.max_tries
        return ending.try_number if ending and cleared else 0

    async def _call(self, caller: Caller, after_try: int) -> Outcome:
        folder, chunk = self.folder, self.chunk
        # Segments and rows may be far away: the loop goes on meanwhile.
        ledger = await asyncio.to_thread(ChunkLedger, folder.segments, chunk, after_try)
        stream = await asyncio.to_thread(open_rows, folder, chunk)
        first = stream.tell()

        def rows() -> Iterator[RowToCall]:
            stream.seek(first)
            return read_rows(stream, chunk)

        with ledger, stream:
            async with open_segment(folder.segments, chunk.index, self.attempt.number) as segment:
                calls = Calls(
                    caller=caller,
                    segment=segment,
                    columns=self.plan.source.columns,
                    standing=ledger,
                    pace=self.pace,
                    total=chunk.rows,
                    lease=self.lease,
                    allowance=self.allowance,
                    over_budget=f"skipped: budget, max_calls = {self.plan.max_calls} calls were made",
                    deadline=self._deadline(),
                    past_deadline=f"skipped: deadline, {self.deadline:%Y-%m-%d %H:%M:%S} UTC" if self.deadline else "",
                    stopped=self._stopped,
                    answered_others=lambda: asyncio.to_thread(self.folder.answered),
                    tell=self.tell,
                )
                try:
                    return await calls.run(rows, self.in_flight)
                finally:
                    await self._note_waits(segment)
                    if chunk.rows > 1:
                        await self.tell(calls.progress())

    async def _note_waits(self, segment: Segment) -> None:
        """Keep how long the calls waited for their turn, for the run's counts; they are not worth a try."""
        try:
            if waited := round(self.pace.waited, 3):
                await segment.append(Waited(waited))
        except TransientError as error:
            log.warning("how long the calls waited was not kept: %s", error)

    def _deadline(self) -> float:
        """The deadline as a time of the monotonic clock."""
        if self.deadline is None:
            return float("inf")
        return time.monotonic() + (self.deadline - datetime.now(UTC)).total_seconds()

    async def _stopped(self) -> HeadraceError | None:
        if self.terminated():
            return InterruptedTaskError("the task was told to end; what is not answered is called when it starts again")
        local = isinstance(self.folder.path, Path)
        reason = self.folder.stopped() if local else await asyncio.to_thread(self.folder.stopped)
        return PermanentError(reason) if reason else None
