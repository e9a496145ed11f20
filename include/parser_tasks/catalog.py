"""Sources, types of tasks and schedules are made, changed and deleted; what cannot be kept is refused."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy

from include.common.database import transaction
from include.common.errors import BadInputError, ConflictError, NotFoundError, quoted
from include.common.text import shown
from include.parser_tasks import schedule
from include.parser_tasks.actions import cancel_of_source
from include.parser_tasks.changes import changing
from include.parser_tasks.messages import DEEPEST
from include.parser_tasks.tables import (
    ADDRESS_LENGTH,
    NAME_LENGTH,
    SCHEDULE_LENGTH,
    Source,
    SourceTaskType,
    Task,
    TaskGroup,
    TaskType,
    is_open,
)

_sources, _types, _due, _tasks, _groups = (
    cast(sqlalchemy.Table, model.__table__) for model in (Source, TaskType, SourceTaskType, Task, TaskGroup)
)
MOST_SETTINGS = 65_536  # bytes of the JSON, which stands in every message
BIGGEST = 2**63 - 1
TITLE_LENGTH = 1000
DEADLINES = (1.0, 30 * 86_400.0)  # seconds
PRIORITIES = (-1000, 1000)


@dataclass(frozen=True)
class SourceGiven:
    """What is given of a source; None leaves it as it is. A new one needs `name`, `parser` and `address`."""

    name: str | None = None
    parser: str | None = None
    address: str | None = None
    settings: Mapping[str, Any] | None = None
    active: bool | None = None


@dataclass(frozen=True)
class TaskTypeGiven:
    """What is given of a type; None leaves it as it is. A new one needs `name`."""

    name: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class ScheduleGiven:
    """What is given of the schedule of a source for a type of tasks; None leaves it as it is.

    A new one needs `schedule`; its priority is 0, its deadline 10 minutes, and it is active.
    """

    task_type: str = ""
    schedule: str | None = None
    priority: int | None = None
    deadline_seconds: float | None = None
    active: bool | None = None


_NEW: Mapping[str, Any] = {"priority": 0, "deadline_seconds": 600.0, "active": True}


@dataclass(frozen=True)
class Catalog:
    """Changes by one request at `now`; `parsers` are the types of parsers that are registered."""

    engine: sqlalchemy.Engine
    parsers: Collection[str]
    now: float

    def create_source(self, given: SourceGiven, schedules: Sequence[ScheduleGiven] = ()) -> int:
        """A new source with its schedules; returns its id."""
        values = self._of_source(given)
        _need(values, "name", "parser", "address")
        with transaction(self.engine, "the new source") as connection:
            _check_free(connection, values, None)
            new = {"settings": {}, "active": True, **values, "created_at": self.now}
            insert = sqlalchemy.insert(_sources).values(new).returning(_sources.c.id)
            source_id = int(connection.execute(insert).scalar_one())
            self._put_all(connection, source_id, schedules)
        return source_id

    def change_source(self, source_id: int, given: SourceGiven, schedules: Sequence[ScheduleGiven] = ()) -> None:
        """Change a source, and set these schedules of it: those of other types stay. Open tasks of it go on."""
        values = self._of_source(given)
        with changing(self.engine, self.now, "the source") as changes:
            connection = changes.connection
            before = _row(connection, _sources, source_id, "source")
            _check_free(connection, {"parser": before["parser"], "address": before["address"], **values}, source_id)
            if values.get("parser", before["parser"]) != before["parser"]:
                _check_no_open(connection, source_id)
            if values:
                connection.execute(sqlalchemy.update(_sources).where(_sources.c.id == source_id).values(values))
            self._put_all(connection, source_id, schedules)

    def delete_source(self, source_id: int, person: str) -> int:
        """Delete a source with its schedules; its open tasks are cancelled. Returns how many."""
        with changing(self.engine, self.now, "the source") as changes:
            _row(changes.connection, _sources, source_id, "source")
            cancelled = cancel_of_source(changes, source_id, person)
            changes.connection.execute(sqlalchemy.delete(_sources).where(_sources.c.id == source_id))
        return cancelled

    def create_task_type(self, given: TaskTypeGiven) -> int:
        """A new type; returns its id."""
        values = _of_type(given)
        _need(values, "name")
        with transaction(self.engine, "the new task type") as connection:
            _check_type_free(connection, values, None)
            insert = sqlalchemy.insert(_types).values({"title": "", **values})
            return int(connection.execute(insert.returning(_types.c.id)).scalar_one())

    def change_task_type(self, type_id: int, given: TaskTypeGiven) -> None:
        """Change a type; tasks that are sent already have its old name."""
        values = _of_type(given)
        with transaction(self.engine, "the task type") as connection:
            _row(connection, _types, type_id, "task type")
            _check_type_free(connection, values, type_id)
            if values:
                connection.execute(sqlalchemy.update(_types).where(_types.c.id == type_id).values(values))

    def delete_task_type(self, type_id: int) -> None:
        """Delete a type that nothing uses."""
        with transaction(self.engine, "the task type") as connection:
            name = _row(connection, _types, type_id, "task type")["name"]
            for table, users in ((_due, "schedules"), (_groups, "groups of tasks")):
                read = sqlalchemy.select(table.c.id).where(table.c.task_type_id == type_id).limit(1)
                if connection.execute(read).first():
                    raise ConflictError(f"task type `{name}` is used by {users}; only one that nothing uses is deleted")
            connection.execute(sqlalchemy.delete(_types).where(_types.c.id == type_id))

    def create_schedule(self, source_id: int, given: ScheduleGiven) -> int:
        """A source has tasks of one more type; returns the schedule's id."""
        values = _of_schedule(given)
        with transaction(self.engine, "the new schedule") as connection:
            _row(connection, _sources, source_id, "source")
            type_id = _type_id(connection, given.task_type)
            if _schedule_of(connection, source_id, type_id):
                raise ConflictError(
                    f"source {source_id} has a schedule for `{given.task_type}` already; change that one"
                )
            return self._insert(connection, source_id, type_id, values)

    def change_schedule(self, schedule_id: int, given: ScheduleGiven) -> None:
        """Change a schedule; where its times change, the next one is reckoned from now. Open tasks go on."""
        values = _of_schedule(given)
        # One after the other with whoever creates tasks, who sets the next time as well.
        with changing(self.engine, self.now, "the schedule") as changes:
            connection = changes.connection
            before = _row(connection, _due, schedule_id, "schedule")
            if given.task_type and _type_id(connection, given.task_type) != before["task_type_id"]:
                raise BadInputError("a schedule keeps its task type; make one of the other type, and delete this one")
            self._update(connection, before, values)

    def delete_schedule(self, schedule_id: int) -> None:
        """A source has no more tasks of a type; open ones go on."""
        with transaction(self.engine, "the schedule") as connection:
            _row(connection, _due, schedule_id, "schedule")
            connection.execute(sqlalchemy.delete(_due).where(_due.c.id == schedule_id))

    def _of_source(self, given: SourceGiven) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if given.name is not None:
            values["name"] = text("name", given.name, NAME_LENGTH)
        if given.parser is not None:
            if given.parser not in self.parsers:
                raise BadInputError(
                    f"parser is `{shown(given.parser)}`; registered are {quoted(tuple(sorted(self.parsers)))}"
                )
            values["parser"] = given.parser
        if given.address is not None:
            values["address"] = text("address", given.address, ADDRESS_LENGTH)
        if given.settings is not None:
            values["settings"] = _json_object("settings", given.settings)
        if given.active is not None:
            values["active"] = given.active
        return values

    def _put_all(self, connection: sqlalchemy.Connection, source_id: int, schedules: Sequence[ScheduleGiven]) -> None:
        for given in schedules:
            values = _of_schedule(given)
            type_id = _type_id(connection, given.task_type)
            if before := _schedule_of(connection, source_id, type_id):
                self._update(connection, before, values)
            else:
                self._insert(connection, source_id, type_id, values)

    def _insert(self, connection: sqlalchemy.Connection, source_id: int, type_id: int, values: dict[str, Any]) -> int:
        _need(values, "schedule")
        due_at = schedule.following(values["schedule"], self.now, self.now)
        new = {**_NEW, **values, "source_id": source_id, "task_type_id": type_id, "due_at": due_at}
        return int(connection.execute(sqlalchemy.insert(_due).values(new).returning(_due.c.id)).scalar_one())

    def _update(self, connection: sqlalchemy.Connection, before: sqlalchemy.RowMapping, values: dict[str, Any]) -> None:
        if values.get("schedule", before["schedule"]) != before["schedule"]:
            values = {**values, "due_at": schedule.following(values["schedule"], self.now, self.now)}
        if values:
            connection.execute(sqlalchemy.update(_due).where(_due.c.id == before["id"]).values(values))


