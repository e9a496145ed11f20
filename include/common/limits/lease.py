"""Who may call the rows of a chunk: an old try has stopped before a newer one starts.

A worker that is cut off from Airflow and not from the API does not hear that its task was given to another one. Both
see the chunk's row in the table `leases` of the application database. The holder renews it every 2.5 s and starts no
call once its last renewal is 10 s old; a newer try takes the row over, which the old one's next renewal finds, and
waits as long as the old one may still be calling: those 10 s and what a call in flight may take.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite

from include.common.database import epoch, transaction
from include.common.errors import HeadraceError, TransientError
from include.common.limits.models import HeldLease
from include.common.processes import has_ended, this_process

log = logging.getLogger(__name__)
# Seconds. A shorter term stops calls at each hiccup of the database, a longer one keeps a newer try waiting.
TERM, RENEW_EVERY = 10.0, 2.5

_leases = cast(sqlalchemy.Table, HeldLease.__table__)


class Leases:
    """The table `leases`: a row for each key that is held. `until` is on the clock of the database on Postgres.

    `calling` is false while the holder waits for the one before it. Every method raises `TransientError` where the
    database does not answer.
    """

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        clock: Callable[[], float] | None = None,
        gone: Callable[[str], bool] = has_ended,
    ) -> None:
        self._engine, self._clock, self._gone = engine, clock, gone
        self._on_postgres = engine.dialect.name == "postgresql"

    def take(self, key: str, attempt: int, holder: str, seconds: float) -> float | None:
        """Hold `key` for `seconds`; returns how many seconds an earlier holder may still be calling.

        None where a try with a higher number than `attempt` holds it: then nothing is taken.
        """
        dialect = postgresql if self._on_postgres else sqlite
        ends = self._now() + seconds
        first = dialect.insert(_leases).values(key=key, attempt=attempt, holder=holder, calling=True, until=ends)
        # One statement where nobody holds it; else it locks the row and reads it.
        found = first.on_conflict_do_update(index_elements=["key"], set_={"key": key}).returning(
            _leases.c.attempt, _leases.c.holder, _leases.c.calling, _leases.c.until - self._now()
        )
        with transaction(self._engine, f"the lease `{key}`") as connection:
            newest, before, calling, left = connection.execute(found).one()
            if before == holder:
                return 0.0
            if newest > attempt and left > 0:
                return None
            # One that has not begun says nothing of the one that it waits for.
            wait = 0.0 if left <= 0 or (calling and self._gone(before)) else min(float(left), seconds)
            taken = {"attempt": attempt, "holder": holder, "calling": not wait, "until": self._later(ends)}
            connection.execute(sqlalchemy.update(_leases).where(_leases.c.key == key).values(taken))
        return wait

    def take_if_free(self, key: str, holder: str, seconds: float) -> bool:
        """Hold `key` for `seconds` from now, anew or still; False where somebody else holds it."""
        dialect = postgresql if self._on_postgres else sqlite
        held = {"holder": holder, "calling": True, "until": self._now() + seconds}
        free = (_leases.c.until <= self._now()) | (_leases.c.holder == holder)
        taken = dialect.insert(_leases).values(key=key, attempt=0, **held)
        taken = taken.on_conflict_do_update(index_elements=["key"], set_=held, where=free).returning(_leases.c.key)
        with transaction(self._engine, f"the lease `{key}`") as connection:
            return connection.execute(taken).first() is not None

    def renew(self, key: str, holder: str, seconds: float) -> bool:
        """Hold `key` for `seconds` from now, and call; False where it is no longer the holder's."""
        ends = self._later(self._now() + seconds)
        mine = sqlalchemy.update(_leases).where(_leases.c.key == key, _leases.c.holder == holder)
        with transaction(self._engine, f"the lease `{key}`") as connection:
            return connection.execute(mine.values(calling=True, until=ends)).rowcount == 1

    def release(self, key: str, holder: str) -> None:
        """The holder calls no more, so nobody need wait for it; one that never began leaves the row as it is."""
        mine = sqlalchemy.delete(_leases).where(_leases.c.key == key, _leases.c.holder == holder, _leases.c.calling)
        with transaction(self._engine, f"the lease `{key}`") as connection:
            connection.execute(mine)

    def _now(self) -> sqlalchemy.ColumnElement[float]:
        return epoch(self._engine, self._clock)

    def _later(self, ends: sqlalchemy.ColumnElement[float]) -> sqlalchemy.ColumnElement[float]:
        """`ends`, or what the row has where that is later: whom an earlier holder waited for is waited for still."""
        latest = sqlalchemy.func.greatest if self._on_postgres else sqlalchemy.func.max
        return latest(_leases.c.until, ends)


def boot_time() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """The right of one try to call, while the block lasts; `attempt` is the try's number. It belongs to one event loop.

    `timeout` is the most seconds that a call in flight takes. `thread` runs a function that may block, and may wait for
    a database that is away. Raises `TransientError` where a newer try has taken over.
    """

    def __init__(
        self,
        leases: Leases,
        key: str,
        attempt: int,
        timeout: float,
        *,
        clock: Callable[[], float] = boot_time,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._leases, self._key, self._attempt, self._seconds = leases, key, attempt, TERM + timeout
        self._clock, self._sleep, self._thread = clock, sleep, thread
        self._holder = f"{this_process()} {uuid.uuid4().hex[:8]}"
        self._until = float("-inf")
        self._lost: HeadraceError | None = None
        self._heard = asyncio.Event()  # of a renewal
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Lease":
        asked = self._clock()
        wait = await self._thread(self._leases.take, self._key, self._attempt, self._holder, self._seconds)
        if wait is None:
            raise self._superseded()
        if wait:
            log.info("an earlier try may still be calling: waiting %.0f s", wait)
            await self._sleep(wait)
            asked = self._clock()
            if not await self._thread(self._leases.renew, self._key, self._holder, self._seconds):
                raise self._superseded()
        self._until = asked + TERM
        self._renewing = asyncio.ensure_future(self._renew())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._renewing
        self._renewing.cancel()
        self._until = float("-inf")
        try:
            await self._thread(self._leases.release, self._key, self._holder)
        except TransientError as error:  # a newer try waits until it runs out
            log.warning("the lease was not released: %s", error)

    @property
    def held(self) -> bool:
        """Whether a call may start now."""
        return self._clock() < self._until

    async def regained(self) -> None:
        """Return once the lease is held again; raises `TransientError` where it is lost."""
        while not self.held:
            if self._lost:
                raise self._lost
            self._heard.clear()
            await self._heard.wait()

    async def _renew(self) -> None:
        while not self._lost:
            await self._sleep(RENEW_EVERY)
            asked = self._clock()
            try:
                if await self._thread(self._leases.renew, self._key, self._holder, self._seconds):
                    self._until = asked + TERM
                else:
                    self._lost = self._superseded()
            except HeadraceError as error:
                self._lost = error
            if self._lost:
                self._until = float("-inf")
            self._heard.set()

    def _superseded(self) -> TransientError:
        return TransientError(f"a newer try has taken over `{self._key}`: this one makes no further call")
