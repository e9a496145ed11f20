"""A worker: takes a parser's tasks from Kafka, has them parsed, says what became of each.

    worker = Worker("rss", parse, KafkaLine("localhost:9092", "rss_parser_tasks", "task_statuses", "rss_parsers"))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run()

`parse(task)` returns the statistics that the page shows. Each status is acknowledged by the broker before the task's
offset is committed, so nothing is lost, and a task may come twice: a parser replaces what it wrote the first time.
A parser team elsewhere imports this, or copies it with messages.py, models.py and what those two import.

python -m include.parser_tasks.worker rss    runs a reference parser: include/parser_tasks/parsers
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from include.common.errors import BadInputError, ConfigError, HeadraceError, PermanentError, TransientError
from include.parser_tasks.messages import TaskMessage, read_task, status_key, write_status
from include.parser_tasks.models import Reason, Report, Status

log = logging.getLogger(__name__)
# Seconds: for one message to come, for a status to be acknowledged, and the longest pause where it is not.
POLL, ACKNOWLEDGED, LONGEST_PAUSE = 1.0, 30.0, 30.0
# Seconds that a task may take before the broker gives it to another worker.
LONGEST_TASK = 3600.0
# Bytes of a status message; statistics that make it longer are left out. Brokers take 1 MB as they come.
MOST_BYTES = 256 * 1024

Parse = Callable[[TaskMessage], Mapping[str, Any] | None]


class SourceGoneError(PermanentError):
    """The source says that it will not come back: Headrace switches it off."""


class LateError(PermanentError):
    """The task's deadline passed while it was worked on."""


class Taken(Protocol):
    """A message that was taken."""

    def value(self) -> bytes | None:
        """Its content."""


class Line(Protocol):
    """What a worker needs of Kafka."""

    def take(self, seconds: float) -> Taken | None:
        """The next message, None where none came in `seconds`, be it that no broker answers."""

    def report(self, key: bytes, value: bytes) -> None:
        """Send a status; returns once it is acknowledged, else raises `TransientError`."""

    def finish(self, taken: Taken) -> None:
        """Commit a message's offset; raises `TransientError` where that is not acknowledged."""

    def close(self) -> None:
        """Leave the group."""


class Worker:
    """Works one task after the other, until `stop`. `name` is how the page calls this worker."""

    def __init__(
        self,
        parser: str,
        parse: Parse,
        line: Line,
        *,
        name: str = "",
        now: Callable[[], float] = time.time,
        stopping: threading.Event | None = None,
    ) -> None:
        self.parser, self._parse, self._line, self._now = parser, parse, line, now
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._stopping = stopping or threading.Event()

    def stop(self) -> None:
        """End after the task under way; may be called by a signal or from another thread."""
        self._stopping.set()

    def run(self) -> None:
        """Work until told to stop."""
        log.info("worker `%s` takes tasks of `%s`", self.name, self.parser)
        try:
            while not self._stopping.is_set():
                taken = self._line.take(POLL)
                if taken is not None:
                    self.work(taken)
        finally:
            self._line.close()
        log.info("worker `%s` has stopped", self.name)

    def work(self, taken: Taken) -> None:
        """Work one message. Where it is told to stop before the broker has the result, the task stays to be done."""
        try:
            task = read_task(taken.value())
        except BadInputError as error:
            log.error("a message is left out, it is no task: %s", error)
        else:
            if task.parser != self.parser:
                log.error("task %s is left out: it is for the parser `%s`", task.task_id, task.parser)
            elif not self._worked(task):
                return
        try:
            self._line.finish(taken)
        except TransientError as error:
            log.warning("the message may come again: %s", error)

    def _worked(self, task: TaskMessage) -> bool:
        if self._now() >= task.deadline_at:
            return self._said(task, Status.CANCELLED, error="it came after its deadline", reason=Reason.EXPIRED)
        if not self._said(task, Status.IN_PROGRESS):
            return False
        try:
            statistics = dict(self._parse(task) or {})
        except LateError as error:
            return self._said(task, Status.CANCELLED, error=str(error), reason=Reason.EXPIRED)
        except SourceGoneError as error:
            return self._said(task, Status.FAILED, error=str(error), reason=Reason.SOURCE_GONE)
        except HeadraceError as error:
            return self._said(task, Status.FAILED, error=str(error))
        except Exception as error:  # whatever a parser raises ends its task and not the worker
            log.exception("task %s: the parser broke", task.task_id)
            return self._said(task, Status.FAILED, error=f"{type(error).__name__}: {error}")
        return self._said(task, Status.DONE, statistics=statistics)

    def _said(self, task: TaskMessage, status: Status, **more: Any) -> bool:
        """Report a status, waiting for a broker that is away; False where the worker was to stop meanwhile."""
        report = Report(task.task_id, task.attempt, status, self._now(), worker=self.name, **more)
        log.info("task %s of `%s`: %s %s", task.task_id, task.source.name, status, report.error)
        value, pause = _short(report), 1.0
        while True:
            try:
                self._line.report(status_key(report), value)
                return True
            except TransientError as error:
                log.warning("task %s: `%s` is not reported yet: %s", task.task_id, status, error)
            if self._stopping.wait(pause):
                return False
            pause = min(2 * pause, LONGEST_PAUSE)


