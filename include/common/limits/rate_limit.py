"""How often an outside API may be called, counted once for all processes of this installation.

The generic cell rate algorithm (ITU-T I.371, appendix I). The state is one row a key in the application database: the
theoretical arrival time of the next call, and the end of a pause that the API asked for. A reservation is one
statement; it takes starts in the future, so nobody polls. docs/adr/0001-rate-limiter.md says why it is our own.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite

from include.common.database import answering, epoch, transaction
from include.common.durations import UNITS
from include.common.errors import ConfigError
from include.common.limits.models import RateLimit, stored

# The same rule for Python and for the schema of a DAG parameter. `none` means no limit. The end is written so that a
# line break behind it counts, in Python as in JavaScript.
PATTERN = (
    r"^(none|[1-9][0-9]{0,8}/([1-9][0-9]{0,8} )?(second|minute|hour|day)s?( burst [1-9][0-9]{0,8})?)"
    r"(?![\s\S])"
)
ALLOWED = (
    "allowed is `none`, or calls per time such as `2/minute`, `1/30 seconds`, `50/second`, "
    "with at most so many at once as in `50/second burst 10`"
)


@dataclass(frozen=True)
class Rate:
    """`permits` calls in `period` seconds, evenly spaced; after a pause up to `burst` of them at once.

    In any window of `period` start at most `permits + burst - 1` calls: without a burst, what a server with a strict
    sliding window allows.
    """

    permits: int
    period: int
    burst: int = 1

    @cached_property
    def slack(self) -> float:
        """Seconds that a call may start after its reserved time; a later one gives its start up."""
        return min(self.period / 50, 1.0)

    @cached_property
    def interval(self) -> float:
        """Seconds between two reserved starts.

        `permits` intervals are longer than `period` by the slack: a call that starts late by less than it, before one
        that starts on time, still leaves the window in time. It costs at most 2% of the rate.
        """
        return (self.period + self.slack) / self.permits

    def seconds_for(self, calls: int) -> float:
        """Seconds from the first call's start to the last one's, where the first `burst` start at once."""
        return max(0, calls - self.burst) * self.interval


def parse_rate(text: str, field: str = "rate_limit") -> Rate | None:
    """Read `"2/minute"`, `"1/30 seconds"`, `"50/second burst 10"` or `"none"` (which gives None).

    Raises `ConfigError` naming `field` for anything else.
    """
    if not isinstance(text, str) or not re.match(PATTERN, text):
        raise ConfigError(f"{field} is `{text}`; {ALLOWED}")
    if text == "none":
        return None
    speed, _, burst = text.partition(" burst ")
    permits, period = speed.split("/")
    count, _, unit = period.rpartition(" ")
    return Rate(int(permits), int(count or 1) * UNITS[unit.removesuffix("s")], int(burst or 1))


@dataclass(frozen=True)
class Seen:
    """What the database said. `now` and `paused_until` are seconds since the epoch on its clock.

    `sent` and `came` are readings of this process's monotonic clock right before and after `now` was read: what ties
    the two clocks together, so that the clocks of several machines need not agree.
    """

    now: float
    paused_until: float
    sent: float
    came: float


@dataclass(frozen=True)
class Reservation(Seen):
    """`permits` consecutive starts that end at `next_at`, the theoretical arrival time behind them."""

    rate: Rate
    permits: int
    next_at: float

    @cached_property
    def starts(self) -> tuple[float, ...]:
        """The time of each start, in order, on the database's clock."""
        interval = self.rate.interval
        base = self.next_at - self.permits * interval
        ahead = base - (self.rate.burst - 1) * interval
        # Not before this moment; and never behind `base`, whenever `now` was read: the next distance counts from there.
        earliest = max(self.paused_until, min(self.now, base))
        return tuple(max(earliest, ahead + index * interval) for index in range(self.permits))


_limits = cast(sqlalchemy.Table, RateLimit.__table__)


def _number(name: str) -> sqlalchemy.BindParameter[float]:
    return sqlalchemy.bindparam(name, type_=sqlalchemy.Float(precision=53))


