"""The tasks of the parser tasks' DAGs, with the demo broker, without a scheduler."""

import asyncio
import time
import uuid
from types import SimpleNamespace

import pytest
import sqlalchemy
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import set_current_context
from airflow.sdk.module_loading import import_string

from include.common.database import connect
from include.orchestration import environment
from include.orchestration.parser_tasks import demo, waiting
from include.orchestration.parser_tasks.settings import settings
from include.orchestration.parser_tasks.tasks import ReadStatuses, TellOperator, cancel_expired, create_tasks, publish
from include.parser_tasks import queries, tables
from include.parser_tasks.broker import OutgoingMessage, Producer
from include.parser_tasks.catalog import Catalog, ScheduleGiven, SourceGiven, TaskTypeGiven
from include.parser_tasks.messages import write_status
from include.parser_tasks.models import Report, Status
from include.parser_tasks.queries import SourceFilter, TaskFilter
from include.parser_tasks.settings import TOPICS

DEMOS = ["demo-kafka", "demo-sources"]


@pytest.fixture
def engine(airflow):
    """The application database of a task that runs."""
    said = SimpleNamespace(xcom_push=lambda **_: None)
    with set_current_context({"ti": said}):
        yield connect(environment.database_url())


@pytest.fixture
def kafka(demo_kafka, monkeypatch):
    """The demo broker, with topics and a group that nobody has used."""
    for name in ("RSS_PARSER_TASKS_TOPIC", "KAFKA_TASK_STATUS_TOPIC", "KAFKA_TASKS_CONSUMER_GROUP"):
        monkeypatch.setenv(name, uuid.uuid4().hex)
    monkeypatch.setenv("HEADRACE_DEMO_KAFKA", demo_kafka)
    monkeypatch.setenv("KAFKA_DEFAULT_BULK_TIMEOUT", "500")
    return settings().kafka


