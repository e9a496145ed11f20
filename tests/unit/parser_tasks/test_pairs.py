"""Where two features of the parser tasks meet; the pairs that need Kafka itself are in tests/integration."""

from threading import Barrier, Thread

import pytest

from include.common.database import new_engine
from include.common.errors import ConfigError, ConflictError
from include.common.limits.lease import Leases
from include.common.schema import migrate
from include.parser_tasks import actions, creation, expiry, outbox, tables
from include.parser_tasks.catalog import Catalog, ScheduleGiven, SourceGiven
from include.parser_tasks.messages import read_task
from include.parser_tasks.models import Action, Status
from include.parser_tasks.queries import TaskFilter
from include.parser_tasks.service import Service
from include.parser_tasks.settings import KafkaSettings, Settings
from tests.unit.parser_tasks.conftest import BRANCHES, NOON, TOPICS, Kafka, World, cleared


class Broker(Kafka):
    """A broker in memory that a service may close, and to which something happens while it is sent to."""

    def __init__(self, meanwhile=lambda: None):
        super().__init__()
        self.meanwhile = meanwhile

    def send(self, messages, seconds):
        found = super().send(messages, seconds)
        self.meanwhile()
        return found

    def close(self):
        pass


def service(world, broker, engine=None):
    settings = Settings(KafkaSettings("kafka:9092", topics=TOPICS))
    return Service(lambda: engine or world.engine, lambda: settings, lambda _: broker, None, world.clock)


def catalog(world):
    return Catalog(world.engine, [*TOPICS], world.now)


def source_of(world):
    return world.rows(tables.Source)[0]["id"]


def schedule_of(world):
    return world.rows(tables.SourceTaskType)[0]


def at_once(*works):
    """Do these at the same moment, each in a thread; what each returned."""
    barrier, found = Barrier(len(works)), {}

    def run(number, work):
        barrier.wait()
        found[number] = work()

    threads = [Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(works))]


def test_two_api_servers_with_the_same_request_create_and_send_each_task_once(world):
    for number in range(40):
        world.source(f"feed {number}")
    broker = Broker()
    engines = [new_engine(world.engine.url.render_as_string(hide_password=False)) for _ in range(3)]
    made = at_once(*[service(world, broker, engine).create_and_dispatch for engine in engines])
    for engine in engines:
        engine.dispose()
    assert sum(each.tasks for one in made for each in one.created) == 40
    assert sum(one.dispatched.sent for one in made) == 40
    assert {*broker.sent().values()} == {1}
    assert world.statuses() == ["queued"] * 40
    assert sum(group["total"] for group in world.groups()) == 40
    world.check_counts()


def test_what_is_created_while_somebody_else_ends_sending_is_sent(world, monkeypatch):
    world.source("first")
    world.create()
    release, told = Leases.release, []

    def ending(leases, key, holder):
        if not world.rows(tables.Source)[1:]:
            world.source("second")
            world.create()
            told.append(world.publish())
        release(leases, key, holder)

    monkeypatch.setattr(Leases, "release", ending)
    assert world.publish().sent == 2
    assert told == [outbox.Published(elsewhere=True)]
    assert world.statuses() == ["queued"] * 2
    assert {*world.kafka.sent().values()} == {1}


def test_all_of_a_filter_are_cancelled_while_they_are_sent(world):
    for number in range(6):
        world.source(f"feed {number}")
    world.create()
    results = []

    def meanwhile():
        wanted = TaskFilter(statuses=frozenset({Status.CREATED}))
        results.append(service(world, broker).bulk(Action.CANCEL, wanted, "somebody"))

    broker = Broker(meanwhile)
    world.kafka = broker
    world.publish()
    assert [(bulk.done, len(bulk.results)) for bulk in results] == [(6, 6)]
    assert world.statuses() == ["cancelled"] * 6
    assert all(task["offset"] is not None for task in world.tasks())  # a person sees where the message stands
    world.apply(*[world.report(task["id"], Status.IN_PROGRESS) for task in world.tasks()])
    world.apply(*[world.report(task["id"], Status.DONE) for task in world.tasks()])
    assert world.refusals() == {"task has ended": 12}
    assert world.publish().sent == 0
    world.check_counts()


def test_a_source_deleted_while_its_task_is_sent_leaves_it_cancelled_whatever_a_worker_says(world):
    world.source()
    world.create()
    world.kafka = Broker(lambda: catalog(world).delete_source(source_of(world), "somebody"))
    world.publish()
    (task,) = world.tasks()
    world.apply(world.report(task["id"], Status.IN_PROGRESS), world.report(task["id"], Status.FAILED))
    (found,) = world.tasks()
    assert [found[name] for name in ("status", "reason", "source_id", "offset")] == [
        "cancelled",
        "source deleted",
        None,
        0,
    ]
    world.check_counts()


def test_a_source_switched_off_before_its_task_was_sent_has_it_sent_and_no_other(world):
    world.source()
    world.create()
    catalog(world).change_source(source_of(world), SourceGiven(active=False, address="http://moved"))
    world.publish()
    (message,) = world.kafka.topics["rss_parser_tasks"]
    assert read_task(message.value).source.address == "http://moved"
    world.apply(world.report(message.tag, Status.DONE))
    world.now += 3600
    assert world.create().tasks == 0
    assert world.statuses() == ["done"]


def test_a_deleted_schedule_leaves_its_open_task_which_ends_as_any_other(world):
    (task,) = world.queued()
    catalog(world).delete_schedule(schedule_of(world)["id"])
    world.apply(world.report(task, Status.DONE))
    world.now += 3600
    assert world.create().tasks == 0
    world.check_counts()


