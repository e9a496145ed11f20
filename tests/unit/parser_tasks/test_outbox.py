"""The outbox: nothing is lost, and nothing is sent twice but with the same id."""

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from include.common.errors import TransientError
from include.parser_tasks import actions, outbox, tables
from include.parser_tasks.changes import Changes
from include.parser_tasks.messages import read_task
from include.parser_tasks.models import Status
from tests.unit.parser_tasks.conftest import NOON, TOPICS, Kafka, cleared


class KilledError(Exception):
    """The process is gone."""


def test_what_is_created_is_sent_by_priority_and_queued_where_it_stands(world):
    world.source("later")
    source = world.source("urgent", priority=9)
    world.create()
    world.now += 3
    assert world.publish().sent == 2
    first, second = world.kafka.topics["rss_parser_tasks"]
    task = read_task(first.value)
    assert (task.source.name, first.key) == ("urgent", str(source).encode())
    assert (task.task_type, task.attempt, task.deadline_at) == ("latest", 1, NOON + 600)
    rows = {row["id"]: row for row in world.tasks()}
    assert [rows[each.tag]["offset"] for each in (first, second)] == [0, 1]
    assert {(row["status"], row["queued_at"], row["topic"], row["partition"]) for row in rows.values()} == {
        ("queued", NOON + 3, "rss_parser_tasks", 0)
    }
    assert world.publish().sent == 0


def test_a_broker_that_is_away_leaves_tasks_created_and_says_how_many(world):
    for number in range(5):
        world.source(f"feed {number}")
    world.create()
    world.kafka.takes = 2
    with pytest.raises(TransientError, match="3 of 5 tasks were not sent and stay `created`: not acknowledged"):
        world.publish()
    assert sorted(world.statuses()) == ["created"] * 3 + ["queued"] * 2
    world.kafka.takes = 99
    assert world.publish().sent == 3
    assert {*world.kafka.sent().values()} == {1}


def test_a_broker_that_is_back_with_an_empty_memory_gets_what_is_created_and_the_rest_is_late(world):
    world.queued(2)
    world.kafka = Kafka()
    world.source("new")
    world.create()
    world.publish()
    assert sum(world.kafka.sent().values()) == 1
    assert world.statuses() == ["queued"] * 3


def test_a_task_that_no_message_can_hold_fails_with_the_reason_and_the_others_are_sent(world):
    large = world.source("large", priority=9)
    world.source("small")
    world.set(tables.Source, settings={"small": 1})
    with world.engine.begin() as connection:
        settings = {"text": "x" * 2000}
        connection.execute(sqlalchemy.update(tables.Source).where(tables.Source.id == large).values(settings=settings))
    world.create()
    world.kafka.most_bytes = 1500
    assert world.publish() == outbox.Published(sent=1, too_large=1)
    assert sorted(world.statuses()) == ["failed", "queued"]
    failed = next(task for task in world.tasks() if task["status"] == "failed")
    assert (failed["source_name"], failed["reason"]) == ("large", "too large for Kafka")
    assert failed["error"] == "the message is too large"
    assert [(each["task_id"], each["status"], each["detail"]) for each in world.events()] == [
        (failed["id"], "failed", "the message is too large")
    ]
    assert {row["name"]: row["failures"] for row in world.rows(tables.Source)} == {"large": 1, "small": 0}
    world.check_counts()
    assert world.publish() == outbox.Published()


def test_what_is_too_large_fails_although_the_broker_takes_nothing_else(world):
    world.source("small")
    world.create()
    world.kafka.takes = 0
    world.kafka.most_bytes = 10
    assert world.publish() == outbox.Published(too_large=1)
    assert world.statuses() == ["failed"]
    assert {*world.kafka.sent()} == set()


def test_a_task_that_is_too_large_and_was_cancelled_while_it_was_sent_stays_cancelled(world):
    world.source()
    world.create()

    class Slow(Kafka):
        def send(self, messages, seconds):
            actions.cancel(world.engine, [each.tag for each in messages], "somebody", world.now)
            return super().send(messages, seconds)

    world.kafka = Slow(most_bytes=10)
    assert world.publish() == outbox.Published()
    assert world.statuses() == ["cancelled"]
    world.check_counts()