class RateLimiter:
    """Reservations on the table `rate_limits`, under keys of any length.

    The time is the database's own on Postgres, this machine's on SQLite; a `clock` (seconds) stands for both, and for
    the monotonic clock. Every method raises `TransientError` where the database does not answer.
    """

    def __init__(self, engine: sqlalchemy.Engine, clock: Callable[[], float] | None = None) -> None:
        self._engine = engine
        self._ticks = clock or time.monotonic
        self._clock = clock or time.time
        self._own_time = clock is None and engine.dialect.name == "postgresql"
        self._statements()

    def _statements(self) -> None:
        # Built once: compiling one costs more than running it.
        on_postgres = self._engine.dialect.name == "postgresql"
        latest = sqlalchemy.func.greatest if on_postgres else sqlalchemy.func.max
        now: sqlalchemy.ColumnElement[float] = _number("moment")
        if self._own_time:
            now = epoch(self._engine)
        key, next_at, paused_until = _limits.c
        name = sqlalchemy.bindparam("name", type_=key.type)

        def upsert(first: dict[str, Any], following: dict[str, Any]) -> sqlalchemy.Executable:
            dialect = postgresql if on_postgres else sqlite
            insert = dialect.insert(_limits).values(key=name, **first)
            statement: sqlalchemy.Executable = insert.on_conflict_do_update(
                index_elements=["key"], set_=following
            ).returning(now.label("now"), paused_until, next_at)
            return statement

        span, seconds, end, half = _number("span"), _number("seconds"), _number("end"), _number("half")
        self._reserve = upsert(
            {"next_at": now + span, "paused_until": 0.0}, {"next_at": latest(next_at, paused_until, now) + span}
        )
        self._defer = upsert(
            {"next_at": 0.0, "paused_until": now + seconds}, {"paused_until": latest(paused_until, now + seconds)}
        )
        # `max`, so that a key never used gives a row as well.
        known = [sqlalchemy.func.coalesce(sqlalchemy.func.max(column), 0.0) for column in (paused_until, next_at)]
        self._read = sqlalchemy.select(now, *known).where(key == name)
        self._give_back = (
            sqlalchemy.update(_limits)
            .where(key == name, next_at > end - half, next_at < end + half)
            .values(next_at=next_at - span)
        )

    def reserve(self, key: str, rate: Rate, permits: int = 1) -> Reservation:
        """Take the next `permits` free starts on `key`."""
        with transaction(self._engine, f"the rate limit `{key}`") as connection:
            seen, next_at = self._ask(connection, self._reserve, name=stored(key), span=permits * rate.interval)
        return Reservation(**vars(seen), rate=rate, permits=permits, next_at=next_at)

    def give_back(self, key: str, reservation: Reservation, unused: int) -> None:
        """Return the last `unused` starts of `reservation`, if nobody has reserved after it; else they are lost.

        A start in the middle cannot be kept for somebody else: handed out later than its time, it would stand beside
        those reserved behind it, and a window would hold one more than the limit.
        """
        interval = reservation.rate.interval
        # Any later reservation is a whole interval further; half of one is room for the rounding of sums.
        bounds = {"name": stored(key), "end": reservation.next_at, "half": interval / 2, "span": unused * interval}
        with transaction(self._engine, f"the rate limit `{key}`") as connection:
            connection.execute(self._give_back, bounds)

    def defer(self, key: str, seconds: float) -> Seen:
        """Nobody starts on `key` earlier than `seconds` from now: the API asked for a pause.

        Starts already reserved before that moment are void; who holds one learns it from `read` or `pause`.
        """
        with transaction(self._engine, f"the rate limit `{key}`") as connection:
            seen, _ = self._ask(connection, self._defer, name=stored(key), seconds=seconds)
        return seen

    def pause(self, key: str) -> float:
        """Seconds left of the pause on `key`, 0 for none."""
        seen = self.read(key)
        return max(0.0, seen.paused_until - seen.now)

    def read(self, key: str) -> Seen:
        """The pause on `key` and the database's time, without taking anything."""
        with answering(f"the rate limit `{key}`"), self._engine.connect() as connection:
            seen, _ = self._ask(connection, self._read, name=stored(key))
        return seen

    def _ask(
        self, connection: sqlalchemy.Connection, statement: sqlalchemy.Executable, **values: Any
    ) -> tuple[Seen, float]:
        sent = self._ticks()
        if not self._own_time:
            values["moment"] = self._clock()
            came = self._ticks()
        now, paused_until, next_at = connection.execute(statement, values).one()
        if self._own_time:
            came = self._ticks()
        return Seen(float(now), float(paused_until), sent, came), float(next_at)
