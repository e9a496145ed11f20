"""The tables of the parser tasks. Times are seconds since the epoch."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from include.common.database import NAMING_CONVENTION
from include.parser_tasks.models import OPEN

NAME_LENGTH = 200
ADDRESS_LENGTH = 2000
SCHEDULE_LENGTH = 200
STATUS_LENGTH = 20
REASON_LENGTH = 40
TOPIC_LENGTH = 249  # Kafka's own limit
# SQLite counts up by itself only where the type is INTEGER.
BIG = BigInteger().with_variant(Integer, "sqlite")
IS_OPEN = text("status IN ({})".format(", ".join(f"'{status}'" for status in OPEN)))

IS_RETRY = text("retry_of IS NOT NULL")
HAS_ERROR = text("error <> ''")
HAS_WORKER = text("worker <> ''")
IS_REFUSED = text("refused <> ''")


def is_open(status: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a task is open, in the words of the indexes: SQLite uses them only where it finds the same ones."""
    return status.in_([literal_column(f"'{each}'") for each in OPEN])


class Base(DeclarativeBase):
    """The tables of the parser tasks."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Source(Base):
    """What is parsed. `address` is a URL or the id that the service has for it.

    `failures` counts the tasks that failed or were late since the last one that was done; `alarmed_at` is when a person
    was told of them, 0 where nobody was.
    """

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("parser", "address", name="sources_parser_address_key"),)

    id: Mapped[int] = mapped_column(BIG, primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    parser: Mapped[str] = mapped_column(String(NAME_LENGTH))
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    active: Mapped[bool] = mapped_column(Boolean)
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    alarmed_at: Mapped[float] = mapped_column(Float(53), server_default="0")
    created_at: Mapped[float] = mapped_column(Float(53))


class TaskType(Base):
    """A kind of work that a parser can do for a source."""

    __tablename__ = "task_types"

    id: Mapped[int] = mapped_column(BIG, primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    title: Mapped[str] = mapped_column(Text, server_default=text("''"))


class SourceTaskType(Base):
    """That a source has tasks of a type: when, how urgent, and for how many seconds a task may take.

    `due_at` is when the next one is to be created.
    """

    __tablename__ = "source_task_types"
    __table_args__ = (
        UniqueConstraint("source_id", "task_type_id", name="source_task_types_source_id_task_type_id_key"),
        Index("source_task_types_due_at_idx", "due_at"),
        CheckConstraint("deadline_seconds > 0", name="deadline_seconds"),
    )

    id: Mapped[int] = mapped_column(BIG, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    task_type_id: Mapped[int] = mapped_column(ForeignKey("task_types.id", ondelete="RESTRICT"), index=True)
    schedule: Mapped[str] = mapped_column(String(SCHEDULE_LENGTH))
    priority: Mapped[int] = mapped_column(Integer, server_default="0")
    deadline_seconds: Mapped[float] = mapped_column(Float(53))
    active: Mapped[bool] = mapped_column(Boolean)
    due_at: Mapped[float] = mapped_column(Float(53))


class TaskGroup(Base):
    """Tasks of one parser and type that were created together; it has ended when all of them have.

    `cause` says who made it: the schedule, a request, a retry. `late` are those of `cancelled` that expired.
    `told_at` is when a person was told how it ended, 0 where nobody was.
    """

    __tablename__ = "task_groups"
    __table_args__ = (
        Index("task_groups_created_at_idx", "created_at"),
        Index("task_groups_open_idx", "id", sqlite_where=text("ended_at = 0"), postgresql_where=text("ended_at = 0")),
        Index(
            "task_groups_untold_idx", "ended_at", sqlite_where=text("told_at = 0"), postgresql_where=text("told_at = 0")
        ),
    )

    id: Mapped[int] = mapped_column(BIG, primary_key=True)
    parser: Mapped[str] = mapped_column(String(NAME_LENGTH))
    task_type_id: Mapped[int] = mapped_column(ForeignKey("task_types.id", ondelete="RESTRICT"), index=True)
    cause: Mapped[str] = mapped_column(String(REASON_LENGTH))
    total: Mapped[int] = mapped_column(BigInteger, server_default="0")
    done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    failed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cancelled: Mapped[int] = mapped_column(BigInteger, server_default="0")
    late: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[float] = mapped_column(Float(53))
    deadline_at: Mapped[float] = mapped_column(Float(53))
    ended_at: Mapped[float] = mapped_column(Float(53), server_default="0")
    told_at: Mapped[float] = mapped_column(Float(53), server_default="0")


class Task(Base):
    """One task. Its id is a UUID of version 7, so ids are in the order of creation.

    Of a source and type only one task is open at a time: a unique index says so. `source_name` and `source_id` stay
    readable after the source: the id is null then. A time that has not come is 0.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        Index(
            "tasks_open_key", "source_id", "task_type_id", unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN
        ),
        Index("tasks_open_deadline_at_idx", "deadline_at", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
        Index("tasks_status_idx", "status", "id"),
        Index("tasks_parser_status_idx", "parser", "status", "id"),
        Index("tasks_retry_of_idx", "retry_of", sqlite_where=IS_RETRY, postgresql_where=IS_RETRY),
        Index("tasks_group_id_idx", "group_id", "id"),
        Index("tasks_source_id_idx", "source_id", "id"),
        Index("tasks_task_type_id_idx", "task_type_id", "id"),
        Index("tasks_worker_idx", "worker", "id", sqlite_where=HAS_WORKER, postgresql_where=HAS_WORKER),
        Index("tasks_error_idx", "id", sqlite_where=HAS_ERROR, postgresql_where=HAS_ERROR),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("task_groups.id", ondelete="CASCADE"))
    source_id: Mapped[int | None] = mapped_column(ForeignKey("sources.id", ondelete="SET NULL"))
    source_name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    parser: Mapped[str] = mapped_column(String(NAME_LENGTH))
    task_type_id: Mapped[int] = mapped_column(ForeignKey("task_types.id", ondelete="RESTRICT"))
    status: Mapped[str] = mapped_column(String(STATUS_LENGTH))
    attempt: Mapped[int] = mapped_column(Integer)
    priority: Mapped[int] = mapped_column(Integer)
    retry_of: Mapped[UUID | None] = mapped_column(Uuid)
    created_at: Mapped[float] = mapped_column(Float(53))
    deadline_at: Mapped[float] = mapped_column(Float(53))
    queued_at: Mapped[float] = mapped_column(Float(53), server_default="0")
    started_at: Mapped[float] = mapped_column(Float(53), server_default="0")
    ended_at: Mapped[float] = mapped_column(Float(53), server_default="0")
    topic: Mapped[str] = mapped_column(String(TOPIC_LENGTH), server_default=text("''"))
    partition: Mapped[int | None] = mapped_column(Integer)
    offset: Mapped[int | None] = mapped_column(BigInteger)
    worker: Mapped[str] = mapped_column(String(NAME_LENGTH), server_default=text("''"))
    error: Mapped[str] = mapped_column(Text, server_default=text("''"))
    reason: Mapped[str] = mapped_column(String(REASON_LENGTH), server_default=text("''"))
    statistics: Mapped[dict[str, Any]] = mapped_column(JSON)


