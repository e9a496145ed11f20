"""Tasks are created once for each source and type that is due."""

from threading import Barrier, Thread

import pytest
import sqlalchemy

from include.common.errors import ConflictError
from include.parser_tasks import actions, creation, expiry, tables
from include.parser_tasks.changes import changing
from include.parser_tasks.models import Status
from tests.unit.parser_tasks.conftest import NOON


def due_times(world):
    return [row["due_at"] for row in world.rows(tables.SourceTaskType)]


def test_a_due_source_gets_one_task_with_its_deadline_and_is_due_again_at_its_next_time(world):
    world.source(priority=3, deadline_seconds=90.0)
    made = world.create()
    (task,), (group,) = world.tasks(), world.groups()
    assert (made.tasks, made.groups, made.still_open, made.over_backlog) == (1, [group["id"]], 0, 0)
    assert [task[name] for name in ("status", "attempt", "priority", "deadline_at")] == ["created", 1, 3, NOON + 90]
    assert [group[name] for name in ("parser", "cause", "total", "deadline_at")] == ["rss", "schedule", 1, NOON + 90]
    assert due_times(world) == [NOON + 3600]
    world.check_counts()


def test_nothing_is_due_before_its_time_and_nothing_of_what_is_switched_off(world):
    world.source("early", due_at=NOON + 1)
    world.source("off", active=False)
    world.source("of another parser", parser="vk")
    assert world.create().tasks == 0
    assert world.groups() == []


def test_a_source_whose_task_is_open_stays_due_until_it_has_ended(world):
    world.queued()
    world.now += 3600
    made = world.create()
    assert (made.tasks, made.still_open) == (0, 1)
    world.apply(world.report(world.tasks()[0]["id"], Status.DONE))
    world.now += 60
    assert (world.create().tasks, due_times(world)) == (1, [NOON + 7200])


def test_no_more_tasks_wait_than_the_backlog_allows_and_the_urgent_come_first(world):
    for number in range(5):
        world.source(f"feed {number}", priority=number)
    made = world.create(most_waiting=2)
    assert (made.tasks, made.over_backlog, made.backlog) == (2, 3, 2)
    assert {task["source_name"] for task in world.tasks()} == {"feed 4", "feed 3"}
    made = world.create(most_waiting=2)
    assert (made.tasks, made.over_backlog) == (0, 3)
    world.publish()
    world.apply(*[world.report(task["id"], Status.IN_PROGRESS) for task in world.tasks()])
    assert world.create(most_waiting=2).tasks == 2


def test_a_changed_schedule_an_overdue_source_and_a_full_backlog_make_one_task(world):
    world.source("waits", due_at=NOON - 86400 * 3)
    world.source("other")
    world.create(most_waiting=1)
    world.set(tables.SourceTaskType, schedule="*/10 * * * *")
    world.now += 60
    assert world.create(most_waiting=1).over_backlog == 1
    world.publish()
    world.apply(*[world.report(task["id"], Status.DONE) for task in world.tasks()])
    assert world.create(most_waiting=9).tasks == 1
    assert sorted(due_times(world)) == [NOON + 600, NOON + 3600]
    assert world.create(most_waiting=9).tasks == 0


def test_a_choice_is_created_whether_it_is_due_or_not(world):
    first, _ = world.source("a", due_at=NOON + 9), world.source("b", due_at=NOON + 9)
    assert world.create(only_due=False, source_ids=(first,)).tasks == 1
    assert world.create(only_due=False, task_type="all").tasks == 0
    assert world.create(only_due=False, task_type="latest").tasks == 1
    assert world.create(only_due=False).still_open == 2


