"""What the page and the JSON API do with parser tasks; the same sentences for both."""

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Protocol, TypeVar
from uuid import UUID

import sqlalchemy

from include.common.errors import BadInputError, HeadraceError, NotFoundError, quoted
from include.parser_tasks import actions, catalog, creation, expiry, outbox, queries, schedule
from include.parser_tasks.actions import Result
from include.parser_tasks.broker import OutgoingMessage, Sent
from include.parser_tasks.broker_admin import Backlog
from include.parser_tasks.catalog import Catalog, ScheduleGiven, SourceGiven, TaskTypeGiven
from include.parser_tasks.creation import Choice, Created
from include.parser_tasks.models import Action, Cause, Refusal
from include.parser_tasks.paging import FIRST_PAGE, Asked, Page
from include.parser_tasks.queries import MOST_IDS, GroupFilter, ScheduleFilter, SourceFilter, TaskFilter
from include.parser_tasks.settings import KafkaSettings, Settings
from include.parser_tasks.tables import SCHEDULE_LENGTH
from include.parser_tasks.views import (
    Bucket,
    EventRow,
    GroupRow,
    ParserCounts,
    ScheduleRow,
    SourceRow,
    TaskRow,
    TaskTypeRow,
    TaskView,
)

Row = TypeVar("Row")
# Seconds: for which a request waits for the broker, and for which what it said of its topics is shown again.
PATIENCE, KEPT = 8.0, 5.0
# Tasks of one transaction, for which others wait.
BATCH = 2000
# The consumer group of a parser's workers, where they were given no other.
WORKERS = "{}_parsers"
NO_BROKER = "No Kafka broker is named (KAFKA_BOOTSTRAP_SERVERS or the connection `kafka_default`)."


class Sender(outbox.Sender, Protocol):
    """What `include.parser_tasks.broker.Producer` is."""

    def close(self) -> None:
        """No more is sent."""


class Asker(Protocol):
    """What `include.parser_tasks.broker_admin.Admin` is."""

    def backlog(self, group: str, topic: str) -> Backlog:
        """What a group has not read."""

    def groups_of(self, topic: str, known: Iterable[str] = ()) -> Mapping[str, int]:
        """The lag of each group of a topic."""

    def close(self) -> None:
        """Nothing more is asked."""


@dataclass(frozen=True)
class Dispatched:
    """Whether what is `created` was sent: how many tasks, or why they wait."""

    sent: int = 0
    waiting: str = ""


@dataclass(frozen=True)
class Made:
    """What a request created, by parser, and whether it was sent; `switched_off` are sources that it named in vain."""

    created: tuple[Created, ...]
    dispatched: Dispatched
    switched_off: tuple[int, ...] = ()


@dataclass(frozen=True)
class Bulk:
    """What came of each task; `after` is the last of them where more of the filter are left, which are older."""

    results: Mapping[UUID, Result]
    after: UUID | None = None
    dispatched: Dispatched | None = None

    @property
    def done(self) -> int:
        """How many were not refused."""
        return sum(not each.refused for each in self.results.values())


@dataclass(frozen=True)
class Expired:
    """How many tasks were cancelled as expired; `held_back` says why some past their deadline may be left."""

    cancelled: int
    held_back: str = ""


