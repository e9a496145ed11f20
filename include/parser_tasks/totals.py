"""What is counted of the tasks for metrics: what never falls, and what is so now."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import sqlalchemy

from include.common.database import answering
from include.parser_tasks.tables import StatusTotal, Task, TaskTotal, TaskType, is_open

_tasks, _totals, _types, _messages = (
    cast(sqlalchemy.Table, model.__table__) for model in (Task, TaskTotal, TaskType, StatusTotal)
)


@dataclass(frozen=True)
class StatusCount:
    """How many tasks of a parser and type came to a status, left it, and for how many seconds in all were in it."""

    parser: str
    task_type: str
    status: str
    reached: int
    left: int
    seconds: float


@dataclass(frozen=True)
class Totals:
    """Everything counted; `messages` by what came of them, `oldest_open` in seconds by parser."""

    statuses: list[StatusCount]
    messages: dict[str, int]
    oldest_open: dict[str, float]


def read_totals(engine: sqlalchemy.Engine, clock: Callable[[], float]) -> Totals:
    """Three queries, none of which grows with the tasks that have ended. Raises errors of the database by kind."""
    names = ("parser", "task_type", "status", "reached", "left", "seconds")
    statuses = sqlalchemy.select(_totals, _types.c.name.label("task_type")).join(
        _types, _types.c.id == _totals.c.task_type_id
    )
    oldest = sqlalchemy.select(_tasks.c.parser, sqlalchemy.func.min(_tasks.c.created_at).label("at"))
    oldest = oldest.where(is_open(_tasks.c.status)).group_by(_tasks.c.parser)
    with answering("the totals of the parser tasks"), engine.connect() as connection:
        return Totals(
            [StatusCount(*(row[name] for name in names)) for row in connection.execute(statuses).mappings()],
            {row["result"]: row["count"] for row in connection.execute(sqlalchemy.select(_messages)).mappings()},
            {row.parser: max(0.0, clock() - row.at) for row in connection.execute(oldest)},
        )
