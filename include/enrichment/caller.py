"""Calling the API for the rows of one chunk: a bounded number in flight, at the pace that limits and pauses allow."""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from include.common.durations import say_duration
from include.common.errors import HeadraceError, PermanentError, TransientError
from include.common.http.errors import AccessError, UnreachableError
from include.common.text import shown
from include.enrichment import breaker
from include.enrichment.breaker import Breaker, Due, Standing
from include.enrichment.guards import Allowance, AlwaysHeld, Lease, Pace
from include.enrichment.ledger import Entry, Segment
from include.enrichment.models import RowStatus
from include.enrichment.outcome import Outcome
from include.enrichment.progress import Meter, Progress
from include.enrichment.rows import RowToCall

log = logging.getLogger(__name__)
# Seconds. Past this the hourly run after this one is the better place to try again.
LONGEST_PAUSE = 3600.0
# Pauses with no answer between them, after which the rest of the rows is left to the task's next try.
PAUSES_IN_A_ROW = 5
# Seconds between two looks at whether the run was stopped, and between two words of progress.
WATCH_EVERY = 0.5
TELL_EVERY = 5.0
FIRST_WORD_AFTER = 1.0


class Caller(Protocol):
    """What makes a call; `Client` is the real one.

    It awaits `permit` before each further request that the call takes.
    """

    async def call(self, row: Mapping[str, str], permit: Callable[[], Awaitable[None]]) -> Any: ...


class _NotPermitted(Exception):
    """A call that was led on may not send its next request: it ends without an answer, as if never made."""


async def _never_stopped() -> HeadraceError | None:
    return None


async def _no_others() -> bool:
    return False


async def tell_nobody(_: Progress) -> None:
    """For calls whose progress nobody follows."""