def test_a_task_of_a_source_that_has_another_parser_by_now_is_not_tried_again(world):
    (task,) = world.queued()
    world.apply(world.report(task, Status.FAILED))
    catalog(world).change_source(source_of(world), SourceGiven(parser="vk", address="wall"))
    result = actions.retry(world.engine, [task], "somebody", world.now)[task]
    assert result.refused == "its source has the parser `vk` now, and the task is of `rss`"
    assert world.publish().sent == 0


def test_a_schedule_changed_while_tasks_are_created_by_the_old_one_is_the_one_that_counts(world, monkeypatch):
    world.source(schedule="24 hours")
    changed, following = [], creation.following

    def change():
        catalog(world).change_schedule(schedule_of(world)["id"], ScheduleGiven(schedule="*/5 * * * *"))
        changed.append(True)

    def meanwhile(*given):
        person.start()
        person.join(0.3)  # where the person need not wait, this is enough
        return following(*given)

    person = Thread(target=change)
    monkeypatch.setattr(creation, "following", meanwhile)
    assert world.create().tasks == 1
    person.join()
    assert changed
    assert schedule_of(world)["due_at"] == NOON + 300


def test_an_overdue_source_beyond_the_backlog_whose_schedule_is_changed_has_one_task_at_its_new_time(world):
    world.source("first", priority=1)
    world.source("waits", due_at=NOON - 86400 * 3)
    assert world.create(most_waiting=1).over_backlog == 1
    waits = next(row for row in world.rows(tables.SourceTaskType) if row["due_at"] < NOON)
    catalog(world).change_schedule(waits["id"], ScheduleGiven(schedule="*/10 * * * *"))
    world.publish()
    world.apply(*[world.report(task["id"], Status.DONE) for task in world.tasks()])
    assert world.create(most_waiting=1).tasks == 0
    world.now += 600
    assert world.create(most_waiting=1).tasks == 1
    assert sorted(row["due_at"] for row in world.rows(tables.SourceTaskType)) == [NOON + 1200, NOON + 3600]


def test_cancelled_at_work_what_the_worker_says_after_that_changes_neither_times_nor_counts(world):
    (task,) = world.queued()
    world.now += 5
    world.apply(world.report(task, Status.IN_PROGRESS))
    world.now += 5
    actions.cancel(world.engine, [task], "somebody", world.now)
    before = world.tasks(), world.groups(), world.totals()
    world.now += 5
    world.apply(world.report(task, Status.IN_PROGRESS), world.report(task, Status.DONE, statistics={"items": 1}))
    assert (world.tasks(), world.groups(), world.totals()) == before
    assert world.refusals() == {"task has ended": 2}
    new = actions.retry(world.engine, [task], "somebody", world.now)[task].task_id
    world.apply(world.report(task, Status.DONE))  # once more, of the attempt before
    assert {row["id"]: row["status"] for row in world.tasks()} == {task: "cancelled", new: "created"}
    world.check_counts()


def test_a_task_that_expired_while_its_source_has_a_new_one_does_not_touch_that_one(world):
    (old,) = world.queued(deadline_seconds=60.0)
    world.now += 3600
    assert expiry.cancel_expired(world.engine, world.now, world.now) == 1
    assert world.create().tasks == 1
    world.apply(world.report(old, Status.DONE, at=NOON + 59))
    assert world.statuses() == ["cancelled", "created"]
    assert world.rows(tables.Source)[0]["failures"] == 1
    world.check_counts()


def test_what_a_broker_forgot_is_late_at_its_deadline_and_created_anew_by_the_schedule(world):
    forgotten = world.queued(3)
    world.kafka = Kafka()
    world.now += 600
    assert expiry.cancel_expired(world.engine, world.now, world.now) == 3
    assert {(task["status"], task["reason"]) for task in world.tasks()} == {("cancelled", "expired")}
    world.now = NOON + 3600
    assert world.create().tasks == 3
    assert world.publish().sent == 3
    assert world.kafka.sent().keys().isdisjoint(forgotten)
    assert {task["attempt"] for task in world.tasks()} == {1}
    world.check_counts()


@pytest.fixture
def own_world(new_database):
    """A world whose tables a test may drop."""
    url = new_database()
    migrate(url, branches=BRANCHES, data=True)
    world = cleared(url)
    yield world
    world.engine.dispose()


def test_a_downgrade_waits_for_open_tasks_and_what_is_said_after_it_is_for_the_dead_letters(own_world):
    world: World = own_world
    url = world.engine.url.render_as_string(hide_password=False)
    tasks = world.queued(3)
    world.apply(world.report(tasks[0], Status.IN_PROGRESS))
    before = world.tasks()
    with pytest.raises(ConflictError, match="3 tasks are open: cancel them first"):
        migrate(url, "parser_tasks@base", branches=BRANCHES)
    assert world.tasks() == before
    world.apply(world.report(tasks[0], Status.DONE))
    actions.cancel(world.engine, tasks[1:], "somebody", world.now)
    migrate(url, "parser_tasks@base", branches=BRANCHES)
    with pytest.raises(ConfigError, match="make migrate"):
        world.apply(world.report(tasks[1], Status.DONE))
    migrate(url, branches=BRANCHES, data=True)
    assert [world.rows(table) for table in (tables.Task, tables.Source, tables.TaskEvent)] == [[], [], []]
    result = world.apply(*[world.report(task, Status.DONE) for task in tasks])
    assert [each.refusal for each in result.dead] == ["unknown task"] * 3
    (new,) = world.queued()
    world.apply(world.report(new, Status.DONE))
    assert world.statuses() == ["done"]
    world.check_counts()
