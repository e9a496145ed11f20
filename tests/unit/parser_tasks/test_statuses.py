"""Status messages end in the same table, however they come."""

import uuid

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.common.errors import TransientError
from include.parser_tasks import actions, expiry, tables
from include.parser_tasks.models import ALLOWED, OPEN, Action, Refusal, Report, Status
from include.parser_tasks.states import refused
from tests.unit.parser_tasks.conftest import NOON, World, cleared

IN_PROGRESS, DONE, FAILED, CANCELLED = Status.IN_PROGRESS, Status.DONE, Status.FAILED, Status.CANCELLED
NOBODY = uuid.UUID(int=1)


def test_a_task_is_followed_to_its_end(world):
    (task,) = world.queued()
    world.now += 5
    world.apply(world.report(task, IN_PROGRESS))
    world.now += 5
    result = world.apply(world.report(task, DONE, statistics={"items": 3}))
    (found,) = world.tasks()
    assert (result.applied, result.refused, result.dead) == (1, 0, [])
    assert (found["status"], found["worker"], found["statistics"]) == ("done", "worker:1", {"items": 3})
    assert [found[name] - NOON for name in ("created_at", "queued_at", "started_at", "ended_at")] == [0, 0, 5, 10]
    assert [event["status"] for event in world.events()] == ["in_progress", "done"]
    (group,) = world.groups()
    assert (group["done"], group["ended_at"]) == (1, NOON + 10)
    assert world.totals() == {"created": (1, 1), "queued": (1, 1), "in_progress": (1, 1), "done": (1, 0)}


@pytest.mark.parametrize(
    ("status", "attempt", "reported", "of_attempt", "why"),
    [
        (DONE, 1, DONE, 1, Refusal.DUPLICATE),
        (DONE, 1, FAILED, 1, Refusal.ENDED),
        (CANCELLED, 1, IN_PROGRESS, 1, Refusal.ENDED),
        (IN_PROGRESS, 2, DONE, 1, Refusal.OLD_ATTEMPT),
        (IN_PROGRESS, 1, DONE, 2, Refusal.UNKNOWN_ATTEMPT),
        (Status.CREATED, 1, IN_PROGRESS, 1, None),
        (Status.QUEUED, 1, FAILED, 1, None),
    ],
)
def test_the_state_machine(status, attempt, reported, of_attempt, why):
    assert refused(status, attempt, Report(NOBODY, of_attempt, reported, 0.0)) is why


def test_every_status_has_its_actions():
    assert {*ALLOWED} == {*Status}
    assert all(ALLOWED[status] == {Action.CANCEL} for status in OPEN)
    assert [status for status in Status if Action.RETRY in ALLOWED[status]] == [FAILED, CANCELLED]


HISTORY = st.sampled_from([[IN_PROGRESS, DONE], [IN_PROGRESS, FAILED], [IN_PROGRESS, CANCELLED], [DONE], [IN_PROGRESS]])
KEPT = ("source_name", "status", "attempt", "queued_at", "started_at", "ended_at", "reason", "statistics", "worker")


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=25)
@given(data=st.data())
def test_any_order_duplication_and_redelivery_ends_in_the_same_table(parser_tasks_url, data):
    histories = data.draw(st.lists(HISTORY, min_size=1, max_size=4), "histories")

    def played(scrambled):
        world = cleared(parser_tasks_url)
        tasks = world.queued(len(histories))
        said = [
            world.report(task, status, at=NOON + 10 * number, statistics={"number": number})
            for task, history in zip(tasks, histories, strict=True)
            for number, status in enumerate(history, 1)
        ]
        world.now = NOON + 100
        if scrambled:
            said = data.draw(st.permutations(said), "order")
            said += data.draw(st.lists(st.sampled_from(said), max_size=5), "again")
        while said:
            size = data.draw(st.integers(1, len(said)), "bulk") if scrambled else len(said)
            world.apply(*said[:size])
            if scrambled and data.draw(st.booleans(), "the commit is lost"):
                world.apply(*said[:size])
            said = said[size:]
        world.check_counts()
        return sorted(([task[name] for name in KEPT] for task in world.tasks()), key=lambda kept: kept[0])

    assert played(scrambled=True) == played(scrambled=False)


def test_a_poison_message_does_not_keep_the_others(world):
    tasks = world.queued(20)
    bulk = [world.report(task, DONE) for task in tasks]
    bulk.insert(7, world.message(b"{not json"))
    bulk.insert(9, world.message(b"x" * 5_000_000))
    bulk.insert(11, world.message(b'{"version":1}'))
    bulk.insert(13, world.report(NOBODY, DONE))
    bulk.insert(15, world.report(tasks[0], DONE, attempt=9))
    bulk.insert(17, world.message(None))
    result = world.apply(*bulk)
    assert (result.applied, result.refused) == (20, 6)
    assert {*world.statuses()} == {"done"}
    assert [each.refusal for each in result.dead] == [
        Refusal.UNREADABLE,
        Refusal.TOO_LARGE,
        Refusal.UNREADABLE,
        Refusal.UNKNOWN_TASK,
        Refusal.UNKNOWN_ATTEMPT,
        Refusal.UNREADABLE,
    ]
    assert world.refusals() == {"unreadable": 3, "too large": 1, "unknown task": 1, "unknown attempt": 1}
    assert [event["refused"] for event in world.events() if event["refused"]] == [each.refusal for each in result.dead]


