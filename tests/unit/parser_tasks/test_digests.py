"""What Telegram is told of parser tasks: each piece of news once, and none lost while nobody takes it."""

import pytest

from include.common.errors import TransientError
from include.common.limits.lease import Leases
from include.common.telegram import MESSAGE_LIMIT, units
from include.parser_tasks import digests, tables
from include.parser_tasks.models import Status


class Telegram:
    """A chat; it takes no message while it is away."""

    def __init__(self, world):
        self.world, self.taken, self.takes = world, [], 1000

    def send(self, text):
        if not self.takes:
            raise TransientError("Telegram is away")
        self.takes -= 1
        self.taken.append(text)

    def told(self, link=""):
        before = len(self.taken)
        assert digests.tell(self.world.engine, self.send, self.world.clock, link) == len(self.taken) - before
        return self.taken[before:]


@pytest.fixture
def telegram(world):
    return Telegram(world)


def ended(world, *statuses, **more):
    """The open tasks end so."""
    tasks = [task["id"] for task in world.tasks() if task["status"] == "queued"]
    world.apply(*(world.report(task, status, **more) for task, status in zip(tasks, statuses, strict=True)))


def again(world):
    """An hour later there are new tasks."""
    world.now += 3600
    world.create()
    world.publish()


def test_a_group_that_ended_with_failures_is_told_once_and_one_that_went_well_never(world, telegram):
    tasks = world.queued(4)
    reports = [world.report(task, Status.FAILED, error=f"HTTP <{500 + n}>") for n, task in enumerate(tasks[:2])]
    world.apply(*reports)
    assert telegram.told() == []
    world.apply(world.report(tasks[2], Status.CANCELLED, reason="expired"), world.report(tasks[3], Status.DONE))
    assert telegram.told("http://here/errors?a=1&b=2") == [
        f"<b>rss, latest</b> (group {world.groups()[0]['id']}): 1 of 4 done, 2 failed, 1 late\n"
        "  feed 0: HTTP &lt;500&gt;\n"
        "  feed 1: HTTP &lt;501&gt;\n"
        '<a href="http://here/errors?a=1&amp;b=2">errors</a>'
    ]
    assert telegram.told() == []
    again(world)
    ended(world, *[Status.DONE] * 4)
    assert telegram.told() == []
    assert all(group["told_at"] for group in world.groups())


def test_a_source_that_keeps_failing_is_told_once_and_again_when_it_is_well(world, telegram):
    world.queued()
    told = []
    for status in [Status.FAILED] * 4 + [Status.DONE] * 2:
        ended(world, status)
        told.append([line for text in telegram.told() for line in text.split("\n") if line.startswith("<b>feed")])
        again(world)
    ill, well = "<b>feed 0</b> (rss) failed 3 times in a row", "<b>feed 0</b> (rss) is well again"
    assert told == [[], [], [ill], [], [well], []]


def test_nothing_is_lost_while_telegram_is_away_and_nothing_told_twice(world, telegram):
    world.queued(2)
    telegram.takes = 0
    for _ in range(4):
        ended(world, Status.FAILED, Status.DONE, error="it broke")
        for _ in range(2):
            with pytest.raises(TransientError):
                telegram.told()
        again(world)
    telegram.takes = 1000
    [text] = telegram.told()
    assert [text.count(each) for each in ("(group", "it broke", "failed 4 times in a row")] == [4, 4, 1]
    assert telegram.told() == []


def test_what_was_told_before_telegram_went_away_is_not_told_again(world, telegram):
    world.queued(3)
    for _ in range(6):
        ended(world, *[Status.FAILED] * 3, error="x" * 2000)
        again(world)
    telegram.takes = 1
    with pytest.raises(TransientError):
        telegram.told()
    telegram.takes = 1000
    telegram.told()
    assert len(telegram.taken) > 1
    assert all(units(text) <= MESSAGE_LIMIT for text in telegram.taken)
    told = "\n".join(telegram.taken)
    assert [told.count(f"(group {group['id']})") for group in world.groups()] == [*[1] * 6, 0]
    assert [told.count(f"<b>feed {number}</b>") for number in range(3)] == [1, 1, 1]


def test_a_source_that_is_well_before_its_alarm_is_marked_is_told_well_next(world, telegram):
    world.queued()
    world.set(tables.Source, failures=3)

    def send(text):
        world.set(tables.Source, failures=0)
        telegram.send(text)

    assert digests.tell(world.engine, send, world.clock) == 1
    assert telegram.told() == ["<b>feed 0</b> (rss) is well again"]
    assert telegram.told() == []


def test_while_one_tells_nobody_else_does(world, telegram):
    world.queued()
    ended(world, Status.FAILED)
    leases = Leases(world.engine)
    assert leases.take_if_free(digests.LEASE, "somebody else", 60.0)
    assert telegram.told() == []
    leases.release(digests.LEASE, "somebody else")
    assert len(telegram.told()) == 1
