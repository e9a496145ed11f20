"""What is read of tasks, groups and sources: filters, pages, counts."""

import time
from uuid import UUID

import pytest
import sqlalchemy

from include.common.errors import BadInputError
from include.parser_tasks import actions, creation, expiry, queries, tables
from include.parser_tasks.models import Action, Status
from include.parser_tasks.paging import FIRST_PAGE, Asked
from include.parser_tasks.queries import GroupFilter, ScheduleFilter, SourceFilter, TaskFilter
from tests.unit.parser_tasks.conftest import NOON


def ids(world, asked=FIRST_PAGE, **wanted):
    return [row.id for row in queries.tasks(world.engine, TaskFilter(**wanted), world.now, asked).rows]


def walked(read, **asked):
    """All rows, page by page."""
    rows, after = [], ""
    while True:
        page = read(Asked(after=after, **asked))
        rows += page.rows
        if not page.after:
            return rows
        after = page.after


@pytest.fixture
def mixed(world):
    """Seven tasks: created, queued, in progress, done, failed, cancelled, expired, by name."""
    names = ("queued", "in_progress", "done", "failed", "cancelled", "expired")
    made = world.queued(len(names))
    found = dict(zip(names, made, strict=True))
    done = {"statistics": {"items": 3}}
    world.apply(
        world.report(found["in_progress"], Status.IN_PROGRESS),
        world.report(found["done"], Status.DONE, **done),
        world.report(found["failed"], Status.FAILED, error="it broke"),
    )
    actions.cancel(world.engine, [found["cancelled"]], "ada", world.now)
    world.set(tables.Task, deadline_at=NOON + 10_000)
    with world.engine.begin() as connection:
        mine = tables.Task.__table__.update().where(tables.Task.id == found["expired"])
        connection.execute(mine.values(deadline_at=NOON))
    expiry.cancel_expired(world.engine, NOON, world.now)
    world.source("another", parser="vk")
    creation.create(world.engine, ["vk"], 10, world.clock)
    found["created"] = world.tasks()[-1]["id"]
    return found


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"worker": "worker:1"}, "tasks_worker_idx"),
        ({"has_error": True}, "tasks_error_idx"),
        ({"task_type": "latest"}, "tasks_task_type_id_idx"),
        ({"source_id": 1}, "tasks_source_id_idx"),
        ({"group_id": 1}, "tasks_group_id_idx"),
        ({"parser": "rss"}, "tasks_parser_status_idx"),
        ({"statuses": frozenset({Status.DONE})}, "tasks_status_idx"),
    ],
)
def test_each_filter_is_read_in_the_order_of_an_index_of_its_own(wanted, index):
    engine = sqlalchemy.create_engine("sqlite://")
    tables.Base.metadata.create_all(engine)
    explained = {"before_cursor_execute": lambda *given: (f"EXPLAIN QUERY PLAN {given[2]}", given[3])}
    with engine.connect() as connection:
        connection.execute(sqlalchemy.insert(tables.TaskType).values(id=1, name="latest"))
        chosen = queries._chosen(connection, TaskFilter(**wanted), NOON)
        sqlalchemy.event.listen(connection, *explained.popitem(), retval=True)
        newest = (each.order_by(tables.Task.id.desc()).limit(2) for each in chosen)
        plans = [connection.execute(each).cursor.fetchall() for each in newest]
    assert plans
    for plan in plans:  # one step: no sorting after it
        assert [f"INDEX {index}" in step[-1] for step in plan] == [True], plan


def test_tasks_come_the_newest_first_a_page_at_a_time(world):
    made = world.queued(7)
    assert ids(world) == made[::-1]
    for size in (1, 2, 3, 6, 7):
        read = lambda asked: queries.tasks(world.engine, TaskFilter(), world.now, asked)  # noqa: E731
        assert [row.id for row in walked(read, size=size)] == made[::-1]
        assert [row.id for row in walked(read, size=size, sort="id")] == made
        parted = lambda asked: queries.tasks(world.engine, TaskFilter(parser="rss"), world.now, asked)  # noqa: E731
        assert [row.id for row in walked(parted, size=size)] == made[::-1]


@pytest.mark.parametrize("status", Status)
def test_a_filter_by_status(world, mixed, status):
    expected = {"cancelled", "expired"} if status is Status.CANCELLED else {status.value}
    assert set(ids(world, statuses=frozenset({status}))) == {mixed[name] for name in expected}


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, {"created", "queued", "in_progress", "done", "failed", "cancelled", "expired"}),
        ({"parser": "vk"}, {"created"}),
        ({"parser": "none"}, set()),
        ({"task_type": "all"}, set()),
        ({"task_type": "latest", "parser": "vk"}, {"created"}),
        ({"late": True}, {"expired"}),
        ({"has_error": True}, {"failed"}),
        ({"worker": "worker:1"}, {"in_progress", "done", "failed"}),
        ({"worker": "worker:1", "has_error": False}, {"in_progress", "done"}),
        ({"statuses": frozenset({Status.FAILED, Status.DONE})}, {"failed", "done"}),
        ({"source_id": 10**9}, set()),
        ({"created_from": NOON + 1}, set()),
    ],
)
def test_a_filter(world, mixed, wanted, names):
    assert set(ids(world, **wanted)) == {mixed[name] for name in names}


