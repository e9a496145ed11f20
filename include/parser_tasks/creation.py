"""Tasks are created: for each source and type that is due, one at a time, in groups of one parser and type."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import sqlalchemy
from sqlalchemy import JSON, BigInteger, Float, Integer, String, Uuid
from uuid6 import uuid7

from include.common.database import answering
from include.common.recordset import Types, recordset, rows
from include.parser_tasks.changes import Changes, changing, insert_rows
from include.parser_tasks.models import Cause, Status
from include.parser_tasks.schedule import following
from include.parser_tasks.tables import Source, SourceTaskType, Task, TaskGroup, TaskType, is_open

_sources, _due, _types, _groups, _tasks = (
    cast(sqlalchemy.Table, model.__table__) for model in (Source, SourceTaskType, TaskType, TaskGroup, Task)
)
# Tasks of one transaction, and of one group at most: a second or so of work, for which others wait.
BATCH = 10_000
WAITING = (Status.CREATED, Status.QUEUED)
_COLUMNS = (
    _due.c.id,
    _due.c.source_id,
    _sources.c.name.label("source_name"),
    _sources.c.parser,
    _due.c.task_type_id,
    _due.c.schedule,
    _due.c.priority,
    _due.c.deadline_seconds,
    _due.c.due_at,
)
_OF_A_TASK = ("source_id", "source_name", "parser", "task_type_id", "deadline_seconds", "priority")
TASK: Types = {
    "id": Uuid(),
    "group_id": BigInteger(),
    "source_id": BigInteger(),
    "source_name": String(),
    "parser": String(),
    "task_type_id": BigInteger(),
    "status": String(),
    "attempt": Integer(),
    "priority": Integer(),
    "retry_of": Uuid(),
    "created_at": Float(53),
    "deadline_at": Float(53),
    "statistics": JSON(),
}


@dataclass(frozen=True)
class Wanted:
    """A task to be created."""

    source_id: int
    source_name: str
    parser: str
    task_type_id: int
    deadline_seconds: float
    priority: int = 0
    attempt: int = 1
    retry_of: UUID | None = None
    id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True)
class Created:
    """What came of one parser: the groups and how many tasks, and how many sources stay due, and why."""

    parser: str
    groups: list[int] = field(default_factory=list)
    tasks: int = 0
    still_open: int = 0
    over_backlog: int = 0
    backlog: int = 0


@dataclass(frozen=True)
class Choice:
    """Of what tasks are to be created: of everything that is due, or of these sources or this type, due or not."""

    source_ids: tuple[int, ...] = ()
    task_type: str = ""
    only_due: bool = True
    cause: Cause = Cause.SCHEDULE


def create(
    engine: sqlalchemy.Engine,
    parsers: Iterable[str],
    most_waiting: int,
    clock: Callable[[], float],
    choice: Choice = Choice(),
) -> list[Created]:
    """Create what is chosen, of these parsers.

    A source whose last task of the type is open stays due, as do those beyond `most_waiting` tasks of a parser that
    wait for a worker. Whoever does the same at the same time creates what is left. Raises errors by kind.
    """
    return [_create_of(engine, parser, most_waiting, clock, choice) for parser in parsers]


def _create_of(
    engine: sqlalchemy.Engine, parser: str, most_waiting: int, clock: Callable[[], float], choice: Choice
) -> Created:
    now = clock()
    chosen = _chosen(parser, choice, now)
    groups: list[int] = []
    total = 0
    for ids in _batches(engine, chosen):
        with changing(engine, clock(), "the creation of tasks") as changes:
            room = max(0, most_waiting - _waiting(changes.connection, parser))
            found = _free(changes.connection, ids, parser, choice, now)[:room]
            _move_on(changes.connection, found, now)
            by_type: dict[int, list[Wanted]] = {}
            for row in found:
                wanted = Wanted(**{name: row[name] for name in _OF_A_TASK})
                by_type.setdefault(wanted.task_type_id, []).append(wanted)
            groups += [insert_group(changes, wanted, choice.cause) for wanted in by_type.values()]
        total += len(found)
        if len(found) == room:
            break
    with answering("what stays due"), engine.connect() as connection:
        still_open, left = _still_due(connection, chosen)
        if not choice.only_due:
            still_open = max(0, still_open - total)  # what was created here is open as well
        return Created(parser, groups, total, still_open, left, _waiting(connection, parser))


def _batches(engine: sqlalchemy.Engine, chosen: sqlalchemy.Select[Any]) -> Iterator[Sequence[int]]:
    """The ids of what is chosen, the urgent first: put in order once, and looked at again when it is its turn."""
    in_order = chosen.order_by(_due.c.priority.desc(), _due.c.due_at)
    with answering("what is due"), engine.connect() as connection:
        ids = connection.scalars(in_order).all()
    return (ids[first : first + BATCH] for first in range(0, len(ids), BATCH))


def _waiting(connection: sqlalchemy.Connection, parser: str) -> int:
    count = sqlalchemy.select(sqlalchemy.func.count()).select_from(_tasks)
    return connection.scalar(count.where(_tasks.c.parser == parser, _tasks.c.status.in_(WAITING))) or 0


def _free(
    connection: sqlalchemy.Connection, ids: Sequence[int], parser: str, choice: Choice, now: float
) -> list[sqlalchemy.RowMapping]:
    """Those of these that have no open task, and are still what was chosen.

    Each is looked up by its key, and looked at here: of many conditions Postgres would think that hardly a row fulfils
    them, and compare each row with each other, where it has not counted yet (45 s for 30,000 new sources).
    """
    given = recordset(connection.dialect.name, "given", {"id": BigInteger()})
    is_on = (_sources.c.active & _due.c.active).label("is_on")
    read = (
        sqlalchemy.select(*_COLUMNS, is_on, _open_task().label("open"))
        .join(given, given.c.id == _due.c.id)
        .join(_sources, _sources.c.id == _due.c.source_id)
        .order_by(_due.c.priority.desc(), _due.c.due_at)
    )
    found = connection.execute(read, {"given": rows({"id": each} for each in ids)}).mappings()
    return [
        row
        for row in found
        if row["open"] is None
        and row["is_on"]
        and row["parser"] == parser
        and (row["due_at"] <= now or not choice.only_due)
    ]


def _still_due(connection: sqlalchemy.Connection, chosen: sqlalchemy.Select[Any]) -> tuple[int, int]:
    """Of what is chosen, how many have an open task, and how many have none."""
    looked_up = chosen.with_only_columns(_open_task().label("open")).subquery()
    count = sqlalchemy.func.count
    still_open, every = connection.execute(sqlalchemy.select(count(looked_up.c.open), count())).one()
    return still_open, every - still_open


def _chosen(parser: str, choice: Choice, now: float) -> sqlalchemy.Select[Any]:
    chosen = (
        sqlalchemy.select(_due.c.id)
        .join(_sources, _sources.c.id == _due.c.source_id)
        .where(_sources.c.parser == parser, _sources.c.active, _due.c.active)
    )
    if choice.only_due:
        chosen = chosen.where(_due.c.due_at <= now)
    if choice.source_ids:
        chosen = chosen.where(_due.c.source_id.in_(choice.source_ids))
    if choice.task_type:
        chosen = chosen.join(_types, _types.c.id == _due.c.task_type_id).where(_types.c.name == choice.task_type)
    return chosen


def _open_task() -> sqlalchemy.ScalarSelect[UUID]:
    """The open task of a source and type, which is at most one: looked up by its key for each that is due."""
    same = (_tasks.c.source_id == _due.c.source_id) & (_tasks.c.task_type_id == _due.c.task_type_id)
    return sqlalchemy.select(_tasks.c.id).where(same, is_open(_tasks.c.status)).correlate(_due).scalar_subquery()


def _move_on(connection: sqlalchemy.Connection, found: Sequence[sqlalchemy.RowMapping], now: float) -> None:
    if not found:
        return
    given = recordset(connection.dialect.name, "next", {"id": BigInteger(), "due_at": Float(53)})
    following_times = rows({"id": row["id"], "due_at": following(row["schedule"], row["due_at"], now)} for row in found)
    update = sqlalchemy.update(_due).where(_due.c.id == given.c.id).values(due_at=given.c.due_at)
    connection.execute(update, {"next": following_times})


def insert_group(changes: Changes, wanted: Sequence[Wanted], cause: Cause) -> int:
    """A group of tasks of one parser and type; none of their sources may have an open one. Returns its id."""
    first, now = wanted[0], changes.now
    group = sqlalchemy.insert(_groups).values(
        parser=first.parser,
        task_type_id=first.task_type_id,
        cause=cause,
        total=len(wanted),
        created_at=now,
        deadline_at=now + max(each.deadline_seconds for each in wanted),
    )
    group_id = int(changes.connection.execute(group.returning(_groups.c.id)).scalar_one())
    insert_rows(
        changes.connection,
        _tasks,
        TASK,
        (
            {
                "id": each.id,
                "group_id": group_id,
                "source_id": each.source_id,
                "source_name": each.source_name,
                "parser": each.parser,
                "task_type_id": each.task_type_id,
                "status": Status.CREATED,
                "attempt": each.attempt,
                "priority": each.priority,
                "retry_of": each.retry_of,
                "created_at": now,
                "deadline_at": now + each.deadline_seconds,
                "statistics": {},
            }
            for each in wanted
        ),
    )
    changes.created(first.parser, first.task_type_id, len(wanted))
    return group_id
