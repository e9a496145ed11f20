"""What the tests of the parser tasks share: a database, SQLite and Postgres in turn, with sources and a clock."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy

from include.common.database import connect
from include.common.schema import COMMON, Branch, migrate
from include.parser_tasks import creation, outbox, statuses, tables
from include.parser_tasks.broker import Incoming, OutgoingMessage, Sent
from include.parser_tasks.messages import read_task, write_status
from include.parser_tasks.models import Position, Report, Status

NOON = 1_764_158_400.0  # 2025-11-26 12:00:00 UTC
BRANCHES = (COMMON, Branch("parser_tasks", tables.Base.metadata, Path(tables.__file__).with_name("migrations")))
TOPICS = {"rss": "rss_parser_tasks", "vk": "vk_parser_tasks", "youtube": "youtube_parser_tasks"}
# In an order in which no reference is broken.
TABLES = (
    "task_events",
    "tasks",
    "task_groups",
    "source_task_types",
    "sources",
    "task_totals",
    "status_totals",
    "leases",
)
COUNTED = ("done", "failed", "cancelled")


@dataclass
class Kafka:
    """A broker in memory: what was sent, how many more messages it takes before it is away, and how large ones."""

    topics: dict[str, list[OutgoingMessage]] = field(default_factory=dict)
    takes: int = 1_000_000
    most_bytes: int = 1_048_576

    def send(self, messages: Sequence[OutgoingMessage], seconds: float) -> list[Sent]:
        """As `Producer.send`."""
        return [self._send(each) for each in messages]

    def _send(self, message: OutgoingMessage) -> Sent:
        if len(message.value) > self.most_bytes:
            return Sent(message.tag, None, "the message is too large", is_final=True)
        if self.takes <= 0:
            return Sent(message.tag, None, "not acknowledged")
        self.takes -= 1
        kept = self.topics.setdefault(message.topic, [])
        kept.append(message)
        return Sent(message.tag, Position(message.topic, 0, len(kept) - 1))

    def sent(self) -> Counter[UUID]:
        """How often each task was sent."""
        return Counter(read_task(each.value).task_id for kept in self.topics.values() for each in kept)


@dataclass
class World:
    """A database with sources, a broker and a time."""

    engine: sqlalchemy.Engine
    kafka: Kafka = field(default_factory=Kafka)
    now: float = NOON
    _offset: int = 0

    def clock(self) -> float:
        """The time."""
        return self.now

    def source(self, name: str = "a feed", parser: str = "rss", due_at: float = NOON, **of_type: Any) -> int:
        """A source with tasks of the type `latest`, due once an hour."""
        given = {"schedule": "1 hour", "deadline_seconds": 600.0, "active": True, "priority": 0} | of_type
        new = {"name": name, "parser": parser, "address": f"http://{name}", "settings": {}, "created_at": NOON}
        latest = sqlalchemy.select(tables.TaskType.id).where(tables.TaskType.name == "latest")
        with self.engine.begin() as connection:
            insert = sqlalchemy.insert(tables.Source).values(**new, active=True).returning(tables.Source.id)
            source = int(connection.execute(insert).scalar_one())
            of_source = {"source_id": source, "task_type_id": connection.scalar(latest), "due_at": due_at}
            connection.execute(sqlalchemy.insert(tables.SourceTaskType).values(**of_source, **given))
        return source

    def set(self, model: Any, **values: Any) -> None:
        """Set values in every row of a table."""
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.update(model).values(**values))

    def create(self, most_waiting: int = 1000, **choice: Any) -> creation.Created:
        """Create tasks of RSS feeds."""
        return creation.create(self.engine, ["rss"], most_waiting, self.clock, creation.Choice(**choice))[0]

    def publish(self) -> outbox.Published:
        """Send what is created."""
        return outbox.publish(self.engine, lambda: self.kafka, TOPICS, self.clock)

    def queued(self, count: int = 1, **of_type: Any) -> list[UUID]:
        """So many tasks that wait for a worker, each of a source of its own, by the sources' names."""
        for number in range(count):
            self.source(f"feed {number}", **of_type)
        self.create()
        self.publish()
        return [row["id"] for row in sorted(self.tasks(), key=lambda row: row["source_name"])]

    def message(self, value: bytes | None) -> Incoming:
        """A status message as it is read."""
        self._offset += 1
        return Incoming(Position("task_statuses", 0, self._offset), None, value, self.now)

    def report(self, task_id: UUID, status: Status, attempt: int = 1, **more: Any) -> Incoming:
        """What a worker says of a task."""
        report = Report(task_id, attempt, status, more.pop("at", self.now), worker="worker:1", **more)
        return self.message(write_status(report))

    def apply(self, *messages: Incoming) -> statuses.Applied:
        """Apply a bulk."""
        return statuses.apply(self.engine, messages, self.now)

    def rows(self, model: Any) -> list[dict[str, Any]]:
        """A table, by its first key."""
        table = model.__table__
        with self.engine.connect() as connection:
            found = connection.execute(sqlalchemy.select(table).order_by(*table.primary_key))
            return [dict(row) for row in found.mappings()]

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks, in the order of their creation."""
        return self.rows(tables.Task)

    def statuses(self) -> list[str]:
        """Of all tasks."""
        return [row["status"] for row in self.tasks()]

    def events(self) -> list[dict[str, Any]]:
        """What happened."""
        return self.rows(tables.TaskEvent)

    def groups(self) -> list[dict[str, Any]]:
        """All groups."""
        return self.rows(tables.TaskGroup)

    def totals(self) -> dict[str, tuple[int, int]]:
        """How many tasks came to each status, and left it."""
        return {row["status"]: (row["reached"], row["left"]) for row in self.rows(tables.TaskTotal)}

    def refusals(self) -> dict[str, int]:
        """How many messages were refused, by reason."""
        found = {row["result"]: row["count"] for row in self.rows(tables.StatusTotal)}
        found.pop("applied", None)
        return found

    def check_counts(self) -> None:
        """Every group counts what its tasks are, and so do the totals."""
        tasks = self.tasks()
        for group in self.groups():
            mine = [task for task in tasks if task["group_id"] == group["id"]]
            found = Counter(task["status"] for task in mine)
            assert group["total"] == len(mine)
            assert [group[name] for name in COUNTED] == [found[name] for name in COUNTED]
            assert group["late"] == sum(task["reason"] == "expired" for task in mine)
            assert bool(group["ended_at"]) == (sum(found[name] for name in COUNTED) == len(mine))
        now = Counter(task["status"] for task in tasks)
        assert {status: reached - left for status, (reached, left) in self.totals().items() if reached > left} == now


@pytest.fixture(scope="session")
def parser_tasks_url(new_database) -> str:
    """The URL of a database with the tables, SQLite and Postgres in turn."""
    url = new_database()
    migrate(url, branches=BRANCHES, data=True)
    return url


def cleared(url: str) -> World:
    """The database with nothing in it but the types of tasks."""
    engine = connect(url)
    with engine.begin() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"DELETE FROM {table}")
    return World(engine)


class Current:
    """The service of the test that runs, for an application that is built once: that takes half a second."""

    service: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)


@pytest.fixture(scope="module")
def current() -> Current:
    """Set by each test's `service`."""
    return Current()


@pytest.fixture
def world(parser_tasks_url) -> Iterator[World]:
    """A world with nothing in it."""
    world = cleared(parser_tasks_url)
    yield world
    world.engine.dispose()
