"""When the next call of this process may start: the asyncio side of the shared rate limit.

A `Pace` belongs to one event loop and one key. Its workers ask concurrently; it reserves for all of them at once in a
thread, hands the starts out in order, and confirms before each that no other process was asked for a pause meanwhile.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from include.common.errors import HeadraceError
from include.common.limits.clocks import DatabaseClock
from include.common.limits.rate_limit import Rate, RateLimiter, Reservation, Seen

log = logging.getLogger(__name__)
# Seconds. What is known of a pause may be this old when a call starts; a start is confirmed this long before its time.
FRESH, LEAD = 0.05, 0.02
# Waits shorter than this are the normal pace of a fast limit and not worth a line; and a line in 30 s is enough.
WORTH_SAYING, SAY_AGAIN = 5.0, 30.0


class Pace:
    """The starts of one process under the limit `rate` on `key`; `name` names it in the log: "csv_api 2/minute".

    `clock` is monotonic seconds; `thread` runs a function that may block. A process that is killed leaves the starts
    it holds unused: the others are delayed by these at most.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        key: str,
        rate: Rate,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._limiter, self._key, self._rate, self._name = limiter, key, rate, name
        self._clock, self._sleep, self._thread = clock, sleep, thread
        # A start kept for later must be used before it is late, so the slack bounds how far ahead to take any.
        self._horizon = min(0.05, rate.slack * 0.7)
        self._database_clock = DatabaseClock(rate.slack)
        self._starts: deque[float] = deque()  # held, in order, on the database's clock
        self._reservations: deque[Reservation] = deque()  # those that the held starts come from
        self._waiters: deque[asyncio.Future[float]] = deque()
        self._fresh_until = self._paused_until = 0.0  # the first on our clock, the second on the database's
        self._use = _Use(self._horizon)
        self._ahead = self._low = 0
        self._reserving: asyncio.Task[None] | None = None
        self._handing: asyncio.Task[None] | None = None
        self._said_at = float("-inf")
        self._closed = False
        self.given_up = 0  # starts that came too late for the workers that waited for them
        self.waited = 0.0  # seconds, all calls together

    async def start(self) -> None:
        """Return when one call may start; it must start right then.

        Raises `TransientError` where the database does not answer.
        """
        if not self._waiters and self._take(self._clock()):
            return
        began = self._clock()
        try:
            await self._wait()
        finally:
            self.waited += self._clock() - began

    async def _wait(self) -> None:
        first = True
        while True:
            waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            if first:
                self._waiters.append(waiter)
            else:
                self._waiters.appendleft(waiter)
            self._serve()
            try:
                start = await waiter
            except asyncio.CancelledError:
                self._forget(waiter)
                raise
            # Between the handing out and this line a busy loop may have run anything.
            if not self._database_clock.late(start, self._clock()):
                self._use.count += 1
                return
            self.given_up += 1
            first = False

    async def defer(self, seconds: float) -> None:
        """The API asked for a pause: no process starts a call on this key for `seconds`."""
        # The others of this process at once; never longer than the database will say.
        self._pause_until(self._database_clock.earliest(self._clock()) + seconds)
        self._note(await self._thread(self._limiter.defer, self._key, seconds))
        self._serve()

    async def close(self) -> None:
        """Give back the starts that nobody used; those who still wait are cancelled.

        A database that is gone costs others those starts, and nobody the calls that were answered: that is only logged.
        """
        self._closed = True
        for waiter in self._waiters:
            waiter.cancel()
        self._waiters.clear()
        if self._handing:
            self._handing.cancel()
        if self._reserving:
            await asyncio.wait([self._reserving])  # its starts would be lost otherwise
        try:
            await self._give_back()
        except HeadraceError as error:
            log.warning("starts that nobody used are lost: %s", error)
        self._starts.clear()
        if self.given_up:
            log.info("%d starts under the limit %s came too late and were given up", self.given_up, self._name)

    async def _give_back(self) -> None:
        while self._starts and self._reservations:
            reservation = self._reservations.pop()
            unused = 0
            for start in reversed(reservation.starts):
                if not self._starts or self._starts[-1] != start:
                    break
                self._starts.pop()
                unused += 1
            if unused:
                await self._thread(self._limiter.give_back, self._key, reservation, unused)
            if unused < reservation.permits:
                break

    @property
    def waiting(self) -> float:
        """Seconds until the next start of this process; 0 when none waits."""
        if not self._waiters:
            return 0.0
        next_at = self._starts[0] if self._starts else self._paused_until
        return max(0.0, next_at - self._database_clock.earliest(self._clock()))

    def _take(self, now: float) -> bool:
        """Use a held start whose time has come, if there is one."""
        starts, clock = self._starts, self._database_clock
        while starts and clock.late(starts[0], now):
            starts.popleft()  # taken ahead for a worker that did not come
        if not starts or now >= self._fresh_until or starts[0] > clock.earliest(now):
            return False
        starts.popleft()
        if len(starts) < self._low and self._reserving is None:
            self._reserving = asyncio.ensure_future(self._reserve())
        self._use.count += 1
        return True

    def _forget(self, waiter: asyncio.Future[float]) -> None:
        """A worker was cancelled: what it waited for, or was just handed, is for another."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._starts.appendleft(waiter.result())
            self._hand()

    def _hand(self) -> None:
        """The first of the starts to the first who waits."""
        while self._waiters and self._starts:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(self._starts.popleft())
                return

    def _serve(self) -> None:
        """Have starts reserved and handed out, where somebody waits."""
        if self._waiters and self._starts and self._handing is None:
            self._handing = asyncio.ensure_future(self._hand_out())
        if len(self._waiters) > len(self._starts) and self._reserving is None:
            self._reserving = asyncio.ensure_future(self._reserve())

    async def _reserve(self) -> None:
        """Take starts for all who wait, and for those likely to ask in the next moment."""
        try:
            if self._starts and self._reach() > 2 * self._horizon:
                await self._sleep(self._horizon)  # who asks meanwhile is served by the same reservation
            self._ahead = 0 if self._closed else self._use.expected(self._clock())
            self._low = self._ahead // 4  # ask for more before the last is used
            permits = len(self._waiters) + self._ahead - len(self._starts)
            if permits > 0:
                self._keep(await self._thread(self._limiter.reserve, self._key, self._rate, permits))
        except Exception as error:
            self._fail(error)
            if not isinstance(error, HeadraceError):
                raise
        finally:
            self._reserving = None
        self._serve()

    def _reach(self) -> float:
        """Seconds from now to the last start held."""
        return self._starts[-1] - self._database_clock.earliest(self._clock())

    def _keep(self, reservation: Reservation) -> None:
        oldest = self._starts[0] if self._starts else float("inf")
        while self._reservations and self._reservations[0].starts[-1] < oldest:
            self._reservations.popleft()
        self._reservations.append(reservation)
        self._starts.extend(reservation.starts)
        self._note(reservation)

    def _note(self, seen: Seen) -> None:
        """What the database said of its clock and of pauses."""
        self._database_clock.note(seen)
        self._fresh_until = self._clock() + FRESH
        self._pause_until(seen.paused_until)

    def _pause_until(self, moment: float) -> None:
        self._paused_until = max(self._paused_until, moment)
        while self._starts and self._starts[0] < self._paused_until:
            self._starts.popleft()  # void

    async def _hand_out(self) -> None:
        """Give each start, at its time, to the worker that has waited longest."""
        try:
            while self._waiters and self._starts:
                now, start = self._clock(), self._starts[0]
                wait = start - self._database_clock.earliest(now)
                if self._database_clock.late(start, now):
                    self._starts.popleft()
                    self.given_up += 1
                elif now + max(0.0, wait) > self._fresh_until:
                    if wait > LEAD:
                        self._say(now, wait)
                        await self._sleep(wait - LEAD)
                    else:
                        self._note(await self._thread(self._limiter.read, self._key))
                elif wait > 0:
                    await self._sleep(wait)
                else:
                    self._hand()
        except Exception as error:
            self._fail(error)
            if not isinstance(error, HeadraceError):
                raise
        finally:
            self._handing = None
        self._serve()

    def _fail(self, error: Exception) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _say(self, now: float, wait: float) -> None:
        if wait >= WORTH_SAYING and now - self._said_at >= SAY_AGAIN:
            self._said_at = now
            log.info("waiting %.0f s for the limit %s", wait, self._name)


class _Use:
    """How many starts this process is likely to use in the next `horizon` seconds, by its recent own rate."""

    def __init__(self, horizon: float) -> None:
        self._horizon = horizon
        self._since: float | None = None
        self._rate = 0.0
        self.count = 0  # since `_since`; whoever uses a start adds to it

    def expected(self, now: float) -> int:
        if self._since is None:
            self._since = now
        elif now - self._since >= FRESH:
            self._rate = self.count / (now - self._since)
            self._since, self.count = now, 0
        return int(self._rate * self._horizon)
