"""What a person is told: a group that ended with failures or late tasks, a source that keeps failing, or is well again.

Each is told once: whoever takes what is to be told marks it as told in the same transaction.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import sqlalchemy

from include.common.database import transaction
from include.common.text import one_line
from include.parser_tasks.models import Status
from include.parser_tasks.tables import Source, Task, TaskGroup, TaskType

# Groups and sources of one message, and the errors shown of a group.
MOST, ERRORS = 20, 3
# Tasks in a row that failed or were late before a person is told of the source.
FAILURES = 3

_tasks, _groups, _sources, _types = (
    cast(sqlalchemy.Table, model.__table__) for model in (Task, TaskGroup, Source, TaskType)
)


@dataclass(frozen=True)
class EndedGroup:
    """A group that ended with tasks that failed or were late; the first errors, each with its source."""

    id: int
    parser: str
    task_type: str
    total: int
    done: int
    failed: int
    late: int
    errors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Alarm:
    """A source that has failed `failures` times in a row; 0: it is well again."""

    name: str
    parser: str
    failures: int


@dataclass(frozen=True)
class News:
    """What nobody was told yet."""

    groups: tuple[EndedGroup, ...] = ()
    alarms: tuple[Alarm, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.groups or self.alarms)


def take_news(engine: sqlalchemy.Engine, now: float, failures: int = FAILURES) -> News:
    """What is to be told now, marked as told: nobody else takes it. Raises errors of the database by kind."""
    with transaction(engine, "what is to be told of the parser tasks") as connection:
        return News(_ended(connection, now), _alarms(connection, now, failures))


def text_of(news: News, link: str = "") -> str:
    """The message for Telegram, as HTML; `link` leads to the errors."""
    lines = [_group_line(group) for group in news.groups]
    lines += [_alarm_line(alarm) for alarm in news.alarms]
    if link:
        lines.append(f'<a href="{html.escape(link)}">errors</a>')
    return "\n".join(lines)


def _ended(connection: sqlalchemy.Connection, now: float) -> tuple[EndedGroup, ...]:
    untold = sqlalchemy.select(_groups.c.id).where(_groups.c.told_at == 0, _groups.c.ended_at > 0)
    ids = connection.scalars(untold.order_by(_groups.c.ended_at).limit(MOST).with_for_update(skip_locked=True)).all()
    if not ids:
        return ()
    connection.execute(sqlalchemy.update(_groups).where(_groups.c.id.in_(ids)).values(told_at=now))
    read = (
        sqlalchemy.select(_groups, _types.c.name.label("task_type"))
        .join(_types, _types.c.id == _groups.c.task_type_id)
        .where(_groups.c.id.in_(ids), (_groups.c.failed > 0) | (_groups.c.late > 0))
        .order_by(_groups.c.id)
    )
    names = ("id", "parser", "task_type", "total", "done", "failed", "late")
    return tuple(
        EndedGroup(**{name: row[name] for name in names}, errors=_errors(connection, row["id"]))
        for row in connection.execute(read).mappings()
    )


def _errors(connection: sqlalchemy.Connection, group: int) -> tuple[tuple[str, str], ...]:
    read = sqlalchemy.select(_tasks.c.source_name, _tasks.c.error).where(_tasks.c.group_id == group)
    failed = read.where(_tasks.c.status == Status.FAILED).order_by(_tasks.c.id).limit(ERRORS)
    return tuple((row.source_name, row.error) for row in connection.execute(failed))


def _alarms(connection: sqlalchemy.Connection, now: float, failures: int) -> tuple[Alarm, ...]:
    ill = (_sources.c.failures >= failures) & (_sources.c.alarmed_at == 0)
    well = (_sources.c.failures == 0) & (_sources.c.alarmed_at > 0)
    read = sqlalchemy.select(_sources).where(ill | well).order_by(_sources.c.id).limit(MOST)
    found: Sequence[sqlalchemy.RowMapping] = connection.execute(read.with_for_update(skip_locked=True)).mappings().all()
    told = sqlalchemy.case((_sources.c.failures > 0, now), else_=0.0)
    mine = sqlalchemy.update(_sources).where(_sources.c.id.in_([row["id"] for row in found]))
    if found:
        connection.execute(mine.values(alarmed_at=told))
    return tuple(Alarm(row["name"], row["parser"], row["failures"]) for row in found)


def _group_line(group: EndedGroup) -> str:
    counts = [f"{group.done} of {group.total} done"]
    counts += [f"{group.failed} failed"] * bool(group.failed) + [f"{group.late} late"] * bool(group.late)
    errors = "".join(f"\n  {_safe(name)}: {_safe(error or 'no error was given')}" for name, error in group.errors)
    return f"<b>{_safe(group.parser)}, {_safe(group.task_type)}</b> (group {group.id}): {', '.join(counts)}{errors}"


def _alarm_line(alarm: Alarm) -> str:
    whose = f"<b>{_safe(alarm.name)}</b> ({_safe(alarm.parser)})"
    return f"{whose} failed {alarm.failures} times in a row" if alarm.failures else f"{whose} is well again"


def _safe(text: str) -> str:
    return html.escape(one_line(text, 200))