@dataclass
class Calls:
    """One try of one chunk of `total` rows. `clock`, `sleep` and `deadline` (a time of that clock) are in seconds.

    `stopped` is asked now and then whether to go on, `answered_others` whether the API has answered other tasks of the
    run; `tell` is told of the progress.
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
    answered_others: Callable[[], Awaitable[bool]] = _no_others
    tell: Callable[[Progress], Coroutine[Any, Any, None]] = tell_nobody
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._outcome = Outcome()
        self._resume_at = 0.0
        self._every_failure_named_a_pause = True
        self._halted = False  # no further call is made in this try
        self._error: HeadraceError | None = None  # why
        self._waiting: set[asyncio.Task[Any]] = set()  # workers that wait for their turn
        self._pauses = 0  # in a row, with no answer between them
        self._due = Due(lambda: (), self.standing)
        self._breaker = Breaker(self._due)
        self._ended_before = self.standing.count(RowStatus.OK) + self.standing.count(RowStatus.FAILED)
        self._meter = Meter(self.total, self._ended_before, self.clock())

    async def run(self, rows: Callable[[], Iterable[RowToCall]], in_flight: int) -> Outcome:
        """Call every row that has not ended yet, at most `in_flight` at once; `rows` reads them from the first.

        Raises `AccessError` as soon as one call is refused for its credentials, and the others are abandoned;
        the error of `stopped` once that gives one, after the calls in flight; `PermanentError` where the API asks for a
        longer pause than anybody should wait for.
        """
        self._due = Due(rows, self.standing)
        self._breaker = Breaker(self._due)
        await self._look()
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                while await self._call_until_it_opens(group, in_flight):
                    await asyncio.wait([group.create_task(self._outlast())])
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
        counts = (done, failed, outcome.transient)
        return self._meter.read(*counts, self.pace.waiting, self.clock(), outage=self._breaker.open)

    async def _call_until_it_opens(self, group: asyncio.TaskGroup, in_flight: int) -> bool:
        """Call what is due; whether that ended because the circuit breaker opened."""
        await asyncio.wait([group.create_task(self._work()) for _ in range(in_flight)])
        self._breaker.no_row_is_left(gone=self._breaker.unreachable and await self._has_answered())
        return self._breaker.open and not self._halted

    async def _work(self) -> None:
        while self._goes_on() and (row := self._due.take()):
            await self._call_in_turn(row)

    async def _outlast(self) -> None:
        """Wait for the API to come back, with one call after each pause; the try ends where it does not in time."""
        longest = breaker.LONGEST_OUTAGE if await self._has_answered() else breaker.LONGEST_SILENCE
        log.warning("the API does not answer: waiting at most %s for it to come back", say_duration(longest))
        began, pause = self.clock(), breaker.FIRST_PAUSE
        for number in itertools.count():
            if self._halted:
                return
            left = began + longest - self.clock()
            row = self._due.take_to_probe(number) if left > 0 else None
            if row is None:
                log.warning("it did not come back")
                self._outcome.outage = longest
                self._halt()
                return
            if await self._interruptible(self.sleep(min(pause, left))):
                self._breaker.probe()
                await self._call_in_turn(row)
            if not self._breaker.open:
                log.info("the API answers again, after %s", say_duration(self.clock() - began))
                return
            pause = min(2 * pause, breaker.LONGEST_PAUSE)

    async def _has_answered(self) -> bool:
        """Whether the API has answered a call of the run."""
        return bool(self._ended_before or self._outcome.ok or self._outcome.failed) or await self.answered_others()

    async def _call_in_turn(self, row: RowToCall) -> None:
        if await self._may_start():
            await self._call(row)
        else:
            self._due.put_back(row)

    def _goes_on(self) -> bool:
        return not self._halted and not self._breaker.open

    async def _may_start(self) -> bool:
        return self._goes_on() and await self._interruptible(self._turn()) and self._goes_on()

    async def _turn(self) -> None:
        try:
            await self.pace.start()
            if self.allowance and self._goes_on():
                if not await self.allowance.take():
                    self._leave(self.over_budget)
                elif not self._goes_on():
                    self.allowance.give_back()
            while self._goes_on() and not self.lease.held:
                await self.lease.regained()
                await self.pace.start()  # the start of before has passed
        except TransientError as error:  # the database, or a newer try: what is in flight is not to be lost for it
            self._halt(error)

    async def _interruptible(self, wait: Awaitable[None]) -> bool:
        """Wait for something that is given up when no further call is made; whether it came."""
        worker = asyncio.current_task()
        assert worker is not None
        self._waiting.add(worker)
        try:
            await wait
        except asyncio.CancelledError:
            if worker in self._waiting:  # cancelled by somebody else
                raise
            worker.uncancel()
            return False
        finally:
            self._waiting.discard(worker)
        return True

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
        self._halted = True
        self._interrupt()

    def _interrupt(self) -> None:
        for worker in self._waiting - {asyncio.current_task()}:
            self._waiting.discard(worker)
            worker.cancel()

    def _leave(self, reason: str) -> None:
        """Make no further call in this run: the rest of the rows is skipped for `reason`."""
        if not self._halted:
            self._outcome.left = reason
            self._halt()

    async def _call(self, row: RowToCall) -> None:
        before = self._due.again.get(row.n)
        attempts = (self.standing.attempts(row.n) if before is None else before) + 1
        began = self._breaker.answers
        try:
            answer = await self.caller.call(dict(zip(self.columns, row.values, strict=True)), self._permit)
        except _NotPermitted:
            self._due.put_back(row)
        except TransientError as error:
            self._outcome.transient += before is None
            self._note(row, error)
            await self.segment.append(Entry(row.n, RowStatus.RETRY, attempts, str(error)))
            await self._failed_for_now(row, attempts, began, error)
        except AccessError as error:
            # Called again once a person has mended the credentials.
            await self.segment.append(Entry(row.n, RowStatus.RETRY, attempts, str(error)))
            raise
        except PermanentError as error:
            self._outcome.failed += 1
            self._outcome.transient -= before is not None
            self._breaker.answered()
            self._note(row, error)
            await self.segment.append(Entry(row.n, RowStatus.FAILED, attempts, str(error)))
        else:
            self._outcome.ok += 1
            self._outcome.transient -= before is not None
            self._pauses = 0
            self._breaker.answered()
            await self.segment.append(Entry(row.n, RowStatus.OK, attempts, answer=answer))

    def _note(self, row: RowToCall, error: HeadraceError) -> None:
        self._outcome.note_error(f"row {row.n} ({shown(row.key)}): {error}")

    async def _failed_for_now(self, row: RowToCall, attempts: int, began: int, error: TransientError) -> None:
        self._breaker.failed(row, attempts, began, isinstance(error, UnreachableError))
        if self._breaker.open:
            self._interrupt()
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
