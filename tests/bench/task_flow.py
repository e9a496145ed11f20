"""`make bench CASE=task-flow`: 100,000 parser tasks are created, sent and reported, on Postgres and Kafka.

Each step stands beside its floor, in turns: the same rows by a bare COPY, the same messages by a bare producer, and
for the statuses a bare consumer that reads them, with one bare update of all tasks. Postgres keeps what it is told
(fsync) and Kafka is one node, both on this machine.
"""

import io
import itertools
import json
import os
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import confluent_kafka
import psutil
import sqlalchemy

from include.common.database import new_engine
from include.common.schema import COMMON, Branch, migrate
from include.parser_tasks import creation, inbox, outbox, tables
from include.parser_tasks.broker import Consumer, OutgoingMessage, Producer
from include.parser_tasks.broker_admin import Admin
from include.parser_tasks.messages import write_status
from include.parser_tasks.models import Report, Status
from include.parser_tasks.settings import KafkaSettings
from tests.databases import DURABLE, empty_postgres, running_postgres
from tests.kafka import running_kafka

TASKS = int(os.environ.get("ROWS") or 100_000)
ROUNDS = 3
STEPS = {"create": "created", "publish": "published", "apply": "statuses applied"}
BRANCHES = (COMMON, Branch("parser_tasks", tables.Base.metadata, Path(tables.__file__).with_name("migrations")))
# The floor's table: the same columns and indexes, without references.
FLOOR = "CREATE TABLE floor (LIKE tasks INCLUDING ALL)"
SOURCES = f"""
INSERT INTO sources (name, parser, address, settings, active, created_at)
SELECT 'feed ' || n, 'rss', 'https://example.com/' || n || '/feed.xml', '{{"language": "en"}}', true, 0
FROM generate_series(1, {TASKS}) n
"""
SCHEDULES = """
INSERT INTO source_task_types (source_id, task_type_id, schedule, deadline_seconds, active, due_at)
SELECT sources.id, task_types.id, '1 hour', 3600, true, 0 FROM sources, task_types WHERE task_types.name = 'latest'
"""
FINISH = """
UPDATE floor SET status = 'done', started_at = 1, ended_at = 2, worker = 'bench:1'
FROM json_array_elements_text(CAST(:ids AS json)) AS given(id) WHERE floor.id = CAST(given.id AS uuid)
"""


class Product:
    """Headrace's own way."""

    def __init__(self, engine: sqlalchemy.Engine, kafka: KafkaSettings) -> None:
        self._engine, self._kafka = engine, kafka

    def create(self) -> None:
        """Tasks of all sources, in groups."""
        creation.create(self._engine, self._kafka.topics, TASKS + 1, time.time)

    def publish(self) -> None:
        """All of them, acknowledged and `queued`."""
        found = outbox.publish(self._engine, lambda: Producer(self._kafka), self._kafka.topics, time.time)
        assert found.sent == TASKS, found

    def apply(self) -> None:
        """All statuses, committed."""
        consumer, producer = _Counting(self._kafka), Producer(self._kafka)
        inbox.drain(self._engine, consumer, producer, self._kafka, time.time, lambda: consumer.count < TASKS)
        consumer.close()


