"""Tasks that are `created` are the outbox: they are sent, and are `queued` once Kafka has acknowledged them.

A crash in between sends a task again, with the same id; a task is never `queued` that Kafka does not have. One that no
message can hold is `failed`: it would be tried for ever.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast
from uuid import UUID

import sqlalchemy
from sqlalchemy import Uuid

from include.common.database import answering
from include.common.errors import TransientError
from include.common.limits.lease import Leases
from include.common.processes import this_process
from include.common.recordset import recordset, rows
from include.parser_tasks.broker import OutgoingMessage, Sent
from include.parser_tasks.changes import Event, changing
from include.parser_tasks.messages import TaskMessage, TaskSource, task_key, write_task
from include.parser_tasks.models import Reason, Status
from include.parser_tasks.tables import Source, Task, TaskType

# Tasks that are put in order at once.
MOST = 100_000
# Tasks that are sent and marked at once.
BATCH = 10_000
# Seconds: for the acknowledgements of a batch; for which nobody else sends, so more than that and the marking.
PATIENCE, TERM = 30.0, 120.0
LEASE = "parser_tasks/publish"

_tasks, _sources, _types = (cast(sqlalchemy.Table, model.__table__) for model in (Task, Source, TaskType))


class Sender(Protocol):
    """What `include.parser_tasks.broker.Producer` is."""

    def send(self, messages: Sequence[OutgoingMessage], seconds: float) -> list[Sent]:
        """What became of each message."""


@dataclass(frozen=True)
class Published:
    """How many tasks were sent, and how many failed because no message can hold them.

    `elsewhere` where somebody else is at it, who sends them all.
    """

    sent: int = 0
    too_large: int = 0
    elsewhere: bool = False


def publish(
    engine: sqlalchemy.Engine, connected: Callable[[], Sender], topics: Mapping[str, str], clock: Callable[[], float]
) -> Published:
    """Send every `created` task that is not late, the urgent first; one process does so at a time.

    `connected` is asked for a sender where there is something to send.
    Raises `TransientError` where some were not acknowledged: these stay `created`, the others are `queued`.
    """
    total, too_large, sender = 0, 0, None
    while True:
        with _turn(engine, clock) as mine:
            if not mine():
                return Published(total, too_large, elsewhere=True)
            for ids in _batches(_waiting(engine, topics, clock())):
                if not mine():  # too slow: somebody else has gone on
                    return Published(total, too_large, elsewhere=True)
                sender = sender or connected()
                sent = sender.send(_outgoing(engine, topics, ids, clock()), PATIENCE)
                too_large += _mark(engine, sent, clock())
                total += sum(each.position is not None for each in sent)
                if failed := [each for each in sent if each.position is None and not each.is_final]:
                    raise TransientError(
                        f"{len(failed)} of {len(sent)} tasks were not sent and stay `created`: {failed[0].error}"
                    )
        # What came behind our last look was left to us by those who found us at it.
        if not _waiting(engine, topics, clock(), most=1):
            return Published(total, too_large)


@contextmanager
def _turn(engine: sqlalchemy.Engine, clock: Callable[[], float]) -> Iterator[Callable[[], bool]]:
    """Whether it is our turn, to be asked before each batch."""
    leases, holder = Leases(engine), f"{this_process()} {uuid.uuid4().hex[:8]}"
    try:
        yield lambda: leases.take_if_free(LEASE, holder, TERM)
    finally:
        leases.release(LEASE, holder)


def _waiting(engine: sqlalchemy.Engine, topics: Mapping[str, str], now: float, most: int = MOST) -> Sequence[UUID]:
    """Tasks that are to be sent, the urgent first."""
    read = (
        sqlalchemy.select(_tasks.c.id)
        .where(_tasks.c.status == Status.CREATED, _tasks.c.deadline_at > now, _tasks.c.parser.in_([*topics]))
        .where(_tasks.c.source_id.is_not(None))
        .order_by(_tasks.c.priority.desc(), _tasks.c.id)
        .limit(most)
    )
    with answering("the tasks to be sent"), engine.connect() as connection:
        return connection.scalars(read).all()


def _batches(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    return (ids[first : first + BATCH] for first in range(0, len(ids), BATCH))


def _outgoing(
    engine: sqlalchemy.Engine, topics: Mapping[str, str], ids: Sequence[UUID], now: float
) -> list[OutgoingMessage]:
    """The messages of those of these tasks that are still to be sent; see `creation._free` for where that is seen."""
    given = recordset(engine.dialect.name, "given", {"id": Uuid()})
    read = (
        sqlalchemy.select(
            _tasks.c.id,
            _tasks.c.status,
            _tasks.c.group_id,
            _tasks.c.attempt,
            _tasks.c.parser,
            _types.c.name.label("task_type"),
            _tasks.c.priority,
            _tasks.c.created_at,
            _tasks.c.deadline_at,
            _sources.c.id.label("source_id"),
            _sources.c.name.label("source_name"),
            _sources.c.address,
            _sources.c.settings,
        )
        .join(given, given.c.id == _tasks.c.id)
        .join(_sources, _sources.c.id == _tasks.c.source_id)
        .join(_types, _types.c.id == _tasks.c.task_type_id)
        .order_by(_tasks.c.priority.desc(), _tasks.c.id)
    )
    with answering("the tasks to be sent"), engine.connect() as connection:
        found = connection.execute(read, {"given": rows({"id": each} for each in ids)})
        still = (row for row in found.mappings() if row["status"] == Status.CREATED and row["deadline_at"] > now)
        return [_message(row, topics) for row in still]


def _message(row: sqlalchemy.RowMapping, topics: Mapping[str, str]) -> OutgoingMessage:
    message = TaskMessage(
        task_id=row["id"],
        group_id=row["group_id"],
        attempt=row["attempt"],
        parser=row["parser"],
        task_type=row["task_type"],
        priority=row["priority"],
        source=TaskSource(row["source_id"], row["source_name"], row["address"], row["settings"]),
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
    )
    return OutgoingMessage(message.task_id, topics[message.parser], task_key(message), write_task(message))


def _mark(engine: sqlalchemy.Engine, sent: Sequence[Sent], now: float) -> int:
    """Store what became of the messages; returns how many tasks have failed."""
    answers: dict[UUID, Sent] = {each.tag: each for each in sent if each.position or each.is_final}
    too_large = 0
    with changing(engine, now, "the tasks that were sent") as changes:
        for task in changes.hold(answers).values():
            answer = answers[task.id]
            if position := answer.position:
                where = {"topic": position.topic, "partition": position.partition, "offset": position.offset}
                if task.status is Status.CREATED:
                    changes.move(task, Status.QUEUED, now, **where)
                else:  # a worker was quicker, or a person has cancelled it meanwhile
                    changes.set(task, **where)
            elif task.status is Status.CREATED:
                changes.move(task, Status.FAILED, now, error=answer.error, reason=Reason.TOO_LARGE)
                changes.note(Event(task.id, now, Status.FAILED, task.attempt, detail=answer.error))
                too_large += 1
    return too_large