def text(where: str, given: str, most: int, least: int = 1) -> str:
    """A line of text as it is kept; raises `BadInputError` for one that is empty, too long or no text."""
    given = given.strip()
    if not least <= len(given) <= most:
        allowed = f"{least} to {most} characters" if least else f"at most {most} characters"
        raise BadInputError(f"{where} has {len(given)} characters; allowed are {allowed}")
    if bad := next((c for c in given if not c.isprintable()), ""):
        raise BadInputError(f"{where} has the character U+{ord(bad):04X}, which cannot be shown")
    return given


def _json_object(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        written = json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:  # NaN, half a surrogate pair
        raise BadInputError(f"{where} is no JSON object that can be kept: {type(error).__name__}") from error
    if len(written) > MOST_SETTINGS:
        raise BadInputError(f"{where} has {len(written):,} bytes; allowed are {MOST_SETTINGS:,}")
    if b"\\u0000" in written:
        raise BadInputError(f"{where} has the character U+0000, which cannot be kept")
    level: list[Any] = [given]
    for _ in range(DEEPEST + 1):
        if any(isinstance(each, int) and abs(each) > BIGGEST for each in level):
            raise BadInputError(f"{where} has a whole number beyond {BIGGEST:,}; write it as a text")
        level = [inner for each in level for inner in _inside(each)]
    if level:
        raise BadInputError(f"{where} has objects and lists in more than {DEEPEST} levels")
    return dict(given)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


def _of_type(given: TaskTypeGiven) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if given.name is not None:
        values["name"] = text("name", given.name, NAME_LENGTH)
    if given.title is not None:
        values["title"] = text("title", given.title, TITLE_LENGTH, least=0)
    return values


def _of_schedule(given: ScheduleGiven) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if given.schedule is not None:
        values["schedule"] = schedule.check(text("schedule", given.schedule, SCHEDULE_LENGTH))
    if given.priority is not None:
        values["priority"] = _within("priority", given.priority, PRIORITIES)
    if given.deadline_seconds is not None:
        values["deadline_seconds"] = float(_within("deadline_seconds", given.deadline_seconds, DEADLINES))
    if given.active is not None:
        values["active"] = given.active
    return values


def _within(where: str, given: float, bounds: tuple[float, float]) -> float:
    if not bounds[0] <= given <= bounds[1]:
        raise BadInputError(f"{where} is {shown(str(given))}; allowed is {bounds[0]:.0f} to {bounds[1]:.0f}")
    return given


def _need(values: Mapping[str, Any], *names: str) -> None:
    if missing := tuple(name for name in names if name not in values):
        raise BadInputError(f"{quoted(missing)} must be given")


def _row(connection: sqlalchemy.Connection, table: sqlalchemy.Table, row_id: int, what: str) -> sqlalchemy.RowMapping:
    read = sqlalchemy.select(table).where(table.c.id == row_id).with_for_update()
    found = connection.execute(read).mappings().first()
    if found is None:
        raise NotFoundError(f"there is no {what} {row_id}")
    return found


def _type_id(connection: sqlalchemy.Connection, name: str) -> int:
    found = connection.scalar(sqlalchemy.select(_types.c.id).where(_types.c.name == name))
    if found is None:
        names = connection.scalars(sqlalchemy.select(_types.c.name).order_by(_types.c.name)).all()
        raise BadInputError(f"task_type is `{shown(name)}`; there are {quoted(tuple(names))}")
    return int(found)


def _schedule_of(connection: sqlalchemy.Connection, source_id: int, type_id: int) -> sqlalchemy.RowMapping | None:
    same = (_due.c.source_id == source_id) & (_due.c.task_type_id == type_id)
    return connection.execute(sqlalchemy.select(_due).where(same).with_for_update()).mappings().first()


def _check_free(connection: sqlalchemy.Connection, values: Mapping[str, Any], source_id: int | None) -> None:
    """That no other source has this name, or this parser and address. What slips through, a unique key refuses."""
    others = sqlalchemy.select(_sources.c.id).where(_sources.c.id != (source_id or 0))
    if "name" in values and (other := connection.scalar(others.where(_sources.c.name == values["name"]))):
        raise ConflictError(f"source {other} has the name `{shown(values['name'])}` already")
    same = (_sources.c.parser == values["parser"]) & (_sources.c.address == values["address"])
    if other := connection.scalar(others.where(same)):
        raise ConflictError(f"source {other} of parser `{values['parser']}` has this address already")


def _check_type_free(connection: sqlalchemy.Connection, values: Mapping[str, Any], type_id: int | None) -> None:
    if "name" in values:
        same = sqlalchemy.select(_types.c.id).where(_types.c.name == values["name"], _types.c.id != (type_id or 0))
        if other := connection.scalar(same):
            raise ConflictError(f"task type {other} has the name `{shown(values['name'])}` already")


def _check_no_open(connection: sqlalchemy.Connection, source_id: int) -> None:
    read = sqlalchemy.select(_tasks.c.id).where(_tasks.c.source_id == source_id, is_open(_tasks.c.status)).limit(1)
    if connection.execute(read).first():
        raise ConflictError("the source has open tasks, which were made for its parser; cancel them first")