def test_many_at_once_create_each_task_once(world):
    for number in range(30):
        world.source(f"feed {number}")
    barrier, made = Barrier(4), []

    def create():
        barrier.wait()
        made.append(world.create().tasks)

    threads = [Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == 30
    assert len(world.tasks()) == 30
    world.check_counts()


def test_the_database_refuses_a_second_open_task(world):
    source = world.source()
    world.create()
    wanted = creation.Wanted(source, "a feed", "rss", world.tasks()[0]["task_type_id"], 60.0)
    with pytest.raises(ConflictError), changing(world.engine, NOON, "a test") as changes:
        creation.insert_group(changes, [wanted], "request")
    assert len(world.groups()) == 1


def test_more_than_a_batch_is_created_in_several_groups(world, monkeypatch):
    monkeypatch.setattr(creation, "BATCH", 4)
    for number in range(10):
        world.source(f"feed {number}")
    assert world.create().tasks == 10
    assert [group["total"] for group in world.groups()] == [4, 4, 2]


def test_late_tasks_are_cancelled_whatever_they_wait_for(world, monkeypatch):
    monkeypatch.setattr(expiry, "BATCH", 2)
    tasks = world.queued(4, deadline_seconds=60.0)
    world.source("not sent", deadline_seconds=60.0)
    world.source("has time", deadline_seconds=3600.0)
    world.create()
    world.apply(world.report(tasks[0], Status.IN_PROGRESS), world.report(tasks[1], Status.DONE))
    world.now += 60
    assert expiry.cancel_expired(world.engine, world.now, world.now) == 4
    assert expiry.cancel_expired(world.engine, world.now, world.now) == 0
    assert world.statuses()[:4] == ["cancelled", "done", "cancelled", "cancelled"]
    assert {task["source_name"]: task["status"] for task in world.tasks()[4:]} == {
        "not sent": "cancelled",
        "has time": "created",
    }
    assert {task["reason"] for task in world.tasks() if task["status"] == "cancelled"} == {"expired"}
    assert {event["detail"] for event in world.events() if event["status"] == "cancelled"} == {
        "expired, it was created",
        "expired, it was queued",
        "expired, it was in_progress",
    }
    assert [group["late"] for group in world.groups()] == [3, 1]
    world.check_counts()


@pytest.mark.parametrize(
    ("oldest_unread", "known", "until"),
    [(None, True, 0), (-30, True, -30), (-7200, True, -600), (None, False, -600), (9, True, 0)],
)
def test_what_was_said_and_not_read_is_waited_for_but_not_for_ever(oldest_unread, known, until):
    at = None if oldest_unread is None else NOON + oldest_unread
    assert expiry.cutoff(NOON, at, known) == NOON + until


def test_what_a_status_does_not_allow_is_refused_with_a_sentence_for_each(world):
    first, second, third = world.queued(3)
    world.apply(world.report(first, Status.DONE), world.report(second, Status.FAILED))
    refused = actions.cancel(world.engine, [first, second, third, first], "somebody", world.now)
    assert [refused[each].refused for each in (first, second, third)] == [
        "the task is `done`; cancel is for `created`, `queued`, `in_progress`",
        "the task is `failed`; cancel is for `created`, `queued`, `in_progress`",
        "",
    ]
    again = actions.retry(world.engine, [first, second, third], "somebody", world.now)
    assert again[first].refused == "the task is `done`; retry is for `failed`, `cancelled`"
    assert again[second].task_id != again[third].task_id
    twice = actions.retry(world.engine, [second], "somebody", world.now)
    assert twice[second].refused == "the source has an open task of this type"
    assert [group["cause"] for group in world.groups()] == ["schedule", "retry"]
    world.check_counts()


def test_of_two_tasks_of_a_source_one_is_tried_again(world):
    (first,) = world.queued()
    world.apply(world.report(first, Status.FAILED))
    world.now += 3600
    world.create()
    second = world.tasks()[-1]["id"]
    actions.cancel(world.engine, [second], "somebody", world.now)
    results = actions.retry(world.engine, [first, second], "somebody", world.now)
    assert [bool(result.refused) for result in results.values()] == [False, True]


def test_a_deleted_source_takes_its_open_tasks_along_and_leaves_what_was(world):
    (ended,) = world.queued()
    source = world.tasks()[0]["source_id"]
    world.apply(world.report(ended, Status.FAILED))
    world.now += 3600
    world.create()
    with changing(world.engine, world.now, "a test") as changes:
        assert actions.cancel_of_source(changes, source, "somebody") == 1
        changes.connection.execute(sqlalchemy.delete(tables.Source).where(tables.Source.id == source))
    assert [(task["status"], task["reason"], task["source_id"]) for task in world.tasks()] == [
        ("failed", "", None),
        ("cancelled", "source deleted", None),
    ]
    assert actions.retry(world.engine, [ended], "somebody", world.now)[ended].refused == "its source was deleted"
    world.check_counts()


def test_whether_a_task_is_open_is_looked_up_whatever_is_known_of_how_many_are(world):
    said = []

    def hear(_connection, _cursor, statement, parameters, *_):
        if " AS open" in statement:
            said.append((statement, parameters))

    world.source()
    sqlalchemy.event.listen(world.engine, "before_cursor_execute", hear)
    world.create()
    sqlalchemy.event.remove(world.engine, "before_cursor_execute", hear)
    how = "EXPLAIN" if world.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    assert len(said) == 2
    with world.engine.connect() as connection:
        for statement, parameters in said:
            plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{how} {statement}", parameters))
            assert "Anti Join" not in plan
            assert "Semi Join" not in plan
            assert any(each in plan for each in ("SubPlan", "CORRELATED SCALAR SUBQUERY"))
