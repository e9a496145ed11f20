"""What becomes of tasks, in one transaction: their rows, the counts of their groups, the totals, what happened.

Whoever changes a task's status does it here, one at a time, so that counts are exact and nobody waits in a circle.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, cast
from uuid import UUID

import sqlalchemy
from sqlalchemy import JSON, BigInteger, Boolean, Float, Integer, String, Text, Uuid

from include.common.database import transaction
from include.common.recordset import Types, recordset, rows
from include.parser_tasks.models import ENDED, Reason, Status
from include.parser_tasks.tables import Source, StatusTotal, Task, TaskEvent, TaskGroup, TaskTotal

LOCK = int.from_bytes(b"parsers")  # any number that nobody else takes
TIME = Float(53)
# The result of a status message that changed a task.
APPLIED = "applied"

_tasks, _groups, _sources, _events, _totals, _results_of_messages = (
    cast(sqlalchemy.Table, model.__table__) for model in (Task, TaskGroup, Source, TaskEvent, TaskTotal, StatusTotal)
)
_CHANGED: Types = {
    "status": String(),
    "queued_at": TIME,
    "started_at": TIME,
    "ended_at": TIME,
    "topic": String(),
    "partition": Integer(),
    "offset": BigInteger(),
    "worker": String(),
    "error": Text(),
    "reason": String(),
    "statistics": JSON(),
}
_EVENT: Types = {
    "task_id": Uuid(),
    "at": TIME,
    "status": String(),
    "attempt": Integer(),
    "refused": String(),
    "actor": String(),
    "detail": Text(),
    "partition": Integer(),
    "offset": BigInteger(),
}
_RESULT: Types = {
    "id": BigInteger(),
    "done": Integer(),
    "failed": Integer(),
    "cancelled": Integer(),
    "late": Integer(),
    "now": TIME,
}
_SOURCE: Types = {"id": BigInteger(), "reset": Boolean(), "failures": Integer(), "gone": Boolean()}
_TOTAL: Types = {
    "parser": String(),
    "task_type_id": BigInteger(),
    "status": String(),
    "reached": Integer(),
    "left": Integer(),
    "seconds": TIME,
}


@dataclass
class HeldTask:
    """A task that nobody else changes now."""

    id: UUID
    group_id: int
    source_id: int | None
    parser: str
    task_type_id: int
    status: Status
    attempt: int
    priority: int
    created_at: float
    deadline_at: float
    queued_at: float
    started_at: float
    ended_at: float
    worker: str
    reason: str

    def entered_at(self) -> float:
        """When it came to its status, as far as is known."""
        return max(self.created_at, self.queued_at, self.started_at, self.ended_at)


_HELD = {each.name for each in fields(HeldTask)}


@dataclass(frozen=True)
class Event:
    """What happened to a task, for `task_events`."""

    task_id: UUID | None
    at: float
    status: str
    attempt: int | None = None
    refused: str = ""
    actor: str = ""
    detail: str = ""
    partition: int | None = None
    offset: int | None = None


@dataclass
class _SourceResult:
    reset: bool = False
    failures: int = 0
    gone: bool = False


@dataclass
class _Total:
    reached: int = 0
    left: int = 0
    seconds: float = 0.0


@dataclass
class Changes:
    """What is to be stored at the end of the transaction."""

    connection: sqlalchemy.Connection
    now: float
    _changed: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    _results: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _of_sources: dict[int, _SourceResult] = field(default_factory=dict)
    _moved: dict[tuple[str, int, str], _Total] = field(default_factory=dict)
    _events: list[Event] = field(default_factory=list)
    _messages: Counter[str] = field(default_factory=Counter)

    def hold(self, ids: Iterable[UUID]) -> dict[UUID, HeldTask]:
        """Those of these tasks that there are."""
        wanted = recordset(self.connection.dialect.name, "wanted", {"id": Uuid()})
        chosen = [_tasks.c[each.name] for each in fields(HeldTask)]
        read = sqlalchemy.select(*chosen).join(wanted, wanted.c.id == _tasks.c.id)
        found = self.connection.execute(read, {"wanted": rows({"id": each} for each in set(ids))})
        held = [HeldTask(*row) for row in found]
        for task in held:
            task.status = Status(task.status)
        return {task.id: task for task in held}

    def move(self, task: HeldTask, status: Status, at: float, **values: Any) -> None:
        """`task` comes to `status` at a time that others say; what is not possible of it is not believed."""
        before = task.entered_at()
        at = min(max(at, before), self.now)
        self._count(task, task.status).left += 1
        self._count(task, task.status).seconds += max(0.0, at - before)
        self._count(task, status).reached += 1
        entered = {Status.QUEUED: "queued_at", Status.IN_PROGRESS: "started_at"}.get(status, "ended_at")
        self.set(task, status=status, **{entered: at}, **values)
        if status in ENDED:
            self._ended(task)

    def set(self, task: HeldTask, **values: Any) -> None:
        """Store these values of a task, whose status stays."""
        for name in values.keys() & _HELD:
            setattr(task, name, values[name])
        self._changed.setdefault(task.id, {}).update(values)

    def created(self, parser: str, task_type_id: int, count: int) -> None:
        """So many tasks were inserted."""
        self._moved.setdefault((parser, task_type_id, Status.CREATED), _Total()).reached += count

    def note(self, event: Event) -> None:
        """Keep what happened; what came of a status message is counted as well."""
        self._events.append(event)
        if event.offset is not None:
            self._messages[event.refused or APPLIED] += 1

    def _count(self, task: HeldTask, status: Status) -> _Total:
        return self._moved.setdefault((task.parser, task.task_type_id, status), _Total())

    def _ended(self, task: HeldTask) -> None:
        result = self._results[task.group_id]
        late = task.reason == Reason.EXPIRED
        result[task.status] += 1
        result["late"] += late
        if task.source_id is None:
            return
        of_source = self._of_sources.setdefault(task.source_id, _SourceResult())
        if task.status is Status.DONE:
            of_source.reset, of_source.failures = True, 0
        elif task.status is Status.FAILED or late:
            of_source.failures += 1
        of_source.gone |= task.reason == Reason.SOURCE_GONE

    def store(self) -> None:
        """Write it all down."""
        self._store_tasks()
        self._store_groups()
        self._store_sources()
        self._store_totals()
        if self._events:
            told = ({name: getattr(event, name) for name in _EVENT} for event in self._events)
            insert_rows(self.connection, _events, _EVENT, told)

    def _store_tasks(self) -> None:
        by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for task_id, values in self._changed.items():
            by_columns.setdefault(tuple(sorted(values)), []).append({"id": task_id, **values})
        for names, changed in by_columns.items():
            types = {"id": Uuid(), **{name: _CHANGED[name] for name in names}}
            given = recordset(self.connection.dialect.name, "changed", types)
            update = sqlalchemy.update(_tasks).where(_tasks.c.id == given.c.id)
            self.connection.execute(update.values({name: given.c[name] for name in names}), {"changed": rows(changed)})

    def _store_groups(self) -> None:
        if not self._results:
            return
        counts = ("done", "failed", "cancelled", "late")
        given = recordset(self.connection.dialect.name, "results", _RESULT)
        sums = {name: _groups.c[name] + given.c[name] for name in counts}
        ended = _groups.c.total == sums["done"] + sums["failed"] + sums["cancelled"]
        update = (
            sqlalchemy.update(_groups)
            .where(_groups.c.id == given.c.id)
            .values(**sums, ended_at=sqlalchemy.case((ended, given.c.now), else_=0.0))
        )
        told = rows(
            {"id": group, "now": self.now, **{name: result[name] for name in counts}}
            for group, result in self._results.items()
        )
        self.connection.execute(update, {"results": told})

    def _store_sources(self) -> None:
        if not self._of_sources:
            return
        given = recordset(self.connection.dialect.name, "of_sources", _SOURCE)
        kept = sqlalchemy.case((given.c.reset, 0), else_=_sources.c.failures)
        still = sqlalchemy.and_(_sources.c.active, sqlalchemy.not_(given.c.gone))
        # Most are well and stay so: their rows are not written anew.
        is_news = sqlalchemy.or_(given.c.failures > 0, given.c.gone, _sources.c.failures > 0)
        update = (
            sqlalchemy.update(_sources)
            .where(_sources.c.id == given.c.id, is_news)
            .values(failures=kept + given.c.failures, active=still)
        )
        told = rows({"id": source, **vars(result)} for source, result in self._of_sources.items())
        self.connection.execute(update, {"of_sources": told})

    def _store_totals(self) -> None:
        moved = [
            {"parser": parser, "task_type_id": task_type, "status": status, **vars(total)}
            for (parser, task_type, status), total in self._moved.items()
        ]
        keys = ("parser", "task_type_id", "status")
        self._add(_totals, "moved", _TOTAL, keys, ("reached", "left", "seconds"), moved)
        came_to = [{"result": result, "count": count} for result, count in self._messages.items()]
        types: Types = {"result": String(), "count": Integer()}
        self._add(_results_of_messages, "came_to", types, ("result",), ("count",), came_to)

    def _add(
        self,
        table: sqlalchemy.Table,
        name: str,
        types: Types,
        keys: tuple[str, ...],
        sums: tuple[str, ...],
        values: list[dict[str, Any]],
    ) -> None:
        """Add to the rows with these keys, which are made where there are none: nobody else does at the same time."""
        if not values:
            return
        given = recordset(self.connection.dialect.name, name, types)
        same = sqlalchemy.and_(*(table.c[key] == given.c[key] for key in keys))
        added = {each: table.c[each] + given.c[each] for each in sums}
        missing = sqlalchemy.select(*(given.c[each] for each in keys), *([sqlalchemy.literal(0)] * len(sums)))
        absent = missing.where(~sqlalchemy.exists(sqlalchemy.select(table).where(same)))
        told = {name: rows(values)}
        self.connection.execute(sqlalchemy.insert(table).from_select([*keys, *sums], absent), told)
        self.connection.execute(sqlalchemy.update(table).where(same).values(**added), told)


def insert_rows(
    connection: sqlalchemy.Connection, table: sqlalchemy.Table, types: Types, values: Iterable[dict[str, Any]]
) -> None:
    """Insert many rows by one statement, which has one parameter."""
    given = recordset(connection.dialect.name, "inserted", types)
    insert = sqlalchemy.insert(table).from_select([*types], sqlalchemy.select(*given.c))
    connection.execute(insert, {"inserted": rows(values)})


@contextmanager
def changing(engine: sqlalchemy.Engine, now: float, purpose: str) -> Iterator[Changes]:
    """A transaction that changes tasks; whoever else wants to waits for its end. Raises errors by kind."""
    with transaction(engine, purpose) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        changes = Changes(connection, now)
        yield changes
        changes.store()