class _Counting(Consumer):
    """Knows when everything was read: a reader that waits for more would wait for nothing."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__(kafka, kafka.status_topic)
        self.count = 0

    def read(self, most: int, seconds: float) -> list:
        """As ever."""
        found = super().read(most, seconds)
        self.count += len(found)
        return found


class Floor:
    """The least that has to be done: with the rows and messages of a round before."""

    def __init__(self, engine: sqlalchemy.Engine, kafka: KafkaSettings, rows: list[str], values: list[bytes]) -> None:
        self._engine, self._kafka, self._rows, self._values = engine, kafka, rows, values

    def create(self) -> None:
        """The same rows, as many at a time."""
        for first in range(0, TASKS, creation.BATCH):
            with self._engine.begin() as connection, connection.connection.cursor() as cursor:
                cursor.copy_expert("COPY floor FROM STDIN", io.StringIO("".join(self._rows[first:][: creation.BATCH])))

    def publish(self) -> None:
        """The same messages, all at once."""
        options = {"enable.idempotence": True, "acks": "all", "queue.buffering.max.messages": TASKS}
        producer = confluent_kafka.Producer({"bootstrap.servers": self._kafka.bootstrap, **options})
        for number, value in enumerate(self._values):
            producer.produce("floor", value, str(number))
            producer.poll(0)
        assert producer.flush(60) == 0

    def apply(self) -> None:
        """The same statuses read, their tasks' ids taken from them, and all tasks updated by one statement."""
        options = {"group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self._kafka.bootstrap, **options})
        consumer.subscribe([self._kafka.status_topic])
        count = 0
        while count < TASKS:
            count += len(consumer.consume(1000, 1.0))
        with self._engine.begin() as connection:
            ids = [row.split("\t", 1)[0] for row in self._rows[: TASKS // 2]]
            connection.execute(sqlalchemy.text(FINISH), {"ids": json.dumps(ids)})
        consumer.close()


@contextmanager
def filled() -> Iterator[sqlalchemy.Engine]:
    """A database with sources that are all due."""
    with running_postgres(DURABLE) as server, empty_postgres(server) as url:
        migrate(url, branches=BRANCHES, data=True)
        engine = new_engine(url)
        try:
            with engine.begin() as connection:
                for statement in (SOURCES, SCHEDULES, FLOOR):
                    connection.exec_driver_sql(statement)
            yield engine
        finally:
            engine.dispose()


def measure() -> None:
    """Print the table."""
    seconds: dict[tuple[str, str], list[float]] = {}
    cpu: dict[tuple[str, str], list[float]] = {}
    rounds = int(os.environ.get("ROUNDS") or ROUNDS)
    with running_kafka() as broker, filled() as engine:
        rows: list[str] = []
        values: list[bytes] = []
        for number in range(rounds + 1):
            kafka = _topics(broker.bootstrap, number)
            _forget(engine)
            kinds = {"product": Product(engine, kafka), "floor": Floor(engine, kafka, rows, values)}
            if number == 0:  # what the floor needs, and everything warm
                del kinds["floor"]
            for step in STEPS:
                if step == "apply":
                    _report(engine, kafka)
                for kind in [*kinds][:: 1 if number % 2 else -1]:
                    start, before = time.perf_counter(), _cpu()
                    getattr(kinds[kind], step)()
                    seconds.setdefault((step, kind), []).append(time.perf_counter() - start)
                    cpu.setdefault((step, kind), []).append(_cpu() - before)
                if number == 0 and step == "publish":
                    rows[:], values[:] = _taken(engine), _read(kafka)
        _check(engine)
    # Of the product's rounds the first, which made what the floors need, does not count.
    times, work = ({name: statistics.median(each[-rounds:]) for name, each in all_.items()} for all_ in (seconds, cpu))
    print(f"\n{TASKS:,} tasks, {rounds} rounds; CPU is that of our own process, Postgres and Kafka")
    print(f"{'':24}{'seconds':>9}{'a second':>10}{'CPU s':>8}{'floor':>9}{'CPU s':>8}{'x floor':>9}")
    for step, title in STEPS.items():
        mine, floor = (step, "product"), (step, "floor")
        print(
            f"{title:24}{times[mine]:9.2f}{TASKS / times[mine]:10,.0f}{work[mine]:8.2f}"
            f"{times[floor]:9.2f}{work[floor]:8.2f}{times[mine] / times[floor]:9.2f}"
        )
    both = [seconds[step, "product"][-rounds:] for step in ("create", "publish")]
    median = statistics.median(map(sum, zip(*both, strict=True)))
    print(f"{'created and published':24}{median:9.2f}{TASKS / median:10,.0f}", flush=True)


def _cpu() -> float:
    """Seconds, of this process and of the servers that it has started."""
    own, seconds = psutil.Process(), 0.0
    for each in [own, *own.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # Postgres ends some of its own
            seconds += sum(each.cpu_times()[:2])
    return seconds


def _topics(bootstrap: str, number: int) -> KafkaSettings:
    kafka = KafkaSettings(bootstrap, topics={"rss": f"tasks_{number}"}, status_topic=f"statuses_{number}")
    admin = Admin(kafka)
    admin.ensure_topics([*kafka.topics.values(), kafka.status_topic, kafka.dead_letter_topic, "floor"])
    admin.close()
    return kafka


def _forget(engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE tasks, task_groups, task_events, task_totals, status_totals, floor")
        connection.exec_driver_sql("UPDATE source_task_types SET due_at = 0")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _report(engine: sqlalchemy.Engine, kafka: KafkaSettings) -> None:
    """What workers say of every second task: that it has begun and ended, some of it while others begin."""
    with engine.connect() as connection:
        ids = connection.scalars(sqlalchemy.select(tables.Task.id).limit(TASKS // 2)).all()
    told = [
        OutgoingMessage(each, kafka.status_topic, str(each).encode(), write_status(report))
        for some in (ids[first : first + 500] for first in range(0, len(ids), 500))
        for status in (Status.IN_PROGRESS, Status.DONE)
        for each in some
        for report in [Report(each, 1, status, time.time(), "bench:1", statistics={"items": 3})]
    ]
    assert all(each.position for each in Producer(kafka).send(told, 60.0))


def _taken(engine: sqlalchemy.Engine) -> list[str]:
    found = io.StringIO()
    with engine.begin() as connection, connection.connection.cursor() as cursor:
        cursor.copy_expert("COPY tasks TO STDOUT", found)
    return found.getvalue().splitlines(keepends=True)


def _read(kafka: KafkaSettings) -> list[bytes]:
    consumer = Consumer(kafka, kafka.topics["rss"], "bench")
    read = itertools.takewhile(bool, iter(lambda: consumer.read(10_000, 5.0), None))
    return [message.value or b"" for some in read for message in some]


def _check(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as connection:
        done = sqlalchemy.select(sqlalchemy.func.count()).where(tables.Task.status == Status.DONE)
        assert connection.scalar(done) == TASKS // 2
