"""Tasks past their deadline are cancelled, so that none stays open for ever."""

from typing import cast

import sqlalchemy

from include.common.database import answering
from include.parser_tasks.changes import Event, changing
from include.parser_tasks.models import Reason, Status
from include.parser_tasks.tables import Task, is_open

_tasks = cast(sqlalchemy.Table, Task.__table__)
# Tasks of one transaction: a second or so of work, for which others wait.
BATCH = 2000
# Seconds after its deadline at which a task is cancelled although statuses wait to be read: nobody may be reading.
PATIENCE = 600.0


def cutoff(now: float, oldest_unread: float | None, known: bool = True) -> float:
    """Up to which deadline tasks may be cancelled: what workers said before it has been read.

    `oldest_unread` is when the first status message that was not read was sent, None where all were; `known` is whether
    the broker could be asked.
    """
    if known and oldest_unread is None:
        return now
    return max(now - PATIENCE, min(now, oldest_unread or 0.0))


def open_past(engine: sqlalchemy.Engine, until: float) -> bool:
    """Whether there is an open task with a deadline of `until` or before."""
    late = sqlalchemy.select(_tasks.c.id).where(is_open(_tasks.c.status), _tasks.c.deadline_at <= until).limit(1)
    with answering("the tasks that are late"), engine.connect() as connection:
        return connection.execute(late).first() is not None


def cancel_expired(engine: sqlalchemy.Engine, until: float, now: float) -> int:
    """Cancel every open task whose deadline is `until` or before; returns how many. Raises errors by kind."""
    late = sqlalchemy.select(_tasks.c.id).where(is_open(_tasks.c.status), _tasks.c.deadline_at <= until)
    late = late.order_by(_tasks.c.deadline_at).limit(BATCH)
    total = 0
    while True:
        with changing(engine, now, "the tasks that are late") as changes:
            tasks = changes.hold(changes.connection.scalars(late).all())
            for task in tasks.values():
                was = task.status
                changes.move(task, Status.CANCELLED, now, reason=Reason.EXPIRED)
                changes.note(Event(task.id, now, Status.CANCELLED, task.attempt, detail=f"expired, it was {was}"))
        total += len(tasks)
        if len(tasks) < BATCH:
            return total
