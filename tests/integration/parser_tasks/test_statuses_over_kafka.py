"""Statuses and tasks over a real Kafka and a real Postgres, where something goes wrong in the middle."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from threading import Event, Thread

import pytest
import sqlalchemy
from confluent_kafka.admin import AdminClient, NewPartitions

from include.common.errors import TransientError
from include.common.schema import migrate
from include.launch.embedded.processes import free_port
from include.orchestration.paths import PROJECT
from include.parser_tasks import expiry, inbox, outbox
from include.parser_tasks.broker import Consumer, OutgoingMessage, Producer
from include.parser_tasks.broker_admin import Admin
from include.parser_tasks.messages import read_task, status_key, write_status
from include.parser_tasks.models import Report, Status
from include.parser_tasks.settings import KafkaSettings
from tests.databases import empty_postgres
from tests.kafka import running_demo_broker
from tests.unit.parser_tasks.conftest import BRANCHES, NOON, World, cleared

# One process has the broker; the others have something else to do.
pytestmark = pytest.mark.xdist_group("kafka")
# Seconds: longer than anything here takes on a machine that has much else to do.
LONG = 60.0
STARTED, ENDED, NOW = NOON + 10, NOON + 20, NOON + 100
KEPT = ("source_name", "status", "started_at", "ended_at", "statistics", "worker", "reason")


@pytest.fixture(scope="module")
def database(postgres_server):
    """The URL of a Postgres database with the tables."""
    with empty_postgres(postgres_server) as url:
        migrate(url, branches=BRANCHES, data=True)
        yield url


@pytest.fixture
def world(database):
    world = cleared(database)
    yield world
    world.engine.dispose()


def opened(world: World, count: int):
    """So many open tasks, by the sources' names."""
    world.now = NOON
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sources (name, parser, address, settings, active, created_at) "
            "SELECT 'feed ' || to_char(n, 'FM000000'), 'rss', 'http://feed/' || n, '{}', true, %s "
            "FROM generate_series(1, %s) n",
            (NOON, count),
        )
        connection.exec_driver_sql(
            "INSERT INTO source_task_types (source_id, task_type_id, schedule, deadline_seconds, active, due_at) "
            "SELECT s.id, t.id, '1 hour', 600, true, %s FROM sources s, task_types t WHERE t.name = 'latest'",
            (NOON,),
        )
        connection.exec_driver_sql("ANALYZE")  # as the server does by itself in time
    assert world.create(most_waiting=count).tasks == count
    world.now = NOW
    return [row["id"] for row in sorted(world.tasks(), key=lambda row: row["source_name"])]


def settings_of(bootstrap, topic, **more):
    given = {"session_ms": 6000, "heartbeat_ms": 500, **more}
    return KafkaSettings(bootstrap, status_topic=topic, group=f"readers of {topic}", **given)


def prepared(kafka, partitions=3):
    admin = Admin(kafka, LONG)
    admin.ensure_topics([kafka.status_topic, kafka.dead_letter_topic], partitions)
    return admin


def begun(task):
    return Report(task, 1, Status.IN_PROGRESS, STARTED, "worker:1")


def done(task, number=0):
    return Report(task, 1, Status.DONE, ENDED, "worker:1", statistics={"items": number})


def outgoing(kafka, reports):
    return [
        OutgoingMessage(number, kafka.status_topic, status_key(report), write_status(report))
        for number, report in enumerate(reports)
    ]


def send(kafka, messages, seconds=LONG):
    """As workers do: what is not acknowledged is sent again."""
    producer, left = Producer(kafka), list(messages)
    for _ in range(20):
        left = [message for message, sent in zip(left, producer.send(left, seconds), strict=True) if not sent.position]
        if not left:
            return
    raise AssertionError(f"{len(left)} of {len(messages)} messages were never acknowledged")


def drained(world, kafka, go_on):
    """What the task of the DAG does, once."""
    with closing(Consumer(kafka, kafka.status_topic)) as reader, closing(Producer(kafka)) as producer:
        return inbox.drain(world.engine, reader, producer, kafka, world.clock, go_on)