class TaskEvent(Base):
    """What happened to a task: a status message that was applied or refused, or a change of our own.

    `refused` says why a message changed nothing, and is empty where it did. Messages that name no task that there is
    are kept too, so `task_id` refers to nothing.
    """

    __tablename__ = "task_events"
    __table_args__ = (
        Index("task_events_task_id_idx", "task_id", "id"),
        Index("task_events_refused_idx", "refused", "id", sqlite_where=IS_REFUSED, postgresql_where=IS_REFUSED),
    )

    id: Mapped[int] = mapped_column(BIG, primary_key=True)
    task_id: Mapped[UUID | None] = mapped_column(Uuid)
    at: Mapped[float] = mapped_column(Float(53))
    status: Mapped[str] = mapped_column(String(STATUS_LENGTH))
    attempt: Mapped[int | None] = mapped_column(Integer)
    refused: Mapped[str] = mapped_column(String(REASON_LENGTH), server_default=text("''"))
    actor: Mapped[str] = mapped_column(String(NAME_LENGTH), server_default=text("''"))
    detail: Mapped[str] = mapped_column(Text, server_default=text("''"))
    partition: Mapped[int | None] = mapped_column(Integer)
    offset: Mapped[int | None] = mapped_column(BigInteger)


class TaskTotal(Base):
    """What never falls: how many tasks of a parser and type came to a status, left it, and were in it for how long."""

    __tablename__ = "task_totals"

    parser: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    task_type_id: Mapped[int] = mapped_column(ForeignKey("task_types.id", ondelete="CASCADE"), primary_key=True)
    status: Mapped[str] = mapped_column(String(STATUS_LENGTH), primary_key=True)
    reached: Mapped[int] = mapped_column(BigInteger)
    left: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float] = mapped_column(Float(53))


class StatusTotal(Base):
    """How many status messages came to a result: applied, or refused for a reason; never falls."""

    __tablename__ = "status_totals"

    result: Mapped[str] = mapped_column(String(REASON_LENGTH), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
