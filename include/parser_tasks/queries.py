"""What is read of sources, groups and tasks. Every list is bounded, and in the order of an index."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast
from uuid import UUID

import sqlalchemy

from include.common.database import answering
from include.parser_tasks.models import ALLOWED, OPEN, Action, Cause, Reason, Refusal, Status
from include.parser_tasks.paging import FIRST_PAGE, Asked, Page, counted, order, page
from include.parser_tasks.tables import (
    HAS_ERROR,
    HAS_WORKER,
    IS_REFUSED,
    Source,
    SourceTaskType,
    Task,
    TaskEvent,
    TaskGroup,
    TaskTotal,
    TaskType,
)
from include.parser_tasks.views import (
    Bucket,
    EventRow,
    GroupRow,
    LastTask,
    ParserCounts,
    ScheduleRow,
    SourceRow,
    TaskRow,
    TaskTypeRow,
    TaskView,
)

_tasks, _groups, _sources, _due, _types, _events, _totals = (
    cast(sqlalchemy.Table, model.__table__)
    for model in (Task, TaskGroup, Source, SourceTaskType, TaskType, TaskEvent, TaskTotal)
)
# Tasks of one bulk request; tries and events that are shown of one task.
MOST_IDS, MOST_TRIES, MOST_EVENTS = 10_000, 100, 500
# Seconds after its `created_at` at which a task may have been given its id: whoever creates waits for its turn.
SLACK = 3600.0
DAY = 86_400.0
LIKE = 200
# Sources whose ids stand in a statement.
FEW = 500


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks; what is left out is any. Times are seconds since the epoch.

    `late`: past the deadline and open, or cancelled for that; `problems`: failed, or cancelled for that; `has_error`:
    with an error text, or without one. `source_text` stands in the name or the address of the source, or in the name
    that a deleted one had. `before` is a task: only older ones.
    """

    statuses: frozenset[Status] = frozenset()
    parser: str = ""
    task_type: str = ""
    source_id: int | None = None
    source_text: str = ""
    group_id: int | None = None
    worker: str = ""
    late: bool = False
    problems: bool = False
    has_error: bool | None = None
    created_from: float | None = None
    created_to: float | None = None
    before: UUID | None = None


@dataclass(frozen=True)
class GroupFilter:
    """Which groups: `status` is `open`, `done` or `problems`."""

    parser: str = ""
    task_type: str = ""
    cause: str = ""
    status: str = ""


@dataclass(frozen=True)
class SourceFilter:
    """Which sources; `text` stands in the name or the address, `failing` have failed since they were last well."""

    text: str = ""
    parser: str = ""
    task_type: str = ""
    active: bool | None = None
    failing: bool = False


@dataclass(frozen=True)
class ScheduleFilter:
    """Which schedules."""

    source_id: int | None = None
    parser: str = ""
    task_type: str = ""
    active: bool | None = None


def tasks(engine: sqlalchemy.Engine, wanted: TaskFilter, now: float, asked: Asked = FIRST_PAGE) -> Page[TaskRow]:
    """A page of tasks, the newest first; sorted by `id` only, which is the order of creation."""
    by = order(asked, {"id": _tasks.c.id}, "-id")
    with answering("the list of tasks"), engine.connect() as connection:
        chosen = _chosen(connection, wanted, now)
        found = [each for one in chosen for each in connection.scalars(by.applied(one, asked.size + 1))]
        ids = sorted(found, reverse=by.descends)[: asked.size + 1]
        rows = sorted(_tasks_of(connection, ids), key=lambda row: row.id, reverse=by.descends)
        return page(rows, asked, by, counted(connection, *chosen))


def task_ids(
    engine: sqlalchemy.Engine, wanted: TaskFilter, now: float, action: Action, most: int = MOST_IDS
) -> tuple[tuple[UUID, ...], bool]:
    """The ids of the tasks of a filter whose status allows `action`, the newest first; whether there are more."""
    allowed = frozenset(status for status in wanted.statuses or Status if action in ALLOWED[status])
    if not allowed:
        return (), False
    with answering("the tasks of a filter"), engine.connect() as connection:
        some = _chosen(connection, replace(wanted, statuses=allowed), now)
        newest = [each.order_by(_tasks.c.id.desc()).limit(most + 1) for each in some]
        found = sorted({each for one in newest for each in connection.scalars(one)}, reverse=True)
    return tuple(found[:most]), len(found) > most


