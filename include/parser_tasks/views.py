"""What is shown of sources, groups and tasks. Times are seconds since the epoch, 0 where they have not come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from include.parser_tasks import schedule
from include.parser_tasks.models import ALLOWED, OPEN, Action, Reason, Status


@dataclass(frozen=True)
class TaskRow:
    """A task."""

    id: UUID
    group_id: int
    source_id: int | None
    source_name: str
    parser: str
    task_type: str
    status: Status
    attempt: int
    priority: int
    retry_of: UUID | None
    created_at: float
    deadline_at: float
    queued_at: float
    started_at: float
    ended_at: float
    topic: str
    partition: int | None
    offset: int | None
    worker: str
    error: str
    reason: str
    statistics: Mapping[str, Any]

    @property
    def actions(self) -> tuple[Action, ...]:
        """What its status allows."""
        return tuple(action for action in Action if action in ALLOWED[self.status])

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in OPEN

    def is_late(self, now: float) -> bool:
        """Whether it is past its deadline and open, or was cancelled for that."""
        return self.deadline_at <= now if self.is_open else self.reason == Reason.EXPIRED


@dataclass(frozen=True)
class EventRow:
    """What happened to a task; `refused` says why a message changed nothing, "" where it did."""

    id: int
    task_id: UUID | None
    at: float
    status: str
    attempt: int | None
    refused: str
    actor: str
    detail: str
    partition: int | None
    offset: int | None


@dataclass(frozen=True)
class TaskView:
    """A task, what happened to it, and every try of the same: those before it, itself, those after it."""

    task: TaskRow
    events: tuple[EventRow, ...]
    tries: tuple[TaskRow, ...]


@dataclass(frozen=True)
class GroupRow:
    """Tasks that were created together. `late` are those of `cancelled` that expired."""

    id: int
    parser: str
    task_type: str
    cause: str
    total: int
    done: int
    failed: int
    cancelled: int
    late: int
    created_at: float
    deadline_at: float
    ended_at: float

    @property
    def open(self) -> int:
        """Tasks that have not ended."""
        return self.total - self.done - self.failed - self.cancelled

    @property
    def status(self) -> str:
        """`open`, `done`, or `problems` where it ended with tasks that failed or were late."""
        if not self.ended_at:
            return "open"
        return "problems" if self.failed or self.late else "done"


@dataclass(frozen=True)
class TaskTypeRow:
    """A kind of work."""

    id: int
    name: str
    title: str


@dataclass(frozen=True)
class LastTask:
    """How the newest task of a source and type is."""

    id: UUID
    status: Status
    reason: str
    error: str
    created_at: float
    ended_at: float


@dataclass(frozen=True)
class ScheduleRow:
    """That a source has tasks of a type, and how the last one went; None where there was none."""

    id: int
    source_id: int
    source_name: str
    parser: str
    task_type: str
    schedule: str
    priority: int
    deadline_seconds: float
    active: bool
    due_at: float
    last: LastTask | None = None

    @property
    def words(self) -> str:
        """The schedule as people say it."""
        return schedule.words(self.schedule)


@dataclass(frozen=True)
class SourceRow:
    """A source with its schedules; `failures` in a row since the last task that was done."""

    id: int
    name: str
    parser: str
    address: str
    settings: Mapping[str, Any]
    active: bool
    failures: int
    created_at: float
    schedules: tuple[ScheduleRow, ...] = ()


@dataclass(frozen=True)
class Bucket:
    """What became of the tasks that were created from `at` on, for `seconds`; `cancelled` are without the late ones."""

    at: float
    seconds: float
    total: int = 0
    done: int = 0
    failed: int = 0
    late: int = 0
    cancelled: int = 0

    @property
    def open(self) -> int:
        """Tasks that have not ended."""
        return self.total - self.done - self.failed - self.late - self.cancelled


@dataclass(frozen=True)
class ParserCounts:
    """How many tasks of a parser are in each status now."""

    parser: str
    counts: Mapping[Status, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Tasks that no worker has begun, which count against the backlog limit."""
        return self.counts.get(Status.CREATED, 0) + self.counts.get(Status.QUEUED, 0)