def test_what_is_open_past_its_deadline_is_late(world):
    made = world.queued(2)
    world.now += 601
    assert set(ids(world, late=True)) == set(made)
    page = queries.tasks(world.engine, TaskFilter(late=True), world.now)
    assert all(row.is_late(world.now) for row in page.rows)


def test_by_the_time_of_creation(world):
    world.now = time.time() - 100
    early = world.queued(2)
    world.now = time.time() + 1
    world.source("later", due_at=NOON)
    world.create()
    late = [row["id"] for row in world.tasks()[2:]]
    between = world.now - 50
    assert ids(world, created_from=between) == late
    assert set(ids(world, created_to=between)) == set(early)
    assert ids(world, created_from=between, created_to=world.now) == []


def test_of_a_source_and_of_a_group(world):
    made = world.queued(3)
    one = world.tasks()[1]
    assert ids(world, source_id=one["source_id"]) == [made[1]]
    assert ids(world, group_id=one["group_id"]) == made[::-1]


def test_the_total_is_counted_up_to_a_bound(world, monkeypatch):
    world.queued(5)
    monkeypatch.setattr("include.parser_tasks.paging.COUNTED", 3)
    page = queries.tasks(world.engine, TaskFilter(), world.now)
    assert (page.total, page.is_more, len(page.rows)) == (3, True, 5)
    monkeypatch.setattr("include.parser_tasks.paging.COUNTED", 5)
    page = queries.tasks(world.engine, TaskFilter(parser="rss"), world.now)
    assert (page.total, page.is_more) == (5, False)


@pytest.mark.parametrize("after", ["x", "AAAA", "bnVsbA", "WyItaWQiLDEsMl0", "WyItaWQiLCIxIiwiMiJd", "é", "a" * 5])
def test_a_cursor_that_is_none_is_refused(world, after):
    with pytest.raises(BadInputError, match="cursor"):
        queries.tasks(world.engine, TaskFilter(), world.now, Asked(after=after))


def test_a_cursor_belongs_to_its_order(world):
    world.queued(3)
    after = queries.tasks(world.engine, TaskFilter(), world.now, Asked(size=1)).after
    with pytest.raises(BadInputError, match="cursor"):
        queries.tasks(world.engine, TaskFilter(), world.now, Asked(size=1, after=after, sort="id"))
    with pytest.raises(BadInputError, match="sort is `name`; allowed are `id`"):
        queries.tasks(world.engine, TaskFilter(), world.now, Asked(sort="name"))


def test_the_ids_of_a_filter_are_of_tasks_that_the_action_is_for(world, mixed):
    found, more = queries.task_ids(world.engine, TaskFilter(), world.now, Action.CANCEL)
    assert (len(found), more) == (3, False)
    assert set(found) == {mixed[name] for name in ("created", "queued", "in_progress")}
    assert queries.task_ids(world.engine, TaskFilter(statuses=frozenset({Status.DONE})), world.now, Action.RETRY) == (
        (),
        False,
    )
    found, more = queries.task_ids(world.engine, TaskFilter(), world.now, Action.RETRY, most=2)
    assert more
    assert set(found) <= {mixed[name] for name in ("failed", "cancelled", "expired")}
    found, more = queries.task_ids(world.engine, TaskFilter(parser="vk"), world.now, Action.CANCEL, most=1)
    assert (found, more) == ((mixed["created"],), False)


def test_a_task_has_its_history_and_its_other_tries(world):
    [first] = world.queued()
    world.apply(world.report(first, Status.IN_PROGRESS), world.report(first, Status.FAILED, error="it broke"))
    second = actions.retry(world.engine, [first], "ada", world.now)[first].task_id
    world.apply(world.report(second, Status.FAILED, attempt=2))
    third = actions.retry(world.engine, [second], "ada", world.now)[second].task_id
    for each in (first, second, third):
        view = queries.task(world.engine, each)
        assert [(row.id, row.attempt) for row in view.tries] == [(first, 1), (second, 2), (third, 3)]
    view = queries.task(world.engine, first)
    assert (view.task.error, view.task.actions) == ("it broke", (Action.RETRY,))
    assert [event.status for event in view.events] == ["in_progress", "failed", "failed"]
    assert view.events[-1].actor == "ada"


def test_there_is_no_such_task(world):
    world.queued()
    assert queries.task(world.engine, UUID(int=7)) is None