def task(engine: sqlalchemy.Engine, task_id: UUID) -> TaskView | None:
    """A task with what happened to it and its other tries; None where there is none."""
    with answering("a task"), engine.connect() as connection:
        found = _tasks_of(connection, [task_id])
        if not found:
            return None
        read = sqlalchemy.select(_events).where(_events.c.task_id == task_id).order_by(_events.c.id.desc())
        events = [EventRow(**row) for row in connection.execute(read.limit(MOST_EVENTS)).mappings()]
        return TaskView(found[0], tuple(reversed(events)), _tries(connection, found[0]))


def refusals(engine: sqlalchemy.Engine, wanted: Collection[Refusal], asked: Asked = FIRST_PAGE) -> Page[EventRow]:
    """A page of the status messages that were refused for one of these reasons, the newest first."""
    by = order(asked, {"id": _events.c.id}, "-id")
    chosen = [
        sqlalchemy.select(_events).where(_events.c.refused == reason, IS_REFUSED) for reason in dict.fromkeys(wanted)
    ]
    with answering("the refused messages"), engine.connect() as connection:
        read = [by.applied(each, asked.size + 1) for each in chosen]
        found = [EventRow(**row) for each in read for row in connection.execute(each).mappings()]
        rows = sorted(found, key=lambda row: row.id, reverse=by.descends)
        return page(rows[: asked.size + 1], asked, by, counted(connection, *chosen))


def tasks_of(engine: sqlalchemy.Engine, ids: Sequence[UUID]) -> list[TaskRow]:
    """Those of these tasks that there are, at most `MOST_IDS`."""
    with answering("some tasks"), engine.connect() as connection:
        return _tasks_of(connection, ids)


def groups(engine: sqlalchemy.Engine, wanted: GroupFilter, asked: Asked = FIRST_PAGE) -> Page[GroupRow]:
    """A page of groups, the newest first; sorted by `id`, which is the order of creation."""
    by = order(asked, {"id": _groups.c.id}, "-id")
    chosen = _groups_read()
    if wanted.parser:
        chosen = chosen.where(_groups.c.parser == wanted.parser)
    if wanted.task_type:
        chosen = chosen.where(_types.c.name == wanted.task_type)
    if wanted.cause:
        chosen = chosen.where(_groups.c.cause == Cause(wanted.cause))
    troubled = (_groups.c.failed > 0) | (_groups.c.late > 0)
    match wanted.status:
        case "open":
            chosen = chosen.where(_groups.c.ended_at == 0)
        case "done":
            chosen = chosen.where(_groups.c.ended_at > 0, ~troubled)
        case "problems":
            chosen = chosen.where(_groups.c.ended_at > 0, troubled)
    with answering("the list of groups"), engine.connect() as connection:
        rows = [GroupRow(**row) for row in connection.execute(by.applied(chosen, asked.size + 1)).mappings()]
        return page(rows, asked, by, counted(connection, chosen))


def group(engine: sqlalchemy.Engine, group_id: int) -> GroupRow | None:
    """A group; None where there is none."""
    with answering("a group"), engine.connect() as connection:
        found = connection.execute(_groups_read().where(_groups.c.id == group_id)).mappings().first()
        return GroupRow(**found) if found else None


def sources(engine: sqlalchemy.Engine, wanted: SourceFilter, asked: Asked = FIRST_PAGE) -> Page[SourceRow]:
    """A page of sources with their schedules, by `id`, `name`, `parser`, `failures` or `created_at`."""
    names = ("id", "name", "parser", "failures", "created_at")
    by = order(asked, {name: _sources.c[name] for name in names}, "name")
    chosen = _sources_read()
    if wanted.text:
        chosen = chosen.where(_holds(wanted.text))
    if wanted.parser:
        chosen = chosen.where(_sources.c.parser == wanted.parser)
    if wanted.active is not None:
        chosen = chosen.where(_sources.c.active.is_(wanted.active))
    if wanted.failing:
        chosen = chosen.where(_sources.c.failures > 0)
    if wanted.task_type:
        has = sqlalchemy.select(_due.c.id).join(_types, _types.c.id == _due.c.task_type_id)
        has = has.where(_due.c.source_id == _sources.c.id, _types.c.name == wanted.task_type)
        chosen = chosen.where(has.exists())
    with answering("the list of sources"), engine.connect() as connection:
        rows = connection.execute(by.applied(chosen, asked.size + 1)).mappings().all()
        return page(_with_schedules(connection, rows), asked, by, counted(connection, chosen))


