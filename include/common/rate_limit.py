"""How often an outside API may be called, counted once for all processes of this installation.

The generic cell rate algorithm (ITU-T I.371, appendix I) without a burst: calls on one key start `period / permits`
seconds apart. The state is one row a key in the application database; a reservation is one statement, and
it returns how long the caller must wait before it starts. Nobody polls.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite

from include.common.errors import ConfigError, TransientError

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
# The same rule for Python and for the schema of a DAG parameter. `none` means no limit. The end is written so that a
# line break behind it counts, in Python as in JavaScript.
PATTERN = r"^(none|[1-9][0-9]{0,8}/([1-9][0-9]{0,8} )?(second|minute|hour|day)s?)(?![\s\S])"
ALLOWED = "allowed is `none`, or calls per time such as `2/minute`, `1/30 seconds`, `50/second`"


@dataclass(frozen=True)
class Rate:
    """`permits` calls in `period` seconds, evenly spaced."""

    permits: int
    period: int

    @property
    def interval(self) -> float:
        """Seconds between the starts of two calls."""
        return self.period / self.permits

    def seconds_for(self, calls: int) -> float:
        """Seconds from the first call's start to the last one's."""
        return max(0, calls - 1) * self.interval


def parse_rate(text: str, field: str = "rate_limit") -> Rate | None:
    """Read `"2/minute"`, `"1/30 seconds"` or `"none"` (which gives None); else `ConfigError` naming `field`."""
    if not isinstance(text, str) or not re.match(PATTERN, text):
        raise ConfigError(f"{field} is `{text}`; {ALLOWED}")
    if text == "none":
        return None
    permits, period = text.split("/")
    count, _, unit = period.rpartition(" ")
    return Rate(int(permits), int(count or 1) * SECONDS[unit.removesuffix("s")])


_limits = sqlalchemy.Table(
    "rate_limits",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("key", sqlalchemy.String(250), primary_key=True),
    sqlalchemy.Column("next_at", sqlalchemy.Float(precision=53), nullable=False),
)


class RateLimiter:
    """Reservations on the table `rate_limits`. `clock` gives seconds since the epoch.

    Every call raises `TransientError` where the database does not answer.
    """

    def __init__(self, engine: sqlalchemy.Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def reserve(self, key: str, rate: Rate) -> float:
        """Take the next free start on `key`; returns the seconds to wait for it, 0 for at once."""
        now = self._clock()
        free = sqlalchemy.case((_limits.c.next_at > now, _limits.c.next_at), else_=now)
        taken_until = self._upsert(key, now + rate.interval, free + rate.interval)
        return max(0.0, taken_until - rate.interval - now)

    def defer(self, key: str, seconds: float) -> None:
        """No further call on `key` starts earlier than `seconds` from now: the API asked for a pause."""
        until = self._clock() + seconds
        self._upsert(key, until, sqlalchemy.case((_limits.c.next_at > until, _limits.c.next_at), else_=until))

    def _upsert(self, key: str, first: float, following: sqlalchemy.ColumnElement[float]) -> float:
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        statement = (
            dialect.insert(_limits)
            .values(key=key, next_at=first)
            .on_conflict_do_update(index_elements=["key"], set_={"next_at": following})
            .returning(_limits.c.next_at)
        )
        try:
            with self._engine.begin() as connection:
                return float(connection.execute(statement).scalar_one())
        except sqlalchemy.exc.DBAPIError as error:
            raise TransientError(
                f"the application database cannot be used for the rate limit `{key}`: {error.orig} "
                "(looked in HEADRACE_DATABASE_URL; `make migrate` creates its tables)"
            ) from error