def test_groups_by_how_they_ended(world, mixed):
    def found(**wanted):
        return [(row.parser, row.status) for row in queries.groups(world.engine, GroupFilter(**wanted)).rows]

    assert found() == [("vk", "open"), ("rss", "open")]
    for name in ("queued", "in_progress"):
        world.apply(world.report(mixed[name], Status.DONE))
    assert found(status="open") == [("vk", "open")]
    assert found(status="problems") == found(parser="rss") == [("rss", "problems")]
    assert found(status="done") == found(cause="request") == found(task_type="all") == []
    [rss] = queries.groups(world.engine, GroupFilter(parser="rss")).rows
    assert (rss.total, rss.done, rss.failed, rss.cancelled, rss.late, rss.open) == (6, 3, 1, 2, 1, 0)
    assert queries.group(world.engine, rss.id) == rss
    assert queries.group(world.engine, 10**9) is None


def test_sources_with_their_schedules_and_last_tasks(world, mixed):
    page = queries.sources(world.engine, SourceFilter())
    assert [row.name for row in page.rows] == ["another", *(f"feed {number}" for number in range(6))]
    last = {row.name: row.schedules[0].last.id for row in page.rows}
    assert last == {task["source_name"]: task["id"] for task in world.tasks()}
    [failed] = [row for row in page.rows if row.schedules[0].last.id == mixed["failed"]]
    assert (failed.failures, failed.schedules[0].last.error) == (1, "it broke")
    [expired] = [row for row in page.rows if row.schedules[0].last.id == mixed["expired"]]
    assert queries.sources(world.engine, SourceFilter(failing=True)).rows == tuple(
        sorted((failed, expired), key=lambda row: row.name)
    )


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"text": "FEED"}, 2),
        ({"text": "http://a"}, 1),
        ({"text": "%"}, 0),
        ({"parser": "vk"}, 1),
        ({"active": True}, 3),
        ({"active": False}, 0),
        ({"task_type": "latest"}, 3),
        ({"task_type": "all"}, 0),
    ],
)
def test_sources_by_a_filter(world, wanted, count):
    world.source("feed 1")
    world.source("feed 2")
    world.source("another", parser="vk")
    page = queries.sources(world.engine, SourceFilter(**wanted))
    assert (len(page.rows), page.total) == (count, count)


@pytest.mark.parametrize("sort", ["name", "-name", "parser", "-parser", "id", "-failures", "created_at"])
def test_sources_in_every_order_page_by_page(world, sort):
    for number in range(5):
        world.source(f"feed {number}", parser=("rss", "vk")[number % 2])
    rows = walked(lambda asked: queries.sources(world.engine, SourceFilter(), asked), size=2, sort=sort)
    field = sort.removeprefix("-")
    given = sorted(rows, key=lambda row: (getattr(row, field), row.id), reverse=sort.startswith("-"))
    assert rows == given
    assert len(rows) == 5


def test_schedules(world):
    one = world.source("feed 1", due_at=NOON + 5)
    world.source("feed 2", parser="vk", due_at=NOON, active=False)

    def found(asked=FIRST_PAGE, **wanted):
        return [row.source_name for row in queries.schedules(world.engine, ScheduleFilter(**wanted), asked).rows]

    assert found() == ["feed 1", "feed 2"]
    assert found(Asked(sort="due_at")) == ["feed 2", "feed 1"]
    assert found(source_id=one) == found(parser="rss") == found(active=True) == ["feed 1"]
    assert found(task_type="all") == []
    [row] = queries.schedules(world.engine, ScheduleFilter(source_id=one)).rows
    assert (row.last, row.due_at) == (None, NOON + 5)
    assert queries.schedule(world.engine, row.id) == row


def test_the_last_day_in_buckets(world, mixed):
    world.now += 3600 * 2
    world.source("late")
    world.create()
    buckets = queries.last_day(world.engine, world.now, buckets=24)
    assert [round(each.at) for each in buckets[:2]] == [round(world.now - 86400), round(world.now - 82800)]
    before, last = buckets[22], buckets[23]
    assert (before.total, before.done, before.failed, before.late, before.cancelled, before.open) == (7, 1, 1, 1, 1, 3)
    assert last.total == world.groups()[-1]["total"]
    assert sum(each.total for each in queries.last_day(world.engine, world.now, 24, "vk")) == 1
    assert sum(each.total for each in queries.last_day(world.engine, world.now + 100_000)) == 0


def test_the_counts_of_now(world, mixed):
    found = {each.parser: each for each in queries.counts(world.engine)}
    assert {status: count for status, count in found["rss"].counts.items() if count} == {
        Status.QUEUED: 1,
        Status.IN_PROGRESS: 1,
        Status.DONE: 1,
        Status.FAILED: 1,
        Status.CANCELLED: 2,
    }
    assert found["rss"].waiting == found["vk"].waiting == 1


def test_there_is_nothing(world):
    assert queries.tasks(world.engine, TaskFilter(), world.now).rows == ()
    assert queries.sources(world.engine, SourceFilter()).rows == ()
    assert queries.counts(world.engine) == []
    assert queries.switched_on(world.engine, [3, 1]) == queries.switched_on(world.engine, []) == {}
