"""The worker with a broker: librdkafka's own, in this process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from include.common.errors import ConfigError, TransientError
from include.parser_tasks import worker
from include.parser_tasks.messages import read_status, task_key, write_task
from include.parser_tasks.models import Report, Status
from include.parser_tasks.parsers.run import PROJECT, made
from include.parser_tasks.worker import KafkaLine, Taken
from tests.stand_ins.sources import Sources
from tests.unit.parser_tasks.parsers.conftest import task

PATIENCE = 60.0
FEED = b'<rss version="2.0"><channel><title>News</title><item><guid>1</guid></item></channel></rss>'
PARTITIONS = 4  # of a topic of this broker
NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def broker() -> Producer:
    return Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})


@pytest.fixture(scope="module")
def bootstrap(broker: Producer) -> str:
    return ",".join(f"{each.host}:{each.port}" for each in broker.list_topics(timeout=10).brokers.values())


def taken(line: KafkaLine) -> Taken:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if (found := line.take(0.2)) is not None:
            return found
    raise AssertionError("no message came")


def statuses(bootstrap: str, count: int) -> list[Report]:
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "reading", "log_level": 0})
    reader.assign([TopicPartition("task_statuses", partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
    found: list[Report] = []
    ends = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < ends:
        message = reader.poll(0.2)
        if message is not None and not message.error():
            found.append(read_status(message.value()))
    reader.close()
    return found


def test_a_task_that_a_worker_left_unfinished_is_done_by_the_next_which_a_signal_ends(
    bootstrap: str, sources: Sources, url: str, tmp_path: Path
) -> None:
    sources.feed = FEED
    first, second = (task(number, f"{url}/feed", deadline_at=time.time() + 300) for number in (1, 2))
    sender = Producer({"bootstrap.servers": bootstrap})
    for message in (first, second):
        sender.produce("rss_parser_tasks", write_task(message), task_key(message))
    assert sender.flush(10) == 0
    line = KafkaLine(bootstrap, "rss_parser_tasks", "task_statuses", "rss_parsers", {"session.timeout.ms": 6000})
    line.finish(taken(line))
    taken(line)  # and it dies
    line.close()
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bootstrap, "HEADRACE_STORAGE": str(tmp_path)}
    command = [sys.executable, "-m", "include.parser_tasks.worker", "rss"]
    process = subprocess.Popen(command, cwd=PROJECT, env=environment)
    try:
        found = statuses(bootstrap, 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
    assert [(each.task_id, each.status) for each in found] == [
        (second.task_id, Status.IN_PROGRESS),
        (second.task_id, Status.DONE),
    ]
    assert found[1].statistics["items"] == 1
    assert (tmp_path / found[1].statistics["result"]).read_text("utf-8").count("\n") == 1


def test_a_status_that_no_broker_acknowledges_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "ACKNOWLEDGED", 0.1)
    monkeypatch.setattr(worker, "POLL", 0.1)
    line = KafkaLine(NOBODY, "rss_parser_tasks", "task_statuses", "rss_parsers", {"log_level": 0})
    with pytest.raises(TransientError, match="topic `task_statuses`: "):
        line.report(b"key", b"value")
    assert line.take(0.01) is None
    line.close()


def test_a_broker_that_is_away_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 0.1, 29.0, 30.0, 30.1])
    heard = worker.Heard(lambda: next(times))
    for _ in range(5):
        heard(KafkaError(KafkaError._TRANSPORT))
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("rss", {}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ("rss", {"KAFKA_BOOTSTRAP_SERVERS": " "}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ("vk", {"KAFKA_BOOTSTRAP_SERVERS": NOBODY}, "VK_ACCESS_TOKEN is not set"),
        ("youtube", {"KAFKA_BOOTSTRAP_SERVERS": NOBODY}, "YOUTUBE_API_KEY is not set"),
        ("rss", {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "KAFKA_WORKER_OPTIONS": "{"}, "KAFKA_WORKER_OPTIONS is no JSON"),
        (
            "rss",
            {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "KAFKA_WORKER_OPTIONS": "[]"},
            "KAFKA_WORKER_OPTIONS is no JSON obj",
        ),
        ("rss", {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "KAFKA_WORKER_OPTIONS": '{"a": 1}'}, "Kafka's options do not work"),
        ("rss", {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, "HEADRACE_STORAGE": "odd://"}, "HEADRACE_STORAGE is `odd://`"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_read(name: str, given: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        made(name, given)