def switched_on(engine: sqlalchemy.Engine, ids: Collection[int]) -> dict[int, bool]:
    """Whether each of these sources is, of those that there are."""
    read = sqlalchemy.select(_sources.c.id, _sources.c.active).where(_sources.c.id.in_(ids))
    with answering("the sources"), engine.connect() as connection:
        return {row.id: row.active for row in connection.execute(read)} if ids else {}


def source(engine: sqlalchemy.Engine, source_id: int) -> SourceRow | None:
    """A source with its schedules; None where there is none."""
    with answering("a source"), engine.connect() as connection:
        rows = connection.execute(_sources_read().where(_sources.c.id == source_id)).mappings().all()
        return next(iter(_with_schedules(connection, rows)), None)


def schedules(engine: sqlalchemy.Engine, wanted: ScheduleFilter, asked: Asked = FIRST_PAGE) -> Page[ScheduleRow]:
    """A page of schedules, by `id` or `due_at`."""
    by = order(asked, {"id": _due.c.id, "due_at": _due.c.due_at}, "id")
    chosen = _schedules_read()
    if wanted.source_id is not None:
        chosen = chosen.where(_due.c.source_id == wanted.source_id)
    if wanted.parser:
        chosen = chosen.where(_sources.c.parser == wanted.parser)
    if wanted.task_type:
        chosen = chosen.where(_types.c.name == wanted.task_type)
    if wanted.active is not None:
        chosen = chosen.where(_due.c.active.is_(wanted.active))
    with answering("the list of schedules"), engine.connect() as connection:
        rows = _schedule_rows(connection, by.applied(chosen, asked.size + 1))
        return page(rows, asked, by, counted(connection, chosen))


def schedule(engine: sqlalchemy.Engine, schedule_id: int) -> ScheduleRow | None:
    """A schedule; None where there is none."""
    with answering("a schedule"), engine.connect() as connection:
        return next(iter(_schedule_rows(connection, _schedules_read().where(_due.c.id == schedule_id))), None)


def task_type_page(engine: sqlalchemy.Engine, asked: Asked = FIRST_PAGE) -> Page[TaskTypeRow]:
    """A page of the types, by `id` or `name`."""
    by = order(asked, {"id": _types.c.id, "name": _types.c.name}, "name")
    chosen = sqlalchemy.select(_types)
    with answering("the types of tasks"), engine.connect() as connection:
        rows = [TaskTypeRow(**row) for row in connection.execute(by.applied(chosen, asked.size + 1)).mappings()]
        return page(rows, asked, by, counted(connection, chosen))


def task_types(engine: sqlalchemy.Engine) -> list[TaskTypeRow]:
    """All types, by name: there are few."""
    with answering("the types of tasks"), engine.connect() as connection:
        rows = connection.execute(sqlalchemy.select(_types).order_by(_types.c.name)).mappings()
        return [TaskTypeRow(**row) for row in rows]


def last_day(engine: sqlalchemy.Engine, now: float, buckets: int = 48, parser: str = "") -> list[Bucket]:
    """What became of the tasks of the last 24 hours, by when they were created; the last bucket ends now.

    It is read from the groups, which count their tasks: a chart of a million tasks is made of a few thousand rows.
    """
    width, start = DAY / buckets, now - DAY
    place: sqlalchemy.ColumnElement[Any] = (_groups.c.created_at - start) / width
    if engine.dialect.name == "postgresql":  # a cast rounds there, and cuts off on SQLite
        place = sqlalchemy.func.floor(place)
    number = sqlalchemy.cast(place, sqlalchemy.Integer).label("number")
    names = ("total", "done", "failed", "cancelled", "late")
    sums = [sqlalchemy.cast(sqlalchemy.func.sum(_groups.c[name]), sqlalchemy.BigInteger).label(name) for name in names]
    read = sqlalchemy.select(number, *sums).where(_groups.c.created_at >= start).group_by(number)
    if parser:
        read = read.where(_groups.c.parser == parser)
    with answering("the tasks of the last day"), engine.connect() as connection:
        rows = connection.execute(read).mappings().all()
    found = [Bucket(start + index * width, width) for index in range(buckets)]
    for row in rows:
        index = min(row["number"], buckets - 1)  # this very moment
        before = found[index]
        found[index] = Bucket(
            before.at,
            width,
            before.total + row["total"],
            before.done + row["done"],
            before.failed + row["failed"],
            before.late + row["late"],
            before.cancelled + row["cancelled"] - row["late"],
        )
    return found


