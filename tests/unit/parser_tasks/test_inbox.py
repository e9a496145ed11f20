"""Statuses are read: the database first, the dead letters then, the offsets last."""

from dataclasses import dataclass, field

import pytest

from include.common.errors import TransientError
from include.parser_tasks.inbox import MOST_KEPT, drain
from include.parser_tasks.models import Status
from include.parser_tasks.settings import KafkaSettings
from tests.unit.parser_tasks.conftest import World

KAFKA = KafkaSettings(bootstrap="", bulk_size=4)
DLQ = "task_statuses.dlq"


@dataclass
class Topic:
    """A topic in memory, read by one consumer after the other."""

    messages: list
    committed: int = 0
    at: int = 0
    commits: list[int] = field(default_factory=list)

    def read(self, most, seconds):
        """The next messages."""
        found = self.messages[self.at : self.at + most]
        self.at += len(found)
        return found

    def commit(self):
        """What was read is done with."""
        self.committed = self.at
        self.commits.append(self.at)

    def restart(self):
        """The consumer died; the next one begins where was committed."""
        self.at = self.committed


def drained(world: World, topic: Topic, **more):
    return drain(world.engine, topic, world.kafka, KAFKA, world.clock, **more)


def test_bulks_are_applied_until_there_is_nothing_left(world):
    topic = Topic([world.report(task, Status.DONE) for task in world.queued(10)])
    result = drained(world, topic)
    assert (result.applied, result.refused, result.dead, topic.commits) == (10, 0, 0, [4, 8, 10])
    assert {*world.statuses()} == {"done"}


def test_a_poison_message_goes_to_the_dead_letters_with_its_reason_and_the_others_are_applied(world):
    first, second = world.queued(2)
    large = b"x" * 5_000_000
    topic = Topic([world.report(first, Status.DONE), world.message(large), world.report(second, Status.DONE)])
    assert drained(world, topic).dead == 1
    (letter,) = world.kafka.topics[DLQ]
    assert letter.value == large[:MOST_KEPT]
    assert letter.headers == {
        "reason": b"too large",
        "detail": b"5000000 bytes; allowed are 1048576",
        "topic": b"task_statuses",
        "partition": b"0",
        "offset": b"2",
        "size": b"5000000",
    }
    assert {*world.statuses()} == {"done"}


def test_the_offset_does_not_pass_a_dead_letter_that_was_not_taken(world):
    (task,) = world.queued()
    topic = Topic([world.message(b"no"), world.report(task, Status.DONE)])
    world.kafka.takes = 0
    with pytest.raises(TransientError, match=r"1 dead letters did not reach `task_statuses.dlq`: not acknowledged"):
        drained(world, topic)
    assert (topic.committed, world.statuses()) == (0, ["done"])
    topic.restart()
    world.kafka.takes = 9
    assert drained(world, topic).dead == 1
    assert (topic.committed, len(world.kafka.topics[DLQ])) == (2, 1)


def test_no_offset_is_committed_while_the_database_is_away(world, monkeypatch):
    (task,) = world.queued()
    topic = Topic([world.report(task, Status.DONE)])
    with monkeypatch.context() as patch:

        def away(*_):
            raise TransientError("the database does not answer")

        patch.setattr("include.parser_tasks.inbox.apply", away)
        with pytest.raises(TransientError):
            drained(world, topic)
    assert topic.committed == 0
    topic.restart()
    assert drained(world, topic).applied == 1


def test_a_consumer_killed_between_transaction_and_commit_changes_nothing_twice(world):
    topic = Topic([world.report(task, Status.DONE) for task in world.queued(4)])

    class Dying(Topic):
        def commit(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drained(world, Dying(topic.messages))
    before = world.tasks(), world.groups(), world.totals()
    assert drained(world, topic).refused == 4
    assert (world.tasks(), world.groups(), world.totals()) == before
    assert world.refusals() == {"duplicate": 4}


def test_it_ends_between_two_bulks_where_it_is_told_to(world):
    topic = Topic([world.report(task, Status.DONE) for task in world.queued(10)])
    answers = iter([True, True, False])
    assert drained(world, topic, go_on=lambda: next(answers)).applied == 8
    assert topic.committed == 8
