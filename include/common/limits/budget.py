"""How many calls a run may make over all its tasks and tries, counted in the application database.

A process takes one call for each worker that asks, at the moment it asks, and nothing ahead: what one process held
unused, another could not use, and the run would end short of its budget.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite

from include.common.database import answering, transaction
from include.common.errors import HeadraceError
from include.common.limits.models import Budget, stored

log = logging.getLogger(__name__)
_budgets = cast(sqlalchemy.Table, Budget.__table__)


class Budgets:
    """Counts on the table `budgets`. Every method raises `TransientError` where the database does not answer.

    A key may be of any length.
    """

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self._engine = engine

    def take(self, key: str, calls: int, most: int) -> int:
        """Take up to `calls`; returns how many were granted, so that all processes together hold at most `most`."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        begin = dialect.insert(_budgets).values(key=stored(key), used=0).on_conflict_do_nothing()
        # Until the end of the transaction nobody else reads the number: SQLite has the whole file locked.
        read = sqlalchemy.select(_budgets.c.used).where(_budgets.c.key == stored(key)).with_for_update()
        with transaction(self._engine, f"the budget `{key}`") as connection:
            connection.execute(begin)
            granted = max(0, min(calls, most - int(connection.execute(read).scalar_one())))
            if granted:
                connection.execute(self._changed(key, _budgets.c.used + granted))
        return granted

    def give_back(self, key: str, calls: int) -> None:
        """Return `calls` that were taken and not made."""
        left = sqlalchemy.case((_budgets.c.used > calls, _budgets.c.used - calls), else_=0)
        with transaction(self._engine, f"the budget `{key}`") as connection:
            connection.execute(self._changed(key, left))

    def used(self, key: str) -> int | None:
        """How many calls are taken; None where nobody has asked for any."""
        query = sqlalchemy.select(_budgets.c.used).where(_budgets.c.key == stored(key))
        with answering(f"the budget `{key}`"), self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def forget(self, key: str) -> None:
        """Begin anew at 0: the run's budget is not asked for again."""
        with transaction(self._engine, f"the budget `{key}`") as connection:
            connection.execute(sqlalchemy.delete(_budgets).where(_budgets.c.key == stored(key)))

    def _changed(self, key: str, used: sqlalchemy.ColumnElement[int]) -> sqlalchemy.Executable:
        return sqlalchemy.update(_budgets).where(_budgets.c.key == stored(key)).values(used=used)


class Allowance:
    """The calls of one process under the budget `key` of `most`. It belongs to one event loop."""

    def __init__(
        self,
        budgets: Budgets,
        key: str,
        most: int,
        *,
        thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._budgets, self._key, self._most, self._thread = budgets, key, most, thread
        self._asking: deque[asyncio.Future[bool]] = deque()
        self._taking: asyncio.Task[None] | None = None
        self._left = 0  # granted and not used

    async def take(self) -> bool:
        """Whether one more call may be made; workers that ask at the same moment are one statement.

        Ask with a row in hand: what is granted and not called is lost to the others, unless it is given back.
        Raises `TransientError` where the database does not answer.
        """
        asking: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asking.append(asking)
        if self._taking is None:
            self._taking = asyncio.ensure_future(self._take())
        try:
            return await asking
        except asyncio.CancelledError:
            if asking.done() and not asking.cancelled() and asking.exception() is None:
                self._left += asking.result()
            raise

    def give_back(self) -> None:
        """One granted call was not made: it is for the next who asks."""
        self._left += 1

    async def close(self) -> None:
        """Give back what was granted and not used; where that fails it is only logged."""
        if self._taking:
            await asyncio.wait([self._taking])
        left, self._left = self._left, 0
        if left:
            try:
                await self._thread(self._budgets.give_back, self._key, left)
            except HeadraceError as error:
                log.warning("%d calls of the budget that nobody made are lost: %s", left, error)

    async def _take(self) -> None:
        asking: list[asyncio.Future[bool]] = []
        try:
            while self._asking:
                asking = [each for each in self._asking if not each.done()]
                self._asking.clear()
                more = max(0, len(asking) - self._left)
                if more:
                    granted = await self._thread(self._budgets.take, self._key, more, self._most)
                    self._left += granted
                for each in asking:
                    if not each.done():
                        each.set_result(self._left > 0)
                        self._left -= self._left > 0
        except Exception as error:
            for each in (*asking, *self._asking):
                if not each.done():
                    each.set_exception(error)
            self._asking.clear()
            if not isinstance(error, HeadraceError):
                raise
        finally:
            self._taking = None