def counts(engine: sqlalchemy.Engine) -> list[ParserCounts]:
    """How many tasks of each parser are in each status now, from the totals: no task is read."""
    now_there = sqlalchemy.func.sum(_totals.c.reached - _totals.c.left)
    read = sqlalchemy.select(_totals.c.parser, _totals.c.status, sqlalchemy.cast(now_there, sqlalchemy.BigInteger))
    read = read.group_by(_totals.c.parser, _totals.c.status).order_by(_totals.c.parser)
    found: dict[str, dict[Status, int]] = {}
    with answering("the counts of tasks"), engine.connect() as connection:
        for parser, status, count in connection.execute(read):
            found.setdefault(parser, {})[Status(status)] = count
    return [ParserCounts(parser, counts) for parser, counts in found.items()]


def _chosen(connection: sqlalchemy.Connection, wanted: TaskFilter, now: float) -> list[sqlalchemy.Select[Any]]:
    """The ids of the tasks of a filter, in parts that each are read in the order of an index."""
    common: sqlalchemy.ColumnElement[bool] = sqlalchemy.true()
    if wanted.parser:
        common &= _tasks.c.parser == wanted.parser
    if wanted.task_type:
        common &= _tasks.c.task_type_id.in_(
            connection.scalars(sqlalchemy.select(_types.c.id).where(_types.c.name == wanted.task_type)).all()
        )
    if wanted.source_id is not None:
        common &= _tasks.c.source_id == wanted.source_id
    if wanted.before is not None:
        common &= _tasks.c.id < wanted.before
    if wanted.group_id is not None:
        common &= _tasks.c.group_id == wanted.group_id
    if wanted.worker:
        common &= sqlalchemy.and_(_tasks.c.worker == wanted.worker, HAS_WORKER)
    if wanted.has_error is not None:
        common &= HAS_ERROR if wanted.has_error else (_tasks.c.error == "")
    if wanted.created_from is not None:
        common &= (_tasks.c.created_at >= wanted.created_from) & (_tasks.c.id >= _first_id(wanted.created_from))
    if wanted.created_to is not None:
        until = _first_id(wanted.created_to + SLACK)
        common &= (_tasks.c.created_at < wanted.created_to) & (_tasks.c.id < until)
    reads = [sqlalchemy.select(_tasks.c.id).where(common)]
    if wanted.source_text:  # of a deleted source, its tasks keep the name
        there = _tasks.c.source_id.in_(_sources_of(connection, wanted.source_text))
        deleted = _tasks.c.source_id.is_(None) & _stands_in(_tasks.c.source_name, wanted.source_text)
        reads = [each.where(either) for each in reads for either in (there, deleted)]
    possible = (*OPEN, Status.CANCELLED) if wanted.late else Status
    statuses = [status for status in possible if not wanted.statuses or status in wanted.statuses]
    if wanted.problems:
        statuses = [status for status in statuses if status in (Status.FAILED, Status.CANCELLED)]
    has_index = wanted.has_error or not wanted.parser  # one that has all statuses
    if len(statuses) == len(Status) and has_index and not wanted.late:
        return reads
    return [each.where(_tasks.c.status == status, *_also(status, wanted, now)) for each in reads for status in statuses]


def _also(status: Status, wanted: TaskFilter, now: float) -> list[sqlalchemy.ColumnElement[bool]]:
    is_asked = wanted.late or (wanted.problems and status is Status.CANCELLED)
    return [_is_late(status, now)] if is_asked else []


def _sources_of(connection: sqlalchemy.Connection, text: str) -> Sequence[int] | sqlalchemy.Select[Any]:
    """The sources of a text: their ids where they are few, so that they are looked for once."""
    read = sqlalchemy.select(_sources.c.id).where(_holds(text))
    found = connection.scalars(read.limit(FEW + 1)).all()
    return found if len(found) <= FEW else read


def _holds(text: str) -> sqlalchemy.ColumnElement[bool]:
    """Whether `text` stands in the name or the address of a source."""
    return sqlalchemy.or_(*(_stands_in(column, text) for column in (_sources.c.name, _sources.c.address)))


def _stands_in(column: sqlalchemy.ColumnElement[str], text: str) -> sqlalchemy.ColumnElement[bool]:
    return column.icontains(text[:LIKE], autoescape=True)