def test_late_tasks_and_parsers_without_a_topic_are_not_sent(world):
    world.source("late", deadline_seconds=60.0)
    world.create()
    world.now += 60
    assert world.publish().sent == 0
    world.now = NOON
    assert outbox.publish(world.engine, lambda: world.kafka, {"vk": "vk"}, world.clock).sent == 0
    assert world.statuses() == ["created"]


def test_a_message_has_the_source_as_it_is_when_it_is_sent(world):
    world.source()
    world.create()
    world.set(tables.Source, address="http://moved", settings={"a": 1})
    world.publish()
    source = read_task(world.kafka.topics["rss_parser_tasks"][0].value).source
    assert (source.address, source.settings) == ("http://moved", {"a": 1})


def test_a_task_that_is_cancelled_while_it_is_sent_stays_cancelled_and_what_a_worker_says_is_refused(world):
    world.queued(3)
    world.now += 3600
    world.apply(*[world.report(task["id"], Status.DONE) for task in world.tasks()])
    world.create()
    fresh = [task["id"] for task in world.tasks() if task["status"] == "created"]

    class Slow(Kafka):
        def send(self, messages, seconds):
            found = super().send(messages, seconds)
            actions.cancel(world.engine, fresh[:1], "somebody", world.now)
            world.apply(world.report(fresh[1], Status.IN_PROGRESS))
            return found

    world.kafka = Slow()
    world.publish()
    assert world.statuses()[3:] == ["cancelled", "in_progress", "queued"]
    assert all(task["offset"] is not None for task in world.tasks())
    world.apply(world.report(fresh[0], Status.DONE))
    assert world.statuses()[3] == "cancelled"
    world.check_counts()


def test_one_sends_at_a_time(world):
    world.source()
    world.create()

    class During(Kafka):
        def send(self, messages, seconds):
            assert outbox.publish(world.engine, Kafka, TOPICS, world.clock) == outbox.Published(elsewhere=True)
            return super().send(messages, seconds)

    world.kafka = During()
    assert world.publish().sent == 1
    world.kafka = Kafka()
    assert not world.publish().elsewhere


def killed(*_):
    raise KilledError


@settings(max_examples=20)
@given(data=st.data())
def test_crashes_at_any_step_lose_nothing_and_queue_nothing_that_was_not_sent(parser_tasks_url, data):
    world = cleared(parser_tasks_url)
    for number in range(6):
        world.source(f"feed {number}")
    world.create()

    class Crashing(Kafka):
        def send(self, messages, seconds):
            step = data.draw(st.sampled_from(["before", "within", "after", "away", None]), "crash")
            if step == "before":
                raise KilledError
            if step == "away":
                return Kafka(takes=0).send(messages, seconds)
            some = data.draw(st.integers(0, len(messages)), "sent") if step == "within" else len(messages)
            found = super().send(messages[:some], seconds)
            if step in ("within", "after"):
                raise KilledError
            return found

    def marking(*given):
        step = data.draw(st.sampled_from(["before", "within", "after", None]), "crash of the marking")
        if step == "before":
            raise KilledError
        with pytest.MonkeyPatch.context() as patch:
            if step == "within":  # the transaction
                patch.setattr(Changes, "store", killed)
            found = mark(*given)
        if step == "after":
            raise KilledError
        return found

    world.kafka = kafka = Crashing()
    mark = outbox._mark
    for _ in range(data.draw(st.integers(1, 5), "tries")):
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(outbox, "_mark", marking)
                world.publish()
        except (KilledError, TransientError):
            there = kafka.topics.get("rss_parser_tasks", [])
            queued = {task["offset"]: task["id"] for task in world.tasks() if task["status"] == "queued"}
            assert {offset: there[offset].tag for offset in queued} == queued
            with world.engine.begin() as connection:  # the dead process's turn is over in time
                connection.exec_driver_sql("DELETE FROM leases")
    before = kafka.sent()
    world.kafka = Kafka()
    world.publish()
    assert {*world.statuses()} == {"queued"}
    sent = before + world.kafka.sent()
    assert {*sent} == {task["id"] for task in world.tasks()}
    world.check_counts()
