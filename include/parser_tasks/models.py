"""What a task can be: its statuses, why it was cancelled, what may be done with it, what a worker says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID


class Status(StrEnum):
    """created -> queued -> in_progress -> done | failed; any open one -> cancelled."""

    CREATED = "created"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


# In the order in which a task passes them.
OPEN = (Status.CREATED, Status.QUEUED, Status.IN_PROGRESS)
ENDED = (Status.DONE, Status.FAILED, Status.CANCELLED)
# What a worker may report of a task.
REPORTED = (Status.IN_PROGRESS, *ENDED)


class Reason(StrEnum):
    """Why a task was cancelled, could not be sent, or why its source will not be asked again."""

    EXPIRED = "expired"
    BY_A_PERSON = "cancelled by a person"
    SOURCE_DELETED = "source deleted"
    SOURCE_GONE = "source gone"
    TOO_LARGE = "too large for Kafka"


class Cause(StrEnum):
    """Who had a group of tasks made."""

    SCHEDULE = "schedule"
    REQUEST = "request"
    RETRY = "retry"


class Action(StrEnum):
    """What a person may do with a task."""

    CANCEL = "cancel"
    RETRY = "retry"


# The one table of what each status allows.
ALLOWED: Mapping[Status, frozenset[Action]] = {
    Status.CREATED: frozenset({Action.CANCEL}),
    Status.QUEUED: frozenset({Action.CANCEL}),
    Status.IN_PROGRESS: frozenset({Action.CANCEL}),
    Status.DONE: frozenset(),
    Status.FAILED: frozenset({Action.RETRY}),
    Status.CANCELLED: frozenset({Action.RETRY}),
}


class Refusal(StrEnum):
    """Why a status message changed nothing. Those of `DEAD` go to the dead letter queue as well."""

    DUPLICATE = "duplicate"
    BEHIND = "behind"  # the task is further already
    ENDED = "task has ended"
    OLD_ATTEMPT = "old attempt"
    UNKNOWN_ATTEMPT = "unknown attempt"
    UNKNOWN_TASK = "unknown task"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too large"


DEAD = frozenset({Refusal.UNKNOWN_ATTEMPT, Refusal.UNKNOWN_TASK, Refusal.UNREADABLE, Refusal.TOO_LARGE})


@dataclass(frozen=True)
class Report:
    """What a worker says of a task. `at` is its clock, in seconds since the epoch."""

    task_id: UUID
    attempt: int
    status: Status
    at: float
    worker: str = ""
    error: str = ""
    reason: str = ""
    statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Position:
    """Where a message stands in Kafka."""

    topic: str
    partition: int
    offset: int