def unread(admin, kafka):
    """Says whether there is anything left to read, so that nobody waits for what will not come."""
    return lambda: bool(admin.lag(kafka.group, kafka.status_topic))


def check_all_done(world, count):
    """That the table is as if nothing had gone wrong."""
    found = sorted(([row[name] for name in KEPT] for row in world.tasks()), key=lambda kept: kept[0])
    assert found == [
        [f"feed {number:06}", "done", STARTED, ENDED, {"items": number}, "worker:1", ""]
        for number in range(1, count + 1)
    ]
    applied = Counter((event["task_id"], event["status"]) for event in world.events() if not event["refused"])
    assert (len(applied), {*applied.values()}) == (2 * count, {1})
    world.check_counts()


def test_a_broker_killed_amid_fifty_thousand_statuses_changes_nothing_in_the_table(world, kafka_broker, topic):
    kafka = settings_of(kafka_broker.bootstrap, topic, bulk_seconds=1.0)
    admin, tasks = prepared(kafka), opened(world, 25_000)
    gone, bulks = Event(), iter(range(1_000_000))

    def work():
        send(kafka, outgoing(kafka, map(begun, tasks)))
        gone.wait(LONG)
        send(kafka, outgoing(kafka, map(done, tasks, range(1, 25_001))))

    def go_on():
        if next(bulks) == 10:
            kafka_broker.kill()
            gone.set()
        return True

    worker = Thread(target=work)
    worker.start()
    failed = []
    try:
        while worker.is_alive() or admin.lag(kafka.group, topic):
            try:
                drained(world, kafka, go_on)
            except TransientError as error:
                failed.append(str(error))
                kafka_broker.start()
    finally:
        kafka_broker.start()
        worker.join()
    assert failed
    check_all_done(world, 25_000)


KILLED = """
import os, signal, sys
from include.common.database import connect
from include.parser_tasks.broker import Consumer, Producer
from include.parser_tasks.inbox import drain
from include.parser_tasks.settings import KafkaSettings

class Killed(Consumer):
    def commit(self):
        os.kill(os.getpid(), signal.SIGKILL)

bootstrap, topic, group, session, url, now = sys.argv[1:]
kafka = KafkaSettings(bootstrap, status_topic=topic, group=group, session_ms=int(session), heartbeat_ms=500)
drain(connect(url), Killed(kafka, topic), Producer(kafka), kafka, lambda: float(now))
"""


