"""Which machines' workers of tasks are there, for a run that spreads its tasks over them."""

from collections.abc import Callable
from typing import cast

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite

from include.common.database import epoch, transaction
from include.common.limits.models import PresentWorker, stored

# Seconds from one announcement to the next, and how long one counts: two may be lost.
ANNOUNCE_EVERY, TERM = 20.0, 60.0

_workers = cast(sqlalchemy.Table, PresentWorker.__table__)


class Workers:
    """The table `workers`: a row for each worker that has announced itself, in the clock of the database on Postgres.

    Every method raises `TransientError` where the database does not answer.
    """

    def __init__(self, engine: sqlalchemy.Engine, clock: Callable[[], float] | None = None) -> None:
        self._engine, self._clock = engine, clock

    def announce(self, name: str) -> None:
        """The worker `name` is there, and those are forgotten that have not said so for long."""
        now = epoch(self._engine, self._clock)
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        mine = dialect.insert(_workers).values(name=stored(name), until=now + TERM)
        with transaction(self._engine, "the list of workers") as connection:
            connection.execute(sqlalchemy.delete(_workers).where(_workers.c.until < now))
            connection.execute(mine.on_conflict_do_update(index_elements=["name"], set_={"until": mine.excluded.until}))

    def leave(self, name: str) -> None:
        """The worker `name` takes no more tasks."""
        with transaction(self._engine, "the list of workers") as connection:
            connection.execute(sqlalchemy.delete(_workers).where(_workers.c.name == stored(name)))

    def present(self) -> int:
        """How many are there, 1 at least: whoever asks is run by one."""
        now = epoch(self._engine, self._clock)
        counted = sqlalchemy.select(sqlalchemy.func.count()).where(_workers.c.until >= now)
        with transaction(self._engine, "the list of workers") as connection:
            return max(1, connection.execute(counted).scalar_one())
