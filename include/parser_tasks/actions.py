"""What a person does with tasks: cancel, try again. What a task's status does not allow is refused, with a sentence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import sqlalchemy

from include.parser_tasks.changes import Changes, Event, HeldTask, changing
from include.parser_tasks.creation import Wanted, insert_group
from include.parser_tasks.models import ALLOWED, Action, Cause, Reason, Status
from include.parser_tasks.tables import Source, Task, is_open

_tasks, _sources = (cast(sqlalchemy.Table, model.__table__) for model in (Task, Source))


@dataclass(frozen=True)
class Result:
    """What came of one task; `refused` says why nothing did, and `task_id` is the new task's where one was made."""

    refused: str = ""
    task_id: UUID | None = None


def cancel(
    engine: sqlalchemy.Engine, ids: Iterable[UUID], person: str, now: float, reason: Reason = Reason.BY_A_PERSON
) -> Mapping[UUID, Result]:
    """Cancel open tasks; the result of each id. Raises errors of the database by kind."""
    wanted = [*dict.fromkeys(ids)]
    with changing(engine, now, "the tasks to be cancelled") as changes:
        tasks = changes.hold(wanted)
        found: dict[UUID, Result] = {}
        for each in wanted:
            task = tasks.get(each)
            if refused := _refusal(task, Action.CANCEL):
                found[each] = Result(refused)
            elif task:
                cancel_held(changes, task, person, reason)
                found[each] = Result()
        return found


def cancel_held(changes: Changes, task: HeldTask, person: str, reason: Reason) -> None:
    """Cancel an open task."""
    changes.move(task, Status.CANCELLED, changes.now, reason=reason)
    changes.note(Event(task.id, changes.now, Status.CANCELLED, task.attempt, actor=person, detail=reason))


def cancel_of_source(changes: Changes, source_id: int, person: str) -> int:
    """Cancel the open tasks of a source that is about to be deleted; returns how many."""
    open_ones = sqlalchemy.select(_tasks.c.id).where(_tasks.c.source_id == source_id, is_open(_tasks.c.status))
    tasks = changes.hold(changes.connection.scalars(open_ones).all())
    for task in tasks.values():
        cancel_held(changes, task, person, Reason.SOURCE_DELETED)
    return len(tasks)


def retry(engine: sqlalchemy.Engine, ids: Iterable[UUID], person: str, now: float) -> Mapping[UUID, Result]:
    """Make a new task for each that ended without success; the result of each id. Raises errors by kind.

    The old task stays as it ended. A source may have one open task of a type, so of several only the first is made.
    """
    wanted = [*dict.fromkeys(ids)]
    with changing(engine, now, "the tasks to be tried again") as changes:
        tasks = changes.hold(wanted)
        sources, busy = _sources_of(changes, tasks.values())
        found: dict[UUID, Result] = {}
        again: dict[tuple[str, int], list[Wanted]] = {}
        for each in wanted:
            task = tasks.get(each)
            refused = _refusal(task, Action.RETRY) or _refusal_of_source(task, sources, busy)
            if refused or task is None or task.source_id is None:
                found[each] = Result(refused)
                continue
            busy.add((task.source_id, task.task_type_id))
            again.setdefault((task.parser, task.task_type_id), []).append(_again(task, sources[task.source_id][0]))
            changes.note(
                Event(task.id, now, task.status, task.attempt, actor=person, detail="tried again as a new task")
            )
        for tries in again.values():
            insert_group(changes, tries, Cause.RETRY)
            found |= {each.retry_of: Result(task_id=each.id) for each in tries if each.retry_of}
        return {each: found[each] for each in wanted}


def _refusal(task: HeldTask | None, action: Action) -> str:
    if task is None:
        return "there is no such task"
    if action in ALLOWED[task.status]:
        return ""
    allowed = ", ".join(f"`{status}`" for status, actions in ALLOWED.items() if action in actions)
    return f"the task is `{task.status}`; {action} is for {allowed}"


def _refusal_of_source(
    task: HeldTask | None, sources: Mapping[int, tuple[str, str]], busy: set[tuple[int, int]]
) -> str:
    if task is None or task.source_id is None or task.source_id not in sources:
        return "its source was deleted"
    if (parser := sources[task.source_id][1]) != task.parser:
        return f"its source has the parser `{parser}` now, and the task is of `{task.parser}`"
    if (task.source_id, task.task_type_id) in busy:
        return "the source has an open task of this type"
    return ""


def _sources_of(changes: Changes, tasks: Iterable[HeldTask]) -> tuple[dict[int, tuple[str, str]], set[tuple[int, int]]]:
    """The name and parser of the sources of these tasks, and which source has an open task of which type."""
    ids = {task.source_id for task in tasks if task.source_id is not None}
    read = sqlalchemy.select(_sources.c.id, _sources.c.name, _sources.c.parser).where(_sources.c.id.in_(ids))
    busy = sqlalchemy.select(_tasks.c.source_id, _tasks.c.task_type_id)
    busy = busy.where(_tasks.c.source_id.in_(ids), is_open(_tasks.c.status))
    connection = changes.connection
    return (
        {row.id: (row.name, row.parser) for row in connection.execute(read)},
        {(row.source_id, row.task_type_id) for row in connection.execute(busy)},
    )


def _again(task: HeldTask, source_name: str) -> Wanted:
    return Wanted(
        source_id=cast(int, task.source_id),
        source_name=source_name,
        parser=task.parser,
        task_type_id=task.task_type_id,
        deadline_seconds=task.deadline_at - task.created_at,
        priority=task.priority,
        attempt=task.attempt + 1,
        retry_of=task.id,
    )
