"""Status messages are applied: a bulk is one transaction, and each message is an event, applied or refused.

A bulk that is read again changes nothing more: offsets are committed after the transaction, so that happens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy

from include.common.errors import BadInputError
from include.parser_tasks.broker import Incoming
from include.parser_tasks.changes import Changes, Event, HeldTask, changing
from include.parser_tasks.messages import read_status
from include.parser_tasks.models import DEAD, ENDED, Refusal, Report, Status
from include.parser_tasks.states import refused

# Bytes of a status message that is read at all.
MOST_BYTES = 1_048_576


@dataclass(frozen=True)
class DeadLetter:
    """A message that nobody will ever be able to apply."""

    message: Incoming
    refusal: Refusal
    detail: str


@dataclass
class Applied:
    """What came of a bulk: how many messages changed a task, how many did not, and those for the dead letter queue."""

    applied: int = 0
    refused: int = 0
    dead: list[DeadLetter] = field(default_factory=list)


def apply(engine: sqlalchemy.Engine, messages: Sequence[Incoming], now: float) -> Applied:
    """Apply a bulk, in the order in which it was read; nothing of it where the database raises an error, by kind."""
    read = [(message, _read(message)) for message in messages]
    result = Applied()
    with changing(engine, now, "the statuses of tasks") as changes:
        tasks = changes.hold(report.task_id for _, report in read if isinstance(report, Report))
        for message, found in read:
            report = found if isinstance(found, Report) else None
            refusal, detail = _take(changes, tasks.get(found.task_id), found) if isinstance(found, Report) else found
            changes.note(_event(message, report, refusal, detail, now))
            if refusal is None:
                result.applied += 1
                continue
            result.refused += 1
            if refusal in DEAD:
                result.dead.append(DeadLetter(message, refusal, detail))
    return result


def _read(message: Incoming) -> Report | tuple[Refusal, str]:
    value = message.value or b""
    if len(value) > MOST_BYTES:
        return Refusal.TOO_LARGE, f"{len(value)} bytes; allowed are {MOST_BYTES}"
    try:
        return read_status(value)
    except BadInputError as error:
        return Refusal.UNREADABLE, str(error)


def _take(changes: Changes, task: HeldTask | None, report: Report) -> tuple[Refusal | None, str]:
    if task is None:
        return Refusal.UNKNOWN_TASK, f"no task has the id `{report.task_id}`"
    if refusal := refused(task.status, task.attempt, report):
        if _started_unheard(task, report, refusal):
            changes.set(task, started_at=min(max(report.at, task.created_at), task.ended_at))
        return refusal, f"the task is {task.status}, attempt {task.attempt}; reported is attempt {report.attempt}"
    values: dict[str, Any] = {"worker": report.worker or task.worker}
    if report.status in ENDED:
        values |= {"error": report.error, "reason": report.reason, "statistics": {**report.statistics}}
    changes.move(task, report.status, report.at, **values)
    return None, report.error


def _started_unheard(task: HeldTask, report: Report, refusal: Refusal) -> bool:
    """Whether a worker's end was heard before its beginning: when it began is worth knowing all the same."""
    late = refusal is Refusal.ENDED and report.status is Status.IN_PROGRESS
    return late and bool(task.worker) and not task.started_at


def _event(message: Incoming, report: Report | None, refusal: Refusal | None, detail: str, now: float) -> Event:
    return Event(
        task_id=report.task_id if report else None,
        at=now,
        status=report.status if report else "",
        attempt=report.attempt if report else None,
        refused=refusal or "",
        actor=report.worker if report else "",
        detail=detail,
        partition=message.position.partition,
        offset=message.position.offset,
    )