@dataclass(frozen=True)
class Topic:
    """How many messages of a topic each consumer group has not read; `parser` is "" for the statuses.

    `oldest` is when the first of them was sent, of each group that has not read all.
    """

    name: str
    parser: str
    groups: Mapping[str, int]
    oldest: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Topics:
    """What the broker says at `at`; `trouble` where it does not, or not of all topics."""

    at: float
    topics: tuple[Topic, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Dictionary:
    """What there is to choose from."""

    parsers: Mapping[str, str]  # parser -> its topic
    task_types: tuple[TaskTypeRow, ...]


@dataclass
class Service:
    """Everything that routes call. `engine` and `settings` are asked each time; the factories make a client each."""

    engine: Callable[[], sqlalchemy.Engine]
    settings: Callable[[], Settings]
    producer: Callable[[KafkaSettings], Sender]
    admin: Callable[[KafkaSettings, float], Asker]
    clock: Callable[[], float] = time.time
    _topics: Topics = field(default_factory=lambda: Topics(float("-inf")))
    _asking: Lock = field(default_factory=Lock)

    # What is there.

    def tasks(self, wanted: TaskFilter, asked: Asked = FIRST_PAGE) -> Page[TaskRow]:
        """A page of tasks, the newest first."""
        return queries.tasks(self.engine(), wanted, self.clock(), asked)

    def task(self, task_id: UUID) -> TaskView:
        """A task with its history; raises `NotFoundError`."""
        return _found(queries.task(self.engine(), task_id), f"there is no task {task_id}")

    def refusals(self, wanted: Collection[Refusal], asked: Asked = FIRST_PAGE) -> Page[EventRow]:
        """A page of the status messages that were refused for one of these reasons, the newest first."""
        return queries.refusals(self.engine(), wanted, asked)

    def tasks_of(self, ids: Sequence[UUID]) -> list[TaskRow]:
        """Those of these tasks that there are."""
        return queries.tasks_of(self.engine(), ids)

    def groups(self, wanted: GroupFilter, asked: Asked = FIRST_PAGE) -> Page[GroupRow]:
        """A page of groups, the newest first."""
        return queries.groups(self.engine(), wanted, asked)

    def group(self, group_id: int) -> GroupRow:
        """A group; raises `NotFoundError`."""
        return _found(queries.group(self.engine(), group_id), f"there is no task group {group_id}")

    def sources(self, wanted: SourceFilter, asked: Asked = FIRST_PAGE) -> Page[SourceRow]:
        """A page of sources with their schedules, by name."""
        return queries.sources(self.engine(), wanted, asked)

    def source(self, source_id: int) -> SourceRow:
        """A source with its schedules; raises `NotFoundError`."""
        return _found(queries.source(self.engine(), source_id), f"there is no source {source_id}")

    def schedules(self, wanted: ScheduleFilter, asked: Asked = FIRST_PAGE) -> Page[ScheduleRow]:
        """A page of schedules."""
        return queries.schedules(self.engine(), wanted, asked)

    def schedule(self, schedule_id: int) -> ScheduleRow:
        """A schedule; raises `NotFoundError`."""
        return _found(queries.schedule(self.engine(), schedule_id), f"there is no schedule {schedule_id}")

    def task_types(self) -> list[TaskTypeRow]:
        """All types of tasks, by name."""
        return queries.task_types(self.engine())

    def task_type_page(self, asked: Asked = FIRST_PAGE) -> Page[TaskTypeRow]:
        """A page of the types of tasks, by name."""
        return queries.task_type_page(self.engine(), asked)

    def task_type(self, type_id: int) -> TaskTypeRow:
        """A type of tasks; raises `NotFoundError`."""
        found = next((each for each in self.task_types() if each.id == type_id), None)
        return _found(found, f"there is no task type {type_id}")

    def dictionary(self) -> Dictionary:
        """What there is to choose from."""
        return Dictionary(dict(self.settings().kafka.topics), tuple(self.task_types()))

    def last_day(self, buckets: int = 48, parser: str = "") -> list[Bucket]:
        """What became of the tasks of the last 24 hours, for a chart: its parts begin at round times of the day."""
        width = queries.DAY / buckets
        return queries.last_day(self.engine(), math.ceil(self.clock() / width) * width, buckets, parser)

    def counts(self) -> list[ParserCounts]:
        """How many tasks of each parser are in each status now."""
        return queries.counts(self.engine())

    def topics(self) -> Topics:
        """The lag of each consumer group of each topic; asked of the broker every few seconds at most."""
        with self._asking:
            if not 0 <= self.clock() - self._topics.at < KEPT:
                self._topics = self._ask_topics()
            return self._topics

    def preview(self, text: str, times: int = 5) -> list[datetime]:
        """The next times of a schedule that is set now; raises `BadInputError` for what is none."""
        return schedule.preview(schedule.check(catalog.text("schedule", text, SCHEDULE_LENGTH)), self.clock(), times)

    # What is changed.

    def create_source(self, given: SourceGiven, schedules: Sequence[ScheduleGiven] = ()) -> SourceRow:
        """A new source with its schedules."""
        return self.source(self._catalog().create_source(given, schedules))

    def change_source(self, source_id: int, given: SourceGiven, schedules: Sequence[ScheduleGiven] = ()) -> SourceRow:
        """Change a source, and set these schedules of it."""
        self._catalog().change_source(source_id, given, schedules)
        return self.source(source_id)

    def delete_source(self, source_id: int, person: str) -> int:
        """Delete a source; returns how many open tasks of it were cancelled."""
        return self._catalog().delete_source(source_id, person)

    def create_task_type(self, given: TaskTypeGiven) -> TaskTypeRow:
        """A new type of tasks."""
        return self.task_type(self._catalog().create_task_type(given))

    def change_task_type(self, type_id: int, given: TaskTypeGiven) -> TaskTypeRow:
        """Change a type of tasks."""
        self._catalog().change_task_type(type_id, given)
        return self.task_type(type_id)

    def delete_task_type(self, type_id: int) -> None:
        """Delete a type that nothing uses."""
        self._catalog().delete_task_type(type_id)

    def create_schedule(self, source_id: int, given: ScheduleGiven) -> ScheduleRow:
        """A source has tasks of one more type."""
        return self.schedule(self._catalog().create_schedule(source_id, given))

    def change_schedule(self, schedule_id: int, given: ScheduleGiven) -> ScheduleRow:
        """Change a schedule."""
        self._catalog().change_schedule(schedule_id, given)
        return self.schedule(schedule_id)

    def delete_schedule(self, schedule_id: int) -> None:
        """A source has no more tasks of a type."""
        self._catalog().delete_schedule(schedule_id)

    def create_and_dispatch(
        self, parser: str = "", task_type: str = "", source_ids: Collection[int] = (), only_due: bool = True
    ) -> Made:
        """Create the tasks that are due, or of these sources or of this type, and send them."""
        settings = self.settings()
        topics = settings.kafka.topics
        if parser and parser not in topics:
            raise BadInputError(f"parser is `{parser[:60]}`; registered are {quoted(tuple(sorted(topics)))}")
        types = [each.name for each in self.task_types()]
        if task_type and task_type not in types:
            raise BadInputError(f"task_type is `{task_type[:60]}`; there are {quoted(tuple(types))}")
        switched_on = queries.switched_on(self.engine(), source_ids)
        if missing := sorted(set(source_ids) - set(switched_on)):
            raise BadInputError(f"there are no sources {quoted(tuple(map(str, missing)))}")
        choice = Choice(tuple(source_ids), task_type, only_due, Cause.REQUEST)
        parsers = [parser] if parser else sorted(topics)
        made = creation.create(self.engine(), parsers, settings.backlog_limit, self.clock, choice)
        off = tuple(each for each, is_on in switched_on.items() if not is_on)
        return Made(tuple(made), self.dispatch(), off)

    def dispatch(self) -> Dispatched:
        """Send every task that is `created`; where that is not possible they wait, and it says why."""
        kafka = self.settings().kafka
        if not kafka.bootstrap:
            return Dispatched(waiting=NO_BROKER)
        producers: list[Sender] = []

        def connected() -> outbox.Sender:
            producers.append(self.producer(kafka))
            return _Hasty(producers[-1])

        try:
            found = outbox.publish(self.engine(), connected, kafka.topics, self.clock)
        except HeadraceError as error:
            return Dispatched(waiting=str(error))
        finally:
            for producer in producers:
                producer.close()
        return Dispatched(found.sent, "Somebody else is sending them now." if found.elsewhere else "")

    def cancel_expired(self) -> Expired:
        """Cancel what is past its deadline, as far as all statuses of before it are read."""
        kafka, now = self.settings().kafka, self.clock()
        if not kafka.bootstrap:
            return Expired(expiry.cancel_expired(self.engine(), now, now))
        held_back, known, oldest = "", True, None
        try:
            with self._admin(kafka) as admin:
                oldest = admin.backlog(kafka.group, kafka.status_topic).oldest_unread_at
        except HeadraceError as error:
            known, held_back = False, f"The broker was not asked what is unread: {error}"
        if oldest is not None:
            held_back = "Statuses wait to be read; tasks are cancelled up to the oldest of them."
        until = expiry.cutoff(now, oldest, known)
        return Expired(expiry.cancel_expired(self.engine(), until, now), held_back)

    def cancel(self, ids: Iterable[UUID], person: str) -> Bulk:
        """Cancel these tasks; the result of each."""
        return Bulk(self._in_batches(Action.CANCEL, ids, person))

    def retry(self, ids: Iterable[UUID], person: str) -> Bulk:
        """Make these tasks anew, and send them; the result of each."""
        found = Bulk(self._in_batches(Action.RETRY, ids, person))
        return Bulk(found.results, dispatched=self.dispatch() if found.done else None)

    def bulk(self, action: Action, wanted: TaskFilter, person: str) -> Bulk:
        """Do it with all tasks of a filter whose status allows it, `MOST_IDS` at once; the result of each."""
        ids, is_more = queries.task_ids(self.engine(), wanted, self.clock(), action, MOST_IDS)
        found = self.cancel(ids, person) if action is Action.CANCEL else self.retry(ids, person)
        return Bulk(found.results, ids[-1] if is_more else None, found.dispatched)

    def _in_batches(self, action: Action, ids: Iterable[UUID], person: str) -> dict[UUID, Result]:
        act = actions.cancel if action is Action.CANCEL else actions.retry
        wanted, found = [*dict.fromkeys(ids)], dict[UUID, Result]()
        for first in range(0, len(wanted), BATCH):
            found |= act(self.engine(), wanted[first : first + BATCH], person, self.clock())
        return found

    def _catalog(self) -> Catalog:
        return Catalog(self.engine(), self.settings().kafka.topics, self.clock())

    def _ask_topics(self) -> Topics:
        kafka, found = self.settings().kafka, list[Topic]()
        if not kafka.bootstrap:
            return Topics(self.clock(), trouble=NO_BROKER)
        try:
            with self._admin(kafka) as admin:
                for parser, topic in kafka.topics.items():
                    found.append(_topic(admin, topic, parser, WORKERS.format(parser)))
                found.append(_topic(admin, kafka.status_topic, "", kafka.group))
        except HeadraceError as error:
            return Topics(self.clock(), tuple(found), str(error))
        return Topics(self.clock(), tuple(found))

    @contextmanager
    def _admin(self, kafka: KafkaSettings) -> Iterator[Asker]:
        admin = self.admin(kafka, PATIENCE)
        try:
            yield admin
        finally:
            admin.close()


def _topic(admin: Asker, name: str, parser: str, known: str) -> Topic:
    groups = admin.groups_of(name, [known])
    oldest = {group: admin.backlog(group, name).oldest_unread_at for group, lag in groups.items() if lag}
    return Topic(name, parser, groups, {group: at for group, at in oldest.items() if at is not None})


@dataclass(frozen=True)
class _Hasty:
    """A sender for a request, which cannot wait as long as a DAG does."""

    sender: Sender

    def send(self, messages: Sequence[OutgoingMessage], seconds: float) -> list[Sent]:
        return self.sender.send(messages, min(seconds, PATIENCE))


def _found(row: Row | None, sentence: str) -> Row:
    if row is None:
        raise NotFoundError(sentence)
    return row