@pytest.fixture
def nobody_answers(monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setattr("include.orchestration.parser_tasks.tasks.PATIENCE", 1.0)


def due(engine, *names, deadline_seconds=600.0):
    """Sources with tasks that are due."""
    catalog = Catalog(engine, [*TOPICS], time.time() - 120)
    catalog.create_task_type(TaskTypeGiven("latest"))
    for name in names:
        given = SourceGiven(name, "rss", f"http://{name}.example", {}, active=True)
        catalog.create_source(given, [ScheduleGiven("latest", "1 minute", deadline_seconds=deadline_seconds)])


def tasks(engine):
    return queries.tasks(engine, TaskFilter(), time.time()).rows


def statuses(engine):
    return sorted((task.source_name, str(task.status)) for task in tasks(engine))


def report(kafka, *reports):
    producer = Producer(kafka)
    sent = producer.send([OutgoingMessage(None, kafka.status_topic, b"", write_status(each)) for each in reports])
    assert all(each.position for each in sent)


def waited():
    """What the trigger fires with."""

    async def first():
        return [event async for event in waiting.StatusesWaiting().run()]

    (event,) = asyncio.run(first())
    return event.payload


def late(engine):
    """Every task's deadline is over."""
    with engine.begin() as connection:
        connection.execute(sqlalchemy.update(tables.Task).values(deadline_at=time.time() - 1))


def test_tasks_are_created_sent_reported_and_done(engine, kafka):
    due(engine, "a", "b")
    assert create_tasks.function()["rss"] == 2
    assert statuses(engine) == [("a", "created"), ("b", "created")]
    assert publish.function() == 2
    assert statuses(engine) == [("a", "queued"), ("b", "queued")]
    now = time.time()
    report(kafka, *(Report(task.id, 1, Status.DONE, now) for task in tasks(engine)))
    event = waited()
    assert event["waiting"] > 0
    assert ReadStatuses(task_id="read").read({}, event) == {"applied": 2, "refused": 0, "dead": 0}
    assert statuses(engine) == [("a", "done"), ("b", "done")]
    assert (create_tasks.function()["rss"], publish.function()) == (0, 0)


@pytest.mark.usefixtures("nobody_answers")
def test_a_broker_that_is_away_leaves_the_tasks_created(engine):
    due(engine, "a")
    assert create_tasks.function()["rss"] == 1
    with pytest.raises(Exception, match=r"no Kafka broker of `127\.0\.0\.1:9` answers"):
        publish.function()
    assert statuses(engine) == [("a", "created")]


def test_without_a_broker_only_what_waits_to_be_sent_fails(engine):
    assert (create_tasks.function()["rss"], publish.function(), cancel_expired.function()) == (0, 0, 0)
    due(engine, "a")
    create_tasks.function()
    with pytest.raises(AirflowFailException, match="no Kafka broker is named"):
        publish.function()
    assert statuses(engine) == [("a", "created")]


def test_a_late_task_is_cancelled_and_told(engine, kafka, telegram):
    due(engine, "a", "b")
    create_tasks.function()
    publish.function()
    late(engine)
    assert cancel_expired.function() == 2
    assert {(task.status, task.reason) for task in tasks(engine)} == {(Status.CANCELLED, "expired")}
    TellOperator(task_id="tell").execute({})
    (message,) = telegram.messages
    assert "0 of 2 done, 2 late" in message["text"]
    with pytest.raises(AirflowSkipException, match="nothing to tell"):
        TellOperator(task_id="tell").execute({})


def one_that_failed(engine):
    due(engine, "a")
    create_tasks.function()
    with engine.begin() as connection:
        connection.execute(sqlalchemy.update(tables.TaskGroup).values(ended_at=1.0, failed=1))


def test_what_telegram_did_not_take_is_told_by_the_next(engine, telegram):
    one_that_failed(engine)
    telegram.answers.append((403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was kicked"}))
    with pytest.raises(AirflowFailException, match="Telegram refuses: Forbidden"):
        TellOperator(task_id="tell").execute({})
    assert telegram.messages == []
    TellOperator(task_id="tell").execute({})
    assert len(telegram.messages) == 1


def test_what_there_is_nobody_to_tell_is_not_kept_for_whoever_comes_later(engine, telegram, monkeypatch):
    one_that_failed(engine)
    with monkeypatch.context() as without:
        without.delenv("AIRFLOW_CONN_TELEGRAM_DEFAULT")
        with pytest.raises(AirflowSkipException, match="nobody is told"):
            TellOperator(task_id="tell").execute({})
    with pytest.raises(AirflowSkipException, match="nothing to tell"):
        TellOperator(task_id="tell").execute({})
    assert telegram.messages == []


@pytest.mark.usefixtures("nobody_answers")
def test_a_late_task_has_more_time_while_the_broker_cannot_say_what_is_unread(engine):
    due(engine, "a")
    create_tasks.function()
    late(engine)
    assert cancel_expired.function() == 0
    assert statuses(engine) == [("a", "created")]


@pytest.fixture
def hasty(monkeypatch):
    """The trigger's patience in fractions of a second."""
    for name, seconds in {"EVERY": 0.01, "PATIENCE": 0.5, "PAUSE": 0.05, "LONGEST": 1.0, "FAILS_AFTER": 0.1}.items():
        monkeypatch.setattr(waiting, name, seconds)


@pytest.mark.usefixtures("hasty")
def test_the_trigger_waits_while_nothing_is_to_be_read(engine, kafka, monkeypatch):
    assert waited() == {"waiting": 0}
    report(kafka, Report(uuid.uuid4(), 1, Status.DONE, time.time()))
    monkeypatch.setenv("KAFKA_WORKERS_ENABLED", "false")
    assert waited() == {"waiting": 0}
    monkeypatch.delenv("KAFKA_WORKERS_ENABLED")
    assert waited() == {"waiting": 1}


@pytest.mark.usefixtures("hasty", "engine")
def test_the_trigger_waits_where_no_broker_is_named_and_for_one_that_is_away(monkeypatch, caplog):
    assert waited() == {"waiting": 0}
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert waited() == {"waiting": 0}
    assert "no Kafka broker of `127.0.0.1:9` answers within" in caplog.text


@pytest.mark.usefixtures("hasty", "engine")
def test_what_only_a_person_can_put_right_fails_the_run_in_the_end(monkeypatch):
    monkeypatch.setenv("KAFKA_SESSION_TIMEOUT_MS", "soon")
    event = waited()
    assert "KAFKA_SESSION_TIMEOUT_MS is `soon`" in event["error"]
    with pytest.raises(AirflowFailException, match="KAFKA_SESSION_TIMEOUT_MS is `soon`"):
        ReadStatuses(task_id="read").read({}, event)


def test_a_run_starts_in_the_triggerer():
    path, kwargs = waiting.StatusesWaiting().serialize()
    assert (path, kwargs) == (ReadStatuses.start_trigger_args.trigger_cls, {})
    assert import_string(path) is waiting.StatusesWaiting
    assert hasattr(ReadStatuses, ReadStatuses.start_trigger_args.next_method)


def test_the_demo_sources_are_there_while_their_demo_is(engine):
    def there():
        return {source.name: source.address for source in queries.sources(engine, SourceFilter()).rows}

    given = {"HEADRACE_DATABASE_URL": environment.database_url(), demo.VARIABLE: "http://127.0.0.1:1"}
    demo.fill(given, DEMOS)
    first = there()
    assert {source.name for source in demo.SOURCES} == {*first}
    assert first["demo: news of the mill"] == "http://127.0.0.1:1/feeds/news.xml"
    person = SourceGiven("demo of a person", "rss", "http://x.example", {}, active=True)
    Catalog(engine, [*TOPICS], time.time()).create_source(person)
    demo.fill({**given, demo.VARIABLE: "http://127.0.0.1:2"}, DEMOS)
    assert there()["demo: news of the mill"] == "http://127.0.0.1:2/feeds/news.xml"
    assert len(there()) == len(demo.SOURCES) + 1
    demo.fill(given, [])
    assert [*there()] == ["demo of a person"]