@pytest.mark.parametrize(("broker", "session"), [("kafka", 6000), ("demo_kafka", 4000)])
def test_what_a_reader_applied_that_was_killed_before_its_commit_is_read_again_and_changes_nothing(
    world, database, topic, broker, session, request
):
    kafka = settings_of(request.getfixturevalue(broker), topic, session_ms=session)
    admin, tasks = prepared(kafka), opened(world, 300)
    send(kafka, outgoing(kafka, map(begun, tasks)))
    given = [kafka.bootstrap, topic, kafka.group, str(session), database, str(NOW)]
    ended = subprocess.run([sys.executable, "-c", KILLED, *given], cwd=PROJECT, timeout=LONG, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert admin.lag(kafka.group, topic) == 300
    before = Counter(world.statuses())["in_progress"]
    assert before
    # The dead one is a member until its session is over: this one waits for that.
    result = drained(world, kafka, unread(admin, kafka))
    assert (result.applied, result.refused) == (300 - before, before)
    assert world.refusals() == {"duplicate": before}
    send(kafka, outgoing(kafka, map(done, tasks, range(1, 301))))
    # So it is with one that has left the demo broker.
    assert drained(world, kafka, unread(admin, kafka)).applied == 300
    assert admin.lag(kafka.group, topic) == 0
    check_all_done(world, 300)


def test_a_second_reader_that_joins_while_the_first_reads_applies_its_share_and_each_status_once(world, kafka, topic):
    settings = settings_of(kafka, topic, bulk_size=100, bulk_seconds=0.5)
    admin, tasks = prepared(settings), opened(world, 3000)
    under_way, joined, ended = Event(), Event(), Event()
    applied = Counter()

    def read(name, consumer, event):
        class Seen:
            def read(self, most, seconds):
                found = consumer.read(most, seconds)
                event.set()
                return found

            commit = consumer.commit

        with closing(consumer), closing(Producer(settings)) as producer:
            while not ended.is_set():
                result = inbox.drain(world.engine, Seen(), producer, settings, world.clock, lambda: not ended.is_set())
                applied[name] += result.applied

    send(settings, outgoing(settings, map(begun, tasks)))
    threads = []
    for name, event in (("first", under_way), ("second", joined)):
        threads.append(Thread(target=read, args=(name, Consumer(settings, topic), event)))
        threads[-1].start()
        assert event.wait(LONG)
    send(settings, outgoing(settings, map(done, tasks, range(1, 3001))))
    ends = time.monotonic() + LONG
    while admin.lag(settings.group, topic) and time.monotonic() < ends:
        time.sleep(0.1)
    ended.set()
    for thread in threads:
        thread.join()
    assert applied["second"]
    assert applied.total() == 6000
    assert {*world.refusals()} <= {"duplicate"}  # what the first had read when it gave a partition away
    check_all_done(world, 3000)


def test_a_storm_of_statuses_ends_in_the_same_table_through_kafka_and_through_the_demo_broker(
    database, kafka, demo_kafka, topic
):
    storm = random.Random(11)
    ends = [storm.choice([Status.DONE, Status.FAILED, Status.CANCELLED]) for _ in range(400)]
    said = [(number, Status.IN_PROGRESS, STARTED) for number in range(400)]
    said += [(number, status, ENDED) for number, status in enumerate(ends) if number % 10]
    said += storm.choices(said, k=400)
    storm.shuffle(said)

    def played(bootstrap):
        world, settings = cleared(database), settings_of(bootstrap, topic, session_ms=6000, bulk_size=150)
        admin, tasks = prepared(settings), opened(world, 400)
        reports = [Report(tasks[number], 1, status, at, f"worker:{number}") for number, status, at in said]
        messages = outgoing(settings, reports)
        messages[77:77] = [OutgoingMessage("poison", topic, b"k", b"{not json")]
        send(settings, messages)
        result = drained(world, settings, unread(admin, settings))
        assert result.dead == 1
        assert result.applied + result.refused == len(messages)
        world.check_counts()
        return sorted([row[name] for name in KEPT] for row in world.tasks()), world.refusals(), world.totals()

    assert played(kafka) == played(demo_kafka)


class NewestFirst:
    """A reader to whom the last message of a topic comes first, as where a key's messages are in two partitions."""

    def __init__(self, consumer, count):
        self.found = []
        while len(self.found) < count:
            self.found += consumer.read(count - len(self.found), 1.0)
        self.found.sort(key=lambda message: (message.position.partition, message.position.offset))
        self.commit = consumer.commit

    def read(self, most, seconds):
        return [self.found.pop() for _ in range(min(most, len(self.found)))]


def test_partitions_added_between_two_statuses_of_a_task_may_turn_them_round_and_change_nothing(world, kafka, topic):
    settings = settings_of(kafka, topic, bulk_size=25)
    admin, tasks = prepared(settings, partitions=1), opened(world, 100)
    send(settings, outgoing(settings, map(begun, tasks)))
    client = AdminClient({"bootstrap.servers": kafka})
    (waiting,) = client.create_partitions([NewPartitions(topic, 4)]).values()
    waiting.result()
    while len(client.list_topics(topic, timeout=LONG).topics[topic].partitions) < 4:
        time.sleep(0.05)
    send(settings, outgoing(settings, map(done, tasks, range(1, 101))))
    with closing(Consumer(settings, topic)) as consumer, closing(Producer(settings)) as producer:
        turned = NewestFirst(consumer, 200)
        moved = {message.position.partition for message in turned.found if message.position.partition}
        assert moved  # the keys' later messages are elsewhere
        inbox.drain(world.engine, turned, producer, settings, world.clock)
    late = world.refusals()["task has ended"]
    assert late
    found = world.tasks()
    assert {(row["status"], row["started_at"], row["ended_at"]) for row in found} == {("done", STARTED, ENDED)}
    assert admin.lag(settings.group, topic) == 0
    world.check_counts()


def test_a_poison_message_keeps_its_offset_until_the_dead_letters_have_it_and_the_other_999_are_applied(
    world, kafka, topic, monkeypatch
):
    monkeypatch.setattr(inbox, "PATIENCE", 0.5)
    settings = settings_of(kafka, topic)
    admin, tasks = prepared(settings, partitions=1), opened(world, 999)
    poison = OutgoingMessage("poison", topic, b"whose", b"{not json")
    send(settings, [poison, *outgoing(settings, map(done, tasks))])
    nobody = KafkaSettings(f"127.0.0.1:{free_port()}")
    with closing(Consumer(settings, topic)) as consumer, pytest.raises(TransientError, match="1 dead letters did not"):
        inbox.drain(world.engine, consumer, Producer(nobody), settings, world.clock)
    assert admin.lag(settings.group, topic) == 1000
    monkeypatch.undo()
    assert drained(world, settings, unread(admin, settings)).dead == 1
    assert world.statuses() == ["done"] * 999
    assert admin.lag(settings.group, topic) == 0
    with closing(Consumer(settings, settings.dead_letter_topic)) as consumer:
        (letter,) = consumer.read(10, LONG)
    assert (letter.key, letter.value) == (poison.key, poison.value)
    assert {name: letter.headers[name] for name in ("reason", "topic", "partition", "offset")} == {
        "reason": b"unreadable",
        "topic": topic.encode(),
        "partition": b"0",
        "offset": b"0",
    }
    world.check_counts()


def test_no_offset_is_committed_while_the_database_is_down(world, postgres_server, kafka, topic):
    settings = settings_of(kafka, topic, bulk_size=100)
    admin, tasks = prepared(settings, partitions=1), opened(world, 500)
    send(settings, outgoing(settings, map(done, tasks)))
    asked = iter(range(100))

    def go_on():
        if next(asked) == 2:
            let_in(postgres_server, world, "false")
        return True

    with pytest.raises(TransientError):
        drained(world, settings, go_on)
    assert admin.lag(settings.group, topic) == 300
    let_in(postgres_server, world, "true")
    assert Counter(world.statuses()) == {"done": 200, "created": 300}
    assert drained(world, settings, unread(admin, settings)).applied == 300
    assert world.refusals() == {}
    world.check_counts()


def let_in(server, world, whether):
    """Let nobody into the world's database, and cut off who is in it; or let them in again."""
    name = world.engine.url.database
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {whether}")
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def test_what_a_broker_forgot_is_late_at_its_deadline_and_is_made_and_sent_anew(world, topic):
    tasks, port = opened(world, 20), free_port()
    settings = settings_of(f"127.0.0.1:{port}", topic, session_ms=4000)

    def publish():
        prepared(settings).ensure_topics(settings.topics.values())
        return outbox.publish(world.engine, lambda: Producer(settings), settings.topics, world.clock).sent

    with running_demo_broker(port):
        assert publish() == 20
    with pytest.raises(TransientError, match="no Kafka broker"):
        Admin(settings, 0.5).backlog(settings.group, topic)
    with running_demo_broker(port):
        world.now = NOON + 3600
        oldest = prepared(settings).backlog(settings.group, topic).oldest_unread_at
        assert expiry.cancel_expired(world.engine, expiry.cutoff(world.now, oldest), world.now) == 20
        assert world.create(most_waiting=20).tasks == 20
        assert publish() == 20
        with closing(Consumer(settings, settings.topics["rss"], "workers")) as worker:
            found = []
            while len(found) < 20:
                found += [read_task(message.value).task_id for message in worker.read(100, 1.0)]
        assert {*found}.isdisjoint(tasks)
        send(settings, outgoing(settings, map(done, found)))
        assert drained(world, settings, unread(prepared(settings), settings)).applied == 20
    assert Counter(world.statuses()) == {"done": 20, "cancelled": 20}
    assert {row["reason"] for row in world.tasks() if row["status"] == "cancelled"} == {"expired"}
    world.check_counts()
