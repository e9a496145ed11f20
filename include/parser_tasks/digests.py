"""What a person is told: a group that ended with failures or late tasks, a source that keeps failing, or is well again.

Each is told once: it is marked when its message was taken, so that what is not taken is told by the next try.
"""

import html
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy

from include.common.database import answering, transaction
from include.common.limits.lease import Leases
from include.common.processes import this_process
from include.common.telegram import MESSAGE_LIMIT, units
from include.common.text import one_line
from include.parser_tasks.models import Status
from include.parser_tasks.tables import Source, Task, TaskGroup, TaskType

# Groups and sources that are told at once, and the errors shown of a group.
MOST, ERRORS = 20, 3
# Who tells holds this lease: seconds, longer than the DAG lets it take.
LEASE, TERM = "parser_tasks/tell", 120.0
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

    id: int
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


def tell(engine: sqlalchemy.Engine, send: Callable[[str], Any], clock: Callable[[], float], link: str = "") -> int:
    """Send what nobody was told yet; returns the number of messages, 0 where somebody else is at it.

    A message is marked as told before the next one is sent; where `send` raises, the next try tells what is left.
    Raises errors of the database by kind.
    """
    leases, holder, sent = Leases(engine), f"{this_process()} {uuid.uuid4().hex[:8]}", 0
    if not leases.take_if_free(LEASE, holder, TERM):
        return 0
    try:
        for part in _messages(untold(engine, clock()), link):
            send(text_of(part, link))
            _mark(engine, part, clock())
            sent += 1
    finally:
        leases.release(LEASE, holder)
    return sent


def untold(engine: sqlalchemy.Engine, now: float, failures: int = FAILURES) -> News:
    """What is to be told; groups that ended well, of which nobody is told, are marked. Raises as `tell`."""
    troubled = (_groups.c.failed > 0) | (_groups.c.late > 0)
    ended = (_groups.c.told_at == 0) & (_groups.c.ended_at > 0)
    with transaction(engine, "what is to be told of the parser tasks") as connection:
        connection.execute(sqlalchemy.update(_groups).where(ended, ~troubled).values(told_at=now))
    with answering("what is to be told of the parser tasks"), engine.connect() as connection:
        return News(_ended(connection, ended), _alarms(connection, failures))


def _messages(news: News, link: str) -> Iterator[News]:
    """The news in parts that each fit a message, unless one of them alone does not."""
    part = News()
    every: list[EndedGroup | Alarm] = [*news.groups, *news.alarms]
    for one in every:
        more = _with(part, one)
        if part and units(text_of(more, link)) > MESSAGE_LIMIT:
            yield part
            more = _with(News(), one)
        part = more
    if part:
        yield part


def _with(news: News, one: EndedGroup | Alarm) -> News:
    if isinstance(one, Alarm):
        return News(news.groups, (*news.alarms, one))
    return News((*news.groups, one), news.alarms)


def _mark(engine: sqlalchemy.Engine, news: News, now: float) -> None:
    """That these were told: what has become of a source meanwhile is told by the next."""
    groups = [group.id for group in news.groups]
    ill, well = ([alarm.id for alarm in news.alarms if bool(alarm.failures) is is_ill] for is_ill in (True, False))
    with transaction(engine, "what was told of the parser tasks") as connection:
        for table, ids, values in (
            (_groups, groups, {"told_at": now}),
            (_sources, ill, {"alarmed_at": now}),
            (_sources, well, {"alarmed_at": 0.0}),
        ):
            if ids:
                connection.execute(sqlalchemy.update(table).where(table.c.id.in_(ids)).values(values))


def text_of(news: News, link: str = "") -> str:
    """The message for Telegram, as HTML; `link` leads to the errors."""
    lines = [_group_line(group) for group in news.groups]
    lines += [_alarm_line(alarm) for alarm in news.alarms]
    if link:
        lines.append(f'<a href="{html.escape(link)}">errors</a>')
    return "\n".join(lines)


def _ended(connection: sqlalchemy.Connection, ended: sqlalchemy.ColumnElement[bool]) -> tuple[EndedGroup, ...]:
    read = (
        sqlalchemy.select(_groups, _types.c.name.label("task_type"))
        .join(_types, _types.c.id == _groups.c.task_type_id)
        .where(ended, (_groups.c.failed > 0) | (_groups.c.late > 0))
        .order_by(_groups.c.ended_at, _groups.c.id)
        .limit(MOST)
    )
    names = ("id", "parser", "task_type", "total", "done", "failed", "late")
    return tuple(
        EndedGroup(**{name: row[name] for name in names}, errors=_errors(connection, row["id"]))
        for row in connection.execute(read).mappings().all()
    )


def _errors(connection: sqlalchemy.Connection, group: int) -> tuple[tuple[str, str], ...]:
    read = sqlalchemy.select(_tasks.c.source_name, _tasks.c.error).where(_tasks.c.group_id == group)
    failed = read.where(_tasks.c.status == Status.FAILED).order_by(_tasks.c.id).limit(ERRORS)
    return tuple((row.source_name, row.error) for row in connection.execute(failed))


def _alarms(connection: sqlalchemy.Connection, failures: int) -> tuple[Alarm, ...]:
    ill = (_sources.c.failures >= failures) & (_sources.c.alarmed_at == 0)
    well = (_sources.c.failures == 0) & (_sources.c.alarmed_at > 0)
    read = sqlalchemy.select(_sources).where(ill | well).order_by(_sources.c.id).limit(MOST)
    found = connection.execute(read).mappings()
    return tuple(Alarm(row["id"], row["name"], row["parser"], row["failures"]) for row in found)


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