def test_the_same_message_twice_changes_nothing_and_is_counted(world):
    (task,) = world.queued()
    said = world.report(task, DONE)
    world.apply(said, said)
    before = world.tasks(), world.groups()
    world.apply(said)
    assert (world.tasks(), world.groups()) == before
    assert world.refusals() == {"duplicate": 2}


def test_a_late_status_of_the_old_attempt_leaves_the_retry_alone(world):
    (old,) = world.queued()
    world.apply(world.report(old, FAILED, error="HTTP 500"))
    new = actions.retry(world.engine, [old], "somebody", world.now)[old].task_id
    world.publish()
    world.apply(world.report(old, DONE), world.report(new, DONE, attempt=1))
    tasks = {task["id"]: task for task in world.tasks()}
    assert (tasks[old]["status"], tasks[new]["status"]) == ("failed", "queued")
    assert (tasks[new]["attempt"], tasks[new]["retry_of"]) == (2, old)
    assert world.refusals() == {"task has ended": 1, "old attempt": 1}
    world.apply(world.report(new, DONE, attempt=2))
    world.check_counts()
    assert world.statuses() == ["failed", "done"]


def test_what_a_worker_says_of_a_cancelled_task_is_kept_and_changes_nothing(world):
    (task,) = world.queued()
    actions.cancel(world.engine, [task], "somebody", world.now)
    world.apply(world.report(task, IN_PROGRESS))
    world.apply(world.report(task, DONE))
    (found,) = world.tasks()
    assert (found["status"], found["reason"], found["started_at"]) == ("cancelled", "cancelled by a person", 0)
    assert [event["refused"] for event in world.events()] == ["", "task has ended", "task has ended"]
    world.check_counts()


def test_a_worker_that_came_too_late_says_so_and_it_counts_as_late(world):
    (task,) = world.queued()
    world.apply(world.report(task, CANCELLED, reason="expired"))
    assert world.groups()[0]["late"] == 1
    assert world.rows(tables.Source)[0]["failures"] == 1


def test_times_that_are_not_possible_are_not_believed(world):
    (task,) = world.queued()
    world.now += 60
    world.apply(world.report(task, IN_PROGRESS, at=NOON - 9999), world.report(task, DONE, at=NOON + 9999))
    (found,) = world.tasks()
    assert [found[name] - NOON for name in ("started_at", "ended_at")] == [0, 60]


def test_failures_in_a_row_are_counted_for_each_source_and_end_with_a_success(world):
    (task,) = world.queued()
    for expected, status in [(1, FAILED), (2, FAILED), (0, DONE), (1, FAILED)]:
        world.apply(world.report(task, status))
        assert world.rows(tables.Source)[0]["failures"] == expected
        world.now += 3600
        world.create()
        world.publish()
        task = world.tasks()[-1]["id"]


def test_a_source_that_is_gone_is_switched_off(world):
    (task,) = world.queued()
    world.apply(world.report(task, FAILED, reason="source gone", error="410 Gone"))
    assert world.rows(tables.Source)[0]["active"] is False
    world.now += 3600
    assert world.create().tasks == 0


def test_a_database_that_is_away_applies_nothing(world):
    (task,) = world.queued()
    away = World(sqlalchemy.create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none", hide_parameters=True))
    with pytest.raises(TransientError):
        away.apply(world.report(task, DONE))
    assert world.statuses() == ["queued"]


def test_a_source_that_is_switched_off_or_edited_keeps_its_open_task(world):
    (task,) = world.queued()
    world.set(tables.Source, active=False, address="http://elsewhere")
    world.apply(world.report(task, DONE))
    world.now += 3600
    assert (world.create().tasks, world.statuses()) == (0, ["done"])


def test_a_done_that_waits_to_be_read_is_not_late(world):
    (task,) = world.queued(deadline_seconds=60.0)
    said = world.report(task, DONE, at=NOON + 59)
    world.now = NOON + 120
    until = expiry.cutoff(world.now, oldest_unread=NOON + 59)
    assert expiry.cancel_expired(world.engine, until, world.now) == 0
    world.apply(said)
    assert expiry.cancel_expired(world.engine, expiry.cutoff(world.now, None), world.now) == 0
    assert world.statuses() == ["done"]