def _is_late(status: Status, now: float) -> sqlalchemy.ColumnElement[bool]:
    return _tasks.c.deadline_at <= now if status in OPEN else _tasks.c.reason == Reason.EXPIRED


def _first_id(at: float) -> UUID:
    """The first id of version 7 that could be made at a time."""
    milliseconds = min(max(0, int(at * 1000)), 2**48 - 1)
    return UUID(int=milliseconds << 80)


def _tasks_of(connection: sqlalchemy.Connection, ids: Sequence[UUID]) -> list[TaskRow]:
    return _task_rows(connection, _tasks.c.id.in_(ids)) if ids else []


def _task_rows(connection: sqlalchemy.Connection, condition: sqlalchemy.ColumnElement[bool]) -> list[TaskRow]:
    columns = [
        _types.c.name.label("task_type") if each.name == "task_type" else _tasks.c[each.name]
        for each in fields(TaskRow)
    ]
    read = sqlalchemy.select(*columns).join(_types, _types.c.id == _tasks.c.task_type_id).where(condition)
    rows = connection.execute(read.order_by(_tasks.c.id).limit(MOST_IDS)).mappings()
    return [TaskRow(**{**row, "status": Status(row["status"])}) for row in rows]


def _tries(connection: sqlalchemy.Connection, task: TaskRow) -> tuple[TaskRow, ...]:
    """Every try of the same: those that it repeats, and those that repeat it or one of them."""
    found = {task.id: task}
    first = task
    while first.retry_of and len(found) < MOST_TRIES:
        before = _tasks_of(connection, [first.retry_of])
        if not before:
            break
        first = before[0]
        found[first.id] = first
    later: Iterable[UUID] = list(found)
    while later and len(found) < MOST_TRIES:
        again = _task_rows(connection, _tasks.c.retry_of.in_(list(later)))
        later = [row.id for row in again if row.id not in found]
        found |= {row.id: row for row in again}
    return tuple(found[each] for each in sorted(found))


def _groups_read() -> sqlalchemy.Select[Any]:
    columns = [
        _types.c.name.label("task_type") if each.name == "task_type" else _groups.c[each.name]
        for each in fields(GroupRow)
    ]
    return sqlalchemy.select(*columns).join(_types, _types.c.id == _groups.c.task_type_id)


def _sources_read() -> sqlalchemy.Select[Any]:
    return sqlalchemy.select(*(_sources.c[each.name] for each in fields(SourceRow) if each.name != "schedules"))


def _with_schedules(connection: sqlalchemy.Connection, rows: Sequence[sqlalchemy.RowMapping]) -> list[SourceRow]:
    ids = [row["id"] for row in rows]
    read = _schedules_read().where(_due.c.source_id.in_(ids)).order_by(_types.c.name)
    of_source: dict[int, list[ScheduleRow]] = {}
    for each in _schedule_rows(connection, read) if ids else []:
        of_source.setdefault(each.source_id, []).append(each)
    return [SourceRow(**row, schedules=tuple(of_source.get(row["id"], ()))) for row in rows]


def _schedules_read() -> sqlalchemy.Select[Any]:
    same = (_tasks.c.source_id == _due.c.source_id) & (_tasks.c.task_type_id == _due.c.task_type_id)
    newest = sqlalchemy.select(_tasks.c.id).where(same).order_by(_tasks.c.id.desc()).limit(1)
    from_source = {"source_name": _sources.c.name, "parser": _sources.c.parser, "task_type": _types.c.name}
    columns = [
        from_source[each.name].label(each.name) if each.name in from_source else _due.c[each.name]
        for each in fields(ScheduleRow)
        if each.name != "last"
    ]
    return (
        sqlalchemy.select(*columns, newest.correlate(_due).scalar_subquery().label("newest"))
        .join(_sources, _sources.c.id == _due.c.source_id)
        .join(_types, _types.c.id == _due.c.task_type_id)
    )


def _schedule_rows(connection: sqlalchemy.Connection, read: sqlalchemy.Select[Any]) -> list[ScheduleRow]:
    rows = connection.execute(read).mappings().all()
    newest = [row["newest"] for row in rows if row["newest"]]
    names = [each.name for each in fields(LastTask)]
    last = {
        each.id: LastTask(**{name: getattr(each, name) for name in names}) for each in _tasks_of(connection, newest)
    }
    return [
        ScheduleRow(**{name: value for name, value in row.items() if name != "newest"}, last=last.get(row["newest"]))
        for row in rows
    ]
