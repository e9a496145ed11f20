"""Calling the API for the rows of one chunk: a bounded number in flight, at the pace that limits and pauses allow."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from include.common.errors import HeadraceError, PermanentError, TransientError
from include.common.http.errors import AccessError
from include.common.text import shown
from include.enrichment.ledger import Entry, Segment
from include.enrichment.models import RowStatus
from include.enrichment.progress import Meter, Progress
from include.enrichment.rows import RowToCall

log = logging.getLogger(__name__)
# Seconds. Past this the hourly run after this one is the better place to try again.
LONGEST_PAUSE = 3600.0
# Pauses with no answer between them, after which the rest of the rows is left to the task's next try.
PAUSES_IN_A_ROW = 5
# The circuit breaker: transient failures with no answer between them, after which a chunk stops hammering.
FAILURES_IN_A_ROW = 20
# Seconds between two looks at whether the run was stopped, and between two words of progress.
WATCH_EVERY = 0.5
TELL_EVERY = 5.0
FIRST_WORD_AFTER = 1.0


class Caller(Protocol):
    """What makes a call; `Client` is the real one.

    It awaits `permit` before each further request that the call takes.
    """

    async def call(self, row: Mapping[str, str], permit: Callable[[], Awaitable[None]]) -> Any: ...


class Pace(Protocol):
    """When the next call may start, for all processes that share the limit."""

    @property
    def waiting(self) -> float:
        """Seconds until the next call of this process may start; 0 where none waits."""

    async def start(self) -> None:
        """Returns when one call may start."""

    async def defer(self, seconds: float) -> None:
        """The API asked for a pause of `seconds`."""


class Allowance(Protocol):
    """The calls that the run may still make."""

    async def take(self) -> bool:
        """Whether one more call may be made, which then counts."""


class Lease(Protocol):
    """The right of this try to call: a newer one may have begun somewhere else."""

    @property
    def held(self) -> bool:
        """Whether a call may start now."""

    async def regained(self) -> None:
        """Returns once it is held again; raises `TransientError` where it is lost."""


class AlwaysHeld:
    """For a try that no other one can follow."""

    held = True

    async def regained(self) -> None:
        """At once."""


class Standing(Protocol):
    """How the rows stand after earlier tries; `ChunkLedger` is the real one."""

    def status(self, n: int) -> RowStatus | None: ...

    def attempts(self, n: int) -> int: ...

    def count(self, status: RowStatus) -> int: ...


@dataclass
class Outcome:
    """How the rows of one try ended.

    `wait` is how many seconds are left of a pause that the API asked for; None where the failures named none. `left`
    says why rows were left that no later try calls (a budget, a deadline).
    """

    ok: int = 0
    failed: int = 0
    transient: int = 0
    wait: float | None = None
    first_error: str = ""
    left: str | None = None

    def note_error(self, error: str) -> None:
        """Keep the first error, to say something of it."""
        self.first_error = self.first_error or error


class _NotPermitted(Exception):
    """A call that was led on may not send its next request: it ends without an answer, as if never made."""


async def _never_stopped() -> HeadraceError | None:
    return None


async def tell_nobody(_: Progress) -> None:
    """For calls whose progress nobody follows."""


@dataclass
class Calls:
    """One try of one chunk of `total` rows. `clock`, `sleep` and `deadline` (a time of that clock) are in seconds.

    `stopped` is asked now and then whether to go on; `tell` is told of the progress.
    """

    caller: Caller
    segment: Segment
    columns: tuple[str, ...]
    standing: Standing
    pace: Pace
    total: int = 0
    lease: Lease = field(default_factory=AlwaysHeld)
    allowance: Allowance | None = None
    over_budget: str = "skipped: budget"
    deadline: float = float("inf")
    past_deadline: str = "skipped: deadline"
    stopped: Callable[[], Awaitable[HeadraceError | None]] = _never_stopped
    tell: Callable[[Progress], Coroutine[Any, Any, None]] = tell_nobody
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._outcome = Outcome()
        self._resume_at = 0.0
        self._every_failure_named_a_pause = True
        self._halted = asyncio.Event()  # no further call is made in this try
        self._error: HeadraceError | None = None  # why
        self._waiting: set[asyncio.Task[Any]] = set()  # workers that wait for their turn
        self._pauses = 0  # in a row, with no answer between them
        self._failures = 0  # in a row, with no answer between them
        self._ended_before = self.standing.count(RowStatus.OK) + self.standing.count(RowStatus.FAILED)
        self._meter = Meter(self.total, self._ended_before, self.clock())

    async def run(self, rows: Iterable[RowToCall], in_flight: int) -> Outcome:
        """Call every row that has not ended yet, at most `in_flight` at once.

        Raises `AccessError` as soon as one call is refused for its credentials, and the others are abandoned;
        the error of `stopped` once that gives one, after the calls in flight; `PermanentError` where the API asks for a
        longer pause than anybody should wait for.
        """
        due = (row for row in rows if self.standing.status(row.n) in (None, RowStatus.RETRY))
        await self._look()
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._work(due)) for _ in range(in_flight)]
                watch = group.create_task(self._watch())
                await asyncio.wait(workers)
                watch.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self._error is not None:
            raise self._error
        left = self._resume_at - self.clock()
        if self._every_failure_named_a_pause or left > 0:
            self._outcome.wait = max(0.0, left)
        return self._outcome

    def progress(self) -> Progress:
        """How far the chunk is."""
        outcome = self._outcome
        done = self._ended_before + outcome.ok + outcome.failed
        failed = self.standing.count(RowStatus.FAILED) + outcome.failed
        return self._meter.read(done, failed, outcome.transient, self.pace.waiting, self.clock())

    async def _work(self, due: Iterable[RowToCall]) -> None:
        for row in due:
            if not await self._may_start():
                return
            await self._call(row)

    async def _may_start(self) -> bool:
        if self._halted.is_set():
            return False
        worker = asyncio.current_task()
        assert worker is not None
        self._waiting.add(worker)
        try:
            await self.pace.start()
            if self.allowance and not self._halted.is_set() and not await self.allowance.take():
                self._leave(self.over_budget)
            while not (self.lease.held or self._halted.is_set()):
                await self.lease.regained()
                await self.pace.start()  # the start of before has passed
        except asyncio.CancelledError:
            if not self._halted.is_set():
                raise
            worker.uncancel()
        except TransientError as error:  # the database, or a newer try: what is in flight is not to be lost for it
            self._halt(error)
        finally:
            self._waiting.discard(worker)
        return not self._halted.is_set()

    async def _permit(self) -> None:
        if not await self._may_start():
            raise _NotPermitted

    async def _watch(self) -> None:
        tell_at = self.clock() + FIRST_WORD_AFTER
        telling: asyncio.Task[None] | None = None
        try:
            while True:
                await self.sleep(WATCH_EVERY)
                await self._look()
                # Who is told may not answer for minutes: a stop or a deadline is seen meanwhile.
                if self.clock() >= tell_at and (telling is None or telling.done()):
                    telling = asyncio.create_task(self.tell(self.progress()))
                    tell_at = self.clock() + TELL_EVERY
        finally:
            if telling:
                telling.cancel()

    async def _look(self) -> None:
        """Whether to go on."""
        if error := await self.stopped():
            self._halt(error)
        elif self.clock() >= self.deadline:
            self._leave(self.past_deadline)

    def _halt(self, error: HeadraceError | None = None) -> None:
        """Make no further call; those in flight are finished, those that wait for their turn give it up."""
        self._error = self._error or error
        self._halted.set()
        for worker in self._waiting:
            worker.cancel()

    def _leave(self, reason: str) -> None:
        """Make no further call in this run: the rest of the rows is skipped for `reason`."""
        if not self._halted.is_set():
            self._outcome.left = reason
            self._halt()

    async def _call(self, row: RowToCall) -> None:
        number = row.n
        attempts = self.standing.attempts(number) + 1
        try:
            answer = await self.caller.call(dict(zip(self.columns, row.values, strict=True)), self._permit)
        except _NotPermitted:
            return
        except TransientError as error:
            self._outcome.transient += 1
            self._outcome.note_error(f"row {number} ({shown(row.key)}): {error}")
            await self.segment.append(Entry(number, RowStatus.RETRY, attempts, str(error)))
            await self._failed_for_now(error)
        except AccessError as error:
            # Called again once a person has mended the credentials.
            await self.segment.append(Entry(number, RowStatus.RETRY, attempts, str(error)))
            raise
        except PermanentError as error:
            self._outcome.failed += 1
            self._failures = 0
            self._outcome.note_error(f"row {number} ({shown(row.key)}): {error}")
            await self.segment.append(Entry(number, RowStatus.FAILED, attempts, str(error)))
        else:
            self._outcome.ok += 1
            self._pauses = self._failures = 0
            await self.segment.append(Entry(number, RowStatus.OK, attempts, answer=answer))

    async def _failed_for_now(self, error: TransientError) -> None:
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW and not self._halted.is_set():
            log.warning("%d calls in a row failed: the rest is left to the next try", self._failures)
            self._halt()
        if error.retry_after is None:
            self._every_failure_named_a_pause = False
        else:
            await self._pause(error.retry_after)

    async def _pause(self, seconds: float) -> None:
        if seconds > LONGEST_PAUSE:
            limit = f"the longest that is waited for is {LONGEST_PAUSE:.0f} s"
            self._halt(PermanentError(f"the API asks for a pause of {seconds:.0f} s; {limit}"))
            return
        log.warning("the API asks for a pause of %.0f s", seconds)
        self._pauses += self.clock() >= self._resume_at  # calls that were in flight together ask for one pause
        self._resume_at = max(self._resume_at, self.clock() + seconds)
        if self._pauses > PAUSES_IN_A_ROW:
            self._halt()
        try:
            await self.pace.defer(seconds)
        except TransientError as error:
            self._halt(error)