def _short(report: Report) -> bytes:
    value = write_status(report)
    if len(value) <= MOST_BYTES:
        return value
    without = {"left_out": f"statistics of {len(value)} bytes"}
    return write_status(replace(report, statistics=without))


class KafkaLine:
    """Kafka by confluent-kafka. `options` are librdkafka's, for both directions, such as those of TLS and SASL."""

    def __init__(
        self, bootstrap: str, topic: str, status_topic: str, group: str, options: Mapping[str, Any] | None = None
    ) -> None:
        self._status_topic = status_topic
        name = socket.gethostname()  # by which the health check finds this worker in its group
        common = {"bootstrap.servers": bootstrap, "client.id": name, "error_cb": Heard(), **(options or {})}
        reading = {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "max.poll.interval.ms": int(LONGEST_TASK * 1000),
            # A topic that is made after the worker's start is seen soon.
            "topic.metadata.refresh.interval.ms": 10_000,
            # A task waits in Kafka, where another worker can take it, and not here.
            "queued.min.messages": 1,
        }
        writing = {
            "acks": "all",
            "message.timeout.ms": int(ACKNOWLEDGED * 1000),
            "partitioner": "murmur2_random",  # as Java's clients choose
        }
        try:
            self._consumer = Consumer({**common, **reading})
            self._producer = Producer({**common, **writing})
        except KafkaException as error:
            raise ConfigError(f"Kafka's options do not work: {error.args[0].str()}") from error
        self._consumer.subscribe([topic])

    def take(self, seconds: float) -> Message | None:
        """See `Line`."""
        message = self._consumer.poll(seconds)
        if message is None:
            return None
        if error := message.error():
            log.warning("no task from Kafka: %s", error.str())
            time.sleep(seconds)  # such an error comes at once, and may come again
            return None
        return message

    def report(self, key: bytes, value: bytes) -> None:
        """See `Line`."""
        failed: list[KafkaError | None] = []
        try:
            self._producer.produce(self._status_topic, value, key, on_delivery=lambda error, _: failed.append(error))
            self._producer.flush(ACKNOWLEDGED + POLL)
        except (KafkaException, BufferError) as refused:
            raise TransientError(f"topic `{self._status_topic}`: {refused}") from refused
        if not failed:
            self._producer.purge()
            self._producer.flush(POLL)
        # `is`: a KafkaError that is compared with None leaves an exception behind.
        error = failed[0] if failed else None
        if not failed or error is not None:
            why = "no broker answered" if error is None else error.str()
            raise TransientError(f"topic `{self._status_topic}`: {why}")

    def finish(self, taken: Taken) -> None:
        """See `Line`."""
        assert isinstance(taken, Message)
        try:
            self._consumer.commit(message=taken, asynchronous=False)
        except KafkaException as error:
            raise TransientError(f"its offset is not committed: {error.args[0].str()}") from error

    def close(self) -> None:
        """See `Line`."""
        self._consumer.close()


class Heard:
    """Logs what Kafka's clients complain of; a complaint that is made many times a second, once in a while."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._said: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """One complaint."""
        code, now = error.code(), self._now()
        if now >= self._said.get(code, now):
            self._said[code] = now + LONGEST_PAUSE
            log.warning("Kafka: %s", error.str())


if __name__ == "__main__":
    from include.parser_tasks.parsers.run import main

    main()
