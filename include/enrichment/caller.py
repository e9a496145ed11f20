"""Calling the API for the rows of one chunk: a bounded number in flight, at the pace that limits and pauses allow."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from include.common.errors import HeadraceError, PermanentError, TransientError
from include.enrichment.client import AccessError
from include.enrichment.ledger import Entry, Segment
from include.enrichment.models import RowStatus

log = logging.getLogger(__name__)
# Waits shorter than this are the normal pace of a fast limit and not worth a line.
WORTH_SAYING = 5.0
# Seconds. Past this the hourly run after this one is the better place to try again.
LONGEST_PAUSE = 3600.0
# Pauses with no answer between them, after which the rest of the rows is left to the task's next try.
PAUSES_IN_A_ROW = 5


class Caller(Protocol):
    """What makes a call; `Client` is the real one."""

    async def call(self, row: Mapping[str, str]) -> Any: ...


class Pace(Protocol):
    """When the next call may start, for all processes that share the limit."""

    async def reserve(self) -> float:
        """Seconds to wait before one call."""

    async def defer(self, seconds: float) -> None:
        """The API asked for a pause of `seconds`."""


class Unlimited:
    """No rate limit; a pause that the API asks for still holds in this process."""

    async def reserve(self) -> float:
        """At once."""
        return 0.0

    async def defer(self, seconds: float) -> None:
        """Nobody else to tell."""


@dataclass
class Outcome:
    """How the rows of one try ended.

    `wait` is how many seconds are left of a pause that the API asked for; None where the failures named none.
    """

    ok: int = 0
    failed: int = 0
    transient: int = 0
    wait: float | None = None
    first_error: str = ""

    def note_error(self, error: str) -> None:
        """Keep the first error, to say something of it."""
        self.first_error = self.first_error or error


@dataclass
class Calls:
    """One try of one chunk. `limit_name` names the limit in the log; `clock` and `sleep` are in seconds."""

    caller: Caller
    segment: Segment
    columns: tuple[str, ...]
    earlier: Mapping[int, Entry]
    pace: Pace
    limit_name: str = "no limit"
    stopped: Callable[[], HeadraceError | None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._outcome = Outcome()
        self._resume_at = 0.0
        self._every_failure_named_a_pause = True
        self._refused: HeadraceError | None = None  # why no further call is made in this try
        self._pauses = 0  # in a row, with no answer between them

    async def run(self, rows: Iterable[dict[str, Any]], in_flight: int) -> Outcome:
        """Call every row that has not ended yet, at most `in_flight` at once.

        Raises `AccessError` as soon as one call is refused for its credentials, and the others are abandoned;
        the error of `stopped` once that gives one, after the calls in flight; `PermanentError` where the API asks for a
        longer pause than anybody should wait for.
        """
        due = (row for row in rows if not self._ended(row["n"]))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(self._work(due))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self._refused:
            raise self._refused
        left = self._resume_at - self.clock()
        if self._every_failure_named_a_pause or left > 0:
            self._outcome.wait = max(0.0, left)
        return self._outcome

    def _ended(self, number: int) -> bool:
        entry = self.earlier.get(number)
        return entry is not None and entry.status is not RowStatus.RETRY

    async def _work(self, due: Iterable[dict[str, Any]]) -> None:
        for row in due:
            await self._wait()
            if self._refused or self._pauses > PAUSES_IN_A_ROW:
                return
            if error := self.stopped():
                self._refused = error
                return
            await self._call(row)

    async def _wait(self) -> None:
        while True:
            wait = await self.pace.reserve()
            if wait >= WORTH_SAYING:
                log.info("waiting %.0f s for the limit %s", wait, self.limit_name)
            await self.sleep(wait)
            pause = self._resume_at - self.clock()
            if pause <= 0:
                return
            # A start reserved before the pause is void: after it, all would start at once.
            await self.sleep(pause)

    async def _call(self, row: dict[str, Any]) -> None:
        number = row["n"]
        before = self.earlier.get(number)
        attempts = before.attempts + 1 if before else 1
        try:
            answer = await self.caller.call(dict(zip(self.columns, row["v"], strict=True)))
        except TransientError as error:
            self._outcome.transient += 1
            self._outcome.note_error(f"row {number} ({row['key']}): {error}")
            self.segment.append(Entry(number, RowStatus.RETRY, attempts, str(error)))
            if error.retry_after is None:
                self._every_failure_named_a_pause = False
            else:
                await self._pause(error.retry_after)
        except AccessError as error:
            self.segment.append(Entry(number, RowStatus.RETRY, attempts, str(error)))  # called again once cleared
            raise
        except PermanentError as error:
            self._outcome.failed += 1
            self._outcome.note_error(f"row {number} ({row['key']}): {error}")
            self.segment.append(Entry(number, RowStatus.FAILED, attempts, str(error)))
        else:
            self._outcome.ok += 1
            self._pauses = 0
            self.segment.append(Entry(number, RowStatus.OK, attempts, answer=answer))

    async def _pause(self, seconds: float) -> None:
        if seconds > LONGEST_PAUSE:
            limit = f"the longest that is waited for is {LONGEST_PAUSE:.0f} s"
            self._refused = PermanentError(f"the API asks for a pause of {seconds:.0f} s; {limit}")
            return
        log.warning("the API asks for a pause of %.0f s", seconds)
        self._pauses += self.clock() >= self._resume_at  # calls that were in flight together ask for one pause
        self._resume_at = max(self._resume_at, self.clock() + seconds)
        await self.pace.defer(seconds)
